#!/usr/bin/env python3
"""A PostgreSQL cluster to throw away.

    pg_cluster.py run [--set name=value]... -- COMMAND...   runs it with MYBEING_TEST_PG=postgresql://…
    pg_cluster.py shell                                     psql on one, until you leave it
    with Cluster() as c: c.url                              the same inside python

A folder, port and socket of its own on loopback, no fsync (durable=True: as in production, for tests that crash it;
folder=…: where the data lies, wal=…: where its log does, in pieces of 1 MB); started as user `postgres` when root (it refuses root),
stopped and removed afterwards, also when its starter is killed.
"""
import ctypes
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "300",
            "shared_buffers": "64MB", "deadlock_timeout": "200ms", "autovacuum_naptime": "5min",
            "max_wal_size": "256MB", "log_min_messages": "warning", "lc_messages": "C"}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if not on_path:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    return pathlib.Path(on_path).resolve().parent


def free_port():
    """Outside of the range that outgoing connections take theirs from: it must still be free after a restart."""
    for port in random.sample(range(7000, 12000), 200):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Cluster:
    def __init__(self, settings=None, durable=False, folder=None, wal=None):
        self.settings = {**SETTINGS, **(DURABLE if durable else {}), **(settings or {})}
        self.bin = programs()
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.process = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mybeing-pg-", dir=folder))
        if self.user:
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        self.log = self.dir / "log"
        self.wal = ["-X", wal, "--wal-segsize=1"] if wal else []
        self.port = free_port()

    @property
    def url(self):
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _become(self):
        """In the child: the user, and the end of the parent ends it too."""
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG
        os.setsid()

    def _init(self):
        args = [self.bin / "initdb", "-D", self.dir / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
                "--locale=C", "--no-sync", *self.wal]
        done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/",
                              preexec_fn=self._become, check=False)
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stderr}")

    def start(self, timeout=60):
        if not (self.dir / "data").exists():
            self._init()
        args = [self.bin / "postgres", "-D", self.dir / "data", "-k", self.dir, "-p", str(self.port),
                "-h", "127.0.0.1"]
        for name, value in self.settings.items():
            args += ["-c", f"{name}={value}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            preexec_fn=self._become)
        deadline = time.monotonic() + timeout
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + self.log.read_text()[-4000:])
            time.sleep(0.05)
        return self

    def stop(self, how=signal.SIGINT, timeout=30):
        """SIGINT: fast; SIGQUIT: at once, as after a crash."""
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(timeout)
        self.process = None

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        return self.start()

    def pids(self):
        """The postmaster and its children, for tests that freeze them."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid] + [int(pid) for pid in children]

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()


def main():
    args = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args == ["shell"]:
        with Cluster() as cluster:
            print(f"DATABASE_URL={cluster.url} ./build/mybeing serve", "uses it from another terminal.", flush=True)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # psql's own
            return subprocess.run(["psql", "-d", cluster.url], check=False).returncode
    if not args or args.pop(0) != "run" or "--" not in args:
        sys.exit(__doc__)
    cut = args.index("--")
    options, command = args[:cut], args[cut + 1:]
    settings = dict(o.split("=", 1) for o in options if o != "--set")
    with Cluster(settings) as cluster:
        return subprocess.run(command, env={**os.environ, "MYBEING_TEST_PG": cluster.url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
