"""mybeing sync: what webhooks missed, what differs from Stripe, and its repair."""
import json

import pytest

from harness.stripe_events import deliver, event


@pytest.fixture
def deaf(make_server, sandbox):
    """A server whose Stripe sends no webhooks: it has to ask."""
    server = make_server(sandbox=sandbox)
    server.cli("setup", "stripe", "--yes", "--no-webhook")
    return server


def pay_unheard(server):
    member = server.member("m1@example.org")
    a = member.post("/api/subscription/create")
    assert a.status == 200, a
    server.sandbox.pay(a.json["sessionId"])
    return member


def sync(server, ok=True):
    done = server.run("sync", "--json", ok=ok)
    return json.loads(done.stdout)


def test_missed_events_are_taken_once(deaf):
    member = pay_unheard(deaf)
    assert not member.entitlements()["premium"]
    first = sync(deaf)
    assert first["eventsMissed"] > 3 and first["eventsFailed"] == 0
    assert first["drift"] == []
    assert member.entitlements()["premium"]
    again = sync(deaf)
    assert again["eventsMissed"] == 0 and again["drift"] == []
    assert json.loads(deaf.cli("events", "replay", "--shadow", "--json"))["failed"] == 0


def test_differences_are_listed_and_mended(deaf):
    member = pay_unheard(deaf)
    sync(deaf)
    state = json.loads(deaf.state())
    listed = json.loads(deaf.cli("events", "list", "--limit", "500", "--json"))
    subs = {e["object"] for e in listed if e["type"].startswith("customer.subscription.")}
    assert len(subs) == 1
    sub = subs.pop()
    # Something that never was at Stripe, and news that Stripe does not confirm.
    payload = next(json.loads(deaf.cli("events", "show", e["id"], "--json"))["payload"] for e in listed
                   if e["object"] == sub)
    lie = {**payload["data"]["object"], "status": "past_due"}
    ghost = {**lie, "id": "sub_ghost", "status": "active", "customer": "cus_ghost", "metadata": {}}
    last = max(json.loads(deaf.cli("events", "show", e["id"], "--json"))["payload"]["created"] for e in listed)
    deaf.clock("+1 hour")  # news within seconds of an answer of Stripe would count as the same moment
    deliver(deaf, event("customer.subscription.updated", lie, last + 600),
            event("customer.subscription.updated", ghost, last + 600))
    assert member.entitlements()["status"] == "past_due"
    found = deaf.run("sync", "--json", ok=False)
    assert found.returncode == 1
    drift = {(d["object"], d["field"]): (d["ours"], d["stripe"]) for d in json.loads(found.stdout)["drift"]}
    assert drift[(sub, "status")] == ("past_due", "active")
    assert drift[("sub_ghost", "exists")] == ("active", None)
    text = deaf.run("sync", "drift", ok=False)
    assert f"mybeing sync repair {sub}" in text.stdout and text.returncode == 1
    deaf.run("sync", "repair", sub, ok=False)
    assert member.entitlements()["status"] == "active"
    left = {d["object"] for d in json.loads(deaf.run("sync", "--json", ok=False).stdout)["drift"]}
    assert left == {"sub_ghost"}
    assert json.loads(deaf.state())["members"]["m1@example.org"]["billing"] == state["members"]["m1@example.org"]["billing"]


def test_without_stripe_it_says_so(server):
    done = server.run("sync", ok=False)
    assert done.returncode == 1 and done.stderr.startswith("mybeing: ")
    no_key = server.run("sync", ok=False, env={"STRIPE_SECRET_KEY": ""})
    assert no_key.returncode == 1 and "STRIPE_SECRET_KEY" in no_key.stderr
    assert server.run("sync", "nonsense", ok=False).returncode == 2


def test_a_lost_renewal_is_asked_for_before_the_grace_ends(deaf):
    member = pay_unheard(deaf)
    sync(deaf)
    deaf.clock("+1 month")
    deaf.clock("+4 hours")
    deaf.settle()
    before = member.entitlements()
    assert before["premium"]
    deaf.clock("+5 days")  # far beyond the grace of the month that was paid first
    assert member.entitlements()["premium"]
