"""The member's subscription: one Checkout, one customer, state, cancel, resume, portal, return from Checkout."""
import concurrent.futures
import time
import urllib.parse

import pytest
import requests

from harness import wait_until
from harness.process import PATIENCE
from harness.stripe_events import Subscriber, deliver

KEY = {"Authorization": "Bearer sk_test_harness"}


def stripe(sandbox, path, **params):
    """What the sandbox has, as Stripe's API tells it."""
    a = requests.get(sandbox.base + path, params=params, headers=KEY, timeout=PATIENCE)
    assert a.status_code == 200, a.text
    return a.json()


def sessions(sandbox):
    return stripe(sandbox, "/v1/checkout/sessions", limit=100)["data"]


def customers_of(sandbox, member):
    return [c for c in stripe(sandbox, "/v1/customers", limit=100)["data"]
            if c["metadata"].get("userId") == member.user_id]


@pytest.fixture
def quiet(make_server, sandbox):
    """A server that never hears of an event: only what it asks Stripe itself."""
    made = make_server(sandbox=sandbox)
    made.cli("setup", "stripe", "--yes", "--no-webhook")
    return made


def create(member, **body):
    a = member.post("/api/subscription/create", body)
    assert a.status == 200, a
    return a.json


def state(member):
    a = member.get("/api/subscription")
    assert a.status == 200, a
    return a.json


# ---- the main job

def test_subscribe_cancel_resume(town):
    m = town.member("anna@example.com")
    before = state(m)
    assert before["status"] == "none" and not before["premium"] and before["plan"] == "free"
    made = create(m, plan="premium")
    session = stripe(town.sandbox, "/v1/checkout/sessions/" + made["sessionId"])
    assert session["url"] == made["url"]
    assert session["mode"] == "subscription"
    assert session["client_reference_id"] == m.user_id
    assert session["metadata"]["userId"] == m.user_id and session["metadata"]["type"] == "subscription"
    assert "{CHECKOUT_SESSION_ID}" in session["success_url"]
    (customer,) = customers_of(town.sandbox, m)
    assert session["customer"] == customer["id"] and customer["email"] == "anna@example.com"
    town.sandbox.pay(made["sessionId"])
    town.sandbox.settle()
    now = wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))
    assert now["status"] == "active" and now["plan"] == "premium"
    assert now["price"] == {"amount": 3200, "currency": "usd", "interval": "month"}
    assert now["period"]["start"] < now["period"]["end"] < now["accessUntil"]
    assert now["cancelAt"] is None and not now["cancelAtPeriodEnd"] and not now["severalActive"]

    a = m.post("/api/subscription/cancel")
    assert a.status == 200 and a.json["cancelAtPeriodEnd"] and a.json["cancelAt"] == now["period"]["end"], a
    assert a.json["premium"]
    a = m.post("/api/subscription/resume")
    assert a.status == 200 and not a.json["cancelAtPeriodEnd"] and a.json["cancelAt"] is None, a
    a = m.post("/api/subscription/cancel")
    assert a.status == 200 and a.json["cancelAtPeriodEnd"], a
    sub = stripe(town.sandbox, "/v1/subscriptions/" + now["subscriptionId"])
    assert sub["cancel_at_period_end"] is True
    assert sub["metadata"]["userId"] == m.user_id
    # Whatever came in the same second, the facts end where Stripe is.
    town.sandbox.settle()
    town.settle()
    assert state(m)["cancelAtPeriodEnd"] is True


def test_portal(town):
    m = town.member()
    assert m.post("/api/subscription/portal").status == 404
    m.subscribe(town.sandbox)
    a = m.post("/api/subscription/portal", {"returnUrl": town.base + "/account"})
    assert a.status == 200 and a.json["url"].startswith("http"), a
    b = m.post("/api/subscription/portal")
    assert b.json["url"] != a.json["url"]  # made for each click
    assert m.post("/api/subscription/portal", {"returnUrl": "https://evil.example/"}).status == 422


def test_signed_out(town):
    visitor = town.client()
    for method, path in [("POST", "create"), ("POST", "cancel"), ("POST", "resume"), ("POST", "portal"),
                         ("POST", "confirm")]:
        assert visitor.call(method, "/api/subscription/" + path, {}).status == 401, path
    assert visitor.get("/api/subscription").status == 401


def test_nothing_to_cancel(town):
    m = town.member()
    assert m.post("/api/subscription/cancel").status == 404
    assert m.post("/api/subscription/resume").status == 404


# ---- one open checkout, one subscription

def test_second_subscribe_returns_the_open_session(town):
    m = town.member()
    first = create(m)
    assert create(m) == first
    assert create(m, successUrl=town.base + "/thanks") == first
    assert len(sessions(town.sandbox)) == 1
    # Ended at Stripe: a new one.
    requests.post(f"{town.sandbox.base}/v1/checkout/sessions/{first['sessionId']}/expire", headers=KEY,
                  timeout=PATIENCE).raise_for_status()
    second = create(m)
    assert second["sessionId"] != first["sessionId"] and second["url"] != first["url"]
    assert create(m) == second


def test_parallel_subscribes_make_one_session(town):
    m = town.member()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: m.post("/api/subscription/create"), range(40)))
    good = [a.json["sessionId"] for a in answers if a.status == 200]
    assert good, answers[0]
    assert {a.status for a in answers} <= {200, 503}, [a for a in answers if a.status not in (200, 503)]
    assert len(set(good)) == 1
    assert len(sessions(town.sandbox)) == 1
    assert len(customers_of(town.sandbox, m)) == 1


def test_subscribed_already(town):
    m = town.member()
    m.subscribe(town.sandbox)
    wait_until(lambda: state(m)["premium"])
    a = m.post("/api/subscription/create")
    assert a.status == 409 and a.code == "already_subscribed", a
    assert a.json["portalUrl"].startswith("http"), a
    assert len(sessions(town.sandbox)) == 1


def later(town, *how):
    """The server's clock takes Stripe's along."""
    town.clock(*how)
    town.sandbox.settle()
    town.settle()


def test_a_failed_renewal_names_the_invoice(town):
    m = town.member()
    m.subscribe(town.sandbox, card="4000000000000341")
    wait_until(lambda: state(m)["premium"])
    later(town, "+1", "month")
    now = wait_until(lambda: (lambda s: s["status"] == "past_due" and s)(state(m)))
    assert now["premium"] and now["grace"] and now["invoiceUrl"], now
    a = m.post("/api/subscription/create")
    assert a.status == 409 and a.json["invoiceUrl"] == now["invoiceUrl"], a


def test_cancelled_and_over_then_again(town):
    m = town.member()
    m.subscribe(town.sandbox)
    first = wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))
    assert m.post("/api/subscription/cancel").status == 200
    later(town, "+32", "days")
    now = wait_until(lambda: (lambda s: s["status"] == "canceled" and s)(state(m)))
    assert not now["premium"] and now["endedAt"], now
    a = m.post("/api/subscription/resume")
    assert a.status == 409 and a.code == "conflict", a
    assert m.post("/api/subscription/cancel").status == 409
    m.subscribe(town.sandbox)
    again = wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))
    assert again["subscriptionId"] != first["subscriptionId"] and again["status"] == "active"
    assert len(customers_of(town.sandbox, m)) == 1


def test_portal_sets_cancel_at_and_resume_takes_it_back(town):
    """Flexible billing: cancel_at without cancel_at_period_end. Never both in one request."""
    m = town.member()
    m.subscribe(town.sandbox)
    now = wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))
    url = f"{town.sandbox.base}/v1/subscriptions/{now['subscriptionId']}"
    end = stripe(town.sandbox, "/v1/subscriptions/" + now["subscriptionId"])["items"]["data"][0]["current_period_end"]
    requests.post(url, data={"cancel_at": end}, headers=KEY, timeout=PATIENCE).raise_for_status()
    town.sandbox.settle()
    town.settle()
    seen = state(m)
    assert seen["cancelAt"] == now["period"]["end"], seen
    a = m.post("/api/subscription/resume")
    assert a.status == 200 and a.json["cancelAt"] is None and not a.json["cancelAtPeriodEnd"], a
    sub = stripe(town.sandbox, "/v1/subscriptions/" + now["subscriptionId"])
    assert sub["cancel_at"] is None and sub["cancel_at_period_end"] is False


def test_payment_method_is_shown(town):
    m = town.member()
    m.subscribe(town.sandbox)
    now = wait_until(lambda: (lambda s: s["paymentMethod"] and s)(state(m)))
    assert now["paymentMethod"]["brand"] == "visa" and now["paymentMethod"]["last4"] == "4242", now


def test_a_declined_card_leaves_the_session_open(town):
    m = town.member()
    made = create(m)
    try:
        town.sandbox.pay(made["sessionId"], card="4000000000000002")
    except OSError:
        pass  # the sandbox says that it was declined
    town.sandbox.settle()
    assert not state(m)["premium"]
    assert create(m) == made


def test_trial_once(make_server, sandbox, tmp_path):
    import json
    from harness.process import ROOT
    catalog = json.loads((ROOT / "catalog.json").read_text())
    catalog["plan"]["trialDays"] = 7
    (tmp_path / "c.json").write_text(json.dumps(catalog))
    town = make_server(sandbox=sandbox, env={"CATALOG": str(tmp_path / "c.json")})
    sandbox.forward_to(town)
    m = town.member()
    m.subscribe(sandbox)
    now = wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))
    assert now["status"] == "trialing" and now["trialEnd"], now
    requests.delete(f"{sandbox.base}/v1/subscriptions/{now['subscriptionId']}", headers=KEY,
                    timeout=PATIENCE).raise_for_status()
    sandbox.settle()
    wait_until(lambda: state(m)["status"] == "canceled")
    m.subscribe(sandbox)
    assert wait_until(lambda: (lambda s: s["premium"] and s)(state(m)))["status"] == "active"


def test_paid_but_the_event_is_not_here_yet(quiet, sandbox):
    """A link that was paid is never given again: Stripe is asked."""
    m = quiet.member()
    made = create(m)
    sandbox.pay(made["sessionId"])
    assert not state(m)["premium"]
    a = m.post("/api/subscription/create")
    assert a.status == 409 and a.code == "already_subscribed", a
    assert state(m)["premium"]  # what was asked is kept
    assert len(sessions(sandbox)) == 1


def test_customer_deleted_at_stripe(quiet, sandbox):
    m = quiet.member()
    first = create(m)
    (customer,) = customers_of(sandbox, m)
    requests.post(f"{sandbox.base}/v1/checkout/sessions/{first['sessionId']}/expire", headers=KEY,
                  timeout=PATIENCE).raise_for_status()
    requests.delete(f"{sandbox.base}/v1/customers/{customer['id']}", headers=KEY, timeout=PATIENCE).raise_for_status()
    second = create(m)
    assert stripe(sandbox, "/v1/checkout/sessions/" + second["sessionId"])["customer"] != customer["id"]


# ---- the return from Checkout

def test_success_page_confirms(quiet, sandbox):
    m = quiet.member()
    made = create(m, successUrl=quiet.base + "/thanks?s={CHECKOUT_SESSION_ID}")
    sandbox.pay(made["sessionId"])
    assert not state(m)["premium"]
    url = stripe(sandbox, "/v1/checkout/sessions/" + made["sessionId"])["success_url"]
    url = url.replace("{CHECKOUT_SESSION_ID}", made["sessionId"])
    assert url.startswith(quiet.base + "/billing/success?")
    a = quiet.client().get(url[len(quiet.base):])
    assert a.status == 303, a
    assert a.headers["Location"] == f"{quiet.base}/thanks?s={made['sessionId']}"
    assert state(m)["premium"] and state(m)["status"] == "active"


def test_success_page_before_paying_grants_nothing(quiet):
    m = quiet.member()
    made = create(m)
    a = m.get("/billing/success?session_id=" + made["sessionId"])
    assert a.status == 303 and a.headers["Location"].rstrip("/") in ("", quiet.base), a
    assert not state(m)["premium"]


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_success_page_is_no_open_redirect(quiet, to):
    m = quiet.member()
    made = create(m)
    a = m.get("/billing/success?session_id=" + made["sessionId"] + "&to=" + urllib.parse.quote(to, safe=""))
    assert a.status == 422, a
    assert "Location" not in a.headers


@pytest.mark.parametrize("session", ["", "cs_test_/../x", "x" * 256, "cs%20a"])
def test_success_page_refuses_what_is_no_session(town, session):
    assert town.client().get("/billing/success?session_id=" + urllib.parse.quote(session)).status == 422


def test_success_page_of_an_unknown_session(town):
    assert town.client().get("/billing/success?session_id=cs_test_unknown").status == 404


def test_confirm(quiet, sandbox):
    m, other = quiet.member(), quiet.member()
    made = create(m)
    sandbox.pay(made["sessionId"])
    assert other.post("/api/subscription/confirm", {"sessionId": made["sessionId"]}).status == 404
    assert other.post("/api/subscription/confirm", {"sessionId": "cs_test_unknown"}).status == 404
    assert not state(other)["premium"]
    a = m.post("/api/subscription/confirm", {"sessionId": made["sessionId"]})
    assert a.status == 200 and a.json["premium"] and a.json["status"] == "active", a
    assert m.post("/api/subscription/confirm", {}).status == 422


def test_nobody_cancels_what_is_another_members(town):
    m, other = town.member(), town.member()
    m.subscribe(town.sandbox)
    sub = wait_until(lambda: state(m)["subscriptionId"])
    a = other.post("/api/subscription/cancel", {"subscriptionId": sub})
    assert a.status == 404, a
    assert not stripe(town.sandbox, "/v1/subscriptions/" + sub)["cancel_at_period_end"]


# ---- input

@pytest.mark.parametrize("field", ["successUrl", "cancelUrl"])
@pytest.mark.parametrize("url", ["https://evil.example/", "http://127.0.0.1.evil.example/", "javascript:alert(1)",
                                 "//evil.example", "not a url"])
def test_foreign_urls(town, field, url):
    m = town.member()
    a = m.post("/api/subscription/create", {field: url})
    assert a.status == 422 and a.json["errors"][0]["pointer"] == "/" + field, a
    assert not sessions(town.sandbox)


def test_lenient_but_typed(town):
    """A kept route: unknown fields and identity fields are ignored, wrong types are not."""
    m, other = town.member(), town.member()
    assert m.post("/api/subscription/create", {"plan": "gold"}).status == 422
    assert m.post("/api/subscription/create", {"plan": 5}).status == 422
    made = create(m, priceId="price_x", userId=other.user_id, email="other@example.com")
    session = stripe(town.sandbox, "/v1/checkout/sessions/" + made["sessionId"])
    assert session["client_reference_id"] == m.user_id
    assert m.post("/api/subscription/cancel", {"priceId": "x"}).status == 422


def test_cors_origins_may_be_returned_to(make_server, sandbox):
    server = make_server(sandbox=sandbox, env={"CORS_ORIGINS": "https://app.example"})
    server.cli("setup", "stripe", "--yes", "--no-webhook")
    create(server.member(), successUrl="https://app.example/done", cancelUrl="https://app.example/back")


# ---- Idempotency-Key

def test_idempotency_key(town):
    m, other = town.member(), town.member()
    key = {"Idempotency-Key": "k-1"}
    a = m.post("/api/subscription/create", {"plan": "premium"}, headers=key)
    b = m.post("/api/subscription/create", {"plan": "premium"}, headers=key)
    assert a.status == b.status == 200 and a.json == b.json
    assert b.headers.get("Idempotent-Replayed") == "true"
    c = m.post("/api/subscription/create", {"plan": "premium", "cancelUrl": town.base + "/x"}, headers=key)
    assert c.status == 409 and c.code == "idempotency_mismatch", c
    d = m.post("/api/subscription/portal", {"plan": "premium"}, headers=key)
    assert d.status in (409, 422), d
    # The scope is the member.
    e = other.post("/api/subscription/create", {"plan": "premium"}, headers=key)
    assert e.status == 200 and e.json["sessionId"] != a.json["sessionId"], e
    assert m.post("/api/subscription/create", {}, headers={"Idempotency-Key": "x" * 256}).status == 422


# ---- Stripe is not well

def test_stripe_down(make_server, make_sandbox):
    sandbox = make_sandbox()
    server = make_server(sandbox=sandbox)
    server.cli("setup", "stripe", "--yes", "--no-webhook")
    m = server.member()
    sandbox.fault("down", count=1000)
    a = m.post("/api/subscription/create")
    assert a.status == 503 and int(a.headers["Retry-After"]) > 0, a
    assert a.code == "upstream_unavailable"
    assert not state(m)["premium"]
    sandbox.fault("clear")
    made = create(m)
    assert create(m) == made
    assert len(sessions(sandbox)) == 1 and len(customers_of(sandbox, m)) == 1


@pytest.mark.parametrize("kind", ["lost_answer", "429", "500", "500_after", "slow"])
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/checkout/sessions", "/v1/prices"])
def test_one_effect_whatever_happens(quiet, sandbox, kind, path):
    m = quiet.member()
    sandbox.fault(kind, count=1, path=path, ms=300)
    a = m.post("/api/subscription/create")
    if a.status != 200:
        assert a.status == 503 and int(a.headers["Retry-After"]) > 0, a
    made = create(m)
    if a.status == 200:
        assert made == a.json
    assert len(sessions(sandbox)) == 1, kind
    assert len(customers_of(sandbox, m)) == 1, kind


def test_lost_answer_of_a_cancel(town):
    m = town.member()
    m.subscribe(town.sandbox)
    sub = wait_until(lambda: state(m)["subscriptionId"])
    town.sandbox.fault("lost_answer", count=1, path="/v1/subscriptions", method="POST")
    a = m.post("/api/subscription/cancel")
    assert a.status == 200 and a.json["cancelAtPeriodEnd"], a
    assert stripe(town.sandbox, "/v1/subscriptions/" + sub)["cancel_at_period_end"] is True


def test_success_page_with_stripe_down(quiet, sandbox):
    """Who paid is sent on; a job asks later."""
    m = quiet.member()
    made = create(m)
    sandbox.pay(made["sessionId"])
    sandbox.fault("down", count=3)
    a = m.get("/billing/success?session_id=" + made["sessionId"])
    assert a.status == 303, a
    sandbox.fault("clear")
    quiet.settle()
    wait_until(lambda: state(m)["premium"])


def test_no_stripe_key(make_server):
    server = make_server(env={"STRIPE_SECRET_KEY": ""})
    a = server.member().post("/api/subscription/create")
    assert a.status == 503 and a.code == "not_configured", a


def test_no_price_yet(make_server, sandbox):
    server = make_server(sandbox=sandbox)
    a = server.member().post("/api/subscription/create")
    assert a.status == 503 and a.code == "not_configured" and "setup stripe" in a.json["detail"], a


def test_the_key_is_nowhere(town):
    m = town.member()
    create(m)
    log = town.process.output()
    assert "sk_test_harness" not in log and "whsec_test_of_the_harness" not in log


# ---- what happened

def test_the_events_of_a_member_are_its_own(town):
    m, other = town.member(), town.member()
    assert m.get("/api/subscription/events").json == {"data": [], "nextCursor": None}
    town.sandbox.pay(create(m)["sessionId"])
    town.sandbox.settle()
    seen = m.get("/api/subscription/events?limit=100").json["data"]
    types = {e["type"] for e in seen}
    assert {"checkout.session.completed", "customer.subscription.created", "invoice.paid", "payment_intent.succeeded",
            "charge.succeeded"} <= types, types
    assert [e["createdAt"] for e in seen] == sorted((e["createdAt"] for e in seen), reverse=True)
    assert other.get("/api/subscription/events").json["data"] == []
    town.sandbox.pay(create(other)["sessionId"])
    town.sandbox.settle()
    theirs = {e["id"] for e in other.get("/api/subscription/events?limit=100").json["data"]}
    assert theirs and not theirs & {e["id"] for e in seen}
    # page by page it is the same list
    got, cursor = [], ""
    while cursor is not None:
        page = m.get(f"/api/subscription/events?limit=2{cursor and '&cursor=' + cursor}").json
        got += page["data"]
        cursor = page["nextCursor"]
    assert got == seen


def test_the_built_in_page_is_where_checkout_returns_to(town):
    m = town.member()
    session = stripe(town.sandbox, "/v1/checkout/sessions/" + create(m)["sessionId"])
    assert session["cancel_url"] == town.base + "/?canceled=premium"
    a = m.get(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])[len(town.base):])
    assert a.status == 303 and a.headers["Location"] == "/?subscribed=premium"


def test_the_price_is_the_subscriptions_own(server):
    """Changed at Stripe, or made for another price: what is told is what is paid, not what the catalogue asks."""
    m = server.member()
    assert state(m)["price"] == {"amount": 3200, "currency": "usd", "interval": "month"}
    s = Subscriber(m.user_id, time.time())
    price = {"id": "price_old", "object": "price", "unit_amount": 29000, "currency": "eur", "recurring": {"interval": "year"}}
    made = s.subscription("created")
    deliver(server, made, *s.month())
    assert state(m)["price"]["amount"] == 3200, "nothing is known of it"
    changed = s.subscription(at=s.start + 60)
    changed["data"]["object"]["items"]["data"][0]["price"] = price
    deliver(server, changed)
    assert state(m)["price"] == {"amount": 29000, "currency": "eur", "interval": "year"}
