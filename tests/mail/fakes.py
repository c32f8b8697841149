"""Mail providers on loopback that say what a test wants, and hold every request to the published documents: by
jsonschema, and by Prism (npm) where a test wants to be sure of method, path, headers and security too."""
import atexit
import email
import email.policy
import json
import os
import pathlib
import socket
import threading
import urllib.error
import urllib.request
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
from aiosmtpd.controller import Controller

from harness import free_port, wait_until
from harness.node import NPM
from harness.process import PATIENCE, Process

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "email"
SPECS = {"sendgrid": ("sendgrid.mail-send.openapi.json", "/v3/mail/send"), "postmark": ("postmark.openapi.json", "/email")}


def load(name):
    return json.loads((DATA / name).read_text())


class Prism:
    """Prism as the published provider: answers a wrong request with an error and says what is wrong. One a document."""

    running = {}

    @classmethod
    def of(cls, kind):
        if kind not in cls.running:
            cls.running[kind] = cls(DATA / SPECS[kind][0])
        return cls.running[kind]

    def __init__(self, document):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        prism = NPM / "node_modules/@stoplight/prism-cli/dist/index.js"
        assert prism.exists(), "npm ci --prefix tests/npm"
        self.process = Process(["node", prism, "mock", "--errors", "--host", "127.0.0.1", "--port", port, document],
                               {**os.environ, "NO_COLOR": "1"}, NPM)
        atexit.register(self.process.kill)
        self.process.wait_line("Prism is listening")

    def problems(self, method, path, headers, body):
        """What is wrong with a request, as texts; [] if the provider's document accepts it."""
        kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "content-length", "connection", "expect")}
        request = urllib.request.Request(self.base + path, data=body, headers=kept, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                found = answer.headers.get("sl-violations")
                return ["prism: " + found] if found else []
        except urllib.error.HTTPError as e:
            with e:
                return [f"prism: {e.code} {e.headers.get('sl-violations')} {e.read()[:2000].decode()}"]


class Provider:
    """SendGrid's or Postmark's sending endpoint. answers: a list of answers, used up in order, then `rest`.

    An answer: (status, headers, body) or "hang up" (the request was read, nothing comes back)."""

    def __init__(self, kind, rest=None, delay=0, prism=False):
        self.kind = kind
        self.prism = Prism.of(kind) if prism else None
        self.got, self.wrong, self.answers = [], [], []
        self.lock = threading.Lock()
        self.delay = delay
        self.rest = rest or self.good
        name, path = SPECS[kind]
        spec = load(name)
        resolver = jsonschema.RefResolver("", spec)
        body = spec["paths"][path]["post"]["requestBody"]
        if "$ref" in body:
            body = resolver.resolve(body["$ref"])[1]
        schema = body["content"]["application/json"]["schema"]
        self.validator = jsonschema.Draft202012Validator(schema, resolver=resolver)
        self.path = path
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = outer.take(self, body)
                if outer.delay:
                    time.sleep(outer.delay)
                if answer == "hang up":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, text = answer
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *args: None  # a caller that was killed meanwhile
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def take(self, request, body):
        message = json.loads(body)
        problems = [e.message for e in self.validator.iter_errors(message)]
        if request.path != self.path:
            problems.append("path " + request.path)
        if request.headers["Content-Type"] != "application/json":
            problems.append("no JSON")
        want = ("Authorization", "Bearer SG.test") if self.kind == "sendgrid" else ("X-Postmark-Server-Token", "pm-test")
        if request.headers.get(want[0]) != want[1]:
            problems.append("credentials")
        if self.prism:
            problems += self.prism.problems(request.command, request.path, dict(request.headers.items()), body)
        with self.lock:
            self.wrong += problems
            self.got.append(message)
            answer = self.answers.pop(0) if self.answers else self.rest
        return answer() if callable(answer) else answer

    def good(self):
        if self.kind == "sendgrid":
            return 202, {"X-Message-Id": "m" + uuid.uuid4().hex[:20]}, b""
        return self.postmark(200, 0, "OK")

    @staticmethod
    def postmark(status, code, message="no", **headers):
        body = {"ErrorCode": code, "Message": message}
        if status == 200:
            body |= {"MessageID": str(uuid.uuid4()), "SubmittedAt": "2026-11-29T06:00:00.1234567Z", "To": "x@example.test"}
        return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()

    @staticmethod
    def error(status, message="no", **headers):
        return status, {"Content-Type": "application/json", **headers}, \
            json.dumps({"errors": [{"message": message, "field": None, "help": None}]}).encode()

    def ids(self):
        if self.kind == "sendgrid":
            return [m["personalizations"][0]["custom_args"]["email_id"] for m in self.got]
        return [m["Metadata"]["email_id"] for m in self.got]

    def env(self, second=False):
        key = "EMAIL_FALLBACK_PROVIDER" if second else "EMAIL_PROVIDER"
        if self.kind == "sendgrid":
            return {key: "sendgrid", "SENDGRID_API_KEY": "SG.test", "SENDGRID_API_BASE": self.base}
        return {key: "postmark", "POSTMARK_SERVER_TOKEN": "pm-test", "POSTMARK_API_BASE": self.base}

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        assert not self.wrong, self.wrong


class Smtp:
    """A real SMTP server; rcpt = replies to RCPT used up in order; drop = how many messages lose their connection after
    the final dot."""

    def __init__(self, **kw):
        self.messages, self.rcpt, self.drop = [], [], 0
        self.controller = Controller(self, hostname=kw.pop("hostname", "127.0.0.1"), port=kw.pop("port", 0) or self._port(),
                                     **kw)
        self.controller.start()

    @staticmethod
    def _port():
        from harness import free_port
        return free_port()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt:
            reply = self.rcpt.pop(0)
            if reply:
                return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(email.message_from_bytes(envelope.original_content, policy=email.policy.default))
        self.messages[-1].envelope = envelope
        if self.drop > 0:
            self.drop -= 1
            server.transport.abort()
            return "250 nobody hears this"
        return "250 kept"

    @property
    def url(self):
        return f"smtp://{self.controller.hostname}:{self.controller.port}"

    def env(self):
        return {"EMAIL_PROVIDER": "smtp", "SMTP_URL": self.url}

    def close(self):
        self.controller.stop()


class Mailbox:
    """npm's smtp-server on loopback; what its mailparser reads in each message, oldest first."""

    def __init__(self, *arguments):
        self.process = Process(["node", NPM / "mailbox.js", *arguments], dict(os.environ), NPM)
        self.port = json.loads(self.process.wait_line(r'^\{"port":\d+\}$').group())["port"]
        self.tls = "--tls" in arguments

    @property
    def messages(self):
        """They come through a pipe, a moment after the sender had its 250: waits for the first."""
        def read():
            return [json.loads(line) for line in list(self.process.lines) if line.startswith('{"envelope"')]
        return wait_until(read, message="no mail came")

    def env(self):
        user = "user:secret@" if self.tls else ""
        return {"EMAIL_PROVIDER": "smtp", "SMTP_URL": f"smtp://{user}127.0.0.1:{self.port}"}

    def close(self):
        self.process.stop()


# ---- the outbox

def new_id(prefix):
    u = uuid.uuid4().hex
    ms = f"{int(time.time() * 1000):012x}"
    return f"{prefix}_{ms[:8]}-{ms[8:12]}-7{u[:3]}-8{u[3:6]}-{u[6:18]}"


def put_mail(sql, server, template="welcome", to="member@example.test", name=None, vars=None, optional=0, urgent=0,
             expires=None, now=None):
    """A row of the outbox and its job, as a feature's transaction writes them; returns the id."""
    mail, now = new_id("eml"), now or int(time.time() * 1000)
    sql(server, "INSERT INTO email_log (id, cause, template, recipient, recipient_name, vars, state, rank, optional, urgent,"
        " attempts, expires_at, created_at, updated_at) VALUES (?,?,?,?,?,?,'queued',0,?,?,0,?,?,?)", mail, "test:" + mail,
        template, to, name, json.dumps(vars or {}), optional, urgent, expires, now, now)
    sql(server, "INSERT INTO job (id, kind, key, live_key, payload, state, priority, run_at, attempt, crashes, token, cancel,"
        " created_at) VALUES (?,'mail_send',?,?,?,'ready',0,?,0,0,0,0,?)", new_id("job"), mail, mail,
        json.dumps({"id": mail}), now, now)
    return mail


def mail_row(sql, server, mail):
    names = ["state", "attempts", "provider", "provider_id", "error", "doubt_until", "vars"]
    rows = sql(server, f"SELECT {', '.join(names)} FROM email_log WHERE id = ?", mail)
    assert rows, "no such mail"
    return dict(zip(names, rows[0]))


def wait_state(sql, server, mail, *states):
    """Waits for one of the states; the row."""
    try:
        wait_until(lambda: mail_row(sql, server, mail)["state"] in states, PATIENCE)
    except AssertionError as e:
        raise AssertionError(f"{mail} is {mail_row(sql, server, mail)}, not {states}") from e
    return mail_row(sql, server, mail)


def job_row(sql, server, mail):
    rows = sql(server, "SELECT state, run_at, attempt FROM job WHERE key = ? ORDER BY id DESC", mail)
    return {"state": rows[0][0], "run_at": int(rows[0][1]), "attempt": int(rows[0][2])}


def wait_job(sql, server, mail, later_than):
    """Waits until the job sleeps until after `later_than` (ms)."""
    def sleeps():
        job = job_row(sql, server, mail)
        return job["state"] == "ready" and job["run_at"] > later_than

    try:
        wait_until(sleeps, PATIENCE)
    except AssertionError as e:
        raise AssertionError(f"{job_row(sql, server, mail)} of {mail_row(sql, server, mail)}") from e
    return job_row(sql, server, mail)
