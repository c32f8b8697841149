"""The database of members with up to two years of history.

Who they are, by number (of 100): 4 pay for premium, since 3, 8, 15 or 24 months; 3 paid for 3 months and left; 8 bought
one quiz; 30 of the others talked with the AI once. Everybody has a session and got two letters.

One member of each kind is lived through the server itself: its events are delivered as Stripe would, its talks saved
through the API; what the server does not write here (purchases, slots, letters need Stripe and a mail provider) is
inserted. Then SQL copies those members: only ids differ.
"""
import hashlib
import random
import re
import sqlite3
import time

from events import (DAY, checkout, customer, delivered, event, file_on_disk, invoice, invoice_payment, payment, request, subscription,
                    tag, text_of, token, user)
from load import replay
from programs import Failed, answer

MONTH = 30 * DAY
PAID_MONTHS = (3, 8, 15, 24)
MAKES_OWN_ID = re.compile(r"^[a-z]+_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")
SAID = ["I sleep badly, since weeks, and in the morning I am more tired than in the evening before. ",
        "That sounds exhausting. Since when is it so, and what goes through your mind when you lie awake? ",
        "Since I changed my job; I think of all that I did not finish, again and again. ",
        "Many people know that. A short list in the evening, of what can wait until tomorrow, often helps: try it. "]


def kind(n):
    """What member n is: ("premium", months), ("left", 3), ("buyer", 0), ("talker", 0) or ("quiet", 0)."""
    at = n % 100
    if at < 4:
        return "premium", PAID_MONTHS[n // 100 % 4]
    if at < 7:
        return "left", 3
    return ("buyer" if at < 15 else "talker" if at < 45 else "quiet"), 0


def payers(members):
    """The numbers of those who pay now."""
    return [n for n in range(members) if n % 100 < 4]


def some_payers(members, most=5000):
    found = payers(members)
    return found[::max(len(found) // most, 1)]


# ---- one member's life, as Stripe tells it


def renewal(n, start, since, k):
    """The events of a paid month, those that `mybeing setup stripe` asks for."""
    name, first = f"m{k:02d}", k == 0
    reason = "subscription_create" if first else "subscription_cycle"
    sub = subscription(n, start, since)
    return [event(f"{tag(n)}_{name}_{i}", what, obj, start + 3600, **more) for i, (what, obj, more) in enumerate([
        ("customer.subscription.created", sub, {}) if first else
        ("customer.subscription.updated", sub, {"previous_attributes": {"latest_invoice": f"in_{tag(n)}"}}),
        ("invoice.created", invoice(n, start, name, "draft", reason), {}),
        ("invoice.finalized", invoice(n, start, name, "open", reason), {}),
        ("invoice.paid", invoice(n, start, name, "paid", reason), {}),
        ("invoice.payment_succeeded", invoice(n, start, name, "paid", reason), {}),
        ("invoice_payment.paid", invoice_payment(n, start, name), {}),
        ("payment_intent.succeeded", payment(n, start, name), {})])]


def purchase_id(n, k):
    return f"pur_01900000-0000-7000-80{k:02d}-{n:012d}"


def bought(n, at, k):
    name = f"p{k}"
    return [event(f"{tag(n)}_{name}_1", "payment_intent.succeeded", payment(n, at, name, 1900), at),
            event(f"{tag(n)}_{name}_2", "checkout.session.completed",
                  checkout(n, at, name, purchase_id(n, k), "quiz:stress-profile", 1900), at)]


def life(n, now):
    """All events about member n, oldest first."""
    what, months = kind(n)
    start = now - DAY
    since = start - (months - 1) * MONTH - (200 * DAY if what == "left" else 0)
    told = [event(f"{tag(n)}_c", "customer.created", customer(n, since), since)] if what in (
        "premium", "left", "buyer") else []
    for k in range(months):
        told += renewal(n, since + k * MONTH, since, k)
    if what == "left":
        end = since + months * MONTH
        told.append(event(f"{tag(n)}_end", "customer.subscription.deleted",
                          subscription(n, end - MONTH, since, status="canceled", canceled_at=end, ended_at=end), end))
    if what == "buyer":
        told += bought(n, now - 100 * DAY, 1)
    return told


def talks(n):
    """How many talks of four messages each."""
    what, months = kind(n)
    return {"premium": 2 + months // 6, "left": 1, "talker": 1}.get(what, 0)


# ---- making the members that are copied


def insert(db, table, **values):
    db.execute(f"INSERT INTO {table} ({','.join(values)}) VALUES ({','.join('?' * len(values))})",
               list(values.values()))


def add_purchase(db, n, k, at):
    pid = purchase_id(n, k)
    insert(db, "purchase", id=pid, member=user(n), item="quiz:stress-profile", list_price=1900, price=1900,
           currency="usd", discount_kind="none", status="pending", session=f"cs_test_{tag(n)}_p{k}",
           never_opened=0, mismatch=0, late=0, revision=0, created_at=at, changed_at=at)
    insert(db, "purchase_history", purchase=pid, seq=1, at=at, status="pending", what="created", actor=user(n))


def add_rest(db, n, now_ms):
    """Letters, free uses, discount slots."""
    what, months = kind(n)
    letters = ["verify", "welcome"] + ["receipt"] * months + ["purchase"] * (what == "buyer")
    for i, template in enumerate(letters):
        insert(db, "email_log", id=f"ml_01900000-0000-7000-80{i:02d}-{n:012d}", cause=f"{template}:{tag(n)}_{i}",
               template=template, recipient=f"{tag(n)}@example.com", member_id=user(n), state="delivered", rank=6,
               optional=0, urgent=0, attempts=1, provider="postmark", provider_id=f"{tag(n)}-4a6d-{i:04d}",
               created_at=now_ms, updated_at=now_ms)
    uses = ("quiz:stress-profile", "quiz:sleep-quality", "article:better-sleep", "article:setting-boundaries")
    for i, item in enumerate(uses if months else ()):
        insert(db, "allowance_use", member=user(n), cycle_start=now_ms - DAY * 1000, kind=item.split(":")[0], number=1 + i % 2,
               cycle_end=now_ms + 29 * DAY * 1000, item=item, subscription=f"sub_{tag(n)}", used_at=now_ms)


def add_accounts(db, numbers, now_ms):
    db.executemany("INSERT INTO account (id, email, email_key, email_verified_at, name, admin, created_at, updated_at) "
                   "VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
                   ((user(n), f"{tag(n)}@example.com", f"{tag(n)}@example.com", now_ms, f"Member {n}", now_ms, now_ms)
                    for n in numbers))
    db.executemany("INSERT INTO session (id, token_hash, account_id, via, user_agent, created_at, last_seen_at, "
                   "expires_at) VALUES (?, ?, ?, 'password', 'Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0', ?, ?, ?)",
                   ((f"ses_01900000-0000-7000-8000-{n:012d}", hashlib.sha256(token(n).encode()).digest(), user(n),
                     now_ms, now_ms, now_ms + 30 * DAY * 1000) for n in numbers))


def train(ctx, server):
    """Enough events for the server to train its dictionary, as a live one has: of people of every kind, mixed. Then they
    are taken out again."""
    file = server.folder / "train"
    strangers = [900_000_000 + 100 * k + i for k in range(12) for i in range(15)]
    told = [e for n in strangers for e in life(n, ctx.now)]
    file.write_bytes(b"".join(delivered(text_of(e)) for e in random.Random(1).sample(told, 840)))
    replay(ctx, server, file, 8, 60)
    db = sqlite3.connect(server.database)
    end = time.monotonic() + 60
    while not db.execute("SELECT count(*) FROM webhook_dict").fetchone()[0]:
        if time.monotonic() > end:
            raise Failed("the server trained no dictionary")
        time.sleep(0.05)
    db.close()


def forget_strangers(db):
    for table, column in ((t, c) for t, columns in tables(db).items() for c in columns):
        db.execute(f"DELETE FROM {table} WHERE {column} LIKE '%bench9000%'")
    db.execute("DELETE FROM job")


def live(ctx, server, models):
    """The members that are copied, through the server."""
    file = server.folder / "life"
    file.write_bytes(b"".join(delivered(text_of(e)) for n in models for e in life(n, ctx.now)))
    replay(ctx, server, file, 1, 120)
    for n in models:
        for t in range(talks(n)):
            body = [{"role": ("user", "assistant")[i % 2], "content": SAID[i] * 2} for i in range(4)]
            file.write_bytes(request("POST", "/api/chat/save", ctx.json({"title": f"Talk {t}", "messages": body}),
                                     {"Authorization": f"Bearer {token(n)}"}))
            replay(ctx, server, file, 1, 20)
    for n in models:
        status, body = answer(server.port, "/api/user/entitlements", {"Authorization": f"Bearer {token(n)}"})
        premium = b'"premium":true' in body.replace(b" ", b"")
        if status != 200 or premium != (kind(n)[0] == "premium"):
            raise Failed(f"member {n}, {kind(n)}, is told {status} {body[:300]}")


# ---- copies


def tables(db):
    """Tables and their columns that hold text."""
    names = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    return {t: [c[1] for c in db.execute(f"PRAGMA table_info({t})") if c[2].lower() == "text"] for t in names}


class Number(str):
    """The number of the conversation with this id, which each copy has its own of."""


def copied(value, n, values):
    """SQL for a value of member n in the row of member m.n."""
    if isinstance(value, Number):
        return f"(SELECT number FROM ai_conversation WHERE id = {copied(str(value), n, values)})"
    if isinstance(value, str) and (tag(n) in value or user(n) in value or f"{n:012d}" in value):
        for mine, theirs in ((tag(n), "m.tag"), (f"-{n:012d}", "m.dashed")):
            if mine in value:
                before, after = value.split(mine, 1)
                values += [before, after]
                return f"? || {theirs} || ?"
    if isinstance(value, str) and MAKES_OWN_ID.match(value):
        values.append(value[:-12])
        return "? || m.hex"
    values.append(value)
    return "?"


def copy_member(db, n, rows):
    """Everything of member n, for all others of the kind."""
    db.execute("DELETE FROM temp.m")
    db.execute("INSERT INTO temp.m SELECT n, tag, dashed, hex FROM temp.everybody WHERE model = ? AND n <> ?", (n, n))
    for table, row in rows:
        values = []
        parts = ", ".join(copied(v, n, values) for v in row)
        db.execute(f"INSERT INTO {table} SELECT {parts} FROM temp.m", values)


def rows_of(db, n):
    """(table, row) of all that there is about member n, but account and session."""
    found, own = [], set()
    for table, columns in tables(db).items():
        if table in ("account", "session", "job", "schema_migration", "setting", "webhook_dict", "ai_message"):
            continue
        where = " OR ".join(f"{c} LIKE '%{tag(n)}%' OR {c} LIKE '%-{n:012d}'" for c in columns)
        for row in db.execute(f"SELECT * FROM {table} WHERE {where}") if where else ():
            found.append((table, row))
            own |= {row[:2]} if table == "ai_conversation" else set()
    found = [(t, (None, *row[1:]) if t == "ai_conversation" else row) for t, row in found]  # a number of its own
    for number, c in sorted(own):
        found += [("ai_message", (Number(c), *row[1:])) for row in
                  db.execute("SELECT * FROM ai_message WHERE conversation = ? ORDER BY depth", (number,))]
    return found


def everybody(db, members, models):
    db.execute("CREATE TEMP TABLE everybody (n integer PRIMARY KEY, model integer, tag text, dashed text, hex text)")
    db.execute("CREATE TEMP TABLE m (n integer PRIMARY KEY, tag text, dashed text, hex text)")
    db.executemany("INSERT INTO temp.everybody VALUES (?, ?, ?, ?, ?)",
                   ((n, models[kind(n)], tag(n), f"-{n:012d}", f"{n:012x}") for n in range(members)))


def multiply(ctx, path, members, models):
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; "
                     "PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF")
    db.execute("BEGIN")
    forget_strangers(db)
    rows = {n: rows_of(db, n) for n in models.values()}
    later = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in later:
        db.execute(f"DROP INDEX {name}")
    chosen, now_ms, step = set(models.values()), ctx.now * 1000, 50_000
    for low in range(0, members, step):
        add_accounts(db, [n for n in range(low, min(low + step, members)) if n not in chosen], now_ms)
        ctx.note("accounts", min(low + step, members), members)
    everybody(db, members, models)
    for i, n in enumerate(models.values()):
        copy_member(db, n, rows[n])
        ctx.note("histories", i + 1, len(models))
    for i, (_, sql) in enumerate(later):
        db.execute(sql)
        ctx.note("indexes", i + 1, len(later))
    db.execute("COMMIT")
    db.close()
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    file_on_disk(path)


def make(ctx, server, members):
    """The file of the database; nobody has it open."""
    ctx.note(f"a database of {members:,} members")
    models = {}
    for n in range(min(members, 400)):
        models.setdefault(kind(n), n)
    server.run("migrate", "up")
    now_ms = ctx.now * 1000
    with sqlite3.connect(server.database) as db:
        add_accounts(db, models.values(), now_ms)
        for n in models.values():
            add_rest(db, n, now_ms)
            if kind(n)[0] == "buyer":
                add_purchase(db, n, 1, now_ms - 100 * DAY * 1000)
    db.close()
    server.start()
    ctx.note("a dictionary for events")
    train(ctx, server)
    ctx.note("members that are copied")
    live(ctx, server, models.values())
    server.stop()
    multiply(ctx, server.database, members, models)
    return server.database


def sizes(path):
    """Megabytes by table, indexes and all."""
    db = sqlite3.connect(path)
    got = db.execute("SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name "
                     "GROUP BY 1 ORDER BY 2 DESC").fetchall()
    db.close()
    return {t: b / 1e6 for t, b in got}
