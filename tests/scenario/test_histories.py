"""Histories of subscriptions as Stripe may tell them, each looked at on several days of its life.

A history is told in the newer shape and translated to the older one; it arrives in its own order, backwards, and shuffled
with duplicates. Every arrival must end in the access and the money that SPEC §2 names, worked out here by hand.
"""
import json
import random
import time

import pytest

from harness.stripe_events import DAY, Subscriber, deliver, event

HOUR = DAY // 24


class Life(Subscriber):
    """Times are days since the beginning."""

    def at(self, day):
        return int(self.now + day * DAY)

    def sub(self, day, status="active", kind="updated", period=(0, 30), **more):
        items = [{"id": f"si_{self.tag}", "object": "subscription_item", "price": {"id": "price_1", "object": "price"},
                  "current_period_start": self.at(period[0]), "current_period_end": self.at(period[1])}]
        more.setdefault("items", {"object": "list", "data": items})
        for key in ("cancel_at", "canceled_at", "ended_at", "trial_start", "trial_end"):
            if more.get(key) is not None:
                more[key] = self.at(more[key])
        return self.subscription(kind, status=status, at=self.at(day), **more)

    def line(self, start, end, amount=3200, proration=False, kind="subscription_item_details"):
        return {"id": f"il_{self.tag}_{start}_{end}_{amount}", "object": "line_item", "amount": amount,
                "period": {"start": self.at(start), "end": self.at(end)},
                "parent": {"type": kind, kind: {"proration": proration, **(
                    {"subscription": self.id} if kind == "subscription_item_details" else {})}}}

    def bill(self, n, day, kind="paid", lines=None, paid=3200, reason="subscription_cycle", **more):
        """Invoice n; lines: [(start, end)] or whole lines."""
        lines = [x if isinstance(x, dict) else self.line(*x) for x in (lines or [(n * 30, n * 30 + 30)])]
        is_paid = kind in ("paid", "payment_succeeded")
        more = {"billing_reason": reason, "amount_due": paid, "amount_paid": paid if is_paid else 0,
                "created": self.at(day), "lines": {"object": "list", "data": lines},
                "status_transitions": {"paid_at": self.at(day) if is_paid else None}, **more}
        if kind == "marked_uncollectible":
            return event("invoice.marked_uncollectible",
                         {**self.invoice("finalized", n=n, **more)["data"]["object"], "status": "uncollectible"},
                         self.at(day))
        return self.invoice(kind, start=self.at(n * 30), at=self.at(day), n=n, **more)

    def paid(self, n, day=None, amount=3200, intents=(None,), **more):
        """A paid invoice with its payments."""
        day = n * 30 if day is None else day
        out = [self.bill(n, day, paid=amount, **more)]
        for i, part in enumerate(intents):
            tail = "" if i == 0 else f"_{i}"
            obj = {"id": f"inpay_{self.tag}_{n}{tail}", "object": "invoice_payment", "invoice": f"in_{self.tag}_{n}",
                   "amount_paid": amount if part is None else part, "currency": "usd", "status": "paid",
                   "payment": {"type": "payment_intent", "payment_intent": self.payment(n) + tail}}
            out.append(event("invoice_payment.paid", obj, self.at(day)))
        return out

    def back(self, n, day, amount=3200, status="succeeded", kind="refund.created", tag="a", tail="", **more):
        e = self.refund(at=self.at(day), n=n, amount=amount, status=status, kind=kind, tag=tag, start=self.at(day))
        e["data"]["object"].update({"payment_intent": self.payment(n) + tail, **more})
        return e

    def charge(self, n, day, refunded=0, kind="charge.succeeded", amount=3200, **more):
        obj = {"id": f"ch_{self.tag}_{n}", "object": "charge", "customer": self.customer, "status": "succeeded",
               "amount": amount, "amount_refunded": refunded, "refunded": refunded == amount, "currency": "usd",
               "payment_intent": self.payment(n), "created": self.at(day), "metadata": {}, **more}
        return event(kind, obj, self.at(day))

    def quarrel(self, n, day, kind="created", status="needs_response"):
        return self.dispute(kind, status, start=self.at(day), at=self.at(day), n=n)

    def begin(self, **more):
        return [self.customer_created(), self.sub(0, kind="created", **more), *self.paid(0, reason="subscription_create")]


def older(e):
    """The same event before 2025-03-31.basil; None if it did not exist."""
    e = json.loads(json.dumps(e))
    o = e["data"]["object"]
    e["api_version"] = "2024-06-20"
    if o["object"] == "invoice_payment":
        return None
    if o["object"] == "subscription":
        items = (o.get("items") or {}).get("data") or []
        o["current_period_start"] = min((i.pop("current_period_start") for i in items), default=None)
        o["current_period_end"] = max((i.pop("current_period_end") for i in items), default=None)
    if o["object"] == "invoice":
        details = (o.pop("parent", None) or {}).get("subscription_details") or {}
        o["subscription"] = details.get("subscription")
        o["subscription_details"] = {"metadata": details.get("metadata")}
        o["paid"] = o["status"] == "paid"
        o["payment_intent"] = o["id"].replace("in_", "pi_", 1) if "id" in o else None
        for line in o["lines"]["data"]:
            parent = line.pop("parent", None) or {}
            inner = parent.get(parent.get("type")) or {}
            line["proration"] = inner.get("proration", False)
            line["type"] = "subscription" if parent.get("type") == "subscription_item_details" else "invoiceitem"
            line["subscription"] = inner.get("subscription")
    return e


def table():
    """Histories by name, and the decorator that puts one in. days: {day: premium}; the money at the last of them."""
    kept = {}

    def history(*days, paid=0, refunded=0, shapes=("newer", "older")):
        def keep(fn):
            for shape in shapes:
                kept[f"{fn.__name__}-{shape}"] = (fn, dict(days), paid, refunded, shape)
            return fn
        return keep
    return kept, history


HISTORIES, history = table()


# ---- trials

TRIAL = {"trial_start": 0, "trial_end": 7}


def trial(s):
    return [s.customer_created(), s.sub(0, "trialing", "created", period=(0, 7), **TRIAL),
            s.bill(0, 0, lines=[(0, 7, 0)], paid=0, reason="subscription_create")]


@history((3, True), (8, True), (36, True), (39.9, True), (40.1, False), paid=3200)
def a_trial_is_paid(s):
    return [*trial(s), s.sub(4, "trialing", "trial_will_end", period=(0, 7), **TRIAL),
            s.sub(7, period=(7, 37), **TRIAL), *s.paid(1, 7, lines=[(7, 37)])]


@history((3, True), (7.5, True), (20.9, True), (21.1, False))
def a_trial_ends_in_a_declined_card(s):
    return [*trial(s), s.sub(7, period=(7, 37), **TRIAL), s.bill(1, 7, "created", lines=[(7, 37)]),
            s.bill(1, 7, "payment_failed", lines=[(7, 37)]), s.sub(7, "past_due", period=(7, 37), **TRIAL)]


@history((6.9, True), (7.1, False))
def a_trial_without_card_pauses(s):
    return [*trial(s), s.sub(7, "paused", "paused", period=(0, 7), **TRIAL)]


@history((6.9, True), (7.1, False), (9.5, False), (10.5, True), paid=3200)
def a_paused_trial_resumes(s):
    return [*trial(s), s.sub(7, "paused", "paused", period=(0, 7), **TRIAL), s.sub(10, "active", "resumed", period=(10, 40), **TRIAL),
            *s.paid(1, 10, lines=[(10, 40)])]


@history((6.9, True), (7.1, False))
def a_trial_cancelled_at_its_end(s):
    return [*trial(s), s.sub(2, "trialing", period=(0, 7), cancel_at_period_end=True, cancel_at=7, **TRIAL)]


@history((13, True), (20.9, True), (24.1, False))
def a_trial_made_longer(s):
    return [*trial(s), s.sub(5, "trialing", period=(0, 21), trial_start=0, trial_end=21)]


# ---- renewals, failures

@history((29, True), (32.9, True), (33.1, False), paid=3200)
def one_month_and_silence(s):
    return s.begin()


@history((32.9, True), (33.1, False))
def no_invoice_is_known(s):
    return [s.customer_created(), s.sub(0, kind="created")]


@history((1, False), (5, False), (6.1, True), paid=3200)
def an_invoice_to_be_paid_by_transfer(s):
    return [s.customer_created(), s.sub(0, kind="created", collection_method="send_invoice"),
            s.bill(0, 0, "created"), s.bill(0, 0.1, "finalized"), *s.paid(0, 6, lines=[(0, 30)])]


@history((1, False), (2, False))
def a_first_payment_never_made(s):
    return [s.customer_created(), s.sub(0, "incomplete", "created"), s.bill(0, 0, "finalized"), s.bill(0, 0.01, "payment_failed"),
            s.sub(0.96, "incomplete_expired"), s.bill(0, 0.96, "voided")]


@history((31, True), (43.9, True), (44.1, False), (51, True), (62.9, True), (63.1, False), paid=6400)
def past_due_then_unpaid_then_paid_outside(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30, "created"), s.bill(1, 30.04, "payment_failed"),
            s.sub(30.04, "past_due", period=(30, 60)), s.bill(1, 33, "payment_failed", attempt_count=2),
            s.sub(44, "unpaid", period=(30, 60)),
            s.bill(1, 50, "paid", paid_out_of_band=True), s.sub(50, period=(30, 60))]


@history((31, True), (43, True), (44.2, False), paid=3200)
def an_invoice_given_up(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.1, "payment_failed"), s.sub(30.1, "past_due", period=(30, 60)),
            s.bill(1, 40, "marked_uncollectible")]


@history((41, True), (62.9, True), (63.1, False), paid=6400)
def an_invoice_given_up_and_paid_after_all(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.1, "payment_failed"), s.sub(30.1, "past_due", period=(30, 60)),
            s.bill(1, 35, "marked_uncollectible"), *s.paid(1, 38), s.sub(38, period=(30, 60))]


@history((31, True), (37.9, True), (40.1, False), paid=3200)
def past_due_and_set_to_end(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.1, "payment_failed"),
            s.sub(30.1, "past_due", period=(30, 60), cancel_at=38)]


@history((32.9, True), (33.1, False), paid=3200)
def the_renewal_invoice_stays_open(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30, "created"), s.bill(1, 30.04, "finalized")]


@history((31, True), (33.5, True), paid=3200)
def an_announced_invoice_is_none(s):
    e = s.bill(1, 27, "created")
    e["type"] = "invoice.upcoming"
    e["data"]["object"]["id"] = f"upcoming_in_{s.tag}"
    return [*s.begin(), e, s.sub(30, period=(30, 60)), s.bill(1, 30.1, "payment_failed"),
            s.sub(30.1, "past_due", period=(30, 60))]


@history((28, True), (32.9, True), (33.1, False))
def an_announced_invoice_makes_none_known(s):
    e = s.bill(1, 27, "created")
    e["type"] = "invoice.upcoming"
    e["data"]["object"]["id"] = f"upcoming_in_{s.tag}"
    return [s.customer_created(), s.sub(0, kind="created"), e]


# ---- ends

@history((29.9, True), (30.1, False), paid=3200)
def cancelled_at_the_periods_end(s):
    return [*s.begin(), s.sub(3, cancel_at_period_end=True, cancel_at=30, canceled_at=3)]


@history((14.9, True), (15.1, False), paid=3200)
def cancelled_by_the_portal_for_a_day(s):
    return [*s.begin(), s.sub(3, cancel_at=15, canceled_at=3)]


@history((10.1, False), paid=3200)
def cancelled_at_once(s):
    return [*s.begin(), s.sub(10, "canceled", "deleted", canceled_at=10, ended_at=10), s.sub(10), s.sub(9)]


@history((31, True), (32.9, True), (33.1, False), paid=3200)
def kept_after_all(s):
    return [*s.begin(), s.sub(3, cancel_at_period_end=True, cancel_at=30, canceled_at=3), s.sub(4)]


@history((5, True), (10.1, False), paid=3200)
def the_customer_is_deleted(s):
    return [*s.begin(), event("customer.deleted", {"id": s.customer, "object": "customer", "deleted": True}, s.at(10))]


@history((29.9, True), (30.1, False), (41, False), paid=3200)
def collection_paused(s):
    return [*s.begin(), s.sub(10, pause_collection={"behavior": "void", "resumes_at": None}),
            s.sub(30, period=(30, 60), pause_collection={"behavior": "void", "resumes_at": None}), s.bill(1, 30, "created"),
            s.bill(1, 30.04, "voided")]


@history((31, False), (61, True), paid=6400)
def collection_goes_on(s):
    return [*s.begin(), s.sub(10, pause_collection={"behavior": "keep_as_draft"}),
            s.sub(30, period=(30, 60), pause_collection={"behavior": "keep_as_draft"}), s.bill(1, 30, "created"),
            s.sub(50, period=(30, 60)), s.sub(60, period=(60, 90)), *s.paid(2, 60)]


# ---- changes of the plan

def upgrade(s, day=10):
    return [s.sub(day, period=(0, 30)), *s.paid(7, day, 1500, reason="subscription_update", lines=[
        s.line(day, 30, -2133, True), s.line(day, 30, 3633, True)])]


@history((11, True), (32.9, True), (33.1, False), paid=4700)
def upgraded_with_proration(s):
    return [*s.begin(), *upgrade(s)]


@history((13, True), (32.9, True), (33.1, False), paid=4700, refunded=1500)
def the_upgrade_given_back(s):
    return [*s.begin(), *upgrade(s), s.back(7, 12, 1500)]


@history((11, True), (29, True), (33.1, False), paid=3200)
def downgraded_with_credit(s):
    return [*s.begin(), s.sub(10, period=(0, 30)), s.bill(7, 10, paid=0, reason="subscription_update", lines=[
        s.line(10, 30, -2133, True), s.line(10, 30, 1000, True)])]


@history((31, True), (62.9, True), (63.1, False), paid=5200)
def prorations_on_the_renewal(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1, 30, 2000, lines=[
        s.line(10, 30, -1200, True), s.line(30, 60, 3200), s.line(12, 30, 0, True)])]


@history((12, True), (370, True), (377.9, True), (378.1, False), paid=31200)
def month_to_year(s):
    return [*s.begin(), s.sub(10, period=(10, 375)), *s.paid(7, 10, 28000, reason="subscription_update", lines=[
        s.line(10, 30, -2000, True), s.line(10, 375, 30000)])]


@history((12, True), (42.9, True), (43.1, False), paid=6400)
def the_anchor_is_set_to_now(s):
    return [*s.begin(), s.sub(10, period=(10, 40)), *s.paid(7, 10, lines=[(10, 40)], reason="subscription_update")]


@history((32.9, True), (33.1, False), paid=9200)
def a_long_extra_line_buys_no_time(s):
    """An invoice item of the customer's that rides on the subscription's invoice."""
    return [s.customer_created(), s.sub(0, kind="created"), *s.paid(0, amount=9200, lines=[
        s.line(0, 30), s.line(0, 365, 6000, kind="invoice_item_details")]),
            s.sub(30, period=(30, 60)), s.bill(1, 30, "created")]


@history((31, True), (32.9, True), (33.1, False), paid=6400)
def a_bill_of_another_kind_buys_no_time(s):
    e = s.paid(5, 5, lines=[s.line(0, 365, 3200, kind="invoice_item_details")], reason="manual")
    e[0]["data"]["object"].update(parent=None)
    return [*s.begin(), *e]


@history((5, True), (32.9, True), (33.1, False))
def wholly_discounted(s):
    return [s.customer_created(), s.sub(0, kind="created"), s.bill(0, 0, paid=0, total=0)]


# ---- refunds

@history((5.1, False), (20, False), paid=3200, refunded=3200)
def refunded(s):
    return [*s.begin(), s.charge(0, 0), s.back(0, 5), s.charge(0, 5, 3200, "charge.refunded")]


@history((5.1, True), (29, True), paid=3200, refunded=1600)
def refunded_in_part(s):
    return [*s.begin(), s.charge(0, 0), s.back(0, 5, 1600), s.charge(0, 5, 1600, "charge.refunded")]


@history((5.1, True), (6.1, False), paid=3200, refunded=3200)
def refunded_in_two_parts(s):
    return [*s.begin(), s.charge(0, 0), s.back(0, 5, 1600), s.charge(0, 5, 1600, "charge.refunded"),
            s.back(0, 6, 1600, tag="b"), s.charge(0, 6, 3200, "charge.refunded")]


@history((5.1, False), paid=3200, refunded=3200)
def refunded_and_only_the_charge_says_so(s):
    return [*s.begin(), s.charge(0, 0), s.charge(0, 5, 3200, "charge.refunded")]


@history((5.1, False), (9.1, True), paid=3200)
def a_refund_that_fails(s):
    return [*s.begin(), s.back(0, 5, status="pending"), s.back(0, 6, kind="refund.updated"),
            s.charge(0, 5, 3200, "charge.refunded"), s.back(0, 9, status="failed", kind="refund.failed")]


@history((5.1, False), (10.1, False), paid=3200, refunded=3200)
def a_refund_that_fails_and_is_repeated(s):
    return [*s.begin(), s.back(0, 5, status="pending"), s.back(0, 9, status="failed", kind="charge.refund.updated"),
            s.back(0, 10, tag="b")]


@history((5.1, True), (6.1, True), paid=3200)
def a_refund_that_waits_for_the_buyer(s):
    return [*s.begin(), s.back(0, 5, status="requires_action"), s.charge(0, 5, 3200, "charge.refunded"),
            s.back(0, 6, status="canceled", kind="refund.updated")]


@history((5.1, False), paid=3200, refunded=3200)
def a_refund_pending(s):
    return [*s.begin(), s.back(0, 5, status="pending")]


@history((5.1, False), (31, True), paid=6400, refunded=3200)
def a_refunded_month_and_a_paid_one(s):
    return [*s.begin(), s.back(0, 5), s.sub(30, period=(30, 60)), *s.paid(1)]


@history((36, True), (62.9, True), paid=6400, refunded=3200)
def the_month_before_is_given_back(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1), s.back(0, 35)]


@history((5.1, True), (7.1, False), paid=3200, refunded=3200, shapes=("newer",))
def an_invoice_paid_in_two_payments(s):
    return [s.customer_created(), s.sub(0, kind="created"), *s.paid(0, intents=(1600, 1600)),
            s.back(0, 5, 1600), s.back(0, 7, 1600, tag="b", tail="_1")]


@history((5.1, False), paid=3200, refunded=3200)
def a_refund_that_names_the_charge_alone(s):
    return [*s.begin(), s.charge(0, 0), s.back(0, 5, payment_intent=None)]


# ---- disputes

@history((5.1, False), (9, False), (20.1, True), paid=3200)
def a_dispute_won(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 6, "funds_withdrawn"), s.quarrel(0, 8, "updated", "under_review"),
            s.quarrel(0, 20, "closed", "won"), s.quarrel(0, 20, "funds_reinstated", "won")]


@history((5.1, False), (20.1, False), (31, False), paid=3200)
def a_dispute_lost(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 20, "closed", "lost")]


@history((5.1, True), (8.1, True), (20.1, True), paid=3200)
def an_inquiry(s):
    return [*s.begin(), s.quarrel(0, 5, status="warning_needs_response"), s.quarrel(0, 8, "updated", "warning_under_review"),
            s.quarrel(0, 20, "closed", "warning_closed")]


@history((5.1, True), (8.1, False), (20.1, False), paid=3200)
def an_inquiry_that_becomes_a_dispute(s):
    return [*s.begin(), s.quarrel(0, 5, status="warning_needs_response"), s.quarrel(0, 8, "updated", "needs_response"),
            s.quarrel(0, 20, "closed", "lost")]


@history((5.1, False), (6.1, True), paid=3200)
def a_dispute_prevented(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 6, "closed", "prevented")]


@history((61, True), (70, True), paid=9600)
def a_dispute_about_an_old_month(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1), s.sub(60, period=(60, 90)), *s.paid(2),
            s.quarrel(0, 61), s.quarrel(0, 69, "closed", "lost")]


@history((5, True), paid=3200)
def a_fraud_warning_is_no_dispute(s):
    return [*s.begin(), event("radar.early_fraud_warning.created", {
        "id": f"issfr_{s.tag}", "object": "radar.early_fraud_warning", "charge": f"ch_{s.tag}_0", "actionable": True,
        "payment_intent": s.payment(0)}, s.at(2)), event("credit_note.created", {
            "id": f"cn_{s.tag}", "object": "credit_note", "amount": 3200, "invoice": f"in_{s.tag}_0",
            "customer": s.customer, "type": "post_payment"}, s.at(3))]


# ---- forms

@history((5, True), (33.1, False), paid=3200)
def everything_expanded(s):
    customer = {"id": s.customer, "object": "customer", "metadata": {"userId": s.user}}
    sub = s.sub(0, kind="created", customer=customer,
                latest_invoice=s.bill(0, 0, "finalized")["data"]["object"], default_payment_method={"id": "pm_1"})
    e, link = s.paid(0)
    e["data"]["object"]["customer"] = customer
    details = e["data"]["object"]["parent"]["subscription_details"]
    details["subscription"] = sub["data"]["object"]
    link["data"]["object"]["invoice"] = {"id": f"in_{s.tag}_0", "object": "invoice"}
    link["data"]["object"]["payment"]["payment_intent"] = {"id": s.payment(0), "object": "payment_intent"}
    return [sub, e, link]


@history((5, True), (32.9, True), (33.1, False), paid=3200)
def nulls_everywhere(s):
    sub = s.sub(0, kind="created")
    nothing = ("cancel_at canceled_at trial_end trial_start pause_collection latest_invoice default_payment_method discount "
               "discounts schedule pending_update cancellation_details billing_cycle_anchor").split()
    sub["data"]["object"].update({k: None for k in nothing})
    sub["data"]["previous_attributes"] = None
    sub["request"] = None
    return [s.customer_created(), sub, *s.paid(0)]


@history((1, False), (3, True), paid=3200)
def an_unknown_status(s):
    return [s.customer_created(), s.sub(0, "frozen_by_law", "created"), *s.paid(0), s.sub(2)]


@history((5, True), (32.9, True), (33.1, False), paid=3200)
def numbers_as_reals(s):
    out = s.begin()
    for e in out:
        e["created"] = float(e["created"])
        o = e["data"]["object"]
        for key in ("amount_paid", "created", "billing_cycle_anchor"):
            if isinstance(o.get(key), int):
                o[key] = float(o[key])
        for line in (o.get("lines") or {}).get("data", []) if isinstance(o.get("lines"), dict) else []:
            line["period"] = {k: float(v) for k, v in line["period"].items()}
    return out


@history((5, True), paid=3200)
def only_the_customer_names_the_member(s):
    out = s.begin()
    for e in out[1:]:
        o = e["data"]["object"]
        if "metadata" in o:
            o["metadata"] = {}
        if o.get("parent"):
            o["parent"]["subscription_details"]["metadata"] = None
    return out


@history((5, True), paid=3200)
def only_the_checkout_names_the_member(s):
    out = only_the_customer_names_the_member(s)
    out[0]["data"]["object"]["metadata"] = {}
    session = {"id": f"cs_test_{s.tag}", "object": "checkout.session", "mode": "subscription", "status": "complete",
               "payment_status": "paid", "client_reference_id": s.user, "metadata": None, "currency": "usd",
               "customer": s.customer, "subscription": s.id, "invoice": f"in_{s.tag}_0", "payment_intent": None,
               "amount_total": 3200, "customer_details": None}
    return [*out, event("checkout.session.completed", session, s.at(0))]


@history((5, False))
def nobody_is_named(s):
    out = only_the_customer_names_the_member(s)
    out[0]["data"]["object"].update(metadata={}, email="m1@example.org")
    return out


@history((5, False))
def of_the_other_mode(s):
    return [{**e, "livemode": True} for e in s.begin()]


@history((5, False))
def of_a_connected_account(s):
    return [{**e, "account": "acct_1Connected"} for e in s.begin()]


@history((5, True), (14, True), paid=6400)
def two_subscriptions(s):
    t = Life(s.user, s.now, tag=s.tag + "x")
    t.customer = s.customer
    return [*s.begin(), t.sub(1, kind="created", period=(1, 31)), *t.paid(0, 1, lines=[(1, 31)]),
            s.sub(10, "canceled", "deleted", canceled_at=10, ended_at=10)]


@history((5, True), (40, True), paid=6400)
def another_price_and_a_schedule(s):
    schedule = {"id": f"sub_sched_{s.tag}", "object": "subscription_schedule", "customer": s.customer, "status": "active",
                "subscription": s.id, "phases": []}
    moved = s.sub(30, period=(30, 60))
    moved["data"]["object"]["items"]["data"][0]["price"] = {"id": "price_2", "object": "price"}
    return [*s.begin(), *[event(f"subscription_schedule.{k}", {**schedule, "status": st}, s.at(d)) for k, st, d in (
        ("created", "active", 2), ("updated", "active", 2), ("released", "released", 30), ("canceled", "canceled", 30))],
            moved, *s.paid(1)]


# ---- the arrivals

def arrivals(events, rng, count):
    yield list(events)
    yield list(reversed(events))
    for _ in range(count):
        out = list(events) + rng.sample(events, k=len(events) // 3)
        rng.shuffle(out)
        yield out


@pytest.fixture(scope="module")
def world():
    from harness import Server
    server = Server()
    yield server
    shadow = json.loads(server.cli("events", "replay", "--shadow", "--json"))
    assert shadow["differences"] == [] and shadow["failed"] == 0, shadow
    server.close()


def hold(world, long, name, told_so):
    """Tells one history on each of its days, in several orders."""
    tell, days, paid, refunded_, shape = told_so
    rng = random.Random(name)
    for day, premium in days.items():
        last = day == max(days)
        for n in range(14) if long else (0, 2) if last else (1 + rng.randrange(2),):
            member = world.member()
            s = Life(member.user_id, time.time() - day * DAY)
            events = [e for e in tell(s) if e["created"] <= s.at(day)]
            if shape == "older":
                events = [x for x in map(older, events) if x]
            order = list(arrivals(events, rng, n + 1))[n if n < 2 else -1]
            deliver(world, *order)
            told = [(e["type"], round((e["created"] - s.now) / DAY, 2)) for e in order]
            explain = member.get("/api/user/entitlements?explain=1").json
            assert explain["premium"] is premium, (day, n, told, explain)
            assert (explain["accessUntil"] is not None) is premium
            if last:
                got = world.dev("userstate", member.user_id)
                assert got["premium"] is premium
                assert (got["paid_cents"], got["refunded_cents"]) == (paid, refunded_), (n, told, got)


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_history(world, long, name):
    hold(world, long, name, HISTORIES[name])
