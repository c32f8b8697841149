"""What the sandbox refuses, as Stripe would: it must not let pass what Stripe would not."""
import email.utils
import json
import urllib.error
import urllib.request

import pytest

from caller import Stripe, basic

DAY = 86400


def now(sandbox):
    return sandbox.call("GET", "/_sandbox/clock")["now"]


# ---- who calls

def test_a_key_is_needed(sandbox):
    for key in (None, "sk_live_x", "nonsense", "pk_test_x"):
        answer = Stripe(sandbox.base, key=key).send("GET", "/v1/customers")
        assert answer.status == 401 and answer.error["type"] == "invalid_request_error", key
    assert Stripe(sandbox.base, key="rk_test_x").get("/v1/customers")["data"] == []
    answer = Stripe(sandbox.base, key=None).send("GET", "/v1/customers", headers={"Authorization": basic("sk_test_a")})
    assert answer.status == 200


def test_one_key_only_when_named(make_sandbox):
    box = make_sandbox("--key", "sk_test_mine")
    assert Stripe(box.base, key="sk_test_mine").send("GET", "/v1/events").status == 200
    answer = Stripe(box.base, key="sk_test_other").send("GET", "/v1/events")
    assert answer.status == 401 and "sk_test_other" not in answer.text


def test_unknown_url(stripe):
    assert "Unrecognized request URL" in stripe.refused("/v1/nonsense", status=404)["message"]


# ---- parameters

@pytest.mark.parametrize("path, params, code, param", [
    ("/v1/customers", {"nonsense": "1"}, "parameter_unknown", "nonsense"),
    ("/v1/customers", {"invoice_settings": {"nope": "1"}}, "parameter_unknown", "invoice_settings[nope]"),
    ("/v1/products", {}, "parameter_missing", "name"),
    ("/v1/prices", {"unit_amount": 5, "product_data": {"name": "x"}}, "parameter_missing", "currency"),
    ("/v1/prices", {"currency": "usd", "unit_amount": "5.5", "product_data": {"name": "x"}},
     "parameter_invalid_integer", "unit_amount"),
    ("/v1/prices", {"currency": "usd", "unit_amount": "1e3", "product_data": {"name": "x"}},
     "parameter_invalid_integer", "unit_amount"),
    ("/v1/prices", {"currency": "usd", "unit_amount": 5, "product_data": {"name": "x"}, "active": "yes"},
     "parameter_invalid_boolean", "active"),
    ("/v1/checkout/sessions", {"mode": "gift"}, "parameter_invalid_enum", "mode"),
    ("/v1/checkout/sessions", {"mode": "payment", "payment_method_types": ["card"]}, "parameter_unknown",
     "payment_method_types"),
    ("/v1/checkout/sessions", {"mode": "payment", "line_items": [{"price_data": {"unit_amount": 5}}]},
     "parameter_missing", "line_items[0][price_data][currency]"),
    ("/v1/customers", {"metadata": {"k" * 41: "x"}}, "parameter_invalid", "metadata[" + "k" * 41 + "]"),
    ("/v1/customers", {"metadata": {"k": "x" * 501}}, "parameter_invalid", "metadata[k]"),
    ("/v1/refunds", {}, "parameter_missing", "charge"),
])
def test_parameters(stripe, path, params, code, param):
    error = stripe.refused(path, params)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_a_refused_request_changes_nothing(sandbox, stripe):
    before = sandbox.call("GET", "/_sandbox/events")
    stripe.refused("/v1/customers", {"email": "a@example.com", "nonsense": "1"})
    assert stripe.get("/v1/customers")["data"] == [] and sandbox.call("GET", "/_sandbox/events") == before


def test_missing_objects(stripe):
    for path in ("customers", "prices", "subscriptions", "invoices", "payment_intents", "checkout/sessions", "charges",
                 "refunds", "events", "coupons"):
        error = stripe.refused(f"/v1/{path}/x_none", status=404, method="GET")
        assert error["code"] == "resource_missing", path
    assert stripe.refused("/v1/billing_portal/sessions", {"customer": "cus_none"})["code"] == "resource_missing"


def test_encoded_brackets_and_empty_values(sandbox, stripe):
    customer = stripe.post("/v1/customers", {"email": "ü+x@example.com", "metadata": {"a": "1", "b": "2"}})
    assert customer["email"] == "ü+x@example.com"
    request = urllib.request.Request(sandbox.base + "/v1/customers/" + customer["id"], method="POST",
                                     data=b"metadata%5Ba%5D=&metadata[c]=x%20y+z&email=",
                                     headers={"Authorization": "Bearer sk_test_k"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = json.loads(answer.read())
    assert body["metadata"] == {"b": "2", "c": "x y z"} and body["email"] is None


# ---- rules between fields

@pytest.mark.parametrize("change, param", [
    ({"customer": "CUS", "customer_email": "a@example.com"}, "customer_email"),
    ({"customer": "CUS", "customer_creation": "always"}, "customer_creation"),
    ({"subscription_data": {"description": "x"}}, "subscription_data"),
    ({"mode": "subscription"}, "line_items"),
    ({"mode": "subscription", "line_items": "RECURRING", "payment_intent_data": {"description": "x"}},
     "payment_intent_data"),
    ({"line_items": "RECURRING"}, "line_items"),
    ({"success_url": None}, "success_url"),
    ({"mode": None}, "mode"),
    ({"line_items": []}, "line_items"),
    ({"expires_at": 60}, "expires_at"),
    ({"expires_at": DAY + 3600}, "expires_at"),
    ({"discounts": [{"coupon": "none"}]}, "discounts[0][coupon]"),
    ({"discounts": [{"coupon": "c"}], "allow_promotion_codes": True}, "allow_promotion_codes"),
    ({"discounts": [{"coupon": "c"}, {"coupon": "c"}]}, "discounts"),
    ({"line_items": [{"price": "PRICE"}]}, "line_items[0][quantity]"),
])
def test_checkout_rules(sandbox, stripe, change, param):
    stripe.post("/v1/coupons", {"id": "c", "percent_off": 10})
    names = {"CUS": stripe.post("/v1/customers")["id"], "PRICE": stripe.price(interval=None)["id"]}
    params = {"mode": "payment", "line_items": [{"price": names["PRICE"], "quantity": 1}],
              "success_url": "http://127.0.0.1/ok"}
    for key, value in change.items():
        if value == "RECURRING":
            value = [{"price": stripe.price()["id"], "quantity": 1}]
        if key == "expires_at":
            value += now(sandbox)
        if value == [{"price": "PRICE"}]:
            value = [{"price": names["PRICE"]}]
        params[key] = names.get(value, value) if isinstance(value, str) else value
    params = {k: v for k, v in params.items() if v is not None}
    assert stripe.refused("/v1/checkout/sessions", params)["param"] == param
    assert stripe.get("/v1/checkout/sessions")["data"] == []


def test_checkout_takes_what_is_right(sandbox, stripe):
    session = stripe.session("payment", expires_at=now(sandbox) + 1900, client_reference_id="u1",
                             metadata={"purchaseId": "p"}, payment_intent_data={"metadata": {"purchaseId": "p"}})
    assert len(session["id"]) > 60 and session["status"] == "open" and session["payment_status"] == "unpaid"
    assert session["url"].startswith(sandbox.base) and session["client_reference_id"] == "u1"


def test_less_than_the_minimum(stripe):
    stripe.post("/v1/coupons", {"id": "most", "percent_off": 99})
    stripe.post("/v1/coupons", {"id": "all", "percent_off": 100})
    line = [{"price": stripe.price(1000, interval=None)["id"], "quantity": 1}]
    base = {"mode": "payment", "line_items": line, "success_url": "http://127.0.0.1/ok"}
    assert stripe.refused("/v1/checkout/sessions", {**base, "discounts": [{"coupon": "most"}]})["code"] == "amount_too_small"
    assert stripe.post("/v1/checkout/sessions", {**base, "discounts": [{"coupon": "all"}]})["amount_total"] == 0


def test_percentages_round_half_up(stripe):
    stripe.post("/v1/coupons", {"id": "p", "percent_off": 30})
    session = stripe.session("payment", 1015, discounts=[{"coupon": "p"}])
    assert session["total_details"]["amount_discount"] == 305 and session["amount_total"] == 710


def test_fixed_ids_and_lookup_keys(stripe):
    stripe.post("/v1/coupons", {"id": "c20", "percent_off": 20})
    assert stripe.refused("/v1/coupons", {"id": "c20", "percent_off": 20})["code"] == "resource_already_exists"
    stripe.post("/v1/products", {"id": "p", "name": "P"})
    assert stripe.refused("/v1/products", {"id": "p", "name": "P"})["code"] == "resource_already_exists"
    first = stripe.price(lookup_key="k")
    assert stripe.refused("/v1/prices", {"currency": "usd", "unit_amount": 9, "product": "p", "lookup_key": "k"})
    second = stripe.price(3300, lookup_key="k", transfer_lookup_key=True)
    stripe.post("/v1/prices/" + first["id"], {"active": False})
    found = stripe.get("/v1/prices", lookup_keys=["k"], active=True)["data"]
    assert [p["id"] for p in found] == [second["id"]]
    assert stripe.get("/v1/prices/" + first["id"])["lookup_key"] is None
    session = {"mode": "subscription", "line_items": [{"price": first["id"], "quantity": 1}],
               "success_url": "http://127.0.0.1/ok"}
    assert stripe.refused("/v1/checkout/sessions", session)["param"] == "line_items[0][price]"


def test_cancel_at_and_at_period_end_never_together(sandbox, stripe, subscribed):
    sub = subscribed()
    path = "/v1/subscriptions/" + sub["id"]
    assert stripe.refused(path, {"cancel_at": now(sandbox) + DAY, "cancel_at_period_end": True})["param"] == "cancel_at"
    assert stripe.refused(path, {"cancel_at": "", "cancel_at_period_end": False})["param"] == "cancel_at"
    assert stripe.get(path) == sub


def test_refunds_have_limits(stripe, bought):
    pi = bought()["payment_intent"]
    assert stripe.refused("/v1/refunds", {"payment_intent": pi, "amount": 3201})["param"] == "amount"
    stripe.post("/v1/refunds", {"payment_intent": pi, "amount": 3000})
    assert stripe.refused("/v1/refunds", {"payment_intent": pi, "amount": 201})["param"] == "amount"
    stripe.post("/v1/refunds", {"payment_intent": pi})
    assert stripe.refused("/v1/refunds", {"payment_intent": pi})["code"] == "charge_already_refunded"


# ---- idempotency

def test_idempotency(stripe):
    first = stripe.send("POST", "/v1/customers", {"email": "a@example.com"}, idempotency="k1")
    again = stripe.send("POST", "/v1/customers", {"email": "a@example.com"}, idempotency="k1")
    assert again.body == first.body and again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Idempotent-Replayed"] is None
    other = stripe.send("POST", "/v1/customers", {"email": "b@example.com"}, idempotency="k1")
    assert other.status == 400 and other.error["type"] == "idempotency_error"
    assert len(stripe.get("/v1/customers")["data"]) == 1


def test_what_validation_refuses_is_not_kept(stripe):
    bad = stripe.send("POST", "/v1/customers", {"nonsense": "1"}, idempotency="k2")
    good = stripe.send("POST", "/v1/customers", {"email": "a@example.com"}, idempotency="k2")
    assert bad.status == 400 and good.status == 200 and not good.headers["Idempotent-Replayed"]


def test_a_lost_answer_is_found_again_by_its_key(sandbox, stripe):
    sandbox.fault("lost_answer", path="/v1/customers", method="POST")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        stripe.send("POST", "/v1/customers", {"email": "a@example.com"}, idempotency="lost")
    again = stripe.send("POST", "/v1/customers", {"email": "a@example.com"}, idempotency="lost")
    assert again.status == 200 and again.headers["Idempotent-Replayed"] == "true"
    assert [c["id"] for c in stripe.get("/v1/customers")["data"]] == [again.body["id"]]


def test_faults_of_the_api(sandbox, stripe):
    sandbox.fault("429")
    limited = stripe.send("GET", "/v1/customers")
    assert limited.status == 429 and limited.headers["Retry-After"] == "1"
    sandbox.fault("500", count=2)
    assert [stripe.send("POST", "/v1/customers", idempotency="f").status for _ in range(3)] == [500, 500, 200]
    sandbox.fault("500_after")
    assert [stripe.send("POST", "/v1/customers", idempotency="g").status for _ in range(2)] == [500, 500]
    sandbox.fault("down", count=-1)
    for _ in range(3):
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            stripe.send("GET", "/v1/customers")
    sandbox.fault("clear")
    assert len(stripe.get("/v1/customers")["data"]) == 2
    log = sandbox.call("GET", "/_sandbox/requests")["data"]
    assert [r["fault"] for r in log if r["fault"]] == ["429", "500", "500", "500_after", "down", "down", "down"]
    with pytest.raises(urllib.error.HTTPError):
        sandbox.fault("nonsense")


# ---- lists and dates

def test_lists_page(stripe):
    made = [stripe.post("/v1/customers", {"email": f"{i}@example.com"})["id"] for i in range(7)]
    page = stripe.get("/v1/customers", limit=3)
    assert [c["id"] for c in page["data"]] == made[:3:-1] and page["has_more"] is True
    page = stripe.get("/v1/customers", limit=3, starting_after=page["data"][-1]["id"])
    assert [c["id"] for c in page["data"]] == [made[3], made[2], made[1]] and page["has_more"] is True
    page = stripe.get("/v1/customers", limit=3, starting_after=page["data"][-1]["id"])
    assert [c["id"] for c in page["data"]] == [made[0]] and page["has_more"] is False
    page = stripe.get("/v1/customers", limit=2, ending_before=made[3])
    assert [c["id"] for c in page["data"]] == [made[5], made[4]] and page["has_more"] is True
    assert len(stripe.get("/v1/customers", limit=100)["data"]) == 7
    for limit in (0, 101, -1):
        assert stripe.refused("/v1/customers", {"limit": limit}, method="GET")["param"] == "limit"


def test_events_by_time_and_type(sandbox, stripe):
    stripe.post("/v1/customers")
    first = stripe.get("/v1/events")["data"][0]
    sandbox.control("clock", advance="+1 day")
    stripe.post("/v1/products", {"name": "x"})
    assert [e["type"] for e in stripe.get("/v1/events", created={"gt": first["created"]})["data"]] == ["product.created"]
    assert [e["type"] for e in stripe.get("/v1/events", types=["customer.created"])["data"]] == ["customer.created"]
    assert [e["type"] for e in stripe.get("/v1/events", type="product.*")["data"]] == ["product.created"]
    assert stripe.get("/v1/events/" + first["id"]) == first


def test_the_date_is_the_sandboxs_clock(sandbox, stripe):
    moved = sandbox.control("clock", advance="+40 days")["now"]
    answer = stripe.send("GET", "/v1/customers")
    at = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
    assert moved <= at <= moved + 120
    made = stripe.post("/v1/customers")
    assert moved <= made["created"] <= moved + 120
    assert answer.headers["Request-Id"].startswith("req_")
    assert len(answer.headers.get_all("Date")) == 1


def test_webhook_endpoints(stripe):
    made = stripe.post("/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/a", "enabled_events": ["invoice.paid"],
                                                 "api_version": "2026-10-28.endive"})
    assert made["secret"].startswith("whsec_")
    assert "secret" not in stripe.get("/v1/webhook_endpoints")["data"][0]
    assert stripe.refused("/v1/webhook_endpoints/" + made["id"], {"api_version": "2024-06-20"})["code"] == \
        "parameter_unknown"
    changed = stripe.post("/v1/webhook_endpoints/" + made["id"], {"enabled_events": ["*"], "disabled": True})
    assert changed["enabled_events"] == ["*"] and changed["status"] == "disabled"
    assert stripe.delete("/v1/webhook_endpoints/" + made["id"])["deleted"] is True
