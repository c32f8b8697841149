"""The state machine: what happens to a subscription, a payment, a session, and which events tell of it."""
import datetime
import urllib.error

import pytest

DAY = 86400


def now(sandbox):
    return sandbox.call("GET", "/_sandbox/clock")["now"]


def events(sandbox, since=0):
    return sandbox.call("GET", "/_sandbox/events")["data"][since:]


def types(sandbox, since=0):
    return [e["type"] for e in events(sandbox, since)]


def period(sub):
    item = sub["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def read(stripe, sub):
    return stripe.get("/v1/subscriptions/" + sub["id"])


# ---- checkout

def test_the_first_payment(sandbox, stripe, subscribed):
    sub = subscribed(client_reference_id="u1", subscription_data={"metadata": {"userId": "7"}})
    assert types(sandbox) == [
        "customer.created", "payment_method.attached", "customer.subscription.created", "invoice.created",
        "invoice.finalized", "charge.succeeded", "payment_intent.succeeded", "invoice.paid",
        "invoice.payment_succeeded", "invoice_payment.paid", "customer.subscription.updated",
        "checkout.session.completed"]
    assert sub["status"] == "active" and sub["metadata"] == {"userId": "7"}
    session = events(sandbox)[-1]["data"]["object"]
    assert (session["status"], session["payment_status"], session["subscription"]) == ("complete", "paid", sub["id"])
    assert session["client_reference_id"] == "u1" and session["url"] is None and session["customer"] == sub["customer"]
    invoice = stripe.get("/v1/invoices/" + sub["latest_invoice"])
    assert invoice["billing_reason"] == "subscription_create" and invoice["amount_paid"] == 3200
    assert invoice["period_start"] == invoice["period_end"]
    line = invoice["lines"]["data"][0]
    assert (line["period"]["start"], line["period"]["end"]) == period(sub)
    assert invoice["parent"]["subscription_details"]["metadata"] == {"userId": "7"}
    paid = stripe.get("/v1/invoice_payments", invoice=invoice["id"])["data"][0]
    intent = paid["payment"]["payment_intent"]
    back = stripe.get("/v1/invoice_payments", payment={"type": "payment_intent", "payment_intent": intent})["data"]
    assert [p["invoice"] for p in back] == [invoice["id"]]
    update = next(e for e in events(sandbox) if e["type"] == "customer.subscription.updated")
    assert update["data"]["previous_attributes"]["status"] == "incomplete"


def test_one_time_payment_of_a_guest(sandbox, stripe, bought):
    session = bought(payment_intent_data={"metadata": {"purchaseId": "p1"}}, amount=1500)
    assert types(sandbox) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded",
                              "checkout.session.completed"]
    assert session["customer"] is None and session["customer_details"]["email"]
    intent = stripe.get("/v1/payment_intents/" + session["payment_intent"])
    assert intent["amount_received"] == 1500 and intent["metadata"] == {"purchaseId": "p1"}
    assert stripe.get("/v1/invoice_payments", payment={"type": "payment_intent", "payment_intent": intent["id"]})["data"] == []


def test_a_declined_card_leaves_the_session_open(sandbox, stripe):
    session = stripe.session("payment")
    refused = sandbox.pay(session["id"], card="4000000000000002")
    assert refused["url"] is None and "declined" in refused["error"] and refused["status"] == "open"
    assert types(sandbox) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert sandbox.pay(session["id"])["status"] == "complete"
    session = stripe.get("/v1/checkout/sessions/" + session["id"])
    assert stripe.get("/v1/payment_intents/" + session["payment_intent"])["status"] == "succeeded"
    assert len(stripe.get("/v1/payment_intents")["data"]) == 1
    assert sandbox.pay(session["id"])["error"]
    assert types(sandbox).count("checkout.session.completed") == 1


def test_nothing_to_pay(sandbox, stripe):
    stripe.post("/v1/coupons", {"id": "all", "percent_off": 100})
    session = stripe.session("payment", discounts=[{"coupon": "all"}])
    assert sandbox.pay(session["id"])["status"] == "complete"
    session = stripe.get("/v1/checkout/sessions/" + session["id"])
    assert session["payment_status"] == "no_payment_required" and session["payment_intent"] is None


@pytest.mark.parametrize("end, event, status", [
    ("succeed", "checkout.session.async_payment_succeeded", "paid"),
    ("fail", "checkout.session.async_payment_failed", "unpaid")])
def test_payments_that_take_days(sandbox, stripe, end, event, status):
    session = stripe.session("payment")
    sandbox.pay(session["id"], **{"async": end, "async_delay": 3 * DAY})
    assert types(sandbox)[-1] == "checkout.session.completed"
    assert stripe.get("/v1/checkout/sessions/" + session["id"])["payment_status"] == "unpaid"
    sandbox.control("clock", advance="+2 days")
    assert types(sandbox)[-1] == "checkout.session.completed"
    sandbox.control("clock", advance="+2 days")
    assert types(sandbox)[-1] == event
    assert stripe.get("/v1/checkout/sessions/" + session["id"])["payment_status"] == status


def test_a_session_expires(sandbox, stripe):
    session = stripe.session("payment", expires_at=now(sandbox) + 3600)
    sandbox.control("clock", advance="+50 minutes")
    assert stripe.get("/v1/checkout/sessions/" + session["id"])["status"] == "open"
    sandbox.control("clock", advance="+20 minutes")
    assert stripe.get("/v1/checkout/sessions/" + session["id"])["status"] == "expired"
    last = events(sandbox)[-1]
    assert last["type"] == "checkout.session.expired" and last["created"] == session["expires_at"]
    assert sandbox.pay(session["id"])["error"]
    assert "complete" not in types(sandbox)[-1]


def test_expired_by_the_api(sandbox, stripe, bought):
    session = stripe.session("payment")
    assert stripe.post(f"/v1/checkout/sessions/{session['id']}/expire")["status"] == "expired"
    stripe.refused(f"/v1/checkout/sessions/{session['id']}/expire")
    stripe.refused(f"/v1/checkout/sessions/{bought()['id']}/expire")


# ---- renewal

def test_renewals_step_by_calendar_months_from_the_anchor(sandbox, stripe, subscribed):
    year = datetime.datetime.fromtimestamp(now(sandbox), datetime.timezone.utc).year + 1
    sandbox.control("clock", now=int(datetime.datetime(year, 1, 31, 12, tzinfo=datetime.timezone.utc).timestamp()))
    sub = subscribed()
    sandbox.control("clock", advance=f"{year}-06-15T00:00:00Z")
    starts = sorted(i["lines"]["data"][0]["period"]["start"] for i in stripe.get("/v1/invoices", limit=20)["data"])
    days = [datetime.datetime.fromtimestamp(t, datetime.timezone.utc) for t in starts]
    february = 29 if year % 4 == 0 else 28
    assert [(d.month, d.day) for d in days] == [(1, 31), (2, february), (3, 31), (4, 30), (5, 31)]
    assert read(stripe, sub)["status"] == "active" and period(read(stripe, sub))[0] == starts[-1]


def test_a_renewal_and_its_events(sandbox, stripe, subscribed):
    sub = subscribed()
    since = len(events(sandbox))
    sandbox.control("clock", advance="+1 month")
    sandbox.control("clock", advance="+1 minute")
    assert types(sandbox, since) == [
        "invoice.upcoming", "customer.subscription.updated", "invoice.created", "invoice.finalized",
        "charge.succeeded", "payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded",
        "invoice_payment.paid"]
    told = events(sandbox, since)
    start, end = period(sub)
    assert told[0]["created"] == end - 7 * DAY and {e["created"] for e in told[1:]} == {end}
    assert "id" not in told[0]["data"]["object"]
    invoice = told[6]["data"]["object"]
    assert invoice["billing_reason"] == "subscription_cycle"
    assert (invoice["period_start"], invoice["period_end"]) == (start, end)
    assert period(read(stripe, sub))[0] == end
    assert told[1]["data"]["previous_attributes"]["items"]["data"][0]["current_period_start"] == start


def test_dunning_to_the_end(sandbox, stripe, subscribed):
    sub = subscribed(card="4000000000000341")
    end = period(sub)[1]
    sandbox.control("clock", now=end + 60)
    assert read(stripe, sub)["status"] == "past_due"
    sandbox.control("clock", now=end + 8 * DAY)
    failed = [e for e in events(sandbox) if e["type"] == "invoice.payment_failed"]
    assert [e["created"] - end for e in failed] == [0, 3 * DAY, 5 * DAY, 7 * DAY]
    assert [e["data"]["object"]["attempt_count"] for e in failed] == [1, 2, 3, 4]
    assert [e["data"]["object"]["next_payment_attempt"] for e in failed] == [
        end + 3 * DAY, end + 5 * DAY, end + 7 * DAY, None]
    gone = read(stripe, sub)
    assert gone["status"] == "canceled" and gone["cancellation_details"]["reason"] == "payment_failed"
    assert types(sandbox)[-1] == "customer.subscription.deleted"


@pytest.mark.parametrize("end", ["unpaid", "past_due"])
def test_other_ends_of_dunning(make_sandbox, end):
    from caller import Stripe
    box = make_sandbox("--dunning-end", end)
    stripe = Stripe(box.base)
    session = stripe.session()
    box.pay(session["id"], card="4000000000000341")
    sub = stripe.get("/v1/subscriptions")["data"][0]
    box.control("clock", now=period(sub)[1] + 9 * DAY)
    assert read(stripe, sub)["status"] == end


def test_a_failed_renewal_recovers(sandbox, stripe, subscribed):
    sub = subscribed()
    sandbox.control("subscription", id=sub["id"], action="fail_next", count=1)
    end = period(sub)[1]
    sandbox.control("clock", now=end + DAY)
    assert read(stripe, sub)["status"] == "past_due"
    sandbox.control("clock", now=end + 4 * DAY)
    assert read(stripe, sub)["status"] == "active"
    invoice = stripe.get("/v1/invoices/" + read(stripe, sub)["latest_invoice"])
    assert invoice["status"] == "paid" and invoice["attempt_count"] == 2
    assert len(stripe.get("/v1/invoice_payments", invoice=invoice["id"])["data"]) == 1


def test_paid_by_hand_after_a_new_card(sandbox, stripe, subscribed):
    sub = subscribed(card="4000000000000341")
    sandbox.control("clock", now=period(sub)[1] + 60)
    sandbox.control("subscription", id=sub["id"], action="recover")
    assert read(stripe, sub)["status"] == "active"


def test_authentication_asked_at_a_renewal(sandbox, stripe, subscribed):
    sub = subscribed(card="4000002760003184")
    sandbox.control("clock", now=period(sub)[1] + 60)
    assert "invoice.payment_action_required" in types(sandbox)
    assert read(stripe, sub)["status"] == "past_due"


# ---- the end

def test_cancel_at_period_end_and_kept(sandbox, stripe, subscribed):
    sub = subscribed()
    path = "/v1/subscriptions/" + sub["id"]
    end = period(sub)[1]
    ending = stripe.post(path, {"cancel_at_period_end": True})
    assert ending["cancel_at"] == end and ending["canceled_at"] and ending["status"] == "active"
    kept = stripe.post(path, {"cancel_at_period_end": False})
    assert kept["cancel_at"] is None and kept["canceled_at"] is None
    sandbox.control("clock", now=end + 60)
    assert read(stripe, sub)["status"] == "active"
    stripe.post(path, {"cancel_at_period_end": True})
    invoices = len(stripe.get("/v1/invoices")["data"])
    sandbox.control("clock", advance="+1 month")
    sandbox.control("clock", advance="+1 hour")
    gone = read(stripe, sub)
    assert gone["status"] == "canceled" and gone["ended_at"] == period(gone)[1]
    assert len(stripe.get("/v1/invoices")["data"]) == invoices
    stripe.refused(path, {"cancel_at_period_end": False})
    stripe.refused(path, status=404, method="DELETE")


def test_cancel_at_a_moment(sandbox, stripe, subscribed):
    sub = subscribed()
    at = now(sandbox) + 10 * DAY
    changed = stripe.post("/v1/subscriptions/" + sub["id"], {"cancel_at": at})
    assert changed["cancel_at"] == at and changed["cancel_at_period_end"] is False
    kept = stripe.post("/v1/subscriptions/" + sub["id"], {"cancel_at": ""})
    assert kept["cancel_at"] is None
    stripe.post("/v1/subscriptions/" + sub["id"], {"cancel_at": at + 5})
    sandbox.control("clock", now=at + DAY)
    assert read(stripe, sub)["ended_at"] == at + 5


def test_cancel_at_once(stripe, subscribed, sandbox):
    sub = subscribed()
    assert stripe.delete("/v1/subscriptions/" + sub["id"])["status"] == "canceled"
    assert types(sandbox)[-1] == "customer.subscription.deleted"
    assert stripe.get("/v1/subscriptions")["data"] == []
    assert len(stripe.get("/v1/subscriptions", status="all")["data"]) == 1


def test_the_portals_other_way_to_cancel(sandbox, stripe, subscribed):
    sub = subscribed()
    sandbox.control("subscription", id=sub["id"], action="cancel_flexible")
    ending = read(stripe, sub)
    assert ending["cancel_at"] == period(sub)[1] and ending["cancel_at_period_end"] is False
    sandbox.control("subscription", id=sub["id"], action="keep")
    assert read(stripe, sub)["cancel_at"] is None
    with pytest.raises(urllib.error.HTTPError):
        sandbox.control("subscription", id=sub["id"], action="nonsense")


def test_a_deleted_customer_takes_its_subscriptions(sandbox, stripe, subscribed):
    sub = subscribed()
    assert stripe.delete("/v1/customers/" + sub["customer"])["deleted"] is True
    assert types(sandbox)[-2:] == ["customer.subscription.deleted", "customer.deleted"]
    assert stripe.get("/v1/customers/" + sub["customer"])["deleted"] is True
    stripe.refused("/v1/billing_portal/sessions", {"customer": sub["customer"]})


# ---- trials, pauses, price changes

def test_a_trial(sandbox, stripe, subscribed):
    sub = subscribed(subscription_data={"trial_period_days": 14})
    assert sub["status"] == "trialing" and sub["trial_end"] - sub["trial_start"] == 14 * DAY
    assert stripe.get("/v1/invoices/" + sub["latest_invoice"])["amount_paid"] == 0
    assert events(sandbox)[-1]["data"]["object"]["payment_status"] == "no_payment_required"
    sandbox.control("clock", now=sub["trial_end"] + 60)
    notice = next(e for e in events(sandbox) if e["type"] == "customer.subscription.trial_will_end")
    assert notice["created"] == sub["trial_end"] - 3 * DAY
    after = read(stripe, sub)
    assert after["status"] == "active" and period(after)[0] == sub["trial_end"]
    assert stripe.get("/v1/invoices/" + after["latest_invoice"])["amount_paid"] == 3200


def test_a_trial_that_ends_unpaid(sandbox, stripe, subscribed):
    sub = subscribed(card="4000000000000341", subscription_data={"trial_period_days": 7})
    sandbox.control("clock", now=sub["trial_end"] + 60)
    assert read(stripe, sub)["status"] == "past_due"


def test_trial_ended_at_once(stripe, subscribed):
    sub = subscribed(subscription_data={"trial_period_days": 7})
    after = stripe.post("/v1/subscriptions/" + sub["id"], {"trial_end": "now"})
    assert after["status"] == "active"
    assert stripe.get("/v1/invoices/" + after["latest_invoice"])["amount_paid"] == 3200


@pytest.mark.parametrize("behavior, status", [("void", "void"), ("keep_as_draft", "draft"),
                                              ("mark_uncollectible", "uncollectible")])
def test_paused_collection(sandbox, stripe, subscribed, behavior, status):
    sub = subscribed()
    path = "/v1/subscriptions/" + sub["id"]
    assert stripe.post(path, {"pause_collection": {"behavior": behavior}})["pause_collection"]["behavior"] == behavior
    sandbox.control("clock", now=period(sub)[1] + 60)
    after = read(stripe, sub)
    assert after["status"] == "active"
    assert stripe.get("/v1/invoices/" + after["latest_invoice"])["status"] == status
    assert stripe.post(path, {"pause_collection": ""})["pause_collection"] is None


def test_paused_until(sandbox, stripe, subscribed):
    sub = subscribed()
    at = now(sandbox) + 5 * DAY
    stripe.post("/v1/subscriptions/" + sub["id"], {"pause_collection": {"behavior": "void", "resumes_at": at}})
    sandbox.control("clock", now=at + 60)
    assert read(stripe, sub)["pause_collection"] is None


def test_paused_and_resumed(sandbox, stripe, subscribed):
    sub = subscribed()
    assert stripe.post(f"/v1/subscriptions/{sub['id']}/pause", {"type": "subscription"})["status"] == "paused"
    sandbox.control("clock", now=period(sub)[1] + 5 * DAY)
    assert len(stripe.get("/v1/invoices")["data"]) == 1
    assert stripe.post(f"/v1/subscriptions/{sub['id']}/resume")["status"] == "active"
    assert "customer.subscription.resumed" in types(sandbox)
    assert len(stripe.get("/v1/invoices")["data"]) == 2


def test_price_change(sandbox, stripe, subscribed):
    sub = subscribed()
    item = sub["items"]["data"][0]
    dear = stripe.price(6400)
    start, end = period(sub)
    sandbox.control("clock", now=(start + end) // 2)
    changed = stripe.post("/v1/subscriptions/" + sub["id"], {
        "items": [{"id": item["id"], "price": dear["id"]}], "proration_behavior": "always_invoice"})
    assert changed["items"]["data"][0]["price"]["id"] == dear["id"] and period(changed) == (start, end)
    invoice = stripe.get("/v1/invoices/" + changed["latest_invoice"])
    assert invoice["billing_reason"] == "subscription_update" and abs(invoice["amount_paid"] - 1600) <= 2
    assert all(line["parent"]["subscription_item_details"]["proration"] for line in invoice["lines"]["data"])
    sandbox.control("clock", now=end + 60)
    after = read(stripe, sub)
    assert stripe.get("/v1/invoices/" + after["latest_invoice"])["amount_paid"] == 6400


def test_price_change_without_an_item_id_adds_one(stripe, subscribed):
    sub = subscribed()
    more = stripe.price(1000)
    changed = stripe.post("/v1/subscriptions/" + sub["id"], {"items": [{"price": more["id"]}],
                                                             "proration_behavior": "none"})
    assert len(changed["items"]["data"]) == 2


def test_a_coupon_once(sandbox, stripe, subscribed):
    stripe.post("/v1/coupons", {"id": "once", "percent_off": 20, "duration": "once"})
    sub = subscribed(discounts=[{"coupon": "once"}])
    assert stripe.get("/v1/invoices/" + sub["latest_invoice"])["amount_paid"] == 2560
    sandbox.control("clock", now=period(sub)[1] + 60)
    assert stripe.get("/v1/invoices/" + read(stripe, sub)["latest_invoice"])["amount_paid"] == 3200


# ---- money back

def test_refunds(sandbox, stripe, bought):
    pi = bought()["payment_intent"]
    since = len(events(sandbox))
    first = stripe.post("/v1/refunds", {"payment_intent": pi, "amount": 1000})
    assert first["status"] == "succeeded" and types(sandbox, since) == ["charge.refunded", "refund.created"]
    charge = stripe.get("/v1/charges/" + first["charge"])
    assert charge["amount_refunded"] == 1000 and charge["refunded"] is False
    stripe.post("/v1/refunds", {"payment_intent": pi})
    charge = stripe.get("/v1/charges/" + first["charge"])
    assert charge["amount_refunded"] == 3200 and charge["refunded"] is True
    assert len(stripe.get("/v1/refunds", payment_intent=pi)["data"]) == 2


def test_a_refund_that_fails_later(sandbox, stripe, bought):
    pi = bought()["payment_intent"]
    made = sandbox.control("refund", payment_intent=pi, status="pending")["refund"]
    charge = stripe.get("/v1/refunds/" + made)["charge"]
    assert stripe.get("/v1/charges/" + charge)["refunded"] is True
    sandbox.control("refund_set", refund=made, status="failed")
    assert stripe.get("/v1/charges/" + charge)["amount_refunded"] == 0
    assert {"refund.updated", "refund.failed", "charge.refund.updated"} <= set(types(sandbox))


@pytest.mark.parametrize("actions, status, told", [
    (["open", "win"], "won", "charge.dispute.funds_reinstated"),
    (["open", "lose"], "lost", "charge.dispute.funds_withdrawn"),
    (["warn", "warn_close"], "warning_closed", "charge.dispute.closed")])
def test_disputes(sandbox, stripe, bought, actions, status, told):
    pi = bought()["payment_intent"]
    for action in actions:
        sandbox.control("dispute", payment_intent=pi, action=action)
    dispute = stripe.get("/v1/disputes", payment_intent=pi)["data"][0]
    assert dispute["status"] == status and told in types(sandbox)
    assert ("charge.dispute.funds_withdrawn" in types(sandbox)) == (actions[0] == "open")
    assert stripe.get("/v1/charges/" + dispute["charge"])["disputed"] is True


def test_clock_goes_forward_only(sandbox):
    at = sandbox.control("clock", advance="+1 year")["now"]
    assert sandbox.control("clock", now=at - 5 * DAY)["now"] >= at
    with pytest.raises(urllib.error.HTTPError):
        sandbox.control("clock", advance="tomorrow")
