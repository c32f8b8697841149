"""What free use costs, and who pays, when things happen at once: claims, faults, stops, ceilings."""
import threading
from concurrent.futures import ThreadPoolExecutor

from ai_double import refuse, say, stream
from books import sql
from harness import Client, wait_until
from test_contract import admin_of, running, spoken
from test_turns import events, ids, text_of, turn

PASSWORD = {"email": "old@example.com", "password": "correct horse battery 9"}


def used(c):
    return c.entitlements()["ai"]["used"]


def both(server):
    """A member, in one browser, and a visitor who is about to sign in as that member in another."""
    c = server.client()
    assert c.post("/api/auth/register", PASSWORD).status == 201
    return c, server.client()


def claim(v):
    assert v.post("/api/auth/login", PASSWORD).status == 200
    assert v.post("/api/auth/claim").json == {"claimed": True}


def failing_first(c, ai):
    """Two conversations, of which the one that took the first slot gave it back."""
    began, gate = threading.Event(), threading.Event()

    def late(handler, body):
        began.set()
        gate.wait(60)
        refuse(400)(handler, body)
    ai.answers = [late]
    a = c.call("POST", "/api/chat/conversations/new/messages", {"content": "first"}, stream=True)
    assert began.wait(60) and used(c) == 1
    ai.answers = [stream(say("ok"))]
    turn(c, "second")
    gate.set()
    assert a.raw.text and used(c) == 1


def test_a_claim_goes_around_what_was_given_back(chat, ai):
    m, v = both(chat)
    failing_first(m, ai)  # the member has the second slot alone
    for i in range(3):
        turn(v, f"visitor {i}")
    claim(v)
    assert used(v) == 3 and used(m) == 3  # the larger of 1 and 3
    assert len(v.get("/api/chat/history").json["data"]) == 5
    turn(m)
    turn(m)
    assert m.post("/api/chat/conversations/new/messages", {"content": "Hi"}).status == 429


def test_what_a_conversation_has_said_today_is_claimed_with_it(make_server, ai):
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"})
    m, v = both(server)
    one = ids(turn(v))[0]
    for i in range(29):
        turn(v, f"{i}", one)
    assert used(v) == 1
    claim(v)
    assert used(v) == 1
    turn(v, "the thirty-first", one)
    assert used(v) == 2


def held(ai):
    """An answer that fails without a word as soon as the event is set."""
    go = threading.Event()

    def answer(handler, body):
        go.wait(60)
        refuse(400)(handler, body)
    ai.answers = [answer]
    return go


def test_claimed_while_it_is_answered(chat, ai):
    """What fails afterwards is given back to whoever has the conversation now, and to nobody else."""
    m, v = both(chat)
    go = held(ai)
    a = v.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    wait_until(lambda: used(v) == 1)
    claim(v)
    assert used(m) == 1
    go.set()
    assert events(a.raw.text)[-2]["type"] == "error"
    wait_until(lambda: used(m) == 0)
    # the member's count was the larger one: it stays
    ai.answers = [stream(say("ok"))]
    turn(m)
    v = chat.client()
    go = held(ai)
    a = v.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    wait_until(lambda: used(v) == 1)
    claim(v)
    go.set()
    assert events(a.raw.text)[-2]["type"] == "error" and used(m) == 1


def test_claimed_and_then_the_server_dies(make_server, ai):
    env = {"AI_BASE_URL": ai.base, "AI_MODEL": "m"}
    server = make_server(env=env)
    m, v = both(server)
    turn(m)
    go = held(ai)
    v.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    wait_until(lambda: used(v) == 1)
    claim(v)
    server.kill()
    go.set()
    server.start()
    server.clock("+2 minutes")
    wait_until(lambda: int(sql(server, "SELECT count(*) FROM ai_message WHERE status = 'streaming'")[0][0]) == 0)
    assert used(m) == 1  # the member's own conversation, which was answered


# ---- tokens


def usage(server):
    admin = admin_of(server)
    return lambda: admin.get("/api/admin/ai/usage").json["data"]


def test_stopping_in_time_is_not_free(make_server, ai):
    """Tokens that the provider did not tell of count by their bytes."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_DAILY_TOKENS": "2000"})
    rows = usage(server)
    m = server.member()
    go, a, conversation, message = running(m, ai, "x" * 8000, "y" * 1000)
    m.post(f"/api/chat/conversations/{conversation}/messages/{message}/stop")
    assert events(a.raw.text)[-2]["type"] == "abort"
    go.set()
    row = wait_until(rows)[0]
    assert row["turns"] == 1 and row["outputTokens"] == 9000 // 4 and row["inputTokens"] > 50
    assert m.post("/api/chat/conversations/new/messages", {"content": "more"}).status == 429


def test_deleting_in_time_is_not_free(chat, ai):
    rows = usage(chat)
    m = chat.member()
    go, a, conversation, _ = running(m, ai, "x" * 4000, "y" * 400)
    m.delete(f"/api/chat/history?conversationId={conversation}")
    assert events(a.raw.text)[-2]["type"] == "abort"
    go.set()
    assert wait_until(rows)[0]["outputTokens"] == 1100
    assert m.post("/api/chat/conversations/new/messages", {"content": "still free"}).status == 200


def test_a_fault_costs_nobody_tokens(chat, ai):
    rows = usage(chat)
    ai.answers = [refuse(400)]
    turn(chat.member())
    ai.answers = [stream(spoken(7, 3))]
    turn(chat.member())
    row = wait_until(rows)[0]
    assert (row["turns"], row["inputTokens"], row["outputTokens"]) == (1, 7, 3)


def test_parallel_questions_share_the_ceiling(make_server, ai):
    """What is running counts with the most it may take."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_DAILY_TOKENS": "3000", "AI_MAX_TOKENS": "1000"})
    m = server.member()
    go = threading.Event()

    def answer(handler, body):
        go.wait(60)
        stream(spoken(10, 900))(handler, body)
    ai.answers = [answer]

    def ask(_):
        return Client(server, token=m.token).call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    with ThreadPoolExecutor(5) as pool:
        got = list(pool.map(ask, range(5)))
    assert sorted(a.status for a in got) == [200] * 3 + [429] * 2
    assert all('"ai-tokens"' in a.headers["RateLimit"] and int(a.headers["Retry-After"]) <= 300 for a in got if a.status == 429)
    go.set()
    assert all(events(a.raw.text)[-1] == "[DONE]" for a in got if a.status == 200)


# ---- what is over


def test_days_that_are_over_leave_nothing(chat, ai):
    turn(chat.client())
    assert sql(chat, "SELECT count(*) FROM ai_quota_period")[0][0] == 1
    chat.clock("+9 days")
    wait_until(lambda: int(sql(chat, "SELECT count(*) FROM ai_quota_period")[0][0]) == 0)
