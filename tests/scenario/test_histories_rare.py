"""Histories of subscriptions that are rare and still happen: told and held like those of test_histories.py."""
import copy
import time

import pytest

from harness.stripe_events import DAY, deliver, event, fresh_id
from test_histories import Life, hold, table, world  # noqa: F401

HISTORIES, history = table()


def named(e, kind, **more):
    """The same event under another type."""
    return {**e, "type": kind, "data": {**e["data"], "object": {**e["data"]["object"], **more}}}


def intent(s, n, day, kind, status, **more):
    obj = {"id": s.payment(n), "object": "payment_intent", "customer": s.customer, "status": status, "amount": 3200,
           "currency": "usd", "amount_received": 3200 if status == "succeeded" else 0, "metadata": {}, **more}
    return event(f"payment_intent.{kind}", obj, s.at(day))


def declined(s, n, day):
    """A charge that failed: one of its own, of the same payment."""
    e = s.charge(n, day, kind="charge.failed", status="failed", paid=False)
    e["data"]["object"]["id"] += f"_no{day}"
    return e


# ---- first payments

@history((0.005, False), (1, True), (32.9, True), (33.1, False), paid=3200)
def the_bank_asks_the_buyer_first(s):
    return [s.customer_created(), s.sub(0, "incomplete", "created"), s.bill(0, 0, "finalized", reason="subscription_create"),
            intent(s, 0, 0, "requires_action", "requires_action"),
            named(s.bill(0, 0.001, "finalized"), "invoice.payment_action_required"),
            intent(s, 0, 0.01, "succeeded", "succeeded"), s.sub(0.01), *s.paid(0, 0.01, reason="subscription_create")]


@history((0.5, False), (3, False))
def the_buyer_fails_at_the_bank(s):
    return [s.customer_created(), s.sub(0, "incomplete", "created"), s.bill(0, 0, "finalized"),
            intent(s, 0, 0, "requires_action", "requires_action"),
            intent(s, 0, 0.02, "payment_failed", "requires_payment_method",
                   last_payment_error={"code": "payment_intent_authentication_failure"}),
            s.bill(0, 0.02, "payment_failed"), declined(s, 0, 0.02), s.sub(0.96, "incomplete_expired"), s.bill(0, 0.96, "voided"),
            intent(s, 0, 0.96, "canceled", "canceled")]


@history((0.5, False), (3, False))
def given_up_before_it_was_paid(s):
    return [s.customer_created(), s.sub(0, "incomplete", "created"), s.bill(0, 0, "finalized"), s.bill(0, 0.01, "payment_failed"),
            s.sub(0.2, "canceled", "deleted", canceled_at=0.2, ended_at=0.2), s.bill(0, 0.2, "voided")]


@history((5, True), (33.1, False), paid=3200)
def declined_cards_before_the_right_one(s):
    return [s.customer_created(), s.sub(0, "incomplete", "created"), declined(s, 0, 0.001), declined(s, 0, 0.002),
            s.bill(0, 0.002, "payment_failed", attempt_count=2), s.sub(0.003), s.charge(0, 0.003), *s.paid(0, 0.003)]


@history((5.1, False), paid=3200, refunded=3200, shapes=("newer",))
def each_attempt_a_payment_of_its_own(s):
    """The invoice knows a payment that failed and one that paid; the refund is of the second."""
    unused = {"id": f"inpay_{s.tag}_0_no", "object": "invoice_payment", "invoice": f"in_{s.tag}_0", "amount_paid": None,
              "currency": "usd", "status": "canceled",
              "payment": {"type": "payment_intent", "payment_intent": s.payment(0) + "_no"}}
    failed = intent(s, 0, 0, "payment_failed", "requires_payment_method", last_payment_error={"code": "card_declined"})
    failed["data"]["object"]["id"] += "_no"
    return [*s.begin(), event("invoice_payment.canceled", unused, s.at(0)), failed, intent(s, 0, 0.01, "succeeded", "succeeded"), s.charge(0, 0.01), s.back(0, 5),
            s.charge(0, 5, 3200, "charge.refunded")]


@history((5, True), (32.9, True), (33.1, False))
def paid_from_the_balance(s):
    return [s.customer_created(), s.sub(0, kind="created"),
            s.bill(0, 0, paid=0, total=3200, starting_balance=-3200, ending_balance=0)]


@history((9, True), (12.9, True), (13.1, False), paid=1000)
def a_part_of_a_month_and_silence(s):
    return [s.customer_created(), s.sub(0, kind="created", period=(0, 10)),
            *s.paid(0, amount=1000, lines=[s.line(0, 10, 1000, True)])]


@history((9, True), (30, True), (42.9, True), (43.1, False), paid=4200)
def a_part_of_a_month_up_to_the_anchor(s):
    return [*a_part_of_a_month_and_silence(s), s.sub(10, period=(10, 40)), *s.paid(1, 10, lines=[(10, 40)])]


@history((5, True), (33.1, False), paid=4200)
def dated_back(s):
    return [s.customer_created(), s.sub(0, kind="created"), *s.paid(0, amount=4200, lines=[s.line(-10, 0, 1000, True), (0, 30)])]


@history((5, True), (32.9, True), (33.1, False))
def the_only_draft_is_deleted(s):
    return [s.customer_created(), s.sub(0, kind="created"), s.bill(0, 0, "created"),
            named(s.bill(0, 0.1, "created"), "invoice.deleted")]


# ---- renewals

@history((31, True), (40, True), (62.9, True), (63.1, False), paid=6400)
def a_renewal_that_the_bank_wants_confirmed(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30, "finalized"),
            named(s.bill(1, 30.01, "finalized"), "invoice.payment_action_required"), s.bill(1, 30.01, "payment_failed"),
            s.sub(30.01, "past_due", period=(30, 60)), s.sub(35, period=(30, 60)), *s.paid(1, 35)]


@history((31, True), (36.9, True), (37.1, False), paid=3200)
def dunning_ends_in_cancellation(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.04, "payment_failed"), declined(s, 1, 30.04),
            s.sub(30.04, "past_due", period=(30, 60)), s.bill(1, 33, "payment_failed", attempt_count=2), declined(s, 1, 33),
            s.sub(37, "canceled", "deleted", period=(30, 60), canceled_at=37, ended_at=37,
                  cancellation_details={"reason": "payment_failed"})]


@history((31, True), (32.9, True), (35, False), paid=3200)
def the_renewal_is_voided(s):
    """Stripe calls the subscription active again; the month was never paid."""
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.04, "payment_failed"), s.sub(30.04, "past_due", period=(30, 60)),
            s.bill(1, 31, "voided"), s.sub(31, period=(30, 60))]


@history((31, True), (40, False), (62.9, True), (63.1, False), paid=6400)
def voided_and_billed_anew(s):
    return [*the_renewal_is_voided(s), *s.paid(8, 45, lines=[(30, 60)], reason="manual")]


@history((31, True), (62.9, True), (63.1, False), paid=3200)
def a_month_for_nothing(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30, paid=0, total=0)]


@history((31, True), (61, True), (92.9, True), (93.1, False), paid=6400)
def the_last_months_debt_is_paid_with_the_new(s):
    """One invoice was given up, the next one came through."""
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.04, "payment_failed"), s.sub(30.04, "past_due", period=(30, 60)),
            s.bill(1, 59, "marked_uncollectible"), s.sub(60, "past_due", period=(60, 90)), *s.paid(2, 60), s.sub(60.1, period=(60, 90))]


@history((29.9, True), (30.1, False), (50, False), paid=3200)
def collection_paused_and_given_up(s):
    hold_ = {"behavior": "mark_uncollectible", "resumes_at": s.at(90)}
    return [*s.begin(), s.sub(10, pause_collection=hold_), s.sub(30, period=(30, 60), pause_collection=hold_),
            s.bill(1, 30, "created"), s.bill(1, 30.04, "marked_uncollectible")]


@history((31, True), (62.9, True), (63.1, False), paid=6400)
def usage_of_the_last_month_on_the_bill(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1, 30, lines=[s.line(0, 30, 0), (30, 60)])]


@history((31, True), (62.9, True), paid=6400)
def words_of_a_bill_that_we_do_not_know(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), named(s.bill(1, 30.1, "finalized"), "invoice.will_be_due"),
            named(s.bill(1, 30.2, "finalized"), "invoice.overdue"), *s.paid(1, 31),
            named(s.bill(1, 31.1, "paid"), "invoice.overpaid"), named(s.bill(1, 31.2, "paid"), "invoice.updated")]


@history((31, True), (62.9, True), (63.1, False), paid=6400)
def the_failure_of_the_second_that_paid(s):
    return [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1, 30.04), s.bill(1, 30.04, "payment_failed")]


# ---- ends

@history((5, True), (10.1, False), (20, False), paid=3200)
def the_customer_is_deleted_and_news_come_late(s):
    return [*s.begin(), s.sub(8, default_payment_method="pm_2"),
            event("customer.deleted", {"id": s.customer, "object": "customer", "deleted": True}, s.at(10)),
            s.sub(10, "canceled", "deleted", canceled_at=10, ended_at=10), s.bill(1, 12, "voided"),
            event("customer.updated", {"id": s.customer, "object": "customer", "metadata": {"userId": s.user}}, s.at(9))]


@history((11, False), (13, True), (44.9, True), (45.1, False), paid=6400)
def the_customer_is_deleted_and_comes_back(s):
    t = Life(s.user, s.now, tag=s.tag + "x")
    return [*s.begin(), event("customer.deleted", {"id": s.customer, "object": "customer", "deleted": True}, s.at(10)),
            event("customer.created", {"id": t.customer, "object": "customer", "metadata": {"userId": s.user}}, s.at(12)),
            t.sub(12, kind="created", period=(12, 42)), *t.paid(0, 12, lines=[(12, 42)])]


@history((6.1, False), (8, True), (39.9, True), (40.1, False), paid=6400, refunded=3200)
def given_back_and_bought_again(s):
    t = Life(s.user, s.now, tag=s.tag + "x")
    t.customer = s.customer
    return [*s.begin(), s.back(0, 6), s.sub(6, "canceled", "deleted", canceled_at=6, ended_at=6),
            t.sub(7, kind="created", period=(7, 37)), *t.paid(0, 7, lines=[(7, 37)])]


@history((31, True), (40, True), (50, True), paid=6400)
def one_past_due_and_one_paid(s):
    t = Life(s.user, s.now, tag=s.tag + "x")
    t.customer = s.customer
    return [*s.begin(), s.sub(30, period=(30, 60)), s.bill(1, 30.04, "payment_failed"), s.sub(30.04, "past_due", period=(30, 60)),
            t.sub(32, kind="created", period=(32, 62)), *t.paid(0, 32, lines=[(32, 62)]),
            s.sub(45, "canceled", "deleted", canceled_at=45, ended_at=45)]


@history((6.9, True), (9, True), (29, True), (39.9, True), (40.1, False), paid=3200)
def a_trial_kept_after_all(s):
    dates = {"trial_start": 0, "trial_end": 7}
    return [s.customer_created(), s.sub(0, "trialing", "created", period=(0, 7), **dates),
            s.bill(0, 0, lines=[(0, 7, 0)], paid=0, reason="subscription_create"),
            s.sub(2, "trialing", period=(0, 7), cancel_at_period_end=True, cancel_at=7, canceled_at=2, **dates),
            s.sub(3, "trialing", period=(0, 7), **dates), s.sub(7, period=(7, 37), **dates), s.bill(1, 7, "created", lines=[(7, 37)]),
            *s.paid(1, 7.05, lines=[(7, 37)])]


# ---- refunds

@history((5.1, True), (6.1, False), (9.1, True), (10.1, False), paid=3200, refunded=3200)
def two_halves_of_which_one_fails_first(s):
    return [*s.begin(), s.charge(0, 0), s.back(0, 5, 1600), s.charge(0, 5, 1600, "charge.refunded"),
            s.back(0, 6, 1600, "pending", tag="b"), s.back(0, 9, 1600, "failed", "refund.failed", tag="b"),
            s.back(0, 10, 1600, tag="c")]


@history((5.1, True), (6.1, False), paid=3200, refunded=3200)
def given_back_in_parts_that_only_the_charge_tells(s):
    return [*s.begin(), s.charge(0, 0), s.charge(0, 5, 1600, "charge.refunded"), s.charge(0, 6, 3200, "charge.refunded")]


@history((5.1, False), paid=3200, refunded=3200, shapes=("older",))
def the_charge_holds_its_refunds(s):
    e = s.charge(0, 5, 3200, "charge.refunded")
    e["data"]["object"]["refunds"] = {"object": "list", "data": [s.back(0, 5)["data"]["object"]], "has_more": False}
    return [*s.begin(), s.charge(0, 0), e]


@history((5.1, False), (9.1, True), paid=3200)
def the_charge_takes_back_what_it_said(s):
    """A refund bounced: a later word of the charge counts nothing as given back."""
    return [*s.begin(), s.charge(0, 0), s.back(0, 5), s.charge(0, 5, 3200, "charge.refunded"),
            s.back(0, 9, status="failed", kind="refund.failed"), s.charge(0, 9, 0, "charge.updated")]


@history((13, True), (32.9, True), (33.1, False), paid=4700, refunded=3200)
def the_month_is_given_back_and_its_upgrade_is_not(s):
    return [*s.begin(), s.sub(10), *s.paid(7, 10, 1500, reason="subscription_update", lines=[
        s.line(10, 30, -2133, True), s.line(10, 30, 3633, True)]), s.back(0, 12)]


# ---- disputes

@history((5.1, False), (20.1, False), (26, True), paid=3200)
def lost_and_then_won(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 20, "closed", "lost"), s.quarrel(0, 25, "updated", "won"),
            s.quarrel(0, 25, "funds_reinstated", "won")]


def second_quarrel(s, n, day, kind="created", status="needs_response"):
    e = s.quarrel(n, day, kind, status)
    e["data"]["object"]["id"] += "_second"
    return e


@history((5.1, False), (9, True), (12, False), (21, True), paid=3200)
def won_twice(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 8, "closed", "won"), second_quarrel(s, 0, 11),
            second_quarrel(s, 0, 20, "closed", "won")]


@history((9, True), (12, False), (21, False), paid=3200)
def won_and_lost_in_the_second_round(s):
    return [*s.begin(), s.quarrel(0, 5), s.quarrel(0, 8, "closed", "won"), second_quarrel(s, 0, 11),
            second_quarrel(s, 0, 20, "closed", "lost")]


@history((5.1, True), (8.1, False), (20.1, True), paid=3200)
def an_inquiry_that_becomes_a_dispute_and_is_won(s):
    return [*s.begin(), s.quarrel(0, 5, status="warning_needs_response"), s.quarrel(0, 8, "updated", "needs_response"),
            s.quarrel(0, 8.1, "funds_withdrawn", "under_review"), s.quarrel(0, 20, "closed", "won")]


@history((13, True), (32.9, True), (33.1, False), paid=4700)
def only_the_upgrade_is_disputed(s):
    return [*s.begin(), s.sub(10), *s.paid(7, 10, 1500, reason="subscription_update", lines=[
        s.line(10, 30, -2133, True), s.line(10, 30, 3633, True)]), s.quarrel(7, 12), s.quarrel(7, 20, "closed", "lost")]


@history((5.1, True), (9.1, False), paid=3200, refunded=1600)
def half_given_back_and_the_rest_lost(s):
    return [*s.begin(), s.back(0, 5, 1600), s.quarrel(0, 7), s.quarrel(0, 9, "closed", "lost")]


@history((5.1, False), (7.1, False), paid=3200, refunded=3200)
def given_back_to_end_an_inquiry(s):
    return [*s.begin(), s.quarrel(0, 3, status="warning_needs_response"), s.back(0, 5), s.quarrel(0, 7, "closed", "warning_closed")]


# ---- deliveries

@history((5, True), (32.9, True), (33.1, False), paid=3200)
def the_same_under_other_ids(s):
    events = [*s.begin(), s.charge(0, 0), s.sub(3, cancel_at_period_end=True, cancel_at=30, canceled_at=3), s.sub(4)]
    return events + [{**copy.deepcopy(e), "id": fresh_id()} for e in events]


@history((5, True), (29.9, True), (30.1, False), paid=3200)
def with_what_was_before(s):
    e = s.sub(3, cancel_at_period_end=True, cancel_at=30, canceled_at=3)
    e["data"]["previous_attributes"] = {"status": "past_due", "cancel_at_period_end": False, "cancel_at": None, "canceled_at": None,
                                        "items": {"data": [{"current_period_end": s.at(900)}]}, "metadata": {"userId": "usr_x"}}
    return [*s.begin(), e]


@history((5, True), (32.9, True), (33.1, False), paid=3200)
def two_items_of_one_subscription(s):
    e = s.sub(0, kind="created")
    items = e["data"]["object"]["items"]["data"]
    items.append({**items[0], "id": f"si_{s.tag}_b", "price": {"id": "price_addon", "object": "price"}, "quantity": 3})
    return [s.customer_created(), e, *s.paid(0, lines=[s.line(0, 30, 2000), s.line(0, 30, 1200)])]


@history((5, True), (33.1, False), paid=3200)
def a_change_that_waits_for_its_payment(s):
    """pending_update: what is asked for is not yet what holds."""
    e = s.sub(10, pending_update={"expires_at": s.at(11), "subscription_items": [{"id": "si_x", "price": "price_2"}]})
    return [*s.begin(), e, named(s.sub(11), "customer.subscription.pending_update_expired")]


@history((5, True), (33.1, False), paid=3200)
def a_schedule_that_takes_it_over(s):
    schedule = {"id": f"sub_sched_{s.tag}", "object": "subscription_schedule", "customer": s.customer, "status": "active",
                "subscription": s.id, "released_subscription": None, "phases": [{"start_date": s.at(0), "end_date": s.at(400)}]}
    out = s.begin()
    for day, kind, status in ((2, "created", "active"), (2, "updated", "active"), (30, "expiring", "active"),
                              (31, "aborted", "canceled")):
        out.append(event(f"subscription_schedule.{kind}", {**schedule, "status": status}, s.at(day)))
    return [*out, s.sub(2, schedule=schedule["id"])]


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_history(world, long, name):  # noqa: F811
    hold(world, long, name, HISTORIES[name])


def test_currencies_are_not_added_up(world):  # noqa: F811
    member = world.member()
    s = Life(member.user_id, time.time() - 40 * DAY)
    events = [*s.begin(), s.sub(30, period=(30, 60)), *s.paid(1, 30, currency="eur"), s.back(1, 31, 1000, currency="eur")]
    deliver(world, *events)
    got = world.dev("userstate", member.user_id)
    assert (got["paid_cents"], got["refunded_cents"]) == (3200, 0), got
    assert got["other_currencies"] == {"eur": {"paid_cents": 3200, "refunded_cents": 1000}}
