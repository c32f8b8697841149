"""Every route holds its rule: a table made from `mybeing routes --json`, so a new route is held to it by itself."""
import json
import re
import subprocess

import pytest
from harness import Client, Server
from harness.process import BUILD

ROUTES = json.loads(subprocess.run([BUILD / "mybeing", "routes", "--json"], capture_output=True, text=True,
                                   check=True).stdout)["routes"]
NOBODY = "00000000-0000-7000-8000-000000000000"


def name(r):
    return f"{r['method']} {r['path']}"


def path(r, value=NOBODY):
    return re.sub(r"\{\w+\}", value, r["path"])


@pytest.fixture(scope="module")
def world():
    server = Server(env={"RATE_LIMIT_SCALE": "100000"})
    server.cli("admin", "create", "boss@example.com")
    people = {"server": server, "nobody": Client(server), "member": server.member("m@example.com"),
              "other": server.member("o@example.com"), "boss": server.member("boss@example.com")}
    yield people
    server.close()


def ask(c, r, url=None, body=None):
    has_body = r["method"] in ("POST", "PUT", "PATCH")
    return c.call(r["method"], url or path(r), {} if has_body and body is None else body)


def test_there_are_routes():
    assert len(ROUTES) > 80 and {r["auth"] for r in ROUTES} >= {"none", "public", "visitor", "member", "admin"}


@pytest.mark.parametrize("r", [r for r in ROUTES if r["auth"] in ("member", "admin")], ids=name)
def test_without_a_session(world, r):
    a = ask(world["nobody"], r)
    assert a.status == 401 and a.code == "unauthenticated", a
    a = ask(Client(world["server"], token="mb_st_forged"), r)
    assert a.status == 401, a


@pytest.mark.parametrize("r", [r for r in ROUTES if r["auth"] == "admin"], ids=name)
def test_with_the_wrong_role(world, r):
    a = ask(world["member"], r)
    assert a.status == 403 and a.code == "forbidden", a
    # who may is not told so: what is wrong then is the id or the body
    assert ask(world["boss"], r).status not in (401, 403, 500), r


@pytest.mark.parametrize("r", [r for r in ROUTES if "{" in r["path"] and r["auth"] in ("member", "visitor")], ids=name)
def test_an_unknown_id(world, r):
    a = ask(world["member"], r)
    assert a.status in (404, 422, 503) or (a.status == 402 and "item" in r["path"]), a


@pytest.mark.parametrize("r", [r for r in ROUTES if r["auth"] in ("member", "visitor") and r["method"] == "GET"], ids=name)
def test_an_identity_in_the_query_is_nobodys(world, r):
    """?userId= changes nothing: the answer is the caller's own, or the parameter is refused."""
    mine, other = world["member"], world["other"]
    plain = ask(mine, r)
    got = ask(mine, r, path(r) + f"?userId={other.user_id}&email=o@example.com")
    assert got.status in (plain.status, 422), got
    if got.status == 200 and "json" in got.headers.get("Content-Type", ""):
        # times of asking aside, the same answer
        strip = lambda a: re.sub(r'"(exportedAt|resetAt|lastSeenAt)":"[^"]*"', "", a.text)  # noqa: E731
        assert strip(got) == strip(plain) and other.user_id not in got.text


@pytest.mark.parametrize("r", [r for r in ROUTES if r["body"] == "json"], ids=name)
def test_bodies_that_are_none(world, r):
    c = world["boss"]
    for text, status in ((b"{", 400), (b"[]", 422), (b'{"a":1,"a":2}', 400), (b"\xff", 400),
                         (b"[" * 100 + b"]" * 100, 400)):
        a = c.call(r["method"], path(r), data=text, headers={"Content-Type": "application/json"})
        assert a.status in ((400,) if status == 400 else (400, 422)), (text[:20], a)
    a = c.call(r["method"], path(r), data=b"{}", headers={"Content-Type": "text/plain"})
    assert a.status == 415, a


def test_somebody_elses(world):
    """Answers like a missing one, word for word but for the request's id."""
    mine, other = world["member"], world["other"]
    made = mine.post("/api/chat/save", {"messages": [{"role": "user", "content": "x"}]}).json
    bought = mine.post("/api/purchases/checkout", {"item": "quiz:mood-check"})
    ids = [("/api/chat/conversations/{}/messages", made["conversationId"])]
    if bought.status in (200, 201):
        ids.append(("/api/purchases/{}", bought.json["purchaseId"] if "purchaseId" in bought.json else bought.json["id"]))
    session = mine.get("/api/auth/sessions").json["data"][0]["id"]
    for url, one in ids:
        assert mine.get(url.format(one)).status == 200
        foreign, missing = other.get(url.format(one)), other.get(url.format(NOBODY))
        assert foreign.status == missing.status == 404
        a, b = foreign.json, missing.json
        a.pop("requestId"), b.pop("requestId")
        assert a == b
    assert other.delete(f"/api/auth/sessions/{session}").status == 404
    assert mine.get("/api/auth/me").status == 200


# ---- another member's id, and ids that are smuggled in

def owned(world):
    """A member with one of everything that has an id of its own."""
    m = world["server"].member()
    a = world["boss"].post("/api/admin/discounts", {"userId": m.user_id, "percent": 100, "reason": "a test"})
    assert a.status in (200, 201), a
    m.ids = {"session": m.get("/api/auth/sessions").json["data"][0]["id"],
             "purchase": m.post("/api/purchases/checkout", {"item": "quiz:big-five"}).json["purchaseId"]}
    saved = m.post("/api/chat/save", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}).json
    m.ids["conversation"], m.ids["message"] = saved["conversationId"], saved["messageIds"][1]
    return m


# What each id of a path names. A new route with an id has to say so here.
NAMES = {"/api/auth/sessions/{id}": ["session"], "/api/purchases/{id}": ["purchase"], "/api/purchases/{id}/receipt": ["purchase"],
         "/api/chat/conversations/{id}": ["conversation"], "/api/chat/conversations/{id}/messages": ["conversation"],
         "/api/chat/conversations/{id}/messages/{messageId}/stream": ["conversation", "message"],
         "/api/chat/conversations/{id}/messages/{messageId}/stop": ["conversation", "message"]}
NOBODYS = {"/api/catalog/{item}", "/unsubscribe/{token}"}   # ids of things that belong to nobody
BODIES = {"/api/chat/conversations/{id}/messages": {"content": "hello"}, "/api/chat/conversations/{id}": {"title": "mine now"}}
WITH_ID = [r for r in ROUTES if "{" in r["path"] and r["auth"] != "admin" and r["path"] not in NOBODYS]


@pytest.mark.parametrize("r", WITH_ID, ids=name)
def test_another_members_id_answers_like_a_missing_one(world, r):
    server, owner, names = world["server"], owned(world), NAMES[r["path"]]
    visitor = Client(server)
    visitor.post("/api/chat/save", {"messages": [{"role": "user", "content": "x"}]})     # gets a cookie
    before = server.state()
    for c in (world["other"], visitor):
        if r["auth"] == "member" and c is visitor:
            continue
        answers = []
        for known in (True, False):
            ids = iter([owner.ids[n] if known else n_nobody(owner.ids[n]) for n in names])
            url = re.sub(r"\{\w+\}", lambda _: next(ids), r["path"])
            a = ask(c, r, url, BODIES.get(r["path"]) if r["method"] != "GET" else None)
            answers.append((a.status, {k: v for k, v in a.json.items() if k != "requestId"}))
        assert answers[0] == answers[1] and answers[0][0] in (404, 503), answers
    assert server.state() == before
    assert owner.get("/api/auth/me").status == 200
    assert owner.get(f"/api/chat/conversations/{owner.ids['conversation']}/messages").json["messages"]


def n_nobody(id_):
    """An id of the same form that nobody has."""
    return re.sub(r"[0-9a-f](?=[^_]*$)", "0", id_)


@pytest.mark.parametrize("r", [r for r in ROUTES if r["body"] == "json" and r["auth"] in ("none", "public", "visitor", "member")],
                         ids=name)
def test_an_identity_in_the_body_is_nobodys(world, r):
    """Identity fields are ignored everywhere, other unknown fields refused (SPEC §5): nothing happens to anybody else."""
    server, other = world["server"], world["other"]
    before = others_state(server)
    valid = {"/api/chat/save": {"messages": [{"role": "user", "content": "mine"}]}, "/api/purchases/checkout": {"item": "quiz:mood-check"},
             "/api/chat/conversations/{id}/messages": {"content": "mine"}}.get(r["path"], {})

    def told(**more):
        c = server.member()
        ids = owned_ids(c) if "{" in r["path"] else {}
        return ask(c, r, re.sub(r"\{(\w+)\}", lambda k: ids.get(k.group(1), NOBODY), r["path"]), {**valid, **more})

    plain, ignored = told(), told(userId=other.user_id)
    assert ignored.status == plain.status and other.user_id not in ignored.text, (plain, ignored)
    for name_ in ("memberId", "customer", "owner_id"):
        a = told(**{name_: other.user_id})
        assert a.status == plain.status if r["lenient"] else a.status >= 400, a
        if a.status == 422:
            assert "/" + name_ in [e["pointer"] for e in a.json["errors"]] or plain.status == 422, a
    assert others_state(server) == before
    assert other.get("/api/auth/me").status == 200


def owned_ids(c):
    saved = c.post("/api/chat/save", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}).json
    return {"id": saved["conversationId"], "messageId": saved["messageIds"][1]}


def others_state(server):
    return json.loads(server.state())["members"]["o@example.com"]


@pytest.mark.parametrize("r", [r for r in ROUTES if r["method"] != "GET" and r["auth"] in ("visitor", "member")], ids=name)
def test_an_identity_in_the_query_changes_nobody(world, r):
    server, other = world["server"], world["other"]
    before = others_state(server)
    conversations = other.get("/api/chat/history").json
    for query in (f"userId={other.user_id}", f"memberId={other.user_id}&email=o@example.com"):
        # one person without, one with: the same answer, or the parameter is refused
        plain, got = ask(server.member(), r), ask(server.member(), r, path(r) + "?" + query)
        assert got.status in (plain.status, 422), (plain, got)
        assert other.user_id not in got.text
    assert others_state(server) == before
    assert other.get("/api/auth/me").status == 200 and other.get("/api/chat/history").json == conversations
