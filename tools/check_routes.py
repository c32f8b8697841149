#!/usr/bin/env python3
"""Every route has an auth rule and an entry in the OpenAPI document, and the document names no route that is not there.

    check_routes.py BUILD_DIR
"""
import json
import pathlib
import subprocess
import sys

# Pages and their parts: for browsers, not for programs.
PAGES = {"/page.js", "/page.css", "/icon.svg"}


def main():
    build = pathlib.Path(sys.argv[1])
    done = subprocess.run([build / "mybeing", "routes", "--json"], capture_output=True, text=True, check=True)
    routes = json.loads(done.stdout)
    routes = routes.get("routes", routes) if isinstance(routes, dict) else routes
    paths = json.loads((build / "src/page/openapi.json").read_text())["paths"]
    bad, seen = [], set()
    for r in routes:
        method, path = r["method"].lower(), r["path"]
        seen.add((method, path))
        if r.get("auth") in (None, "", "unset"):
            bad.append(f"{method.upper()} {path}: no auth rule")
        if path not in PAGES and method not in paths.get(path, {}):
            bad.append(f"{method.upper()} {path}: not in docs/openapi/")
    for path, methods in paths.items():
        for method in methods:
            if method in ("get", "post", "put", "patch", "delete") and (method, path) not in seen:
                bad.append(f"{method.upper()} {path}: in docs/openapi/, but not a route")
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
