"""An AI provider that replays streams byte by byte, cut where one likes."""
import http.server
import json
import threading
import time


class Double:
    """answers: a list of functions(handler, body) used in turn; the last one stays."""

    def __init__(self):
        self.requests, self.answers, self.title = [], [], None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                title = body.get("max_completion_tokens", body.get("max_tokens")) == 40
                outer.requests.append({"path": self.path, "headers": dict(self.headers), "body": body, "title": title})
                if title:
                    if outer.title:
                        return outer.title(self, body)
                    return stream([b'data: {"choices":[{"delta":{"content":"A better title"},"finish_reason":"stop"}]}\n\n'])(self, body)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                try:
                    answer(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def turns(self):
        return [r for r in self.requests if not r["title"]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def head(handler, status=200, kind="text/event-stream", **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    for k, v in headers.items():
        handler.send_header(k.replace("_", "-"), v)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True


def stream(parts, wait=None, gap=0.0):
    """Sends the parts; wait: an Event to wait for before the last one."""
    def answer(handler, body):
        head(handler)
        for i, part in enumerate(parts):
            if wait is not None and i == len(parts) - 1:
                wait.wait(60)
            handler.wfile.write(part)
            handler.wfile.flush()
            if gap:
                time.sleep(gap)
    return answer


def cut(raw, where):
    """The bytes in parts that end at these positions."""
    ends = [*where, len(raw)]
    return [raw[a:b] for a, b in zip([0, *ends], ends)]


def refuse(status, body=b'{"error":{"type":"x","message":"secret words of the provider"}}', **headers):
    def answer(handler, _):
        head(handler, status, "application/json", **headers)
        handler.wfile.write(body)
    return answer


def say(*words, finish="stop"):
    parts = [f'data: {json.dumps({"choices": [{"index": 0, "delta": {"content": w}, "finish_reason": None}]})}\n\n'.encode()
             for w in words]
    if finish:
        parts.append(f'data: {json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})}\n\n'
                     'data: [DONE]\n\n'.encode())
    return parts
