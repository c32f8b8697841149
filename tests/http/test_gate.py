"""What RFC 9112 forbids is refused with 400 and the connection closed, before any route."""
import pytest
from raw import Raw, ask

BODY = b"abc"
BAD = {
    "two hosts": "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "no host": "GET /healthz HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "a host with a path": "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "two lengths": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two different lengths": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a list of lengths": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "length and coding": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding twice": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": "POST /api/auth/login HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "absolute form": "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority form": "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "star for GET": "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": "GET /healthz#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a bad encoding": "GET /healthz%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "half an encoding": "GET /healthz%2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL": "GET /healthz%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a raw byte": "GET /healthz\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in a name": "GET /healthz HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
    "a space before the colon": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A : x\r\n\r\n",
    "a control in a value": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: a\x01b\r\n\r\n",
    "two authorizations": "GET /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n",
    "HTTP/2 by name": "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_refused(server, name):
    with Raw(server) as c:
        reply = c.send(BAD[name]).reply()
        assert 400 <= reply.status <= 505, reply
        assert reply.status in (400, 505), reply
        c.ended()


def test_nothing_is_smuggled(server):
    """A second request inside of what is refused is never answered."""
    inner = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
    with Raw(server) as c:
        c.send("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
               "0\r\n\r\n" + inner)
        assert c.reply().status == 400
        assert b"smuggled" not in c.ended()


def test_fine(server):
    for text in ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /healthz HTTP/1.1\r\nhOST: a:80\r\n\r\n",
                 "GET /healthz HTTP/1.0\r\n\r\n", "GET /healthz?a=%20&b=+ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
                 "GET /health%7a HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert ask(server, text).status == 200, text


def test_pipelining_and_keep_alive(server):
    with Raw(server) as c:
        c.send("".join(f"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: n{i}\r\n\r\n" for i in range(20)))
        assert [c.reply().headers["x-request-id"] for _ in range(20)] == [f"n{i}" for i in range(20)]
        c.send("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        head = c.reply(head=True)
        assert head.status == 200 and int(head.headers["content-length"]) > 0
        c.send("GET /nothing/here HTTP/1.1\r\nHost: a\r\n\r\n")
        assert c.reply().status == 404
        c.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert c.reply().status == 200
        assert c.ended() == b""


def test_too_large(server):
    login = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    reply = ask(server, login + f"Content-Length: {50 << 20}\r\n\r\n")  # nothing of it was sent
    assert reply.status == 413 and reply.json["code"] == "too_large"
    body = b'{"email":"' + b"x" * (3 << 20)
    with Raw(server) as c:  # all of it was sent: the answer has to get through
        c.send(login + f"Content-Length: {len(body)}\r\n\r\n").send(body)
        assert c.reply().status == 413
    with Raw(server) as c:
        c.send(login + "Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(24):
            c.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        c.send("0\r\n\r\n")
        assert c.reply().status == 413
    with Raw(server) as c:
        try:
            c.send("GET /healthz HTTP/1.1\r\nHost: a\r\n").send(b"X-A: " + b"y" * 40000 + b"\r\n\r\n")
        except OSError:
            pass  # refused while we were sending
        data = c.ended()
        assert data == b"" or data.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert ask(server, "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: " + "y" * 15000 + "\r\n\r\n").status == 200


def test_slow_clients(server, long):
    if not long:
        pytest.skip("waits for the deadline of 10 s; tests/unit/http has it short")
    with Raw(server) as c:
        c.send("GET /healthz HTTP/1.1\r\nHost: a\r\n")
        c.ended()
