"""Links and codes by mail: signing in, forgotten passwords, proving and changing an address; claims."""
import re

import pytest

from books import sql
from harness import Client

PASSWORD = "correct horse battery 9"


@pytest.fixture(scope="module")
def server():
    from harness import Server
    s = Server(env={"RATE_LIMIT_SCALE": "1000"})
    yield s
    s.close()


def register(server, email, password=PASSWORD):
    c = server.client()
    a = c.post("/api/auth/register", {"email": email, "password": password})
    assert a.status == 201, a
    c.answer = a.json
    return c


def letter(server, to, path="/auth/"):
    """The newest letter with a link; its token."""
    server.settle()
    found = [m for m in server.mails(to) if path in m["text"]]
    assert found, server.mails(to)
    return found[-1], re.search(r"token=(mb_ot_[\w-]+)", found[-1]["text"]).group(1)


def magic(server, email):
    assert server.client().post("/api/auth/magic-link", {"email": email}).status == 202
    return letter(server, email.lower(), "/auth/magic")


def verify(server, c, email):
    _, token = letter(server, email, "/auth/verify")
    return c.post("/api/auth/email/verify", {"token": token})


def test_registering_mails_a_link_that_proves_the_address(server):
    c = register(server, "prove@example.com")
    _, token = letter(server, "prove@example.com", "/auth/verify")
    page = server.client().get("/auth/verify?token=" + token)
    assert page.status == 200 and "<button>" in page.text
    assert not c.get("/api/auth/me").json["emailVerified"]  # looking is not using
    a = c.post("/api/auth/email/verify", {"token": token})
    assert a.status == 200 and a.json == {"email": "prove@example.com", "emailVerified": True}
    assert c.get("/api/auth/me").json["emailVerified"]
    assert c.post("/api/auth/email/verify", {"token": token}).code == "invalid_link"
    server.settle()
    assert [m for m in server.mails("prove@example.com") if "elcome" in m["subject"]]
    assert c.post("/api/auth/email/resend").status == 409


def test_only_hashes_of_links_are_kept(server):
    register(server, "kept@example.com")
    _, token = letter(server, "kept@example.com", "/auth/verify")
    rows = sql(server, "SELECT id, kind, email FROM login_token")
    assert rows and token not in str(rows)


def test_proving_elsewhere_ends_what_an_unverified_registration_left(server):
    thief = register(server, "victim@example.com", "the thief knows it 1")
    a = verify(server, server.client(), "victim@example.com")  # the owner's browser
    assert a.status == 200
    assert thief.get("/api/auth/me").status == 401
    a = server.client().post("/api/auth/login", {"email": "victim@example.com", "password": "the thief knows it 1"})
    assert a.status == 401


def test_proving_in_the_same_browser_keeps_session_and_password(server):
    c = register(server, "same@example.com")
    assert verify(server, c, "same@example.com").status == 200
    assert c.get("/api/auth/me").json["hasPassword"]


def test_magic_link_signs_in_once(server):
    register(server, "magic@example.com")
    mail, token = magic(server, "Magic@Example.com")
    c = server.client()
    page = c.get("/auth/magic?token=" + token)
    assert page.status == 200 and page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"  # else a browser's form sends Origin: null
    a = c.post("/api/auth/magic-link/verify", {"token": token})
    assert a.status == 200 and a.json["user"]["emailVerified"], a
    assert c.get("/api/auth/me").json["email"] == "magic@example.com"
    a = server.client().post("/api/auth/magic-link/verify", {"token": token})
    assert (a.status, a.code) == (410, "invalid_link")


def test_the_pages_button_signs_in(server):
    register(server, "button@example.com")
    _, token = magic(server, "button@example.com")
    c = server.client()
    a = c.call("POST", "/auth/magic", data={"token": token})
    assert a.status == 303 and a.headers["Location"] == "/", a
    assert c.get("/api/auth/me").json["email"] == "button@example.com"
    a = server.client().call("POST", "/auth/magic", data={"token": token})
    assert a.status == 410 and "text/html" in a.headers["Content-Type"]
    assert server.client().get("/auth/magic").status == 400
    a = server.client().get("/auth/magic?token=%22%3E%3Cscript%3E")
    assert "<script>" not in a.text


def test_a_newer_sign_in_uses_up_older_links(server):
    register(server, "older@example.com")
    _, first = magic(server, "older@example.com")
    _, second = magic(server, "older@example.com")
    assert first != second
    assert server.client().post("/api/auth/magic-link/verify", {"token": second}).status == 200
    assert server.client().post("/api/auth/magic-link/verify", {"token": first}).status == 410


def test_the_six_digits(server):
    register(server, "digits@example.com")
    mail, token = magic(server, "digits@example.com")
    code = re.search(r"\b(\d{6})\b", mail["text"]).group(1)
    wrong = "000000" if code != "000000" else "111111"
    ask = server.client().post
    assert ask("/api/auth/magic-link/verify", {"email": "digits@example.com", "code": wrong}).code == "invalid_link"
    assert ask("/api/auth/magic-link/verify", {"email": "nobody9@example.com", "code": code}).code == "invalid_link"
    assert ask("/api/auth/magic-link/verify", {"email": "digits@example.com"}).status == 422
    assert ask("/api/auth/magic-link/verify", {"email": "digits@example.com", "code": "12345"}).status == 422
    a = ask("/api/auth/magic-link/verify", {"email": "digits@example.com", "code": code})
    assert a.status == 200, a
    assert ask("/api/auth/magic-link/verify", {"email": "digits@example.com", "code": code}).status == 410
    assert ask("/api/auth/magic-link/verify", {"token": token}).status == 410


def test_guesses_at_the_digits_are_counted(server):
    register(server, "five@example.com")
    mail, token = magic(server, "five@example.com")
    code = re.search(r"\b(\d{6})\b", mail["text"]).group(1)
    ask = server.client().post
    for k in range(5):
        guess = "%06d" % ((int(code) + 1 + k) % 1000000)
        assert ask("/api/auth/magic-link/verify", {"email": "five@example.com", "code": guess}).status == 410
    assert ask("/api/auth/magic-link/verify", {"email": "five@example.com", "code": code}).status == 410
    assert ask("/api/auth/magic-link/verify", {"token": token}).status == 200  # the link itself is no guess


@pytest.mark.parametrize("path", ["/api/auth/magic-link", "/api/auth/password/forgot"])
def test_unknown_addresses_answer_alike_and_get_nothing(server, path):
    name = "known" + path.split("/")[-1]
    register(server, name + "@example.com")
    a = server.client().post(path, {"email": name + "@example.com"})
    b = server.client().post(path, {"email": name + "-not@example.com"})
    assert a.status == b.status == 202 and a.json == b.json == {"sent": True}
    server.settle()
    assert not server.mails(name + "-not@example.com")
    assert server.client().post(path, {"email": "nonsense"}).status == 422


def test_letters_to_one_account_are_limited(server):
    register(server, "flood@example.com")
    for _ in range(9):
        assert server.client().post("/api/auth/magic-link", {"email": "flood@example.com"}).status == 202
    server.settle()
    assert len([m for m in server.mails("flood@example.com") if "/auth/magic" in m["text"]]) == 5


def test_forgotten_password(server):
    c = register(server, "forgot@example.com")
    assert verify(server, c, "forgot@example.com").status == 200
    assert server.client().post("/api/auth/password/forgot", {"email": "forgot@example.com"}).status == 202
    _, token = letter(server, "forgot@example.com", "/auth/reset")
    new = "a brand new secret 3"
    d = server.client()
    a = d.post("/api/auth/password/reset", {"token": token, "password": "password"})
    assert a.status == 422 and a.json["errors"][0]["pointer"] == "/password"
    a = d.post("/api/auth/password/reset", {"token": token, "password": new})
    assert a.status == 200 and d.get("/api/auth/me").status == 200
    assert c.get("/api/auth/me").status == 401  # other sessions ended
    assert d.post("/api/auth/password/reset", {"token": token, "password": new}).code == "invalid_link"
    assert server.client().post("/api/auth/login", {"email": "forgot@example.com", "password": PASSWORD}).status == 401
    assert server.client().post("/api/auth/login", {"email": "forgot@example.com", "password": new}).status == 200
    server.settle()
    assert any("password" in m["text"] and "/auth/" not in m["text"] for m in server.mails("forgot@example.com"))


def test_forgotten_password_by_the_page(server):
    register(server, "page@example.com")
    server.client().post("/api/auth/password/forgot", {"email": "page@example.com"})
    _, token = letter(server, "page@example.com", "/auth/reset")
    c = server.client()
    assert 'name="password"' in c.get("/auth/reset?token=" + token).text
    a = c.call("POST", "/auth/reset", data={"token": token, "password": "12345678"})
    assert a.status == 422 and token in a.text
    a = c.call("POST", "/auth/reset", data={"token": token, "password": "a brand new secret 4"})
    assert a.status == 303 and c.get("/api/auth/me").json["email"] == "page@example.com"
    assert c.call("POST", "/auth/reset", data={"token": token, "password": "a brand new secret 4"}).status == 410


def test_a_token_serves_its_own_purpose_alone(server):
    register(server, "kinds@example.com")
    _, prove = letter(server, "kinds@example.com", "/auth/verify")
    _, sign = magic(server, "kinds@example.com")
    ask = server.client().post
    assert ask("/api/auth/magic-link/verify", {"token": prove}).status == 410
    assert ask("/api/auth/email/verify", {"token": sign}).status == 410
    assert ask("/api/auth/password/reset", {"token": sign, "password": "a brand new secret 5"}).status == 410
    assert ask("/api/auth/email/verify", {"token": prove}).status == 200  # and was not used up by that
    assert ask("/api/auth/magic-link/verify", {"token": sign}).status == 200


def test_changing_the_address(server):
    c = register(server, "before@example.com")
    assert verify(server, c, "before@example.com").status == 200
    assert c.post("/api/auth/email", {"email": "after@example.com"}).status == 422
    a = c.post("/api/auth/email", {"email": "after@example.com", "password": PASSWORD})
    assert a.status == 202
    _, token = letter(server, "after@example.com", "/auth/verify")
    assert c.get("/api/auth/me").json["email"] == "before@example.com"
    assert any("asked" in m["text"] for m in server.mails("before@example.com"))
    a = server.client().call("POST", "/auth/verify", data={"token": token})
    assert a.status == 200, a
    me = c.get("/api/auth/me").json
    assert me["email"] == "after@example.com" and me["emailVerified"]
    assert server.client().post("/api/auth/login", {"email": "before@example.com", "password": PASSWORD}).status == 401
    assert server.client().post("/api/auth/login", {"email": "after@example.com", "password": PASSWORD}).status == 200


def test_a_taken_address_is_not_told_and_not_taken(server):
    register(server, "owner@example.com")
    c = register(server, "wants@example.com")
    a = c.post("/api/auth/email", {"email": "Owner@example.com", "password": PASSWORD})
    assert a.status == 202 and a.json == {"sent": True}
    _, token = letter(server, "Owner@example.com", "/auth/verify")  # its owner alone learns it
    a = server.client().call("POST", "/auth/verify", data={"token": token})
    assert a.status == 409 and "taken" in a.text
    assert c.get("/api/auth/me").json["email"] == "wants@example.com"
    # taken between the letter and its use
    assert c.post("/api/auth/email", {"email": "soon@example.com", "password": PASSWORD}).status == 202
    _, token = letter(server, "soon@example.com", "/auth/verify")
    register(server, "soon@example.com")
    a = c.post("/api/auth/email/verify", {"token": token})
    assert (a.status, a.code) == (409, "email_taken")
    assert c.get("/api/auth/me").json["email"] == "wants@example.com"


def test_links_expire(make_server):
    server = make_server(env={"RATE_LIMIT_SCALE": "1000"})
    register(server, "late@example.com")
    _, token = magic(server, "late@example.com")
    server.client().post("/api/auth/password/forgot", {"email": "late@example.com"})
    _, reset = letter(server, "late@example.com", "/auth/reset")
    server.clock("+11 minutes")
    assert server.client().post("/api/auth/magic-link/verify", {"token": token}).status == 410
    server.clock("+20 minutes")
    a = server.client().post("/api/auth/password/reset", {"token": reset, "password": "a brand new secret 6"})
    assert a.status == 410


def test_a_quarter_of_an_hour_later_guessing_may_go_on(make_server):
    server = make_server(env={"RATE_LIMIT_SCALE": "1000"})
    c = register(server, "wait@example.com")
    body = {"email": "wait@example.com", "password": "a wrong password"}
    for _ in range(10):
        assert server.client().post("/api/auth/login", body).status == 401
    assert server.client().post("/api/auth/login", body).status == 429
    server.clock("+15 minutes")
    assert server.client().post("/api/auth/login", {**body, "password": PASSWORD}).status == 200
    server.clock("+1 month")  # the program's clock ages no session
    assert c.get("/api/auth/me").status == 200


def visitor(server):
    v = server.client()
    assert v.post("/api/chat/save", {"messages": [{"role": "user", "content": "hello"}]}).status in (200, 201)
    return v


def anon(c):
    return next((k.value for k in c.session.cookies if k.name == "mb_anon"), None)


def test_registering_claims_at_once_and_renews_the_visitor(server):
    v = visitor(server)
    before = anon(v)
    a = v.post("/api/auth/register", {"email": "claimer@example.com", "password": PASSWORD})
    assert a.status == 201 and a.json["claimed"] is True
    assert anon(v) and anon(v) != before
    assert len(v.get("/api/chat/history").json["data"]) == 1


def test_signing_in_offers_and_claim_does_it_once(server):
    register(server, "offer@example.com")
    v = visitor(server)
    cookie = anon(v)
    a = v.post("/api/auth/login", {"email": "offer@example.com", "password": PASSWORD})
    assert a.status == 200 and a.json["claimed"] is False
    assert sum(a.json["claimable"].values()) >= 1, a
    assert v.get("/api/chat/history").json["data"] == []
    copy = server.client()  # the same cookie in another browser, another account
    register(server, "second@example.com")
    copy.session.cookies.set("mb_anon", cookie)
    b = copy.post("/api/auth/login", {"email": "second@example.com", "password": PASSWORD})
    assert b.json["claimable"]
    assert v.post("/api/auth/claim").json == {"claimed": True}
    assert anon(v) != cookie
    assert len(v.get("/api/chat/history").json["data"]) == 1
    assert copy.post("/api/auth/claim").json == {"claimed": False}
    assert copy.get("/api/chat/history").json["data"] == []
    # the old cookie is nobody's any more: whoever shows it becomes a new visitor
    late = server.client()
    late.session.cookies.set("mb_anon", cookie)
    assert late.get("/api/chat/history").json["data"] == []
    assert late.post("/api/chat/save", {"messages": [{"role": "user", "content": "again"}]}).status in (200, 201)
    # (the jar keeps the one set by hand beside the server's)
    assert [k.value for k in late.session.cookies if k.name == "mb_anon" and k.value != cookie]
    assert len(v.get("/api/chat/history").json["data"]) == 1


def test_a_forged_visitor_is_nobody(server):
    register(server, "forge@example.com")
    v = server.client()
    v.session.cookies.set("mb_anon", "anon_01900000-0000-7000-8000-000000000000.AAAA")
    a = v.post("/api/auth/login", {"email": "forge@example.com", "password": PASSWORD})
    assert a.json["claimable"] is None
    assert v.post("/api/auth/claim").json == {"claimed": False}
