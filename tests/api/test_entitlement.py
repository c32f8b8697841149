"""GET /api/user/entitlements, check, use and the catalogue: SPEC §2, §5."""
import time

import pytest

from books import PRICE, QUIZZES, at_once, discount, premium, sql


@pytest.fixture
def member(server):
    return server.member()


def test_a_free_members_answer(server, member):
    e = member.entitlements()
    assert e["userId"] == member.user_id
    assert (e["premium"], e["plan"], e["status"], e["grace"], e["accessUntil"]) == (False, "free", None, False, None)
    assert e["quizzes"]["included"]["remaining"] == 0 and e["articles"]["included"]["remaining"] == 0
    assert e["ai"]["unlimited"] is False and e["ai"]["limit"] == 5 and e["ai"]["resetAt"]
    assert e["items"] == [] and e["discounts"] == []


def test_a_premium_members_answer(server, member):
    premium(server, member)
    e = member.entitlements()
    assert (e["premium"], e["plan"], e["status"]) == (True, "premium", "active")
    assert e["quizzes"]["included"] == {"limit": 2, "used": 0, "remaining": 2, "maxPrice": 5000}
    assert e["quizzes"]["discount"] == {"percent": 20, "limit": 3, "used": 0, "held": 0, "remaining": 3}
    assert e["articles"] == {"included": {"limit": 3, "used": 0, "remaining": 3}, "discount": {"percent": 30, "limit": None}}
    assert e["ai"]["unlimited"] is True and e["ai"]["limit"] is None
    assert e["cycle"]["start"] < e["cycle"]["end"] <= e["accessUntil"]


def test_nobody_is_401_and_a_visitor_is_not(server):
    c = server.client()
    for path in ("/api/user/entitlements", "/api/user/entitlements/check?item=quiz:stress-profile", "/api/purchases"):
        a = c.get(path)
        assert a.status == 401 and a.code == "unauthenticated", a
    assert c.post("/api/user/entitlements/use", {"item": "quiz:mood-check"}).status == 401


def test_the_kept_route_ignores_what_it_does_not_know(server, member):
    assert member.get("/api/user/entitlements?userId=usr_x&foo=1").status == 200


def test_explain_names_rule_fact_event_and_expiry(server, member):
    sub = premium(server, member)
    assert member.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"}).status == 200
    lines = {x["line"]: x for x in member.get("/api/user/entitlements?explain=1").json["explain"]}
    for name in ("premium", "cycle", "quizzes.included", "quizzes.discount", "articles.included", "articles.discount",
                 "ai", "items.quiz:stress-profile"):
        assert lines[name]["rule"], name
        assert lines[name]["fact"] == sub["id"], lines[name]
        assert lines[name]["event"].startswith("evt_"), lines[name]
        assert lines[name]["expiresAt"], name
    assert "explain" not in member.entitlements()


@pytest.mark.parametrize("query, status", [
    ("item=quiz:nothing", 404), ("", 422), ("item=quiz:stress-profile&x=1", 422), ("item=quiz:stress-profile&discountCode=NO", 422)])
def test_check_refuses(server, member, query, status):
    assert member.get("/api/user/entitlements/check?" + query).status == status


@pytest.mark.parametrize("body, status", [
    ({"item": "quiz:nothing"}, 404), ({}, 422), ({"item": 7}, 422), ({"item": "quiz:stress-profile", "price": 1}, 422)])
def test_use_refuses(server, member, body, status):
    assert member.post("/api/user/entitlements/use", body).status == status


def test_check_decides_and_changes_nothing(server, member):
    path = "/api/user/entitlements/check?item=quiz:stress-profile"
    a = member.get(path).json
    assert (a["access"], a["cost"], a["price"], a["listPrice"], a["discount"]) == (False, "money", 1900, 1900, None)
    premium(server, member)
    for _ in range(3):
        a = member.get(path).json
        assert (a["access"], a["via"], a["cost"], a["price"]) == (True, "allowance", "slot", 1520)
    assert member.entitlements()["quizzes"]["included"]["used"] == 0
    assert member.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"}).json["slotUsed"] is True
    a = member.get(path).json
    assert (a["access"], a["via"], a["cost"]) == (True, "allowance", "none")


def test_the_402_is_a_quote(server, member):
    premium(server, member)
    a = member.post("/api/user/entitlements/use", {"item": "quiz:life-review"})
    assert a.status == 402 and a.code == "payment_required"
    q = a.json
    assert (q["listPrice"], q["price"], q["currency"], q["allowanceRemaining"]) == (7900, 6320, "usd", 2)
    assert q["discount"]["kind"] == "premium" and q["discount"]["percent"] == 20
    assert member.entitlements()["quizzes"]["included"]["used"] == 0


def test_the_catalogue_has_this_callers_prices(server, member):
    prices = {i["item"]: i["price"] for i in server.client().get("/api/catalog").json["data"]}
    assert prices["quiz:life-review"] == 7900 and prices["quiz:mood-check"] == 0
    premium(server, member)
    mine = {i["item"]: i for i in member.get("/api/catalog").json["data"]}
    assert mine["quiz:life-review"]["price"] == 6320 and mine["article:grief"]["price"] == 700
    assert mine["quiz:life-review"]["why"] and mine["quiz:life-review"]["priceWhy"]
    assert member.get("/api/catalog/quiz:life-review").json["price"] == 6320
    assert member.get("/api/catalog/quiz:nothing").status == 404


def test_forty_at_once_get_two_free_quizzes(server, member):
    premium(server, member)
    items = [q for q in QUIZZES if PRICE[q] <= 5000]
    answers = at_once(40, lambda i: member_call(server, member, items[i % len(items)]))
    assert {a.status for a in answers} <= {200, 402}
    opened = {a.json["item"] for a in answers if a.status == 200}
    assert len(opened) == 2, opened
    e = member.entitlements()
    assert e["quizzes"]["included"] == {"limit": 2, "used": 2, "remaining": 0, "maxPrice": 5000}
    assert {i["item"] for i in e["items"]} == opened
    assert len(sql(server, "SELECT item FROM allowance_use")) == 2


def test_forty_times_the_same_item_cost_one_slot(server, member):
    premium(server, member)
    answers = at_once(40, lambda i: member_call(server, member, "article:grief"))
    assert [a.status for a in answers] == [200] * 40
    assert member.entitlements()["articles"]["included"]["used"] == 1


def member_call(server, member, item):
    from harness import Client
    return Client(server, token=member.token).post("/api/user/entitlements/use", {"item": item})


def test_a_grant_opens(server, member):
    sql(server, "INSERT INTO item_grant (id, member, item, granted_by, created_at) VALUES (?, ?, ?, ?, ?)",
        "grt_1", member.user_id, "quiz:life-review", "admin", 1)
    a = member.post("/api/user/entitlements/use", {"item": "quiz:life-review"})
    assert a.status == 200 and a.json["via"] == "grant", a
    assert member.entitlements()["items"] == [{"item": "quiz:life-review", "via": "grant", "until": None}]


def test_a_second_subscription_gives_no_second_allowance(server, member):
    premium(server, member)
    for item in QUIZZES[:2]:
        assert member.post("/api/user/entitlements/use", {"item": item}).status == 200
    premium(server, member, days=31)
    e = member.entitlements()
    assert e["quizzes"]["included"]["used"] == 2 and e["quizzes"]["included"]["remaining"] == 0
    assert member.post("/api/user/entitlements/use", {"item": QUIZZES[2]}).status == 402


def test_personal_discounts_are_told(server, member):
    discount(server, member=member.user_id, percent=50, kind="quiz", max_uses=1)
    d, = member.entitlements()["discounts"]
    assert (d["percent"], d["itemKind"], d["remaining"]) == (50, "quiz", 1)
    assert member.get("/api/catalog/quiz:life-review").json["price"] == 3950
    assert member.get("/api/catalog/article:grief").json["price"] == 1000


def test_a_kept_answer_ends_when_its_time_comes(server, member):
    """Nothing is written while time passes: what was answered before must not be answered any longer."""
    sql(server, "INSERT INTO item_grant (id, member, item, granted_by, created_at, until) VALUES (?, ?, ?, ?, ?, ?)",
        "grt_short", member.user_id, "quiz:life-review", "usr_admin", 0, (until := int(time.time() * 1000) + 1500))
    held, over = 0, False
    while not over and time.time() * 1000 < until + 10_000:
        asked = time.time() * 1000
        items = member.entitlements()["items"]
        over = not items
        if time.time() * 1000 < until:
            assert [i["item"] for i in items] == ["quiz:life-review"], items
            held += 1
        elif asked > until:
            assert over, (asked, until)
    assert over and held > 3
