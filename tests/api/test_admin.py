"""Administration: what it shows, what it does, and that every action leaves who, what, before, after and why."""
import pytest
from harness.client import post_event


@pytest.fixture
def boss(town):
    town.cli("admin", "create", "boss@example.com")
    return town.member("boss@example.com")


def audit(boss):
    a = boss.get("/api/admin/audit?limit=100")
    assert a.status == 200, a
    return a.json["data"]


def settle(town):
    town.sandbox.settle()
    town.settle()


def test_members(town, boss):
    people = [town.member(f"m{i}@example.com") for i in range(4)]
    seen, cursor = [], ""
    while True:
        a = boss.get("/api/admin/members?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert a.status == 200 and len(a.json["data"]) <= 2, a
        seen += [m["id"] for m in a.json["data"]]
        cursor = a.json["nextCursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 5 and {p.user_id for p in people} < set(seen)
    one = boss.get("/api/admin/members?email=M1@example.com").json["data"]
    assert [m["id"] for m in one] == [people[1].user_id]
    assert boss.get("/api/admin/members?email=nobody@example.com").json["data"] == []
    people[1].subscribe(town.sandbox)
    people[1].buy(town.sandbox, "quiz:stress-profile")
    a = boss.get(f"/api/admin/members/{people[1].user_id}").json
    assert a["access"]["premium"] and a["customer"].startswith("cus_") and a["purchases"][0]["status"] == "paid"
    assert boss.get("/api/admin/members/usr_nobody").status == 404
    assert boss.get("/api/admin/members?cursor=!!").status == 422


def test_the_role(town, boss):
    m = town.member("m@example.com")
    assert m.get("/api/admin/members").status == 403
    url = f"/api/admin/members/{m.user_id}"
    assert boss.patch(url, {"admin": True}).json["errors"][0]["pointer"] == "/reason"
    assert boss.patch(url, {"admin": True, "reason": "joins support"}).status == 200
    assert m.get("/api/admin/members").status == 200
    row = audit(boss)[0]
    assert (row["action"], row["target"], row["actor"], row["reason"], row["before"], row["after"]) == (
        "member.admin", m.user_id, boss.user_id, "joins support", False, True)
    me = boss.get("/api/auth/me").json
    own = (me.get("user") or me)["id"]
    assert boss.patch(f"/api/admin/members/{own}", {"admin": False, "reason": "x"}).status == 409


def test_refunds(town, boss):
    m = town.member("m@example.com")
    m.buy(town.sandbox, "quiz:stress-profile")
    one = m.get("/api/purchases").json["data"][0]["id"]
    url = f"/api/admin/purchases/{one}/refund"
    a = boss.post(url, {"amount": 1901, "reason": "too much"})
    assert a.status == 409 and audit(boss) == [], a
    a = boss.post(url, {"amount": 500, "reason": "half"}, headers={"Idempotency-Key": "k1"})
    assert a.status == 200 and a.json["amount"] == 500, a
    again = boss.post(url, {"amount": 500, "reason": "half"}, headers={"Idempotency-Key": "k1"})
    assert again.status == 200 and again.json["refund"] == a.json["refund"]
    settle(town)
    assert boss.get(f"/api/admin/purchases/{one}").json["status"] == "partially_refunded"
    assert boss.post(url, {"reason": "the rest"}).status == 200
    settle(town)
    got = boss.get(f"/api/admin/purchases/{one}").json
    assert got["status"] == "refunded" and "refund_requested" in [h["what"] for h in got["history"]]
    assert [r["action"] for r in audit(boss)] == ["purchase.refund", "purchase.refund"]
    assert [p["id"] for p in boss.get("/api/admin/purchases").json["data"]] == [one]


def test_the_same_refund_again_is_one(town, boss):
    """Nobody saw the answer, a job did it, the admin presses again: money goes back once."""
    m = town.member("m@example.com")
    m.buy(town.sandbox, "quiz:stress-profile")
    url = f"/api/admin/purchases/{m.get('/api/purchases').json['data'][0]['id']}/refund"

    def back():
        settle(town)
        return town.dev("userstate", m.user_id)["refunded_cents"]

    town.sandbox.fault("down", path="/v1/refunds", count=-1)
    assert boss.post(url, {"amount": 500, "reason": "half"}).status == 503
    town.sandbox.fault("clear")
    town.clock("+2 minutes")
    assert back() == 500
    again = boss.post(url, {"amount": 500, "reason": "half"})
    assert again.status == 200 and again.json["repeated"] is True and back() == 500
    assert boss.post(url, {"amount": 400, "reason": "more"}).json["repeated"] is False and back() == 900
    assert boss.post(url, {"amount": 500, "reason": "a second half"}, headers={"Idempotency-Key": "two"}).json["repeated"] is False
    assert back() == 1400
    town.clock("+25 hours")
    assert boss.post(url, {"amount": 500, "reason": "on another day"}).json["repeated"] is False and back() == 1900
    assert boss.post(url, {"reason": "the rest"}).status == 409


def test_a_month_is_refunded(town, boss):
    m = town.member("m@example.com")
    m.subscribe(town.sandbox)
    invoice = [e for e in town.sandbox.call("GET", "/_sandbox/events")["data"] if e["type"] == "invoice.paid"][0]
    a = boss.post(f"/api/admin/invoices/{invoice['data']['object']['id']}/refund", {"reason": "an outage"})
    assert a.status == 200 and a.json["amount"] == 3200, a
    settle(town)
    assert not m.entitlements()["premium"] and m.get("/api/subscription").json["status"] == "canceled"
    assert boss.post("/api/admin/invoices/in_nobody/refund", {"reason": "x"}).status == 409


def test_a_subscription_is_cancelled(town, boss):
    m = town.member("m@example.com")
    m.subscribe(town.sandbox)
    sub = boss.get("/api/admin/subscriptions").json["data"][0]
    assert sub["member"] == m.user_id and sub["status"] == "active"
    assert boss.post(f"/api/admin/subscriptions/{sub['id']}/cancel", {"reason": "by letter"}).status == 200
    settle(town)
    assert not m.entitlements()["premium"] and audit(boss)[0]["action"] == "subscription.cancel"
    assert boss.post("/api/admin/subscriptions/sub_nobody/cancel", {"reason": "x"}).status == 404


def test_grants(town, boss):
    m = town.member("m@example.com")
    a = boss.post("/api/admin/grants", {"userId": m.user_id, "item": "quiz:nothing", "reason": "x"})
    assert a.status == 422 and a.json["errors"][0]["pointer"] == "/item"
    a = boss.post("/api/admin/grants", {"userId": m.user_id, "item": "quiz:big-five", "reason": "press"})
    assert a.status == 201, a
    assert m.post("/api/user/entitlements/use", {"item": "quiz:big-five"}).json["via"] == "grant"
    assert [g["item"] for g in boss.get(f"/api/admin/grants?userId={m.user_id}").json["data"]] == ["quiz:big-five"]
    url = f"/api/admin/grants/{a.json['id']}?reason=over"
    assert boss.delete(url).status == 200 and boss.delete(url).status == 404
    assert m.post("/api/user/entitlements/use", {"item": "quiz:big-five"}).status == 402
    assert [r["action"] for r in audit(boss)] == ["grant.revoke", "grant.put"]


def test_discounts(town, boss):
    a = boss.post("/api/admin/discounts", {"code": "SPRING", "percent": 25, "reason": "campaign"})
    assert a.status == 201 and a.json["code"] == "SPRING", a
    assert boss.post("/api/admin/discounts", {"code": "spring", "percent": 5, "reason": "x"}).status == 409
    assert boss.post("/api/admin/discounts", {"code": "BOTH", "percent": 5, "amount": 5, "reason": "x"}).status == 422
    assert [d["code"] for d in boss.get("/api/admin/discounts").json["data"]] == ["SPRING"]
    assert boss.delete(f"/api/admin/discounts/{a.json['id']}?reason=over").status == 200
    assert [r["action"] for r in audit(boss)] == ["discount.disable", "discount.put"]


def test_events_and_figures(town, boss):
    m = town.member("m@example.com")
    m.subscribe(town.sandbox)
    bad = {"id": "evt_bad", "object": "event", "type": "customer.subscription.updated", "created": 1, "livemode": False,
           "data": {"object": 7}}
    assert post_event(town, bad).status == 200
    failed = boss.get("/api/admin/events?status=failed").json["data"]
    assert [e["id"] for e in failed] == ["evt_bad"] and failed[0]["error"]
    pages, cursor = [], ""
    while True:
        a = boss.get("/api/admin/events?limit=5" + (f"&cursor={cursor}" if cursor else ""))
        pages += [e["id"] for e in a.json["data"]]
        cursor = a.json["nextCursor"]
        if not cursor:
            break
    sent = {e["id"] for e in town.sandbox.call("GET", "/_sandbox/events")["data"]}
    assert len(pages) == len(set(pages)) and sent & set(pages) and "evt_bad" in pages
    assert '"evt_bad"' in boss.get("/api/admin/events/evt_bad").json["payload"]
    a = boss.post("/api/admin/events/evt_bad/replay", {"reason": "try"})
    assert a.status == 200 and a.json["status"] == "failed", a
    assert boss.post("/api/admin/events/evt_none/replay", {"reason": "try"}).status == 404
    assert audit(boss)[0]["action"] == "event.replay"
    figures = boss.get("/api/admin/metrics").json
    assert figures["members"] == 2 and figures["subscriptions"] == {"active": 1} and figures["events"]["failed"] == 1
    assert boss.get("/api/admin/drift").json["data"] == []
    assert boss.get("/api/admin/ai/usage").json["data"] == []


def test_flags(town, boss):
    body = {"id": "evt_x", "object": "event", "type": "checkout.session.completed", "created": 1700000000,
            "livemode": False, "data": {"object": {
                "id": "cs_test_stranger", "object": "checkout.session", "mode": "payment", "status": "complete",
                "payment_status": "paid", "amount_total": 100, "currency": "usd", "metadata": {}, "created": 1700000000}}}
    assert post_event(town, body).status == 200
    flags = boss.get("/api/admin/flags").json["data"]
    assert [f["ref"] for f in flags] == ["cs_test_stranger"]
    url = f"/api/admin/flags?kind={flags[0]['kind']}&ref=cs_test_stranger&reason=seen"
    assert boss.delete(url).status == 200 and boss.delete(url).status == 404
    assert boss.get("/api/admin/flags").json["data"] == [] and audit(boss)[0]["action"] == "flag.close"
