"""HTTP/1.1 on one kept connection: a fraction of the cost of a library, which a hundred thousand steps would feel."""
import hashlib
import hmac
import json
import socket
import time


class Wire:
    def __init__(self, server):
        self.server, self.connection, self.stream = server, None, None

    def _open(self):
        self.connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.connection.makefile("rb")

    def close(self):
        if self.connection is not None:
            self.stream.close()
            self.connection.close()
            self.connection = None

    def call(self, method, path, body=None, headers=()):
        """(status, headers, body as JSON)"""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        for h in headers:
            head += h + "\r\n"
        if self.connection is None:
            self._open()
        self.connection.sendall((head + "\r\n").encode() + data)
        line = self.stream.readline()
        assert line, "the server closed the connection"
        status, length, got, closes = int(line.split()[1]), 0, [], False
        while (h := self.stream.readline()) != b"\r\n":
            name, _, value = h.decode().partition(":")
            name = name.lower()
            got.append((name, value.strip()))
            if name == "content-length":
                length = int(value)
            elif name == "connection" and "close" in value.lower():
                closes = True
        text = self.stream.read(length)
        if closes:
            self.close()
        return status, got, json.loads(text) if text else None

    def deliver(self, body, secret):
        t = int(time.time())
        mac = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
        return self.call("POST", "/api/webhooks/stripe", body, (f"Stripe-Signature: t={t},v1={mac}",))
