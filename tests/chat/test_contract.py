"""What the contract says beside the plain turn: ids, titles, safety, money, and providers that misbehave."""
import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ai_double import head, refuse, say, stream
from harness import Client, wait_until
from test_turns import events, ids, text_of, turn

EXAMPLE = Path(__file__).parents[2] / "catalog.json"
KEY = "key-of-the-tests"


def last_of(c, conversation):
    return c.get(f"/api/chat/history?conversationId={conversation}").json["messages"][-1]


def kinds(list_):
    return [e if e == "[DONE]" else e["type"] for e in list_]


def data_of(list_, kind):
    return [e["data"] for e in list_ if e != "[DONE]" and e["type"] == kind]


# ---- ids


def test_an_id_that_a_client_chose_is_its_own_affair(chat, ai):
    a, b = chat.member(), chat.member()
    first, other = turn(a, "Hi", id="u1"), turn(b, "Hi", id="u1")
    assert ids(first)[0] != ids(other)[0] and len(ai.turns) == 2
    assert a.get(f"/api/chat/history?conversationId={ids(other)[0]}").status == 404
    # "new" once more with the same id and words is the same answer, with other words a mistake
    again = turn(a, "Hi", id="u1")
    assert ids(again) == ids(first) and len(ai.turns) == 2
    assert a.post("/api/chat/conversations/new/messages", {"content": "Ho", "id": "u1"}).status == 409
    # in another conversation of one's own it is free
    mine = a.post("/api/chat/conversations").json["id"]
    assert ids(turn(a, "Ho", mine, id="u1"))[0] == mine


def test_new_with_one_id_at_once_is_one_conversation(chat, ai):
    m = chat.member()

    def ask(_):
        c = Client(chat, token=m.token)
        return c.post("/api/chat/conversations/new/messages", {"content": "Hi", "id": "once"})
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, range(8)))
    assert {a.status for a in got} == {200}, got
    assert len({ids(events(a.text)) for a in got}) == 1
    assert len(m.get("/api/chat/history").json["data"]) == 1 and m.entitlements()["ai"]["used"] == 1


def test_parents_stay_in_their_conversation(chat, ai):
    m = chat.member()
    one, two = ids(turn(m))[0], ids(turn(m))[0]
    theirs = last_of(m, two)["id"]
    url = f"/api/chat/conversations/{one}/messages"
    assert m.post(url, {"content": "Hi", "parentId": theirs}).status == 409
    assert m.get(f"{url}?leaf={theirs}").status == 404 and m.get(f"{url}?before={theirs}").status == 404
    assert m.get(f"{url}/{theirs}/stream").status == 404 and m.post(f"{url}/{theirs}/stop").status == 404
    # a branch: another question below the first answer
    answers = m.get(url).json["messages"]
    turn(m, "left", one)
    turn(m, "right", one, parentId=answers[1]["id"])
    path = [x["content"] for x in m.get(url).json["messages"]]
    assert path == ["Hi", "Hello there", "right", "Hello there"]


def test_the_sdks_regenerate_adds_an_answer(chat, ai):
    m = chat.member()
    body = {"trigger": "submit-message", "messages": [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}
    first = events(m.post("/api/chat/conversations/new/messages", body).text)
    ai.answers = [stream(say("Another"))]
    url = f"/api/chat/conversations/{ids(first)[0]}/messages"
    again = events(m.post(url, {**body, "trigger": "regenerate-message"}).text)
    assert text_of(again) == "Another" and ids(again)[1] != ids(first)[1]
    assert [x["content"] for x in m.get(url).json["messages"]] == ["Hello", "Another"]


# ---- titles


def test_the_title_is_the_first_sixty_characters(chat, ai):
    m = chat.member()
    words = "Ünïcödé wörds and more of them,\nwithout an end in sight, " * 3
    flat = words.replace("\n", " ")
    ai.answers = [stream(say("ok", finish="length"))]  # no job for a better title
    turn(m, words)
    made = m.post("/api/chat/conversations").json
    assert made["title"] == "New conversation"
    turn(m, "Hello you", made["id"])
    titles = [c["title"] for c in m.get("/api/chat/history").json["data"]]
    assert titles == ["Hello you", flat[:60].strip()]


# ---- safety


def test_help_lines_of_ones_own(make_server, ai, tmp_path):
    catalog = json.loads(EXAMPLE.read_text())
    catalog["safety"] = {"helpLines": [{"country": "AT", "name": "Die Eigene", "phone": "0123"},
                                       {"country": "", "name": "Anywhere", "url": "https://help.example"}]}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog))
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "CATALOG": str(path)})
    said = {"content": "Ich will nicht mehr leben"}
    for locale, name in (("de-AT,de;q=0.9", "Die Eigene"), ("zh-Hans-AT", "Die Eigene"), ("de", "Anywhere"),
                         ("en-US", "Anywhere"), (None, "Anywhere")):
        c = server.client(headers={"Accept-Language": locale} if locale else {})
        got = events(c.post("/api/chat/conversations/new/messages", said).text)
        assert [x["name"] for x in data_of(got, "data-crisis")] == [name], locale
        # who comes back sees it again, before the answer
        conversation, message = ids(got)
        again = events(c.get(f"/api/chat/conversations/{conversation}/messages/{message}/stream").text)
        assert data_of(again, "data-crisis") == data_of(got, "data-crisis")
        assert kinds(again).index("data-crisis") < kinds(again).index("text-start")
    assert "tighten" not in ai.turns[0]["body"]["messages"][0]["content"]
    assert "in danger" in ai.turns[0]["body"]["messages"][0]["content"]


def test_item_nine_of_a_questionnaire(chat, ai):
    m = chat.member()
    assert data_of(turn(m, "My answers", phq9Item9=0), "data-crisis") == []
    assert len(data_of(turn(m, "My answers", phq9Item9=1), "data-crisis")) == 1
    assert m.post("/api/chat/conversations/new/messages", {"content": "x", "phq9Item9": 4}).status == 422


def test_help_where_there_is_no_answer(make_server, chat, ai):
    """No AI, a refused key, an answer that still runs: the line is in the problem."""
    said, us = {"content": "I want to die"}, {"Accept-Language": "en-US"}
    new = "/api/chat/conversations/new/messages"
    without = make_server().client(headers=us).post(new, said)
    assert (without.status, without.json["crisis"]["phone"]) == (503, "988")
    m = chat.member()
    go, a, conversation, _ = running(m, ai, "one ", "two")
    still = m.post(f"/api/chat/conversations/{conversation}/messages", said)
    assert still.status == 409 and still.json["crisis"]["url"] == "https://findahelpline.com" and still.json["messageId"]
    assert "crisis" not in m.post(f"/api/chat/conversations/{conversation}/messages", {"content": "Hi"}).json
    go.set()
    assert a.raw.text
    ai.answers = [refuse(401)]
    turn(m)
    paused = m.post(new, {"content": "My answers", "phq9Item9": 2}, headers=us)
    assert paused.status == 503 and paused.json["crisis"]["country"] == "US"
    assert "crisis" not in m.post(new, {"content": "Hi"}).json


def test_a_key_that_a_title_is_refused_for_pauses_too(chat, ai):
    ai.title = refuse(401)
    m = chat.member()
    assert text_of(turn(m)) == "Hello there"
    wait_until(lambda: "ai.key_refused" in chat.process.output())
    assert m.post("/api/chat/conversations/new/messages", {"content": "Hi"}).status == 503


def test_that_it_is_an_ai_is_said_every_three_hours(chat, ai):
    m = chat.member()
    first = turn(m)
    conversation = ids(first)[0]
    assert len(data_of(first, "data-notice")) == 1
    assert data_of(turn(m, "more", conversation), "data-notice") == []
    chat.clock("+3 hours")
    assert len(data_of(turn(m, "more", conversation), "data-notice")) == 1


# ---- money


def spoken(input_tokens, output_tokens):
    usage = {"choices": [], "usage": {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": 9}}
    parts = say("Hello")
    return [parts[0], f"data: {json.dumps(usage)}\n\n".encode(), parts[1]]


def admin_of(server):
    email = f"admin{time.monotonic_ns()}@example.com"
    c = server.member(email)
    server.cli("admin", "create", email)
    return c


def test_cost_by_the_price_of_the_day(make_server, ai, tmp_path):
    catalog = json.loads(EXAMPLE.read_text())
    assert catalog["ai"]["models"], "the example shows how prices are written"
    now = time.gmtime()
    catalog["ai"]["models"] = {"m": [
        {"from": "2020-01-01", "inputPerMillion": 100, "outputPerMillion": 400, "comment": "old"},
        {"from": time.strftime("%Y-%m-%d", now), "inputPerMillion": 1000, "outputPerMillion": 3000},
        {"from": "2999-01-01", "inputPerMillion": 9, "outputPerMillion": 9}]}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog))
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "CATALOG": str(path)})
    ai.answers = [stream(spoken(2_000_000, 500_000))]
    turn(server.member())
    admin = admin_of(server)
    wait_until(lambda: admin.get("/api/admin/ai/usage").json["data"])
    row = admin.get("/api/admin/ai/usage").json["data"][0]
    assert (row["turns"], row["inputTokens"], row["outputTokens"], row["cost"]) == (1, 2_000_000, 500_000, 2000 + 1500)
    assert admin.get("/api/admin/ai/usage").json["currency"] == "usd"
    bad = dict(catalog, ai={**catalog["ai"], "models": {"m": {"from": "May", "inputPerMillion": -1}}})
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(bad))
    out = server.run("doctor", env={"CATALOG": str(wrong)}, ok=False)
    assert "/ai/models/m/from" in out.stdout + out.stderr and "/ai/models/m/outputPerMillion" in out.stdout + out.stderr


def test_a_ceiling_of_tokens(make_server, ai):
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_DAILY_TOKENS": "1000"})
    ai.answers = [stream(spoken(900, 100))]
    m = server.member()
    conversation = ids(turn(m))[0]
    a = m.post(f"/api/chat/conversations/{conversation}/messages", {"content": "more"})
    assert a.status == 429 and a.headers["RateLimit-Policy"] == '"ai-tokens";q=1000;w=86400', a.headers
    assert a.headers["RateLimit"].startswith('"ai-tokens";r=0;t=')
    turn(m, "I want to die", conversation)  # never refused


def test_the_older_name_of_max_tokens(make_server, ai):
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_MAX_TOKENS_FIELD": "max_tokens"})
    turn(server.member())
    body = ai.turns[0]["body"]
    assert body["max_tokens"] == 1024 and "max_completion_tokens" not in body
    assert "Authorization" not in ai.turns[0]["headers"]  # a server of one's own needs no key


# ---- retries


@pytest.mark.parametrize("first, tries", [
    (refuse(503), 2), (refuse(429, retry_after="0"), 2), (refuse(409, retry_after_ms="1"), 2), (refuse(529), 2),
    (refuse(503, retry_after="3600"), 1), (refuse(503, x_should_retry="false"), 1), (refuse(400, x_should_retry="true"), 1),
    (refuse(404), 1), (refuse(302, Location="/elsewhere"), 1),
    (refuse(429, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT"), 2),
], ids=["503", "429-now", "409", "529", "too-long", "told-not-to", "never-400", "404", "redirect", "date"])
def test_retries(chat, ai, first, tries):
    ai.answers = [first, stream(say("ok"))]
    m = chat.member()
    got = turn(m)
    assert len(ai.turns) == tries and text_of(got) == ("ok" if tries == 2 else "")
    # nothing came by no fault of the member's: given back, and the browser hears of it
    assert m.entitlements()["ai"]["used"] == (1 if tries == 2 else 0)
    assert data_of(got, "data-quota")[-1]["remaining"] == (4 if tries == 2 else 5)


# ---- providers that misbehave


def raw(*parts, hold=None):
    """Bytes as they are, without a status line of the double's; then holds the connection until `hold` is set."""
    def answer(handler, _):
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
        if hold:
            hold.wait(60)
        handler.close_connection = True
    return answer


def endless(part, gap, stop, first=()):
    def answer(handler, _):
        head(handler)
        for p in first:
            handler.wfile.write(p)
        while not stop.is_set():
            handler.wfile.write(part)
            handler.wfile.flush()
            if gap:
                time.sleep(gap)
    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WORD = say("word ", finish=None)[0]


def test_providers_that_misbehave(make_server, ai):
    """Each ends as the contract says, in bounded time, keeps what came, and no secret or foreign word gets out."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_API_KEY": KEY, "AI_FREE_UNIT": "message",
                              "AI_FIRST_EVENT_SECONDS": "1", "AI_SILENCE_SECONDS": "1", "AI_ANSWER_SECONDS": "3"})
    stop = threading.Event()
    cases = {
        "garbage": (raw(b"\x00\xff\xfe nonsense\r\n\r\n"), "error", ""),
        "html": (raw(OK, b"<html>secret words</html>\n\n"), "error", ""),
        "an error that is no stream": (raw(OK, b'{"error":{"message":"secret words"}}'), "error", ""),
        "packed": (raw(OK.replace(b"event-stream", b"event-stream\r\nContent-Encoding: gzip"), gzip.compress(WORD)), "error", ""),
        "nothing to say": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "interrupted", ""),
        "half an emoji": (raw(OK, b'data: {"choices":[{"delta":{"content":"\\ud83c"}}]}\n\n'
                              b'data: {"choices":[{"delta":{"content":"\\udf31"},"finish_reason":"stop"}]}\n\n'), "complete", "\U0001f331"),
        "bad JSON": (raw(OK, WORD, b"data: {secret words\n\n"), "error", "word "),
        "not UTF-8": (raw(OK, WORD, b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n'), "error", "word "),
        "a huge line": (raw(OK, WORD, b"data: " + b"x" * (1 << 20) + b"yz\n\n"), "error", "word "),
        "cut": (raw(OK, WORD), "interrupted", "word "),
        "cut in an event": (raw(OK, WORD, b'data: {"choices":[{"delta":{"con'), "interrupted", "word "),
        "comments for ever": (endless(b": still here\n\n", .05, stop), "interrupted", ""),
        "silence": (raw(OK, WORD, hold=stop), "interrupted", "word "),
        "comments behind a word": (endless(b": still here\n\n", .05, stop, [WORD]), "interrupted", "word "),
        "words for ever": (endless(WORD, .05, stop), "interrupted", None),
        "a flood": (endless(say("x" * 10000, finish=None)[0] * 10, 0, stop), "length", None),
        "an endless refusal": (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"secret words " * 20000, hold=stop), "error", ""),
        "an event of error": (raw(OK, WORD, b'data: {"error":{"message":"secret words"}}\n\n'), "error", "word "),
    }
    m = server.member()
    for i, (name, (answer, how, text)) in enumerate(cases.items()):
        m = m if i % 4 else server.member()
        ai.answers = [answer]
        a = m.post("/api/chat/conversations/new/messages", {"content": "Hi"})
        got = events(a.text)
        last = last_of(m, ids(got)[0])
        assert last["status"] == how, (name, last["status"], a.text[-300:])
        assert text is None or last["content"] == text, name
        assert last["content"] == text_of(got) and len(last["content"]) <= 1 << 20, name
        assert "secret" not in a.text, name
    # headers that never end: no answer in time, tried no longer than a whole answer may take
    ai.answers = [raw(b"HTTP/1.1 200 OK\r\nX: ", hold=stop)]
    got = turn(server.member())
    assert kinds(got)[-2:] == ["error", "[DONE]"]
    stop.set()
    assert KEY not in server.process.output() and "secret words" not in server.process.output()


def test_nobody_there(make_server):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = make_server(env={"AI_BASE_URL": f"http://127.0.0.1:{port}/v1", "AI_MODEL": "m", "AI_API_KEY": KEY})
    m = server.member()
    got = turn(m)
    assert kinds(got)[-2] == "error" and m.entitlements()["ai"]["used"] == 0
    assert KEY not in server.process.output()


def test_the_providers_id_of_a_failure_is_logged(chat, ai):
    ai.answers = [refuse(400, request_id="req_of_theirs")]
    turn(chat.member())
    wait_until(lambda: "req_of_theirs" in chat.process.output())


# ---- while it is written


def running(c, ai, *words):
    go = threading.Event()
    ai.answers = [stream(say(*words), wait=go)]
    a = c.call("POST", "/api/chat/conversations/new/messages", {"content": "Hi"}, stream=True)
    conversation = wait_until(lambda: c.get("/api/chat/history").json["data"])[0]["id"]
    wait_until(lambda: last_of(c, conversation)["content"] == "".join(words))
    return go, a, conversation, last_of(c, conversation)["id"]


def test_strangers_change_nothing(chat, ai):
    m, other = chat.member(), chat.member()
    go, a, conversation, message = running(m, ai, "one ", "two")
    url = f"/api/chat/conversations/{conversation}/messages/{message}"
    for c in (other, chat.client()):
        assert c.post(url + "/stop").status == 404 and c.get(url + "/stream").status == 404
        assert c.delete(f"/api/chat/history?conversationId={conversation}").status == 404
        assert c.post(f"/api/chat/conversations/{conversation}/messages", {"content": "x"}).status == 404
    go.set()
    assert text_of(events(a.raw.text)) == "one two"
    assert m.post(url + "/stop").json["stopping"] is False
    assert last_of(m, conversation)["status"] == "complete"


def test_deleting_stops_the_answer(chat, ai):
    m = chat.member()
    go, a, conversation, message = running(m, ai, "one ", "two")
    assert m.delete(f"/api/chat/history?conversationId={conversation}").json == {"deleted": 1}
    assert kinds(events(a.raw.text))[-2:] == ["abort", "[DONE]"]
    assert m.get(f"/api/chat/conversations/{conversation}/messages/{message}/stream").status == 404
    go.set()
    go, a, conversation, message = running(m, ai, "three ", "four")
    assert m.delete("/api/chat/history?all=true").json == {"deleted": 1}
    assert kinds(events(a.raw.text))[-2:] == ["abort", "[DONE]"]
    go.set()


@pytest.mark.parametrize("given", ["garbage", "x:1", "{id}:", "{id}:-5", "{id}:99999999999999999999", "{id}:9e9",
                                   "{id}:1000000", "{id}:7", "{id}:0", ":", "{id}:5:5"])
def test_odd_places_to_go_on_from(chat, ai, given):
    m = chat.member()
    ai.answers = [stream(say("Grüß dich ", "🌱 there"))]
    got = turn(m)
    conversation, message = ids(got)
    url = f"/api/chat/conversations/{conversation}/messages/{message}/stream"
    a = m.get(url, headers={"Last-Event-ID": given.replace("{id}", message)})
    assert a.status == 200 and events(a.text)[-1] == "[DONE]"
    assert "Grüß dich 🌱 there".endswith(text_of(events(a.text)))


def test_every_place_to_go_on_from(chat, ai):
    """Whatever id was the last that came: what is behind it, and nothing twice."""
    m = chat.member()
    ai.answers = [stream(say("Grüß ", "dich ", "🌱"))]
    a = m.post("/api/chat/conversations/new/messages", {"content": "I want to die"})
    blocks = [b.split("\n") for b in a.text.strip().split("\n\n")]
    conversation, message = ids(events(a.text))
    url = f"/api/chat/conversations/{conversation}/messages/{message}/stream"
    seen = ""
    for i, block in enumerate(b for b in blocks if b[0].startswith("id: ")):
        event = json.loads(block[1][6:])
        seen += event.get("delta", "") if event["type"] == "text-delta" else ""
        rest = events(m.get(url, headers={"Last-Event-ID": block[0][4:]}).text)
        assert seen + text_of(rest) == "Grüß dich 🌱", block
        types = [json.loads(b[1][6:])["type"] for b in blocks if b[0].startswith("id: ")]
        assert set(kinds(rest)) - {"text-delta", "[DONE]"} == set(types[i + 1:]) - {"text-delta"}, block


# ---- bad input


@pytest.mark.parametrize("body, pointer", [
    ({}, "/content"), ({"content": ""}, "/content"), ({"content": 7}, "/content"), ({"content": "x" * 32001}, "/content"),
    ({"content": "x", "id": ""}, "/id"), ({"content": "x", "id": "a\nb"}, "/id"), ({"content": "x", "id": "y" * 101}, "/id"),
    ({"content": "x", "parentId": 5}, "/parentId"), ({"messages": []}, "/messages"), ({"messages": ["x"]}, "/messages"),
    ({"messages": [{"role": "assistant", "parts": [{"type": "text", "text": "x"}]}]}, "/messages"),
    ({"messages": [{"role": "user", "parts": []}]}, "/messages"),
    ({"messages": [{"role": "user", "id": "a\rb", "content": "x"}]}, "/messages/-/id"),
])
def test_bad_input(chat, ai, body, pointer):
    m = chat.member()
    a = m.post("/api/chat/conversations/new/messages", body)
    assert a.status == 422 and a.json["errors"][0]["pointer"] == pointer, a
    assert m.get("/api/chat/history").json["data"] == [] and ai.turns == [] and m.entitlements()["ai"]["used"] == 0
