"""The language of the stories in stories/: one command a line, readable by the person who wrote the rules.

    signup m1                       a signed-in member            visitor v1      a browser without an account
    register v1                     the browser makes an account  login v1 m1     the browser signs in as m1
    claim v1 [409]                  takes what the visitor left
    subscribe m1 [card=0002]        Checkout for premium, paid
    checkout m1 ITEM|premium [code=X] [price=N] [status=409]      opens a checkout
    pay m1 [card=…] [async=succeed|fail]                          pays the last checkout      expire m1
    buy m1 ITEM [code=X] [price=N]                                both
    use m1 ITEM allowance|free|purchase|402 [price=N]             opens an item, or hears the price
    cancel m1 · resume m1           at the period's end, and not after all
    stripe m1 pause|unpause|cancel_now|fail_next|recover|mark_unpaid|trial:DAYS     what happens at Stripe
    refund m1 ITEM|premium[:N] [amount=N] [fails]                 the Nth paid invoice (1 = first)
    dispute m1 ITEM|premium[:N] open|win|lose|warn|warn_close
    discount m1|code:X percent=N|amount=N [kind=quiz|article] [item=…] [max=N] [per=N] [from=…] [until=…]
    clock +1 month · clock to m1.accessUntil -1 · clock to m1.cycle.end +1     seconds beside a moment; the clock runs on
    webhooks off|on|again|backwards|twice                         lost, found, repeated
    blackout on|off                 no webhooks, and Stripe does not answer either
    sync                            what was missed is fetched
    expect m1 a.b=1 c=true          of GET /api/user/entitlements
    purchase m1 ITEM status=paid price=N …                        of GET /api/purchases
    subscription m1 status=active                                 of GET /api/subscription
    open m1 ITEM via=…|none         is it among the items that are open?
"""
import json
import random
import shlex

from harness import Client
from harness.client import post_event
from harness.process import PATIENCE

PASSWORD = "correct horse battery 9"


class Mistake(AssertionError):
    pass


def value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def path(doc, dotted):
    for part in dotted.split("."):
        doc = doc[int(part)] if isinstance(doc, list) else (doc or {}).get(part)
    return doc


class Story:
    def __init__(self, server, sandbox):
        self.server, self.sandbox = server, sandbox
        self.people, self.sessions, self.bought = {}, {}, {}

    def run(self, text):
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            words = shlex.split(line)
            try:
                getattr(self, "do_" + words[0])(*words[1:])
            except Mistake:
                raise
            except Exception as e:
                raise Mistake(f"line {number}: {line}\n{type(e).__name__}: {e}") from e

    # ---- people
    def do_signup(self, name):
        self.people[name] = self.server.member(f"{name}@example.com")

    def do_visitor(self, name):
        self.people[name] = Client(self.server)

    def do_register(self, name):
        a = self.people[name].post("/api/auth/register", {"email": f"{name}@example.com", "password": PASSWORD})
        assert a.status in (200, 201), a

    def do_login(self, browser, name):
        a = self.people[browser].post("/api/auth/login", {"email": f"{name}@example.com", "password": PASSWORD})
        assert a.status == 200, a

    def do_claim(self, name, status="200"):
        a = self.people[name].post("/api/auth/claim")
        assert a.status == int(status), a

    # ---- buying
    @staticmethod
    def options(words):
        return dict(w.split("=", 1) for w in words)

    def do_subscribe(self, name, *words):
        o = self.options(words)
        self.do_checkout(name, "premium")
        self.do_pay(name, *[f"{k}={v}" for k, v in o.items()])

    def do_checkout(self, name, what, *words):
        o = self.options(words)
        c = self.people[name]
        if what == "premium":
            a = c.post("/api/subscription/create")
        else:
            a = c.post("/api/purchases/checkout", {"item": what, **({"discountCode": o["code"]} if "code" in o else {})})
        if "status" in o:
            assert a.status == int(o["status"]), a
            return a
        assert a.status in (200, 201), a
        if "price" in o:
            assert a.json["price"] == int(o["price"]), a
        if a.json.get("url"):
            self.sessions[name] = a.json["sessionId"]
            self.bought.setdefault(name, {})[what] = a.json["sessionId"]
        return a

    def do_pay(self, name, *words):
        o = self.options(words)
        card = {"0002": "4000000000000002", "0341": "4000000000000341"}.get(o.pop("card", ""), "4242424242424242")
        self.sandbox.pay(self.sessions[name], card, **o)
        self.settle()

    def do_expire(self, name):
        self.sandbox.control("expire", session=self.sessions[name])
        self.settle()

    def do_buy(self, name, item, *words):
        a = self.do_checkout(name, item, *words)
        if a.json.get("url"):
            self.do_pay(name)

    def do_use(self, name, item, how, *words):
        o = self.options(words)
        a = self.people[name].post("/api/user/entitlements/use", {"item": item})
        if how == "402":
            assert a.status == 402, a
            if "price" in o:
                assert a.json["price"] == int(o["price"]), a
        else:
            assert a.status == 200 and a.json["via"] == how, a

    def do_cancel(self, name):
        a = self.people[name].post("/api/subscription/cancel")
        assert a.status == 200, a
        self.settle()

    def do_resume(self, name):
        a = self.people[name].post("/api/subscription/resume")
        assert a.status == 200, a
        self.settle()

    # ---- at Stripe
    def stripe(self, method, path_, **params):
        import requests
        a = requests.request(method, self.sandbox.base + path_, params=params if method == "GET" else None,
                             data=params if method != "GET" else None, timeout=PATIENCE,
                             headers={"Authorization": "Bearer sk_test_harness", "Stripe-Version": "2026-10-28.endive"})
        assert a.status_code == 200, a.text
        return a.json()

    def customer(self, name):
        session = self.stripe("GET", "/v1/checkout/sessions/" + self.bought[name]["premium"])
        return session["customer"]

    def sub(self, name):
        return self.stripe("GET", "/v1/checkout/sessions/" + self.bought[name]["premium"])["subscription"]

    def do_stripe(self, name, action):
        action, _, arg = action.partition(":")
        body = {"id": self.sub(name), "action": action}
        if arg:
            body["days"] = int(arg)
        self.sandbox.control("subscription", **body)
        self.settle()

    def payment(self, name, what):
        what, _, nth = what.partition(":") if what.startswith("premium") else (what, "", "")
        if what == "premium":
            invoices = self.stripe("GET", "/v1/invoices", subscription=self.sub(name), limit=100)["data"]
            paid = sorted((i for i in invoices if i["status"] == "paid" and i["amount_paid"] > 0), key=lambda i: i["created"])
            invoice = paid[int(nth or 1) - 1]
            links = self.stripe("GET", "/v1/invoice_payments", invoice=invoice["id"])["data"]
            return links[0]["payment"]["payment_intent"]
        return self.stripe("GET", "/v1/checkout/sessions/" + self.bought[name][what])["payment_intent"]

    def do_refund(self, name, what, *words):
        body = {"payment_intent": self.payment(name, what)}
        for w in words:
            if w == "fails":
                body["fails"] = True
            else:
                body["amount"] = int(w.split("=")[1])
        self.sandbox.control("refund", **body)
        self.settle()

    def do_dispute(self, name, what, action):
        self.sandbox.control("dispute", payment_intent=self.payment(name, what), action=action)
        self.settle()

    def do_discount(self, who, *words):
        o = self.options(words)
        body = {"percent": int(o["percent"])} if "percent" in o else {"amount": int(o["amount"])}
        if who.startswith("code:"):
            body["code"] = who[5:]
        else:
            body["userId"] = self.people[who].user_id
        for ours, theirs in (("kind", "kind"), ("item", "item"), ("from", "validFrom"), ("until", "validUntil")):
            if ours in o:
                body[theirs] = o[ours]
        if "max" in o:
            body["maxUses"] = int(o["max"])
        if "per" in o:
            body["maxUsesPerMember"] = int(o["per"])
        if "admin" not in self.people:
            self.server.cli("admin", "create", "admin@example.com")
            self.people["admin"] = self.server.member("admin@example.com")
        a = self.people["admin"].post("/api/admin/discounts", {**body, "reason": "a story"})
        assert a.status in (200, 201), a

    # ---- time and delivery
    def do_clock(self, *words):
        if words[0] == "to":
            name, _, what = words[1].partition(".")
            at = path(self.people[name].entitlements(), what)
            assert at, f"{words[1]} is {at}"
            from datetime import datetime, timedelta
            moment = datetime.fromisoformat(at.replace("Z", "+00:00"))
            moment += timedelta(seconds=int(words[2]) if len(words) > 2 else 0)
            self.server.clock(moment.isoformat().replace("+00:00", "Z"))
        else:
            self.server.clock(*words)
        self.settle()

    def settle(self):
        self.sandbox.settle()
        self.server.settle()

    def do_settle(self):
        self.settle()

    def do_webhooks(self, how):
        if how == "off":
            self.sandbox.control("forward", url="")
        elif how == "on":
            self.sandbox.forward_to(self.server)
        else:
            events = self.sandbox.call("GET", "/_sandbox/events")
            events = events["data"] if isinstance(events, dict) else events
            events.sort(key=lambda e: e["created"])
            if how == "backwards":
                events.reverse()
            elif how == "twice":
                events = events + events
                random.Random(7).shuffle(events)
            for e in events:
                a = post_event(self.server, e)
                assert a.status == 200, a
        self.settle()

    def do_blackout(self, how):
        self.sandbox.fault("down", count=-1) if how == "on" else self.sandbox.fault("clear")
        self.do_webhooks("off" if how == "on" else "on")

    def do_sync(self):
        self.server.cli("sync")
        self.settle()

    # ---- looking
    @staticmethod
    def compare(doc, words):
        for w in words:
            key, _, want = w.partition("=")
            negative = key.endswith("!")
            got = path(doc, key.rstrip("!"))
            want = value(want)
            if isinstance(got, float) and isinstance(want, int):
                want = float(want)
            if (got == want) == negative:
                raise AssertionError(f"{key} is {got!r}, not {want!r}, in {json.dumps(doc)[:1500]}")

    def do_expect(self, name, *words):
        self.compare(self.people[name].entitlements(), words)

    def do_subscription(self, name, *words):
        a = self.people[name].get("/api/subscription")
        assert a.status == 200, a
        self.compare(a.json, words)

    def do_purchase(self, name, item, *words):
        a = self.people[name].get("/api/purchases?limit=100")
        rows = [p for p in a.json["data"] if p["item"] == item]
        assert rows, f"no purchase of {item}: {a}"
        self.compare(rows[0], words)

    def do_open(self, name, item, how):
        items = {i["item"]: i for i in self.people[name].entitlements()["items"]}
        got = items.get(item)
        if how == "none":
            assert got is None, got
        else:
            assert got is not None and got["via"] == how.split("=")[1], got or items

    def do_quote(self, name, item, *words):
        a = self.people[name].get("/api/catalog/" + item)
        assert a.status == 200, a
        self.compare(a.json, words)
