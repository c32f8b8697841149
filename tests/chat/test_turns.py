"""Turns: streamed, saved, resumed, stopped, counted."""
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ai_double import refuse, say, stream
from harness import wait_until


def events(text):
    """The data of each event; the last is [DONE]."""
    out = []
    for block in text.split("\n\n"):
        data = [line[6:] for line in block.split("\n") if line.startswith("data: ")]
        if data:
            out.append(data[0] if data[0] == "[DONE]" else json.loads(data[0]))
    return out


def text_of(list_):
    return "".join(e["delta"] for e in list_ if e != "[DONE]" and e["type"] == "text-delta")


def turn(c, content="Hi", conversation="new", **more):
    a = c.post(f"/api/chat/conversations/{conversation}/messages", {"content": content, **more})
    assert a.status == 200, a
    return events(a.text)


def ids(list_):
    return list_[0]["messageMetadata"]["conversationId"], list_[0]["messageId"]


def test_a_turn(chat, ai):
    m = chat.member()
    got = turn(m, "I sleep badly")
    types = [e if e == "[DONE]" else e["type"] for e in got if e == "[DONE]" or not e["type"].startswith("data-")]
    # words that arrive together may leave in one delta
    once = [t for i, t in enumerate(types) if i == 0 or (t, types[i - 1]) != ("text-delta", "text-delta")]
    assert once == ["start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish", "[DONE]"]
    assert text_of(got) == "Hello there" and got[-1] == "[DONE]" and got[-2]["type"] == "finish"
    assert any(e != "[DONE]" and e["type"] == "data-notice" for e in got)
    quota = [e for e in got if e != "[DONE]" and e["type"] == "data-quota"]
    assert quota and quota[0]["data"]["remaining"] == 4
    conversation, message = ids(got)
    messages = m.get(f"/api/chat/history?conversationId={conversation}").json["messages"]
    assert [(x["role"], x["content"], x["status"]) for x in messages] == [
        ("user", "I sleep badly", "complete"), ("assistant", "Hello there", "complete")]
    sent = ai.turns[0]
    assert sent["headers"]["Authorization"] == "Bearer key-of-the-tests"
    assert sent["body"]["messages"][-1] == {"role": "user", "content": "I sleep badly"}
    assert m.entitlements()["ai"]["used"] == 1
    # the second turn of the conversation is free, and carries the first
    turn(m, "And now?", conversation)
    assert m.entitlements()["ai"]["used"] == 1
    assert [x["role"] for x in ai.turns[1]["body"]["messages"]] == ["system", "user", "assistant", "user"]
    wait_until(lambda: m.get(f"/api/chat/history?conversationId={conversation}").json["title"] == "A better title")


def test_resume_and_replay(chat, ai):
    m = chat.member()
    got = turn(m)
    conversation, message = ids(got)
    url = f"/api/chat/conversations/{conversation}/messages/{message}/stream"
    assert text_of(events(m.get(url).text)) == "Hello there"
    half = events(m.get(url, headers={"Last-Event-ID": f"{message}:{5 + len('Hello')}"}).text)
    assert text_of(half) == " there" and half[-1] == "[DONE]"
    assert chat.member().get(url).status == 404


def test_a_lost_browser_does_not_stop_the_answer(chat, ai):
    go = threading.Event()
    ai.answers = [stream(say("one ", "two ", "three"), wait=go)]
    m = chat.member()
    a = m.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    first = next(a.raw.iter_lines())
    a.raw.close()
    go.set()
    conversation = m.get("/api/chat/history").json["data"][0]["id"]

    def done():
        x = m.get(f"/api/chat/history?conversationId={conversation}").json["messages"]
        return len(x) == 2 and x[1]["status"] == "complete" and x[1]["content"] == "one two three"
    wait_until(done)
    assert first


def test_stop_keeps_the_part(chat, ai):
    go = threading.Event()
    ai.answers = [stream(say("one ", "two"), wait=go)]
    m = chat.member()
    a = m.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    conversation = wait_until(lambda: m.get("/api/chat/history").json["data"])[0]["id"]
    wait_until(lambda: m.get(f"/api/chat/history?conversationId={conversation}").json["messages"][-1]["content"] == "one two")
    message = m.get(f"/api/chat/history?conversationId={conversation}").json["messages"][-1]["id"]
    # a second turn meanwhile is refused, and names the running one
    b = m.post(f"/api/chat/conversations/{conversation}/messages", {"content": "again"})
    assert b.status == 409 and b.code == "turn_running" and b.json["messageId"] == message, b
    assert m.post(f"/api/chat/conversations/{conversation}/messages/{message}/stop").status == 202
    got = events(a.raw.text)
    assert got[-2]["type"] == "abort"
    last = m.get(f"/api/chat/history?conversationId={conversation}").json["messages"][-1]
    assert (last["content"], last["status"]) == ("one two", "cancelled")
    go.set()


@pytest.mark.parametrize("name", ["error-midstream", "truncated", "length", "refusal", "no-done"])
def test_endings(chat, ai, name, shared):
    from pathlib import Path
    data = Path(__file__).parents[1] / "data" / "ai"
    expected = {c["file"]: c for c in json.loads((data / "expected.json").read_text())["cases"]}
    file = f"openai.{name}.sse"
    raw = (data / file).read_bytes()
    ai.answers = [stream([raw[i:i + 7] for i in range(0, len(raw), 7)])]
    m = chat.member()
    got = turn(m)
    conversation, _ = ids(got)
    last = m.get(f"/api/chat/history?conversationId={conversation}").json["messages"][-1]
    assert (last["content"], last["stop"]) == (expected[file]["text"], expected[file]["stop"])
    assert "secret words" not in json.dumps(got)


def test_retries_only_before_the_first_text(chat, ai):
    ai.answers = [refuse(503), refuse(429, retry_after_ms="10"), stream(say("ok"))]
    m = chat.member()
    assert text_of(turn(m)) == "ok" and len(ai.turns) == 3
    ai.answers = [refuse(400)]
    got = turn(m)
    assert got[-2]["type"] == "error" and len(ai.turns) == 4
    # nothing came by no fault of the member's: the day is given back
    assert m.entitlements()["ai"]["used"] == 1


def test_a_refused_key_pauses(chat, ai):
    ai.answers = [refuse(401)]
    m = chat.member()
    got = turn(m)
    assert got[-2]["type"] == "error" and "secret" not in json.dumps(got)
    assert m.post("/api/chat/conversations/new/messages", {"content": "Hi"}).status == 503
    assert "key-of-the-tests" not in chat.process.output()


def test_without_an_ai(server):
    m = server.member()
    a = m.post("/api/chat/conversations/new/messages", {"content": "Hi"})
    assert a.status == 503 and a.code == "not_configured"
    assert m.get("/api/chat/history").json["data"] == []


def test_five_a_day_under_any_concurrency(chat, ai):
    m = chat.member()
    with ThreadPoolExecutor(40) as pool:
        got = list(pool.map(lambda _: chat_first(m), range(40)))
    assert sorted(got) == [200] * 5 + [429] * 35
    a = m.post("/api/chat/conversations/new/messages", {"content": "Hi"})
    assert a.status == 429 and a.code == "quota_exceeded"
    assert a.headers["RateLimit-Policy"] == '"ai-chats";q=5;w=86400'
    assert a.headers["RateLimit"].startswith('"ai-chats";r=0;t=') and int(a.headers["Retry-After"]) > 0
    # a crisis is never refused
    got = turn(m, "I want to kill myself")
    assert any(e != "[DONE]" and e["type"] == "data-crisis" for e in got)
    chat.clock("+1 day")
    assert turn(m)[-1] == "[DONE]"


def chat_first(m):
    from harness import Client
    return Client(m.server, token=m.token).post("/api/chat/conversations/new/messages", {"content": "Hi"}).status


def test_the_same_message_id_again(chat, ai):
    m = chat.member()
    conversation = m.post("/api/chat/conversations").json["id"]
    first = turn(m, "Hi", conversation, id="mine-1")
    again = turn(m, "Hi", conversation, id="mine-1")
    assert ids(first)[1] == ids(again)[1] and text_of(again) == "Hello there" and len(ai.turns) == 1
    url = f"/api/chat/conversations/{conversation}/messages"
    assert m.post(url, {"content": "Other", "id": "mine-1"}).status == 409
    # below another message it is another one, whatever it says
    assert m.post(url, {"content": "Hi", "id": "mine-1", "parentId": ids(first)[1]}).status == 409
    below = turn(m, "Hi", conversation, id="mine-2", parentId=ids(first)[1])
    assert ids(turn(m, "Hi", conversation, id="mine-2", parentId=ids(first)[1])) == ids(below)
    assert m.post(url, {"content": "Hi", "parentId": "unknown"}).status == 409


def test_killed_in_mid_stream(chat, ai):
    go = threading.Event()
    ai.answers = [stream(say("one ", "two"), wait=go)]
    m = chat.member()
    m.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    conversation = wait_until(lambda: m.get("/api/chat/history").json["data"])[0]["id"]
    url = f"/api/chat/history?conversationId={conversation}"
    wait_until(lambda: m.get(url).json["messages"][-1]["content"] == "one two")
    message = m.get(url).json["messages"][-1]["id"]
    chat.kill()
    go.set()
    chat.start()
    got = events(m.get(f"/api/chat/conversations/{conversation}/messages/{message}/stream").text)
    assert text_of(got) == "one two" and got[-2]["type"] == "error"
    ai.answers = [stream(say("fine"))]
    assert text_of(turn(m, "And?", conversation)) == "fine"
    assert m.get(url).json["messages"][1]["status"] == "interrupted"


def test_a_stop_of_the_server_ends_the_answer_and_keeps_it(chat, ai):
    go = threading.Event()
    ai.answers = [stream(say("one ", "two"), wait=go)]
    m = chat.member()
    a = m.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    conversation = wait_until(lambda: m.get("/api/chat/history").json["data"])[0]["id"]
    url = f"/api/chat/history?conversationId={conversation}"
    wait_until(lambda: m.get(url).json["messages"][-1]["content"] == "one two")
    chat.stop()  # exit 0, although the provider would have gone on for a minute
    assert events(a.raw.text)[-2]["type"] == "error"
    go.set()
    chat.start()
    last = m.get(url).json["messages"][-1]
    assert (last["content"], last["status"]) == ("one two", "interrupted")


def test_the_sdks_shape(chat, ai):
    m = chat.member()
    a = m.post("/api/chat/conversations/new/messages", {"id": "chat-1", "trigger": "submit-message", "messages": [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "you"}]}]})
    assert a.status == 200 and a.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert ai.turns[0]["body"]["messages"][-1]["content"] == "Hello you"
