"""Every order of a few events about one purchase: one status, one item, one sum, the same flags."""
import itertools

import pytest

from books import sql
from harness.stripe_events import deliver
from test_purchase_histories import ITEM, Told, another_attempt, world  # noqa: F401


def other_payment(t, tail):
    """A second payment of the same purchase that succeeded too."""
    e = t.intent(-1)
    e["data"]["object"]["id"] = t.pi + tail
    return e


def refund_of(t, tail, amount):
    return t.refund(2, amount, tag=tail, payment_intent=t.pi + tail, charge=None)


# name: (events, status, item, the tail of the payment that counts, given back, paid twice?)
ORDERS = {
    "declined_paid_given_back_disputed": (
        lambda t: [another_attempt(t), t.intent(0), t.checkout(0), t.refund(2, t.price), t.charge(2, "refunded", back=t.price),
                   t.dispute(3)], "refunded", "revoked", "", 1, False),
    "declined_paid_disputed_lost": (
        lambda t: [another_attempt(t), t.intent(0), t.checkout(0), t.dispute(3), t.dispute(9, "closed", "lost")],
        "lost", "revoked", "", 0, False),
    "two_declined_and_a_payment_without_checkout": (
        lambda t: [another_attempt(t), t.intent(-2, "payment_failed", "requires_payment_method"), t.intent(0),
                   t.refund(2, t.price // 2)], "partially_refunded", "owned", "", 0.5, False),
    "paid_twice_the_checkout_names_the_later": (
        lambda t: [other_payment(t, "_b"), t.intent(0), t.checkout(0, payment_intent=t.pi + "_b"), refund_of(t, "_b", t.price)],
        "refunded", "revoked", "_b", 1, True),
    "paid_twice_and_no_checkout_is_told": (
        lambda t: [other_payment(t, "_b"), t.intent(0), other_payment(t, "_c"), t.refund(2, t.price // 2)],
        "partially_refunded", "owned", "", 0.5, True),
}


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_every_order(world, long, name):  # noqa: F811
    tell, status, item, tail, back, twice = ORDERS[name]
    world.sandbox.fault("clear")
    orders = list(itertools.permutations(range(len(tell(Told(world, f"{name}_none"))))))
    for n, order in enumerate(orders if long else orders[::7] if len(orders) > 200 else orders):
        world.sandbox.fault("clear")
        t = Told(world, f"{name}{n}")
        world.sandbox.fault("down", count=-1)
        events = tell(t)
        deliver(world, *(events[i] for i in order))
        told = [events[i]["type"] for i in order]
        p = t.member.get(f"/api/purchases/{t.purchase}").json
        assert p["status"] == status, (told, p)
        assert sql(world, "SELECT payment_intent FROM purchase WHERE id = ?", t.purchase)[0][0] == t.pi + tail, told
        state = world.dev("userstate", t.member.user_id)
        assert state["items"][ITEM] == item, (told, state)
        assert (state["paid_cents"], state["refunded_cents"]) == (t.price, int(t.price * back)), (told, state)
        flags = sql(world, "SELECT kind FROM billing_flag WHERE ref IN (?, ?, ?)", t.purchase, t.pi, t.pi + "_b")
        assert flags == ([("paid_twice",)] if twice else []), (told, flags)
