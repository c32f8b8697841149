"""Manual discounts: codes and personal ones, their bounds and limits, the lowest price. SPEC §2."""
import time

import pytest

from books import at_once, discount, patient, premium, sql, tell
from harness import Client
from little_stripe import LittleStripe

DAY = 86400000


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


def buy(c, item, code=None):
    return c.post("/api/purchases/checkout", {"item": item, **({"discountCode": code} if code else {})})


def test_a_code_in_any_case(shop, member):
    discount(shop, code="SPRING-26", amount=500, currency="usd")
    assert member.get("/api/catalog/quiz:big-five?discountCode=spring-26").json["price"] == 4500
    a = buy(member, "quiz:big-five", " Spring-26 ").json
    assert (a["price"], a["listPrice"], a["discount"]["kind"], a["discount"]["amount"]) == (4500, 5000, "manual", 500)


@pytest.mark.parametrize("columns, status", [
    ({"valid_from": int(time.time() * 1000) + DAY}, 422), ({"valid_until": int(time.time() * 1000) - 1}, 422),
    ({"kind": "article"}, 422), ({"item": "quiz:life-review"}, 422), ({"disabled_at": 1}, 422),
    ({"member": "usr_somebody_else"}, 422), ({"kind": "quiz", "item": "quiz:big-five"}, 200),
    ({"valid_from": 1, "valid_until": int(time.time() * 1000) + DAY}, 200)])
def test_bounds_of_a_code(shop, member, columns, status):
    discount(shop, code="CODE", percent=10, **columns)
    a = buy(member, "quiz:big-five", "code")
    assert a.status == status, a
    if status == 422:
        assert "discountCode" in a.text
        assert member.get("/api/purchases").json["data"] == []


def test_the_lowest_price_wins_and_premium_on_a_tie(shop, member):
    premium(shop, member)
    discount(shop, member=member.user_id, percent=20)
    a = buy(member, "quiz:big-five").json
    assert (a["price"], a["discount"]["kind"]) == (4000, "premium")
    discount(shop, code="HALF", percent=50)
    a = buy(member, "quiz:sleep-quality", "half").json
    assert (a["price"], a["discount"]["kind"]) == (1200, "manual")
    discount(shop, code="LITTLE", percent=5)
    a = buy(member, "quiz:life-review", "little").json
    assert (a["price"], a["discount"]["kind"]) == (6320, "premium")
    assert member.entitlements()["quizzes"]["discount"]["held"] == 2


def test_a_personal_discount_is_used_once_per_limit(shop, stripe, member):
    discount(shop, member=member.user_id, percent=50, max_per_member=1)
    a = buy(member, "quiz:big-five").json
    assert a["price"] == 2500
    assert buy(member, "quiz:big-five").json["sessionId"] == a["sessionId"]  # its own hold does not count against it
    assert buy(member, "quiz:sleep-quality").json["price"] == 2400
    tell(shop, "checkout.session.expired", stripe.expire(a["sessionId"]))
    assert buy(member, "quiz:life-review").json["price"] == 3950


def test_all_off_makes_a_row_and_no_call(shop, stripe, member):
    discount(shop, member=member.user_id, percent=100, item="quiz:big-five", max_uses=1)
    a = buy(member, "quiz:big-five")
    assert a.status == 200 and (a.json["status"], a.json["price"], a.json["url"]) == ("paid", 0, None), a
    assert not stripe.posts
    assert buy(member, "quiz:big-five").code == "already_owned"
    history = member.get("/api/purchases/" + a.json["purchaseId"]).json["history"]
    assert [h["what"] for h in history] == ["given_away"]


def test_under_fifty_cents_is_free(shop, stripe, member):
    discount(shop, code="ALMOST", amount=1851, currency="usd")
    a = buy(member, "quiz:stress-profile", "almost").json
    assert (a["price"], a["status"]) == (0, "paid") and not stripe.sessions


def test_forty_visitors_share_five_uses(shop, stripe):
    id_ = discount(shop, code="FIVE", percent=30, max_uses=5)
    visitors = [Client(shop) for _ in range(40)]
    answers = at_once(40, lambda i: patient(lambda: buy(visitors[i], "quiz:big-five", "five")))
    assert {a.status for a in answers} == {200, 422}, answers
    assert sum(a.status == 200 for a in answers) == 5
    numbers = sql(shop, "SELECT number FROM discount_use WHERE discount = ? ORDER BY number", id_)
    assert [int(n[0]) for n in numbers] == [1, 2, 3, 4, 5]


def test_forty_at_once_use_a_members_limit_twice(shop, stripe, member):
    assert buy(member, "article:grief").status == 200  # the customer is made before
    discount(shop, code="TWICE", percent=30, max_per_member=2)
    items = ["quiz:stress-profile", "quiz:sleep-quality", "quiz:attachment-style", "quiz:burnout-risk"]
    answers = at_once(40, lambda i: patient(lambda: buy(Client(shop, token=member.token), items[i % 4], "twice")))
    assert {a.status for a in answers} == {200, 422}, answers
    assert len({a.json["item"] for a in answers if a.status == 200}) == 2
