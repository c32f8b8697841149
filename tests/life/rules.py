"""The rules of money and access once more, written from the specification alone and kept as small as it is: what a member
may do is a function of what Stripe told us (`Known`), what the member did here (uses, purchases) and the time."""
from world import DAY, HOUR, add_months, day_of

RENEWAL_GRACE, PAST_DUE_GRACE = 72 * HOUR, 14 * DAY
FREE = {"quiz": 2, "article": 3}
FREE_MOST = {"quiz": 5000, "article": None}
PERCENT = {"quiz": 20, "article": 30}
DISCOUNTS = {"quiz": 3, "article": None}
LEAST_CHARGE = 50
STATUSES = ("trialing", "active", "past_due", "unpaid", "paused", "incomplete", "incomplete_expired", "canceled")


def percent_off(price, percent):
    """What is left to pay: the percentage is rounded half up, in integers."""
    return price - (2 * price * percent + 100) // 200


def kind_of(item):
    return item.split(":")[0]


class Known:
    """What was told: the newest version of each object, and which payment paid which invoice."""

    def __init__(self):
        self.objects, self.version = {}, {}
        self.invoices_of = {}       # subscription -> {invoice}
        self.payment_of = {}        # invoice -> {payment}
        self.charge_said = {}       # charge -> the most it said was refunded
        self.refunds, self.disputes = {}, {}    # payment or charge -> {id}
        self.charges_of = {}        # payment -> {charge}
        self.failed_at = {}         # invoice -> its first failed attempt
        self.seen_status = {}       # subscription -> {version: (second, status)}

    def learn(self, id_, version, content, shape):
        """True if it was news. `shape` None: an answer, in the newer shape with its payments."""
        kind = content["object"]
        if kind == "invoice" and content.get("_pi") and (shape == "legacy" or shape is None):
            self.payment_of.setdefault(id_, set()).add(content["_pi"])
        if kind == "charge" and content.get("_invoice") and shape == "legacy":
            self.payment_of.setdefault(content["_invoice"], set()).add(content["payment_intent"])
        if kind == "payment_intent" and content.get("_invoice") and shape == "legacy":
            self.payment_of.setdefault(content["_invoice"], set()).add(id_)
        if kind == "invoice_payment":
            self.payment_of.setdefault(content["invoice"], set()).add(content["payment"]["payment_intent"])
        if kind == "invoice":
            self.invoices_of.setdefault(content["_sub"], set()).add(id_)
        if kind == "charge":
            # what a charge says was given back only grows; a failed refund is counted by itself
            self.charge_said[id_] = max(content["amount_refunded"], self.charge_said.get(id_, 0))
            self.charges_of.setdefault(content["payment_intent"], set()).add(id_)
        if kind in ("refund", "dispute"):
            of = self.refunds if kind == "refund" else self.disputes
            for key in (content["payment_intent"], content["charge"]):
                if key:
                    of.setdefault(key, set()).add(id_)
        if version <= self.version.get(id_, -1):
            return False
        self.version[id_], self.objects[id_] = version, content
        return True

    def about(self, of, payment):
        """Refunds or disputes of a payment: those that name it, and those of its charges as far as known."""
        out = set(of.get(payment, ()))
        for c in self.charges_of.get(payment, ()):
            out |= of.get(c, set())
        return [self.objects[i] for i in out if i in self.objects]

    def refunded(self, payment):
        """By the refunds themselves; a charge that tells of more knows of one that we do not."""
        known = self.about(self.refunds, payment)
        counts = sum(r["amount"] for r in known if r["status"] in ("pending", "succeeded"))
        failed = sum(r["amount"] for r in known if r["status"] == "failed")
        told = sum(self.charge_said[c] for c in self.charges_of.get(payment, ()))
        return max(counts, told - failed)

    def dispute(self, payment):
        """lost, open or None"""
        states = {d["status"] for d in self.about(self.disputes, payment)}
        if "lost" in states:
            return "lost"
        return "open" if states & {"needs_response", "under_review"} else None

    # ---- a subscription
    def periods(self, sub):
        """(start, end, ok|open|gone) of each paid invoice."""
        out = []
        for i in sorted(self.invoices_of.get(sub, ())):
            inv = self.objects.get(i)
            if inv is None or inv["status"] != "paid":
                continue
            state, refunded = "ok", 0
            for p in self.payment_of.get(i, ()):
                refunded += self.refunded(p)
                d = self.dispute(p)
                state = "gone" if d == "lost" else "open" if d and state == "ok" else state
            if inv["amount_paid"] and refunded >= inv["amount_paid"]:
                state = "gone"
            out.append((inv["_start"], inv["_end"], state))
        return out

    def first_failure(self, sub):
        """The first failed attempt of what is still unpaid, or the first news of past_due if that is older."""
        found = [self.failed_at[i] for i in self.invoices_of.get(sub, ())
                 if i in self.failed_at and self.objects[i]["status"] != "paid"]
        for _, (created, status) in sorted(self.seen_status.get(sub, {}).items(), reverse=True):
            if status != "past_due":
                break
            found.append(created)
        return min(found) if found else None


class Access:
    __slots__ = ("premium", "grace", "status", "until", "cycle", "slots", "sub")

    def __init__(self, **k):
        for n in self.__slots__:
            setattr(self, n, k.get(n))

    def key(self):
        return (self.premium, self.grace, self.status, self.until, self.cycle, self.slots)


def cycle_of(start, end, anchor, now):
    """The calendar month within [start, end) that holds now, stepping from the period's start on the anchor's day."""
    day, n = day_of(anchor), 0
    while True:
        a = start if n == 0 else add_months(start, n, day)
        b = min(end, add_months(start, n + 1, day))
        if now < b or b >= end:
            return a, b
        n += 1


def access_of(known, sub, now, deleted=False):
    s = known.objects[sub]
    status = s["status"]
    none = Access(premium=False, grace=False, status=status, until=None, cycle=None, slots=False, sub=sub)
    if status not in ("trialing", "active", "past_due") or deleted:
        return none
    periods = known.periods(sub)
    if s["trial_end"]:
        periods.append((s["trial_start"], s["trial_end"], "ok"))
    if not known.invoices_of.get(sub) and status in ("trialing", "active"):
        periods.append((s["_start"], s["_end"], "ok"))
    paid_through = max((e for _, e, state in periods if state == "ok"), default=None)
    if paid_through is None:
        return none
    if status == "past_due":
        first = known.first_failure(sub)
        end = min(paid_through, first if first is not None else paid_through) + PAST_DUE_GRACE
    else:
        end = paid_through + RENEWAL_GRACE
    if s["pause_collection"]:
        end = min(end, paid_through)
    if s["cancel_at_period_end"]:
        end = min(end, s["_end"])
    if s["cancel_at"]:
        end = min(end, s["cancel_at"])

    def barred(t):
        here = [p for p in periods if p[0] <= t < p[1]]
        return any(p[2] != "ok" for p in here) and not any(p[2] == "ok" for p in here)

    if now >= end or barred(now):
        return none
    end = min([t for p in periods for t in p[:2] if now < t < end and barred(t)] + [end])
    covered = [p for p in periods if p[2] == "ok" and p[0] <= now < p[1]]
    own = (s["_start"], s["_end"])
    if now >= s["_end"] and paid_through > s["_end"]:   # paid further already, though the news of it is on its way
        own = (s["_end"], paid_through)
    cycle = cycle_of(*own, s["billing_cycle_anchor"], now)
    # In past_due a new cycle gives no new slots; one that began before the trouble keeps its own.
    slots = bool(covered) and (status != "past_due" or cycle[0] < (known.first_failure(sub) or 0))
    return Access(premium=True, grace=status == "past_due", status=status, until=end, cycle=cycle, slots=slots, sub=sub)


def best_access(known, subs, now, deleted=()):
    found = [access_of(known, s, now, s in deleted) for s in subs if s in known.objects]
    if not found:
        return Access(premium=False, grace=False, status=None, slots=False)
    return max(found, key=lambda a: (a.premium, a.until or 0, -STATUSES.index(a.status), known.objects[a.sub]["created"]))


# ---- what a buyer did here

class Slot:
    """One countable use within a cycle. state: held, consumed, released (an allowance is consumed for good)."""
    __slots__ = ("kind", "start", "end", "state", "item")

    def __init__(self, kind, cycle, state, item=None):
        self.kind, (self.start, self.end), self.state, self.item = kind, cycle, state, item

    def overlaps(self, cycle):
        return self.start < cycle[1] and cycle[0] < self.end


def count(slots, kind, cycle, states=("held", "consumed")):
    return sum(1 for s in slots if s.kind == kind and s.state in states and s.overlaps(cycle))


class Discount:
    def __init__(self, id_, **k):
        self.id = id_
        self.code, self.member = k.get("code"), k.get("member")
        self.percent, self.amount = k.get("percent"), k.get("amount")
        self.kind, self.item = k.get("kind"), k.get("item")
        self.start, self.end = k.get("start"), k.get("end")
        self.most, self.most_each = k.get("most"), k.get("most_each")
        self.uses = []      # [buyer, state]

    def fits(self, buyer, item, now):
        live = [u for u in self.uses if u[1] != "released"]
        return ((self.kind is None or self.kind == kind_of(item)) and (self.item is None or self.item == item)
                and (self.start is None or now >= self.start) and (self.end is None or now < self.end)
                and (self.most is None or len(live) < self.most)
                and (self.most_each is None or sum(u[0] is buyer for u in live) < self.most_each))

    def price(self, price):
        return percent_off(price, self.percent) if self.percent is not None else max(0, price - self.amount)


class Purchase:
    def __init__(self, id_, item, list_price, price, kind, session):
        self.id, self.item, self.list_price, self.price, self.kind, self.session = id_, item, list_price, price, kind, session
        self.slot = self.use = self.payment = None
        self.status = "pending"
        self.discount = None

    @property
    def opens(self):
        return self.status in ("paid", "partially_refunded")


def purchase_status(known, p):
    s = known.objects[p.session]
    pi = p.payment     # it names the purchase itself
    intent = known.objects.get(pi)
    if intent and intent["amount"] != p.price and s["payment_intent"] != pi:
        intent = None       # names the purchase, but is not what it asked for: ignored
    paid = s["payment_status"] in ("paid", "no_payment_required") or (intent and intent["status"] == "succeeded")
    if paid:
        if s["amount_total"] != p.price or (intent and intent["status"] == "succeeded" and intent["amount_received"] != p.price):
            return "failed"
        if pi is None:
            return "paid"
        refunded, dispute = known.refunded(pi), known.dispute(pi)
        if refunded >= p.price:
            return "refunded"
        if dispute:
            return {"lost": "lost", "open": "disputed"}[dispute]
        return "partially_refunded" if refunded else "paid"
    if s.get("_async_failed"):
        return "failed"
    return "expired" if s["status"] == "expired" else "pending"


def session_ended(known, p):
    s = known.objects[p.session]
    return s["status"] == "expired" or bool(s.get("_async_failed"))


def follow_slot(p, slots, limit, old, now, ended):
    """The discount slot after a change of status; also the manual discount's use. A session that has ended gave its slot
    back: a late payment takes no second one."""
    s = p.slot
    if ended:
        for x in (s,):
            if x is not None:
                x.state = "released"
        if p.use is not None:
            p.use[1] = "released"
        return
    if s is not None:
        if p.status in ("paid", "partially_refunded", "disputed", "lost"):
            if s.state == "held":
                s.state = "consumed"
            elif s.state == "released" and old == "refunded":
                cycle = (s.start, s.end)
                if count(slots, s.kind, cycle) < limit:
                    s.state = "consumed"
        elif p.status in ("expired", "failed"):
            s.state = "released"
        elif p.status == "refunded" and now < s.end:
            s.state = "released"
    u = p.use
    if u is not None:
        if p.status in ("paid", "partially_refunded", "disputed", "lost"):
            if u[1] == "held":
                u[1] = "consumed"
            elif u[1] == "released" and old == "refunded":
                live = [x for x in p.discount.uses if x[1] != "released"]
                each = sum(x[0] is u[0] for x in live)
                if (p.discount.most is None or len(live) < p.discount.most) and (
                        p.discount.most_each is None or each < p.discount.most_each):
                    u[1] = "consumed"
        elif p.status in ("expired", "failed", "refunded"):
            u[1] = "released"


class Quote:
    def __init__(self, price, kind, discount=None, takes_slot=False):
        self.price, self.kind, self.discount, self.takes_slot = price, kind, discount, takes_slot


def quote(access, slots, discounts, buyer, item, list_price, now):
    """The lowest price; the subscription's own discount on a tie."""
    kind, best = kind_of(item), Quote(list_price, "none")
    if access.premium and PERCENT[kind]:
        limit = DISCOUNTS[kind]
        if limit is None:
            best = Quote(percent_off(list_price, PERCENT[kind]), "premium")
        elif access.slots and count(slots, "discount " + kind, access.cycle) < limit:
            best = Quote(percent_off(list_price, PERCENT[kind]), "premium", takes_slot=True)
    best.price = best.price if best.price >= LEAST_CHARGE else 0
    for d in discounts:
        if d.fits(buyer, item, now):
            price = d.price(list_price)
            price = price if price >= LEAST_CHARGE else 0
            if price < best.price:
                best = Quote(price, "manual", d)
    return best
