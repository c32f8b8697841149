"""What providers report: signatures, repeats, ranks, suppression; one-click unsubscribe. email/CONTRACT §7-§9."""
import base64
import json
import time

import pytest
import requests
from books import sql
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import load, mail_row, put_mail, wait_state

from harness import wait_until
from harness.process import PATIENCE

SENDGRID, POSTMARK = "/api/webhooks/email/sendgrid", "/api/webhooks/email/postmark"


class SendGrid:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.public = base64.b64encode(self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()

    def post(self, server, body, timestamp="1790000000", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = base64.b64encode(self.key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        return requests.post(server.base + SENDGRID, data=body, timeout=PATIENCE, headers={
            "Content-Type": "application/json", "X-Twilio-Email-Event-Webhook-Signature": signature,
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp, **headers})


def postmark(server, body, auth=("mb", "pm-hook"), **kw):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(server.base + POSTMARK, data=data, auth=auth, timeout=PATIENCE, **kw)


@pytest.fixture
def grid():
    return SendGrid()


@pytest.fixture
def hooked(make_server, provider, grid):
    p = provider("sendgrid")
    return make_server(env={**p.env(), "SENDGRID_WEBHOOK_KEY": grid.public, "POSTMARK_WEBHOOK_SECRET": "pm-hook"})


def sent(server):
    mail = put_mail(sql, server, to="member@example.test")
    wait_state(sql, server, mail, "accepted")
    return mail


def events(server):
    return sql(server, "SELECT type FROM email_event ORDER BY received_at, type")


@pytest.mark.parametrize("case", load("sendgrid.event-webhook.vectors.json")["cases"], ids=lambda c: c["name"])
def test_signatures_of_others(make_server, case):
    s = make_server(env={"SENDGRID_WEBHOOK_KEY": case["public_key_spki_der_base64"]})
    a = requests.post(s.base + SENDGRID, data=base64.b64decode(case["body_base64"]), timeout=PATIENCE, headers={
        "X-Twilio-Email-Event-Webhook-Signature": case["signature_base64"],
        "X-Twilio-Email-Event-Webhook-Timestamp": case["timestamp"]})
    assert a.status_code == (200 if case["valid"] else 401), a.text
    assert bool(events(s)) == case["valid"]


def test_sendgrid_events(hooked, grid):
    """All examples in any order: a state only goes forward; repeats under another id change nothing."""
    examples = load("sendgrid.event-examples.json")["events"]
    mail = sent(hooked)
    row = mail_row(sql, hooked, mail)
    for e in examples:
        e["email_id"], e["sg_message_id"] = mail, row["provider_id"] + ".recvd-1-0"
    step = {e["event"] + e.get("type", ""): e for e in reversed(examples)}
    for name, state in [("processed", "accepted"), ("deferred", "deferred"), ("processed", "deferred"),
                        ("delivered", "delivered"), ("deferred", "delivered"), ("bounceblocked", "delivered"),
                        ("open", "delivered"), ("click", "delivered"), ("bouncebounce", "delivered"),
                        ("spamreport", "complained"), ("delivered", "complained"), ("dropped", "complained"),
                        ("brand_new_event", "complained")]:
        if name == "bouncebounce":
            continue
        assert grid.post(hooked, [step[name]]).status_code == 200
        assert mail_row(sql, hooked, mail)["state"] == state, name
    before = len(events(hooked))
    assert grid.post(hooked, examples).status_code == 200
    assert grid.post(hooked, list(reversed(examples))).status_code == 200
    # both bounces of the examples happened in one second: one of them is a repeat of the other
    assert len(events(hooked)) == len({(e["event"], e["timestamp"]) for e in examples} - {("brand_new_event", 1790000000)})
    assert len(events(hooked)) >= before
    assert ("member@example.test", "all") in sql(hooked, "SELECT address, scope FROM email_suppression")


def test_bounce_suppresses(hooked, grid, admin):
    mail = sent(hooked)
    e = {"email": "Member@Example.test", "event": "bounce", "type": "bounce", "timestamp": 1790000001, "email_id": mail,
         "reason": "550 5.1.1 no such user", "sg_message_id": "x.1"}
    assert grid.post(hooked, [e]).status_code == 200
    assert mail_row(sql, hooked, mail)["state"] == "bounced"
    assert wait_state(sql, hooked, put_mail(sql, hooked), "suppressed")["attempts"] in (0, "0")
    boss = admin(hooked)
    listed = boss.get("/api/admin/email/suppressions").json["data"]
    assert [(x["address"], x["reason"]) for x in listed] == [("member@example.test", "bounce")]
    assert boss.delete("/api/admin/email/suppressions/member@example.test").status == 204
    assert boss.delete("/api/admin/email/suppressions/member@example.test").status == 404
    assert [a["action"] for a in boss.get("/api/admin/audit").json["data"]] == ["mail.unsuppress"]
    wait_state(sql, hooked, put_mail(sql, hooked), "accepted")


def test_news_of_what_one_wishes_in_any_order(hooked, grid):
    """An unsubscription that is newer than the wish to have mail again is not lifted by it, whichever comes first; one
    provider takes back nothing of the other's."""
    def wish(event, at):
        e = {"email": "Wish@example.test", "event": event, "timestamp": at, "sg_message_id": f"x{at}"}
        assert grid.post(hooked, [e]).status_code == 200
        return sql(hooked, "SELECT scope FROM email_suppression WHERE address = 'wish@example.test'")

    assert wish("group_unsubscribe", 1790000300) == [("optional",)]
    assert wish("group_resubscribe", 1790000200) == [("optional",)]  # older, but late
    change = {"RecordType": "SubscriptionChange", "Recipient": "wish@example.test", "SuppressSending": False,
              "MessageStream": "broadcast", "ChangedAt": "2026-11-29T00:00:00Z"}
    assert postmark(hooked, change).status_code == 200
    assert wish("group_unsubscribe", 1790000400) == [("optional",)]  # and once more
    assert wish("group_resubscribe", 1790000350) == [("optional",)]
    assert wish("group_resubscribe", 1790000401) == []


def test_an_old_call_is_taken_and_told(hooked, grid):
    event = [{"event": "processed", "email": "a@b.test", "timestamp": 1, "sg_message_id": "x"}]
    assert grid.post(hooked, event, timestamp="1600000000").status_code == 200
    assert events(hooked) == [("processed",)]
    assert grid.post(hooked, event, timestamp="4000000000").status_code == 200
    process = hooked.process
    hooked.stop()
    told = [line for line in process.output().splitlines() if "mail.webhook_late" in line]
    assert len(told) == 1 and "1600000000" in told[0]


def test_what_is_long_over_is_forgotten(hooked, grid):
    """Events after half a year, the words of unsent mail after a month, those of expired mail at once; rows stay."""
    hooked.stop()
    failed, doubt, young = (put_mail(sql, hooked, to=f"{n}@example.test") for n in ("failed", "doubt", "young"))
    expired = put_mail(sql, hooked, to="expired@example.test", vars={"url": "secret"}, expires=1)
    day, clock = 24 * 3600 * 1000, int(time.time() * 1000)
    sql(hooked, "DELETE FROM job WHERE key <> ?", expired)
    for mail, state, age in ((failed, "failed", 31), (doubt, "in_doubt", 31), (young, "failed", 29)):
        sql(hooked, "UPDATE email_log SET state = ?, rank = 3, updated_at = ? WHERE id = ?", state, clock - age * day, mail)
    for n in range(2100):
        age = 181 if n < 2050 else 179
        sql(hooked, "INSERT INTO email_event (key, provider, type, received_at) VALUES (?, 'sendgrid', 'open', ?)", f"k{n}",
            clock - age * day) if hooked.engine != "pg" else None
    if hooked.engine == "pg":
        sql(hooked, "INSERT INTO email_event (key, provider, type, received_at) SELECT 'k' || n, 'sendgrid', 'open',"
            f" {clock} - CASE WHEN n < 2050 THEN 181 ELSE 179 END * {day}::bigint FROM generate_series(0, 2099) AS n")
    sql(hooked, "INSERT INTO job (id, kind, payload, state, priority, run_at, attempt, crashes, token, cancel, created_at)"
        " VALUES ('job_clean', 'mail.clean', '{}', 'ready', 0, 1, 0, 0, 0, 0, 1)")
    hooked.start()
    wait_until(lambda: sql(hooked, "SELECT state FROM job WHERE id = 'job_clean'") == [("done",)])
    assert int(sql(hooked, "SELECT COUNT(*) FROM email_event")[0][0]) == 50
    assert wait_state(sql, hooked, expired, "expired")["vars"] in (None, "")
    kept = dict(sql(hooked, "SELECT recipient, COALESCE(vars, '') FROM email_log"))
    assert kept == {"failed@example.test": "", "doubt@example.test": "", "young@example.test": "{}", "expired@example.test": ""}


def test_news_end_doubt(make_server, provider, grid):
    p = provider("sendgrid")
    s = make_server(env={**p.env(), "SENDGRID_WEBHOOK_KEY": grid.public})
    p.answers = ["hang up"]
    mail = put_mail(sql, s)
    wait_state(sql, s, mail, "in_doubt")
    assert grid.post(s, [{"event": "delivered", "email": "member@example.test", "timestamp": 1790000000, "email_id": mail,
                          "sg_message_id": "abc.1"}]).status_code == 200
    assert mail_row(sql, s, mail)["state"] == "delivered"
    s.clock("+16 minutes")
    s.settle()
    assert p.ids() == [mail] and mail_row(sql, s, mail)["state"] == "delivered"


def test_sendgrid_bad_calls(hooked, grid):
    good = [{"event": "processed", "email": "a@b.test", "timestamp": 1, "sg_message_id": "x"}]
    assert grid.post(hooked, good, **{"X-Twilio-Email-Event-Webhook-Signature": "AAAA"}).status_code == 401
    assert grid.post(hooked, good, **{"X-Twilio-Email-Event-Webhook-Timestamp": "1790000001"}).status_code == 401
    assert requests.post(hooked.base + SENDGRID, json=good, timeout=PATIENCE).status_code == 401
    assert SendGrid().post(hooked, good).status_code == 401
    assert not events(hooked)
    assert grid.post(hooked, b"x" * (1024 * 1024 + 1)).status_code == 413
    for broken in (b"{not json", b"{}", b"\xff\xfe", b"[1" + b"]" * 3):
        assert grid.post(hooked, broken).status_code == 200, broken
        assert grid.post(hooked, broken).status_code == 200
    assert events(hooked) == [("broken",)] * 4
    assert grid.post(hooked, [7, None, {}, {"event": 5, "timestamp": "x"}]).status_code == 200


def test_postmark_events(hooked):
    examples = load("postmark.webhook-examples.json")["events"]
    mail = sent(hooked)
    for e in examples:
        e["Metadata"] = {"email_id": mail}
    by = {e["RecordType"]: e for e in examples}
    for name, state in [("Open", "delivered"), ("Delivery", "delivered"), ("Bounce", "bounced"), ("Delivery", "bounced"),
                        ("SpamComplaint", "complained"), ("Click", "complained"), ("SubscriptionChange", "complained")]:
        assert postmark(hooked, by[name]).status_code == 200
        assert mail_row(sql, hooked, mail)["state"] == state, name
    assert len(events(hooked)) == 6
    scopes = sql(hooked, "SELECT scope FROM email_suppression WHERE address = 'member@example.test' ORDER BY scope")
    assert scopes == [("all",), ("optional",)]
    lifted = {**by["SubscriptionChange"], "SuppressSending": False, "SuppressionReason": None, "ChangedAt": "2025-04-06T00:00:00Z"}
    assert postmark(hooked, lifted).status_code == 200
    assert sql(hooked, "SELECT scope FROM email_suppression") == [("all",)]
    soft = {"RecordType": "Bounce", "Type": "SoftBounce", "Inactive": False, "Email": "soft@example.test",
            "Metadata": {"email_id": sent_to(hooked, "soft@example.test")}, "BouncedAt": "2025-04-05T16:33:54.9070259-04:00"}
    assert postmark(hooked, soft).status_code == 200
    assert mail_row(sql, hooked, soft["Metadata"]["email_id"])["state"] == "deferred"


def sent_to(server, address):
    mail = put_mail(sql, server, to=address)
    wait_state(sql, server, mail, "accepted")
    return mail


def test_postmark_bad_calls(hooked):
    event = {"RecordType": "Delivery", "MessageID": "1", "Recipient": "a@b.test"}
    for auth in (None, ("mb", "wrong"), ("pm-hook", ""), ("mb", "")):
        assert postmark(hooked, event, auth=auth).status_code == 401
    assert postmark(hooked, event, auth=None, headers={"X-MyBeing-Webhook-Secret": "wrong"}).status_code == 401
    assert not events(hooked)
    assert postmark(hooked, event, auth=None, headers={"X-MyBeing-Webhook-Secret": "pm-hook"}).status_code == 200
    assert postmark(hooked, {"RecordType": "Brand New"}).status_code == 200
    assert postmark(hooked, b"{broken").status_code == 200
    assert postmark(hooked, {"RecordType": "Bounce"}).status_code == 200
    assert sorted(events(hooked)) == [("Bounce",), ("Delivery",), ("broken",)]


def test_without_a_key(server):
    assert requests.post(server.base + SENDGRID, data=b"[]", timeout=PATIENCE).status_code == 503
    assert requests.post(server.base + POSTMARK, data=b"{}", timeout=PATIENCE).status_code == 503


def test_one_click_unsubscribe(make_server, smtp):
    box = smtp()
    s = make_server(env=box.env())
    wait_state(sql, s, put_mail(sql, s, "checkin_reminder", vars={"url": "https://x.test"}, optional=1), "accepted")
    m = box.messages[0]
    raw = m.envelope.original_content.split(b"\r\n\r\n")[0].split(b"\r\n")
    line = [x for x in raw if x.startswith(b"List-Unsubscribe:")][0].decode()
    assert line.startswith("List-Unsubscribe: <http") and line.endswith(">") and len(line) < 998
    assert m["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = line.split("<")[1].rstrip(">")
    assert url in m.get_body(("plain",)).get_content() and url in m.get_body(("html",)).get_content()
    page = requests.get(url, timeout=PATIENCE)
    assert page.status_code == 200 and "<button" in page.text
    assert not sql(s, "SELECT * FROM email_suppression")
    for _ in range(2):
        a = requests.post(url, data="List-Unsubscribe=One-Click", timeout=PATIENCE, allow_redirects=False,
                          headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert a.status_code == 200
    assert requests.post(url[:-3] + "AAA", timeout=PATIENCE).status_code == 404
    assert requests.post(url.replace("checkin_reminder", "receipt"), timeout=PATIENCE).status_code == 404
    stopped = put_mail(sql, s, "checkin_reminder", vars={"url": "https://x.test"}, optional=1)
    wait_state(sql, s, stopped, "suppressed")
    wait_state(sql, s, put_mail(sql, s), "accepted")
    assert len(box.messages) == 2
