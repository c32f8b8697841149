"""mybeing email check and preview: templates of one's own are held to what they need before a mail is."""
import json
import os
import subprocess

import pytest

from harness.process import BUILD, PATIENCE


@pytest.fixture
def check(tmp_path):
    """check(files): what is wrong with a folder of templates, by name; and the exit code."""
    folder = tmp_path / "templates"
    folder.mkdir()

    def run(files, where=folder):
        for name, text in files.items():
            (folder / name).write_text(text)
        done = subprocess.run([BUILD / "mybeing", "email", "check", "--json", "--dir", where], cwd=tmp_path, text=True,
                              env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=PATIENCE)
        rows = json.loads(done.stdout)
        assert len(rows) >= 17
        return {r["template"]: r["problem"] for r in rows if not r["ok"]}, done.returncode

    return run


GOOD = "subject: Hello {{name}}\n=== text\nHello\n=== html\n<p>Hello</p>\n"


def test_the_built_in_ones_and_good_ones_are_right(check):
    assert check({}) == ({}, 0)
    assert check({"welcome.mail": GOOD, "_layout.txt": "{{{content}}}\n", ".hidden": "x"}) == ({}, 0)


@pytest.mark.parametrize("file, text, problem", [
    ("welcome.mail", GOOD.replace("name", "nmae"), "missing variable: nmae"),
    ("welcome.mail", GOOD + "{{there.is.none}}", "missing variable: there.is.none"),
    ("welcome.mail", "no parts\n", "=== text"),
    ("refund.mail", GOOD + "{{#amount}}", "not closed"),
    ("recipt.mail", GOOD, "never used"),
])
def test_what_is_wrong_is_named(check, file, text, problem):
    wrong, code = check({file: text})
    assert code == 1 and len(wrong) == 1
    [(name, words)] = wrong.items()
    assert name == file.removesuffix(".mail") or name == file
    assert problem in words


def test_a_folder_that_is_not_there(check, tmp_path):
    wrong, code = check({}, tmp_path / "nowhere")
    assert code == 1 and list(wrong.values()) == ["this folder cannot be read"]
