"""What the tests of purchases, allowances and discounts share: a look into the database, many hands at once."""
import contextlib
import sqlite3
import threading
import time

import psycopg2

from harness.client import post_event
from harness.process import PATIENCE

QUIZZES = ["quiz:stress-profile", "quiz:sleep-quality", "quiz:attachment-style", "quiz:burnout-risk", "quiz:big-five"]
PRICE = {"quiz:stress-profile": 1900, "quiz:sleep-quality": 2400, "quiz:attachment-style": 2900,
         "quiz:burnout-risk": 3900, "quiz:big-five": 5000, "quiz:values-inventory": 5001, "quiz:life-review": 7900}


def sql(server, text, *values):
    """One statement, `?` for values, straight at the database; rows as tuples, the same on both engines."""
    return sql_all(server, [(text, *values)])


def sql_all(server, statements):
    """Statements as (text, values...) in one transaction; the rows of the last."""
    if server.engine == "pg":
        with contextlib.closing(psycopg2.connect(server.database)) as db, db, db.cursor() as c:
            for text, *values in statements:    # texts take the type of their column, as literals do
                c.execute(text.replace("%", "%%").replace("?", "%s"), [v if v is None else str(v) for v in values])
            rows = c.fetchall() if c.description else []
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]
    with contextlib.closing(sqlite3.connect(server.database.split(":", 1)[1], timeout=PATIENCE)) as db, db:
        for text, *values in statements:
            rows = db.execute(text, values).fetchall()
    return rows


def at_once(n, work):
    """work(i) on n threads, all let go together; their results in order. What one raises is raised here."""
    barrier, out, errors = threading.Barrier(n), [None] * n, []

    def run(i):
        try:
            barrier.wait(PATIENCE)
            out[i] = work(i)
        except BaseException as e:  # noqa: B902
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return out


def patient(call):
    """The answer of call(), asked again while the server says 503 (a crowd waits for one call to Stripe)."""
    end = time.monotonic() + PATIENCE
    a = call()
    while a.status == 503 and time.monotonic() < end:
        time.sleep(0.2)
        a = call()
    return a


def discount(server, **columns):
    """A manual discount, as an admin's endpoint stores it."""
    now = int(time.time() * 1000)
    row = {"id": f"dsc_test_{now}_{len(columns)}_{columns.get('code')}", "created_by": "test", "created_at": now, **columns}
    names = ", ".join(row)
    sql(server, f"INSERT INTO manual_discount ({names}) VALUES ({', '.join('?' for _ in row)})", *row.values())
    return row["id"]


def event(kind, obj, created=None, **more):
    now = int(time.time())
    return {"id": f"evt_{time.time_ns()}", "object": "event", "type": kind, "api_version": "2026-10-28.endive",
            "created": created or now, "livemode": False, "pending_webhooks": 1, "request": {"id": None},
            "data": {"object": obj, **more}}


def tell(server, kind, obj, **kw):
    a = post_event(server, event(kind, obj, **kw))
    assert a.status == 200, a
    return a


def premium(server, member, days=30):
    """Makes a member premium by Stripe's events alone."""
    now = int(time.time())
    n = time.time_ns()
    period = {"start": now - 3600, "end": now + days * 86400}
    sub = {"id": f"sub_{n}", "object": "subscription", "status": "active", "customer": f"cus_{n}", "created": now - 3600,
           "billing_cycle_anchor": now - 3600, "cancel_at_period_end": False, "cancel_at": None, "canceled_at": None,
           "ended_at": None, "trial_start": None, "trial_end": None, "pause_collection": None,
           "metadata": {"userId": member.user_id},
           "items": {"object": "list", "data": [{"id": f"si_{n}", "object": "subscription_item", "quantity": 1,
                                                 "price": {"id": "price_1", "object": "price"},
                                                 "current_period_start": period["start"],
                                                 "current_period_end": period["end"]}]}}
    invoice = {"id": f"in_{n}", "object": "invoice", "status": "paid", "customer": sub["customer"], "currency": "usd",
               "amount_due": 3200, "amount_paid": 3200, "total": 3200, "billing_reason": "subscription_create",
               "created": now - 3600, "period_start": period["start"], "period_end": period["start"],
               "attempt_count": 1,
               "parent": {"type": "subscription_details", "subscription_details": {"subscription": sub["id"],
                                                                                   "metadata": sub["metadata"]}},
               "status_transitions": {"paid_at": now - 3600},
               "lines": {"object": "list", "data": [{"id": f"il_{n}", "object": "line_item", "amount": 3200,
                                                     "period": period,
                                                     "parent": {"type": "subscription_item_details",
                                                                "subscription_item_details":
                                                                    {"subscription": sub["id"], "proration": False}}}]}}
    tell(server, "customer.subscription.created", sub)
    tell(server, "invoice.paid", invoice)
    e = member.entitlements()
    assert e["premium"], e
    return sub
