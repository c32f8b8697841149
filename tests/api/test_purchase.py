"""Buying one item: checkout, status from facts, slots, history. SPEC §2 "Holding a slot", "Purchase"."""
import itertools
import json
import random

import pytest

from books import PRICE, QUIZZES, at_once, discount, event, patient, premium, sql, tell
from harness import Client
from harness.client import post_event
from little_stripe import LittleStripe


@pytest.fixture
def stripe():
    s = LittleStripe()
    yield s
    s.close()


@pytest.fixture
def shop(make_server, stripe):
    return make_server(sandbox=stripe)


@pytest.fixture
def member(shop):
    return shop.member()


def checkout(c, item="quiz:stress-profile", **more):
    return c.post("/api/purchases/checkout", {"item": item, **more})


def pay(shop, stripe, session, **how):
    tell(shop, "checkout.session.completed", stripe.pay(session, **how))
    tell(shop, "payment_intent.succeeded", stripe.payment(session))


def purchase(c, id_):
    a = c.get("/api/purchases/" + id_)
    assert a.status == 200, a
    return a.json


def slots(c):
    return c.entitlements()["quizzes"]["discount"]


def flags(shop, kind):
    return [r[0] for r in sql(shop, "SELECT ref FROM billing_flag WHERE kind = ?", kind)]


def test_what_stripe_is_asked_for(shop, stripe, member):
    a = checkout(member)
    assert a.status == 200, a
    assert a.json["url"] == f"{stripe.base}/pay/1" and a.json["price"] == a.json["listPrice"] == 1900
    session = stripe.sessions[a.json["sessionId"]]
    expected = {"userId": member.user_id, "type": "quiz", "itemId": "quiz:stress-profile", "purchaseId": a.json["purchaseId"]}
    assert expected.items() <= session["metadata"].items() and session["payment_metadata"] == expected
    assert session["client_reference_id"] == member.user_id and session["customer"].startswith("cus_")
    assert session["amount_total"] == 1900 and session["currency"] == "usd"
    form = next(body for path, body, _ in stripe.posts if path == "/v1/checkout/sessions")
    assert "%7BCHECKOUT_SESSION_ID%7D" in form or "{CHECKOUT_SESSION_ID}" in form
    left = session["expires_at"] - stripe.now()
    assert 30 * 60 <= left <= 24 * 3600


def test_a_second_checkout_returns_the_open_session(shop, stripe, member):
    first, second = checkout(member), checkout(member)
    assert first.json["sessionId"] == second.json["sessionId"] and first.json["url"] == second.json["url"]
    assert len(stripe.sessions) == 1
    assert len(member.get("/api/purchases").json["data"]) == 1


def test_paid_owned_and_not_sold_twice(shop, stripe, member):
    a = checkout(member).json
    pay(shop, stripe, a["sessionId"])
    p = purchase(member, a["purchaseId"])
    assert (p["status"], p["access"], p["checkoutUrl"]) == ("paid", True, None) and p["paidAt"]
    assert [h["status"] for h in p["history"]] == ["pending", "paid"]
    assert p["history"][1]["event"].startswith("evt_") and p["history"][1]["actor"] == "stripe"
    assert checkout(member).code == "already_owned"
    use = member.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"})
    assert use.status == 200 and use.json["via"] == "purchase"
    receipt = member.get(f"/api/purchases/{a['purchaseId']}/receipt").json
    assert (receipt["total"], receipt["email"], receipt["refunded"]) == (1900, "buyer@example.com", 0)
    assert shop.dev("userstate", member.user_id)["paid_cents"] == 1900


def test_another_members_purchase_answers_like_a_missing_one(shop, stripe, member):
    a = checkout(member).json
    other = shop.member()
    for path in ("", "/receipt"):
        got = other.get(f"/api/purchases/{a['purchaseId']}{path}")
        missing = other.get("/api/purchases/pur_0193a6b4-7a10-7c3e-9f00-3a5f1c2d4e6f" + path)
        assert got.status == missing.status == 404
        assert {**got.json, "requestId": 0} == {**missing.json, "requestId": 0}
    assert other.get("/api/purchases").json["data"] == []


@pytest.mark.parametrize("body, status, code", [
    ({"item": "quiz:nothing"}, 404, "not_found"), ({"item": "quiz:mood-check"}, 409, "conflict"),
    ({}, 422, "validation_failed"), ({"item": "quiz:big-five", "price": 1}, 422, "validation_failed"),
    ({"item": "quiz:big-five", "discountCode": "NOPE"}, 422, "validation_failed")])
def test_refused_and_nothing_changed(shop, stripe, member, body, status, code):
    a = member.post("/api/purchases/checkout", body)
    assert (a.status, a.code) == (status, code), a
    assert member.get("/api/purchases").json["data"] == [] and not stripe.sessions


def test_the_same_idempotency_key_is_one_checkout(shop, stripe, member):
    def once(item):
        return member.post("/api/purchases/checkout", {"item": item}, headers={"Idempotency-Key": "k1"})
    first, second = once("quiz:big-five"), once("quiz:big-five")
    assert first.status == second.status == 200 and first.json == second.json
    assert once("quiz:sleep-quality").code == "idempotency_mismatch"


def test_stripe_down_is_503_and_leaks_no_slot(shop, stripe, member):
    premium(shop, member)
    assert checkout(member, "quiz:big-five").status == 200
    stripe.fault = "down"
    for _ in range(2):
        a = checkout(member)
        assert a.status == 503 and a.headers.get("Retry-After") is not None or a.status == 503, a
    assert slots(member)["held"] == 2  # the second checkout is on its way: held once, not twice
    stripe.fault = None
    a = checkout(member)
    assert a.status == 200 and a.json["price"] == 1520, a
    assert slots(member)["held"] == 2 and len(stripe.sessions) == 2
    keys = {key for path, _, key in stripe.posts if path == "/v1/checkout/sessions"}
    assert len(keys) == 2


def test_a_lost_answer_is_repeated_with_its_key(shop, stripe, member):
    assert checkout(member, "quiz:big-five").status == 200  # so that the customer is there
    stripe.fault = "lost"
    assert checkout(member).status == 503
    stripe.fault = None
    a = checkout(member)
    assert a.status == 200 and len(stripe.sessions) == 2, a
    assert a.json["sessionId"] in stripe.sessions


def test_refused_by_stripe_frees_the_slot_at_once(shop, stripe, member):
    premium(shop, member)
    stripe.fault = "refuse"
    assert checkout(member).status == 502
    assert slots(member)["held"] == 0
    p, = member.get("/api/purchases").json["data"]
    assert p["status"] == "failed"
    stripe.fault = None
    assert checkout(member).status == 200


def test_a_new_price_ends_the_old_session(shop, stripe, member):
    first = checkout(member).json
    assert first["price"] == 1900
    discount(shop, member=member.user_id, percent=50)
    second = checkout(member).json
    assert second["price"] == 950 and second["sessionId"] != first["sessionId"]
    assert stripe.sessions[first["sessionId"]]["status"] == "expired"
    assert purchase(member, first["purchaseId"])["status"] == "expired"
    assert purchase(member, second["purchaseId"])["status"] == "pending"


def test_paid_just_before_the_price_changed(shop, stripe, member):
    """The old session is complete at Stripe, its event is not here yet: nobody pays twice."""
    first = checkout(member).json
    stripe.pay(first["sessionId"])
    discount(shop, member=member.user_id, percent=50)
    a = checkout(member)
    assert a.code == "already_owned", a
    assert purchase(member, first["purchaseId"])["status"] == "paid" and len(stripe.sessions) == 1


@pytest.mark.parametrize("bend", [{"amount_total": 1}, {"currency": "eur"}, {"metadata": {"itemId": "quiz:big-five"}}])
def test_an_event_that_disagrees_grants_nothing(shop, stripe, member, bend):
    a = checkout(member).json
    forged = json.loads(json.dumps(stripe.pay(a["sessionId"])))
    forged["metadata"] = {**forged["metadata"], **bend.pop("metadata", {})}
    tell(shop, "checkout.session.completed", {**forged, **bend})
    p = purchase(member, a["purchaseId"])
    assert not p["access"] and p["status"] == "failed", p
    assert member.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"}).status == 402
    assert a["purchaseId"] in flags(shop, "amount_mismatch")


def test_another_session_that_names_the_purchase_is_ignored(shop, stripe, member):
    a = checkout(member).json
    forged = {**stripe.pay(a["sessionId"]), "id": "cs_test_other", "payment_intent": "pi_other"}
    tell(shop, "checkout.session.completed", forged)
    assert purchase(member, a["purchaseId"])["status"] == "pending"
    assert "cs_test_other" in flags(shop, "amount_mismatch")
    pay(shop, stripe, a["sessionId"])
    assert purchase(member, a["purchaseId"])["status"] == "paid"


def test_a_paid_session_of_no_purchase_is_flagged(shop, stripe, member):
    a = checkout(member).json
    stranger = {**stripe.pay(a["sessionId"]), "id": "cs_test_stranger", "metadata": {}, "payment_intent": "pi_stranger"}
    tell(shop, "checkout.session.completed", stranger)
    assert flags(shop, "unmatched_payment") == ["cs_test_stranger"]


def test_held_consumed_released(shop, stripe, member):
    premium(shop, member)
    first, second = checkout(member).json, checkout(member, "quiz:big-five").json
    assert (first["price"], second["price"]) == (1520, 4000) and slots(member)["held"] == 2
    pay(shop, stripe, first["sessionId"])
    assert (slots(member)["used"], slots(member)["held"]) == (1, 1)
    tell(shop, "checkout.session.expired", stripe.expire(second["sessionId"]))
    assert (slots(member)["used"], slots(member)["held"], slots(member)["remaining"]) == (1, 0, 2)
    assert purchase(member, second["purchaseId"])["status"] == "expired"


def test_a_declined_card_keeps_the_slot(shop, stripe, member):
    premium(shop, member)
    a = checkout(member).json
    s = stripe.sessions[a["sessionId"]]
    tell(shop, "payment_intent.payment_failed",
         {"id": "pi_x", "object": "payment_intent", "status": "requires_payment_method", "amount": 1520, "amount_received": 0,
          "currency": "usd", "created": s["created"], "metadata": s["payment_metadata"],
          "last_payment_error": {"code": "card_declined"}})
    assert purchase(member, a["purchaseId"])["status"] == "pending" and slots(member)["held"] == 1
    assert checkout(member).json["sessionId"] == a["sessionId"]


@pytest.mark.parametrize("paid_first", [True, False])
def test_a_late_payment_is_honoured_without_a_slot(shop, stripe, member, paid_first):
    premium(shop, member)
    a = checkout(member).json
    expired = dict(stripe.expire(a["sessionId"]))
    stripe.sessions[a["sessionId"]]["payment_intent"] = "pi_late"
    paid = stripe.payment(a["sessionId"])
    told = [("payment_intent.succeeded", paid), ("checkout.session.expired", expired)]
    for kind, obj in told if paid_first else reversed(told):
        tell(shop, kind, obj)
    assert purchase(member, a["purchaseId"])["status"] == "paid"
    assert (slots(member)["used"], slots(member)["held"], slots(member)["remaining"]) == (0, 0, 3)
    assert flags(shop, "late_payment") == [a["purchaseId"]]


def test_nobody_told_so_a_job_asks(shop, stripe, member):
    premium(shop, member)
    a = checkout(member).json
    shop.settle()
    assert slots(member)["held"] == 1
    stripe.expire(a["sessionId"])
    shop.clock("+2", "hours")
    shop.settle()
    assert purchase(member, a["purchaseId"])["status"] == "expired" and slots(member)["held"] == 0


def test_the_job_that_cannot_ask_keeps_the_slot(shop, stripe, member):
    premium(shop, member)
    a = checkout(member).json
    stripe.fault = "down"
    shop.clock("+2", "hours")
    shop.settle()
    assert purchase(member, a["purchaseId"])["status"] == "pending" and slots(member)["held"] == 1


def test_forty_checkouts_get_three_discounts_and_one_session_an_item(shop, stripe, member):
    premium(shop, member)
    assert checkout(member, "article:grief").status == 200  # the customer is made once, before
    items = QUIZZES + ["quiz:life-review"]
    answers = at_once(40, lambda i: patient(lambda: checkout(Client(shop, token=member.token), items[i % len(items)])))
    assert {a.status for a in answers} == {200}, [a for a in answers if a.status != 200]
    by_item = {}
    for a in answers:
        by_item.setdefault(a.json["item"], set()).add((a.json["sessionId"], a.json["price"]))
    assert all(len(v) == 1 for v in by_item.values()), by_item
    cheaper = [i for i, v in by_item.items() if next(iter(v))[1] < PRICE[i]]
    assert len(cheaper) == 3, by_item
    assert (slots(member)["held"], slots(member)["remaining"]) == (3, 0)
    assert len(stripe.sessions) == len(items) + 1


def test_events_in_any_order_and_twice_end_the_same(shop, stripe, member):
    premium(shop, member)
    a = checkout(member).json
    session = stripe.pay(a["sessionId"])
    charge = {"id": "ch_1", "object": "charge", "status": "succeeded", "paid": True, "amount": 1520, "amount_captured": 1520,
              "amount_refunded": 0, "refunded": False, "currency": "usd", "created": session["created"],
              "payment_intent": session["payment_intent"], "metadata": session["payment_metadata"]}
    refund = {"id": "re_1", "object": "refund", "status": "succeeded", "amount": 520, "currency": "usd", "charge": "ch_1",
              "payment_intent": session["payment_intent"], "created": session["created"], "metadata": {}}
    events = [event("refund.created", refund), event("charge.succeeded", charge),
              event("payment_intent.succeeded", stripe.payment(a["sessionId"])), event("checkout.session.completed", session)]
    for e in events + events[::-1]:
        assert post_event(shop, e).status == 200
    p = purchase(member, a["purchaseId"])
    assert p["status"] == "partially_refunded" and p["access"]
    assert slots(member)["used"] == 1
    state = shop.dev("userstate", member.user_id)
    assert (state["paid_cents"], state["refunded_cents"]) == (3200 + 1520, 520), state
    assert state["items"]["quiz:stress-profile"] == "owned"


def test_a_purchase_list_has_pages(shop, stripe, member):
    for item in QUIZZES:
        assert checkout(member, item).status == 200
    seen, cursor = [], ""
    while cursor is not None:
        page = member.get("/api/purchases?limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [p["item"] for p in page["data"]]
        cursor = page["nextCursor"]
    assert seen == QUIZZES[::-1]
    assert member.get("/api/purchases?limit=0").status == 422


def test_a_deleted_member_leaves_the_books_alone(shop, stripe, member):
    paid, open_ = checkout(member).json, checkout(member, "quiz:big-five").json
    pay(shop, stripe, paid["sessionId"])
    mine = discount(shop, member=member.user_id, percent=50)
    a = member.call("DELETE", "/api/auth/me", {})
    assert a.status in (200, 204), a
    shop.settle()
    assert stripe.sessions[open_["sessionId"]]["status"] == "expired"
    rows = sql(shop, "SELECT id, status, email FROM purchase ORDER BY id")
    assert [(i, s, e or None) for i, s, e in rows] == [(paid["purchaseId"], "paid", None),
                                                      (open_["purchaseId"], "expired", None)]
    assert sql(shop, "SELECT id FROM manual_discount WHERE disabled_at IS NOT NULL") == [(mine,)]


def test_a_late_payment_ends_the_checkout_that_followed(shop, stripe, member):
    """The first session expired, a second one is open, then the first one's payment comes: nobody pays twice."""
    first = checkout(member).json
    tell(shop, "checkout.session.expired", dict(stripe.expire(first["sessionId"])))
    second = checkout(member).json
    assert second["sessionId"] != first["sessionId"]
    stripe.sessions[first["sessionId"]]["payment_intent"] = "pi_late"
    tell(shop, "payment_intent.succeeded", stripe.payment(first["sessionId"]))
    shop.settle()
    assert purchase(member, first["purchaseId"])["status"] == "paid"
    assert stripe.sessions[second["sessionId"]]["status"] == "expired"
    assert purchase(member, second["purchaseId"])["status"] == "expired"
    assert flags(shop, "paid_twice") == []


def test_paid_twice_is_flagged(shop, stripe, member):
    first = checkout(member).json
    tell(shop, "checkout.session.expired", dict(stripe.expire(first["sessionId"])))
    second = checkout(member).json
    pay(shop, stripe, second["sessionId"])
    stripe.sessions[first["sessionId"]]["payment_intent"] = "pi_late"
    tell(shop, "payment_intent.succeeded", stripe.payment(first["sessionId"]))
    assert flags(shop, "paid_twice") == [first["purchaseId"]]
    assert shop.dev("userstate", member.user_id)["paid_cents"] == 3800


def story_of_a_purchase(stripe, a):
    """Paid, refunded in part, disputed and won: six events about four objects."""
    session = stripe.pay(a["sessionId"])
    pi, n, t = session["payment_intent"], session["id"], session["created"]
    dispute = {"id": f"du_{n}", "object": "dispute", "amount": 1900, "currency": "usd", "charge": f"ch_{n}",
               "payment_intent": pi, "reason": "general", "created": t, "metadata": {}}
    return [event("checkout.session.completed", session, created=t),
            event("payment_intent.succeeded", stripe.payment(n), created=t),
            event("charge.succeeded", {"id": f"ch_{n}", "object": "charge", "status": "succeeded", "paid": True, "amount": 1900,
                                       "amount_refunded": 0, "refunded": False, "currency": "usd", "created": t,
                                       "payment_intent": pi, "metadata": session["payment_metadata"]}, created=t),
            event("refund.created", {"id": f"re_{n}", "object": "refund", "status": "succeeded", "amount": 500,
                                     "currency": "usd", "charge": f"ch_{n}", "created": t, "metadata": {}}, created=t + 1),
            event("charge.dispute.created", {**dispute, "status": "needs_response"}, created=t + 2),
            event("charge.dispute.closed", {**dispute, "status": "won"}, created=t + 3)]


def test_any_order_ends_the_same(shop, stripe, long):
    """Every visitor's purchase hears the same six events, each in another order, some twice."""
    orders = list(itertools.permutations(range(6)))
    if not long:
        orders = random.Random(26).sample(orders, 60)
    for order in orders:
        v = Client(shop)
        a = checkout(v).json
        events = story_of_a_purchase(stripe, a)
        for i in order + order[:2]:
            assert post_event(shop, events[i]).status == 200
        p = purchase(v, a["purchaseId"])
        assert (p["status"], p["access"]) == ("partially_refunded", True), (order, p)
    assert sql(shop, "SELECT count(*) FROM billing_flag WHERE kind IN ('amount_mismatch', 'late_payment')")[0][0] == 0
