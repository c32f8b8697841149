"""Delivery: order, retries, faults; the pages; the program's own commands."""
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from caller import OLD, Hook, Stripe
from harness.process import BUILD, wait_until


def customers(stripe, n):
    return [stripe.post("/v1/customers", {"email": f"{i}@example.com"})["id"] for i in range(n)]


def order(hook):
    return [e["data"]["object"]["id"] for e in hook.events]


# ---- delivery

def test_every_event_once_and_in_order(sandbox, stripe, hook, subscribed):
    subscribed()
    sandbox.settle()
    assert hook.types() == [e["type"] for e in sandbox.call("GET", "/_sandbox/events")["data"]]
    assert len({e["id"] for e in hook.events}) == len(hook.events)
    assert all(e["livemode"] is False and e["object"] == "event" for e in hook.events)
    assert b"\n  " in hook.bodies[0]
    assert all(e["pending_webhooks"] == 0 for e in stripe.get("/v1/events", limit=100)["data"])


def test_the_request_behind_an_event(sandbox, stripe, hook):
    stripe.post("/v1/customers", idempotency="the-key")
    sandbox.settle()
    assert hook.events[0]["request"]["idempotency_key"] == "the-key"


def test_tried_again_until_taken(sandbox, stripe, hook):
    hook.answer = lambda n: 500 if n <= 2 else 200
    made = customers(stripe, 1)
    wait_until(lambda: order(hook) == made, message="the event never came")
    sandbox.settle()
    assert len(hook.bodies) == 3 and len({json.loads(b)["id"] for b in hook.bodies}) == 1


def test_anything_but_2xx_is_a_failure(sandbox, stripe, hook):
    answers = iter([302, 400, 204])
    hook.answer = lambda n: next(answers, 200)
    customers(stripe, 1)
    wait_until(lambda: len(hook.bodies) == 3, message="not tried three times")
    assert sandbox.control("settle")["settled"] is True and len(hook.bodies) == 3


def test_a_server_that_was_down_gets_it_later(sandbox, stripe):
    gone = Hook("whsec_test")
    gone.close()
    sandbox.control("forward", url=gone.url)
    made = customers(stripe, 3)
    told = sandbox.control("settle", seconds=1)
    assert told["settled"] is False and told["pending"] == 3
    assert stripe.get("/v1/events")["data"][0]["pending_webhooks"] == 1
    assert [e["data"]["object"]["id"] for e in stripe.get("/v1/events")["data"]] == made[::-1]


def test_registered_endpoints(sandbox, stripe):
    hook = Hook("")
    try:
        made = stripe.post("/v1/webhook_endpoints", {"url": hook.url, "enabled_events": ["product.created"],
                                                     "api_version": OLD})
        hook.secret = made["secret"]
        stripe.post("/v1/customers")
        stripe.post("/v1/products", {"name": "x"})
        sandbox.settle()
        assert hook.types() == ["product.created"] and hook.events[0]["api_version"] == OLD and not hook.bad
        stripe.post("/v1/webhook_endpoints/" + made["id"], {"disabled": True})
        stripe.post("/v1/products", {"name": "y"})
        sandbox.settle()
        assert len(hook.events) == 1
    finally:
        hook.close()


# ---- faults of delivery

def test_duplicate(sandbox, stripe, hook):
    sandbox.fault("duplicate", count=2)
    made = customers(stripe, 3)
    sandbox.settle()
    assert sorted(order(hook)) == sorted([made[0], made[0], made[1], made[1], made[2]])


def test_reorder(sandbox, stripe, hook):
    sandbox.fault("reorder", count=3)
    made = customers(stripe, 4)
    sandbox.settle()
    assert order(hook) == made[2::-1] + made[3:]


def test_an_unfinished_reorder_is_let_go_by_settle(sandbox, stripe, hook):
    sandbox.fault("reorder", count=50)
    made = customers(stripe, 3)
    sandbox.settle()
    assert order(hook) == made[::-1]


def test_drop_by_type(sandbox, stripe, hook, bought):
    sandbox.fault("drop", event="checkout.session.completed")
    bought()
    sandbox.settle()
    assert "checkout.session.completed" not in hook.types() and "charge.succeeded" in hook.types()
    assert "checkout.session.completed" in [e["type"] for e in stripe.get("/v1/events", limit=50)["data"]]


def test_delay(sandbox, stripe, hook):
    sandbox.fault("delay", ms=1500)
    asked = time.monotonic()
    made = customers(stripe, 3)
    sandbox.settle()
    assert sorted(order(hook)) == sorted(made)
    assert hook.times[order(hook).index(made[0])] - asked >= 1.4


def test_old_shape(sandbox, stripe, hook, subscribed):
    sandbox.fault("old_shape", event="invoice.paid")
    sub = subscribed()
    sandbox.settle()
    paid = next(e for e in hook.events if e["type"] == "invoice.paid")
    assert paid["data"]["object"]["subscription"] == sub["id"] and paid["api_version"] == OLD
    other = next(e for e in hook.events if e["type"] == "invoice.finalized")
    assert "subscription" not in other["data"]["object"]


# ---- pages

class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def page(url, **form):
    opener = urllib.request.build_opener(NoRedirect)
    try:
        answer = opener.open(url, urllib.parse.urlencode(form).encode() if form else None, timeout=60)
    except urllib.error.HTTPError as e:
        answer = e
    return answer.status, answer.headers.get("Location"), answer.read().decode()


def test_the_checkout_page(stripe, bought):
    session = stripe.session("payment", 1234, line_items=[{"quantity": 1, "price_data": {
        "currency": "usd", "unit_amount": 1234, "product_data": {"name": "<Quiz> & \"more\""}}}])
    status, _, text = page(session["url"])
    assert status == 200 and "12.34" in text and "&lt;Quiz&gt; &amp;" in text and "<Quiz>" not in text
    assert "http://127.0.0.1/no" in text and "4242" in text
    status, _, text = page(session["url"], card="4000000000000002")
    assert status == 402 and "declined" in text and stripe.get("/v1/checkout/sessions/" + session["id"])["status"] == "open"
    status, to, _ = page(session["url"], card="4242 4242 4242 4242", email="someone@example.com")
    assert (status, to) == (303, "http://127.0.0.1/ok?s=" + session["id"])
    paid = stripe.get("/v1/checkout/sessions/" + session["id"])
    assert paid["payment_status"] == "paid" and paid["customer_details"]["email"] == "someone@example.com"
    assert page(session["url"] or "", card="4242424242424242")[0] == 410


def test_authentication_on_the_page(stripe):
    session = stripe.session()
    status, to, text = page(session["url"], card="4000002500003155", email="a@example.com")
    assert to is None and "authenticated" in text
    assert stripe.get("/v1/checkout/sessions/" + session["id"])["status"] == "open"
    status, to, _ = page(session["url"], card="4000002500003155", authenticated="1")
    assert status == 303 and session["id"] in to


def test_the_portal_page(sandbox, stripe, subscribed):
    sub = subscribed(card="4000000000000341")
    portal = stripe.post("/v1/billing_portal/sessions", {"customer": sub["customer"], "return_url": "http://127.0.0.1/me"})
    status, _, text = page(portal["url"])
    assert status == 200 and "http://127.0.0.1/me" in text and "active" in text
    assert page(portal["url"], do="cancel")[0] == 303
    assert stripe.get("/v1/subscriptions/" + sub["id"])["cancel_at_period_end"] is True
    assert "Keep it" in page(portal["url"])[2]
    page(portal["url"], do="nonsense")
    assert stripe.get("/v1/subscriptions/" + sub["id"])["cancel_at_period_end"] is True
    page(portal["url"], do="resume")
    assert stripe.get("/v1/subscriptions/" + sub["id"])["cancel_at"] is None
    sandbox.control("clock", now=sub["items"]["data"][0]["current_period_end"] + 60)
    assert stripe.get("/v1/subscriptions/" + sub["id"])["status"] == "past_due"
    page(portal["url"], do="card", card="4242424242424242")
    assert stripe.get("/v1/subscriptions/" + sub["id"])["status"] == "active"
    assert page(sandbox.base + "/portal/bps_none")[0] == 404
    assert page(sandbox.base + "/pay/cs_none")[0] == 404


# ---- the program

def run(*args):
    done = subprocess.run([str(BUILD / "sandbox" / "mybeing-sandbox"), *args], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def port(sandbox):
    return sandbox.base.rsplit(":", 1)[1]


TRIGGERS = """charge.dispute.created charge.dispute.closed charge.failed charge.refunded charge.refund.updated
charge.succeeded checkout.session.completed checkout.session.expired checkout.session.async_payment_succeeded
checkout.session.async_payment_failed customer.created customer.updated customer.deleted customer.subscription.created
customer.subscription.updated customer.subscription.deleted customer.subscription.paused
customer.subscription.trial_will_end invoice.created invoice.finalized invoice.paid invoice.payment_action_required
invoice.payment_failed invoice.voided invoice.marked_uncollectible invoice.upcoming payment_intent.payment_failed
payment_intent.processing payment_intent.succeeded payment_method.attached price.created product.created
coupon.created refund.created refund.failed invoice_payment.paid""".split()


def test_trigger(sandbox, hook):
    for event in TRIGGERS:
        hook.clear()
        code, _, err = run("--port", port(sandbox), "trigger", event)
        assert code == 0, (event, err)
        sandbox.settle()
        assert event in hook.types(), event
    code, out, _ = run("--port", port(sandbox), "trigger", "no.such.event")
    assert code == 1 and "cannot" in out
    assert run("--port", port(sandbox), "trigger", "invoice.nonsense")[0] == 1


def test_clock_and_fault_commands(sandbox, stripe):
    before = json.loads(run("--port", port(sandbox), "clock")[1])["now"]
    after = json.loads(run("--port", port(sandbox), "clock", "+1", "month")[1])["now"]
    assert 27 * 86400 < after - before < 33 * 86400
    assert run("--port", port(sandbox), "fault", "429", "2")[0] == 0
    assert stripe.send("GET", "/v1/customers").status == 429
    assert run("--port", port(sandbox), "fault", "clear")[0] == 0
    assert stripe.send("GET", "/v1/customers").status == 200


def test_used_wrong():
    assert run("--nonsense")[0] == 2
    assert run("--shape", "round")[0] == 2
    assert run("nonsense")[0] == 2
    code, out, _ = run("--help")
    assert code == 0 and re.search("trigger EVENT", out)


def test_it_listens_on_loopback_only(sandbox):
    assert sandbox.base.startswith("http://127.0.0.1:")


def test_bad_control_requests(sandbox):
    for name, body in (("nonsense", {}), ("pay", {"session": "cs_none"}), ("dispute", {"payment_intent": "pi_none"}),
                       ("refund", {}), ("subscription", {"id": "sub_none"})):
        with pytest.raises(urllib.error.HTTPError) as e:
            sandbox.control(name, **body)
        assert e.value.code in (400, 404) and json.loads(e.value.read())["error"]


def test_expiry_comes_without_any_request(sandbox, stripe, hook):
    """The clock runs on by itself: nobody has to ask for what falls due."""
    sandbox.control("clock", advance="+1 hour")
    session = stripe.session("payment")
    sandbox.pay(session["id"], **{"async": "succeed", "async_delay": 2})
    wait_until(lambda: "checkout.session.async_payment_succeeded" in hook.types(), message="it never fell due")
    assert Stripe(sandbox.base).get("/v1/checkout/sessions/" + session["id"])["payment_status"] == "paid"
