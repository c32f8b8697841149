"""SMTP by libcurl against a real server. email/CONTRACT §4, §10."""
import email
import socket
import time
from email.header import decode_header, make_header

import pytest
from books import sql
from fakes import mail_row, put_mail, wait_job, wait_state

MINUTE = 60 * 1000


def now():
    return int(time.time() * 1000)


def parts(message):
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    return plain.get_content().replace("\r\n", "\n"), html.get_content()


def test_a_message_as_it_arrives(make_server, smtp):
    box = smtp()
    s = make_server(env={**box.env(), "EMAIL_FROM": "MyBeing – für dich <hello@mybeing.example>"})
    name, what = "Zoë \"Q\" O'Neil, Dr. 日本語の長い名前がここに入ります" * 2, "Ein sehr langer Betreff – mit Umlauten: äöü ß € 🙂 " * 3
    mail = put_mail(sql, s, "refund", "zoe@bücher.example", name, {"amount": what, "what": ".\n.hidden dot\n..two\n" + "x" * 3000})
    wait_state(sql, s, mail, "accepted")
    m = box.messages[0]
    assert m.envelope.mail_from == "hello@mybeing.example" and m.envelope.rcpt_tos == ["zoe@xn--bcher-kva.example"]
    assert m["Subject"] == f"Your refund of {what}".rstrip() or m["Subject"] == f"Your refund of {what}"
    assert m["From"].addresses[0].display_name == "MyBeing – für dich"
    # decoded by the older parser: the newer one puts spaces between adjacent encoded words of a name
    to = email.message_from_bytes(m.envelope.original_content)["To"]
    assert str(make_header(decode_header(to))).replace(" <", "<") == f"{name}<zoe@xn--bcher-kva.example>"
    assert m["Message-ID"] == f"<{mail}@mybeing.example>" and m["Date"].datetime is not None
    assert "List-Unsubscribe" not in m
    raw = m.envelope.original_content
    assert b"\r\n" in raw and b"\n" not in raw.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    head = raw.split(b"\r\n\r\n")[0]
    assert all(len(word) <= 75 for line in head.split(b"\r\n") for word in line.split() if word.startswith(b"=?"))
    assert head.isascii()
    text, html = parts(m)
    assert "\n.hidden dot\n..two\n" in text and "x" * 3000 in text and "🙂" in text
    assert name.replace('"', "&quot;").replace("'", "&#39;") in html
    kinds = [p.get_content_type() for p in m.walk() if not p.is_multipart()]
    assert kinds == ["text/plain", "text/html"]


def test_many_use_few_connections(make_server, smtp):
    box = smtp()
    s = make_server(env=box.env())
    mails = [put_mail(sql, s, to=f"m{i}@example.test") for i in range(60)]
    for mail in mails:
        wait_state(sql, s, mail, "accepted")
    assert sorted(m["Message-ID"].strip("<>").split("@")[0] for m in box.messages) == sorted(mails)


def test_replies(make_server, smtp):
    box = smtp()
    s = make_server(env=box.env())
    box.rcpt.append("451 4.7.1 later")
    mail = put_mail(sql, s)
    at = now()
    job = wait_job(sql, s, mail, at + 20 * 1000)
    assert job["run_at"] < now() + 40 * 1000 and not box.messages
    box.rcpt.append("550 5.1.1 nobody here")
    row = wait_state(sql, s, put_mail(sql, s), "failed")
    assert "550" in row["error"] and not box.messages
    s.clock("+1 minute")
    wait_state(sql, s, mail, "accepted")
    assert box.messages[0]["Message-ID"].startswith(f"<{mail}@")


def test_lost_after_the_final_dot(make_server, smtp):
    box = smtp()
    s = make_server(env=box.env())
    box.drop = 1
    mail = put_mail(sql, s)
    row = wait_state(sql, s, mail, "in_doubt")
    assert row["doubt_until"] > now() + 13 * MINUTE and len(box.messages) == 1
    wait_job(sql, s, mail, now() + 13 * MINUTE)
    s.clock("+16 minutes")
    wait_state(sql, s, mail, "accepted")
    assert len({m["Message-ID"] for m in box.messages}) == 1 and len(box.messages) == 2
    assert box.messages[0]["Date"] == box.messages[1]["Date"]


def test_nobody_listens(make_server):
    s = make_server(env={"EMAIL_PROVIDER": "smtp", "SMTP_URL": "smtp://127.0.0.1:9"})
    mail = put_mail(sql, s)
    wait_job(sql, s, mail, now() + 20 * 1000)
    assert mail_row(sql, s, mail)["state"] == "queued"


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        try:
            u.connect(("192.0.2.1", 9))
            return u.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def test_starttls_is_required_off_loopback(make_server, smtp):
    """A server that offers no STARTTLS gets no mail and no password: the provider is paused."""
    host = own_address()
    if host.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    box = smtp(hostname=host)
    s = make_server(env={**box.env(), "SMTP_URL": box.url.replace("smtp://", "smtp://user:secret@")})
    mail = put_mail(sql, s)
    wait_job(sql, s, mail, now() + 3 * MINUTE)
    row = mail_row(sql, s, mail)
    assert row["state"] == "queued" and not box.messages
    assert sql(s, "SELECT name FROM email_provider") == [("smtp",)]
    assert "secret" not in s.process.output()
