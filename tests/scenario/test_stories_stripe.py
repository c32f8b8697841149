"""Stripe's stories in any order, with duplicates: the same state. What refunds, disputes and dunning do to access."""
import contextlib
import itertools
import json
import random
import threading
import time

import pytest

from harness import Server
from harness.client import post_event
from harness.process import wait_until
from harness.stripe_events import DAY, SHAPES, Subscriber, deliver, event, stories, story_files

MAIL = "m1@example.org"


def mess(events, rng):
    """All events at least once, some twice or thrice, in any order."""
    out = list(events)
    out += rng.sample(events, k=max(1, len(events) // 4))
    out += rng.sample(events, k=max(1, len(events) // 8))
    rng.shuffle(out)
    return out


def two_members(server):
    return {"101": server.member(MAIL).user_id, "102": server.member("m2@example.org").user_id}


def state_after(make_server, make_events, rng=None):
    server = make_server()
    events = make_events(two_members(server))
    deliver(server, *(mess(events, rng) if rng else events))
    return server.state()


@pytest.mark.parametrize("shape", SHAPES)
def test_stories_in_any_order_end_alike(make_server, shared, shape, long):
    def make(users):
        return stories(shared, shape, users)

    expected = state_after(make_server, make)
    subscription = json.loads(expected)["members"][MAIL]["billing"]["subscriptions"]
    assert [s["status"] for s in subscription] == ["canceled"]
    for seed in range(200 if long else 4):
        got = state_after(make_server, make, random.Random(seed))
        assert got == expected, f"seed {seed}"


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_short_story_in_every_order(shared, shape, number, long):
    """Up to six events: all orders of them (a few, unless long), behind what happened before."""
    paths = story_files(shared, shape)
    story = json.loads(paths[number].read_text())
    if len(story) > 6:
        pytest.skip(f"{len(story)} events: random orders of them are the other tests'")
    orders = list(itertools.permutations(range(len(story))))
    if not long:
        orders = random.Random(number).sample(orders, min(2, len(orders)))
    states = set()
    for order in orders:
        with contextlib.closing(Server()) as server:
            text = [path.read_text() for path in paths[:number + 1]]
            for old, new in two_members(server).items():
                text = [t.replace(f'"{old}"', f'"{new}"') for t in text]
            *past, now = [json.loads(t) for t in text]
            for events in past:
                deliver(server, *events)
            deliver(server, *(now[i] for i in order))
            states.add(server.state())
    assert len(states) == 1, f"{len(states)} states of {len(orders)} orders"


def a_life(user, now, rng):
    """A random life of one subscription: months paid, failed, refunded, disputed; ties of second on purpose."""
    s = Subscriber(user, now, tag=f"life{rng.randrange(10**6)}")
    out = [s.customer_created(), s.subscription("created", status=rng.choice(["active", "incomplete"]))]
    for month in range(rng.randint(1, 4)):
        start = now + month * s.period
        how = rng.choice(["paid", "paid", "late", "refund", "partial", "failed_refund", "dispute_won", "dispute_lost",
                          "inquiry", "unpaid"])
        out += [s.invoice("created", start=start), s.invoice("finalized", start=start)]
        if how in ("late", "unpaid"):
            out += [s.invoice("payment_failed", start=start), s.subscription(status="past_due", start=start)]
            out += [s.invoice("payment_failed", start=start, at=start + 3 * DAY, attempt_count=2)]
        if how == "late":
            out += [s.invoice("paid", start=start, at=start + 5 * DAY),
                    s.subscription(start=start, at=start + 5 * DAY), s.invoice_payment(start=start, at=start + 5 * DAY)]
        elif how == "unpaid":
            out += [s.subscription(status="unpaid", start=start, at=start + 20 * DAY)]
        else:
            out += s.month(start)
        if how == "refund":
            out += [s.refund(start=start, at=start + DAY)]
        if how == "partial":
            out += [s.refund(start=start, at=start + DAY, amount=1000)]
        if how == "failed_refund":
            out += [s.refund(start=start, at=start + DAY, status="pending"),
                    s.refund(start=start, at=start + 2 * DAY, status="failed", kind="refund.failed")]
        if how.startswith("dispute"):
            out += [s.dispute(start=start, at=start + DAY), s.dispute("updated", "under_review", start, start + 2 * DAY),
                    s.dispute("closed", how[8:], start, start + 9 * DAY)]
        if how == "inquiry":
            out += [s.dispute("created", "warning_needs_response", start, start + DAY),
                    s.dispute("closed", "warning_closed", start, start + 9 * DAY)]
        if rng.random() < 0.3:
            out += [s.subscription(start=start, at=start + 10 * DAY, cancel_at_period_end=True,
                                   cancel_at=start + s.period)]
    if rng.random() < 0.3:
        out += [s.subscription("deleted", status="canceled", start=start, at=start + 25 * DAY, ended_at=start + 25 * DAY),
                s.subscription(start=start, at=start + 25 * DAY + rng.choice([0, 60]))]  # canceled is for good
    if rng.random() < 0.1:
        out += [event("customer.deleted", {"id": s.customer, "object": "customer", "deleted": True}, start + 26 * DAY)]
    return out + a_checkout(s, rng)


def a_checkout(s, rng):
    """A checkout in payment mode that is paid later, fails, or runs out."""
    def session(kind, status, payment_status, at):
        obj = {"id": f"cs_test_{s.tag}", "object": "checkout.session", "mode": "payment", "status": status,
               "payment_status": payment_status, "client_reference_id": s.user, "metadata": {}, "currency": "usd",
               "payment_intent": f"pi_{s.tag}_once" if status == "complete" else None, "amount_total": 900}
        return event(f"checkout.session.{kind}", obj, at)

    end = rng.choice(["expired", "async_payment_succeeded", "async_payment_failed"])
    if end == "expired":
        return [session("expired", "expired", "unpaid", s.now + DAY)]
    paid = "paid" if end.endswith("succeeded") else "unpaid"
    intent = {"id": f"pi_{s.tag}_once", "object": "payment_intent", "amount": 900, "currency": "usd", "metadata": {}}
    return [session("completed", "complete", "unpaid", s.now), session(end, "complete", paid, s.now + DAY),
            event("payment_intent.processing", {**intent, "status": "processing", "amount_received": 0}, s.now),
            event("payment_intent.succeeded" if paid == "paid" else "payment_intent.payment_failed",
                  {**intent, "status": "succeeded", "amount_received": 900} if paid == "paid" else
                  {**intent, "status": "requires_payment_method", "amount_received": 0, "last_payment_error": {"code": "x"}},
                  s.now + DAY)]


def test_random_lives_in_any_order_end_alike(make_server, long):
    now = int(time.time()) - 50 * DAY
    for seed in range(25 if long else 3):
        def make(users):
            rng = random.Random(seed)
            return [e for i in range(6) for e in a_life(users[rng.choice(["101", "102"])], now + i * 7 * DAY, rng)]

        expected = state_after(make_server, make)
        for order in range(3):
            got = state_after(make_server, make, random.Random(1000 * seed + order))
            assert got == expected, f"seed {seed}, order {order}"


def test_facts_rebuilt_from_events_are_the_living_ones(server, shared):
    deliver(server, *mess(stories(shared, "modern", two_members(server)), random.Random(5)))
    done = json.loads(server.cli("events", "replay", "--shadow", "--json"))
    assert done["differences"] == [] and done["failed"] == 0
    assert done["events"] > 60 and done["objects"] > 30


# ---- access

def premium(member):
    return member.entitlements()["premium"]


@pytest.fixture
def subscriber(server):
    member = server.member(MAIL)
    s = Subscriber(member.user_id, time.time())
    s.member, s.server = member, server
    return s


def test_a_subscription_gives_access_until_its_paid_time_and_grace(subscriber):
    s = subscriber
    deliver(s.server, s.subscription("created"), *s.month())
    assert premium(s.member)
    s.server.clock("+32 days")
    assert premium(s.member), "within the renewal grace"
    s.server.clock("+2 days")
    assert not premium(s.member)
    deliver(s.server, *s.month(s.start + s.period))
    assert premium(s.member), "the late news of the renewal"


def test_a_dispute_about_january_does_not_touch_march(subscriber):
    s = subscriber
    january, march = s.start - 2 * s.period, s.start
    for start in (january, january + s.period, march):
        deliver(s.server, *s.month(start))
    deliver(s.server, s.dispute(start=january, at=s.start + 60))
    assert premium(s.member)
    deliver(s.server, s.dispute(start=march, at=s.start + 70))
    assert not premium(s.member), "its own month is suspended"
    deliver(s.server, s.dispute("closed", "won", march, s.start + 80))
    assert premium(s.member)
    deliver(s.server, s.dispute("closed", "lost", january, s.start + 90))
    assert premium(s.member)


def test_refunds(subscriber):
    s = subscriber
    deliver(s.server, *s.month())
    deliver(s.server, s.refund(amount=3199))
    assert premium(s.member), "a partial refund changes nothing"
    deliver(s.server, s.refund(amount=1, tag="b", status="pending"))
    assert not premium(s.member), "the sum is all that was paid"
    deliver(s.server, s.refund(amount=1, tag="b", status="failed", kind="refund.failed", at=s.start + 5))
    assert premium(s.member), "a failed refund restores"


def test_a_refund_that_comes_before_everything_waits_for_its_link(subscriber):
    s = subscriber
    refund = s.refund(at=s.start + 100)
    refund["data"]["object"]["payment_intent"] = None
    deliver(s.server, refund, s.subscription("created"), s.invoice("paid"))
    assert premium(s.member)
    deliver(s.server, s.invoice_payment())
    assert premium(s.member)
    charge = {"id": f"ch_{s.tag}_{s.start}", "object": "charge", "payment_intent": s.payment(s.start),
              "customer": s.customer, "amount": 3200, "amount_refunded": 0, "currency": "usd", "status": "succeeded"}
    deliver(s.server, event("charge.succeeded", charge, s.start))
    assert not premium(s.member), "the charge ties the refund to its payment"


def test_past_due_ends_after_its_days(subscriber):
    s = subscriber
    deliver(s.server, *s.month(s.start - s.period))
    deliver(s.server, s.invoice("payment_failed"), s.subscription(status="past_due"))
    e = s.member.entitlements()
    assert e["premium"] and e["grace"] and e["status"] == "past_due"
    s.server.clock("+13 days")
    deliver(s.server, s.invoice("payment_failed", at=s.start + 12 * DAY, attempt_count=3))
    assert premium(s.member)
    s.server.clock("+25 hours")
    assert not premium(s.member)


def test_second_active_subscription_is_flagged_and_the_best_one_counts(subscriber):
    s = subscriber
    other = Subscriber(s.user, s.now, tag=s.tag + "b")
    deliver(s.server, s.subscription("created"), other.subscription("created", status="past_due"))
    state = json.loads(s.server.state())["members"][MAIL]["billing"]
    assert state["flags"] == ["second_active_subscription"]
    assert s.member.entitlements()["status"] == "active"
    deliver(s.server, s.subscription("deleted", status="canceled", at=s.start + 9, ended_at=s.start + 9))
    state = json.loads(s.server.state())["members"][MAIL]["billing"]
    assert state["flags"] == []
    assert s.member.entitlements()["status"] == "past_due"


def test_canceled_is_for_good(subscriber):
    s = subscriber
    gone = s.subscription("deleted", status="canceled", at=s.start + 10, ended_at=s.start + 10)
    deliver(s.server, *s.month(), gone, s.subscription(at=s.start + 60))
    assert not premium(s.member)
    assert s.member.entitlements()["status"] == "canceled"


def test_the_owner_becomes_known_later_and_never_by_mail(subscriber):
    s = subscriber
    nameless = s.subscription("created")
    nameless["data"]["object"]["metadata"] = {}
    invoice = s.invoice("paid", customer_email=MAIL)
    invoice["data"]["object"]["parent"]["subscription_details"]["metadata"] = {}
    deliver(s.server, nameless, invoice)
    assert not premium(s.member)
    session = {"id": f"cs_test_{s.tag}", "object": "checkout.session", "mode": "subscription", "status": "complete",
               "payment_status": "paid", "customer": s.customer, "subscription": s.id, "client_reference_id": s.user,
               "metadata": {}, "amount_total": 3200, "currency": "usd"}
    deliver(s.server, event("checkout.session.completed", session, s.start))
    assert premium(s.member)


def test_a_deleted_customer_has_no_subscription_any_more(subscriber):
    s = subscriber
    deliver(s.server, *s.month())
    deliver(s.server, event("customer.deleted", {"id": s.customer, "object": "customer", "deleted": True}, s.start + 5))
    assert not premium(s.member)
    deliver(s.server, s.subscription(at=s.start + 9))
    assert not premium(s.member)
    assert s.server.dev("userstate", s.user)["paid_cents"] == 3200, "the books stay"


# ---- durability

@pytest.mark.sqlite_only
def test_what_was_answered_survives_kill_9(make_server, long):
    """Events are posted from several threads while the server is killed; each one answered 200 must be there."""
    server = make_server()
    user = server.member(MAIL).user_id
    rng = random.Random(11)
    answered, lock = set(), threading.Lock()
    for round_no in range(50 if long else 3):
        stop = threading.Event()

        def post(worker):
            n = 0
            while not stop.is_set() and n < 400:
                n += 1
                s = Subscriber(user, time.time(), tag=f"k{round_no}_{worker}_{n}")
                for e in s.month():
                    try:
                        if post_event(server, e).status == 200:
                            with lock:
                                answered.add(e["id"])
                    except Exception:  # the connection died with the server
                        return

        threads = [threading.Thread(target=post, args=(w,)) for w in range(4)]
        goal = len(answered) + rng.randint(20, 120)
        for t in threads:
            t.start()
        wait_until(lambda: len(answered) >= goal)
        server.kill()
        stop.set()
        for t in threads:
            t.join()
        server.start()
        kept = {e["id"] for e in json.loads(server.cli("events", "list", "--limit", "100000", "--json"))
                if e["status"] == "applied"}
        assert answered <= kept, f"round {round_no}: {len(answered - kept)} lost"
    done = json.loads(server.cli("events", "replay", "--shadow", "--json"))
    assert done["differences"] == []
