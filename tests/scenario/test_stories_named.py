"""Each of Stripe's stories, up to any of them, in any order and with duplicates, while GET answers with the objects as the
story leaves them: the state is the one that the story's name says, and one alone."""
import email.utils
import http.server
import json
import random
import threading
import time
import urllib.parse

import pytest

from harness.stripe_events import SHAPES, deliver, story_files

M1, M2 = "m1@example.org", "m2@example.org"
PATHS = {"subscriptions": "subscription", "invoices": "invoice", "payment_intents": "payment_intent", "charges": "charge",
         "refunds": "refund", "disputes": "dispute", "customers": "customer", "invoice_payments": "invoice_payment",
         "payment_methods": "payment_method"}


class Objects:
    """Stripe that only answers: the objects as they are at a story's end."""

    def __init__(self):
        self.objects, self.date, outer = {}, None, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def date_time_string(self, timestamp=None):
                return email.utils.formatdate(outer.date or time.time(), usegmt=True)

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.reply(200, {})

            def do_GET(self):
                path, _, query = self.path.partition("?")
                parts = path.split("/")[2:]
                if parts[-1] in outer.objects:
                    return self.reply(200, outer.objects[parts[-1]])
                if parts[0] in PATHS and len(parts) == 1:
                    q = dict(urllib.parse.parse_qsl(query))
                    found = [o for o in outer.objects.values() if o["object"] == PATHS[parts[0]]]
                    if q.get("payment[payment_intent]"):
                        found = [o for o in found if o["payment"].get("payment_intent") == q["payment[payment_intent]"]]
                    if q.get("invoice"):
                        found = [o for o in found if o.get("invoice") == q["invoice"]]
                    return self.reply(200, {"object": "list", "data": found, "has_more": False, "url": path})
                return self.reply(404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "no"}})

            def reply(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stripe():
    s = Objects()
    yield s
    s.close()


def one(rows, **want):
    found = [r for r in rows if all(r.get(k) == v for k, v in want.items())]
    assert len(found) == 1, (want, rows)
    return found[0]


def named(state, last):
    """What the names of the stories up to `last` say."""
    m1, m2, others = state["members"][M1]["billing"], state["members"][M2]["billing"], state["others"]["billing"]
    if last >= 1:
        sub, = m1["subscriptions"]
        assert sub["status"] == ("canceled" if last >= 7 else "active")
        assert {i["status"] for i in m1["invoices"]} == {"paid"} and len(m1["invoices"]) == min(last, 3)
        assert sub["cancelAtPeriodEnd"] == (last >= 7) and (sub["cancelAt"] is not None) == (last >= 7)
        assert [s["status"] for s in m1["checkoutSessions"]] == ["complete"]
        assert sub["firstFailure"] is None and not m1["refunds"]
    if last >= 8:
        pay = one(others["payments"], status="succeeded")
        assert pay["amount"] == 2500
        one(others["checkoutSessions"], status="complete", paymentStatus="paid")
    if last >= 9:
        assert sorted(r["amount"] for r in others["refunds"]) == [500, 2000]
        assert one(others["charges"], status="succeeded")["refunded"] == 2500
    else:
        assert not others["refunds"]
    if last >= 10:
        sub, = m2["subscriptions"]
        assert sub["status"] == "active" and len(m2["invoices"]) == 2
        assert {i["status"] for i in m2["invoices"]} == {"paid"}
        assert sub["collectionPaused"] == (last >= 11)
    else:
        assert not m2["subscriptions"]
    if last >= 12:
        one(others["checkoutSessions"], status="expired", paymentStatus="unpaid")
    else:
        assert all(s["status"] != "expired" for s in others["checkoutSessions"])


@pytest.mark.parametrize("last", range(1, 13))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_state_is_the_one_of_the_name(make_server, stripe, shared, shape, last, long):
    states = set()
    for seed in range(8 if long else 2):
        server = make_server(sandbox=stripe)
        users = {"101": server.member(M1).user_id, "102": server.member(M2).user_id}
        events = []
        for path in story_files(shared, shape)[:last + 1]:
            text = path.read_text()
            for old, new in users.items():
                text = text.replace(f'"{old}"', f'"{new}"')
            events += json.loads(text)
        stripe.objects = {e["data"]["object"]["id"]: e["data"]["object"] for e in events if "id" in e["data"]["object"]}
        # Answers are dated by Stripe's clock, which need not be that of the events.
        stripe.date = None if seed % 2 else events[-1]["created"] + 90
        rng = random.Random(100 * last + seed)
        mixed = events + rng.sample(events, len(events) // 3)
        rng.shuffle(mixed)
        deliver(server, *mixed)
        server.settle()
        text = server.state()
        named(json.loads(text), last)
        states.add(text)
        done = json.loads(server.cli("events", "replay", "--shadow", "--json"))
        assert done["differences"] == [] and done["failed"] == 0, done
    assert len(states) == 1
