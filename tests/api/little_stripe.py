"""A few of Stripe's endpoints in a few lines, whose answers a test can bend: what mybeing-sandbox is too polite for."""
import email.utils
import http.server
import json
import threading
import time
import urllib.parse


def unflatten(pairs):
    out = {}
    for key, value in pairs:
        names = key.replace("]", "").split("[")
        at = out
        for n in names[:-1]:
            at = at.setdefault(n, {})
        at[names[-1]] = value
    return out


class LittleStripe:
    """.fault: None, "down" (500), "refuse" (400), "lost" (does it, then drops the answer)."""

    def __init__(self):
        self.sessions, self.answers, self.posts, self.fault = {}, {}, [], None
        self.lock = threading.Lock()
        self.ahead = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.handle(self, "GET", "")

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.handle(self, "POST", body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        return int(time.time()) + self.ahead

    # ---- what a test does
    def pay(self, session, amount=None, currency=None):
        s = self.sessions[session]
        s.update(status="complete", payment_status="paid", url=None, payment_intent=f"pi_of_{session}",
                 customer_details={"email": s.get("buyer") or "buyer@example.com"})
        if amount is not None:
            s["amount_total"] = amount
        if currency is not None:
            s["currency"] = currency
        return s

    def payment(self, session, **more):
        s = self.sessions[session]
        return {"id": s["payment_intent"], "object": "payment_intent", "status": "succeeded", "created": s["created"],
                "amount": s["amount_total"], "amount_received": s["amount_total"], "currency": s["currency"],
                "customer": s.get("customer"), "metadata": s["payment_metadata"], **more}

    def expire(self, session):
        self.sessions[session].update(status="expired", url=None)
        return self.sessions[session]

    # ---- what the server sees
    def handle(self, h, method, body):
        path, _, query = h.path.partition("?")
        key = h.headers.get("Idempotency-Key")
        with self.lock:
            if self.fault == "down":
                return self.answer(h, 500, {"error": {"type": "api_error", "message": "down"}})
            if method == "POST":
                self.posts.append((path, body, key))
            if key and key in self.answers:
                status, out = self.answers[key]
            else:
                status, out = self.do(method, path, unflatten(urllib.parse.parse_qsl(body or query)))
                if key and status < 400:
                    self.answers[key] = (status, json.loads(json.dumps(out)))
            if self.fault == "lost":
                h.close_connection = True
                return None
            return self.answer(h, status, out)

    @staticmethod
    def answer(h, status, out):
        text = json.dumps(out).encode()
        h.send_response_only(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(text)))
        h.send_header("Request-Id", "req_little")
        if status >= 500:
            h.send_header("Stripe-Should-Retry", "false")
        h.send_header("Date", email.utils.formatdate(usegmt=True))
        h.end_headers()
        h.wfile.write(text)

    def do(self, method, path, form):
        if self.fault == "refuse" and path == "/v1/checkout/sessions":
            return 400, {"error": {"type": "invalid_request_error", "message": "no", "param": "mode"}}
        if path == "/v1/customers":
            n = len(self.answers) + 1
            return 200, {"id": f"cus_{n}_{id(self)}", "object": "customer", "created": self.now(), "email": form.get("email"),
                         "metadata": form.get("metadata", {})}
        if path == "/v1/checkout/sessions" and method == "POST":
            return 200, self.session(form)
        if path.startswith("/v1/checkout/sessions/"):
            s = self.sessions.get(path.split("/")[4])
            if s is None:
                return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "none"}}
            if path.endswith("/expire"):
                if s["status"] != "open":
                    return 400, {"error": {"type": "invalid_request_error", "message": "not open"}}
                s.update(status="expired", url=None)
            elif s["status"] == "open" and s["expires_at"] <= self.now():
                s.update(status="expired", url=None)
            return 200, s
        if path.startswith("/v1/payment_intents/"):
            for s in self.sessions.values():
                if s.get("payment_intent") == path.split("/")[3]:
                    return 200, self.payment(s["id"])
        if path == "/v1/prices":
            return 200, {"object": "list", "has_more": False, "url": path,
                         "data": [{"id": "price_premium", "object": "price", "unit_amount": 3200, "currency": "usd"}]}
        if method == "GET":
            return 200, {"object": "list", "data": [], "has_more": False, "url": path}
        return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "none"}}

    def session(self, form):
        n = len(self.sessions) + 1
        price = form["line_items"]["0"].get("price_data", {"unit_amount": 3200, "currency": "usd"})
        s = {"id": f"cs_test_{n}_{id(self)}", "object": "checkout.session", "mode": form["mode"], "status": "open",
             "payment_status": "unpaid", "amount_total": int(price["unit_amount"]), "currency": price["currency"],
             "client_reference_id": form.get("client_reference_id"), "customer": form.get("customer"),
             "metadata": form["metadata"], "payment_metadata": form.get("payment_intent_data", {}).get("metadata", {}),
             "expires_at": int(form["expires_at"]), "created": self.now(), "livemode": False, "payment_intent": None,
             "subscription": None, "customer_details": None, "url": f"{self.base}/pay/{n}"}
        self.sessions[s["id"]] = s
        return s
