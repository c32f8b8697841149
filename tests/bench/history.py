"""The database of members with their history."""
import hashlib
import sqlite3
import subprocess
import time

from events import DAY, customer, event, invoice, signed, subscription, tag, token, user
from programs import Failed

TEMPLATE = 0  # the member whose rows are copied


def add_account(db, n, now):
    db.execute("INSERT INTO account (id, email, email_key, email_verified_at, name, admin, created_at, updated_at) "
               "VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
               (user(n), f"{tag(n)}@example.com", f"{tag(n)}@example.com", now, f"Member {n}", now, now))
    db.execute("INSERT INTO session (id, token_hash, account_id, via, user_agent, created_at, last_seen_at, expires_at) "
               "VALUES (?, ?, ?, 'password', 'bench', ?, ?, ?)",
               (f"ses_01900000-0000-7000-8000-{n:012d}", hashlib.sha256(token(n).encode()).digest(), user(n), now, now,
                now + 30 * DAY * 1000))


def copy_rows(db, table, members):
    """What the server itself wrote about the template, for everybody else: only ids differ."""
    cur = db.execute(f"SELECT * FROM {table}")
    rows, width = cur.fetchall(), len(cur.description)
    if not rows:
        raise Failed(f"no row of the template in {table}: did its events apply?")

    def changed(v, n):
        if not isinstance(v, str):
            return v
        return v.replace(tag(TEMPLATE), tag(n)).replace(user(TEMPLATE), user(n))

    db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})",
                   (tuple(changed(v, n) for v in row) for n in range(1, members) for row in rows))


def make(ctx, server, members):
    """The file of the database, and nobody has it open."""
    ctx.note(f"a database of {members:,} members")
    server.run("migrate", "up")
    path = server.database
    now, start = int(time.time() * 1000), ctx.now - DAY
    with sqlite3.connect(path) as db:
        add_account(db, TEMPLATE, now)
    db.close()
    server.start()
    file = server.folder / "template"
    n = TEMPLATE
    file.write_bytes(b"".join(signed(e) for e in (
        event(f"{tag(n)}_1", "customer.created", customer(n, start), start),
        event(f"{tag(n)}_2", "customer.subscription.created", subscription(n, start, start), start),
        event(f"{tag(n)}_3", "invoice.paid", invoice(n, start, start), start))))
    subprocess.run([ctx.tools["replay"], str(server.port), "1", "20", file], check=True, capture_output=True)
    server.stop()
    with sqlite3.connect(path) as db:
        for n in range(1, members):
            add_account(db, n, now)
        for table in ("fact_customer", "subscription", "fact_invoice", "webhook_event"):
            copy_rows(db, table, members)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path
