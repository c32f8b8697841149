"""Visitors buy, see what they own, and it becomes theirs: by the cookie, or by the receipt's link and a proved address."""
import pytest

from books import at_once, discount, premium, sql, tell
from harness import Client, wait_until
from little_stripe import LittleStripe

PASSWORD = "correct horse battery 9"


@pytest.fixture
def stripe():
    s = LittleStripe()
    yield s
    s.close()


@pytest.fixture
def shop(make_server, stripe):
    return make_server(sandbox=stripe)


def bought(shop, stripe, visitor, item="quiz:stress-profile", email="buyer@example.com"):
    a = visitor.post("/api/purchases/checkout", {"item": item})
    assert a.status == 200, a
    stripe.sessions[a.json["sessionId"]]["buyer"] = email
    tell(shop, "checkout.session.completed", stripe.pay(a.json["sessionId"]))
    return a.json["purchaseId"]


def token(visitor, id_):
    return visitor.get(f"/api/purchases/{id_}/receipt").json["claimUrl"].split("claim=")[1]


def test_a_visitor_buys_and_sees_it(shop, stripe):
    v, other = shop.client(), shop.client()
    id_ = bought(shop, stripe, v)
    session, = stripe.sessions.values()
    assert session["customer"] is None and session["metadata"]["sessionId"] == session["client_reference_id"]
    assert "userId" not in session["metadata"]
    assert [p["id"] for p in v.get("/api/purchases").json["data"]] == [id_]
    e = v.get("/api/user/entitlements").json
    assert e["userId"] is None and e["items"] == [{"item": "quiz:stress-profile", "via": "purchase", "until": None}]
    assert v.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"}).json["via"] == "purchase"
    assert v.post("/api/purchases/checkout", {"item": "quiz:stress-profile"}).code == "already_owned"
    other.post("/api/purchases/checkout", {"item": "quiz:big-five"})  # gets a cookie of its own
    assert other.get("/api/purchases/" + id_).status == 404


def test_registering_with_the_cookie_claims(shop, stripe):
    v = shop.client()
    id_ = bought(shop, stripe, v)
    open_ = v.post("/api/purchases/checkout", {"item": "quiz:big-five"}).json
    a = v.post("/api/auth/register", {"email": "v@example.com", "password": PASSWORD})
    assert a.status in (200, 201), a
    assert {p["id"] for p in v.get("/api/purchases").json["data"]} == {id_, open_["purchaseId"]}
    assert v.entitlements()["items"] == [{"item": "quiz:stress-profile", "via": "purchase", "until": None}]
    history = v.get("/api/purchases/" + id_).json["history"]
    assert history[-1]["what"] == "claimed" and history[-1]["actor"].startswith("usr_")
    # The open checkout came along: the same session, and its payment is the member's.
    assert v.post("/api/purchases/checkout", {"item": "quiz:big-five"}).json["sessionId"] == open_["sessionId"]
    tell(shop, "checkout.session.completed", stripe.pay(open_["sessionId"]))
    assert len(v.entitlements()["items"]) == 2


def test_the_receipts_link_needs_the_right_and_verified_address(shop, stripe):
    v = shop.client()
    id_ = bought(shop, stripe, v)
    link = token(v, id_)
    wrong, right = shop.member("other@example.com"), shop.client()
    assert wrong.post("/api/purchases/claim", {"token": link}).status == 403
    assert wrong.post("/api/purchases/claim", {"token": link[:-2] + "xx"}).status == 422
    assert shop.client().post("/api/purchases/claim", {"token": link}).status == 401
    assert right.post("/api/auth/register", {"email": "Buyer@example.com", "password": PASSWORD}).status in (200, 201)
    a = right.post("/api/purchases/claim", {"token": link})
    assert a.status == 202 and a.json == {"claimed": False, "next": "verify_email", "purchaseId": id_,
                                          "item": "quiz:stress-profile"}
    assert right.get("/api/purchases").json["data"] == []
    shop.cli("user", "verify", "buyer@example.com")
    a = right.post("/api/purchases/claim", {"token": link})
    assert a.status == 200 and a.json["claimed"], a
    assert right.post("/api/purchases/claim", {"token": link}).status == 200  # again: still theirs
    assert [p["id"] for p in right.get("/api/purchases").json["data"]] == [id_]
    assert v.get("/api/purchases").json["data"] == []


def test_claims_at_once_have_one_winner(shop, stripe):
    v = shop.client()
    id_ = bought(shop, stripe, v)
    link = token(v, id_)
    m = shop.member("buyer@example.com")
    browser = Client(shop)
    for c in v.session.cookies:
        browser.session.cookies.set_cookie(c)

    def claim(i):
        if i == 0:
            return browser.post("/api/auth/register", {"email": "browser@example.com", "password": PASSWORD}).status
        return Client(shop, token=m.token).post("/api/purchases/claim", {"token": link}).status

    answers = at_once(8, claim)
    assert all(a in (200, 201, 409) for a in answers), answers
    owner, = sql(shop, "SELECT member FROM purchase WHERE id = ?", id_)
    owners = [c for c in (m, browser) if c.get("/api/purchases").json["data"]]
    assert len(owners) == 1 and owner[0]
    claims = sql(shop, "SELECT what FROM purchase_history WHERE purchase = ? AND what LIKE 'claimed%'", id_)
    assert len(claims) == 1, claims


def test_a_code_with_a_limit_per_member_needs_a_sign_in(shop, stripe):
    discount(shop, code="ONCE", percent=50, max_per_member=1)
    discount(shop, code="ANY", percent=10)
    v = shop.client()
    a = v.post("/api/purchases/checkout", {"item": "quiz:big-five", "discountCode": "once"})
    assert a.status == 401, a
    a = v.post("/api/purchases/checkout", {"item": "quiz:big-five", "discountCode": "any"})
    assert a.status == 200 and a.json["price"] == 4500


def test_visitors_have_no_allowance(shop, stripe):
    v = shop.client()
    bought(shop, stripe, v)
    a = v.post("/api/user/entitlements/use", {"item": "quiz:big-five"})
    assert a.status == 402 and a.json["price"] == 5000
    m = shop.member()
    premium(shop, m)
    assert m.entitlements()["quizzes"]["included"]["remaining"] == 2


def test_a_receipt_is_mailed_though_the_payment_is_known_before_the_address(town):
    """The events alone, the payment's before the session's: the letter goes out when the address is known, once."""
    visitor = town.client()
    made = visitor.post("/api/purchases/checkout", {"item": "quiz:stress-profile"}).json
    town.sandbox.pay(made["url"], email="vi@example.com")
    town.sandbox.settle()
    town.settle()
    wait_until(lambda: town.mails("vi@example.com"), message="no receipt came")
    town.settle()
    assert [m["subject"] for m in town.mails("vi@example.com")] == ["Your receipt from MyBeing: $19.00"]
