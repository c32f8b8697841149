#!/usr/bin/env python3
"""Reads the #include lines and fails where a folder reaches up or a file reaches where it must not.

    base <- db, kv, http, ext <- job <- app <- mail <- account <- catalog <- billing <- entitlement <- purchase
         <- notice <- chat <- admin <- page <- cmd

Pure rules (x_rules.c) include base/ and headers of rules only; handlers (x_api.c) call no query; ext/ knows no table.
"""
import pathlib
import re
import sys

ORDER = ["base", "db", "kv", "http", "ext", "job", "app", "mail", "account", "catalog", "billing", "entitlement",
         "purchase", "notice", "chat", "admin", "page", "cmd"]
RANK = {name: i for i, name in enumerate(ORDER)}
# Headers of contracts that lower layers name: only types, no calls upwards.
ALLOWED = {("http", "db"), ("job", "app"), ("http", "app")}
GENERATED = {"queries.h"}
# Who calls the queries of sql/query/X.sql: the folder X, or these. Entitlements and purchases share the slots.
CALLERS = {"audit": {"app", "admin"}, "base": {"http"}, "chat_quota": {"chat"}, "chat_turn": {"chat"}, "checkin": {"cmd"},
           "customer": {"billing"},
           "db": {"db", "app"}, "discount": {"entitlement", "purchase"}, "entitlement": {"entitlement", "purchase"},
           "operation": {"billing"}, "purchase": {"entitlement", "purchase"}, "subscription": {"billing"}}


def query_files(root):
    """Query name -> the .sql file it stands in."""
    return {name: path.stem for path in (root / "sql" / "query").glob("*.sql")
            for name in re.findall(r"(?m)^-- name: (\w+)", path.read_text())}


def foreign_queries(path, folder, text, homes):
    for name in sorted(set(re.findall(r"\bq_(\w+)\(", text))):
        home = homes.get(name)
        if home and folder not in CALLERS.get(home, {home}):
            yield f"src/{folder}/{path.name}: {name} is a query of {home}.sql: ask that feature"


def main():
    root = pathlib.Path(__file__).resolve().parents[1] / "src"
    homes = query_files(root.parent)
    bad = []
    for path in sorted(root.rglob("*.[ch]")):
        folder = path.relative_to(root).parts[0]
        bad += foreign_queries(path, folder, path.read_text(), homes)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            name = found.group(1)
            where = f"src/{path.relative_to(root)}:{number}"
            if name in GENERATED:
                if path.name.endswith("_api.c") or path.name.endswith("_rules.c") or folder == "ext":
                    bad.append(f"{where}: {path.name} must not call queries")
                continue
            if "/" not in name:
                continue
            other = name.split("/")[0]
            if other not in RANK:
                bad.append(f"{where}: unknown folder {other}/")
            elif RANK[other] > RANK[folder] and (folder, other) not in ALLOWED:
                bad.append(f"{where}: {folder}/ must not know {other}/")
            elif path.name.endswith("_rules.c") and other != "base" and "_rules.h" not in name:
                bad.append(f"{where}: rules are pure: base/ and rules only")
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
