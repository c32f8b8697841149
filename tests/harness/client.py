"""An HTTP client that holds every answer to the OpenAPI document."""
import functools
import hashlib
import hmac
import json
import time

import requests

from . import openapi
from .process import PATIENCE


class Answer:
    def __init__(self, response):
        self.status = response.status_code
        self.headers = response.headers
        self.raw = response

    # Read only when asked for: a stream may not be over for a long time.
    @property
    def text(self):
        return self.raw.content.decode("utf-8", "replace")

    @property
    def content(self):
        return self.raw.content

    @functools.cached_property
    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        """Of a problem."""
        return self.json["code"]

    def __repr__(self):
        return f"<{self.status} {self.text[:600]}>"


class Client:
    """Client(server) is a browser without an account; token= signs in by bearer, cookies are kept as a browser does."""

    def __init__(self, server, token=None, origin=True, headers=None):
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        if origin:
            self.session.headers["Origin"] = server.base
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"
        self.session.headers.update(headers or {})
        self.token = token

    def call(self, method, path, body=None, headers=None, data=None, **kw):
        kw.setdefault("allow_redirects", False)
        kw.setdefault("timeout", PATIENCE)
        if body is not None:
            data = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        response = self.session.request(method, self.server.base + path, data=data, headers=headers, **kw)
        answer = Answer(response)
        if not kw.get("stream"):
            openapi.check(method, path, answer)
        return answer

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.call("POST", path, {} if body is None and "data" not in kw else body, **kw)

    def patch(self, path, body=None, **kw):
        return self.call("PATCH", path, body, **kw)

    def put(self, path, body=None, **kw):
        return self.call("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.call("DELETE", path, **kw)

    # ---- shorthands of the main job
    def entitlements(self):
        a = self.get("/api/user/entitlements")
        assert a.status == 200, a
        return a.json

    def subscribe(self, sandbox, card="4242424242424242"):
        """Checkout for premium, paid in the sandbox, its events delivered."""
        a = self.post("/api/subscription/create")
        assert a.status == 200, a
        sandbox.pay(a.json["sessionId"], card)
        sandbox.settle()
        return a.json["sessionId"]

    def buy(self, sandbox, item, card="4242424242424242", **body):
        """Buys one item; returns the checkout answer."""
        a = self.post("/api/purchases/checkout", {"item": item, **body})
        assert a.status in (200, 201), a
        if a.json.get("url"):
            sandbox.pay(a.json["sessionId"], card)
            sandbox.settle()
        return a.json


def sign(secret, body, t=None):
    """Stripe-Signature of a body, by Stripe's published rule."""
    t = int(time.time()) if t is None else t
    mac = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={mac}"


def post_event(server, event, secret=None, headers=None):
    """Delivers a webhook event (a dict, or raw bytes) as Stripe does."""
    body = event if isinstance(event, bytes) else json.dumps(event, indent=2).encode()
    response = requests.post(server.base + "/api/webhooks/stripe", data=body, timeout=PATIENCE,
                             headers={"Content-Type": "application/json; charset=utf-8",
                                      "Stripe-Signature": sign(secret or server.webhook_secret, body),
                                      **(headers or {})})
    return Answer(response)
