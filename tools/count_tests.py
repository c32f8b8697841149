#!/usr/bin/env python3
"""Sums up JUnit files.

    count_tests.py FOLDER          prints what failed and "N passed, N failed, N skipped"; exit 1 if anything failed
    count_tests.py --failed FILE   prints the pytest ids of what failed in FILE, a line each

A test that failed in X.xml and passed in X.again.xml counts as passed and is named as unsteady.
"""
import pathlib
import sys
import xml.etree.ElementTree as ET


def cases(path):
    """(id, outcome) of each test of a file. A file that cannot be read is a failure."""
    try:
        tree = ET.parse(path)
    except (OSError, ET.ParseError) as e:
        return [(f"{path.name}: {e}", "failed")]
    out = []
    for case in tree.iter("testcase"):
        bad = any(child.tag in ("failure", "error") for child in case)
        skipped = any(child.tag == "skipped" for child in case)
        name = case.get("name")
        module = case.get("classname") or ""
        if module.startswith("tests."):
            parts = module.split(".")
            at = next((i for i, p in enumerate(parts) if p.startswith("test_")), len(parts) - 1)
            name = "::".join(["/".join(parts[:at + 1]) + ".py", *parts[at + 1:], name])
        elif not module and name.startswith("tests."):  # it could not be collected
            name = name.replace(".", "/") + ".py"
        elif module:
            name = f"{module}: {name}"
        out.append((name, "failed" if bad else "skipped" if skipped else "passed"))
    return out or [(f"{path.name}: no test ran", "failed")]


def passed(again, name):
    """Did it pass when run again? A file that could not be collected did when all of its tests did."""
    of_file = [o for n, o in again.items() if n.startswith(name + "::")]
    return again.get(name) == "passed" or bool(of_file) and "failed" not in of_file


def main():
    if sys.argv[1] == "--failed":
        for name in dict.fromkeys(n for n, o in cases(pathlib.Path(sys.argv[2])) if o == "failed"):
            print(name)
        return 0
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    failed, unsteady = [], []
    folder = pathlib.Path(sys.argv[1])
    for path in sorted(folder.glob("*.xml")):
        if path.name.endswith(".again.xml"):
            continue
        again_path = folder / (path.stem + ".again.xml")
        again = dict(cases(again_path)) if again_path.exists() else {}
        seen = set()
        for name, outcome in cases(path):
            # pytest writes a test and the error of its teardown as two cases.
            if outcome == "failed" and passed(again, name):
                if name not in seen:
                    unsteady.append(f"{path.stem}: {name}")
                outcome = "passed"
            if outcome == "failed":
                failed.append(f"{path.stem}: {name}")
            seen.add(name)
            totals[outcome] += 1
    for name in unsteady:
        print(f"passed only when run again, alone: {name}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] or not totals["passed"] else 0


sys.exit(main())
