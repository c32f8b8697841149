"""What RFC 9112 forbids is refused with 400 and the connection closed, before any route."""
import socket
import concurrent.futures
import signal

import pytest
from harness import wait_until
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


POST = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
ODD = {  # name: (bytes, the answers that are right; None: a connection closed without one)
    "capitals": (CHUNKED.replace("chunked", "CHUNKED") + "2\r\n{}\r\n0\r\n\r\n", {422}),
    "a negative chunk": (CHUNKED + "-2\r\n{}\r\n0\r\n\r\n", {400}),
    "a chunk with 0x": (CHUNKED + "0x2\r\n{}\r\n0\r\n\r\n", {400}),
    "a chunk after a space": (CHUNKED + " 2\r\n{}\r\n0\r\n\r\n", {400}),
    "a chunk beyond 64 bits": (CHUNKED + "F" * 17 + "\r\n{}\r\n0\r\n\r\n", {400, 413}),
    "a chunk without its end": (CHUNKED + "2\r\n{}0\r\n\r\n", {400}),
    "a chunk with an extension": (CHUNKED + "2;a=b\r\n{}\r\n0\r\n\r\n", {422}),
    "trailers": (CHUNKED + "2\r\n{}\r\n0\r\nContent-Length: 5\r\nHost: evil\r\n\r\n", {422}),
    "trailers without an end": (CHUNKED + "2\r\n{}\r\n0\r\n" + "X: " + "y" * 40000 + "\r\n\r\n", {431}),
    "single bytes": (CHUNKED + "1\r\n \r\n" * 3000 + "2\r\n{}\r\n0\r\n\r\n", {422}),
    "coding after a tab": (POST + "Transfer-Encoding:\tchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {422}),
    "coding before a colon and a space": (POST + "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", {400}),
    "a length of 19 nines": (POST + "Content-Length: " + "9" * 19 + "\r\n\r\n{}", {400, 413}),
    "a length of 24 nines": (POST + "Content-Length: " + "9" * 24 + "\r\n\r\n{}", {400, 413}),
    "an empty length": (POST + "Content-Length: \r\n\r\n{}", {400}),
    "two numbers": (POST + "Content-Length: 2 2\r\n\r\n{}", {400}),
    "a header line without a colon": ("GET /healthz HTTP/1.1\r\nHost: a\r\nFoo\r\n\r\n", {400}),
    "a folded first header": ("GET /healthz HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", {400}),
    "2,000 headers": ("GET /healthz HTTP/1.1\r\nHost: a\r\n" + "".join(f"X{i}: {i}\r\n" for i in range(2000)) + "\r\n", {431}),
    "a target of 20 kB": ("GET /" + "a" * 20000 + " HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "a query of 300 parameters": ("GET /api/catalog?" + "a=b&" * 300 + " HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "a query of 3,500 parameters": ("GET /api/catalog?" + "a=b&" * 3500 + " HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "a query of 100 parameters": ("GET /api/catalog?" + "a=b&" * 100 + " HTTP/1.1\r\nHost: a\r\n\r\n", {422}),
    "4,000 segments": ("GET /" + "a/" * 4000 + " HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "two slashes": ("GET //healthz HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "dot segments": ("GET /api/../healthz HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "encoded dot segments": ("GET /api/%2e%2e/healthz HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "an encoded slash": ("GET /api%2fauth%2fme HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "not UTF-8": ("GET /api/catalog/%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", {404, 422}),
    "no slash": ("GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "a query alone": ("GET ? HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "0.9": ("GET /healthz\r\n\r\n", {400, None}),
    "3": ("GET /healthz HTTP/3\r\nHost: a\r\n\r\n", {400, 505}),
    "HTTP/2's beginning": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n", {400, None}),
    "a method of 5 kB": ("A" * 5000 + " / HTTP/1.1\r\nHost: a\r\n\r\n", {400, 405}),
    "an upgrade": ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", {200}),
    "an empty host": ("GET /healthz HTTP/1.1\r\nHost: \r\n\r\n", {400}),
    "a host with a user": ("GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", {400}),
    "empty lines first": ("\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", {200}),
    "a compressed body": (POST + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", {415}),
    "cookies of 9 kB": ("GET /api/auth/me HTTP/1.1\r\nHost: a\r\nCookie: " + "a=b; " * 1800 + "\r\n\r\n", {401, 431, None}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_are_answered(server, name):
    """Never a crash, a hang or a 5xx; the server serves on."""
    data, right = ODD[name]
    with Raw(server) as c:
        c.send(data)
        while b"\r\n" not in c.data and c._more():
            pass
        status = int(c.data.split(b" ")[1]) if c.data else None
    assert status in right, c.data[:300]
    assert ask(server, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_a_length_that_lies_hides_no_request(server):
    """What follows a body is its own request, what is inside of one never is."""
    inner = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
    with Raw(server) as c:
        c.send(POST + f"Content-Length: {len(inner)}\r\n\r\n" + inner + "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: own\r\n\r\n")
        assert c.reply().status == 400  # not JSON
        assert c.reply().headers["x-request-id"] == "own"


def test_expect_continue(server):
    with Raw(server) as c:
        c.send(POST + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert c.reply().status == 100
        assert c.send("{}").reply().status == 422
    with Raw(server) as c:  # no use sending it
        assert c.send(POST + f"Content-Length: {9 << 20}\r\nExpect: 100-continue\r\n\r\n").reply().status == 413


def test_a_request_that_runs_is_finished_at_a_stop(make_server, make_sandbox):
    sandbox = make_sandbox()
    server = make_server(sandbox=sandbox)
    sandbox.forward_to(server)
    member = server.member()
    sandbox.fault("slow", ms=2000, count=1)
    asked = len(sandbox.call("GET", "/_sandbox/requests")["data"])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(member.post, "/api/subscription/create", {})
        wait_until(lambda: len(sandbox.call("GET", "/_sandbox/requests")["data"]) > asked)
        server.process.signal(signal.SIGTERM)
        assert running.result().status == 200
    server.stop()  # exit 0


def test_every_short_connection_is_answered(server):
    """Connections that end at once, one upon the other: the end of one takes nothing from the next."""
    asked = [(b"GET /healthz HTTP/1.0\r\n\r\n", b"HTTP/1.1 200"), (b"GET /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
             (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"HTTP/1.1 400")]
    for i in range(6000):
        request, begins = asked[i % 3]
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            s.sendall(request)
            answer = b""
            while part := s.recv(65536):
                answer += part
        assert answer.startswith(begins), (i, request, answer)
