"""The same random life on SQLite and on PostgreSQL ends in the same state."""
import pathlib
import random
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "scenario"))

from books import QUIZZES  # noqa: E402
from harness.stripe_events import DAY, deliver  # noqa: E402
from test_stories_stripe import a_life, mess, two_members  # noqa: E402

pytestmark = pytest.mark.pg_only


def live(server, seed, now):
    """Lives of two members, their events in any order and repeated, between them time that passes and items opened."""
    rng = random.Random(seed)
    users = two_members(server)
    members = [server.member("m1@example.org"), server.member("m2@example.org")]
    events = mess([e for i in range(6) for e in a_life(users[rng.choice(["101", "102"])], now + i * 7 * DAY, rng)], rng)
    told = []
    for part in range(3):
        deliver(server, *events[part::3])
        for _ in range(5):
            a = rng.choice(members).post("/api/user/entitlements/use", {"item": rng.choice(QUIZZES)})
            told.append((a.status, a.json.get("via"), a.json.get("price")))
        server.clock(f"+{rng.randint(1, 12)} days")
    return told, server.state()


def test_both_engines_end_alike(make_server, long):
    now = int(time.time()) - 50 * DAY
    for seed in range(25 if long else 3):
        sqlite = live(make_server(engine="sqlite"), seed, now)
        postgres = live(make_server(engine="pg"), seed, now)
        assert sqlite == postgres, f"seed {seed}"
