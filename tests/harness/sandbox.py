"""Stripe on loopback: mybeing-sandbox."""
import json
import os
import pathlib
import shutil
import tempfile
import urllib.request

from .process import BUILD, PATIENCE, Process
from .server import SANITIZER, WEBHOOK_SECRET


class Sandbox:
    def __init__(self, *args, shape="modern"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mybeing-sandbox-"))
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), **SANITIZER}
        path = BUILD / "sandbox" / "mybeing-sandbox"
        self.process = Process([path, "--port", "0", "--webhook-secret", WEBHOOK_SECRET, "--shape", shape, *args], env,
                               self.dir)
        self.base = self.process.wait_line(r"listening on (http://[0-9.:]+)").group(1)

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def control(self, name, **body):
        """POST /_sandbox/NAME."""
        return self.call("POST", f"/_sandbox/{name}", body)

    def forward_to(self, server):
        """Sends webhooks to the server from now on; the plan's price is made."""
        server.cli("setup", "stripe", "--yes", "--no-webhook")
        self.control("forward", url=server.base + "/api/webhooks/stripe")

    def pay(self, session, card="4242424242424242", **more):
        """Completes a checkout session (its id, or its URL)."""
        return self.control("pay", session=session.rstrip("/").split("/")[-1].split("?")[0], card=card, **more)

    def settle(self):
        self.control("settle")

    def fault(self, kind, **more):
        return self.control("fault", kind=kind, **more)

    def close(self):
        code = self.process.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        output = self.process.output()
        assert "Sanitizer" not in output and "runtime error:" not in output, output[-8000:]
        assert code in (0, -15), output[-4000:]
