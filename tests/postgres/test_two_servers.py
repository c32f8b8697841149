"""Two `serve` processes on one database: no limit is exceeded, no event takes effect twice. SPEC §2, §8."""
import json
import time

import pytest

from books import PRICE, QUIZZES, at_once, premium, sql
from harness import Client
from harness.client import post_event
from harness.stripe_events import DAY, Subscriber, deliver, event
from little_stripe import LittleStripe

pytestmark = pytest.mark.pg_only

INCLUDED = [q for q in QUIZZES if PRICE[q] <= 5000]
ARTICLES = ["article:better-sleep", "article:setting-boundaries", "article:living-with-anxiety",
            "article:habits-that-last", "article:grief"]


@pytest.fixture
def stripe():
    s = LittleStripe()
    yield s
    s.close()


@pytest.fixture
def pair(make_server, stripe):
    """Two servers, one database."""
    first = make_server(sandbox=stripe, engine="pg")
    return first, make_server(sandbox=stripe, engine="pg", share=first)


def everywhere(pair, n, work):
    """work(server, i), n times at once, every second one through the other server."""
    return at_once(n, lambda i: work(pair[i % 2], i))


@pytest.mark.parametrize("items, kind, limit", [(INCLUDED, "quizzes", 2), (ARTICLES, "articles", 3)])
def test_forty_uses_through_both_open_exactly_the_limit(pair, items, kind, limit):
    for round_no in range(20):
        member = pair[0].member()
        premium(pair[0], member)

        def use(server, i):
            # Neighbours (one a server) ask for the same item, so both races are run: same item and same slot.
            return Client(server, token=member.token).post("/api/user/entitlements/use",
                                                           {"item": items[i // 2 % len(items)]})

        answers = everywhere(pair, 40, use)
        assert {a.status for a in answers} == {200, 402}, f"round {round_no}: {[a for a in answers if a.status >= 500]}"
        opened = {a.json["item"] for a in answers if a.status == 200}
        rows = sql(pair[0], "SELECT item FROM allowance_use WHERE member = ?", member.user_id)
        assert len(opened) == len(rows) == limit and opened == {r[0] for r in rows}, f"round {round_no}"
        assert member.entitlements()[kind]["included"]["used"] == limit


def a_life(user, now):
    """Nearly every kind of event that changes something: three months, paid, refunded in part and in full, disputed."""
    s = Subscriber(user, now, tag="twice")
    first, second, third = s.start, s.start + s.period, s.start + 2 * s.period
    return [s.customer_created(), s.subscription("created", status="incomplete"), s.invoice("created"),
            s.invoice("finalized"), *s.month(first), s.refund(start=first, at=first + DAY, amount=700),
            s.invoice("payment_failed", start=second), s.subscription(status="past_due", start=second, at=second + 1),
            s.invoice("paid", start=second, at=second + DAY), s.subscription(start=second, at=second + DAY),
            s.invoice_payment(start=second, at=second + DAY), s.dispute(start=second, at=second + 2 * DAY),
            s.dispute("closed", "won", second, second + 3 * DAY), *s.month(third),
            s.refund(start=third, at=third + DAY, status="pending"),
            s.refund(start=third, at=third + 2 * DAY, kind="refund.updated"),
            s.subscription("deleted", status="canceled", start=third, at=third + 3 * DAY, ended_at=third + 3 * DAY)]


def counted(pair, result):
    """What both servers have counted since they started."""
    name = f'mybeing_webhooks_total{{source="stripe",result="{result}"}} '
    texts = [s.client().get("/metrics").text for s in pair]
    return sum(int(line.split()[-1]) for text in texts for line in text.splitlines() if line.startswith(name))


def deliver_often(pair, e):
    """25 times to each of the two, all at once."""
    before = counted(pair, "duplicate")
    answers = everywhere(pair, 50, lambda server, _: post_event(server, e))
    assert {a.status for a in answers} == {200}, (e["type"], [a for a in answers if a.status != 200][:3])
    rows = sql(pair[0], "SELECT status FROM webhook_event WHERE id = ?", e["id"])
    assert rows == [("applied",)], (e["type"], rows)
    assert counted(pair, "duplicate") - before == 49, e["type"]  # however often a transaction was run again


def mails(server):
    return sql(server, "SELECT template, recipient, count(*) FROM email_log GROUP BY template, recipient "
                       "ORDER BY template, recipient")


def test_an_event_delivered_25_times_to_both_is_applied_once(pair, make_server):
    now = time.time() - 70 * DAY
    alone = make_server(engine="pg")
    member, same = pair[0].member("m@example.com"), alone.member("m@example.com")
    for e in a_life(member.user_id, now):
        deliver_often(pair, e)
    deliver(alone, *a_life(same.user_id, now))
    assert pair[0].state() == alone.state()
    assert mails(pair[0]) == mails(alone) != []
    replay = json.loads(pair[1].cli("events", "replay", "--shadow", "--json"))
    assert replay["differences"] == [] and replay["failed"] == 0


def test_a_purchase_is_paid_and_refunded_once(pair, stripe):
    member = pair[0].member()
    a = member.post("/api/purchases/checkout", {"item": "quiz:stress-profile"})
    assert a.status == 200, a
    session, purchase = a.json["sessionId"], a.json["purchaseId"]
    done = stripe.pay(session)
    intent = stripe.payment(session)
    refund = {"id": "re_once", "object": "refund", "amount": PRICE["quiz:stress-profile"], "currency": "usd",
              "charge": f"ch_{intent['id']}", "payment_intent": intent["id"], "status": "succeeded",
              "created": int(time.time())}

    def history():
        return [r[0] for r in sql(pair[0], "SELECT status FROM purchase_history WHERE purchase = ? ORDER BY seq", purchase)]

    before = history()
    deliver_often(pair, event("checkout.session.completed", done))
    deliver_often(pair, event("payment_intent.succeeded", intent))
    assert history() == before + ["paid"]
    assert pair[0].dev("userstate", member.user_id)["paid_cents"] == PRICE["quiz:stress-profile"]
    deliver_often(pair, event("refund.created", refund))
    assert history() == before + ["paid", "refunded"]
    state = pair[1].dev("userstate", member.user_id)
    assert (state["refunded_cents"], state["items"]["quiz:stress-profile"]) == (PRICE["quiz:stress-profile"], "revoked")
    sent = {template: int(n) for template, _, n in mails(pair[0])}
    assert sent and set(sent.values()) == {1}, sent
