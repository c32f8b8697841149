"""Jobs and mail: no-op jobs a second beside graphile-worker, mails an hour through a local SMTP sink"""
import json
import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid

from programs import Failed
from report import aim, fact, speed

ROOT = pathlib.Path(__file__).resolve().parents[2]
NPM = ROOT / "tests/npm"
sys.path.insert(0, str(ROOT / "tools"))
from pg_cluster import Cluster  # noqa: E402

PUTTERS, WORKERS = 8, 8
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}


def run(ctx):
    return job_rows(ctx) + mail_rows(ctx)


# ---- jobs: from the first put to the last end, putters and workers in one process

def rate(argv, **env):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600, env={**os.environ, **env})
    if done.returncode:
        raise Failed(f"{argv[0]}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)["per_second"]


def job_rows(ctx):
    jobs = 400 if ctx.tiny else 3000 if ctx.quick else 30000
    loop = ctx.binary.parent / "tests/unit/job_loop"
    got = {}

    def measure(name, argv):
        ctx.note(name)
        got.setdefault(name, []).append(rate(argv))

    with Cluster(DURABLE) as cluster:
        for turn in range(ctx.rounds):
            folder = ctx.folder("jobs")
            for per in (1, 20):
                base = cluster.url.rsplit("/", 1)[0]
                for who in ("ours", "theirs") if per == 1 else ("ours",):
                    subprocess.run(["psql", "-X", "-q", cluster.url, "-c", f"CREATE DATABASE j{turn}_{per}_{who}"], check=True)
                measure(f"SQLite, {per} a transaction", [loop, f"sqlite:{folder}/{per}.db", jobs, PUTTERS, WORKERS, per])
                measure(f"PostgreSQL, {per} a transaction",
                        [loop, f"{base}/j{turn}_{per}_ours", jobs, PUTTERS, WORKERS, per])
                if per == 1:
                    measure("graphile-worker, 1 a transaction",
                            ["node", NPM / "graphile.js", f"{base}/j{turn}_1_theirs", jobs, PUTTERS, WORKERS])
            shutil.rmtree(folder)
    middle = {name: {"per_second": statistics.median(all_)} for name, all_ in got.items()}
    theirs = middle["graphile-worker, 1 a transaction"]
    rows = [fact("putters, workers (one process; each commit on disk)", f"{PUTTERS}, {WORKERS}")]
    rows += [speed("no-op jobs: " + name, m, None if m is theirs else ("graphile-worker on the same PostgreSQL", theirs))
             for name, m in middle.items()]
    return rows + [aim(f"jobs a second, {name}", round(middle[f"{name}, 1 a transaction"]["per_second"]), at_least=1000)
                   for name in ("SQLite", "PostgreSQL")]


# ---- mails: rows of the outbox and their jobs are there; until the last one is accepted

def new_id(prefix):
    u, ms = uuid.uuid4().hex, f"{int(time.time() * 1000):012x}"
    return f"{prefix}_{ms[:8]}-{ms[8:12]}-7{u[:3]}-8{u[3:6]}-{u[6:18]}"


def outbox(database, n):
    now = int(time.time() * 1000)
    ids = [new_id("eml") for _ in range(n)]
    with sqlite3.connect(database, timeout=60) as db:
        db.executemany("INSERT INTO email_log (id, cause, template, recipient, recipient_name, vars, state, rank, optional,"
                       " urgent, attempts, created_at, updated_at) VALUES (?,?,'receipt',?,'Anna Müller',?,'queued',0,0,0,0,?,?)",
                       [(i, "bench:" + i, f"{i}@example.test", json.dumps(
                           {"lines": [{"title": "Premium", "amount": "$32.00"}], "total": "$32.00", "date": "today"}), now, now)
                        for i in ids])
        db.executemany("INSERT INTO job (id, kind, key, live_key, payload, state, priority, run_at, attempt, crashes, token,"
                       " cancel, created_at) VALUES (?,'mail_send',?,?,?,'ready',0,?,0,0,0,0,?)",
                       [(new_id("job"), i, i, json.dumps({"id": i}), now, now) for i in ids])


def mail_rows(ctx):
    mails = 100 if ctx.tiny else 2000 if ctx.quick else 10000
    sink = subprocess.Popen(["node", NPM / "mailbox.js", "--sink"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            stdin=subprocess.DEVNULL, text=True)
    times = []
    try:
        port = json.loads(sink.stdout.readline())["port"]
        for _ in range(ctx.rounds):
            with ctx.copy(200, EMAIL_PROVIDER="smtp", SMTP_URL=f"smtp://127.0.0.1:{port}", EMAIL_FROM="hello@mybeing.example",
                          EMAIL_RATE_PER_MINUTE="0") as server:
                server.start()
                ctx.note("mails through a local SMTP server")
                outbox(server.database, mails)
                began = time.monotonic()
                with sqlite3.connect(server.database, timeout=60) as db:
                    left = "SELECT COUNT(*) FROM email_log WHERE cause LIKE 'bench:%' AND state IN ('queued', 'sending')"
                    while db.execute(left).fetchone()[0]:
                        if time.monotonic() - began > 300:
                            raise Failed("the mails do not arrive")
                        time.sleep(0.05)
                    times.append(time.monotonic() - began)
                    bad = db.execute("SELECT COUNT(*) FROM email_log WHERE cause LIKE 'bench:%' AND state <> 'accepted'")
                    if bad.fetchone()[0]:
                        raise Failed("some mails were not accepted")
    finally:
        sink.terminate()
        sink.wait(30)
    per_hour = mails / statistics.median(times) * 3600
    return [aim("mails an hour through a local SMTP server (npm smtp-server)", round(per_hour), at_least=100_000)]
