"""kill -9 while mail is on its way: every mail arrives, and twice only what was in doubt. email/CONTRACT §1, SPEC §8."""
import random
import time
from collections import Counter

from books import sql
from fakes import mail_row, put_mail

from harness import wait_until

THREADS = 8


def test_kill(make_server, provider, long):
    p = provider("sendgrid", delay=0.05)
    s = make_server(env=p.env())
    dice, mails, rounds = random.Random(7), [], 40 if long else 5
    for _ in range(rounds):
        mails += [put_mail(sql, s, to=f"m{len(mails) + i}@example.test") for i in range(20)]
        seen = len(p.got)
        wait_until(lambda: len(p.got) >= seen + dice.randrange(1, 10))
        time.sleep(dice.random() * 0.1)  # the moment of the kill; nothing waits for it
        s.kill()
        s.start()

    def over():
        states = Counter(mail_row(sql, s, m)["state"] for m in mails)
        return set(states) <= {"accepted", "in_doubt"} and states["accepted"] + states["in_doubt"] == len(mails)

    wait_until(over)
    doubtful = [m for m in mails if mail_row(sql, s, m)["state"] == "in_doubt"]
    assert all(n == 1 for n in Counter(p.ids()).values())
    s.clock("+16 minutes")
    wait_until(lambda: all(mail_row(sql, s, m)["state"] == "accepted" for m in mails))
    times = Counter(p.ids())
    assert set(times) == set(mails)
    assert {m for m, n in times.items() if n > 1} <= set(doubtful) and len(doubtful) <= rounds * THREADS
