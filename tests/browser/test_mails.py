"""Every mail in a real browser, as narrow and as wide as readers are, light and dark: nothing sticks out, everything can
be read, the button can be hit with a thumb; with names and amounts that are longer than anybody's."""
import os
import pathlib
import subprocess

import pytest
from person import FAINT

from harness.process import BUILD, PATIENCE

pytestmark = pytest.mark.sqlite_only  # a preview asks no database: once is enough

WIDTHS = (320, 640)
PARTS = pathlib.Path(__file__).resolve().parents[2] / "src/mail/templates"
NAMES = sorted(p.stem for p in PARTS.glob("*.mail"))
WIDER = """
const wide = document.documentElement.clientWidth;
const bad = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility())
  .filter((e) => e.getBoundingClientRect().right > wide + .5 || e.getBoundingClientRect().left < -.5)
  .map((e) => e.tagName + ' ' + e.textContent.trim().slice(0, 40));
if (document.documentElement.scrollWidth > wide) bad.push(`${document.documentElement.scrollWidth} > ${wide}`);
return bad;
"""
SMALL = """
return [...document.querySelectorAll('.button a')].map((e) => e.getBoundingClientRect())
  .filter((r) => r.height < 44).map((r) => r.width + 'x' + r.height);
"""
LONG = """
for (const e of document.querySelectorAll('h1, td, p, span, a')) if (e.children.length === 0 && e.textContent.trim() && !e.closest('.button, .amount'))
  e.textContent = e.textContent + ' Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen https://example.test/' + 'x'.repeat(120);
"""


def preview(name, folder):
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MYBEING_ENV": "dev", "DATABASE_URL": f"sqlite:{folder}/x.db",
           "EMAIL_FROM": "MyBeing <hello@mybeing.example>", "BASE_URL": "https://mybeing.example"}
    done = subprocess.run([BUILD / "mybeing", "email", "preview", name], env=env, cwd=folder, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def show(driver, page, width, scheme):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1,
                                                                  "mobile": False})
    driver.get(page.as_uri())


@pytest.fixture
def mail_reader(chromium):
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_every_mail(mail_reader, tmp_path):
    assert len(NAMES) >= 17
    pictures = os.environ.get("MYBEING_PICTURES")  # a folder for screenshots, to look at
    for name in NAMES:
        page = tmp_path / f"{name}.html"
        page.write_bytes(preview(name, tmp_path))
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                show(mail_reader, page, width, scheme)
                where = (name, width, scheme)
                assert not mail_reader.execute_script(WIDER), where
                assert not mail_reader.execute_script(FAINT), (where, mail_reader.execute_script(FAINT))
                assert not mail_reader.execute_script(SMALL), where
                if pictures:
                    mail_reader.save_screenshot(f"{pictures}/{name}-{width}-{scheme}.png")
            mail_reader.execute_script(LONG)
            assert not mail_reader.execute_script(WIDER), (name, width, "long words", mail_reader.execute_script(WIDER))
