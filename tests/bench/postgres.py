"""PostgreSQL: the same reads and webhooks on it, beside pgbench with the same statements and beside SQLite"""
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import time

import psycopg2
from psycopg2.extras import execute_values

from events import token
from history import payers, some_payers
from load import in_turn, replay, wrk
from programs import Failed, Server, answer
from report import aim, fact, speed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from pg_cluster import Cluster  # noqa: E402

SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB",
            "log_line_prefix": "%p "}
PATH = "/api/user/entitlements"
READERS = 16  # members whose reads pgbench takes in turn: the hash of a token is in the statement


def copy_all(source, url):
    """All rows of a SQLite database into a migrated PostgreSQL one."""
    lite, pg = sqlite3.connect(source), psycopg2.connect(url)
    with lite, pg, pg.cursor() as cur:
        cur.execute("SELECT table_name FROM information_schema.tables"
                    " WHERE table_schema = 'public' AND table_name <> 'schema_migration'")
        tables = [row[0] for row in cur.fetchall()]
        cur.execute("SET session_replication_role = replica")  # the order of foreign keys does not matter
        cur.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        for table in tables:
            rows = lite.execute(f"SELECT * FROM {table}")
            columns = ", ".join(d[0] for d in rows.description)
            while part := rows.fetchmany(5000):
                execute_values(cur, f"INSERT INTO {table} ({columns}) VALUES %s", part, page_size=500)
    pg.autocommit = True
    with pg.cursor() as cur:
        cur.execute("VACUUM ANALYZE")
    pg.close()
    lite.close()


# ---- what the server asks, as the log of PostgreSQL tells it

class Log:
    """`with Log(cluster) as log: …` and then log.transactions(): what was asked in between."""

    def __init__(self, cluster):
        self.cluster = cluster

    def _set(self, value):
        db = psycopg2.connect(self.cluster.url)
        db.autocommit = True
        with db.cursor() as cur:
            cur.execute(f"ALTER SYSTEM SET log_statement = '{value}'")
            cur.execute("SELECT pg_reload_conf()")
            for _ in range(200):
                time.sleep(0.05)
                with psycopg2.connect(self.cluster.url) as fresh, fresh.cursor() as now:
                    now.execute("SHOW log_statement")
                    if now.fetchone()[0] == value:
                        break
        db.close()

    def __enter__(self):
        self._set("all")
        self.begin = self.cluster.log.stat().st_size
        return self

    def __exit__(self, *_):
        time.sleep(0.2)
        self._set("none")

    def transactions(self):
        """Lists of statements with their parameters put in, BEGIN and COMMIT among them."""
        text = self.cluster.log.read_bytes()[self.begin:].decode(errors="replace")
        under_way, done = {}, []
        for pid, kind, rest in re.findall(r"^(\d+) (LOG|DETAIL):  (.*)$", text, re.M):
            executed = re.match(r"execute [^:]+: (.*)", rest)
            if kind == "LOG" and executed:
                under_way.setdefault(pid, []).append(executed.group(1))
                if executed.group(1) == "COMMIT":
                    done.append(under_way.pop(pid))
            elif kind == "DETAIL" and rest.startswith("parameters: ") and under_way.get(pid):
                values = dict(re.findall(r"\$(\d+) = (NULL|'(?:[^']|'')*')", rest))
                under_way[pid][-1] = re.sub(r"\$(\d+)", lambda m, v=values: v[m.group(1)], under_way[pid][-1])
        return done


def of_any_payer(text, members):
    """The same statements about another payer each time, with ids that are new each time (events.py makes them)."""
    head = (f"\\set n random(0, {len(payers(members)) - 1})\n\\set n (:n / 4) * 100 + :n % 4\n"
            "\\set r random(1, 9000000000000000)\n")
    text = re.sub(r"'(usr_[0-9-]+-)\d{12}'", r"('\1' || lpad(:n, 12, '0'))", text)
    text = re.sub(r"'([a-z_]+_bench)\d{9}_e\d{9}'", r"('\1' || lpad(:n, 9, '0') || '_e' || :r)", text)
    text = re.sub(r"'([a-z_]+_bench)\d{9}'", r"('\1' || lpad(:n, 9, '0'))", text)
    return head + re.sub(r"'(evt_e)\d{9}'", r"('\1' || :r)", text)


def scripts(folder, name, transactions, change=None):
    """A file for pgbench of each."""
    files = []
    for i, statements in enumerate(transactions):
        text = ";\n".join(statements) + ";\n"
        files.append(folder / f"{name}{i}.sql")
        files[-1].write_text(change(text) if change else text)
    if not files:
        raise Failed(f"no transaction of {name} was seen in PostgreSQL's log")
    return files


def pgbench(ctx, cluster, files, clients):
    command = [shutil.which("pgbench") or str(cluster.bin / "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2",
               "-T", str(ctx.seconds * 2)]
    for file in files:
        command += ["-f", str(file)]
    done = subprocess.run([*command, cluster.url], capture_output=True, text=True, timeout=ctx.seconds * 2 + 120)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    failed = re.search(r"number of failed transactions: ([1-9]\d*)", done.stdout)
    if done.returncode or not rate or failed:
        raise Failed(f"pgbench: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return {"per_second": float(rate.group(1))}


def connections(cluster):
    with psycopg2.connect(cluster.url) as db, db.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
        return cur.fetchone()[0]


def recorded(ctx, cluster, server, events):
    """(scripts of reads, scripts of webhooks) as this server asked them."""
    file, some = ctx.tmp / "pg_events", some_payers(ctx.members)[:READERS]

    def ask(webhooks):
        for n in some:
            answer(server.port, PATH, {"Authorization": f"Bearer {token(n)}"})
        replay(ctx, server, events.write(file, webhooks), 1)

    ask(40)  # once before, so that nothing is done for the first time
    with Log(cluster) as log:
        ask(2)  # one of each kind
    asked = log.transactions()
    folder = ctx.folder("pgbench")
    return (scripts(folder, "read", [t for t in asked if any("WHERE s.token_hash = " in s for s in t)]),
            scripts(folder, "webhook", [t for t in asked if any(s.startswith("INSERT INTO webhook_event") for s in t)],
                    lambda text: of_any_payer(text, ctx.members)))


def run(ctx):
    tokens, file = ctx.tokens(), ctx.tmp / "pg_events"
    count = 200 if ctx.tiny else 4000 if ctx.quick else 10_000
    events = ctx.events()
    with Cluster(SETTINGS) as cluster, ctx.server() as lite:
        server = Server(ctx.binary, ctx.folder("postgres"), DATABASE_URL=cluster.url)
        server.run("migrate", "up")
        ctx.note("members into PostgreSQL")
        copy_all(ctx.database(), cluster.url)
        server.start()
        try:
            reads, webhooks = recorded(ctx, cluster, server, events)
            wrk(ctx, server, PATH, tokens, seconds=1)
            clients = connections(cluster)
            got = in_turn(ctx, {
                "reads, pgbench": lambda: pgbench(ctx, cluster, reads, clients),
                "reads": lambda: wrk(ctx, server, PATH, tokens),
                "reads on SQLite": lambda: wrk(ctx, lite, PATH, tokens),
                "webhooks, pgbench": lambda: pgbench(ctx, cluster, webhooks, clients),
                "webhooks": lambda: replay(ctx, server, events.write(file, count)),
                "webhooks on SQLite": lambda: replay(ctx, lite, events.write(file, count))})
        finally:
            server.stop()
    rows = [fact("connections, ours and pgbench's", clients),
            fact("commits", "on disk (fsync, synchronous_commit)")]
    for what in ("reads", "webhooks"):
        bare, mine, other = got[what + ", pgbench"], got[what], got[what + " on SQLite"]
        rows += [speed(f"{what}: pgbench, the same statements", bare), speed(f"{what}: PostgreSQL", mine, ("pgbench", bare)),
                 speed(f"{what}: SQLite", other, ("PostgreSQL", mine)),
                 aim(f"{what} on PostgreSQL, of pgbench", round(mine["per_second"] / bare["per_second"], 2), at_least=0.5)]
    return rows
