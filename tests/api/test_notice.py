"""Every moment of subscriptions, purchases and discounts sends its mail, once per cause."""
from collections import Counter

from books import sql


def causes(server):
    return Counter(template for (template,) in sql(server, "SELECT template FROM email_log ORDER BY id"))


def settle(town):
    town.sandbox.settle()
    town.settle()


def test_a_membership(town):
    m = town.member("anna@example.com")
    m.subscribe(town.sandbox)
    settle(town)
    got = causes(town)
    assert got["subscription_started"] == 1 and got["receipt"] == 1, got
    receipt = [x for x in town.mails("anna@example.com") if x["subject"].startswith("Your receipt")]
    assert len(receipt) == 1 and "$32.00" in receipt[0]["text"]
    town.clock("+1 month")
    settle(town)
    assert causes(town)["receipt"] == 2 and causes(town)["subscription_started"] == 1
    assert m.post("/api/subscription/cancel").status == 200
    settle(town)
    assert causes(town)["subscription_ending"] == 1
    town.clock("+1 month")
    settle(town)
    got = causes(town)
    assert got["subscription_ended"] == 1 and got["receipt"] == 2, got


def test_a_purchase_its_refund_and_a_discount(town):
    m = town.member("bert@example.com")
    m.buy(town.sandbox, "quiz:stress-profile")
    settle(town)
    assert causes(town)["receipt"] == 1
    assert all(x["to"] == "bert@example.com" for x in town.mails() if "receipt" in x["subject"])
    town.cli("admin", "create", "admin@example.com")
    boss = town.member("admin@example.com")
    a = boss.post("/api/admin/discounts", {"userId": m.user_id, "percent": 20, "kind": "quiz", "reason": "a present"})
    assert a.status == 201, a
    settle(town)
    assert causes(town)["discount_granted"] == 1
    purchase = m.get("/api/purchases").json["data"][0]["id"]
    a = boss.post(f"/api/admin/purchases/{purchase}/refund", {"reason": "asked for"})
    assert a.status in (200, 201, 202), a
    settle(town)
    assert causes(town)["refund"] == 1 and causes(town)["receipt"] == 1


def test_without_a_provider_news_of_subscriptions_are_not_kept_for_later(make_server, sandbox):
    town = make_server(sandbox=sandbox, env={"EMAIL_PROVIDER": "none"})
    sandbox.forward_to(town)
    m = town.member("carl@example.com")
    m.subscribe(sandbox)
    sandbox.settle()
    assert m.get("/api/user/entitlements").json["premium"]
    assert causes(town)["subscription_started"] == 0 and causes(town)["receipt"] == 0
    m.buy(sandbox, "quiz:stress-profile")  # a receipt waits: it can carry a claim link
    sandbox.settle()
    assert causes(town)["receipt"] == 1
