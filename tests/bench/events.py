"""Members of the bench, and Stripe's events about them as signed requests for replay.c."""
import hashlib
import hmac
import json
import time

SECRET = "whsec_only_for_the_bench"
DAY = 86400


def user(n):
    return f"usr_01900000-0000-7000-8000-{n:012d}"


def tag(n):
    """What Stripe's ids of member n hold."""
    return f"bench{n:09d}"


def token(n):
    return "mb_st_" + hashlib.sha256(b"bench%d" % n).hexdigest()[:43]


def event(n, kind, obj, created):
    return {"id": f"evt_{n}", "object": "event", "api_version": "2026-10-28.endive", "type": kind, "created": created,
            "livemode": False, "data": {"object": obj}, "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None}}


def customer(n, now):
    return {"id": f"cus_{tag(n)}", "object": "customer", "created": now, "metadata": {"userId": user(n)}}


def subscription(n, start, created, since=None, **more):
    """start: of the running period; since: of the first."""
    return {"id": f"sub_{tag(n)}", "object": "subscription", "customer": f"cus_{tag(n)}", "status": "active",
            "created": since or start, "billing_cycle_anchor": since or start, "cancel_at": None,
            "cancel_at_period_end": False, "canceled_at": None, "ended_at": None, "trial_start": None,
            "trial_end": None, "pause_collection": None, "metadata": {"userId": user(n)}, "description": None,
            "latest_invoice": f"in_{tag(n)}_{created}",
            "items": {"object": "list", "data": [{"id": f"si_{tag(n)}", "price": {"id": "price_1"},
                                                  "current_period_start": start,
                                                  "current_period_end": start + 30 * DAY}]}, **more}


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
        return path
