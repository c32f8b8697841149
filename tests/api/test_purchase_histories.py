"""What may become of a one-time purchase, told in any order and more than once: status, item, money and flags agree."""
import random
import time

import pytest

from harness import Server
from harness.sandbox import Sandbox
from harness.stripe_events import deliver, event

DAY = 86400
ITEM = "quiz:big-five"


class Told:
    """One checkout, and the events that Stripe might send about it. Times are hours since."""

    def __init__(self, world, n):
        self.member = world.member(f"{n}@example.com")
        a = self.member.post("/api/purchases/checkout", {"item": ITEM})
        assert a.status in (200, 201), a
        self.purchase, self.session, self.price = a.json["purchaseId"], a.json["sessionId"], a.json["price"]
        self.pi, self.now = f"pi_{n}", int(time.time())
        self.metadata = {"userId": self.member.user_id, "type": "quiz", "itemId": ITEM, "purchaseId": self.purchase}

    def at(self, hour):
        return int(self.now + hour * 3600)

    def checkout(self, hour, kind="completed", status="complete", payment="paid", **more):
        obj = {"id": self.session, "object": "checkout.session", "mode": "payment", "status": status,
               "payment_status": payment, "payment_intent": self.pi if status == "complete" else None, "currency": "usd",
               "amount_total": self.price, "metadata": self.metadata, "client_reference_id": self.member.user_id,
               "customer": None, "customer_details": {"email": "buyer@example.com"}, **more}
        return event(f"checkout.session.{kind}", obj, self.at(hour))

    def intent(self, hour, kind="succeeded", status="succeeded", **more):
        obj = {"id": self.pi, "object": "payment_intent", "status": status, "amount": self.price, "currency": "usd",
               "amount_received": self.price if status == "succeeded" else 0, "metadata": self.metadata, **more}
        return event(f"payment_intent.{kind}", obj, self.at(hour))

    def charge(self, hour, kind="succeeded", back=0):
        obj = {"id": self.pi.replace("pi_", "ch_"), "object": "charge", "status": "succeeded", "amount": self.price,
               "amount_refunded": back, "currency": "usd", "payment_intent": self.pi, "metadata": self.metadata}
        return event(f"charge.{kind}", obj, self.at(hour))

    def refund(self, hour, amount, status="succeeded", kind="created", tag="a", **more):
        obj = {"id": self.pi.replace("pi_", f"re_{tag}"), "object": "refund", "status": status, "amount": amount,
               "currency": "usd", "payment_intent": self.pi, "charge": self.pi.replace("pi_", "ch_"), **more}
        return event(f"refund.{kind}", obj, self.at(hour))

    def dispute(self, hour, kind="created", status="needs_response"):
        obj = {"id": self.pi.replace("pi_", "du_"), "object": "dispute", "status": status, "amount": self.price,
               "currency": "usd", "payment_intent": self.pi, "charge": self.pi.replace("pi_", "ch_")}
        return event(f"charge.dispute.{kind}", obj, self.at(hour))

    def paid(self):
        return [self.checkout(0), self.intent(0), self.charge(0)]


HISTORIES = {}


def history(status, item, paid, back=0, mismatch=False):
    """paid, back: shares of the price."""
    def keep(fn):
        HISTORIES[fn.__name__] = (fn, status, item, paid, back, mismatch)
        return fn
    return keep


@history("paid", "owned", 1)
def bought(t):
    return t.paid()


@history("paid", "owned", 1)
def only_the_payment_is_told(t):
    return [t.intent(0)]


@history("paid", "owned", 1)
def only_the_checkout_is_told(t):
    return [t.checkout(0)]


@history("paid", "owned", 1)
def declined_first(t):
    return [t.intent(0, "payment_failed", "requires_payment_method", last_payment_error={"code": "card_declined"}),
            t.intent(1), t.checkout(1)]


def another_attempt(t):
    """A declined payment that is not the one which pays."""
    obj = t.intent(-1, "payment_failed", "requires_payment_method")
    obj["data"]["object"]["id"] = t.pi + "_first"
    return obj


@history("refunded", "revoked", 1, 1)
def each_attempt_a_payment_of_its_own(t):
    return [another_attempt(t), *t.paid(), t.refund(2, t.price), t.charge(2, "refunded", back=t.price)]


@history("paid", "owned", 1)
def each_attempt_its_payment_and_no_checkout_told(t):
    return [another_attempt(t), t.intent(0)]


@history("pending", "none", 0)
def a_bank_debit_on_its_way(t):
    return [t.checkout(0, payment="unpaid"), t.intent(0, "processing", "processing")]


@history("paid", "owned", 1)
def a_bank_debit_that_came(t):
    return [*a_bank_debit_on_its_way(t), t.checkout(48, "async_payment_succeeded"), t.intent(48)]


@history("failed", "none", 0)
def a_bank_debit_that_bounced(t):
    return [*a_bank_debit_on_its_way(t), t.checkout(48, "async_payment_failed", payment="unpaid"),
            t.intent(48, "payment_failed", "requires_payment_method", last_payment_error={"code": "x"})]


@history("expired", "none", 0)
def ran_out(t):
    return [t.checkout(24, "expired", "expired", "unpaid")]


@history("failed", "none", 1, mismatch=True)
def another_amount(t):
    return [t.checkout(0, amount_total=1), t.intent(0, amount=1, amount_received=1)]


@history("failed", "none", 1, mismatch=True)
def another_currency(t):
    return [t.checkout(0, currency="jpy"), t.intent(0, currency="jpy")]


@history("failed", "none", 0, mismatch=True)
def another_item(t):
    return [t.checkout(0, metadata={**t.metadata, "itemId": "quiz:stress-profile"})]


@history("partially_refunded", "owned", 1, 0.5)
def half_back(t):
    return [*t.paid(), t.refund(1, t.price // 2), t.charge(1, "refunded", t.price // 2)]


@history("refunded", "revoked", 1, 1)
def all_back_in_two(t):
    half = t.price // 2
    return [*half_back(t), t.refund(2, t.price - half, tag="b"), t.charge(2, "refunded", t.price)]


@history("refunded", "revoked", 1, 1)
def all_back_and_only_the_charge_says_so(t):
    return [*t.paid(), t.charge(2, "refunded", t.price)]


@history("refunded", "revoked", 1, 1)
def back_soon(t):
    return [*t.paid(), t.refund(1, t.price, "pending")]


@history("paid", "owned", 1)
def back_but_it_failed(t):
    return [*t.paid(), t.refund(1, t.price, "pending"), t.refund(2, t.price, kind="updated"), t.charge(1, "refunded", t.price),
            t.refund(50, t.price, "failed", "failed")]


@history("disputed", "revoked", 1)
def a_dispute(t):
    return [*t.paid(), t.dispute(1), t.dispute(2, "funds_withdrawn"), t.dispute(3, "updated", "under_review")]


@history("paid", "owned", 1)
def a_dispute_won(t):
    return [*a_dispute(t), t.dispute(99, "closed", "won"), t.dispute(99, "funds_reinstated", "won")]


@history("lost", "revoked", 1)
def a_dispute_lost(t):
    return [*a_dispute(t), t.dispute(99, "closed", "lost")]


@history("paid", "owned", 1)
def an_inquiry(t):
    return [*t.paid(), t.dispute(1, status="warning_needs_response"), t.dispute(99, "closed", "warning_closed")]


@history("refunded", "revoked", 1, 1)
def won_and_given_back_later(t):
    return [*a_dispute_won(t), t.refund(120, t.price), t.charge(120, "refunded", t.price)]


@history("paid", "owned", 1)
def the_bank_asks_the_buyer(t):
    return [t.intent(0, "requires_action", "requires_action"), t.intent(0.1, "payment_failed", "requires_payment_method",
            last_payment_error={"code": "payment_intent_authentication_failure"}), t.intent(1), t.charge(1), t.checkout(1)]


@history("paid", "owned", 1)
def declined_charges_of_the_same_payment(t):
    failed = [t.charge(hour, "failed") for hour in (0, 0.1)]
    for n, e in enumerate(failed):
        e["data"]["object"].update(id=f"{t.pi}_no{n}", status="failed", failure_code="card_declined")
    return [*failed, t.intent(0.1, "payment_failed", "requires_payment_method"), t.intent(1), t.charge(1), t.checkout(1)]


@history("refunded", "revoked", 1, 1)
def two_halves_of_which_one_fails_first(t):
    half = t.price // 2
    return [*half_back(t), t.refund(2, half, "pending", tag="b"), t.refund(50, half, "failed", "failed", tag="b"),
            t.refund(60, t.price - half, tag="c")]


@history("paid", "owned", 1)
def back_but_it_failed_and_the_charge_takes_it_back(t):
    return [*back_but_it_failed(t), t.charge(50, "updated", 0)]


@history("paid", "owned", 1)
def a_refund_that_waits_and_is_called_off(t):
    return [*t.paid(), t.refund(1, t.price, "requires_action"), t.refund(9, t.price, "canceled", "updated")]


@history("refunded", "revoked", 1, 1)
def the_charge_holds_its_refunds(t):
    e = t.charge(2, "refunded", t.price)
    e["data"]["object"]["refunds"] = {"object": "list", "data": [t.refund(2, t.price)["data"]["object"]], "has_more": False}
    return [*t.paid(), {**e, "api_version": "2022-08-01"}]


@history("paid", "owned", 1)
def a_dispute_lost_and_then_won(t):
    return [*a_dispute_lost(t), t.dispute(200, "updated", "won"), t.dispute(200, "funds_reinstated", "won")]


def second_round(t, *news):
    out = [t.dispute(hour, kind, status) for hour, kind, status in news]
    for e in out:
        e["data"]["object"]["id"] += "_second"
    return out


@history("disputed", "revoked", 1)
def won_and_disputed_again(t):
    return [*a_dispute_won(t), *second_round(t, (120, "created", "needs_response"))]


@history("lost", "revoked", 1)
def won_and_lost_in_the_second_round(t):
    return [*a_dispute_won(t), *second_round(t, (120, "created", "needs_response"), (190, "closed", "lost"))]


@history("lost", "revoked", 1)
def an_inquiry_that_becomes_a_dispute_and_is_lost(t):
    return [*t.paid(), t.dispute(1, status="warning_needs_response"), t.dispute(9, "updated", "needs_response"),
            t.dispute(99, "closed", "lost")]


@history("refunded", "revoked", 1, 1)
def given_back_before_the_dispute_is_judged(t):
    return [*a_dispute(t), t.refund(5, t.price), t.charge(5, "refunded", t.price), t.dispute(99, "closed", "lost")]


@history("lost", "revoked", 1, 0.5)
def half_given_back_and_the_rest_lost(t):
    return [*half_back(t), t.dispute(5), t.dispute(99, "closed", "lost")]


@history("lost", "revoked", 1)
def a_bank_debit_called_back_weeks_later(t):
    return [*a_bank_debit_that_came(t), t.dispute(700, status="lost"), t.dispute(700, "closed", "lost"),
            t.dispute(700, "funds_withdrawn", "lost")]


@history("paid", "owned", 1)
def paid_after_the_session_had_ended(t):
    return [*ran_out(t), t.intent(25), t.charge(25)]


@history("paid", "owned", 1)
def the_buyer_saw_another_currency(t):
    more = {"presentment_details": {"presentment_amount": 4300, "presentment_currency": "eur"}}
    return [t.checkout(0, **more), t.intent(0, **more), t.charge(0)]


@history("paid", "owned", 1)
def the_same_under_other_ids(t):
    return [*t.paid(), *t.paid(), *t.paid()]


@history("pending", "none", 0)
def told_by_a_connected_account(t):
    return [{**e, "account": "acct_1Connected"} for e in t.paid()]


@history("pending", "none", 0)
def told_of_the_other_mode(t):
    return [{**e, "livemode": True} for e in t.paid()]


@pytest.fixture(scope="module")
def world():
    sandbox = Sandbox()
    server = Server(sandbox=sandbox)
    server.cli("admin", "create", "admin@example.com")
    server.admin = server.member("admin@example.com")
    yield server
    sandbox.fault("clear")
    server.close()
    sandbox.close()


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_history(world, long, name):
    tell, status, item, paid, back, mismatch = HISTORIES[name]
    dice = random.Random(name)
    for n in range(20 if long else 3):
        world.sandbox.fault("clear")
        t = Told(world, f"{name}{n}")
        world.sandbox.fault("down", count=-1)  # what is told here, Stripe's double does not know
        events = tell(t)
        if n == 1:
            events.reverse()
        elif n > 1:
            events += dice.sample(events, k=len(events) // 2)
            dice.shuffle(events)
        deliver(world, *events)
        told = [e["type"] for e in events]
        p = t.member.get(f"/api/purchases/{t.purchase}").json
        assert p["status"] == status, (n, told, p)
        state = world.dev("userstate", t.member.user_id)
        assert state["items"][ITEM] == item and state["refunded_cents"] == int(t.price * back), (n, told, state)
        if not mismatch:
            assert state["paid_cents"] == t.price * paid
        flags = world.admin.get("/api/admin/flags?limit=100").json["data"]
        assert any(f["ref"] == t.purchase and f["kind"] == "amount_mismatch" for f in flags) is mismatch
        history_ = [h["status"] for h in p["history"]]
        assert history_[-1] == status and len(history_) <= 2 + len(set(told)) * 2
