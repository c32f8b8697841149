"""What somebody else may try at an account: to be there before its owner, to use a letter twice or for something else, to
guess its digits, to learn who has an account, to have links point elsewhere, to read tokens in the log."""
import re

import pytest

from books import at_once, sql
from harness import Server
from test_account_links import PASSWORD, letter, magic, register, verify

THIEF = "the thief knows it 1"
ASK = "/api/auth/magic-link/verify"


@pytest.fixture(scope="module")
def server():
    s = Server(env={"RATE_LIMIT_SCALE": "1000"})
    yield s
    s.close()


def digits(mail):
    return re.search(r"\b(\d{6})\b", mail["text"]).group(1)


def wrong(code, k=0):
    return "%06d" % ((int(code) + 1 + k) % 1000000)


def by_letter(server, email):
    verify(server, server.client(), email)


def by_link(server, email):
    _, token = magic(server, email)
    assert server.client().post(ASK, {"token": token}).status == 200


def by_reset(server, email):
    assert server.client().post("/api/auth/password/forgot", {"email": email}).status == 202
    _, token = letter(server, email, "/auth/reset")
    assert server.client().post("/api/auth/password/reset", {"token": token, "password": PASSWORD}).status == 200


# ---- there before the owner

@pytest.mark.parametrize("owner_comes", [by_letter, by_link, by_reset])
def test_who_registered_first_keeps_no_way_in(server, owner_comes):
    """Session, password, and the letter that would move the account to an address of the thief's."""
    name = owner_comes.__name__.replace("_", "-")
    victim, elsewhere = f"{name}@victim.example", f"{name}@thief.example"
    thief = register(server, victim, THIEF)
    assert thief.post("/api/auth/email", {"email": elsewhere, "password": THIEF}).status == 202
    _, escape = letter(server, elsewhere, "/auth/verify")
    owner_comes(server, victim)
    assert thief.get("/api/auth/me").status == 401
    assert server.client().post("/api/auth/login", {"email": victim, "password": THIEF}).status == 401
    assert server.client().post("/api/auth/email/verify", {"token": escape}).code == "invalid_link"
    assert server.client().call("POST", "/auth/verify", data={"token": escape}).status == 410
    assert sql(server, "SELECT COUNT(*) FROM account WHERE email = ?", elsewhere)[0][0] == 0


def test_an_unproved_account_moved_to_somebody_elses_address(server):
    """The owner of the address presses the button of a letter that a stranger caused."""
    thief = register(server, "any@thief.example", THIEF)
    assert thief.post("/api/auth/email", {"email": "moved@victim.example", "password": THIEF}).status == 202
    _, token = letter(server, "moved@victim.example", "/auth/verify")
    assert server.client().call("POST", "/auth/verify", data={"token": token}).status == 200
    assert thief.get("/api/auth/me").status == 401
    assert server.client().post("/api/auth/login", {"email": "moved@victim.example", "password": THIEF}).status == 401
    by_link(server, "moved@victim.example")


def test_an_unproved_account_moves_with_its_own_browser(server):
    c = register(server, "typo@example.con")
    assert c.post("/api/auth/email", {"email": "typo@example.com", "password": PASSWORD}).status == 202
    _, token = letter(server, "typo@example.com", "/auth/verify")
    assert c.post("/api/auth/email/verify", {"token": token}).json == {"email": "typo@example.com", "emailVerified": True}
    me = c.get("/api/auth/me").json
    assert me["email"] == "typo@example.com" and me["emailVerified"] and me["hasPassword"]


def test_an_admin_is_not_who_registered_with_the_address(server):
    thief = register(server, "boss@victim.example", THIEF)
    out = server.cli("admin", "create", "boss@victim.example")
    assert "had not been proved" in out
    assert thief.get("/api/auth/me").status == 401
    assert server.client().post("/api/auth/login", {"email": "boss@victim.example", "password": THIEF}).status == 401
    boss = server.client()
    token = re.search(r"token=(mb_ot_[\w-]+)", out).group(1)
    assert boss.post(ASK, {"token": token}).json["user"]["role"] == "admin"
    assert "had not been proved" not in server.cli("admin", "create", "boss@victim.example")
    assert boss.get("/api/auth/me").status == 200


def test_a_strangers_words_reach_nobody_by_our_letters(server):
    c = server.client()
    words = "You won! Go to evil.example"
    assert c.post("/api/auth/register", {"email": "words@victim.example", "password": THIEF, "name": words}).status == 201
    c.post("/api/auth/email", {"email": "words2@victim.example", "password": THIEF})
    server.settle()
    letters = server.mails("words@victim.example") + server.mails("words2@victim.example")
    assert len(letters) == 2
    files = [(server.mail_dir / f"{m['id']}.eml").read_text() for m in letters]
    assert not [m for m in letters if "evil" in m["text"] or m["toName"]] and not [f for f in files if "evil" in f]


@pytest.mark.parametrize("how", ["change", "reset"])
def test_a_new_password_ends_a_wished_change_of_address(server, how):
    email = how + "@wish.example"
    c = register(server, email)
    verify(server, c, email)
    c.post("/api/auth/email", {"email": how + "@elsewhere.example", "password": PASSWORD})
    _, token = letter(server, how + "@elsewhere.example", "/auth/verify")
    if how == "reset":
        by_reset(server, email)
    else:
        assert c.post("/api/auth/password", {"currentPassword": PASSWORD, "password": "another good one 7"}).status == 204
    assert server.client().post("/api/auth/email/verify", {"token": token}).code == "invalid_link"


# ---- letters

@pytest.mark.parametrize("kind", ["magic", "code", "reset", "verify"])
def test_of_many_at_once_one_uses_a_letter(server, kind):
    email = f"race-{kind}@example.com"
    register(server, email)
    if kind == "reset":
        server.client().post("/api/auth/password/forgot", {"email": email})
        _, token = letter(server, email, "/auth/reset")
        path, body = "/api/auth/password/reset", {"token": token, "password": "a brand new secret 3"}
    elif kind == "verify":
        path, body = "/api/auth/email/verify", {"token": letter(server, email, "/auth/verify")[1]}
    else:
        mail, token = magic(server, email)
        path, body = ASK, {"token": token} if kind == "magic" else {"email": email, "code": digits(mail)}
    got = at_once(8, lambda _: server.client().post(path, body).status)
    assert got.count(200) == 1 and set(got) <= {200, 410, 503}, got


def test_a_letter_of_an_account_that_is_gone(server):
    c = register(server, "gone@example.com")
    _, prove = letter(server, "gone@example.com", "/auth/verify")
    mail, token = magic(server, "gone@example.com")
    assert c.delete("/api/auth/me", body={"password": PASSWORD}).status == 204
    again = register(server, "gone@example.com", "another person's 1")
    ask = server.client().post
    assert ask(ASK, {"token": token}).status == 410
    assert ask(ASK, {"email": "gone@example.com", "code": digits(mail)}).status == 410
    assert ask("/api/auth/email/verify", {"token": prove}).status == 410
    assert not again.get("/api/auth/me").json["emailVerified"]


def test_letters_to_the_old_address_end_with_it(server):
    c = register(server, "old@moving.example")
    _, prove = letter(server, "old@moving.example", "/auth/verify")
    mail, sign_in = magic(server, "old@moving.example")
    server.client().post("/api/auth/password/forgot", {"email": "old@moving.example"})
    _, reset = letter(server, "old@moving.example", "/auth/reset")
    c.post("/api/auth/email", {"email": "new@moving.example", "password": PASSWORD})
    _, token = letter(server, "new@moving.example", "/auth/verify")
    assert c.post("/api/auth/email/verify", {"token": token}).status == 200
    ask = server.client().post
    assert ask(ASK, {"token": sign_in}).status == 410
    assert ask(ASK, {"email": "new@moving.example", "code": digits(mail)}).status == 410
    assert ask("/api/auth/password/reset", {"token": reset, "password": "a brand new secret 3"}).status == 410
    assert ask("/api/auth/email/verify", {"token": prove}).status == 410
    assert c.get("/api/auth/me").json["email"] == "new@moving.example"


@pytest.mark.parametrize("path", ["/api/auth/magic-link", "/api/auth/password/forgot"])
def test_links_lead_to_us_whatever_the_request_says(server, path):
    email = "host-" + path.split("/")[-1] + "@example.com"
    register(server, email)
    a = server.client().post(path, {"email": email}, headers={
        "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example", "X-Original-URL": "//evil.example/", "Referer": "https://evil.example/"})
    assert a.status == 202, a
    mail, _ = letter(server, email, "/auth/magic" if "magic" in path else "/auth/reset")
    assert "evil" not in (server.mail_dir / f"{mail['id']}.eml").read_text()
    assert all(url.startswith(server.base) for url in re.findall(r"https?://[^\s]+", mail["text"]))


def test_no_page_behind_a_link_can_be_framed_or_is_kept(server):
    for path in ("/auth/magic", "/auth/verify", "/auth/reset"):
        a = server.client().get(path + "?token=mb_ot_x")
        assert a.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in a.headers["Content-Security-Policy"]
        assert a.headers["Referrer-Policy"] == "same-origin"
        foreign = server.client(origin=False).call("POST", path, data={"token": "mb_ot_x"},
                                                   headers={"Origin": "https://evil.example"})
        assert foreign.status == 403, (path, foreign)


# ---- digits

def test_guesses_at_once_are_five(server):
    register(server, "parallel@example.com")
    mail, token = magic(server, "parallel@example.com")
    code = digits(mail)
    got = at_once(16, lambda i: server.client().post(ASK, {"email": "parallel@example.com", "code": wrong(code, i)}).status)
    assert set(got) <= {410, 503}, got
    assert int(sql(server, "SELECT MAX(attempts) FROM login_token WHERE code_hash IS NOT NULL AND email = ?",
                   "parallel@example.com")[0][0]) == 5
    assert server.client().post(ASK, {"email": "parallel@example.com", "code": code}).status == 410


def test_guesses_of_a_day_are_bounded_known_or_not(make_server):
    """New letters give new tries, but not for ever; the link itself always works, and the next day the digits too."""
    server = make_server(env={"RATE_LIMIT_SCALE": "1000"})
    server.clock("2027-03-01T10:00:00Z")
    register(server, "daily@example.com")
    ask = server.client().post
    for k in range(6):
        code = digits(magic(server, "daily@example.com")[0])
        for guess in range(5):
            assert ask(ASK, {"email": "Daily@example.com", "code": wrong(code, guess)}).status == 410
            assert ask(ASK, {"email": "nobody@example.com", "code": wrong(code, guess)}).status == 410
        server.clock("+15 minutes")
    mail, token = magic(server, "daily@example.com")
    for email in ("daily@example.com", "nobody@example.com"):
        a = ask(ASK, {"email": email, "code": digits(mail)})
        assert (a.status, a.code) == (429, "rate_limited") and 0 < int(a.headers["Retry-After"]) <= 86400, a
    assert ask(ASK, {"token": token}).status == 200
    mail, _ = magic(server, "daily@example.com")  # who came in by a link has proved to be no guesser
    assert ask(ASK, {"email": "daily@example.com", "code": digits(mail)}).status == 200
    assert ask(ASK, {"email": "nobody@example.com", "code": "123456"}).status == 429
    server.clock("+1 day")
    assert ask(ASK, {"email": "nobody@example.com", "code": "123456"}).status == 410


# ---- who has an account?

def test_a_wished_address_does_not_tell_whose_it_is(server):
    """Neither by the answer nor by how often one may ask."""
    register(server, "taken@example.com")
    answers = {}
    for name in ("taken", "free"):
        c = register(server, f"asks-{name}@example.com")
        asked = [c.post("/api/auth/email", {"email": f"{name}@example.com", "password": PASSWORD}) for _ in range(7)]
        answers[name] = [(a.status, a.json.get("code"), a.json.get("sent")) for a in asked]
    assert answers["taken"] == answers["free"] == [(202, None, True)] * 5 + [(429, "rate_limited", None)] * 2


# ---- the log

def test_no_token_reaches_the_log(make_server):
    server = make_server(env={"RATE_LIMIT_SCALE": "1000", "LOG_LEVEL": "debug"})
    c = register(server, "log@example.com", PASSWORD)
    seen = [c.answer["token"], PASSWORD, letter(server, "log@example.com", "/auth/verify")[1]]
    mail, token = magic(server, "log@example.com")
    server.client().post("/api/auth/password/forgot", {"email": "log@example.com"})
    seen += [token, letter(server, "log@example.com", "/auth/reset")[1]]
    for t in list(seen):
        for path in ("/auth/magic", "/auth/verify", "/auth/reset", "/api/auth/me", "/nowhere/" + t):
            server.client().get(f"{path}?token={t}", headers={"Accept": "text/html", "Referer": f"{server.base}/?token={t}"})
            server.client().call("POST", path, data={"token": t, "password": PASSWORD})
    for path in (ASK, "/api/auth/email/verify", "/api/auth/password/reset"):
        for t in seen:
            server.client().post(path, {"token": t, "password": PASSWORD, "colour": t})
            server.client().post(path, data=b'{"token": "' + t.encode())
    server.client().get("/api/auth/me", headers={"Authorization": "Bearer " + seen[0] + "x"})
    process = server.process
    server.stop()
    output = process.output()
    assert '"http.request"' in output
    assert not [t for t in seen if t in output]
