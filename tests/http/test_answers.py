"""What every answer has: ids, problems, methods, origins, limits."""
import json
import re

import pytest
from harness.process import wait_until
from raw import Raw, ask

LOGIN = "/api/auth/login"


def post(server, path, body, *heads):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    top = "".join(h + "\r\n" for h in heads)
    if not any(h.lower().startswith("content-type") for h in heads):
        top += "Content-Type: application/json\r\n"
    with Raw(server) as c:
        c.send(f"POST {path} HTTP/1.1\r\nHost: a\r\n{top}Content-Length: {len(body)}\r\n\r\n").send(body)
        return c.reply()


def get(server, path, *heads):
    return ask(server, f"GET {path} HTTP/1.1\r\nHost: a\r\n" + "".join(h + "\r\n" for h in heads) + "\r\n")


def test_request_ids(server):
    one, two = get(server, "/healthz"), get(server, "/healthz")
    for r in (one, two):
        assert re.fullmatch(r"req_[0-9a-z]{8,}", r.headers["x-request-id"])
    assert one.headers["x-request-id"] != two.headers["x-request-id"]
    assert get(server, "/healthz", "X-Request-Id: Mine-1_x").headers["x-request-id"] == "Mine-1_x"
    for odd in ("a b", "x" * 65, "a/b", "<script>"):
        assert get(server, "/healthz", f"X-Request-Id: {odd}").headers["x-request-id"] != odd


@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "invalid_json"),
    (b"{} x", 400, "invalid_json"),
    (b'{"email":"a","email":"b"}', 400, "duplicate_key"),
    (b'{"email":"\xff"}', 400, "invalid_utf8"),
    (b'{"x":' + b"[" * 70 + b"]" * 70 + b"}", 400, "json_too_deep"),
    (b"[]", 422, "validation_failed"),
    (b"1", 422, "validation_failed"),
    (b"{}", 422, "validation_failed"),
    (b'{"email":1,"password":"x"}', 422, "validation_failed"),
    (b'{"email":"a@b.co","password":"x","more":1}', 422, "validation_failed"),
])
def test_bad_bodies(server, body, status, code):
    r = post(server, LOGIN, body)
    assert (r.status, r.json["code"]) == (status, code), r
    p = r.json
    assert r.headers["content-type"] == "application/problem+json"
    assert p["status"] == status and p["error"] == p["title"] and p["requestId"] == r.headers["x-request-id"]
    if body == b"{}":
        assert {e["pointer"] for e in p["errors"]} == {"/email", "/password"}


def test_media_types(server):
    assert post(server, LOGIN, b"{}", "Content-Type: text/plain").status == 415
    assert post(server, LOGIN, b"email=x", "Content-Type: application/x-www-form-urlencoded").status == 415
    assert post(server, LOGIN, b"{}", "Content-Type: application/json; charset=utf-8").status == 422


def test_methods(server):
    r = ask(server, f"PUT {LOGIN} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert r.status == 405 and r.headers["allow"] == "POST, OPTIONS" and r.json["code"] == "method_not_allowed"
    assert ask(server, "BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status == 405
    assert ask(server, "OPTIONS /healthz HTTP/1.1\r\nHost: a\r\n\r\n").headers["allow"] == "GET, HEAD, OPTIONS"
    assert get(server, "/api/nothing").json["code"] == "not_found"
    assert get(server, "/healthz/").status == 404


def test_queries(server):
    member = server.member()
    a = member.get("/api/purchases?limit=0")
    assert a.status == 422 and a.json["errors"][0]["pointer"] == "limit"
    assert member.get("/api/purchases?limit=1&limit=2").status == 422
    assert member.get("/api/purchases?unknown=1").status == 422
    assert member.get("/api/purchases?cursor=!!").status == 422


def test_origins(server):
    member = server.member()
    own, evil = f"Origin: {server.base}", "Origin: https://evil.example"
    cookie = f"Cookie: {member.cookie_text}"
    assert post(server, "/api/auth/logout", {}, cookie).json["code"] == "bad_origin"
    assert post(server, "/api/auth/logout", {}, cookie, evil).json["code"] == "bad_origin"
    assert post(server, "/api/auth/logout", {}, cookie, "Origin: null").json["code"] == "bad_origin"
    assert post(server, LOGIN, {"email": "a@b.co", "password": "x"}, evil).json["code"] == "bad_origin"
    assert get(server, "/api/auth/me", cookie, evil).status == 200  # reading changes nothing
    assert get(server, "/api/auth/me", cookie).status == 200
    assert post(server, "/api/auth/logout", {}, cookie, own).status in (200, 204)
    assert get(server, "/api/auth/me", cookie).status == 401
    other = server.member()
    assert post(server, "/api/auth/logout", {}, f"Authorization: Bearer {other.token}", evil).status in (200, 204)


def test_cors(make_server):
    server = make_server(env={"CORS_ORIGINS": "https://app.example, https://two.example"})
    r = ask(server, f"OPTIONS {LOGIN} HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n"
                    "Access-Control-Request-Method: POST\r\n\r\n")
    assert r.status == 204
    assert r.headers["access-control-allow-origin"] == "https://app.example"
    assert r.headers["access-control-allow-credentials"] == "true"
    assert "POST" in r.headers["access-control-allow-methods"]
    assert "Content-Type" in r.headers["access-control-allow-headers"]
    assert "Origin" in r.headers["vary"]
    r = post(server, LOGIN, {"email": "a@b.co", "password": "xxxxxxxxxx"}, "Origin: https://two.example")
    assert r.status == 401 and r.headers["access-control-allow-origin"] == "https://two.example"
    r = ask(server, f"OPTIONS {LOGIN} HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n\r\n")
    assert "access-control-allow-origin" not in r.headers
    assert post(server, LOGIN, {}, "Origin: https://evil.example").status == 403


def test_login_is_limited(make_server):
    server = make_server(env={"TRUSTED_PROXIES": "127.0.0.1"})

    def attempt(email, address):
        return post(server, LOGIN, {"email": email, "password": "not the password"}, f"X-Forwarded-For: {address}")

    seen = [attempt("a@example.org", "192.0.2.1").status for _ in range(11)]
    assert seen == [401] * 10 + [429]
    r = attempt("A@example.org", "192.0.2.1")  # the same address, written otherwise
    assert r.status == 429 and r.json["code"] == "rate_limited"
    assert int(r.headers["retry-after"]) > 0
    assert r.headers["ratelimit-policy"] == '"login";q=10;w=60'
    assert r.headers["ratelimit"].startswith('"login";r=0;t=')
    assert attempt("b@example.org", "192.0.2.1").status == 401
    assert attempt("c@example.org", "192.0.2.2").status == 401
    # what a client writes in front of its own address does not help it
    assert attempt("a@example.org", "198.51.100.7, 192.0.2.1").status == 429


def test_forwarded_addresses_are_not_believed(make_server):
    server = make_server()
    seen = [post(server, LOGIN, {"email": "a@example.org", "password": "not the password"},
                 f"X-Forwarded-For: 192.0.2.{i}").status for i in range(11)]
    assert seen[-1] == 429


def test_pages_and_documents(server):
    r = get(server, "/")
    assert r.status == 200 and "default-src 'self'" in r.headers["content-security-policy"]
    assert r.headers["x-content-type-options"] == "nosniff" and r.headers["x-frame-options"] == "DENY"
    etag = r.headers["etag"]
    assert get(server, "/", f"If-None-Match: {etag}").status == 304
    assert get(server, "/api/auth/me").headers["cache-control"] == "no-store"
    assert get(server, "/api/auth/me").headers["www-authenticate"] == "Bearer"


def test_health(server):
    assert get(server, "/healthz").json["status"] == "ok"
    assert get(server, "/readyz").json == {"status": "ready", "reasons": []}
    text = get(server, "/metrics").body.decode()
    assert re.search(r'^mb_http_requests_total\{method="GET",route="/readyz",class="2xx"\} \d+$', text, re.M)
    assert re.search(r"^mb_http_request_seconds_count \d+$", text, re.M)
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{[^}]*\})? -?[0-9.e+]+', line), line


def test_log_tells_routes_not_secrets(make_server):
    server = make_server()
    get(server, "/api/purchases?cursor=SECRETQUERY")
    post(server, LOGIN, {"email": "who@example.org", "password": "SECRETPASSWORD"})
    get(server, "/api/auth/me", "Authorization: Bearer SECRETTOKEN", "X-Request-Id: look-here")
    wait_until(lambda: "look-here" in server.process.output())
    out = server.process.output()
    assert "SECRET" not in out and "who@example.org" not in out
    line = next(json.loads(x) for x in out.splitlines() if "look-here" in x)
    assert line["event"] == "http.request" and line["route"] == "/api/auth/me" and line["status"] == "401"


BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize("path, status, words", [
    ("/nothing/here", 404, "There is nothing here"), ("/unsubscribe/x.y.z", 404, "This link is not complete."),
    ("/billing/success?session_id=%3Cb%3E", 422, "Session_id must be the id"), ("/billing/success?session_id=cs_test_1", 303, ""),
])
def test_a_person_reads_errors_as_a_page(server, path, status, words):
    r = get(server, path, BROWSER)
    assert r.status in (status, 503), r
    if r.status < 400:
        return
    assert r.headers["content-type"] == "text/html; charset=utf-8" and words.encode() in r.body, r
    assert "default-src 'self'" in r.headers["content-security-policy"] and b"<b>" not in r.body.split(b"<main>")[1]
    assert r.headers["x-request-id"].encode() in r.body
    assert get(server, path).headers["content-type"] == "application/problem+json"


def test_the_api_answers_problems_to_browsers_too(server):
    r = get(server, "/api/nothing", BROWSER)
    assert r.status == 404 and r.headers["content-type"] == "application/problem+json"
