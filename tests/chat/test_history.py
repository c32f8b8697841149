"""Conversations: kept, listed, paged, deleted, moved with a claim."""
import base64
import urllib.parse

import pytest

TALK = [{"role": "user", "content": "I sleep badly, since weeks."}, {"role": "assistant", "content": "Since when?"}]


def save(c, **more):
    a = c.post("/api/chat/save", {"messages": TALK, **more})
    assert a.status == 200, a
    return a.json


def test_save_and_read(server):
    m = server.member()
    made = save(m)
    assert len(made["messageIds"]) == 2
    again = m.post("/api/chat/save", {"conversationId": made["conversationId"], "userId": "somebody", "x": 1,
                                      "messages": [{"role": "user", "content": "Since May. 🌱"}]})
    assert again.status == 200 and again.json["conversationId"] == made["conversationId"]
    a = m.get(f"/api/chat/history?conversationId={made['conversationId']}")
    assert [x["content"] for x in a.json["messages"]] == [TALK[0]["content"], "Since when?", "Since May. 🌱"]
    assert a.json["title"] == "I sleep badly, since weeks."
    assert a.json["messages"][1]["parentId"] == a.json["messages"][0]["id"]


def test_lists_are_paged(server):
    m = server.member()
    ids = [save(m, title=f"t{i}")["conversationId"] for i in range(7)]
    seen, cursor = [], ""
    while True:
        a = m.get("/api/chat/history?limit=3" + (f"&cursor={cursor}" if cursor else ""))
        seen += [c["id"] for c in a.json["data"]]
        cursor = a.json["nextCursor"]
        if not cursor:
            break
    assert sorted(seen) == sorted(ids) and len(seen) == 7
    assert m.get("/api/chat/history?limit=0").status == 422
    assert m.get("/api/chat/history?limit=101").status == 422
    assert m.get("/api/chat/history?cursor=nonsense!").status == 422


def test_paths_are_paged(server):
    m = server.member()
    one = save(m)["conversationId"]
    m.post("/api/chat/save", {"conversationId": one,
                              "messages": [{"role": "user", "content": str(i)} for i in range(10)]})
    url = f"/api/chat/conversations/{one}/messages?limit=5"
    first = m.get(url).json
    assert [x["content"] for x in first["messages"]] == ["5", "6", "7", "8", "9"]
    second = m.get(url + "&before=" + first["before"]).json
    assert [x["content"] for x in second["messages"]] == ["0", "1", "2", "3", "4"]
    third = m.get(url + "&before=" + second["before"]).json
    assert [x["content"] for x in third["messages"]] == [TALK[0]["content"], "Since when?"] and third["before"] is None


def test_nobody_elses(server):
    m, other, visitor = server.member(), server.member(), server.client()
    one = save(m)["conversationId"]
    for c in (other, visitor):
        assert c.get(f"/api/chat/history?conversationId={one}").status == 404
        assert c.delete(f"/api/chat/history?conversationId={one}").status == 404
        assert c.post("/api/chat/save", {"conversationId": one, "messages": TALK}).status == 404
        assert c.get(f"/api/chat/conversations/{one}/messages").status == 404
        assert c.get("/api/chat/history").json["data"] == []
    assert m.get(f"/api/chat/history?conversationId={one}").status == 200


def test_deleting(server):
    m = server.member()
    ids = [save(m)["conversationId"] for _ in range(3)]
    assert m.delete("/api/chat/history").status == 422
    assert m.delete(f"/api/chat/history?conversationId={ids[0]}").json == {"deleted": 1}
    assert m.delete(f"/api/chat/history?conversationId={ids[0]}").status == 404
    assert m.delete("/api/chat/history?all=true").json == {"deleted": 2}
    assert m.get("/api/chat/history").json["data"] == []


def test_title_search_export(server):
    m = server.member()
    one = save(m)["conversationId"]
    assert m.patch(f"/api/chat/conversations/{one}", {"title": "Nights"}).json["title"] == "Nights"
    hits = m.get("/api/chat/search?q=SLEEP").json["data"]
    assert len(hits) == 1 and hits[0]["conversationId"] == one
    assert m.get("/api/chat/search?q=elephant").json["data"] == []
    export = m.get("/api/chat/export").json["conversations"]
    assert [len(c["messages"]) for c in export] == [2]
    assert server.client().get("/api/chat/search?q=sleep").json["data"] == []


@pytest.mark.parametrize("body, pointer", [
    ({}, "/messages"),
    ({"messages": []}, "/messages"),
    ({"messages": [{"role": "king", "content": "x"}]}, "/messages/0/role"),
    ({"messages": [{"role": "user", "content": 7}]}, "/messages/0/content"),
    ({"messages": [{"role": "user", "content": "x" * 32001}]}, "/messages/0/content"),
    ({"messages": [{"role": "user", "content": "x"}] * 201}, "/messages"),
    ({"messages": TALK, "title": "a\u0007b"}, "/title"),
    ({"messages": TALK, "context": 7}, "/context"),
])
def test_bad_input(server, body, pointer):
    m = server.member()
    a = m.post("/api/chat/save", body)
    assert a.status == 422 and a.json["errors"][0]["pointer"] == pointer, a
    assert m.get("/api/chat/history").json["data"] == []


def test_a_visitors_conversations_move_with_the_claim(server):
    v = server.client()
    one = save(v)["conversationId"]
    a = v.post("/api/auth/register", {"email": "v@example.com", "password": "correct horse battery 9"})
    assert a.status in (200, 201), a
    assert v.get(f"/api/chat/history?conversationId={one}").status == 200
    assert server.client().get(f"/api/chat/history?conversationId={one}").status == 404


@pytest.mark.parametrize("cursor", [b"", b"5", b"5 \xff\xfe", b"5 a\x00b", b"99999999999999999999 x", b"-1 x", b"5 '; DROP TABLE ai_message; --"])
def test_cursors_of_somebodys_making(server, cursor):
    """Refused, or a place in one's own list: nothing else."""
    m, other = server.member(), server.member()
    save(other)
    one = save(m)["conversationId"]
    a = m.get("/api/chat/history?cursor=" + base64.urlsafe_b64encode(cursor).decode().rstrip("="))
    assert a.status == 422 or (a.status == 200 and {c["id"] for c in a.json["data"]} <= {one}), a


@pytest.mark.parametrize("query", [
    "history?conversationId=%00", "history?conversationId=a%00b", "history?conversationId=%ff", "history?conversationId=%27%20OR%201=1",
    "conversations/{id}/messages?leaf=%00", "conversations/{id}/messages?before=%ff", "conversations/{id}/messages?leaf=%25",
    "conversations/%00/messages", "conversations/%ff/messages", "search?q=%00%00", "search?q=%ff%ff", "history?limit=1%00",
])
def test_odd_bytes_find_nothing(server, query):
    m = server.member()
    one = save(m)["conversationId"]
    a = m.get("/api/chat/" + query.replace("{id}", one))
    assert a.status in (400, 404, 422), a


@pytest.mark.parametrize("words, hits", [
    ("100%", ["100% sure"]), ("%", None), ("_x_", []), ("50", []), ('"a b"', []), ("a*", []), ("sure OR", []), ("100% SURE", ["100% sure"]),
    ("grüsse", ["Viele GRÜSSE"]), ("ПРИВЕТ", ["Привет, как дела?"]), ("ĄŻ", ["ąż"]), ("ΣΟΦΙΑ", ["σοφια"]), ("🌱 there", ["x 🌱 There"]),
])
def test_search_knows_words_and_no_patterns(server, words, hits):
    m = server.member()
    texts = ["100% sure", "Viele GRÜSSE", "Привет, как дела?", "ąż", "σοφια", "x 🌱 There", "a_b xyz"]
    save(m, messages=[{"role": "user", "content": t} for t in texts])
    a = m.get("/api/chat/search?" + urllib.parse.urlencode({"q": words}))
    if hits is None:
        assert a.status == 422
    else:
        assert [h["content"] for h in a.json["data"]] == hits


def test_search_is_paged_newest_conversation_first(server):
    m = server.member()
    made = [save(m, messages=[{"role": "user", "content": f"night {i}.{k}"} for k in range(3)])["conversationId"] for i in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        a = m.get(f"/api/chat/search?q=NIGHT&limit=2&cursor={cursor}" if cursor else "/api/chat/search?q=NIGHT&limit=2").json
        assert len(a["data"]) <= 2
        seen += [(h["conversationId"], h["content"]) for h in a["data"]]
        cursor = a["nextCursor"]
    assert [c for c, _ in seen] == [c for c in reversed(made) for _ in range(3)]
    assert sorted(t for _, t in seen) == sorted(f"night {i}.{k}" for i in range(5) for k in range(3))
    assert m.get("/api/chat/search?q=NIGHT&cursor=nonsense!").status == 422
    assert m.get("/api/chat/search?q=NIGHT&cursor=" + base64.urlsafe_b64encode(b"x y").decode()).status in (200, 422)


def test_the_export_is_whole(server):
    m = server.member()
    one = save(m, title="Nights", context={"mood": 3})["conversationId"]
    empty = m.post("/api/chat/conversations", {"title": "Not yet begun"}).json["id"]
    got = {c["id"]: c for c in m.get("/api/chat/export").json["conversations"]}
    assert set(got) == {one, empty}
    assert got[one]["title"] == "Nights" and got[one]["context"] == '{"mood":3}' and len(got[one]["messages"]) == 2
    assert got[empty]["title"] == "Not yet begun" and got[empty]["messages"] == [] and got[empty]["createdAt"]
