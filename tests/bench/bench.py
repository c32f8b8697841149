#!/usr/bin/env python3
"""./dev bench [--quick] [--json]: speed as ratios to yardsticks of the same run (nginx, the disk's fdatasync).

Rounds go A B C A B C …; medians are printed. Absolute figures of a shared machine mean little, ratios hold.
"""
import argparse
import hashlib
import hmac
import json
import os
import pathlib
import re
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
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "whsec_only_for_the_bench_0123456789"
YEAR_MS = 365 * 86400 * 1000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def compile_tools(folder):
    for name in ("replay", "fsync_loop"):
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", folder / name, HERE / f"{name}.c"], check=True)


def token(i):
    return "mb_st_bench" + hashlib.sha256(str(i).encode()).hexdigest()[:32]


def fill(path, members):
    """Members with a session and, three of four, a subscription that was paid."""
    now = int(time.time() * 1000)
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous=OFF")
    uid = [f"usr_{i:08x}-0000-7000-8000-000000000000" for i in range(members)]
    db.executemany("INSERT INTO account (id, email, email_key, email_verified_at, admin, created_at, updated_at) "
                   "VALUES (?,?,?,?,0,?,?)", ((u, f"m{i}@example.com", f"m{i}@example.com", now, now, now)
                                              for i, u in enumerate(uid)))
    db.executemany("INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, expires_at) "
                   "VALUES (?,?,?,'password',?,?,?)",
                   ((f"ses_{i:08x}-0000-7000-8000-000000000000", hashlib.sha256(token(i).encode()).digest(), u, now, now,
                     now + YEAR_MS) for i, u in enumerate(uid)))
    db.executemany("INSERT INTO subscription (id, member, customer, status, created_at, period_start, period_end, "
                   "cancel_at_period_end, collection_paused, anchor, invoice_known, paid_through, as_of, source, rank, "
                   "digest) VALUES (?,?,?,'active',?,?,?,0,0,?,1,?,?,1,1,1)",
                   ((f"sub_bench{i}", u, f"cus_bench{i}", now - 86400000, now - 86400000, now + 29 * 86400000,
                     now - 86400000, now + 29 * 86400000, now) for i, u in enumerate(uid) if i % 4))
    db.commit()
    db.close()


class Server:
    def __init__(self, build, folder, **env):
        self.port = free_port()
        self.env = {"PATH": os.environ["PATH"], "MYBEING_ENV": "production", "DATABASE_URL": f"sqlite:{folder}/bench.db",
                    "PORT": str(self.port), "BIND": "127.0.0.1", "BASE_URL": "https://bench.example",
                    "AUTH_SECRET": "a-secret-of-the-bench-that-is-long-enough", "LOG_LEVEL": "error",
                    "RATE_LIMIT_SCALE": "1000000", "STRIPE_WEBHOOK_SECRET": SECRET, "EMAIL_PROVIDER": "none", **env}
        self.binary = build / "mybeing"

    def run(self, *args):
        subprocess.run([self.binary, *args], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        begin = time.monotonic()
        self.proc = subprocess.Popen([self.binary, "serve"], env=self.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        while time.monotonic() - begin < 60:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).read()
                return (time.monotonic() - begin) * 1000
            except OSError:
                time.sleep(0.001)
        sys.exit("the server did not start")

    def memory_mb(self):
        text = pathlib.Path(f"/proc/{self.proc.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(30)


def nginx(folder, body):
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(f"daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.err;\n"
                    "events { worker_connections 4096; }\nhttp { access_log off; "
                    f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; "
                    f"return 200 '{body}'; }} }} }}\n")
    proc = subprocess.Popen(["nginx", "-c", conf, "-p", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return proc, port


def wrk(url, seconds, script=None):
    argv = ["wrk", "-t2", "-c64", f"-d{seconds}s", "--latency", *(["-s", script] if script else []), url]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"bench: {url} did not answer 200:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def lua(folder, members):
    path = folder / "members.lua"
    tokens = ",".join(f'"{token(i * (members // 1000))}"' for i in range(1000))
    path.write_text(f"local t = {{{tokens}}}\nlocal i = 0\nfunction request()\n  i = i % 1000 + 1\n"
                    '  return wrk.format("GET", nil, {["Authorization"] = "Bearer " .. t[i]})\nend\n')
    return path


def events(folder, n, start, members):
    """Signed, unique events, each a subscription's update, as whole HTTP requests for replay."""
    path, now = folder / f"events{start}.http", int(time.time())
    with path.open("wb") as f:
        for i in range(start, start + n):
            sub = i % members
            body = json.dumps({
                "id": f"evt_bench{i}", "object": "event", "api_version": "2026-10-28.endive", "created": now,
                "livemode": False, "type": "customer.subscription.updated", "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "data": {"object": {
                    "id": f"sub_bench{sub}", "object": "subscription", "customer": f"cus_bench{sub}", "status": "active",
                    "created": now - 86400, "livemode": False, "cancel_at_period_end": False, "cancel_at": None,
                    "billing_cycle_anchor": now - 86400, "metadata": {}, "collection_method": "charge_automatically",
                    "items": {"object": "list", "data": [{
                        "id": f"si_{sub}", "object": "subscription_item", "quantity": 1,
                        "current_period_start": now - 86400, "current_period_end": now + 29 * 86400 + i % 7,
                        "price": {"id": "price_1", "object": "price", "unit_amount": 3200, "currency": "usd",
                                  "recurring": {"interval": "month", "interval_count": 1}}}]}}}}, indent=2).encode()
            mac = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
            request = (f"POST /api/webhooks/stripe HTTP/1.1\r\nHost: bench.example\r\nContent-Type: application/json\r\n"
                       f"Stripe-Signature: t={now},v1={mac}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
            f.write(f"{len(request)}\n".encode() + request + b"\n")
    return path


def idle_connections(server, want):
    """Memory with many connections that said one thing and then nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    socks = []
    try:
        for _ in range(want):
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(4096)
            socks.append(s)
    except OSError as e:
        say(f"only {len(socks)} connections: {e}")
    mb = server.memory_mb()
    for s in socks:
        s.close()
    return len(socks), mb


def measure(build, folder, quick):
    rounds, seconds, members = (3, 2, 10000) if quick else (5, 3, 100000)
    out = {"members": members, "rounds": rounds}
    server = Server(build, folder)
    say(f"making {members} members")
    server.run("migrate", "up")
    fill(folder / "bench.db", members)
    out["start_ms"] = server.start()
    out["rest_mb"] = server.memory_mb()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/user/entitlements",
                                     headers={"Authorization": f"Bearer {token(1)}"})
    body = urllib.request.urlopen(request).read().decode()
    proxy, nginx_port = nginx(folder, body)
    script, base = lua(folder, members), f"http://127.0.0.1:{server.port}"
    got = {"nginx": [], "healthz": [], "entitlements": [], "fdatasync": [], "webhooks": []}
    n = 6000 if quick else 20000
    for r in range(rounds):
        say(f"round {r + 1} of {rounds}")
        got["nginx"].append(wrk(f"http://127.0.0.1:{nginx_port}/", seconds))
        got["healthz"].append(wrk(base + "/healthz", seconds))
        got["entitlements"].append(wrk(base + "/api/user/entitlements", seconds, script))
        loop = subprocess.run([folder / "fsync_loop", folder, "4096", str(seconds)], capture_output=True, text=True,
                              check=True).stdout
        got["fdatasync"].append((float(loop), 0.0))
        file = events(folder, n, r * n, members)
        done = json.loads(subprocess.run([folder / "replay", str(server.port), "64", "60", file], capture_output=True,
                                         text=True, check=True).stdout)
        got["webhooks"].append((done["per_second"], done["p99_ms"]))
        file.unlink()
    for name, values in got.items():
        out[name] = {"per_second": statistics.median(v[0] for v in values),
                     "p99_ms": statistics.median(v[1] for v in values)}
    out["idle_connections"], out["idle_mb"] = idle_connections(server, 2000 if quick else 10000)
    server.stop()
    proxy.terminate()
    proxy.wait()
    out["binary_mb"] = (build / "mybeing").stat().st_size / 1e6
    return out


def table(m):
    base, disk = m["nginx"]["per_second"], m["fdatasync"]["per_second"]
    rows = [("nginx, the same JSON fixed", m["nginx"], "1"),
            ("GET /healthz", m["healthz"], f"{m['healthz']['per_second'] / base:.2f} of nginx"),
            ("GET /api/user/entitlements", m["entitlements"], f"{m['entitlements']['per_second'] / base:.2f} of nginx"),
            ("fdatasync, one after another", m["fdatasync"], "1"),
            ("durable webhook events", m["webhooks"], f"{m['webhooks']['per_second'] / disk:.2f} x fdatasync")]
    lines = ["| what | a second | p99 ms | ratio |", "| --- | --- | --- | --- |"]
    lines += [f"| {n} | {v['per_second']:.0f} | {v['p99_ms']:.2f} | {r} |" for n, v, r in rows]
    lines += ["", f"{m['members']} members; medians of {m['rounds']} rounds; 64 connections.",
              f"Ready in {m['start_ms']:.0f} ms; {m['rest_mb']:.0f} MB at rest, {m['idle_mb']:.0f} MB with "
              f"{m['idle_connections']} idle connections; binary {m['binary_mb']:.1f} MB."]
    return "\n".join(lines)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--quick", action="store_true")
    args.add_argument("--json", action="store_true")
    a = args.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mybeing-bench-", dir="."))
    folder = folder.resolve()
    try:
        compile_tools(folder)
        m = measure(a.build.resolve(), folder, a.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(m, indent=1) if a.json else table(m))


main()
