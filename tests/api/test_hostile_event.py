"""Signed events that Stripe would hardly send: each is answered at once, is kept, and breaks nothing."""
import gzip
import json
import time

import pytest
import requests

from harness.client import post_event, sign
from harness.process import PATIENCE
from harness.stripe_events import DAY, Subscriber, deliver, event, fresh_id

HUGE = 2**63 - 1


@pytest.fixture(scope="module")
def world():
    from harness import Server
    server = Server(env={"STRIPE_WEBHOOK_SECRET": "whsec_new_0123456789,whsec_old_0123456789"})
    yield server
    server.close()


@pytest.fixture
def subscriber(world):
    member = world.member()
    s = Subscriber(member.user_id, time.time() - DAY)
    s.member = member
    deliver(world, s.customer_created(), s.subscription("created"), *s.month())
    assert state(world, s)["premium"] is True
    return s


def state(world, s):
    return world.dev("userstate", s.user)


def status_of(world, e):
    shown = json.loads(world.cli("events", "show", e["id"], "--json"))
    return shown["status"]


def test_huge_amounts_do_not_stop_what_follows(world, subscriber):
    s = subscriber
    for tag in "abc":
        deliver(world, s.refund(tag=tag, amount=HUGE, status="failed", kind="refund.failed"))
    deliver(world, event("charge.refunded", {"id": f"ch_{s.tag}_{s.start}", "object": "charge", "amount": HUGE,
                                             "amount_refunded": HUGE, "payment_intent": s.payment(s.start),
                                             "status": "succeeded", "customer": s.customer}, s.now - 1))
    deliver(world, s.invoice("paid", start=s.now + 30 * DAY, amount_paid=HUGE),
            s.invoice("paid", start=s.now + 60 * DAY, amount_paid=HUGE))
    assert state(world, s)["paid_cents"] > 3200
    assert s.member.entitlements()["userId"] == s.user


@pytest.mark.parametrize("amount", [-3200, -HUGE, "3200", None, 1e300, [3200], True])
def test_an_amount_of_no_sense_gives_nothing_back(world, subscriber, amount):
    s = subscriber
    deliver(world, s.refund(amount=amount))
    got = state(world, s)
    assert got["premium"] is True and got["refunded_cents"] == 0


@pytest.mark.parametrize("field", ["id", "customer", "metadata", "items"])
def test_ids_without_end(world, subscriber, field):
    s, long = subscriber, "x" * 20_000
    e = s.subscription(at=s.now + 5)
    e["data"]["object"][field] = {"metadata": {"userId": long}, "items": {"data": [{"id": long, "price": long}]}}.get(
        field, long)
    deliver(world, e)
    assert status_of(world, e) == ("failed" if field == "id" else "applied")
    refund = s.refund(at=s.now + 6)
    refund["data"]["object"]["payment_intent"] = refund["data"]["object"]["charge"] = long
    session = event("checkout.session.completed", {
        "id": fresh_id("cs"), "object": "checkout.session", "payment_intent": long, "customer": long, "mode": "payment",
        "status": "complete", "payment_status": "paid", "metadata": {"purchaseId": long, "itemId": long}}, s.now + 7)
    deliver(world, refund, session)
    assert status_of(world, refund) == "applied"


@pytest.mark.parametrize("created", [-1, None, "1700000000", HUGE, 1.5, {}])
def test_a_time_that_is_none(world, subscriber, created):
    e = subscriber.subscription(status="canceled")
    e["created"] = created
    deliver(world, e)
    assert status_of(world, e) == "failed" and state(world, subscriber)["premium"] is True


@pytest.mark.parametrize("data", [None, {}, {"object": None}, {"object": []}, {"object": "sub_1"}, {"object": 7}, []])
def test_no_object(world, data):
    e = event("customer.subscription.updated", {})
    e["data"] = data
    deliver(world, e)
    assert status_of(world, e) == "failed"


@pytest.mark.parametrize("obj", [{}, {"object": "subscription"}, {"id": "sub_x"}, {"id": 7, "object": "subscription"},
                                 {"id": "sub_x", "object": ["subscription"]}, {"id": "", "object": "invoice"}])
def test_an_object_without_name(world, obj):
    e = event("customer.subscription.updated", obj)
    deliver(world, e)
    assert status_of(world, e) == "ignored"


@pytest.mark.parametrize("kind", ["subscription", "invoice", "charge", "payment_intent", "refund", "dispute", "customer",
                                  "checkout.session", "invoice_payment", "payment_method"])
@pytest.mark.parametrize("junk", [None, 0, -1, HUGE, 1.5, True, "", "x", [], [[]], {}, {"id": None}, {"data": [None]}])
def test_junk_in_every_field(world, kind, junk):
    names = """customer status subscription items metadata created current_period_start current_period_end trial_end
    cancel_at cancel_at_period_end pause_collection billing_cycle_anchor lines parent payments payment_intent charge invoice
    payment amount amount_paid amount_due amount_refunded amount_received amount_total currency refunds refunded
    status_transitions last_payment_error mode payment_status client_reference_id customer_details expires_at card type
    deleted latest_invoice latest_charge default_payment_method invoice_settings subscription_details hosted_invoice_url
    attempt_count next_payment_attempt period_start period_end billing_reason reason url""".split()
    e = event(f"{kind}.updated", {**dict.fromkeys(names, junk), "id": fresh_id("x"), "object": kind})
    deliver(world, e)
    assert status_of(world, e) == "applied"


def test_v2_events_are_passed_over(world):
    e = {"id": fresh_id(), "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "livemode": False,
         "created": "2026-11-01T00:00:00.000Z", "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/x"}}
    deliver(world, e)
    assert status_of(world, e) == "ignored"


def test_one_id_with_two_bodies_is_the_first(world, subscriber):
    s = subscriber
    kept = s.subscription(at=s.now + 5)
    other = s.subscription("deleted", status="canceled", at=s.now + 6)
    other["id"] = kept["id"]
    deliver(world, kept, other)
    assert state(world, s)["premium"] is True


def post(world, body, header=None, **headers):
    answer = requests.post(world.base + "/api/webhooks/stripe", data=body, timeout=PATIENCE, headers={
        "Content-Type": "application/json", "Stripe-Signature": header if header is not None else sign("whsec_new_0123456789", body),
        **headers})
    return answer.status_code


def envelope(**more):
    return json.dumps({**event("product.updated", {"id": "prod_1", "object": "product"}), **more}).encode()


def test_either_secret_and_any_of_several_signatures(world):
    for secret in ("whsec_new_0123456789", "whsec_old_0123456789"):
        assert post(world, body := envelope(), sign(secret, body)) == 200
    body = envelope()
    good = sign("whsec_old_0123456789", body)
    t, v1 = good.split(",")
    assert post(world, body, f"{t},v1={'0' * 64},{v1},v0={'1' * 64},v2=x") == 200
    assert post(world, body, f"{v1},{t}") == 200
    for bad in (f"{t},{v1[:-1]}", f"{t},{v1}0", f"{t},{v1.upper()}", f"{t},v0={v1[3:]}", t, v1, f"{t},{t},{v1}", "",
                f"t=,{v1}", f"t=-5,{v1}", f"t=0x5,{v1}", f"t={t[2:]}.0,{v1}", f"t=99999999999999999999,{v1}",
                sign("", body), sign(" ", body), sign("whsec_new_0123456789,whsec_old_0123456789", body), sign("whsec_other", body)):
        assert post(world, body, bad) == 400, bad
    assert post(world, body + b" ", good) == 400


def test_the_edge_of_five_minutes(world):
    """A few seconds pass on the way, so the edge itself is hit on one side only."""
    for away, want in ((-290, 200), (290, 200), (-320, 400), (330, 400)):
        body = envelope()
        assert post(world, body, sign("whsec_new_0123456789", body, int(time.time()) + away)) == want, away


@pytest.mark.parametrize("body,status", [
    (b"", 400), (b"not json", 400), (b"null", 400), (b"[]", 400), (b"\"evt\"", 400), (b"{}", 400), (b"{\"object\":\"event\"}", 400),
    (envelope(id="x" * 256), 400), (envelope(id=""), 400), (envelope(id=7), 400), (envelope(type=""), 400),
    (envelope(id="evt_a\u0000b"), 400), (envelope(id="evt_a\nb"), 400),
    (envelope()[:-1], 400), (envelope() + b"}", 400), (b"\xef\xbb\xbf" + envelope(), 400), (b"\xff\xfe" + envelope(), 400),
    (envelope().replace(b'"type"', b'"type": "a", "type"'), 400), (gzip.compress(envelope()), 400),
    (b'{"object":"event","id":"evt_deep","type":"a.b","created":1,"data":' + b"[" * 70 + b"]" * 70 + b"}", 400),
    (b" \r\n\t" + envelope().replace(b", ", b",\r\n") + b"\r\n", 200),
], ids=range(21))
def test_bodies(world, body, status):
    assert post(world, body) == status


def test_numbers_beyond_our_reader_are_kept_as_failed(world, subscriber):
    e = subscriber.subscription(status="canceled")
    body = json.dumps(e).encode().replace(b'"pending_webhooks": 1', b'"pending_webhooks": 1' + b"0" * 30)
    assert post(world, body) == 200
    assert status_of(world, e) == "failed" and state(world, subscriber)["premium"] is True


def test_size_and_coding(world):
    body = envelope(padding="x" * (1 << 20))
    assert post(world, body) == 413
    rest = (1 << 20) - len(envelope(padding=""))
    body = envelope(padding="x" * rest)
    assert len(body) in ((1 << 20), (1 << 20) + 1) and post(world, body[:1 << 20]) in (200, 400)
    body = envelope()
    parts = (body[i:i + 7] for i in range(0, len(body), 7))
    answer = requests.post(world.base + "/api/webhooks/stripe", data=parts, timeout=PATIENCE,
                           headers={"Stripe-Signature": sign("whsec_new_0123456789", body), "Content-Type": "application/json"})
    assert answer.status_code == 200
    packed = gzip.compress(body)
    assert post(world, packed, sign("whsec_new_0123456789", packed), **{"Content-Encoding": "gzip"}) in (400, 415)


def test_the_server_still_stands(world):
    """After all that (the fixture's end asks for broken invariants)."""
    a = post_event(world, event("customer.updated", {"id": "cus_end", "object": "customer"}), secret="whsec_old_0123456789")
    assert a.status == 200
    assert requests.get(world.base + "/readyz", timeout=PATIENCE).status_code == 200
