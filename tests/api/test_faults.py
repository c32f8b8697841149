"""Whatever Stripe does while somebody acts, there is one effect or a clear 503, and never two: every action, every fault."""
import pytest
import requests

from harness import Sandbox, Server
from harness.process import PATIENCE

KEY = {"Authorization": "Bearer sk_test_harness"}
# kind, how often (1000: until it is over)
FAULTS = {"down": ("down", 1000), "one 500": ("500", 1), "one 429": ("429", 1), "slow": ("slow", 1),
          "done, then 500": ("500_after", 1), "done, answer lost": ("lost_answer", 1),
          "answers lost until it is over": ("lost_answer", 1000), "500s until it is over": ("500_after", 1000)}
ITEM = "quiz:stress-profile"


@pytest.fixture(scope="module")
def town():
    sandbox = Sandbox()
    server = Server(sandbox=sandbox, env={"RATE_LIMIT_SCALE": "100000"})
    sandbox.forward_to(server)
    server.cli("admin", "create", "boss@example.com")
    server.sandbox, server.boss = sandbox, server.member("boss@example.com")
    yield server
    server.close()
    sandbox.close()


def at_stripe(town, path, **params):
    one = "_" in path.split("/")[-1] and not path.endswith("_payments")     # an object, not a list
    a = requests.get(town.sandbox.base + path, params={} if one else {"limit": 100, **params}, headers=KEY, timeout=PATIENCE)
    assert a.status_code == 200, a.text
    return a.json()


def customer(town, m):
    found = [c["id"] for c in at_stripe(town, "/v1/customers", email=m.email)["data"]]
    assert len(found) <= 1, found
    return found[0] if found else None


def sessions(town, m, *statuses):
    c = customer(town, m)
    return [s for s in at_stripe(town, "/v1/checkout/sessions")["data"] if c and s["customer"] == c and s["status"] in statuses]


def subscription(town, m):
    one, = at_stripe(town, "/v1/subscriptions", customer=customer(town, m), status="all")["data"]
    return one


def refunds(town, payment):
    return at_stripe(town, "/v1/refunds", payment_intent=payment)["data"]


class Action:
    """prepare(), then act() once under the fault and again until it is well; effects() at Stripe: exactly one."""

    def __init__(self, town):
        self.town = town
        self.m = town.member()
        self.m.email = self.m.get("/api/auth/me").json["email"]
        self.prepare()
        self.settle()

    def settle(self):
        self.town.sandbox.settle()
        self.town.settle()

    def prepare(self):
        pass


class Subscribe(Action):
    def act(self):
        return self.m.post("/api/subscription/create")

    def effects(self):
        return len(sessions(self.town, self.m, "open", "complete", "expired"))


class Subscribed(Action):
    def prepare(self):
        self.m.subscribe(self.town.sandbox)


class Cancel(Subscribed):
    def act(self):
        return self.m.post("/api/subscription/cancel")

    def effects(self):
        return int(subscription(self.town, self.m)["cancel_at_period_end"])


class Resume(Subscribed):
    def prepare(self):
        super().prepare()
        assert self.m.post("/api/subscription/cancel").status == 200

    def act(self):
        return self.m.post("/api/subscription/resume")

    def effects(self):
        return int(not subscription(self.town, self.m)["cancel_at_period_end"])


class Portal(Subscribed):
    """A link costs nothing: there may be more than one, but one that is given works."""

    def act(self):
        return self.m.post("/api/subscription/portal")

    def effects(self):
        return 1


class Confirm(Action):
    """Back from Checkout: what was paid is asked for."""

    def prepare(self):
        self.town.sandbox.control("forward", url="")
        self.session = self.m.post("/api/subscription/create").json["sessionId"]
        self.town.sandbox.pay(self.session)

    def act(self):
        return self.m.post("/api/subscription/confirm", {"sessionId": self.session})

    def effects(self):
        return int(self.m.entitlements()["premium"])


class Buy(Action):
    def act(self):
        return self.m.post("/api/purchases/checkout", {"item": ITEM})

    def effects(self):
        assert len(self.m.get("/api/purchases").json["data"]) == 1
        return len(sessions(self.town, self.m, "open", "complete", "expired"))


class BuyAnew(Action):
    """The price has changed: the open session is ended and another opened."""

    def prepare(self):
        assert self.m.post("/api/purchases/checkout", {"item": ITEM}).status == 200
        a = self.town.boss.post("/api/admin/discounts", {"userId": self.m.user_id, "percent": 50, "reason": "a test"})
        assert a.status in (200, 201), a

    def act(self):
        return self.m.post("/api/purchases/checkout", {"item": ITEM})

    def effects(self):
        assert len(sessions(self.town, self.m, "expired")) == 1
        (s,) = open_ = sessions(self.town, self.m, "open")
        assert s["amount_total"] == 950
        return len(open_)


class VisitorBuys(Action):
    def prepare(self):
        self.m = self.town.client()
        assert self.m.post("/api/chat/save", {"messages": [{"role": "user", "content": "x"}]}).status == 200   # has a cookie
        self.before = len(at_stripe(self.town, "/v1/checkout/sessions")["data"])

    def act(self):
        return self.m.post("/api/purchases/checkout", {"item": ITEM})

    def effects(self):
        purchase, = self.m.get("/api/purchases").json["data"]
        return len([s for s in at_stripe(self.town, "/v1/checkout/sessions")["data"]
                    if s["metadata"].get("purchaseId") == purchase["id"]])


class RefundPurchase(Action):
    amount = None

    def prepare(self):
        made = self.m.buy(self.town.sandbox, ITEM)
        self.id = made["purchaseId"]
        self.payment = at_stripe(self.town, "/v1/checkout/sessions/" + made["sessionId"])["payment_intent"]

    def act(self):
        body = {"reason": "a test", **({"amount": self.amount} if self.amount else {})}
        return self.town.boss.post(f"/api/admin/purchases/{self.id}/refund", body)

    def effects(self):
        assert sum(r["amount"] for r in refunds(self.town, self.payment)) == (self.amount or 1900)
        return len(refunds(self.town, self.payment))


class RefundPart(RefundPurchase):
    amount = 700


class RefundMonth(Subscribed):
    def prepare(self):
        super().prepare()
        self.settle()
        self.invoice = at_stripe(self.town, "/v1/invoices", customer=customer(self.town, self.m))["data"][0]["id"]
        self.payment = at_stripe(self.town, "/v1/invoice_payments", invoice=self.invoice)["data"][0]["payment"]["payment_intent"]

    def act(self):
        return self.town.boss.post(f"/api/admin/invoices/{self.invoice}/refund", {"reason": "a test"})

    def effects(self):
        assert subscription(self.town, self.m)["status"] == "canceled"
        return len(refunds(self.town, self.payment))


class CancelNow(Subscribed):
    """Queued: the admin's answer does not wait for Stripe."""

    def act(self):
        return self.town.boss.post(f"/api/admin/subscriptions/{subscription_id(self)}/cancel", {"reason": "a test"})

    def effects(self):
        return int(subscription(self.town, self.m)["status"] == "canceled")


def subscription_id(action):
    if not hasattr(action, "sub"):
        action.sub = subscription(action.town, action.m)["id"]
    return action.sub


ACTIONS = [Subscribe, Cancel, Resume, Portal, Confirm, Buy, BuyAnew, VisitorBuys, RefundPurchase, RefundPart, RefundMonth, CancelNow]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", ACTIONS)
def test_one_effect_or_503(town, action, fault):
    town.sandbox.control("forward", url=town.base + "/api/webhooks/stripe")
    try:
        a = action(town)
        if action is CancelNow:
            subscription_id(a)
        kind, count = FAULTS[fault]
        town.sandbox.fault(kind, count=count, ms=300)
        first = a.act()
        assert first.status in (200, 202, 503), first
        if first.status == 503:
            assert int(first.headers["Retry-After"]) > 0 and first.code == "upstream_unavailable", first
    finally:
        town.sandbox.fault("clear")
    again = a.act() if first.status == 503 else first
    assert again.status in (200, 202), again
    town.clock("+2", "minutes")     # what waits for its next attempt has it
    a.settle()
    assert a.effects() == 1
