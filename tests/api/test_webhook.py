"""POST /api/webhooks/stripe: what is let in, what is kept, what is answered."""
import json
import time

import pytest
import requests

from harness.client import Answer, post_event, sign
from harness.process import PATIENCE, wait_until
from harness.stripe_events import SHAPES, deliver, event, fresh_id, stories


def post_raw(server, body, signature, content_type="application/json; charset=utf-8"):
    headers = {"Content-Type": content_type}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    return Answer(requests.post(server.base + "/api/webhooks/stripe", data=body, headers=headers, timeout=PATIENCE))


def stored(server, event_id):
    done = server.run("events", "show", event_id, "--json", ok=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def customer(**more):
    return {"id": fresh_id("cus"), "object": "customer", "metadata": {}, **more}


@pytest.mark.parametrize("shape", SHAPES)
def test_stories_are_taken(server, shared, shape):
    for e in stories(shared, shape):
        assert post_event(server, e).json == {"received": True}
    failed = json.loads(server.cli("events", "list", "--failed", "--json"))
    assert failed == []


def test_one_of_each_type_is_taken(server, shared):
    files = sorted((shared / "stripe/events/sync-engine").glob("*.json"))
    assert len(files) == 52
    for path in files:
        e = json.loads(path.read_text())
        e["id"] = fresh_id()
        answer = post_event(server, e)
        assert 200 <= answer.status < 300, (path.name, answer)
    assert json.loads(server.cli("events", "list", "--failed", "--json")) == []


def test_signature_is_over_the_raw_bytes(server):
    e = event("customer.created", customer())
    body = json.dumps(e, indent=4).encode()
    secret = server.webhook_secret
    now = int(time.time())
    good = sign(secret, body)
    mac = good.split("v1=")[1]
    bad = [None, "", "t=1", good.replace("v1=", "v0="), good[:-1] + ("0" if good[-1] != "0" else "1"),
           sign("whsec_other", body), sign(secret, body, now - 400), sign(secret, body, now + 400),
           f"t={now},t={now},v1={mac}", f"v1={mac}", sign("", body)]
    for signature in bad:
        answer = post_raw(server, body, signature)
        assert answer.status == 400, (signature, answer)
    assert post_raw(server, body + b" ", good).status == 400
    assert post_raw(server, json.dumps(e).encode(), good).status == 400
    assert stored(server, e["id"]) is None
    assert post_raw(server, body, f"t={now},v1={'0' * 64},v0=x,v1={sign(secret, body, now).split('v1=')[1]}").status == 200
    assert json.dumps(stored(server, e["id"])["payload"]) == json.dumps(e)


def test_every_secret_of_the_list_verifies(make_server):
    server = make_server(env={"STRIPE_WEBHOOK_SECRET": "whsec_old_secret_of_before, whsec_new_secret_of_today"})
    for secret in ("whsec_old_secret_of_before", "whsec_new_secret_of_today"):
        assert post_event(server, event("customer.created", customer()), secret=secret).status == 200
    assert post_event(server, event("customer.created", customer()), secret="whsec_none_of_them").status == 400


def test_a_duplicate_changes_nothing(server):
    e = event("customer.created", customer())
    deliver(server, e, e, e)
    listed = json.loads(server.cli("events", "list", "--json"))
    assert [x["id"] for x in listed] == [e["id"]]


def test_what_is_passed_over_is_kept(server):
    thin = {"id": fresh_id(), "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found", "livemode": False,
            "created": "2026-11-29T06:00:00.000Z", "related_object": {"id": "x"}}
    live = event("customer.created", customer(), livemode=True)
    unknown = event("some.new_thing", {"id": "obj_1", "object": "new_thing", "nested": [[1], {"a": None}]})
    upcoming = event("invoice.upcoming", {"object": "invoice", "customer": "cus_1", "lines": {"data": []}})
    deliver(server, thin, live, unknown, upcoming)
    for e in (thin, live, unknown, upcoming):
        assert stored(server, e["id"])["status"] == "ignored", e


def test_strange_objects_of_known_kinds_do_no_harm(server):
    kinds = ["subscription", "invoice", "payment_intent", "charge", "refund", "dispute", "checkout.session", "customer",
             "invoice_payment", "payment_method"]
    for kind in kinds:
        for extra in ({}, {"status": 7, "customer": 5, "metadata": "x", "lines": [], "items": 3, "created": "soon"},
                      {"status": "a_status_of_tomorrow", "customer": None, "metadata": None, "items": {"data": [None]},
                       "lines": {"data": [{"period": None}]}, "payments": {"data": [{"payment": 1}]},
                       "payment": {"payment_intent": None}, "refunds": {"data": [{}]}}):
            deliver(server, event(f"{kind}.updated", {"id": fresh_id("x"), "object": kind, **extra}))
    assert json.loads(server.cli("events", "list", "--failed", "--json")) == []


def test_not_an_event_is_400(server):
    for body in (b"", b"{", b"[]", b"1", b'"x"', b"null", b"{}", b'{"object":"event"}', b"[" * 70 + b"]" * 70,
                 b'{"object":"event","id":"evt_a","id":"evt_b","type":"x"}', b'{"object":"charge","id":"ch_1"}',
                 b'{"a":"\xff"}', b'{"object":"event","id":"","type":"x","data":{"object":{}}}'):
        answer = post_raw(server, body, sign(server.webhook_secret, body))
        assert answer.status == 400, (body[:40], answer)
        assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert json.loads(server.cli("events", "list", "--json")) == []


def test_what_our_reader_cannot_take_is_kept_as_failed(server):
    for field in (b'"big":123456789012345678901234567890', b'"nul":"a\\u0000b"'):
        e = fresh_id()
        body = (b'{"id":"%s","object":"event","type":"customer.created","created":%d,"livemode":false,%s,'
                b'"data":{"object":{"id":"cus_x","object":"customer"}}}') % (e.encode(), int(time.time()), field)
        assert post_raw(server, body, sign(server.webhook_secret, body)).status == 200
        assert [x["id"] for x in json.loads(server.cli("events", "list", "--failed", "--json"))].count(e) == 1
    no_object = event("customer.created", None)
    deliver(server, no_object)
    assert stored(server, no_object["id"])["status"] == "failed"


def test_a_body_over_one_mebibyte_is_413(server):
    body = json.dumps(event("customer.created", customer(name="x" * (1 << 20)))).encode()
    answer = post_raw(server, body, sign(server.webhook_secret, body))
    assert answer.status == 413, answer
    body = json.dumps(event("customer.created", customer(name="x" * (900 << 10)))).encode()
    assert post_raw(server, body, sign(server.webhook_secret, body)).status == 200


def test_no_json_of_the_corpus_is_a_fault(server, shared):
    files = sorted((shared / "corpus/json").glob("*.json"))
    assert len(files) == 318
    for path in files:
        body = path.read_bytes()
        answer = post_raw(server, body, sign(server.webhook_secret, body))
        assert answer.status in (200, 400), (path.name, answer)
        # y_ is JSON, n_ is none; a key that stands twice or a NUL are refused by their own names.
        code = (answer.json or {}).get("code")
        if path.name.startswith("y_") and "duplicated_key" not in path.name:
            assert code not in ("invalid_json", "invalid_utf8", "json_too_deep"), (path.name, answer)
        if path.name.startswith("n_"):
            assert code in ("invalid_json", "invalid_utf8", "json_too_deep"), (path.name, answer)


def test_a_failed_event_is_replayed_by_hand(server):
    e = event("customer.created", customer())
    del e["created"]
    deliver(server, e)
    assert stored(server, e["id"])["status"] == "failed"
    done = server.run("events", "replay", e["id"], ok=False)
    assert done.returncode == 1 and "failed" in done.stdout
    good = event("customer.created", customer())
    deliver(server, good)
    assert "applied" in server.cli("events", "replay", good["id"])
    assert server.run("events", "show", "evt_none", ok=False).returncode == 1


def test_the_signature_may_follow_the_programs_clock(server):
    server.clock("+40 days")
    body = json.dumps(event("customer.created", customer())).encode()
    at = int(time.time()) + 40 * 86400
    # The server learns of the moved clock with its next request or two.
    wait_until(lambda: post_raw(server, body, sign(server.webhook_secret, body, at)).status == 200)
    body = json.dumps(event("customer.created", customer())).encode()
    assert post_raw(server, body, sign(server.webhook_secret, body)).status == 200
    body = json.dumps(event("customer.created", customer())).encode()
    assert post_raw(server, body, sign(server.webhook_secret, body, at - 20 * 86400)).status == 400


def test_bodies_are_packed_with_a_dictionary_and_come_back_as_they_were(server):
    rows = [event("customer.updated", customer(name=f"Somebody {n}", phone=None, address={"city": None, "line1": None}))
            for n in range(600)]
    deliver(server, *rows)
    server.settle()
    later = event("customer.updated", customer(name="The last one", phone=None, address={"city": None, "line1": None}))
    deliver(server, later)
    for e in (rows[0], rows[400], later):
        assert stored(server, e["id"])["payload"] == e
    listed = json.loads(server.cli("events", "list", "--limit", "1000", "--json"))
    assert len(listed) == 601
