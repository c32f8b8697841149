"""What arrives, as other people's programs read it: npm's smtp-server and mailparser, Prism; and names and subjects
that try to be more than that. email/CONTRACT §4, §10."""
import email.utils
import json
import unicodedata

import pytest
from books import sql, sql_all
from fakes import mail_row, put_mail, wait_state

from harness import wait_until
from harness.process import PATIENCE

HEADERS = {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "auto-submitted"}
LINES = ".\n.hidden dot\n..two\nFrom here\nLäuse – 日本語 🙂\n" + "x" * 3000


def test_read_by_mailparser(make_server, mailbox):
    box = mailbox()
    s = make_server(env={**box.env(), "EMAIL_FROM": "MyBeing – für dich <hello@mybeing.example>"})
    name, what = "Zoë \"Q\" O'Neil, Dr. 日本語の長い名前がここに入ります" * 2, "äöü ß € 🙂 – ein langer Betreff " * 4 + "!"
    mail = put_mail(sql, s, "refund", "zoe@bücher.example", name, {"amount": what, "what": LINES})
    wait_state(sql, s, mail, "accepted")
    [m] = box.messages
    assert m["envelope"] == {"from": "hello@mybeing.example", "to": ["zoe@bücher.example"]}
    assert "<zoe@xn--bcher-kva.example>" in m["headers"]["to"]  # the server shows the domain decoded
    assert m["subject"] == f"Your refund of {what}"
    assert m["from"] == [{"name": "MyBeing – für dich", "address": "hello@mybeing.example"}]
    assert len(m["to"]) == 1 and m["to"][0]["name"] == name
    assert m["messageId"] == f"<{mail}@mybeing.example>" and m["date"]
    assert set(m["names"]) == HEADERS and len(m["names"]) == len(HEADERS)
    assert "\n.hidden dot\n..two\nFrom here\nLäuse – 日本語 🙂\n" in m["text"] and "x" * 3000 in m["text"]
    assert "Läuse – 日本語 🙂" in m["html"] and name.replace('"', "&quot;").replace("'", "&#39;") in m["html"]
    assert m["attachments"] == 0 and not m["secure"]


def test_dot_lines_whatever_the_encoding(make_server, mailbox, tmp_path):
    """Every line of a template begins with a dot: libcurl doubles each, the server takes one away."""
    body = "".join(f"{'.' * (i % 4)}line {i}\n" for i in range(200)) + ".\n"
    (tmp_path / "welcome.mail").write_text(f"subject: .dots\n=== text\n{body}=== html\n<pre>\n{body}</pre>\n")
    box = mailbox()
    s = make_server(env={**box.env(), "EMAIL_TEMPLATES_DIR": str(tmp_path)})
    wait_state(sql, s, put_mail(sql, s), "accepted")
    [m] = box.messages
    assert m["subject"] == ".dots" and body.strip() in m["text"] and body.strip() in m["html"]


def test_starttls_and_sign_in(make_server, mailbox):
    box = mailbox("--tls")
    s = make_server(env=box.env())
    wait_state(sql, s, put_mail(sql, s), "accepted")
    [m] = box.messages
    assert m["secure"] and m["user"] == "user"


def tidy(text):
    """Readers fold the spaces of a header."""
    return " ".join(text.split())


def bad(text):
    """Must be refused: it would end the header's line. None: may be (another control character)."""
    if any(c in text for c in "\r\n\0"):
        return True
    return None if any(unicodedata.category(c) in ("Cc", "Cs") for c in text) else False


@pytest.mark.parametrize("kind", ["sendgrid", "postmark", "smtp"])
def test_headers_cannot_be_injected(make_server, provider, mailbox, shared, kind):
    """The big list of naughty strings, each as the recipient's name and in the subject."""
    strings = json.loads((shared / "corpus/lists/blns.json").read_text())
    strings += ["a\r\nBcc: all@example.test", "a\nBcc: all@example.test", "a\rBcc: all@example.test", "a\0b", "\r\n.\r\nQUIT",
                "=?utf-8?q?a=0D=0ABcc:_all=40example.test?=", "x\" <all@example.test>, \"y", "(comment) <all@example.test>",
                "a" * 800, "ü" * 400, "\u2028Bcc: all@example.test", "\\\" \\", "group: a@example.test;"]
    box = mailbox() if kind == "smtp" else provider(kind)
    s = make_server(env={**box.env(), "EMAIL_RATE_PER_MINUTE": "0"})
    if s.engine == "pg":    # its texts cannot hold one
        strings = [t for t in strings if "\0" not in t]
    cases = [(t, t) for t in strings if bad(t) is False]  # the others one by one: each is to be refused for itself
    cases += [case for t in strings if bad(t) is not False for case in ((t, "$1.00"), ("Anna", t))]
    rows = []
    mails = [put_mail(lambda _, *row: rows.append(row), s, "refund", f"m{i}@example.test", name, {"amount": amount})
             for i, (name, amount) in enumerate(cases)]
    sql_all(s, rows)
    wait_until(lambda: sql(s, "SELECT COUNT(*) FROM email_log WHERE state IN ('queued', 'sending')")[0][0] == 0, 240)
    if kind == "smtp":
        taken = sql(s, "SELECT COUNT(*) FROM email_log WHERE state = 'accepted'")[0][0]
        wait_until(lambda: len(box.messages) >= taken, message=f"{taken} were accepted, {len(box.messages)} came")
        got = {m["messageId"][1:].split("@")[0]: m for m in box.messages}
    else:
        got = dict(zip(box.ids(), box.got))
    for i, (mail, (name, amount)) in enumerate(zip(mails, cases)):
        row = mail_row(sql, s, mail)
        if mail not in got:
            assert row["state"] == "failed" and row["error"], (name, amount, row)
            assert bad(name) is not False or bad(amount) is not False, ("refused for nothing", name, amount)
            continue
        assert row["state"] == "accepted" and not bad(name) and not bad(amount), (name, amount, row)
        m, address, subject = got[mail], f"m{i}@example.test", tidy(f"Your refund of {amount}")
        if kind == "sendgrid":
            assert m["personalizations"][0]["to"] == [{"email": address, **({"name": name} if name else {})}]
            assert tidy(m["subject"]) == subject and "headers" not in m
        elif kind == "postmark":
            assert [(tidy(n), a) for n, a in email.utils.getaddresses([m["To"]])] == [(tidy(name), address)], m["To"]
            assert tidy(m["Subject"]) == subject and not m.get("Headers")
        else:
            assert set(m["names"]) == HEADERS and len(m["names"]) == len(HEADERS), (name, amount, m["names"])
            assert m["envelope"]["to"] == [address] and [a["address"] for a in m["to"]] == [address], (name, m["to"])
            assert tidy(m["subject"]) == subject and tidy(m["to"][0]["name"]) == tidy(name), (name, amount, m)
    assert len(got) > len(strings) * 0.9
