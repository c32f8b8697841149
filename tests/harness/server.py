"""The server under test."""
import base64
import json
import os
import pathlib
import subprocess
import shutil
import tempfile
import time

from . import postgres
from .client import Client
from .process import BUILD, PATIENCE, Process, free_port

SANITIZER = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=99:suppressions=" + str(pathlib.Path(__file__).parents[1] / "tsan.supp"),
}
WEBHOOK_SECRET = "whsec_test_of_the_harness"


class Failed(AssertionError):
    def __init__(self, argv, code, out, err):
        super().__init__(f"{' '.join(argv)}: exit {code}\n{out}\n{err}")
        self.code, self.out, self.err = code, out, err


class Server:
    """`mybeing serve` on a database of its own. Server(sandbox=…, env={…}); .start(), .stop() check that it ends well.

    share: another server, whose database it uses too. cluster: the URL of the PostgreSQL to use, if not that of the tests.
    """

    def __init__(self, sandbox=None, engine=None, env=None, start=True, share=None, cluster=None):
        self.engine = engine or os.environ.get("MYBEING_TEST_ENGINE", "sqlite")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mybeing-test-"))
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.sandbox = sandbox
        self.shares = share is not None
        if share is not None:
            self.database = share.database
        elif self.engine == "pg":
            self.database = postgres.create_database(cluster)
        else:
            self.database = f"sqlite:{self.dir}/mybeing.db"
        self.mail_dir = self.dir / "mail"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir),
            **SANITIZER,
            "MYBEING_ENV": "dev",
            "DATABASE_URL": self.database,
            "PORT": str(self.port),
            "BIND": "127.0.0.1",
            "BASE_URL": self.base,
            "AUTH_SECRET": "a-secret-of-the-tests-that-is-long-enough-0123456789",
            "PASSWORD_COST": "cheap",
            "LOG_FORMAT": "json",
            "EMAIL_PROVIDER": "console",
            "EMAIL_CONSOLE_DIR": str(self.mail_dir),
            "EMAIL_FROM": "MyBeing <hello@mybeing.example>",
            "STRIPE_SECRET_KEY": "sk_test_harness",
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            # Nobody listens on port 9: Stripe is down unless there is a sandbox.
            "STRIPE_API_BASE": sandbox.base if sandbox else "http://127.0.0.1:9",
            **(env or {}),
        }
        self.process = None
        self.exit_ok = True
        self.known = False  # does anybody know the port already?
        if start:
            self.start()

    @property
    def webhook_secret(self):
        return self.env["STRIPE_WEBHOOK_SECRET"].split(",")[0]

    def start(self, command="serve", *args):
        for attempt in range(20):
            self.process = Process([BUILD / "mybeing", command, *args], self.env, self.dir)
            if command != "serve":
                return self
            try:
                self.process.wait_line(r"listening on http://")
                self.known = True
                return self
            except AssertionError:
                # Another program took the port between our look and the start: another one, or, when clients know
                # it already, the same once it is free again.
                taken = "cannot be listened on: Address already in use" in self.process.output()
                if not taken or attempt == 19:
                    raise
                self.process.kill()
                if self.known or self.env["PORT"] != str(self.port):
                    time.sleep(0.5)
                else:
                    self.move_to(free_port())
        return self

    def move_to(self, port):
        old, self.port = self.base, port
        self.base = f"http://127.0.0.1:{port}"
        self.env = {k: v.replace(old, self.base) for k, v in self.env.items()} | {"PORT": str(port)}

    def stop(self):
        if self.process is None:
            return
        code = self.process.stop()
        output, self.process = self.process.output(), None
        assert "Sanitizer" not in output and "runtime error:" not in output, output[-8000:]
        assert code == 0, f"exit {code}:\n{output[-4000:]}"

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def close(self, check=True):
        """Stops, asks the database for broken invariants, removes everything."""
        try:
            self.stop()
            if check and not self.shares:
                self.check()
        finally:
            if self.process is not None:
                self.process.kill()
            if self.engine == "pg" and not self.shares:
                postgres.drop_database(self.database)
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the command line
    def run(self, *args, env=None, ok=True, input=None):
        """Runs `mybeing ARGS` with the server's settings; returns CompletedProcess."""
        argv = [str(BUILD / "mybeing"), *map(str, args)]
        done = subprocess.run(argv, env={**self.env, **(env or {})}, cwd=self.dir, text=True, input=input,
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True,
                              timeout=PATIENCE * 3)
        if ok and done.returncode != 0:
            raise Failed(argv, done.returncode, done.stdout, done.stderr)
        return done

    def cli(self, *args, **kw):
        return self.run(*args, **kw).stdout

    def dev(self, *args):
        out = self.cli("dev", *args)
        return json.loads(out) if out.strip().startswith(("{", "[")) else out.strip()

    def state(self):
        """The business state, canonical: equal texts are equal states."""
        return self.cli("dev", "state")

    def settle(self):
        self.cli("dev", "settle")

    def clock(self, *how):
        return self.cli("dev", "clock", *how)

    def check(self):
        self.cli("check")

    # ---- people
    def client(self, **kw):
        return Client(self, **kw)

    def member(self, email=None):
        """A signed-in member made by `dev newuser`."""
        made = self.dev("newuser", *([email] if email else []))
        c = Client(self, token=made["token"])
        c.user_id, c.cookie_text = made["userId"], made["cookie"]
        return c

    def mails(self, to=None):
        """What the console provider wrote: newest last, dicts of the JSON lines."""
        out = []
        for path in sorted(self.mail_dir.glob("*.json*")):
            for line in path.read_text().splitlines():
                if line.strip():
                    out.append(json.loads(line))
        return [m for m in out if to is None or m.get("to") == to]


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
