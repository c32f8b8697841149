"""The raw SQLite loop: statements of sql/query/*.sql, by name, without HTTP."""
import hashlib
import json
import pathlib
import re
import subprocess

from events import token, user
from history import some_payers
from programs import Failed

QUERIES = pathlib.Path(__file__).resolve().parents[2] / "sql/query"


def statement(name):
    """The SQL of a named query, on one line, as it is for SQLite."""
    for file in sorted(QUERIES.glob("*.sql")):
        found = re.search(rf"^-- name: {name} .*?\n(.*?);", file.read_text(), re.M | re.S)
        if found:
            lines = [line for line in found[1].splitlines() if not line.startswith("--")]
            return " ".join(" ".join(lines).split())
    raise Failed(f"no query {name} in sql/query: what does the hot path run now?")


def raw_loop(ctx, database, names, members, group=0):
    """Requests a second of a loop that runs these queries, so many requests to a commit (0: reads)."""
    program = ctx.tool("raw_loop", "-lsqlite3")
    callers = ctx.tmp / f"callers{members}"
    if not callers.exists():
        callers.write_text("".join(f"{hashlib.sha256(token(n).encode()).hexdigest()} {user(n)}\n"
                                   for n in some_payers(members)))
    script = ctx.tmp / "statements"
    script.write_text("".join(f"{name} {statement(name)}\n" for name in names))
    done = subprocess.run([program, database, str(ctx.seconds), str(group), callers, script], capture_output=True,
                          text=True, timeout=ctx.seconds + 120)
    if done.returncode:
        raise Failed(f"raw_loop: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)
