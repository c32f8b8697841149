"""Every kind of answer that we stream, as npm's `ai` reads it: each chunk by its schema, the whole by its reader."""
import json
import pathlib
import threading

import pytest
from ai_double import cut, refuse, say, stream
from harness import Client, wait_until
from harness.node import node

DATA = pathlib.Path(__file__).parents[1] / "data" / "ai"
CASES = json.loads((DATA / "expected.json").read_text())["cases"]
WHOLE = {"complete", "length", "refused"}


def ask(c, text="Hi", conversation="new", **kw):
    a = c.call("POST", f"/api/chat/conversations/{conversation}/messages", {"content": text}, **kw)
    assert a.status == 200, a
    return a


def said(result):
    parts = result["message"]["parts"] if result["message"] else []
    return "".join(p["text"] for p in parts if p["type"] == "text")


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_all_streams_of_the_data(make_server, ai, dialect):
    """Byte by byte, and cut in the middle: text, ending and tokens of expected.json; the SDK reads each."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m", "AI_DIALECT": dialect, "AI_FREE_UNIT": "message"})
    texts, cases = [], [c for c in CASES if c["dialect"] == dialect]
    for case in cases:
        raw = (DATA / case["file"]).read_bytes()
        for where in (range(1, len(raw)), [len(raw) // 3, len(raw) // 2], []):
            m = server.member()
            ai.answers = [stream(cut(raw, where))]
            a = ask(m)
            start = next(json.loads(line[6:]) for line in a.text.split("\n") if line.startswith("data: {"))
            one = m.get(f"/api/chat/history?conversationId={start['messageMetadata']['conversationId']}").json
            last = one["messages"][-1]
            assert (last["content"], last["stop"], last["status"]) == (case["text"], case["stop"], case["stop"]), case
            texts.append(a.text)
    results = node("ui_stream.js", {"streams": texts})["streams"]
    for i, r in enumerate(results):
        case = cases[i // 3]
        assert r["bad"] == [], (case, r)
        assert said(r) == case["text"], (case, r)
        assert (r["error"] is None) == (case["stop"] in WHOLE), (case, r)
        assert r["types"][-1] == ("finish" if case["stop"] in WHOLE else "error"), (case, r)


def test_stop_error_resume_and_crisis(chat, ai):
    texts = {}
    m = chat.member()
    texts["plain"] = ask(m).text
    ai.answers = [refuse(400)]
    texts["error"] = ask(m).text
    ai.answers = [stream(say("Are you ", "safe?"))]
    texts["crisis"] = ask(m, "I want to kill myself").text
    start = json.loads(texts["crisis"].split("data: ")[1].split("\n")[0])
    url = f"/api/chat/conversations/{start['messageMetadata']['conversationId']}/messages/{start['messageId']}"
    texts["crisis again"] = m.get(url + "/stream").text
    go = threading.Event()
    ai.answers = [stream(say("one ", "two"), wait=go)]
    a = ask(m, stream=True)
    one = wait_until(lambda: [c for c in m.get("/api/chat/history").json["data"] if c["title"] == "Hi"])[0]["id"]
    last = wait_until(lambda: [x for x in m.get(f"/api/chat/history?conversationId={one}").json["messages"]
                               if x["content"] == "one two"])[0]
    url = f"/api/chat/conversations/{one}/messages/{last['id']}"
    follower = Client(chat, token=m.token).call("GET", url + "/stream", stream=True)
    assert m.post(url + "/stop").status == 202
    texts["stopped"], texts["followed"] = a.text, follower.text
    go.set()
    got = dict(zip(texts, node("ui_stream.js", {"streams": list(texts.values())})["streams"]))
    assert all(r["bad"] == [] for r in got.values()), got
    assert said(got["plain"]) == "Hello there" and got["plain"]["error"] is None
    assert got["error"]["error"] == "The assistant stopped early. You can try again."
    assert said(got["stopped"]) == said(got["followed"]) == "one two"
    assert got["stopped"]["types"][-1] == got["followed"]["types"][-1] == "abort"
    for name in ("crisis", "crisis again"):  # before the answer, and a part of the message: it stays beside it
        types = got[name]["types"]
        assert types.index("data-crisis") < types.index("text-start")
        parts = [p for p in got[name]["message"]["parts"] if p["type"] == "data-crisis"]
        assert len(parts) == 1 and parts[0]["data"]["url"] == "https://findahelpline.com"
        assert said(got[name]) == "Are you safe?"


def test_the_sdks_own_transport(chat, ai):
    m = chat.member()
    base = f"{chat.base}/api/chat/conversations"
    got = node("ui_stream.js", {"live": {
        "api": f"{base}/new/messages", "resume": f"{base}/{{conversation}}/messages/{{id}}/stream",
        "headers": {"Authorization": f"Bearer {m.token}"}, "text": "Hello"}})
    assert got["live"]["error"] is None and got["resumed"]["error"] is None, got
    assert said(got["live"]) == said(got["resumed"]) == "Hello there"
    assert got["live"]["message"]["id"] == got["resumed"]["message"]["id"]
