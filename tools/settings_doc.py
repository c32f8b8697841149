#!/usr/bin/env python3
"""Every setting of src/app/settings.c has a row in docs/settings.md, and the page names none that does not exist.

    settings_doc.py --check
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def main():
    code = set(re.findall(r'^\s*\{"([A-Z0-9_]+)", K_', (ROOT / "src/app/settings.c").read_text(), re.M))
    page = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.M))
    for name in sorted(code - page):
        print(f"docs/settings.md: no row for {name}")
    for name in sorted(page - code):
        print(f"docs/settings.md: {name} is not a setting")
    if not code:
        print("no settings found in src/app/settings.c: has its form changed?")
    return 0 if code and code == page else 1


sys.exit(main())
