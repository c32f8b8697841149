"""Stripe as it really is, behind what anybody was told: objects with all their versions, and the events about them.

Every version of an object has its second, at least seven seconds after the one before, so that what is newer is never in
doubt. `render` writes an object in one of the two API shapes; the HTTP face answers what a server asks."""
import calendar
import datetime
import email.utils
import json
import socket
import threading
import urllib.parse

HOUR, DAY = 3600, 86400
SHAPES = {"modern": "2026-10-28.endive", "legacy": "2024-06-20"}
PLAN_PRICE = 3200


def add_months(t, months, anchor_day):
    """The same time of day, months later, on the anchor's day or the month's last."""
    d = datetime.datetime.fromtimestamp(t, datetime.timezone.utc)
    n = d.year * 12 + d.month - 1 + months
    year, month = divmod(n, 12)
    day = min(anchor_day, calendar.monthrange(year, month + 1)[1])
    return int(d.replace(year=year, month=month + 1, day=day).timestamp())


def day_of(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).day


class Event:
    __slots__ = ("id", "type", "created", "object", "version", "shape")

    def __init__(self, id_, type_, created, object_, version, shape):
        self.id, self.type, self.created = id_, type_, created
        self.object, self.version, self.shape = object_, version, shape


class World:
    def __init__(self, rng, now):
        self.rng, self.now = rng, now
        self.versions = {}      # id -> [(second, content)]
        self.events, self.outbox = [], []
        self.serial = 0
        self.answers = {}       # Idempotency-Key -> (status, body)
        self.asked = []         # (method, path) of the server since the last look
        self.told = lambda id_: None     # an answer told this object as it is
        self.lock = threading.RLock()
        self.tie = False        # what follows happens within one second

    # ---- objects
    def new_id(self, prefix):
        self.serial += 1
        return f"{prefix}_{self.serial:06d}"

    def tick(self):
        self.now += self.rng.randint(7, 30)

    def get(self, id_):
        return self.versions[id_][-1][1]

    def put(self, content, *types):
        """A new version, told by one event a type."""
        id_ = content["id"]
        versions = self.versions.setdefault(id_, [])
        assert not versions or self.tie or self.now - versions[-1][0] >= 7, (id_, versions[-1], self.now)
        versions.append((self.now, dict(content)))
        made = []
        for t in types:
            e = Event(self.new_id("evt"), t, self.now, id_, len(versions) - 1, self.rng.choice(("modern", "legacy")))
            self.events.append(e)
            made.append(e)
        self.outbox += made
        return made

    def change(self, id_, *types, **fields):
        return self.put({**self.get(id_), **fields}, *types)

    # ---- shapes
    def body(self, e):
        content = self.versions[e.object][e.version][1]
        return json.dumps({"id": e.id, "object": "event", "api_version": SHAPES[e.shape], "type": e.type,
                           "created": e.created, "livemode": False, "pending_webhooks": 1,
                           "request": {"id": None, "idempotency_key": None},
                           "data": {"object": self.render(content, e.shape)}}).encode()

    def render(self, c, shape, expand=False):
        """`_x` are ours alone; what differs between the shapes is written here."""
        kind = c["object"]
        out = {k: v for k, v in c.items() if k[0] != "_"}
        if kind == "subscription":
            item = {"id": c["_item"], "object": "subscription_item", "quantity": 1,
                    "price": {"id": c["_price"], "object": "price", "unit_amount": c["_amount"], "currency": "usd",
                              "recurring": {"interval": "month", "interval_count": 1}}}
            if shape == "modern":
                item.update(current_period_start=c["_start"], current_period_end=c["_end"])
            else:
                out.update(current_period_start=c["_start"], current_period_end=c["_end"])
            out["items"] = {"object": "list", "data": [item]}
        elif kind == "invoice":
            line = {"id": "il_" + c["id"], "object": "line_item", "amount": c["amount_due"], "quantity": 1,
                    "period": {"start": c["_start"], "end": c["_end"]}}
            if shape == "modern":
                out["parent"] = {"type": "subscription_details",
                                 "subscription_details": {"subscription": c["_sub"], "metadata": c["_metadata"]}}
                line["parent"] = {"type": "subscription_item_details",
                                  "subscription_item_details": {"subscription": c["_sub"], "proration": False}}
                if expand:
                    out["payments"] = {"object": "list", "data": [self.render(self.get(p), shape)
                                                                  for p in ([c["_link"]] if c.get("_link") else [])]}
            else:
                out.update(subscription=c["_sub"], payment_intent=c.get("_pi"), charge=c.get("_charge"),
                           paid=c["status"] == "paid", subscription_details={"metadata": c["_metadata"]})
                line.update(subscription=c["_sub"], type="subscription", proration=False)
            out["lines"] = {"object": "list", "has_more": False, "data": [line]}
        elif kind in ("charge", "payment_intent") and shape == "legacy":
            out["invoice"] = c.get("_invoice")
        return out

    # ---- the HTTP face
    def serve(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.base = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        stream = connection.makefile("rb")
        try:
            while True:
                line = stream.readline().decode()
                if not line:
                    return
                method, target, _ = line.split()
                headers = {}
                while (h := stream.readline().decode().strip()):
                    name, _, value = h.partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length") or 0)).decode()
                with self.lock:
                    status, answer = self._handle(method, target, body, headers.get("idempotency-key"))
                    date = email.utils.formatdate(self.now, usegmt=True)
                text = json.dumps(answer).encode()
                connection.sendall((f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nDate: {date}\r\n"
                                    f"Request-Id: req_1\r\nContent-Length: {len(text)}\r\n\r\n").encode() + text)
        except OSError:
            pass
        finally:
            connection.close()

    def _handle(self, method, target, body, key):
        path, _, query = target.partition("?")
        if path.startswith("/_sandbox"):
            return 200, {}
        self.asked.append((method, target))
        if key and key in self.answers:
            return self.answers[key]
        params = {}
        for name, value in urllib.parse.parse_qsl(query if method == "GET" else body, keep_blank_values=True):
            at, names = params, name.replace("]", "").split("[")
            for n in names[:-1]:
                at = at.setdefault(n, {})
            at[names[-1]] = value
        try:
            out = 200, self._do(method, path.split("/")[2:], params)
        except KeyError as e:
            out = 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": str(e)}}
        except ValueError as e:
            out = 400, {"error": {"type": "invalid_request_error", "message": str(e)}}
        if key and out[0] == 200:
            self.answers[key] = out
        return out

    def answer(self, id_):
        self.told(id_)
        return self.render(self.get(id_), "modern", expand=True)

    def _do(self, method, path, p):
        what, id_ = path[0], path[1] if len(path) > 1 else None
        if method == "POST" and what in ("customers", "checkout", "subscriptions", "refunds"):
            self.tick()
        if what == "prices":
            return self._list([{"id": "price_premium", "object": "price", "active": True, "unit_amount": PLAN_PRICE,
                                "currency": "usd", "lookup_key": "mybeing_premium_monthly"}])
        if what == "billing_portal":
            return {"id": "bps_1", "object": "billing_portal.session", "url": self.base + "/portal"}
        if what == "customers" and method == "POST" and id_ is None:
            c = {"id": self.new_id("cus"), "object": "customer", "created": self.now, "email": p.get("email"),
                 "metadata": p.get("metadata", {})}
            self.put(c, "customer.created")
            return self.answer(c["id"])
        if what == "checkout":
            if len(path) == 2:
                if method == "POST":
                    return self._session(p)
                return self._page(self._of("checkout.session", p), p)
            id_ = path[2]
            if len(path) == 4:  # expire
                if self.get(id_)["status"] != "open":
                    raise ValueError("not open")
                self.change(id_, "checkout.session.expired", status="expired", url=None)
            out = self.answer(id_)
            for name in ("payment_intent", "subscription"):
                if out.get(name) and p.get("expand"):
                    out[name] = self.answer(out[name])
            return out
        if what == "subscriptions" and method != "GET":
            return self._change_subscription(method, id_, p)
        if what == "refunds" and method == "POST":
            pi = p["payment_intent"]
            left = self.get(pi)["amount"] - self.refunded(pi)
            amount = int(p.get("amount", left))
            if amount > left or amount <= 0:
                raise ValueError("more than there is")
            return self.answer(self.refund(pi, amount, "succeeded"))
        if what == "events":
            since = int(p.get("created", {}).get("gte", 0)) if isinstance(p.get("created"), dict) else 0
            since = max(since, self.now - 30 * DAY)
            found = [e for e in reversed(self.events) if e.created >= since]
            found.sort(key=lambda e: -e.created)
            page, more = self._cut(found, p, lambda e: e.id)
            return {"object": "list", "url": "/v1/events", "has_more": more, "data": [json.loads(self.body(e)) for e in page]}
        kinds = {"subscriptions": "subscription", "invoices": "invoice", "payment_intents": "payment_intent",
                 "invoice_payments": "invoice_payment"}
        if id_ is None:
            return self._page(self._of(kinds[what], p), p)
        if what == "subscriptions":     # asked before it is changed: the answer to the change is what is kept
            return self.render(self.get(id_), "modern")
        return self.answer(id_)

    def _of(self, kind, p):
        created = p.get("created")
        since = int(created.get("gte", 0)) if isinstance(created, dict) else 0
        out = [v[-1][1] for v in self.versions.values() if v[-1][1]["object"] == kind and v[0][0] >= since]
        if p.get("payment"):
            out = [c for c in out if c["payment"]["payment_intent"] == p["payment"].get("payment_intent")]
        if p.get("invoice"):
            out = [c for c in out if c["invoice"] == p["invoice"]]
        return out[::-1]

    @staticmethod
    def _list(data, more=False):
        return {"object": "list", "data": data, "has_more": more, "url": "/v1"}

    @staticmethod
    def _cut(found, p, id_of):
        after, limit = p.get("starting_after"), int(p.get("limit", 10))
        if after:
            at = next(i for i, x in enumerate(found) if id_of(x) == after)
            found = found[at + 1:]
        return found[:limit], len(found) > limit

    def _page(self, found, p):
        page, more = self._cut(found, p, lambda c: c["id"])
        return self._list([self.render(c, "modern", expand=True) for c in page], more)

    # ---- what a server does
    def _session(self, p):
        mode = p["mode"]
        line = p["line_items"]["0"]
        amount = PLAN_PRICE if mode == "subscription" else int(line["price_data"]["unit_amount"])
        s = {"id": self.new_id("cs_test"), "object": "checkout.session", "mode": mode, "status": "open",
             "payment_status": "unpaid", "amount_total": amount, "currency": "usd",
             "client_reference_id": p.get("client_reference_id"), "customer": p.get("customer"),
             "metadata": p.get("metadata", {}), "expires_at": int(p["expires_at"]), "created": self.now,
             "livemode": False, "payment_intent": None, "subscription": None, "customer_details": None,
             "url": self.base + "/pay/1",
             "_sub_metadata": p.get("subscription_data", {}).get("metadata", {}),
             "_pi_metadata": p.get("payment_intent_data", {}).get("metadata", {})}
        self.put(s)
        return self.answer(s["id"])

    def _change_subscription(self, method, id_, p):
        if self.get(id_)["status"] in ("canceled", "incomplete_expired"):
            raise KeyError(f"no such subscription: {id_}")
        if method == "DELETE":
            self.tick()
            self.end_subscription(id_)
        elif "cancel_at_period_end" in p:
            on = p["cancel_at_period_end"] == "true"
            self.change(id_, "customer.subscription.updated", cancel_at_period_end=on,
                        cancel_at=self.get(id_)["_end"] if on else None)
        elif p.get("cancel_at") == "":
            self.change(id_, "customer.subscription.updated", cancel_at=None, cancel_at_period_end=False)
        return self.answer(id_)

    def end_subscription(self, id_, at=None):
        self.change(id_, "customer.subscription.deleted", status="canceled", ended_at=at or self.now,
                    canceled_at=at or self.now)

    # ---- money
    def refunds_of(self, pi):
        return [v[-1][1] for v in self.versions.values() if v[-1][1]["object"] == "refund" and v[-1][1]["_pi"] == pi]

    def refunded(self, pi):
        return sum(self.get(r)["amount"] for r in self.get(pi).get("_refunds", ())
                   if self.get(r)["status"] in ("pending", "succeeded"))

    def refund(self, pi, amount, status):
        """The refund's id. The list of a payment's refunds is kept in place: it is no version."""
        intent = self.get(pi)
        r = {"id": self.new_id("re"), "object": "refund", "amount": amount, "currency": "usd", "charge": intent["latest_charge"],
             "payment_intent": pi if self.rng.random() < 0.9 else None, "status": status, "created": self.now,
             "metadata": {}, "reason": None, "_pi": pi}
        self.put(r, "refund.created")
        intent["_refunds"].append(r["id"])
        self._recount(pi)
        return r["id"]

    def refund_becomes(self, id_, status):
        self.change(id_, "refund.failed" if status == "failed" else "refund.updated", status=status)
        self._recount(self.get(id_)["_pi"])

    def _recount(self, pi):
        intent, done = self.get(pi), self.refunded(pi)
        charge = self.get(intent["latest_charge"])
        kind = "charge.refunded" if done > charge["amount_refunded"] else "charge.updated"
        if done != charge["amount_refunded"]:
            self.change(charge["id"], kind, amount_refunded=done, refunded=done == charge["amount"])

    def dispute(self, pi, status):
        intent = self.get(pi)
        d = {"id": self.new_id("du"), "object": "dispute", "amount": intent["amount"], "currency": "usd",
             "charge": intent["latest_charge"], "payment_intent": pi, "status": status, "created": self.now,
             "reason": "general", "_pi": pi}
        self.put(d, "charge.dispute.created")
        intent["_disputes"].append(d["id"])

    def dispute_becomes(self, id_, status):
        closed = status in ("won", "lost", "warning_closed")
        self.change(id_, "charge.dispute.closed" if closed else "charge.dispute.updated", status=status)

    def payment(self, amount, status, invoice=None, metadata=None, customer=None):
        """A payment intent; with its charge when it succeeded."""
        pi = self.new_id("pi")
        charge = self.new_id("ch") if status == "succeeded" else None
        c = {"id": pi, "object": "payment_intent", "amount": amount, "currency": "usd", "customer": customer,
             "created": self.now, "status": status, "amount_received": amount if charge else 0,
             "metadata": metadata or {}, "latest_charge": charge, "last_payment_error": None, "_invoice": invoice,
             "_refunds": [], "_disputes": []}
        kinds = {"succeeded": ["payment_intent.succeeded"], "processing": ["payment_intent.processing"],
                 "requires_payment_method": ["payment_intent.payment_failed"]}
        self.put(c, *kinds[status])
        if charge:
            self.charge(pi, charge)
        return pi

    def charge(self, pi, charge):
        i = self.get(pi)
        self.put({"id": charge, "object": "charge", "amount": i["amount"], "currency": "usd", "customer": i["customer"],
                  "payment_intent": pi, "amount_refunded": 0, "refunded": False, "status": "succeeded", "created": self.now,
                  "metadata": i["metadata"], "_invoice": i["_invoice"]}, "charge.succeeded")

    def payment_becomes(self, pi, status):
        charge = self.new_id("ch") if status == "succeeded" else None
        i = self.get(pi)
        self.change(pi, "payment_intent.succeeded" if charge else "payment_intent.payment_failed", status=status,
                    amount_received=i["amount"] if charge else 0, latest_charge=charge,
                    last_payment_error=None if charge else {"code": "card_declined"})
        if charge:
            self.charge(pi, charge)

    # ---- subscriptions
    def subscription(self, customer, metadata, status, months=1, trial_days=0):
        now = self.now
        end = now + trial_days * DAY if trial_days else add_months(now, months, day_of(now))
        s = {"id": self.new_id("sub"), "object": "subscription", "customer": customer, "status": status, "created": now,
             "billing_cycle_anchor": end if trial_days else now, "cancel_at": None, "cancel_at_period_end": False,
             "canceled_at": None, "ended_at": None, "trial_start": now if trial_days else None,
             "trial_end": end if trial_days else None, "pause_collection": None, "metadata": metadata,
             "_item": self.new_id("si"), "_price": "price_premium", "_amount": PLAN_PRICE * months, "_months": months,
             "_start": now, "_end": end, "_fail": False, "_retry": None}
        self.put(s, "customer.subscription.created")
        return s["id"]

    def invoice(self, sub, amount, reason, start, end, paid):
        """Makes one, paid at once or with its first attempt failed. Its id."""
        s = self.get(sub)
        id_ = self.new_id("in")
        c = {"id": id_, "object": "invoice", "customer": s["customer"], "status": "open", "billing_reason": reason,
             "amount_due": amount, "amount_paid": 0, "currency": "usd", "attempt_count": 0, "created": self.now,
             "period_start": start, "period_end": start, "next_payment_attempt": None,
             "hosted_invoice_url": self.base + "/invoice/" + id_, "status_transitions": {"paid_at": None}, "_sub": sub,
             "_metadata": s["metadata"], "_start": start, "_end": end, "_pi": None, "_charge": None, "_link": None}
        self.put(c, "invoice.finalized")
        self.tick()
        if paid:
            self.pay_invoice(id_)
        else:
            self.fail_invoice(id_)
        return id_

    def pay_invoice(self, id_):
        c = self.get(id_)
        more = {}
        if c["amount_due"]:
            pi = self.payment(c["amount_due"], "succeeded", invoice=id_, customer=c["customer"])
            link = {"id": self.new_id("inpay"), "object": "invoice_payment", "invoice": id_, "amount_paid": c["amount_due"],
                    "currency": "usd", "status": "paid", "created": self.now,
                    "payment": {"type": "payment_intent", "payment_intent": pi}}
            self.put(link, "invoice_payment.paid")
            more = {"_pi": pi, "_charge": self.get(pi)["latest_charge"], "_link": link["id"]}
        self.change(id_, "invoice.paid", "invoice.payment_succeeded", status="paid", amount_paid=c["amount_due"],
                    attempt_count=c["attempt_count"] + 1, status_transitions={"paid_at": self.now}, **more)

    def fail_invoice(self, id_):
        c = self.get(id_)
        self.change(id_, "invoice.payment_failed", attempt_count=c["attempt_count"] + 1,
                    next_payment_attempt=self.now + 3 * DAY)
