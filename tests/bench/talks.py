"""The history of a member with 1,000 conversations of 100 messages"""
import sqlite3

from events import token, user
from history import some_payers
from load import in_turn, wrk
from report import fact, speed

CONVERSATIONS, MESSAGES = 1000, 100


def fill(database, owner, count):
    now = 1_700_000_000_000
    db = sqlite3.connect(database)
    with db:
        for c in range(count):
            one = f"conv_bench_{c:06d}"
            number = db.execute(
                "INSERT INTO ai_conversation (id, owner, user_id, title, title_key, title_source, active_leaf, created_at, "
                "updated_at) VALUES (?, ?, ?, ?, 0, 'auto', ?, ?, ?)",
                (one, owner, owner, b"What keeps me awake at night", f"m{MESSAGES - 1}", now + c, now + c)).lastrowid
            db.executemany(
                "INSERT INTO ai_message (id, conversation, parent_id, depth, role, body, key_id, status, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, 0, 'complete', ?)",
                [(f"m{i}", number, f"m{i - 1}" if i else None, i, "assistant" if i % 2 else "user", b"I sleep badly. " * 12, now + c)
                 for i in range(MESSAGES)])
    db.close()


def run(ctx):
    count = 20 if ctx.tiny else CONVERSATIONS
    who = some_payers(ctx.members)[0]
    tokens = ctx.tmp / "one_token"
    tokens.write_text(token(who) + "\n")
    with ctx.copy() as server:
        before = server.database.stat().st_size
        fill(server.database, user(who), count)
        size = server.database.stat().st_size - before
        server.start()
        got = in_turn(ctx, {
            "history, a page of 20": lambda: wrk(ctx, server, "/api/chat/history?limit=20", tokens),
            "history, a page of 100": lambda: wrk(ctx, server, "/api/chat/history?limit=100", tokens),
            "one conversation, 50 of its messages": lambda: wrk(
                ctx, server, "/api/chat/conversations/conv_bench_000007/messages?limit=50", tokens)})
    return [*(speed(name, row) for name, row in got.items()),
            fact("a message of 180 bytes, in the database", round(size / count / MESSAGES), "bytes")]
