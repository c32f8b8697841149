"""A person's browser: Debian's Chromium, headless, through its driver."""
import pathlib
import shutil
import sys
import tempfile

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / d) for d in ("api", "mail")]

from person import Person  # noqa: E402

FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --lang=en-US").split()


@pytest.fixture(scope="module")
def chromium():
    profile = tempfile.mkdtemp(prefix="mybeing-chromium-")
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def person(chromium, town):
    """Somebody at a browser that has never been here; what the console must not say is looked at in the end."""
    p = Person(chromium, town)
    yield p
    p.leave()
