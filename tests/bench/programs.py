"""The programs that are measured: our server, nginx; what they cost in processor time and memory."""
import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from events import SECRET

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A measurement that cannot be made: said, and the other sections go on."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answer(port, path, headers=None, method="GET", body=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def first_answer(program, port, path):
    """Milliseconds from the program's start to its first answer; None: it ended or gave none."""
    ask = f"GET {path} HTTP/1.1\r\nHost: bench.mybeing.example\r\n\r\n".encode()
    while time.monotonic() - program.began < 60 and program.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(ask)
            if s.recv(65536).startswith(b"HTTP/1.1 200"):
                return (time.monotonic() - program.began) * 1e3
        time.sleep(0.0005)
    return None


def with_children(pid):
    found = [pid]
    for p in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{p}/task"):
                found += [int(c) for c in pathlib.Path(f"/proc/{p}/task/{task}/children").read_text().split()]
    return found


def cpu_seconds(pids):
    """Processor time so far (user and system) of processes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def busy_seconds():
    """Processor time of all there is on this machine, so far."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6)) / TICK


class Program:
    """A child in its own folder, ended by its pid."""

    def __init__(self, argv, env, folder):
        self.log = open(folder / "log", "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen([str(a) for a in argv], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.pid = self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Server:
    """MyBeing on a database of its own (`more`: settings, such as another DATABASE_URL)."""

    def __init__(self, binary, folder, **more):
        self.binary, self.folder, self.port, self.program = binary, folder, free_port(), None
        self.extra_pids = []  # whose processor time counts too, such as PostgreSQL's
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MYBEING_ENV": "production",
                    "DATABASE_URL": f"sqlite:{folder}/mybeing.db", "PORT": str(self.port), "BIND": "127.0.0.1",
                    "BASE_URL": "https://bench.mybeing.example", "AUTH_SECRET": "a-secret-of-the-bench-0123456789-abcdef",
                    "STRIPE_SECRET_KEY": "sk_test_bench_of_mybeing", "STRIPE_WEBHOOK_SECRET": SECRET,
                    "STRIPE_API_BASE": "http://127.0.0.1:9", "RATE_LIMIT_SCALE": "100000", "LOG_LEVEL": "warn", **more}

    @property
    def database(self):
        return self.folder / "mybeing.db"

    def run(self, *args):
        done = subprocess.run([str(self.binary), *args], env=self.env, cwd=self.folder, capture_output=True, text=True,
                              timeout=600)
        if done.returncode:
            raise Failed(f"mybeing {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        """Milliseconds from the start of the process to the first answer."""
        self.program = Program([self.binary, "serve"], self.env, self.folder)
        took = first_answer(self.program, self.port, "/healthz")
        if took is not None:
            return took
        tail = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise Failed("the server did not start:\n" + tail)

    def stop(self):
        if self.program:
            self.program.stop()
            self.program = None

    def pids(self):
        return [self.program.pid, *self.extra_pids]

    def rss_mb(self):
        """Resident memory without the pages of the database file that are looked at where the kernel holds them. The
        kernel holds up the server while it counts: not for a server that is being measured."""
        all_kb = mapped_kb = 0
        with contextlib.suppress(ProcessLookupError):
            for line in open(f"/proc/{self.program.pid}/smaps"):
                first, *rest = line.split()
                if not first.endswith(":"):
                    database = rest[-1:] == [str(self.database)]
                elif first == "Rss:":
                    all_kb += int(rest[0])
                    mapped_kb += int(rest[0]) if database else 0
        if all_kb == 0:
            raise Failed("the server has ended")
        return (all_kb - mapped_kb) / 1024

    def own_mb(self):
        """Resident memory that is the server's alone (no file's); costs it nothing."""
        for line in open(f"/proc/{self.program.pid}/status"):
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        raise Failed("the server has ended")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.program.pid}/fd"))


class Nginx:
    """Debian's nginx with a fixed JSON of body_size bytes."""

    def __init__(self, folder, body_size):
        self.folder, self.port, self.program = folder, free_port(), None
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
            f"daemon off; worker_processes {os.cpu_count()}; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections 16384; }}\n"
            f"http {{ access_log off; keepalive_requests 100000000; default_type application/json; {temp}\n"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{ {sets} return 200 \"{joined}\"; }} }} }}\n")

    def start(self):
        """Milliseconds from the start of the process to the first answer."""
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        self.program = Program([binary, "-p", self.folder, "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf"],
                               dict(os.environ), self.folder)
        took = first_answer(self.program, self.port, "/")
        if took is None:
            self.stop()
            raise Failed("nginx did not start:\n" + (self.folder / "log").read_text(errors="replace"))
        return took

    def pids(self):
        return with_children(self.program.pid)

    def stop(self):
        if self.program:
            self.program.stop()
            self.program = None
