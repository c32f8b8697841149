"""The history page of a member with 1,000 conversations of 100 messages: one query, by its index, on both engines."""
import re
import sqlite3
from pathlib import Path

import psycopg2

QUERY = re.search(r"-- name: chat_conversation_list .*?\n(SELECT .*?);",
                  (Path(__file__).parents[2] / "sql/query/chat.sql").read_text(), re.S).group(1)
CONVERSATIONS, MESSAGES = 1000, 100


def connect(server):
    if server.engine == "pg":
        return psycopg2.connect(server.database), "%s"
    return sqlite3.connect(server.dir / "mybeing.db"), "?"


def fill(db, mark, owner):
    """Rows of the member, and as many of somebody else: an index has to tell them apart."""
    talks, said = [], []
    for who in (owner, "vis_somebody_else"):
        for c in range(CONVERSATIONS):
            one = f"conv_{who[-6:]}_{c:05d}"
            talks.append((one, who, owner if who == owner else None, b"A title", 0, "auto", f"m{MESSAGES - 1}", c, 1000 + c))
            said += [(f"m{i}", one, f"m{i - 1}" if i else None, i, "assistant" if i % 2 else "user", b"words " * 20, 0,
                      "complete", c) for i in range(MESSAGES if who == owner else 1)]
    cur = db.cursor()
    for table, rows, names in (
            ("ai_conversation", talks, "id,owner,user_id,title,title_key,title_source,active_leaf,created_at,updated_at"),
            ("ai_message", said, "id,conversation,parent_id,depth,role,body,key_id,status,created_at")):
        if rows is said:
            cur.execute("SELECT id, number FROM ai_conversation")
            numbers = dict(cur.fetchall())
            rows = [(r[0], numbers[r[1]], *r[2:]) for r in said]
        sql = f"INSERT INTO {table} ({names}) VALUES "
        if mark == "?":
            cur.executemany(sql + f"({','.join('?' * len(rows[0]))})", rows)
        else:
            from psycopg2.extras import execute_values
            execute_values(cur, sql + "%s", rows, page_size=5000)
    db.commit()
    cur.execute("ANALYZE")
    db.commit()


def plan(db, mark, owner):
    values = {"owner": owner, "before_at": 9999, "before_id": "~", "n": 21}
    names = re.findall(r"\$(\w+)", QUERY)
    cur = db.cursor()
    if mark == "?":
        cur.execute("EXPLAIN QUERY PLAN " + re.sub(r"\$(\w+)", "?", QUERY), [values[n] for n in names])
        return "\n".join(row[3] for row in cur.fetchall())
    cur.execute("EXPLAIN " + re.sub(r"\$(\w+)", "%s", QUERY), [values[n] for n in names])
    return "\n".join(row[0] for row in cur.fetchall())


def test_the_page_is_one_indexed_query(server):
    m = server.member()
    db, mark = connect(server)
    fill(db, mark, m.user_id)
    text = plan(db, mark, m.user_id)
    db.close()
    assert "ai_conversation_owner" in text, text
    for slow in ("TEMP B-TREE", "Seq Scan", "Sort"):  # neither sorted nor read whole
        assert slow not in text, text
    assert "SCAN ai" not in text
    # and the pages are right: every conversation once, newest first
    seen, cursor = [], ""
    while True:
        page = m.get("/api/chat/history?limit=100" + cursor).json
        seen += [c["id"] for c in page["data"]]
        if not page["nextCursor"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == [f"conv_{m.user_id[-6:]}_{c:05d}" for c in reversed(range(CONVERSATIONS))]
    one = m.get(f"/api/chat/history?conversationId={seen[0]}").json
    assert len(one["messages"]) == MESSAGES and one["title"] == "A title"
    before, found = "", 0
    while before is not None:
        page = m.get(f"/api/chat/conversations/{seen[0]}/messages?limit=30" + (f"&before={before}" if before else "")).json
        found, before = found + len(page["messages"]), page["before"]
    assert found == MESSAGES
