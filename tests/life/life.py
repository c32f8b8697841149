"""A random life of members and visitors, driven by one seed, on a real server: after each step the server's answers are
those of the rules in rules.py. `Life(server, seed).run(steps)`; a disagreement says the seed, the step, what the member
went through last, and both answers."""
import collections
import datetime
import json
import random
import time

import rules
from harness.process import BUILD, Process
from rules import Access, Discount, Known, Purchase, Slot, best_access, kind_of, purchase_status, quote
from wire import Wire
from world import DAY, HOUR, PLAN_PRICE, World, add_months, day_of

PASSWORD = "correct horse battery 9"
CATALOG_ITEMS = {f"quiz:q{i}": p for i, p in enumerate((500, 999, 1900, 2400, 2900, 3900, 4999, 5000, 5001, 7900, 60, 63))}
CATALOG_ITEMS.update({f"article:a{i}": p for i, p in enumerate((500, 700, 900, 1200, 1001, 70, 71, 1500))})
DEAD = ("canceled", "incomplete_expired")
SLACK = 5   # seconds that may pass between the clock's move and an answer


def catalogue():
    items = [{"kind": kind_of(i), "slug": i.split(":")[1], "title": i, "description": "d", "price": p, **({"premium": True} if i[0] == "a" else {})}
             for i, p in CATALOG_ITEMS.items()]
    return {"currency": "usd",
            "plan": {"key": "premium", "name": "Premium", "lookupKey": "mybeing_premium_monthly",
                     "productId": "mybeing_premium", "price": PLAN_PRICE, "trialDays": 0},
            "allowances": {"quiz": {"limit": 2, "maxPrice": 5000, "discountPercent": 20, "discountLimit": 3},
                           "article": {"limit": 3, "maxPrice": None, "discountPercent": 30, "discountLimit": None}},
            "ai": {"freePerDay": 5, "models": {}}, "items": items}


def rfc(t):
    return None if t is None else datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def d_price(discount, item):
    price = discount.price(CATALOG_ITEMS[item])
    return price if price >= rules.LEAST_CHARGE else 0


class Mismatch(AssertionError):
    pass


class Buyer:
    """A member, or a visitor (no user id)."""

    def __init__(self, name):
        self.name, self.user_id, self.headers, self.cookie = name, None, (), None
        self.customer, self.subs, self.purchases, self.slots, self.sessions = None, [], [], [], []
        self.open = {}      # item -> the pending purchase, or the latest one
        self.log = collections.deque(maxlen=20)
        self.dirty = False  # two events of one second: what holds is known when Stripe has been asked

    @property
    def owned(self):
        return {p.item for p in self.purchases if p.opens}


class Clock:
    """The program's clock, moved where it is kept."""

    def __init__(self, server):
        if server.engine == "pg":
            import psycopg2
            self.db = psycopg2.connect(server.database)
            self.db.autocommit = True
            self.mark = "%s"
        else:
            import sqlite3
            self.db = sqlite3.connect(server.database.split(":", 1)[1], timeout=60, isolation_level=None)
            self.db.execute("PRAGMA synchronous=OFF")
            self.mark = "?"

    def set(self, t):
        offset = int(t * 1000 - time.time() * 1000)
        cursor = self.db.cursor()
        cursor.execute("INSERT INTO setting (name, value) VALUES ('clock_offset_ms', {0}) ON CONFLICT (name) "
                       "DO UPDATE SET value = {0}".format(self.mark), (str(offset),) * 2)
        cursor.close()
        self.at = time.monotonic()

    def age(self):
        return time.monotonic() - self.at


class Life:
    ACTIONS = {"use": 20, "checkout": 16, "pay": 12, "subscribe": 6, "pay_subscription": 5, "direct_subscription": 1,
               "cancel": 2, "resume": 2, "at_stripe": 7, "refund": 5, "refund_later": 3, "dispute": 3, "dispute_later": 4,
               "discount": 2, "visitor": 0.8, "register": 1.5, "claim": 1, "retry": 4, "jump": 5, "deliver": 25, "look": 4,
               "newcomer": 0.3, "sessions": 2}

    def __init__(self, server, seed, members=50, settle_every=1500, start=None):
        self.server, self.seed, self.rng = server, seed, random.Random(seed)
        self.settle_every = settle_every
        # The next whole hour: calendar months fall otherwise in every hour's lives. `start` gives a life again.
        self.began = start = start or int(time.time()) // HOUR * HOUR + HOUR
        self.world = World(self.rng, start)
        self.world.told = self.answered
        self.world.serve()
        self.wire = Wire(server)
        self.known = Known()
        self.buyers, self.discounts, self.by_session, self.by_payment, self.owner = [], [], {}, {}, {}
        self.people = self.step = self.compared = self.skipped = self.requests = 0
        self.counts = collections.Counter()
        self.clock, self.settled_at = None, start
        self.members = members

    # ---- talking to the server
    def start(self):
        self.server.env["STRIPE_API_BASE"] = self.world.base
        self.server.start("serve", "--no-jobs")
        self.clock = Clock(self.server)
        self.clock.set(self.world.now)
        self.server.cli("admin", "create", "boss@example.com")
        self.admin = ("Authorization: Bearer " + self.server.dev("newuser", "boss@example.com")["token"],)
        for _ in range(self.members):
            self.join()

    def close(self):
        self.wire.close()
        self.world.close()
        if self.clock is not None:
            self.clock.db.close()

    def call(self, buyer, method, path, body=None):
        self.requests += 1
        headers = buyer.headers if isinstance(buyer, Buyer) else buyer
        status, got, answer = self.wire.call(method, path, body, headers)
        if isinstance(buyer, Buyer) and buyer.user_id is None:
            for name, value in got:
                if name == "set-cookie" and value.startswith("mb_anon="):
                    buyer.cookie = value.split(";")[0]
                    buyer.headers = ("Origin: " + self.server.base, "Cookie: " + buyer.cookie)
        if status >= 500:
            self.fail(buyer if isinstance(buyer, Buyer) else None, f"{method} {path} answered {status}", answer, None)
        return status, answer

    def join(self):
        self.people += 1
        b = Buyer(f"m{self.people:05d}")
        status, a = self.call(("Origin: " + self.server.base,), "POST", "/api/auth/register",
                              {"email": b.name + "@example.com", "password": PASSWORD})
        assert status == 201, a
        self.sign_in(b, a)
        self.buyers.append(b)
        return b

    @staticmethod
    def sign_in(b, answer):
        b.user_id = answer["user"]["id"]
        b.headers = ("Authorization: Bearer " + answer["token"],)

    # ---- what is known
    def answered(self, id_):
        """Stripe's answer told the server this object."""
        self.learn(id_, len(self.world.versions[id_]) - 1, None, None)

    def learn(self, id_, version, shape, event):
        content = self.world.versions[id_][version][1]
        kind = content["object"]
        if kind == "customer" and content["metadata"].get("userId"):
            for b in self.buyers:
                if b.user_id == content["metadata"]["userId"] and b.customer is None:
                    b.customer = id_
                    self.owner[id_] = b
        if event is not None and event.type == "invoice.payment_failed":
            self.known.failed_at[id_] = min(event.created, self.known.failed_at.get(id_, event.created))
        self.known.learn(id_, version, content, shape)
        if kind == "subscription":
            seen = self.known.seen_status.setdefault(id_, {})
            at = event.created if event is not None else self.world.now     # an answer has only its own time
            seen[version] = min(at, seen.get(version, (at,))[0]), content["status"]
            b = self.owner[content["customer"]]
            if id_ not in b.subs:
                b.subs.append(id_)
        if kind in ("checkout.session", "payment_intent", "charge", "refund", "dispute"):
            pi = content.get("_pi") or content.get("payment_intent") if kind != "payment_intent" else id_
            p = self.by_session.get(id_) if kind == "checkout.session" else self.by_payment.get(pi)
            if p is not None:
                self.follow(p)

    def follow(self, p):
        old, new = p.status, purchase_status(self.known, p)
        ended = rules.session_ended(self.known, p)
        if old == new and not ended:
            return
        p.status = new
        b = p.buyer
        if old == "pending" and new != "pending" and b.open.get(p.item) is p:
            del b.open[p.item]
        rules.follow_slot(p, b.slots, rules.DISCOUNTS["quiz"], old, self.world.now, ended)

    def access(self, b, now):
        return best_access(self.known, b.subs, now) if b.user_id else Access(premium=False, grace=False, slots=False)

    # ---- events on their way
    def deliver(self, e):
        status, _, answer = self.wire.deliver(self.world.body(e), self.server.webhook_secret)
        self.requests += 1
        if status != 200:
            raise Mismatch(f"seed {self.seed}, step {self.step}: event {e.type} {e.id} answered {status} {answer}")
        self.learn(e.object, e.version, e.shape, e)

    def flow(self):
        """What happens to the events on their way: most arrive, some wait, come twice, out of order, or never."""
        out, rng = self.world.outbox, self.rng
        mood = rng.random()
        if mood < 0.55:
            batch, self.world.outbox = out, []
        else:
            batch = [e for e in out if rng.random() < 0.5]
            self.world.outbox = [e for e in out if e not in batch]
        if mood > 0.4:
            rng.shuffle(batch)
        for e in batch:
            r = rng.random()
            if r < 0.04 and mood > 0.3:
                self.counts["lost"] += 1
                continue
            self.deliver(e)
            if r > 0.93:
                self.deliver(e)
            elif r > 0.90:
                self.world.outbox.append(e)
            elif r > 0.88:
                self.deliver(rng.choice(self.world.events[-400:]))
        return len(batch)

    # ---- the world goes on
    def at(self, t, id_):
        """The world's clock for something that was due at t."""
        self.world.now = max(t, self.world.versions[id_][-1][0] + 7)

    def live_subs(self):
        return [s for s in self.subs if self.world.get(s)["status"] not in DEAD]

    def advance(self, to):
        w, latest = self.world, 0
        while True:
            due = []
            for s in self.subs:
                c = w.get(s)
                if c["status"] in DEAD or c["status"] in ("incomplete", "paused"):
                    continue
                moment = min(x for x in (c["_end"], c["cancel_at"]) if x)
                due.append((moment, s, "sub"))
                if c["_retry"]:
                    due.append((c["_retry"], s, "retry"))
            for s in self.open_sessions:
                due.append((w.get(s)["expires_at"], s, "session"))
            due = [d for d in due if d[0] <= to]
            if not due:
                break
            t, id_, what = min(due)
            if what == "session":
                self.at(t, id_)
                self.open_sessions.remove(id_)
                if w.get(id_)["status"] == "open":
                    w.change(id_, "checkout.session.expired", status="expired", url=None)
            else:
                self.period_ends(id_, t) if what == "sub" else self.retries(id_, t)
            latest = max(latest, w.now)     # what is due next may lie before what followed from this
        w.now = max(to, w.now + 7, latest + 7)

    def period_ends(self, id_, t):
        w, rng = self.world, self.rng
        self.at(t, id_)
        c = w.get(id_)
        if c["cancel_at_period_end"] or (c["cancel_at"] and c["cancel_at"] <= t):
            return w.end_subscription(id_, w.now)
        if c["status"] == "trialing" and rng.random() < 0.15:
            return w.change(id_, "customer.subscription.paused", "customer.subscription.updated", status="paused")
        months = c["_months"]
        anchor = c["billing_cycle_anchor"]
        end, n = c["_end"], 1
        while end <= c["_end"]:
            end, n = add_months(anchor, n * months, day_of(anchor)), n + 1
        start = c["_end"]
        if c["status"] in ("past_due", "unpaid"):
            if rng.random() < 0.5:
                return w.end_subscription(id_, w.now)
            w.change(id_, "customer.subscription.updated", _start=start, _end=end, _fail=True)
        else:
            w.change(id_, "customer.subscription.updated", _start=start, _end=end, status="active")
        if c["pause_collection"]:
            return None
        w.now += rng.choice((7, 60, HOUR))
        return self.bill(id_, "subscription_cycle", start, end, not c["_fail"] and rng.random() < 0.85)

    def bill(self, id_, reason, start, end, paid, amount=None):
        w = self.world
        c = w.get(id_)
        invoice = w.invoice(id_, c["_amount"] if amount is None else amount, reason, start, end, paid)
        self.invoices.append(invoice)
        if not paid:
            w.tick()
            w.change(id_, "customer.subscription.updated", status="past_due", _open=invoice,
                     _retry=w.now + self.rng.choice((1, 3, 5, 9)) * DAY)
        elif c["status"] == "past_due":
            w.tick()
            w.change(id_, "customer.subscription.updated", status="active", _retry=None, _open=None)
        return invoice

    def retries(self, id_, t):
        w, rng = self.world, self.rng
        self.at(t, id_)
        c = w.get(id_)
        invoice = c.get("_open")
        if c["status"] != "past_due" or invoice is None:
            return w.change(id_, "customer.subscription.updated", _retry=None)
        w.now = max(w.now, w.versions[invoice][-1][0] + 7)
        r = rng.random()
        if r < 0.4:
            w.pay_invoice(invoice)
            w.tick()
            return w.change(id_, "customer.subscription.updated", status="active", _retry=None, _open=None, _fail=False)
        if r < 0.7:
            w.fail_invoice(invoice)
            w.tick()
            return w.change(id_, "customer.subscription.updated", _retry=w.now + rng.choice((3, 5, 7)) * DAY)
        if r < 0.85:
            return w.change(id_, "customer.subscription.updated", status="unpaid", _retry=None)
        return w.end_subscription(id_)

    # ---- running
    def run(self, steps):
        self.subs, self.invoices, self.open_sessions = [], [], []
        names, weights = list(self.ACTIONS), list(self.ACTIONS.values())
        for self.step in range(1, steps + 1):
            name = self.rng.choices(names, weights)[0]
            self.world.tick()
            self.clock.set(self.world.now)
            touched = None
            for _ in range(12):     # somebody for whom there is something to do
                b = self.rng.choice(self.buyers[-self.members:])
                if b.dirty and name != "jump":
                    continue
                touched = getattr(self, "do_" + name)(b)
                if touched is not None:
                    break
            if touched is not None:
                self.counts[name] += 1
                b = touched if isinstance(touched, Buyer) else b
            self.compare(b)
            # Stripe tells of the last 30 days only
            if self.step % self.settle_every == 0 or self.step == steps or self.world.now > self.settled_at + 20 * DAY:
                self.settle()

    def note(self, b, text):
        b.log.append(f"{self.step:7d} {rfc(self.world.now)} {text}")

    def fail(self, b, what, got, want):
        lines = [f"seed {self.seed}, step {self.step}, {b.name if b else '-'}: {what}",
                 "server: " + json.dumps(got, default=str), "rules:  " + json.dumps(want, default=str)]
        if b is not None:
            lines.append("time " + rfc(self.world.now))
            for s in b.subs:
                k = self.known.objects[s]
                lines.append("  known " + " ".join(f"{n.strip('_')}={rfc(k[n]) if n in ('_start', '_end', 'cancel_at', 'trial_end', 'billing_cycle_anchor') else k[n]}"
                             for n in ("id", "status", "_start", "_end", "billing_cycle_anchor", "cancel_at_period_end", "cancel_at", "trial_end", "pause_collection")))
                for i in sorted(self.known.invoices_of.get(s, ())):
                    inv = self.known.objects[i]
                    pays = {p: (self.known.refunded(p), self.known.dispute(p)) for p in sorted(self.known.payment_of.get(i, ()))}
                    lines.append(f"    {i} {inv['status']} {rfc(inv['_start'])}..{rfc(inv['_end'])} paid {inv['amount_paid']} "
                                 f"{pays} first failed {rfc(self.known.failed_at.get(i))}")
            for p in b.purchases[-12:]:
                lines.append(f"  {p.id} {p.item} {p.price} {p.kind} {p.status} {p.session} slot "
                             f"{p.slot and (rfc(p.slot.start), rfc(p.slot.end), p.slot.state)} use {p.use and p.use[1]}")
            for s in b.slots:
                lines.append(f"  slot {s.kind} {rfc(s.start)}..{rfc(s.end)} {s.state} {s.item}")
            lines.append("the member's last steps:")
            lines += list(b.log)
        lines.append(f"Again: ./dev life --seed {self.seed} --steps {self.step} --start {self.began}")
        raise Mismatch("\n".join(lines))

    # ---- looking
    def expected(self, b, now):
        a = self.access(b, now)
        out = {"premium": a.premium, "plan": "premium" if a.premium else "free", "status": a.status, "grace": a.grace,
               "accessUntil": rfc(a.until), "cycle": [rfc(t) for t in a.cycle] if a.cycle else None}
        items = {}
        for kind in ("quiz", "article"):
            out[kind] = None
            if not a.premium:
                continue
            used = rules.count(b.slots, kind, a.cycle)
            out[kind] = [used, max(0, rules.FREE[kind] - used) if a.slots else 0]
        if a.premium:
            held = rules.count(b.slots, "discount quiz", a.cycle, ("held",))
            used = rules.count(b.slots, "discount quiz", a.cycle, ("consumed",))
            out["quiz discount"] = [used, held, max(0, 3 - used - held) if a.slots else 0]
            for s in b.slots:
                if s.item:
                    items[s.item] = ["allowance", rfc(a.until)]
        for item in b.owned:
            items[item] = ["purchase", None]
        out.setdefault("quiz discount", None)
        out["items"] = items
        return out

    @staticmethod
    def seen(e):
        q, a = e["quizzes"], e["articles"]
        out = {k: e[k] for k in ("premium", "plan", "status", "grace", "accessUntil")}
        out["cycle"] = [e["cycle"]["start"], e["cycle"]["end"]] if e["cycle"]["start"] else None
        on = e["premium"]
        out["quiz"] = [q["included"]["used"], q["included"]["remaining"]] if on else None
        out["article"] = [a["included"]["used"], a["included"]["remaining"]] if on else None
        d = q["discount"]
        out["quiz discount"] = [d["used"], d["held"], d["remaining"]] if on else None
        out["items"] = {i["item"]: [i["via"], i["until"]] for i in e["items"]}
        return out

    def steady(self, b):
        """What holds now and for the seconds that an answer may take; None near a boundary."""
        want = self.expected(b, self.world.now)
        return want if want == self.expected(b, self.world.now + SLACK) else None

    def wait_steady(self, b):
        for _ in range(20):
            if self.steady(b) is not None:
                break
            self.world.tick()
        self.clock.set(self.world.now)

    def compare(self, b, purchases=None):
        if b.dirty:
            return
        if b.user_id is None and b.cookie is None:
            return
        for attempt in range(3):
            want = self.steady(b)
            if want is None:
                self.skipped += 1
                return
            status, e = self.call(b, "GET", "/api/user/entitlements")
            if self.clock.age() < SLACK - 1:
                break
            self.clock.set(self.world.now)
        got = self.seen(e) if status == 200 else e
        if got != want:
            self.fail(b, "entitlements: " + ", ".join(k for k in want if got.get(k) != want[k]), got, want)
        self.compared += 1
        if want["premium"] and self.rng.random() < 0.1:
            self.compare_subscription(b)
        if purchases or (b.purchases and self.rng.random() < 0.2):
            status, e = self.call(b, "GET", "/api/purchases?limit=100")
            got = {p["id"]: [p["item"], p["price"], p["status"]] for p in e["data"]}
            want = {p.id: [p.item, p.price, p.status] for p in b.purchases}
            if e.get("nextCursor"):
                want = {k: v for k, v in want.items() if k in got}
            if got != want:
                self.fail(b, "purchases", {k: v for k, v in got.items() if want.get(k) != v},
                          {k: v for k, v in want.items() if got.get(k) != v})

    def compare_subscription(self, b):
        a = self.access(b, self.world.now)
        s = self.known.objects[a.sub]
        status, e = self.call(b, "GET", "/api/subscription")
        got = [e.get(k) for k in ("subscriptionId", "status", "accessUntil", "grace", "cancelAtPeriodEnd", "paused")] + [e["period"]]
        want = [a.sub, s["status"], rfc(a.until), a.grace, s["cancel_at_period_end"], bool(s["pause_collection"]),
                {"start": rfc(s["_start"]), "end": rfc(s["_end"])}]
        if got != want:
            self.fail(b, "the subscription", got, want)

    def settle(self):
        """Jobs run, what was lost is fetched; then everything is known, and all members are looked at."""
        w = self.world
        self.world.tick()
        self.clock.set(w.now)
        work = Process([BUILD / "mybeing", "work"], {**self.server.env, "JOB_THREADS": "1"}, self.server.dir)
        work.wait_line("working on jobs")
        try:
            tied = any(b.dirty for b in self.buyers)
            self.server.run("sync", ok=not tied)    # what two events of one second left open is asked for by a job
            self.server.settle()
            if tied:
                self.server.cli("sync")
        finally:
            code = work.stop()
        assert code == 0, work.output()
        self.settled_at = w.now
        self.clock.set(w.now)
        for e in w.events[getattr(self, "synced", 0):]:
            self.learn(e.object, e.version, e.shape, e)
        self.synced = len(w.events)
        for b in self.buyers[-self.members:]:
            b.dirty = False
            self.compare(b, purchases=True)

    # ---- actions: each returns the buyer it was about, or None when there was nothing to do
    def do_look(self, b):
        return b

    def do_newcomer(self, b):
        return self.join()

    def do_deliver(self, b):
        return b if self.flow() else None

    def do_jump(self, b):
        """Some hours, or just past a moment that matters to somebody."""
        r, a = self.rng.random(), self.access(b, self.world.now)
        to = self.world.now + self.rng.choice((HOUR, 5 * HOUR, 11 * HOUR, DAY, 2 * DAY))
        if r < 0.35 and a.until and a.until - self.world.now < 4 * DAY:
            to = max(self.world.now, a.until + self.rng.choice((-60, 30)))
        elif r < 0.5 and a.cycle and 0 < a.cycle[1] - self.world.now < 4 * DAY:
            to = a.cycle[1] + self.rng.choice((-60, 30))
        self.advance(to)
        self.clock.set(self.world.now)
        self.note(b, "clock " + rfc(self.world.now))
        return b

    def do_use(self, b):
        item = self.rng.choice(list(CATALOG_ITEMS))
        self.wait_steady(b)
        now = self.world.now
        a, kind, price = self.access(b, now), kind_of(item), CATALOG_ITEMS[item]
        if b.user_id is None and b.cookie is None:
            return None
        status, e = self.call(b, "POST", "/api/user/entitlements/use", {"item": item})
        most = rules.FREE_MOST[kind]
        if item in b.owned:
            want = [200, "purchase"]
        elif a.premium and any(s.item == item for s in b.slots):
            want = [200, "allowance"]
        elif (a.premium and a.slots and rules.count(b.slots, kind, a.cycle) < rules.FREE[kind]
              and (most is None or price <= most) and not any(s.item == item for s in b.slots)):
            want = [200, "allowance"]
            b.slots.append(Slot(kind, a.cycle, "consumed", item))
        else:
            q = quote(a, b.slots, self.offers(b, None), b, item, price, now)
            want = [402, q.price]
        got = [status, e.get("via") if status == 200 else e.get("price")]
        self.note(b, f"use {item}: {got}")
        if got != want:
            self.fail(b, f"use {item}", got, want)
        return b

    def offers(self, b, code):
        return [d for d in self.discounts if (d.member is b and b.user_id and d.code is None) or (code and d is code)]

    def do_discount(self, b):
        rng, now = self.rng, self.world.now
        if b.user_id is None:
            return None
        k = {"percent": rng.choice((5, 10, 20, 30, 50, 95, 100))} if rng.random() < 0.6 else {"amount": rng.choice((50, 300, 480, 1000))}
        body = {**k, "reason": "a life"}
        if rng.random() < 0.5:
            k["kind"] = body["kind"] = rng.choice(("quiz", "article"))
        elif rng.random() < 0.3:
            k["item"] = body["item"] = rng.choice(list(CATALOG_ITEMS))
        k["end"] = now // DAY * DAY + rng.choice((2, 10, 40)) * DAY
        body["validUntil"] = rfc(k["end"])
        if rng.random() < 0.5:
            k["most"] = body["maxUses"] = rng.choice((1, 2, 5))
        if rng.random() < 0.4:
            k["most_each"] = body["maxUsesPerMember"] = rng.choice((1, 2))
        if rng.random() < 0.6:
            k["member"], body["userId"] = b, b.user_id
        else:
            k["code"] = body["code"] = f"CODE{self.step}"
        status, e = self.call(self.admin, "POST", "/api/admin/discounts", body)
        if status not in (200, 201):
            self.fail(b, "a discount", [status, e], body)
        self.discounts.append(Discount(e.get("id"), **k))
        self.note(b, f"discount {body}")
        return b

    def do_visitor(self, b):
        self.people += 1
        b = Buyer(f"v{self.people:05d}")
        b.headers = ("Origin: " + self.server.base,)
        self.buyers.append(b)
        return self.do_checkout(b)

    def do_register(self, b):
        if b.user_id is not None or b.cookie is None:
            return None
        status, e = self.call(b, "POST", "/api/auth/register", {"email": b.name + "@example.com", "password": PASSWORD})
        if status != 201 or e["claimed"] is not True:
            self.fail(b, "register", [status, e], [201, "claimed"])
        self.sign_in(b, e)
        self.note(b, "register")
        return b

    def do_claim(self, b):
        """The visitor signs in as a member and claims."""
        if b.user_id is not None or b.cookie is None:
            return None
        members = [m for m in self.buyers[-self.members:] if m.user_id and not any(p.item in m.open or p.item in m.owned for p in b.purchases)]
        if not members:
            return None
        m = self.rng.choice(members)
        status, e = self.call(b, "POST", "/api/auth/login", {"email": m.name + "@example.com", "password": PASSWORD})
        assert status == 200, (status, e)
        token = ("Origin: " + self.server.base, "Authorization: Bearer " + e["token"], "Cookie: " + b.cookie)
        status, e = self.call(token, "POST", "/api/auth/claim", {})
        if status != 200 or e["claimed"] is not bool(b.purchases):
            self.fail(b, "claim", [status, e], [200, bool(b.purchases)])
        for p in b.purchases:
            p.buyer = m
            if p.use:
                p.use[0] = m
        m.purchases += b.purchases
        m.open.update(b.open)
        b.purchases, b.open, b.cookie = [], {}, None
        self.buyers.remove(b)
        self.note(m, f"claims what {b.name} left")
        return m

    # ---- buying
    def do_checkout(self, b):
        item = self.rng.choice(list(CATALOG_ITEMS))
        if b.open and self.rng.random() < 0.3:
            item = self.rng.choice(list(b.open))
        code = None
        if self.rng.random() < 0.25:
            codes = [d for d in self.discounts[-30:] if d.code and d.fits(b, item, self.world.now) and d.end > self.world.now + 60
                     and (d.most_each is None or b.user_id)]
            code = self.rng.choice(codes) if codes else None
        self.wait_steady(b)
        now = self.world.now
        a = self.access(b, now)
        p = b.open.get(item)
        if p is not None and self.world.get(p.session)["status"] != "open":
            return None     # what Stripe knows and we do not: another action's matter
        body = {"item": item, **({"discountCode": code.code} if code else {})}
        if p is not None:   # its own hold does not stand in its way
            kept = [(x, x.state) for x in [p.slot] if x]
            used = p.use[1] if p.use else None
            if p.slot:
                p.slot.state = "released"
            if p.use:
                p.use[1] = "released"
            q = quote(a, b.slots, self.offers(b, code), b, item, CATALOG_ITEMS[item], now)
            for x, state in kept:
                x.state = state
            if p.use:
                p.use[1] = used
        else:
            q = quote(a, b.slots, self.offers(b, code), b, item, CATALOG_ITEMS[item], now)
        status, e = self.call(b, "POST", "/api/purchases/checkout", body)
        self.note(b, f"checkout {body}: {status} {e.get('purchaseId')} {e.get('price')} {e.get('code')}")
        if item in b.owned:
            if status != 409:
                self.fail(b, "checkout of what is owned", [status, e], 409)
            return b
        if status not in (200, 201):
            self.fail(b, "checkout", [status, e], 200)
        if p is not None and p.price == q.price and p.status == "pending":
            if e["purchaseId"] != p.id or e["sessionId"] != p.session:
                self.fail(b, "the open checkout", e, [p.id, p.session, p.price])
            return b
        if e["price"] != q.price or e["listPrice"] != CATALOG_ITEMS[item] or (e["discount"] or {}).get("kind", "none") not in (q.kind, "none" if q.kind == "none" else q.kind):
            self.fail(b, "the price", [e["price"], e["discount"]], [q.price, q.kind])
        if q.discount and e["discount"]["id"] != q.discount.id:     # which of two that come to the same is free
            other = [d for d in self.offers(b, code) if d.id == e["discount"]["id"] and d.fits(b, item, now)]
            if not other or max(0, d_price(other[0], item)) != q.price:
                self.fail(b, "the discount", e["discount"], q.discount.id)
            q.discount = other[0]
        if p is not None and p.status == "pending":
            self.fail(b, "a second checkout is open", e, p.id)
        new = Purchase(e["purchaseId"], item, e["listPrice"], e["price"], q.kind, e["sessionId"])
        new.buyer = b
        if q.takes_slot:
            new.slot = Slot("discount quiz", a.cycle, "held")
            b.slots.append(new.slot)
        if q.discount:
            new.discount = q.discount
            if q.discount.most is not None or q.discount.most_each is not None:
                new.use = [b, "held"]
                q.discount.uses.append(new.use)
        b.purchases.append(new)
        if q.price == 0:
            new.status = "paid"
            if e["url"] is not None or e["status"] != "paid":
                self.fail(b, "a free purchase", e, "paid without a call")
            for s in (new.slot,):
                if s:
                    s.state = "consumed"
            if new.use:
                new.use[1] = "consumed"
            return b
        s = self.world.get(new.session)
        if s["amount_total"] != q.price or s["metadata"].get("purchaseId") != new.id:
            self.fail(b, "the session at Stripe", s, q.price)
        self.by_session[new.session] = new
        b.open[item] = new
        self.open_sessions.append(new.session)
        return b

    def do_pay(self, b):
        w, rng = self.world, self.rng
        pending = [p for p in b.purchases if p.session and w.get(p.session)["status"] == "open"]
        if not pending:
            return self.pays_later(b)
        p = rng.choice(pending)
        s = w.get(p.session)
        details = {"email": b.name + "@example.com"}
        r = rng.random()
        if r < 0.15 and not s.get("_pi"):      # declined: the session stays open
            pi = w.payment(p.price, "requires_payment_method", metadata=s["_pi_metadata"], customer=s["customer"])
            self.by_payment[pi], p.payment = p, pi
            s["_pi"] = None
            s["_tried"] = pi
            self.note(b, f"card declined for {p.id}")
        elif r < 0.28:     # asynchronous
            pi = s.get("_tried")
            if pi:
                w.change(pi, "payment_intent.processing", status="processing")
            else:
                pi = w.payment(p.price, "processing", metadata=s["_pi_metadata"], customer=s["customer"])
            self.by_payment[pi], p.payment = p, pi
            w.change(p.session, "checkout.session.completed", status="complete", url=None, payment_intent=pi, _pi=pi,
                     customer_details=details)
            self.note(b, f"asynchronous payment for {p.id} begins")
        else:
            pi = s.get("_tried")
            amount = p.price + (100 if not pi and rng.random() < 0.03 else 0)   # not what we asked for
            if pi:
                w.payment_becomes(pi, "succeeded")
            else:
                pi = w.payment(amount, "succeeded", metadata=s["_pi_metadata"], customer=s["customer"])
            self.by_payment[pi], p.payment = p, pi
            w.change(p.session, "checkout.session.completed", status="complete", payment_status="paid", url=None,
                     payment_intent=pi, _pi=pi, customer_details=details, amount_total=amount)
            self.note(b, f"pays {p.id}: {amount}")
        return b

    def pays_later(self, b):
        """An asynchronous payment ends; or one comes although its session had expired."""
        w = self.world
        over = [p for p in b.purchases if p.session and w.get(p.session)["status"] == "expired" and p.payment is None]
        if over and self.rng.random() < 0.3:
            p = self.rng.choice(over)
            s = w.get(p.session)
            p.payment = w.payment(p.price, "succeeded", metadata=s["_pi_metadata"], customer=s["customer"])
            self.by_payment[p.payment] = p
            self.note(b, f"a late payment for {p.id}")
            return b
        waiting = [p for p in b.purchases if p.session and w.get(p.session)["status"] == "complete"
                   and w.get(p.session)["payment_status"] == "unpaid" and not w.get(p.session).get("_async_failed")]
        if not waiting:
            return None
        p = self.rng.choice(waiting)
        pi = w.get(p.session)["_pi"]
        if self.rng.random() < 0.6:
            w.payment_becomes(pi, "succeeded")
            w.change(p.session, "checkout.session.async_payment_succeeded", payment_status="paid")
            self.note(b, f"the payment for {p.id} came")
        else:
            w.payment_becomes(pi, "requires_payment_method")
            w.change(p.session, "checkout.session.async_payment_failed", _async_failed=True)
            self.note(b, f"the payment for {p.id} failed")
        return b

    def do_sessions(self, b):
        """An open session ends at Stripe before its time."""
        mine = [p for p in b.purchases if p.session and self.world.get(p.session)["status"] == "open"]
        if not mine:
            return None
        p = self.rng.choice(mine)
        self.world.change(p.session, "checkout.session.expired", status="expired", url=None)
        self.note(b, f"{p.id} expires at Stripe")
        return b

    # ---- the subscription
    def do_subscribe(self, b):
        if b.user_id is None:
            return None
        known = [s for s in b.subs if self.known.objects[s]["status"] not in DEAD]
        status, e = self.call(b, "POST", "/api/subscription/create", {})
        self.note(b, f"subscribe: {status} {e.get('sessionId')} {e.get('code')}")
        last = b.sessions[-1] if b.sessions else None
        truth = self.world.get(last) if last else None
        blocked = bool(known)
        if not blocked and truth and truth["status"] == "complete":
            blocked = self.world.get(truth["subscription"])["status"] not in DEAD
        if blocked:
            if status != 409 or e["code"] != "already_subscribed":
                self.fail(b, "a second subscribe", [status, e], "already_subscribed")
            return b
        if status != 200:
            self.fail(b, "subscribe", [status, e], 200)
        # Stripe ends a session at its time; here that happens with the next jump.
        if truth and truth["status"] == "open" and truth["expires_at"] > self.world.now:
            if e["sessionId"] != last:
                self.fail(b, "the open session", e["sessionId"], last)
            return b
        if e["sessionId"] == last:
            self.fail(b, "a session that has ended", e["sessionId"], "a new one")
        b.sessions.append(e["sessionId"])
        self.open_sessions.append(e["sessionId"])
        return b

    def do_pay_subscription(self, b):
        w, rng = self.world, self.rng
        if not b.sessions or w.get(b.sessions[-1])["status"] != "open":
            return None
        s = w.get(b.sessions[-1])
        first_incomplete = rng.random() < 0.4
        metadata = s["_sub_metadata"]
        sub = w.subscription(s["customer"], metadata, "incomplete" if first_incomplete else "active", rng.choice((1, 1, 1, 1, 12)))
        self.subs.append(sub)
        c = w.get(sub)
        w.tick()
        self.bill(sub, "subscription_create", c["_start"], c["_end"], True)
        if first_incomplete:
            w.tick()
            w.change(sub, "customer.subscription.updated", status="active")
        w.tick()
        w.change(s["id"], "checkout.session.completed", status="complete", payment_status="paid", url=None, subscription=sub,
                 customer_details={"email": b.name + "@example.com"})
        self.note(b, f"pays for {sub}, {c['_months']} months")
        return b

    def do_direct_subscription(self, b):
        """A second one, or a trial: made at Stripe."""
        if b.customer is None or len([s for s in self.subs if self.owner[self.world.get(s)["customer"]] is b and self.world.get(s)["status"] not in DEAD]) > 1:
            return None
        w, rng = self.world, self.rng
        trial = rng.choice((0, 7, 14))
        metadata = {"userId": b.user_id} if rng.random() < 0.5 else {}
        sub = w.subscription(b.customer, metadata, "trialing" if trial else "active", 1, trial)
        self.subs.append(sub)
        c = w.get(sub)
        w.tick()
        self.bill(sub, "subscription_create", c["_start"], c["_end"], True, 0 if trial else None)
        self.note(b, f"{sub} made at Stripe, trial {trial}")
        return b

    def mine(self, b):
        return [s for s in self.subs if self.owner.get(self.world.get(s)["customer"]) is b and self.world.get(s)["status"] not in DEAD]

    def do_cancel(self, b):
        mine = self.mine(b)
        if b.user_id is None or len(mine) != 1 or mine[0] not in self.known.objects or self.known.objects[mine[0]]["status"] not in ("active", "trialing", "past_due"):
            return None
        c = self.world.get(mine[0])
        if c["cancel_at"] or c["cancel_at_period_end"] or c["status"] not in ("active", "trialing", "past_due") or len([s for s in b.subs if self.known.objects[s]["status"] not in DEAD]) != 1:
            return None
        status, e = self.call(b, "POST", "/api/subscription/cancel", {})
        self.note(b, f"cancel {mine[0]}: {status}")
        if status != 200 or e["cancelAtPeriodEnd"] is not True:
            self.fail(b, "cancel", [status, e], 200)
        return b

    def do_resume(self, b):
        mine = self.mine(b)
        if b.user_id is None or len(mine) != 1 or mine[0] not in self.known.objects or len([s for s in b.subs if self.known.objects[s]["status"] not in DEAD]) != 1:
            return None
        c = self.known.objects[mine[0]]
        t = self.world.get(mine[0])
        if not (c["cancel_at"] or c["cancel_at_period_end"]) or not (t["cancel_at"] or t["cancel_at_period_end"]):
            return None
        if min(x for x in (c["_end"], c["cancel_at"]) if x) <= self.world.now + SLACK:
            return None
        status, e = self.call(b, "POST", "/api/subscription/resume", {})
        self.note(b, f"resume {mine[0]}: {status}")
        if status != 200 or e["cancelAtPeriodEnd"] is not False:
            self.fail(b, "resume", [status, e], 200)
        return b

    def do_at_stripe(self, b):
        mine = self.mine(b)
        if not mine:
            return None
        w, rng = self.world, self.rng
        id_ = rng.choice(mine)
        c = w.get(id_)
        what = rng.choice(("cancel_at", "cancel_at_period_end", "keep", "cancel_now", "pause", "unpause", "fail_next", "fail_next",
                           "price", "anchor", "resume_paused", "tie"))
        if c["status"] not in ("active", "trialing", "past_due") and what not in ("cancel_now", "resume_paused"):
            return None
        if what == "cancel_at":
            w.change(id_, "customer.subscription.updated", cancel_at=w.now + rng.choice((DAY, 10 * DAY, 100 * DAY)), cancel_at_period_end=False)
        elif what == "cancel_at_period_end":
            w.change(id_, "customer.subscription.updated", cancel_at_period_end=True, cancel_at=c["_end"])
        elif what == "keep":
            w.change(id_, "customer.subscription.updated", cancel_at=None, cancel_at_period_end=False)
        elif what == "cancel_now":
            if rng.random() < 0.5:
                return None
            w.end_subscription(id_)
        elif what == "pause":
            w.change(id_, "customer.subscription.updated", pause_collection={"behavior": "void", "resumes_at": None})
        elif what == "unpause":
            w.change(id_, "customer.subscription.updated", pause_collection=None)
        elif what == "fail_next":
            w.change(id_, "customer.subscription.updated", _fail=True)
        elif what == "tie":
            if c["status"] != "active" or c["_end"] - w.now < HOUR:
                return None
            w.tie, b.dirty = True, True
            for on in rng.choice(((True, False), (False, True), (True, False, True))):
                w.change(id_, "customer.subscription.updated", cancel_at_period_end=on, cancel_at=c["_end"] if on else None)
            w.tie = False
        elif what == "price":
            if c["status"] != "active" or c["_end"] - w.now < HOUR:
                return None
            w.change(id_, "customer.subscription.updated", _amount=c["_amount"] + 100, _price="price_other")
            w.tick()
            self.bill(id_, "subscription_update", w.now, c["_end"], rng.random() < 0.8, 100)
        elif what == "anchor":
            if c["status"] != "active":
                return None
            end = add_months(w.now, c["_months"], day_of(w.now))
            w.change(id_, "customer.subscription.updated", billing_cycle_anchor=w.now, _start=w.now, _end=end)
            w.tick()
            self.bill(id_, "subscription_update", w.get(id_)["_start"], end, True)
        elif what == "resume_paused":
            if c["status"] != "paused":
                return None
            end = add_months(w.now, 1, day_of(w.now))
            w.change(id_, "customer.subscription.resumed", status="active", billing_cycle_anchor=w.now, _start=w.now, _end=end)
            w.tick()
            self.bill(id_, "subscription_cycle", w.get(id_)["_start"], end, True)
        self.note(b, f"at Stripe: {what} {id_}")
        return b

    def do_retry(self, b):
        """Who owes pays now."""
        for id_ in self.mine(b):
            c = self.world.get(id_)
            if c["status"] in ("past_due", "unpaid") and c.get("_open"):
                self.world.pay_invoice(c["_open"])
                self.world.tick()
                self.world.change(id_, "customer.subscription.updated", status="active", _retry=None, _open=None, _fail=False)
                self.note(b, f"pays what was owed for {id_}")
                return b
        return None

    # ---- money back
    def payments(self, b):
        """(payment, purchase or None) that succeeded."""
        w, out = self.world, []
        for p in b.purchases:
            pi = p.payment
            if pi and w.get(pi)["status"] == "succeeded":
                out.append((pi, p))
        for s in self.subs:
            c = w.get(s)
            if self.owner[c["customer"]] is b:
                out += [(w.get(i)["_pi"], None) for i in self.invoices[-600:] if w.get(i)["_sub"] == s and w.get(i)["_pi"]]
        return out

    def do_refund(self, b):
        w, rng = self.world, self.rng
        found = [x for x in self.payments(b)[-6:] if w.refunded(x[0]) < w.get(x[0])["amount"]
                 and not any(w.get(d)["status"] in ("needs_response", "under_review", "lost") for d in w.get(x[0])["_disputes"])]
        if not found:
            return None
        pi, _ = rng.choice(found)
        left = w.get(pi)["amount"] - w.refunded(pi)
        amount = left if rng.random() < 0.5 else rng.randint(1, left)
        status = rng.choice(("succeeded", "succeeded", "pending"))
        id_ = w.refund(pi, amount, status)
        self.note(b, f"refund {id_} of {pi}: {amount} of {left}, {status}")
        return b

    def do_refund_later(self, b):
        """A refund that was under way succeeds or fails; one that succeeded may fail too."""
        w, rng = self.world, self.rng
        found = [r for pi, _ in self.payments(b)[-8:] for r in w.get(pi)["_refunds"]
                 if w.get(r)["status"] == "pending" or (w.get(r)["status"] == "succeeded" and rng.random() < 0.2)]
        if not found:
            return None
        r = rng.choice(found)
        status = "succeeded" if w.get(r)["status"] == "pending" and rng.random() < 0.5 else "failed"
        w.refund_becomes(r, status)
        self.note(b, f"refund {r} {status}")
        return b

    def do_dispute(self, b):
        w, rng = self.world, self.rng
        found = [pi for pi, _ in self.payments(b)[-6:] if not w.get(pi)["_disputes"] and w.refunded(pi) < w.get(pi)["amount"]]
        if not found:
            return None
        pi = rng.choice(found)
        w.dispute(pi, rng.choice(("needs_response", "needs_response", "under_review", "warning_needs_response")))
        self.note(b, f"dispute of {pi}: {w.get(w.get(pi)['_disputes'][-1])['status']}")
        return b

    def do_dispute_later(self, b):
        w, rng = self.world, self.rng
        found = [d for pi, _ in self.payments(b) for d in w.get(pi)["_disputes"] if w.get(d)["status"] not in ("won", "lost", "warning_closed")]
        if not found:
            return None
        d = rng.choice(found)
        warning = w.get(d)["status"].startswith("warning")
        w.dispute_becomes(d, rng.choice(("warning_closed", "warning_under_review", "needs_response") if warning else ("won", "won", "lost", "under_review")))
        self.note(b, f"dispute {d}: {w.get(d)['status']}")
        return b
