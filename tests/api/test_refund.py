"""Refunds and disputes of one-time purchases: the item, the slot, the money. SPEC §2."""
import time

import pytest

from books import premium, sql, tell
from little_stripe import LittleStripe


@pytest.fixture
def stripe():
    s = LittleStripe()
    yield s
    s.close()


@pytest.fixture
def shop(make_server, stripe):
    return make_server(sandbox=stripe)


class Bought:
    def __init__(self, shop, stripe, member, item="quiz:stress-profile"):
        self.shop, self.member, self.item = shop, member, item
        a = member.post("/api/purchases/checkout", {"item": item}).json
        self.id, self.price = a["purchaseId"], a["price"]
        self.session = stripe.pay(a["sessionId"])
        tell(shop, "checkout.session.completed", self.session)
        tell(shop, "payment_intent.succeeded", stripe.payment(a["sessionId"]))
        self.at = int(time.time())

    def refund(self, amount, status="succeeded", id_="re_1"):
        self.at += 1  # the newest fact counts
        tell(self.shop, "refund.updated", {"id": id_, "object": "refund", "status": status, "amount": amount, "currency": "usd",
                                           "payment_intent": self.session["payment_intent"], "charge": "ch_1",
                                           "created": self.session["created"], "metadata": {}}, created=self.at)

    def dispute(self, status, kind="updated", id_="du_1"):
        self.at += 1
        tell(self.shop, "charge.dispute." + kind, {"id": id_, "object": "dispute", "status": status, "amount": self.price,
                                                   "currency": "usd", "payment_intent": self.session["payment_intent"],
                                                   "charge": "ch_1", "reason": "fraudulent",
                                                   "created": self.session["created"], "metadata": {}}, created=self.at)

    @property
    def status(self):
        return self.member.get("/api/purchases/" + self.id).json["status"]

    @property
    def open(self):
        return any(i["item"] == self.item and i["via"] == "purchase" for i in self.member.entitlements()["items"])


@pytest.fixture
def bought(shop, stripe):
    return Bought(shop, stripe, shop.member())


def test_parts_then_all(shop, bought):
    bought.refund(500)
    assert (bought.status, bought.open) == ("partially_refunded", True)
    bought.refund(1399, id_="re_2")
    assert (bought.status, bought.open) == ("partially_refunded", True)
    bought.refund(1, id_="re_3", status="pending")
    assert (bought.status, bought.open) == ("refunded", False)
    assert shop.dev("userstate", bought.member.user_id) | {"items": 0} == {
        "premium": False, "paid_cents": 1900, "refunded_cents": 1900, "items": 0}
    bought.refund(1, id_="re_3", status="failed")
    assert (bought.status, bought.open) == ("partially_refunded", True)
    words = [h["status"] for h in bought.member.get("/api/purchases/" + bought.id).json["history"]]
    assert words == ["pending", "paid", "partially_refunded", "refunded", "partially_refunded"]


def test_refunded_can_be_bought_again(shop, stripe, bought):
    bought.refund(1900)
    assert shop.dev("userstate", bought.member.user_id)["items"]["quiz:stress-profile"] == "revoked"
    again = Bought(shop, stripe, bought.member)
    assert again.id != bought.id and again.open
    assert shop.dev("userstate", bought.member.user_id)["items"]["quiz:stress-profile"] == "owned"


def test_disputes(shop, bought):
    bought.dispute("warning_needs_response", "created", "du_0")
    assert (bought.status, bought.open) == ("paid", True)
    bought.dispute("needs_response", "created")
    assert (bought.status, bought.open) == ("disputed", False)
    bought.dispute("won", "closed")
    assert (bought.status, bought.open) == ("paid", True)
    bought.dispute("needs_response", "created", "du_2")
    bought.dispute("lost", "closed", "du_2")
    assert (bought.status, bought.open) == ("lost", False)


def test_a_full_refund_restores_the_slot_while_its_cycle_lasts(shop, stripe):
    m = shop.member()
    premium(shop, m)
    b = Bought(shop, stripe, m)
    assert b.price == 1520
    used = lambda: m.entitlements()["quizzes"]["discount"]["used"]  # noqa: E731
    assert used() == 1
    b.refund(1520)
    assert used() == 0
    b.refund(1520, status="failed")
    assert (used(), b.status) == (1, "paid")


def test_a_slot_given_to_another_does_not_come_back(shop, stripe):
    m = shop.member()
    premium(shop, m)
    items = ["quiz:stress-profile", "quiz:sleep-quality", "quiz:attachment-style"]
    first, *_ = [Bought(shop, stripe, m, i) for i in items]
    first.refund(1520)
    assert Bought(shop, stripe, m, "quiz:burnout-risk").price == 3120
    first.refund(1520, status="failed")
    assert (first.status, first.open) == ("paid", True)
    assert m.entitlements()["quizzes"]["discount"]["used"] == 3
    assert sql(shop, "SELECT ref FROM billing_flag WHERE kind = 'discount_reused'") == [(first.id,)]


def test_after_a_refund_that_failed_the_next_one_goes_out(make_server, make_sandbox):
    """The same request once more is not taken for the one whose money came back."""
    sandbox = make_sandbox()
    town = make_server(sandbox=sandbox)
    sandbox.forward_to(town)
    town.cli("admin", "create", "boss@example.com")
    boss, m = town.member("boss@example.com"), town.member()
    made = m.buy(sandbox, "quiz:stress-profile")

    def settle():
        sandbox.settle()
        town.settle()

    def status():
        return m.get("/api/purchases/" + made["purchaseId"]).json["status"]

    def press():
        a = boss.post(f"/api/admin/purchases/{made['purchaseId']}/refund", {"reason": "a test"})
        settle()
        return a

    def asked():
        return int(sql(town, "SELECT COUNT(*) FROM operation WHERE path = '/v1/refunds'")[0][0])

    assert press().status == 200 and status() == "refunded" and asked() == 1
    for e in sandbox.call("GET", "/_sandbox/events")["data"]:
        if e["type"] == "refund.created":
            refund = e["data"]["object"]
    tell(town, "refund.failed", {**refund, "status": "failed"}, created=refund["created"] + 60)
    assert status() == "paid"
    # The sandbox knows nothing of the failure and refuses: it was asked, and is asked again.
    assert press().status == 502 and asked() == 2
    assert press().status == 502 and asked() == 3
