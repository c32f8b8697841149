"""Speed, beside nginx and the disk: one run, the sides in turn (A B A B), medians.

    bench.py BUILD [--quick] [--json | --markdown]

Absolute figures belong to the machine and its other work; the ratios are what to compare.
"""
import argparse
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "whsec_only_for_the_bench"
DAY = 86400
TEMPLATE = 0  # the member whose rows are copied
TALK = [{"role": "user", "content": "I sleep badly, since weeks. " * 4},
        {"role": "assistant", "content": "Since when, and what keeps you awake? " * 8}]
LUA = """
local tokens = {}
for line in io.lines("%s") do tokens[#tokens + 1] = line end
local n = 0
request = function()
    n = n %% #tokens + 1
    return wrk.format("GET", "%s", {["Authorization"] = "Bearer " .. tokens[n]})
end
"""
DONE = """
local function ms(latency, p) return latency:percentile(p) / 1000 end
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('\\nRESULT {"per_second":%.1f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,"failures":%d}\\n',
        summary.requests / summary.duration * 1e6, ms(latency, 50), ms(latency, 99), ms(latency, 99.9),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def note(text):
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}", file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def user(n):
    return f"usr_01900000-0000-7000-8000-{n:012d}"


def tag(n):
    return f"bench{n:09d}"


def token(n):
    return "mb_st_" + hashlib.sha256(b"bench%d" % n).hexdigest()[:43]


# ---- programs that are measured


class Program:
    """A child in its own folder, ended by its pid."""

    def __init__(self, argv, env, folder):
        self.log = open(folder / "log", "ab")
        self.process = subprocess.Popen([str(a) for a in argv], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def answer(port, path, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


class Server:
    def __init__(self, binary, folder, **more):
        self.binary, self.folder, self.port, self.program = binary, folder, free_port(), None
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MYBEING_ENV": "production",
                    "DATABASE_URL": f"sqlite:{folder}/mybeing.db", "PORT": str(self.port), "BIND": "127.0.0.1",
                    "BASE_URL": "https://bench.mybeing.example", "AUTH_SECRET": "a-secret-of-the-bench-0123456789-abcdef",
                    "STRIPE_SECRET_KEY": "sk_test_bench_of_mybeing", "STRIPE_WEBHOOK_SECRET": SECRET,
                    "STRIPE_API_BASE": "http://127.0.0.1:9", "RATE_LIMIT_SCALE": "100000", "LOG_LEVEL": "warn", **more}

    def run(self, *args):
        done = subprocess.run([str(self.binary), *args], env=self.env, cwd=self.folder, capture_output=True, text=True,
                              timeout=60)
        if done.returncode:
            sys.exit(f"mybeing {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    def start(self):
        """Milliseconds from the start of the process to the first answer."""
        began = time.monotonic()
        self.program = Program([self.binary, "serve"], self.env, self.folder)
        while time.monotonic() - began < 30 and self.program.process.poll() is None:
            try:
                if answer(self.port, "/healthz")[0] == 200:
                    return (time.monotonic() - began) * 1e3
            except OSError:
                time.sleep(0.0005)
        tail = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        sys.exit("the server did not start:\n" + tail)

    def stop(self):
        if self.program:
            self.program.stop()
            self.program = None

    def rss_mb(self):
        for line in open(f"/proc/{self.program.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024


class Nginx:
    def __init__(self, folder, body_size):
        self.port = free_port()
        body = '{"x":"%s"}' % ("x" * max(body_size - 8, 0))
        parts = [body[i:i + 2000] for i in range(0, len(body), 2000)]
        sets = "".join(f"set $b{i} '{p}'; " for i, p in enumerate(parts))
        joined = "".join("${b%d}" % i for i in range(len(parts)))
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (folder / name).mkdir()
        temp = "".join(f"{k}_temp_path {folder}/{v}; " for k, v in
                       [("client_body", "body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"),
                        ("scgi", "scgi")])
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections 4096; }}\n"
            f"http {{ access_log off; keepalive_requests 100000000; default_type application/json; {temp}\n"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{ {sets} return 200 \"{joined}\"; }} }} }}\n")
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        self.program = Program([binary, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"],
                               dict(os.environ), folder)
        end = time.monotonic() + 20
        while True:
            try:
                status, got = answer(self.port, "/")
                assert status == 200 and len(got) == len(body), (status, len(got))
                return
            except OSError:
                if time.monotonic() > end:
                    sys.exit("nginx did not start:\n" + (folder / "log").read_text(errors="replace"))
                time.sleep(0.02)

    def stop(self):
        self.program.stop()


# ---- Stripe's events


def event(n, kind, obj, created):
    return {"id": f"evt_{n}", "object": "event", "api_version": "2026-10-28.endive", "type": kind, "created": created,
            "livemode": False, "data": {"object": obj}, "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None}}


def customer(n, now):
    return {"id": f"cus_{tag(n)}", "object": "customer", "created": now, "metadata": {"userId": user(n)}}


def subscription(n, start, created):
    return {"id": f"sub_{tag(n)}", "object": "subscription", "customer": f"cus_{tag(n)}", "status": "active",
            "created": start, "billing_cycle_anchor": start, "cancel_at": None, "cancel_at_period_end": False,
            "canceled_at": None, "ended_at": None, "trial_start": None, "trial_end": None, "pause_collection": None,
            "metadata": {"userId": user(n)}, "description": None, "latest_invoice": f"in_{tag(n)}_{created}",
            "items": {"object": "list", "data": [{"id": f"si_{tag(n)}", "price": {"id": "price_1"},
                                                  "current_period_start": start,
                                                  "current_period_end": start + 30 * DAY}]}}


def invoice(n, start, name):
    return {"id": f"in_{tag(n)}_{name}", "object": "invoice", "customer": f"cus_{tag(n)}", "status": "paid",
            "billing_reason": "subscription_cycle", "amount_due": 3200, "amount_paid": 3200, "currency": "usd",
            "attempt_count": 1, "created": start, "period_start": start, "period_end": start,
            "parent": {"type": "subscription_details",
                       "subscription_details": {"subscription": f"sub_{tag(n)}", "metadata": {"userId": user(n)}}},
            "lines": {"object": "list", "data": [{"id": f"il_{tag(n)}_{name}", "amount": 3200,
                                                  "period": {"start": start, "end": start + 30 * DAY}}]},
            "status_transitions": {"paid_at": start}}


def request(method, path, body, headers):
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    raw = f"{method} {path} HTTP/1.1\r\nHost: bench.mybeing.example\r\n{lines}".encode()
    raw += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return b"%d\n%b\n" % (len(raw), raw)


def signed(e):
    body, at = json.dumps(e).encode(), int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return request("POST", "/api/webhooks/stripe", body, {"Stripe-Signature": f"t={at},v1={mac}"})


class Events:
    """Files of unique signed events about the members, half subscriptions, half invoices."""

    def __init__(self, members, start):
        self.members, self.start, self.made = members, start, 0

    def write(self, path, count):
        with open(path, "wb") as f:
            for _ in range(count):
                self.made += 1
                n, name = self.made // 2 % self.members, f"e{self.made:09d}"
                at = self.start + 60 + self.made // (2 * self.members)
                if self.made % 2:
                    e = event(name, "customer.subscription.updated", subscription(n, self.start, at), at)
                else:
                    e = event(name, "invoice.paid", invoice(n, self.start, name), at)
                f.write(signed(e))


# ---- the database


def add_account(db, n, now):
    db.execute("INSERT INTO account (id, email, email_key, email_verified_at, name, admin, created_at, updated_at) "
               "VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
               (user(n), f"{tag(n)}@example.com", f"{tag(n)}@example.com", now, f"Member {n}", now, now))
    db.execute("INSERT INTO session (id, token_hash, account_id, via, user_agent, created_at, last_seen_at, expires_at) "
               "VALUES (?, ?, ?, 'password', 'bench', ?, ?, ?)",
               (f"ses_01900000-0000-7000-8000-{n:012d}", hashlib.sha256(token(n).encode()).digest(), user(n), now, now,
                now + 30 * DAY * 1000))


def copy_rows(db, table, members):
    """What the server itself wrote about the template, for everybody else: only ids differ."""
    cur = db.execute(f"SELECT * FROM {table}")
    rows, width = cur.fetchall(), len(cur.description)
    if not rows:
        sys.exit(f"no row of the template in {table}: did its events apply?")

    def changed(v, n):
        if not isinstance(v, str):
            return v
        return v.replace(tag(TEMPLATE), tag(n)).replace(user(TEMPLATE), user(n))

    db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})",
                   (tuple(changed(v, n) for v in row) for n in range(1, members) for row in rows))


def make_database(server, replay, members, start):
    server.run("migrate", "up")
    path = server.folder / "mybeing.db"
    now = int(time.time() * 1000)
    with sqlite3.connect(path) as db:
        add_account(db, TEMPLATE, now)
    db.close()
    server.start()
    file = server.folder / "template"
    n = TEMPLATE
    file.write_bytes(b"".join(signed(e) for e in (
        event(f"{tag(n)}_1", "customer.created", customer(n, start), start),
        event(f"{tag(n)}_2", "customer.subscription.created", subscription(n, start, start), start),
        event(f"{tag(n)}_3", "invoice.paid", invoice(n, start, start), start))))
    run_replay(replay, server.port, 1, 20, file)
    server.stop()
    with sqlite3.connect(path) as db:
        for n in range(1, members):
            add_account(db, n, now)
        for table in ("fact_customer", "subscription", "fact_invoice", "webhook_event"):
            copy_rows(db, table, members)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path.stat().st_size


# ---- measuring


def run_replay(replay, port, connections, seconds, file):
    done = subprocess.run([str(replay), str(port), str(connections), str(seconds), str(file)], capture_output=True,
                          text=True, timeout=seconds + 60)
    if done.returncode:
        sys.exit(f"replay failed: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def run_wrk(port, seconds, script, path="/"):
    done = subprocess.run(["wrk", "-t2", "-c64", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}{path}"],
                          capture_output=True, text=True, timeout=seconds + 60)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            got = json.loads(line[7:])
            if got["failures"]:
                sys.exit(f"{path}: wrk saw {got['failures']} failures")
            return got
    sys.exit(f"wrk failed: {done.stdout}{done.stderr}")


def median(rounds):
    return {k: round(statistics.median(r[k] for r in rounds), 3)
            for k in ("per_second", "p50_ms", "p99_ms", "p999_ms") if k in rounds[0]}


def in_turn(rounds, sides):
    got = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            got[name].append(side())
    return {name: median(r) for name, r in got.items()}


def idle_connections(server, wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(wanted, soft - 200)
    held = []
    try:
        for _ in range(wanted):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        for s in held:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench.mybeing.example\r\n\r\n")
        answered = sum(s.recv(12).endswith(b"200") for s in held)
        return answered, server.rss_mb()
    except OSError as e:
        note(f"idle connections: {e} after {len(held)}")
        return len(held), None
    finally:
        for s in held:
            s.close()


class Bench:
    def __init__(self, build, quick, tmp):
        self.quick, self.tmp = quick, tmp
        self.binary = (build / "mybeing").resolve()
        self.rounds = 3 if quick else 5
        self.seconds = 2 if quick else 3
        self.members = 10_000 if quick else 100_000
        self.start = int(time.time()) - DAY
        self.tools = {}
        for name in ("replay", "fsync_loop"):
            self.tools[name] = tmp / name
            subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", self.tools[name], HERE / f"{name}.c"], check=True)
        self.rows, self.facts, self.open = {}, {}, []

    def folder(self, name):
        path = self.tmp / name
        path.mkdir()
        return path

    def script(self, name, path=None):
        file = self.tmp / f"{name}.lua"
        file.write_text((LUA % (self.tmp / "tokens", path) if path else "") + DONE)
        return file

    def prepare(self):
        note(f"a database of {self.members} members")
        self.server = Server(self.binary, self.folder("grouped"))
        size = make_database(self.server, self.tools["replay"], self.members, self.start)
        self.facts["bytes per 1,000 members"] = round(size / self.members * 1000)
        self.alone = Server(self.binary, self.folder("alone"), MYBEING_BATCH="1")
        shutil.copy(self.server.folder / "mybeing.db", self.alone.folder / "mybeing.db")
        step = max(self.members // 1000, 1)
        (self.tmp / "tokens").write_text("".join(token(n) + "\n" for n in range(0, self.members, step)))
        self.events = Events(self.members, self.start)

    def at_rest(self):
        note("starts, memory, idle connections")
        times = []
        for _ in range(self.rounds):
            times.append(self.server.start())
            self.server.stop()
        self.facts["start to first answer, ms"] = round(statistics.median(times), 1)
        self.server.start()
        self.open.append(self.server)
        self.facts["memory at rest, MB"] = round(self.server.rss_mb(), 1)
        count, mb = idle_connections(self.server, 10_000)
        if mb is not None:
            self.facts[f"memory at {count} idle connections, MB"] = round(mb, 1)
        self.facts["binary, bytes"] = self.binary.stat().st_size

    def reads(self):
        note("reads")
        status, body = answer(self.server.port, "/api/user/entitlements", {"Authorization": f"Bearer {token(0)}"})
        last, _ = answer(self.server.port, "/api/user/entitlements",
                         {"Authorization": f"Bearer {token(self.members - 1)}"})
        if status != 200 or last != 200:
            sys.exit(f"entitlements: {status}, {last}: {body[:300]}")
        if b'"premium"' not in body and b'"active"' not in body:
            sys.exit(f"the members of the bench have no subscription: {body[:600]}")
        self.facts["entitlements answer, bytes"] = len(body)
        nginx = Nginx(self.folder("nginx"), len(body))
        self.open.append(nginx)
        plain, mine = self.script("plain"), self.script("mine", "/api/user/entitlements")
        port = self.server.port
        self.rows |= in_turn(self.rounds, {
            "nginx, fixed JSON": lambda: run_wrk(nginx.port, self.seconds, plain),
            "GET /healthz": lambda: run_wrk(port, self.seconds, plain, "/healthz"),
            "GET /api/user/entitlements": lambda: run_wrk(port, self.seconds, mine),
        })

    def webhooks(self):
        note("webhooks")
        self.alone.start()
        self.open.append(self.alone)
        file, count = self.tmp / "events", 20_000 if self.quick else 40_000

        def deliver(server, n):
            self.events.write(file, n)
            return run_replay(self.tools["replay"], server.port, 64, 10, file)

        def disk():
            out = subprocess.run([str(self.tools["fsync_loop"]), str(self.server.folder), "4096", "1"], check=True,
                                 capture_output=True, text=True, timeout=30)
            return {"per_second": float(out.stdout)}

        self.rows |= in_turn(self.rounds, {
            "disk, serial fdatasync": disk,
            "webhooks, durable": lambda: deliver(self.server, count),
            "webhooks, one commit each": lambda: deliver(self.alone, count // 5),
        })

    def chat(self):
        note("chat")
        file, made = self.tmp / "talk", [0]
        body = json.dumps({"messages": TALK}).encode()

        def save():
            with open(file, "wb") as f:
                for _ in range(10_000):
                    made[0] += 1
                    f.write(request("POST", "/api/chat/save", body,
                                    {"Authorization": f"Bearer {token(made[0] % self.members)}"}))
            return run_replay(self.tools["replay"], self.server.port, 64, 5, file)

        history = self.script("history", "/api/chat/history?limit=20")
        self.rows |= in_turn(self.rounds, {
            "chat save": save, "chat history": lambda: run_wrk(self.server.port, self.seconds, history)})

    def ratios(self):
        r = {k: v["per_second"] for k, v in self.rows.items()}
        return {"healthz / nginx": r["GET /healthz"] / r["nginx, fixed JSON"],
                "entitlements / nginx": r["GET /api/user/entitlements"] / r["nginx, fixed JSON"],
                "webhooks / serial fdatasync": r["webhooks, durable"] / r["disk, serial fdatasync"],
                "webhooks / one commit each": r["webhooks, durable"] / r["webhooks, one commit each"]}

    def close(self):
        for program in (*self.open, self.server):
            program.stop()


def table(bench, markdown):
    line = (lambda *c: "| " + " | ".join(c) + " |") if markdown else \
        (lambda first, *c: f"{first:<34}" + "".join(f"{x:>12}" for x in c))
    rule = [line("---", "---:", "---:", "---:", "---:")] if markdown else []
    out = [line("", "a second", "p50 ms", "p99 ms", "p99.9 ms"), *rule]
    for name, row in bench.rows.items():
        out.append(line(name, f"{row['per_second']:,.0f}",
                        *(f"{row[k]:.2f}" if k in row else "" for k in ("p50_ms", "p99_ms", "p999_ms"))))
    rule = [line("---", "---:")] if markdown else []
    out += ["", line("ratio", ""), *rule, *(line(k, f"{v:.2f}") for k, v in bench.ratios().items())]
    out += ["", line("size", ""), *rule, *(line(k, f"{v:,}") for k, v in bench.facts.items())]
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--quick", action="store_true", help="10,000 members, 3 rounds: under 3 minutes")
    p.add_argument("--json", action="store_true")
    p.add_argument("--markdown", action="store_true")
    args = p.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 25_000 if hard == resource.RLIM_INFINITY else min(25_000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with tempfile.TemporaryDirectory(prefix="mybeing-bench-") as tmp:
        bench = Bench(args.build, args.quick, pathlib.Path(tmp))
        try:
            bench.prepare()
            for part in (bench.at_rest, bench.reads, bench.webhooks, bench.chat):
                part()
        finally:
            if hasattr(bench, "server"):
                bench.close()
        if args.json:
            print(json.dumps({"speeds": bench.rows, "ratios": bench.ratios(), "sizes": bench.facts}, indent=1))
        else:
            print(table(bench, args.markdown))


BEGAN = time.monotonic()
if __name__ == "__main__":
    main()
