"""A server that dies in the middle of answers; another one on the same database; forty at once, again and again."""
import threading
from concurrent.futures import ThreadPoolExecutor

from ai_double import say, stream
from harness import Client, wait_until
from test_turns import events, ids, text_of, turn


def begin(c, ai, words, text="Hi"):
    """An answer of which `words` came, or nothing at all; the event that would let it go on."""
    go = threading.Event()
    ai.answers = [stream(say(*words, finish="stop"), wait=go)] if words else [held(go)]
    a = c.call("POST", "/api/chat/conversations/new/messages", {"content": text}, stream=True)
    conversation = wait_until(lambda: c.get("/api/chat/history").json["data"])[0]["id"]
    url = f"/api/chat/history?conversationId={conversation}"
    wait_until(lambda: c.get(url).json["messages"][-1]["content"] == "".join(words))
    return go, a, conversation, c.get(url).json["messages"][-1]["id"]


def held(go):
    def answer(handler, _):
        go.wait(60)
        handler.close_connection = True
    return answer


def test_killed_while_answering(make_server, ai):
    """The part is stored and can be read on, on the restarted server and on another one; what had no word yet is given
    back; both end as interrupted and the conversations go on."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"})
    a, b = server.member(), server.member()
    go_a, _, one, answer = begin(a, ai, ["one ", "two"])
    go_b, _, two, _ = begin(b, ai, [])
    assert b.entitlements()["ai"]["used"] == 1
    other = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"}, share=server)
    elsewhere = Client(other, token=a.token)
    path = f"/api/chat/conversations/{one}/messages/{answer}/stream"
    live = elsewhere.call("GET", path, stream=True)  # follows what the first one writes
    server.kill()
    go_a.set()
    go_b.set()
    server.start()
    followed = events(live.text)
    assert text_of(followed) == "one two" and followed[-2]["type"] == "error"
    for c in (a, elsewhere):
        got = events(c.get(path).text)
        assert text_of(got) == "one two" and got[-2]["type"] == "error", got
        rest = events(c.get(path, headers={"Last-Event-ID": f"{answer}:9"}).text)
        assert text_of(rest) == "two"
        last = c.get(f"/api/chat/history?conversationId={one}").json["messages"][-1]
        assert (last["content"], last["status"], last["stop"]) == ("one two", "interrupted", "interrupted")
    ai.answers = [stream(say("fine"))]
    assert text_of(turn(a, "And?", one)) == "fine" and a.entitlements()["ai"]["used"] == 1
    url = f"/api/chat/history?conversationId={two}"
    wait_until(lambda: b.get(url).json["messages"][-1]["status"] == "interrupted")
    assert text_of(turn(b, "Are you there?", two)) == "fine"  # takes the slot that was given back
    assert b.entitlements()["ai"]["used"] == 1
    assert [x["status"] for x in b.get(url).json["messages"]] == [
        "complete", "interrupted", "complete", "complete"]


def test_nobody_waits_for_the_lease_of_a_dead_process(make_server, ai):
    """The next question after a kill is answered at once."""
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"})
    m = server.member()
    go, _, one, _ = begin(m, ai, ["one ", "two"])
    assert m.post(f"/api/chat/conversations/{one}/messages", {"content": "And?"}).status == 409
    server.kill()
    go.set()
    server.start()
    ai.answers = [stream(say("fine"))]
    assert text_of(turn(m, "And?", one)) == "fine"
    assert [x["status"] for x in m.get(f"/api/chat/history?conversationId={one}").json["messages"]] == [
        "complete", "interrupted", "complete", "complete"]


def test_the_job_gives_back_what_a_crash_took(make_server, ai):
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"})
    v = server.client()
    go, _, one, _ = begin(v, ai, [])
    assert v.entitlements()["ai"]["used"] == 1
    server.kill()
    go.set()
    server.start()
    url = f"/api/chat/history?conversationId={one}"
    wait_until(lambda: v.get(url).json["messages"][-1]["status"] == "interrupted")
    server.clock("+2 minutes")
    wait_until(lambda: v.entitlements()["ai"]["used"] == 0)


def test_stopped_on_another_server(make_server, ai):
    server = make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"})
    m = server.member()
    go, a, one, answer = begin(m, ai, ["one ", "two"])
    other = Client(make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "m"}, share=server), token=m.token)
    assert other.post(f"/api/chat/conversations/{one}/messages/{answer}/stop").status == 202
    assert events(a.raw.text)[-2]["type"] == "abort"
    assert other.get(f"/api/chat/history?conversationId={one}").json["messages"][-1]["status"] == "cancelled"
    go.set()


def test_forty_at_once_twenty_times(chat, ai):
    """Exactly five of forty parallel first messages, for twenty members."""
    def first(c):
        return c.post("/api/chat/conversations/new/messages", {"content": "Hi"}).status

    with ThreadPoolExecutor(40) as pool:
        for _ in range(20):
            m = chat.member()
            clients = [Client(chat, token=m.token) for _ in range(40)]
            got = sorted(pool.map(first, clients))
            assert got == [200] * 5 + [429] * 35
            assert len(m.get("/api/chat/history").json["data"]) == 5 and m.entitlements()["ai"]["used"] == 5
            for c in clients:
                c.session.close()


def test_a_network_is_counted_too(chat, ai):
    """Visitors of one address: five each, twenty a day together."""
    got = []
    for _ in range(5):
        v = chat.client()
        got += [v.post("/api/chat/conversations/new/messages", {"content": "Hi"}).status for _ in range(5)]
    assert got == [200] * 20 + [429] * 5
    m = chat.member()
    assert len(ids(turn(m))) == 2
