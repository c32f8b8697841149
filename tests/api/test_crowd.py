"""Forty requests at once, twenty times over: no limit is passed, nothing is made twice, and nobody hears a 5xx."""
import http.cookiejar

import pytest

from books import PRICE, at_once, premium, sql, tell
from harness import Client, Server
from little_stripe import LittleStripe

ROUNDS, CROWD = 20, 40
QUIZ = [q for q in PRICE if PRICE[q] <= 5000]
ARTICLE = [f"article:{s}" for s in ("better-sleep", "setting-boundaries", "living-with-anxiety", "habits-that-last", "grief")]


@pytest.fixture(scope="module")
def stripe():
    s = LittleStripe()
    yield s
    s.close()


@pytest.fixture(scope="module")
def shop(stripe):
    server = Server(sandbox=stripe, env={"RATE_LIMIT_SCALE": "100000"})
    yield server
    server.close()


@pytest.fixture(scope="module")
def hands(shop):
    """Clients whose connections are kept from round to round."""
    return [Client(shop) for _ in range(CROWD)]


def crowd(hands, member, call):
    """call(client, i) by all hands at once, signed in as the member."""
    for h in hands:
        h.session.headers["Authorization"] = f"Bearer {member.token}"
    return at_once(CROWD, lambda i: call(hands[i], i))


def statuses(answers):
    return sorted({a.status for a in answers})


@pytest.mark.parametrize("items, kind, most", [(QUIZ, "quizzes", 2), (ARTICLE, "articles", 3)])
def test_free_uses(shop, hands, items, kind, most):
    for _ in range(ROUNDS):
        m = shop.member()
        premium(shop, m)
        answers = crowd(hands, m, lambda c, i: c.post("/api/user/entitlements/use", {"item": items[i % len(items)]}))
        assert statuses(answers) == [200, 402]
        opened = {a.json["item"] for a in answers if a.status == 200}
        assert len(opened) == most, opened
        included = m.entitlements()[kind]["included"]
        assert (included["used"], included["remaining"]) == (most, 0)


def test_discounted_checkouts(shop, stripe, hands):
    items = list(PRICE)
    for _ in range(ROUNDS):
        m = shop.member()
        premium(shop, m)
        before = len(stripe.sessions)
        answers = crowd(hands, m, lambda c, i: c.post("/api/purchases/checkout", {"item": items[i % len(items)]}))
        assert statuses(answers) == [200], [a for a in answers if a.status != 200][0]
        made = {(a.json["item"], a.json["sessionId"], a.json["price"]) for a in answers}
        assert len(made) == len(items), made
        assert sum(price < PRICE[item] for item, _, price in made) == 3, made
        slots = m.entitlements()["quizzes"]["discount"]
        assert (slots["held"], slots["used"], slots["remaining"]) == (3, 0, 0)
        assert len(stripe.sessions) - before == len(items)


def test_one_open_checkout_for_the_plan(shop, stripe, hands):
    for _ in range(ROUNDS):
        m = shop.member()
        before = len(stripe.sessions)
        answers = crowd(hands, m, lambda c, i: c.post("/api/subscription/create"))
        assert statuses(answers) == [200], [a for a in answers if a.status != 200][0]
        assert len({a.json["sessionId"] for a in answers}) == 1
        assert len(stripe.sessions) - before == 1


def test_one_claim(shop, stripe, hands):
    """Two people at one browser: what the visitor bought becomes exactly one's, all of it."""
    def browser(member, cookie):
        c = Client(shop, token=member.token)
        c.session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))    # keeps what it has
        c.session.headers["Cookie"] = cookie
        return c

    for n in range(ROUNDS):
        v, people = shop.client(), [shop.member(), shop.member()]
        bought = []
        for item in ("quiz:stress-profile", "article:grief"):
            a = v.post("/api/purchases/checkout", {"item": item})
            assert a.status == 200, a
            tell(shop, "checkout.session.completed", stripe.pay(a.json["sessionId"]))
            bought.append(a.json["purchaseId"])
        cookie = "; ".join(f"{k.name}={k.value}" for k in v.session.cookies)
        browsers = [browser(people[i % 2], cookie) for i in range(CROWD)]
        answers = at_once(CROWD, lambda i: browsers[i].post("/api/auth/claim"))
        assert all(a.status < 500 for a in answers), [a for a in answers if a.status >= 500][0]
        theirs = [sorted(p["id"] for p in m.get("/api/purchases").json["data"]) for m in people]
        assert sorted(theirs) == [[], sorted(bought)], theirs
        for id_ in bought:
            told = sql(shop, "SELECT what FROM purchase_history WHERE purchase = ? AND what LIKE 'claimed%'", id_)
            assert len(told) == 1, told
        assert sum(a.status == 200 and a.json["claimed"] for a in answers) == 1, answers
