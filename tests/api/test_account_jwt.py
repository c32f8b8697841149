"""Tokens of the operator's identity provider. The keys in data/jwt.json were made for this and thrown away."""
import concurrent.futures
import http.server
import json
import pathlib
import threading

import pytest

from books import sql
from harness import Client, Server, wait_until
from test_account_links import magic, verify

DATA = json.loads((pathlib.Path(__file__).parents[1] / "data" / "jwt.json").read_text())
TOKENS = DATA["tokens"]


class Provider:
    """Serves a key set on loopback; .keys may be changed, None = it is broken."""

    def __init__(self, keys):
        self.keys, self.asked = keys, 0
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked += 1
                body = json.dumps(provider.keys).encode() if provider.keys else b"out of order"
                self.send_response(200 if provider.keys else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def settings(provider):
    return {"AUTH_JWKS_URL": provider.url, "AUTH_ISSUER": "https://id.example", "AUTH_AUDIENCE": "mybeing",
            "RATE_LIMIT_SCALE": "1000"}


@pytest.fixture(scope="module")
def server():
    provider = Provider(DATA["jwks"])
    s = Server(env=settings(provider))
    wait_until(lambda: Client(s, token=TOKENS["ed"]).get("/api/auth/me").status == 200)
    yield s
    s.close()
    provider.close()


def me(server, name):
    return Client(server, token=TOKENS[name], origin=False).get("/api/auth/me")


@pytest.mark.parametrize("name, email, verified", [
    ("rsa", "rsa@idp.example", True), ("ec", None, False), ("ed", "ed@idp.example", False)])
def test_the_subject_becomes_a_member_on_first_sight(server, name, email, verified):
    a = me(server, name)
    assert a.status == 200 and a.json["email"] == email and a.json["emailVerified"] is verified, a
    assert me(server, name).json["id"] == a.json["id"]
    assert not a.json["hasPassword"] and (name != "rsa" or a.json["name"] == "Rosa")


def test_first_sight_in_any_kind_of_request(server):
    c = Client(server, token=TOKENS["write"], origin=False)
    a = c.patch("/api/auth/me", {"name": "Writer"})
    assert a.status == 200 and c.get("/api/auth/me").json["name"] == "Writer"
    c = Client(server, token=TOKENS["none_tx"], origin=False)
    a = c.post("/api/auth/password", {"password": "correct horse battery 9"})
    assert a.status == 403  # a token is no fresh session of ours
    assert c.get("/api/auth/me").status == 200


def test_first_sight_at_once_makes_one_member(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: me(server, "race"), range(16)))
    assert {a.status for a in got} == {200}, got
    assert len({a.json["id"] for a in got}) == 1
    assert int(sql(server, "SELECT COUNT(*) FROM account WHERE email_key = 'race@idp.example'")[0][0]) == 1


def test_a_verified_address_finds_its_account_and_another_does_not(server):
    c = server.member("owner@example.com")
    a = me(server, "unproved")
    assert a.status == 200 and a.json["email"] is None and a.json["id"] != c.user_id
    a = me(server, "links")
    assert a.status == 200 and a.json["id"] == c.user_id


def test_the_old_id_as_subject_finds_the_account(server):
    c = server.member("moved@example.com")
    sql(server, f"UPDATE account SET legacy_id = 'clx0legacy1' WHERE id = '{c.user_id}'")
    assert me(server, "legacy").json["id"] == c.user_id


@pytest.mark.parametrize("name", ["expired", "issuer", "audience", "forged", "unsigned", "hmac"])
def test_bad_tokens_are_nobody(server, name):
    before = int(sql(server, "SELECT COUNT(*) FROM account")[0][0])
    a = me(server, name)
    assert (a.status, a.code) == (401, "unauthenticated"), a
    assert int(sql(server, "SELECT COUNT(*) FROM account")[0][0]) == before


def test_rotated_keys_are_found(make_server):
    provider = Provider(DATA["jwks"])
    server = make_server(env=settings(provider))
    wait_until(lambda: me(server, "ed").status == 200)
    provider.keys = DATA["rotated"]

    def found():
        a = me(server, "rotated")
        assert a.status in (200, 401, 503), a
        return a.status == 200

    wait_until(found)
    assert me(server, "ed").status in (401, 503)  # withdrawn
    provider.close()


def test_a_broken_provider_is_a_503_not_a_401(make_server):
    provider = Provider(None)
    server = make_server(env=settings(provider))
    wait_until(lambda: provider.asked > 0)
    a = me(server, "ed")
    assert a.status == 503 and a.headers["Retry-After"], a
    assert server.member().get("/api/auth/me").status == 200  # our own sessions do not need it
    provider.keys = DATA["jwks"]
    wait_until(lambda: me(server, "ed").status == 200)
    provider.close()


def test_without_a_provider_no_token_is_good(server, make_server):
    plain = make_server()
    assert me(plain, "ed").status == 401


def test_an_identity_whose_address_nobody_proved_ends_when_its_owner_comes(server):
    """Who made the account by a provider that proves no addresses does not stay in it."""
    before = me(server, "ed").json
    assert not before["emailVerified"]
    owner = server.client()
    token = magic(server, "ed@idp.example")[1]
    assert owner.post("/api/auth/magic-link/verify", {"token": token}).json["user"]["id"] == before["id"]
    after = me(server, "ed")
    assert after.status == 200 and after.json["id"] != before["id"] and after.json["email"] is None


def test_a_member_who_proves_the_address_by_the_providers_token_stays(make_server):
    provider = Provider(DATA["jwks"])
    try:
        s = make_server(env=settings(provider))
        wait_until(lambda: me(s, "ed").status == 200)
        c = Client(s, token=TOKENS["ed"], origin=False)
        before = c.get("/api/auth/me").json
        assert c.post("/api/auth/email/resend").status == 202
        assert verify(s, c, before["email"]).status == 200
        assert c.get("/api/auth/me").json == {**before, "emailVerified": True}
    finally:
        provider.close()
