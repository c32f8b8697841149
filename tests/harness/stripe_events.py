"""Stripe events for tests: the stories and samples of the data folder, and small ones made here."""
import itertools
import json
import time

from .client import post_event

_ids = itertools.count(1)
SHAPES = ("legacy", "modern")


def fresh_id(prefix="evt"):
    return f"{prefix}_test{next(_ids):08d}"


def story_files(shared, shape):
    return sorted((shared / "stripe/events" / shape).glob("*.json"))


def stories(shared, shape, users=None):
    """All events of the stories of one shape, in order; users: {"101": our id} replaces the ids in them."""
    out = []
    for path in story_files(shared, shape):
        text = path.read_text()
        for old, new in (users or {}).items():
            text = text.replace(f'"{old}"', f'"{new}"')
        out += json.loads(text)
    return out


def event(kind, obj, created=None, event_id=None, previous=None, livemode=False):
    data = {"object": obj}
    if previous:
        data["previous_attributes"] = previous
    return {"id": event_id or fresh_id(), "object": "event", "api_version": "2026-10-28.endive", "type": kind,
            "created": int(time.time() if created is None else created), "livemode": livemode, "data": data,
            "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None}}


def deliver(server, *events):
    for e in events:
        answer = post_event(server, e)
        assert answer.status == 200, (e["type"], answer)


DAY = 86400


class Subscriber:
    """One subscription at Stripe without Stripe: makes the events that its life would send, in the newer shape."""

    def __init__(self, user, now, tag=None, period=30 * DAY):
        self.user, self.now, self.period = user, int(now), period
        self.tag = tag or fresh_id("t")
        self.customer, self.id = f"cus_{self.tag}", f"sub_{self.tag}"
        self.start, self.invoices = self.now, 0

    def customer_created(self):
        return event("customer.created", {"id": self.customer, "object": "customer", "metadata": {"userId": self.user}},
                     self.now)

    def subscription(self, kind="updated", status="active", start=None, at=None, **more):
        start = self.start if start is None else start
        obj = {"id": self.id, "object": "subscription", "customer": self.customer, "status": status,
               "created": self.now, "billing_cycle_anchor": self.now, "cancel_at": None, "cancel_at_period_end": False,
               "canceled_at": None, "ended_at": None, "trial_start": None, "trial_end": None, "pause_collection": None,
               "metadata": {"userId": self.user},
               "items": {"object": "list", "data": [{"id": f"si_{self.tag}", "price": {"id": "price_1"},
                                                     "current_period_start": start,
                                                     "current_period_end": start + self.period}]}}
        obj.update(more)
        return event(f"customer.subscription.{kind}", obj, start if at is None else at)

    def invoice(self, kind="paid", start=None, at=None, n=None, **more):
        """The invoice of the period that begins at start; n names it (the same n = the same invoice)."""
        start = self.start if start is None else start
        n = start if n is None else n
        status = {"paid": "paid", "payment_succeeded": "paid", "payment_failed": "open", "created": "draft",
                  "finalized": "open", "voided": "void"}[kind]
        obj = {"id": f"in_{self.tag}_{n}", "object": "invoice", "customer": self.customer, "status": status,
               "billing_reason": "subscription_cycle", "amount_due": 3200,
               "amount_paid": 3200 if status == "paid" else 0, "currency": "usd", "attempt_count": 1, "created": start,
               "period_start": start, "period_end": start,
               "parent": {"type": "subscription_details",
                          "subscription_details": {"subscription": self.id, "metadata": {"userId": self.user}}},
               "lines": {"object": "list", "data": [{"id": f"il_{self.tag}_{n}", "amount": 3200,
                                                     "period": {"start": start, "end": start + self.period}}]},
               "status_transitions": {"paid_at": start if status == "paid" else None}}
        obj.update(more)
        return event(f"invoice.{kind}", obj, start if at is None else at)

    def payment(self, n):
        return f"pi_{self.tag}_{n}"

    def invoice_payment(self, start=None, at=None, n=None):
        start = self.start if start is None else start
        n = start if n is None else n
        obj = {"id": f"inpay_{self.tag}_{n}", "object": "invoice_payment", "invoice": f"in_{self.tag}_{n}",
               "amount_paid": 3200, "currency": "usd", "status": "paid",
               "payment": {"type": "payment_intent", "payment_intent": self.payment(n)}}
        return event("invoice_payment.paid", obj, start if at is None else at)

    def refund(self, start=None, at=None, n=None, amount=3200, status="succeeded", kind="refund.created", tag="a"):
        start = self.start if start is None else start
        n = start if n is None else n
        obj = {"id": f"re_{self.tag}_{n}_{tag}", "object": "refund", "amount": amount, "currency": "usd",
               "charge": f"ch_{self.tag}_{n}", "payment_intent": self.payment(n), "status": status, "created": start}
        return event(kind, obj, start if at is None else at)

    def dispute(self, kind="created", status="needs_response", start=None, at=None, n=None):
        start = self.start if start is None else start
        n = start if n is None else n
        obj = {"id": f"du_{self.tag}_{n}", "object": "dispute", "amount": 3200, "currency": "usd",
               "charge": f"ch_{self.tag}_{n}", "payment_intent": self.payment(n), "status": status, "created": start,
               "reason": "general"}
        return event(f"charge.dispute.{kind}", obj, start if at is None else at)

    def month(self, start=None):
        """A paid period, whole."""
        start = self.start if start is None else start
        return [self.subscription("updated", start=start), self.invoice("paid", start=start),
                self.invoice_payment(start=start)]
