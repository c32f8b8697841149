"""A handful of callers that keep a server busy while its database is hurt, and what they were told."""
import itertools
import threading
import time
from collections import Counter, namedtuple

import requests

from books import QUIZZES, premium, sql
from harness import Client
from harness.client import post_event
from harness.stripe_events import Subscriber

Result = namedtuple("Result", "kind status key began ended code retry error")
PACE = 0.03  # between two requests of a caller: the machine has others to serve
REQUESTS_MAX = 5000
_rounds = itertools.count(1)


class Load:
    """with Load(server) as load: …; afterwards load.results holds every answer."""

    def __init__(self, server):
        self.server, self.results, self.stop = server, [], threading.Event()
        self.tag = f"load{next(_rounds)}"
        self.payer = server.member(f"{self.tag}-payer@example.com")
        self.talker = server.member(f"{self.tag}-talker@example.com")
        self.owners = [server.member(f"{self.tag}-owner{i}@example.com") for i in range(4)]
        for owner in self.owners:
            premium(server, owner)
        self.events, self.asked, self.lock = [], [], threading.Lock()
        callers = [self.event, self.event, self.event, self.save, self.save, self.use, self.read, self.read]
        self.threads = [threading.Thread(target=self.caller, args=(work, i)) for i, work in enumerate(callers)]
        self.threads.append(threading.Thread(target=self.watch))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()

    # ---- callers
    def note(self, kind, key, call):
        began = time.monotonic()
        try:
            a = call()
            code = a.code if a.status >= 400 else None
            r = Result(kind, a.status, key, began, time.monotonic(), code, a.headers.get("Retry-After"), None)
        except requests.RequestException as e:
            r = Result(kind, None, key, began, time.monotonic(), None, None, repr(e))
        self.results.append(r)
        return r

    def caller(self, work, number):
        clients = {c.user_id: Client(self.server, token=c.token) for c in [self.payer, self.talker, *self.owners]}
        for n in range(REQUESTS_MAX):
            if self.stop.wait(PACE):
                return
            work(clients, number, n)

    def event(self, _, number, n):
        """Each a first invoice of a subscription of its own: a fact, money and a mail."""
        e = Subscriber(self.payer.user_id, time.time() - 60, tag=f"{self.tag}x{number}x{n}").invoice("paid")
        with self.lock:
            self.events.append(e)
        self.note("event", e["id"], lambda: post_event(self.server, e))

    def save(self, clients, number, n):
        title = f"{self.tag} {number} {n}"
        self.note("save", title, lambda: clients[self.talker.user_id].post(
            "/api/chat/save", {"title": title, "messages": [{"role": "user", "content": "Hello."}]}))

    def use(self, clients, _, n):
        owner, item = self.owners[n % 4].user_id, QUIZZES[n // 4 % len(QUIZZES)]
        self.note("use", (owner, item), lambda: clients[owner].post("/api/user/entitlements/use", {"item": item}))

    def read(self, clients, _, n):
        self.note("read", None, lambda: clients[self.owners[n % 4].user_id].get("/api/user/entitlements"))

    def watch(self):
        """What a load balancer sees."""
        alive, ready = Client(self.server), Client(self.server)
        while not self.stop.wait(0.1):
            self.note("alive", None, lambda: alive.get("/healthz"))
            began = time.monotonic()
            try:
                a = ready.get("/readyz")
                r = Result("ready", a.status, None, began, time.monotonic(), a.json["reasons"], None, None)
            except requests.RequestException as e:
                r = Result("ready", None, None, began, time.monotonic(), None, None, repr(e))
            self.results.append(r)

    # ---- what they were told
    def of(self, *kinds):
        return [r for r in list(self.results) if r.kind in kinds]

    def work(self):
        return self.of("event", "save", "use", "read")

    def failed_after(self, moment):
        return [r for r in self.work() if r.ended > moment and not good(r)]

    def deliver_again(self):
        """What was not answered 2xx, Stripe sends again."""
        done = {r.key for r in self.of("event") if r.status == 200}
        for e in self.events:
            if e["id"] not in done:
                a = post_event(self.server, e)
                assert a.status == 200, a


def good(r):
    return r.status == 200 or (r.kind == "use" and r.status == 402)


def succeeded(load, moment):
    """Every kind of work, begun after the moment."""
    return {"event", "save", "use", "read"} <= {r.kind for r in load.work() if r.began > moment and good(r)}


def quiet(load, back):
    """A second without a failure, and all kinds of work done."""
    last = max([r.ended for r in load.failed_after(back)], default=back)
    return time.monotonic() > max(last, back) + 1 and succeeded(load, last)


def assert_polite(load, longest):
    """Success or 503, in time, never a connection lost."""
    wrong = [r for r in load.work() if not good(r) and r.status != 503]
    assert not wrong, wrong[:5]
    for r in load.work():
        if r.status == 503:
            assert r.retry or r.code == "outcome_unknown", r
    slow = max(load.work(), key=lambda r: r.ended - r.began)
    assert slow.ended - slow.began < longest, slow
    assert all(r.status == 200 for r in load.of("alive")), [r for r in load.of("alive") if r.status != 200][:3]
    assert max(r.ended - r.began for r in load.of("alive")) < longest / 2
    assert all(r.status in (200, 503) for r in load.of("ready")), [r for r in load.of("ready") if r.error][:3]
    assert all(r.code for r in load.of("ready") if r.status == 503), "not ready, but why?"


def titles(member):
    """Of all their conversations (sealed in the database)."""
    out, cursor = [], ""
    while cursor is not None:
        a = member.get("/api/chat/history?limit=100" + (f"&cursor={cursor}" if cursor else ""))
        assert a.status == 200, a
        page = a.json
        out += [c["title"] for c in page["data"]]
        cursor = page["nextCursor"]
    return out


def assert_kept(load):
    """What was answered 2xx is there, once; what was refused is not; what is uncertain is there at most once."""
    s = load.server
    status = dict(sql(s, "SELECT id, status FROM webhook_event"))
    lost = [r.key for r in load.of("event") if r.status == 200 and status.get(r.key) != "applied"]
    assert not lost, f"{len(lost)} events were acknowledged and are not there: {lost[:3]}"
    there = [r.key for r in load.of("event") if r.status == 503 and r.code != "outcome_unknown" and r.key in status]
    assert not there, f"{len(there)} events were refused and are there: {there[:3]}"

    times = Counter(titles(load.talker))
    for r in load.of("save"):
        n = times[r.key]
        assert n == 1 if r.status == 200 else n <= (r.code == "outcome_unknown"), (r, n)

    opened = set(sql(s, "SELECT member, item FROM allowance_use"))
    assert {r.key for r in load.of("use") if r.status == 200} <= opened
    for owner in load.owners:
        assert sum(member == owner.user_id for member, _ in opened) <= 2

    load.deliver_again()
    assert s.dev("userstate", load.payer.user_id)["paid_cents"] == 3200 * len(load.events)
