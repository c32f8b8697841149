"""What a caller of Stripe and a receiver of its webhooks need, without any of MyBeing's code."""
import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

DOCUMENT = json.loads((pathlib.Path(__file__).resolve().parents[2] / "sandbox/data/stripe-openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
OLD = "2024-06-20"


def flat(value, name=""):
    """{"a": {"b": [1]}} → [("a[b][0]", "1")]"""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in flat(v, f"{name}[{k}]" if name else k)]
    if isinstance(value, (list, tuple)):
        return [p for i, v in enumerate(value) for p in flat(v, f"{name}[{i}]")]
    return [(name, {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else str(value))]


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text
        self.body = json.loads(text) if text else None

    @property
    def error(self):
        return self.body["error"]


class Stripe:
    def __init__(self, base, key="sk_test_key", version="2026-10-28.endive"):
        self.base, self.key, self.version = base, key, version

    def send(self, method, path, params=None, idempotency=None, version=None, headers=None):
        form = urllib.parse.urlencode(flat(params or {}))
        url = self.base + path + ("?" + form if form and method != "POST" else "")
        request = urllib.request.Request(url, method=method, data=form.encode() if method == "POST" else None)
        request.add_header("Stripe-Version", version or self.version)
        if self.key:
            request.add_header("Authorization", "Bearer " + self.key)
        if idempotency:
            request.add_header("Idempotency-Key", idempotency)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read().decode())

    def get(self, path, **params):
        answer = self.send("GET", path, params)
        assert answer.status == 200, answer.text
        return answer.body

    def post(self, path, params=None, **more):
        answer = self.send("POST", path, params, **more)
        assert answer.status == 200, answer.text
        return answer.body

    def delete(self, path, **params):
        answer = self.send("DELETE", path, params)
        assert answer.status == 200, answer.text
        return answer.body

    def refused(self, path, params=None, status=400, method="POST"):
        answer = self.send(method, path, params)
        assert answer.status == status, (answer.status, answer.text)
        return answer.error

    # ---- stories

    def price(self, amount=3200, interval="month", **more):
        params = {"currency": "usd", "unit_amount": amount, "product_data": {"name": "Premium"}, **more}
        if interval:
            params["recurring"] = {"interval": interval}
        return self.post("/v1/prices", params)

    def session(self, mode="subscription", amount=3200, **more):
        item = {"price_data": {"currency": "usd", "unit_amount": amount, "product_data": {"name": "Thing"}},
                "quantity": 1}
        if mode == "subscription":
            item["price_data"]["recurring"] = {"interval": "month"}
        return self.post("/v1/checkout/sessions", {
            "mode": mode, "line_items": [item], "success_url": "http://127.0.0.1/ok?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1/no", **more})


class Hook:
    """A webhook receiver on a free port. `answer` decides the status of each request."""

    def __init__(self, secret):
        self.secret, self.events, self.times, self.bodies, self.bad = secret, [], [], [], []
        self.answer = lambda n: 200
        self._lock, hook = threading.Lock(), self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook._take(body, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _take(self, body, headers):
        with self._lock:
            self.bodies.append(body)
            if not signed(self.secret, body, headers["Stripe-Signature"]):
                self.bad.append(body)
            status = self.answer(len(self.bodies))
            if status == 200:
                self.events.append(json.loads(body))
                self.times.append(time.monotonic())
            return status

    def types(self):
        return [e["type"] for e in self.events]

    def clear(self):
        with self._lock:
            del self.events[:], self.times[:], self.bodies[:]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def signed(secret, body, header):
    parts = dict(p.split("=", 1) for p in header.split(","))
    want = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(want, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


def basic(key):
    return "Basic " + base64.b64encode((key + ":").encode()).decode()


def problems(value, schema, at="$"):
    """Where a value does not fit its schema of the document."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rsplit("/", 1)[-1]]
    if value is None:
        return [] if schema.get("nullable") else [f"{at}: null"]
    if "anyOf" in schema:
        found = [problems(value, s, at) for s in schema["anyOf"]]
        return [] if any(not f for f in found) else min(found, key=len)
    kind = {"string": str, "integer": int, "boolean": bool, "number": (int, float), "array": list,
            "object": dict}[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return [f"{at}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"] and not schema.get("x-stripeBypassValidation"):
        return [f"{at}: {value!r} is none of {schema['enum'][:6]}"]
    out = []
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        out += [f"{at}.{k}: missing" for k in schema.get("required", []) if k not in value]
        for k, v in value.items():
            if k in properties:
                out += problems(v, properties[k], f"{at}.{k}")
            elif properties:
                out.append(f"{at}.{k}: unknown")
    if isinstance(value, list):
        for i, v in enumerate(value):
            out += problems(v, schema["items"], f"{at}[{i}]")
    return out
