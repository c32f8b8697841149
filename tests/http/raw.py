"""Bytes over a socket: what no HTTP library lets one send."""
import json
import socket

from harness.process import PATIENCE


class Reply:
    def __init__(self, status, headers, body, closed):
        self.status, self.headers, self.body, self.closed = status, headers, body, closed

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Raw:
    """A connection. send(bytes or text), reply() reads one answer, ended() waits for its end."""

    def __init__(self, server, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", server.port))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def _more(self):
        try:
            part = self.sock.recv(65536)
        except ConnectionResetError:
            part = b""
        self.data += part
        return bool(part)

    def reply(self, head=False):
        while b"\r\n\r\n" not in self.data:
            assert self._more(), f"ended early: {self.data!r}"
        top, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = top.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers.setdefault(name.lower(), []).append(value.strip())
        length = 0 if head or status in (204, 304) else int(headers.get("content-length", ["0"])[0])
        while len(self.data) < length:
            assert self._more(), f"body ended early: {self.data!r}"
        body, self.data = self.data[:length], self.data[length:]
        return Reply(status, {k: ", ".join(v) for k, v in headers.items()}, body, False)

    def ended(self):
        """Reads on until the server ends the connection; what came."""
        while self._more():
            pass
        return self.data


def ask(server, data, head=False):
    with Raw(server) as c:
        return c.send(data).reply(head)
