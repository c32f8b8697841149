#!/usr/bin/env python3
"""Assembles docs/openapi/*.json (a part a feature: "paths", "components") into one OpenAPI 3.1 document.

    openapi.py OUT DIR       a path or schema that stands in two parts is an error

docs/openapi/head.json is the frame: info and what all parts share.
"""
import json
import pathlib
import sys


def merge(into, part, where):
    for key, value in part.items():
        if key not in into:
            into[key] = value
        elif isinstance(value, dict) and isinstance(into[key], dict):
            merge(into[key], value, f"{where}/{key}")
        elif into[key] != value:
            sys.exit(f"openapi: {where}/{key} stands in two parts")


def main():
    out, folder = sys.argv[1:3]
    parts = pathlib.Path(folder)
    doc = json.loads((parts / "head.json").read_text())
    for path in sorted(parts.glob("*.json")):
        if path.name == "head.json":
            continue
        try:
            part = json.loads(path.read_text())
        except ValueError as e:
            sys.exit(f"openapi: {path}: {e}")
        for name in part:
            if name not in ("paths", "components"):
                sys.exit(f"openapi: {path}: '{name}' does not belong there (paths, components)")
        merge(doc["paths"], part.get("paths", {}), f"{path.name}#/paths")
        merge(doc["components"], part.get("components", {}), f"{path.name}#/components")
    doc["paths"] = dict(sorted(doc["paths"].items()))
    pathlib.Path(out).write_text(json.dumps(doc, ensure_ascii=False, separators=(",", ":")))


main()
