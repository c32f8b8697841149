"""mybeing check: every invariant is asked for, and a broken one is named."""
import json

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
    """A member with a free use, a discount slot and a paid purchase."""
    made = make_server(sandbox=stripe)
    m = made.member()
    premium(made, m)
    assert m.post("/api/user/entitlements/use", {"item": "quiz:sleep-quality"}).status == 200
    a = m.post("/api/purchases/checkout", {"item": "quiz:stress-profile"}).json
    tell(made, "checkout.session.completed", stripe.pay(a["sessionId"]))
    return made


BREAKS = {
    "allowance_within_limit": ("UPDATE allowance_use SET kind = 'quiz', number = 1",
                               "INSERT INTO allowance_use (member, cycle_start, kind, number, cycle_end, item, subscription, used_at) "
                               "SELECT member, cycle_start, kind, number + 1, cycle_end, item || 'x', subscription, used_at "
                               "FROM allowance_use UNION ALL "
                               "SELECT member, cycle_start, kind, number + 2, cycle_end, item || 'y', subscription, used_at "
                               "FROM allowance_use", "DELETE FROM allowance_use WHERE number > 1"),
    "allowance_numbers_from_one": ("UPDATE allowance_use SET number = 0", "UPDATE allowance_use SET number = 1"),
    "discount_slot_follows_purchase": ("UPDATE discount_slot SET state = 'held'", "UPDATE discount_slot SET state = 'consumed'"),
    "discount_slot_is_the_buyers": ("UPDATE purchase SET discount_kind = 'none', price = list_price",
                                    "UPDATE purchase SET discount_kind = 'premium', price = 1520"),
    "purchase_price": ("UPDATE purchase SET price = 9999", "UPDATE purchase SET price = 1520"),
    "purchase_money": ("UPDATE purchase SET price = 1519", "UPDATE purchase SET price = 1520"),
    "purchase_has_buyer": ("UPDATE purchase SET visitor = member, member = NULL, claimed_at = 1",
                           "UPDATE purchase SET member = visitor, visitor = NULL, claimed_at = NULL"),
    "purchase_open_only_while_pending": ("UPDATE purchase SET open_key = 'x'", "UPDATE purchase SET open_key = NULL"),
    "mismatch_grants_nothing": ("UPDATE purchase SET mismatch = 1", "UPDATE purchase SET mismatch = 0"),
    "history_ends_in_status": ("UPDATE purchase_history SET status = 'lost' WHERE seq = 2",
                               "UPDATE purchase_history SET status = 'paid' WHERE seq = 2"),
    "history_without_gaps": ("UPDATE purchase_history SET seq = 3 WHERE seq = 2",
                             "UPDATE purchase_history SET seq = 2 WHERE seq = 3"),
    "paid_session_is_fulfilled": ("UPDATE purchase SET status = 'pending'", "UPDATE purchase SET status = 'paid'"),
}


def test_what_is_right_is_right(shop):
    out = shop.cli("check")
    assert "BROKEN" not in out and "invariants hold" in out
    doc = json.loads(shop.cli("check", "--json"))
    assert doc["broken"] == 0 and doc["run"] == len(doc["invariants"]) >= 25
    assert shop.run("check", "--nonsense", ok=False).returncode == 2


def test_each_broken_invariant_is_named(shop):
    for name, (*breaks, mend) in BREAKS.items():
        for b in breaks:
            sql(shop, b)
        done = shop.run("check", "--json", ok=False)
        broken = {i["name"] for i in json.loads(done.stdout)["invariants"] if i["rows"]}
        assert done.returncode == 1 and name in broken, (name, broken)
        sql(shop, mend)
        assert shop.run("check", ok=False).returncode == 0, name
