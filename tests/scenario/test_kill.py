"""kill -9 at every step between claim and finish, with two worker processes: each job done, each effect once; a mail at
most twice, and only where the contract calls it in doubt, and then it is marked. email/CONTRACT §1, §6, SPEC §8.

The workers run with tests/unit/job/plug.c preloaded: it ends them at their Nth call to disk or network. N differs in
each life, so that the kills fall before and after every write, commit, request and answer."""
import json
import pathlib
import random
import sys
import time
from collections import Counter

from harness import wait_until
from harness.process import BUILD, Process

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / d) for d in ("api", "mail")]
from books import sql  # noqa: E402
from fakes import Provider, new_id, put_mail  # noqa: E402

TOKEN_RESET = 2
FINAL = "('accepted', 'delivered')"


class Worker:
    """`mybeing work`, again and again: each life ends at another of its calls."""

    def __init__(self, server, dice):
        self.server, self.dice, self.kills, self.lives, self.process = server, dice, 0, 0, None

    def live(self, mortal=True):
        env = dict(self.server.env)
        if mortal:
            env |= {"LD_PRELOAD": str(BUILD / "tests/unit/plug.so"), "PLUG_AT": str(self.dice.randrange(1, 300))}
            if self.dice.random() < 0.5:
                env["PLUG_AFTER"] = "1"
        self.lives += 1
        self.process = Process([BUILD / "mybeing", "work"], env, self.server.dir)

    def look(self):
        """Was it killed since? Then it lives again."""
        if self.process.running():
            return False
        code = self.process.proc.wait()
        assert code == -9, f"the worker ended by itself: {code}\n{self.process.output()[-3000:]}"
        self.kills += 1
        self.live()
        return True


def put_letters(server, members):
    """Jobs whose effect is in the database: each writes one mail of password reset to the outbox."""
    jobs = []
    for m in members:
        jobs.append(new_id("job"))
        sql(server, "INSERT INTO job (id, kind, payload, state, priority, run_at, attempt, crashes, token, cancel, created_at)"
            " VALUES (?,'account.mail',?,'ready',-1,1,0,0,0,0,1)", jobs[-1], json.dumps({"kind": TOKEN_RESET, "email": m}))
    return jobs


def test_kill_at_every_step(make_server, long):
    kills = 200 if long else 20
    provider = Provider("sendgrid")  # closed at the end of check()
    s = make_server(env={**provider.env(), "AUTH_RATE_LIMIT": "off"})
    members = [f"m{i}@example.test" for i in range(60 if long else 10)]
    for m in members:
        s.member(m)
    s.settle()
    s.stop()
    sql(s, "DELETE FROM job WHERE state = 'done'")
    before = len(provider.got)
    dice = random.Random(5)
    workers = [Worker(s, random.Random(n)) for n in (1, 2)]
    mails, letters, found = [], [], Counter()
    for w in workers:
        w.live()
    while sum(w.kills for w in workers) < kills:
        if not busy(s):
            letters += put_letters(s, members[len(letters) % len(members):][:3] if len(letters) < 4 * len(members) else [])
            mails += [put_mail(sql, s, to=f"x{len(mails) + i}@example.test") for i in range(dice.randrange(2, 9))]
        wait_until(lambda: any([w.look() for w in workers]) or not busy(s))
        found.update(state for (state,) in sql(s, "SELECT state FROM email_log WHERE state <> 'accepted'"))
    for w in workers:
        w.process.kill()
        w.live(mortal=False)
    wait_until(lambda: not busy(s), 180)
    # Three crashes are enough for a job, and here they come fast: a dead letter is kept, and may be sent again.
    dead = [job for (job,) in sql(s, "SELECT id FROM job WHERE state = 'dead' AND kind IN ('mail_send', 'account.mail')")]
    assert len(dead) <= kills, dead
    for job in dead:
        # the mail says so until then: it was not sent, or perhaps
        told = sql(s, "SELECT e.state, e.error FROM email_log e JOIN job j ON j.key = e.id WHERE j.id = ?", job)
        assert all(state in ("failed", "in_doubt") and "three workers died" in error for state, error in told
                   if state not in ("accepted", "delivered")), told
        s.cli("jobs", "redrive", job)
    wait_until(lambda: not busy(s), 180)
    s.clock("+20 minutes")
    wait_until(lambda: not busy(s), 180)
    left = sql(s, f"SELECT id, state, attempts, error, doubt_until FROM email_log WHERE state NOT IN {FINAL}")
    assert not left, [(x, sql(s, "SELECT state, run_at, crashes, error FROM job WHERE key = ?", x[0])) for x in left]
    for w in workers:
        assert w.process.stop() == 0, w.process.output()
    check(s, provider, before, mails, letters)
    print(f"killed {sum(w.kills for w in workers)} times, {len(dead)} dead letters; seen on the way: {dict(found)}")


def busy(s):
    """Is a job of ours due or running? (Those that wait for news of a mail in doubt are not due.)"""
    offset = sql(s, "SELECT value FROM setting WHERE name = 'clock_offset_ms'")
    now = int(time.time() * 1000) + (int(offset[0][0]) if offset else 0)
    return sql(s, "SELECT id FROM job WHERE kind IN ('mail_send', 'account.mail') AND (state = 'running' OR"
               " (state = 'ready' AND run_at <= ?))", now)


def check(s, provider, before, mails, letters):
    states = sql(s, "SELECT id, kind, state, error FROM job WHERE kind IN ('mail_send', 'account.mail') AND state <> 'done'")
    assert not states, states
    done = {job for (job,) in sql(s, "SELECT id FROM job WHERE state = 'done'")}
    assert set(letters) <= done
    # the effect in the database: one mail for each job
    resets = Counter(to for (to,) in sql(s, "SELECT recipient FROM email_log WHERE template = 'password_reset'"))
    assert sum(resets.values()) == len(letters), (resets, len(letters))
    # the effect outside
    ours = {m for (m,) in sql(s, "SELECT id FROM email_log WHERE template IN ('welcome', 'password_reset')")}
    times = Counter(i for i in provider.ids()[before:] if i in ours)
    assert set(mails) <= set(times)
    # each doubt is marked, and allows one more of that mail
    marked = Counter(m for (m,) in sql(s, "SELECT email_id FROM email_event WHERE type = 'in_doubt'"))
    too_often = {m: (n, marked[m]) for m, n in times.items() if n > 1 + marked[m]}
    assert not too_often, too_often
    twice = {m for m, n in times.items() if n > 1}
    provider.close()
    print(f"{len(mails)} mails, {len(letters)} letters, {len(twice)} sent twice, {len(marked)} in doubt")
