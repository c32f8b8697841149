"""SendGrid and Postmark: requests as published, and what each answer leads to. email/CONTRACT §2, §3, §6."""
import functools
import json
import time

import pytest
from books import sql
from fakes import SPECS, Prism, job_row, mail_row, put_mail, wait_job, wait_state

MINUTE = 60 * 1000
KINDS = ["sendgrid", "postmark"]


@pytest.fixture
def provider(provider):
    """Every request of this file is also held to the provider's document by Prism."""
    return functools.partial(provider, prism=True)


def test_prism_sees(provider):
    """The oracle itself: what the documents forbid is found."""
    good = {"sendgrid": {"personalizations": [{"to": [{"email": "a@example.test"}]}], "from": {"email": "b@example.test"},
                         "subject": "s", "content": [{"type": "text/plain", "value": "x"}]},
            "postmark": {"From": "b@example.test", "To": "a@example.test", "Subject": "s", "TextBody": "x"}}
    key = {"sendgrid": {"Authorization": "Bearer SG.test"}, "postmark": {"X-Postmark-Server-Token": "pm-test"}}
    for kind in KINDS:
        prism, path = Prism.of(kind), SPECS[kind][1]

        def problems(body, path=path, method="POST", **headers):
            return prism.problems(method, path, {**key[kind], "Content-Type": "application/json", **headers},
                                  json.dumps(body).encode())

        assert problems(good[kind]) == []
        assert problems(good[kind], path="/nowhere") and problems(good[kind], method="PUT")
        first = next(iter(good[kind]))
        assert problems({**good[kind], first: 7})
        if kind == "sendgrid":
            assert problems({k: v for k, v in good[kind].items() if k != "from"})
            assert problems({**good[kind], "categories": ["x"] * 11})


def now():
    return int(time.time() * 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_accepted(make_server, provider, kind):
    p = provider(kind)
    s = make_server(env=p.env())
    mail = put_mail(sql, s, "receipt", "zoe@bücher.example", "Zoë \"Q\" Müller",
                    {"lines": [{"title": "A <b>", "amount": "$1.00"}], "total": "$1.00", "date": "today"})
    row = wait_state(sql, s, mail, "accepted")
    assert row["provider"] == kind and row["provider_id"] and row["vars"] is None and row["attempts"] == 1
    assert p.ids() == [mail]
    m = p.got[0]
    if kind == "sendgrid":
        assert m["personalizations"][0]["to"] == [{"email": "zoe@xn--bcher-kva.example", "name": "Zoë \"Q\" Müller"}] or \
            m["personalizations"][0]["to"] == [{"email": "zoe@bücher.example", "name": "Zoë \"Q\" Müller"}]
        assert [c["type"] for c in m["content"]] == ["text/plain", "text/html"]
        text, html = (c["value"] for c in m["content"])
        assert m["tracking_settings"]["click_tracking"]["enable"] is False
        assert m["tracking_settings"]["open_tracking"]["enable"] is False
        assert "categories" not in m and list(m["personalizations"][0]["custom_args"]) == ["email_id"]
    else:
        assert m["To"] == "\"Zoë \\\"Q\\\" Müller\" <zoe@xn--bcher-kva.example>"
        assert m["MessageStream"] == "outbound" and m["TrackOpens"] is False and m["TrackLinks"] == "None"
        assert m["Metadata"] == {"email_id": mail}
        text, html = m["TextBody"], m["HtmlBody"]
    assert "A <b>: $1.00" in text and "A &lt;b&gt;" in html and "A <b>" not in html


ANSWERS = [
    ("sendgrid", (400, "bad"), "failed"),
    ("sendgrid", (413, "too large"), "failed"),
    ("sendgrid", (401, "who?"), "queued"),
    ("sendgrid", (403, "no"), "queued"),
    ("sendgrid", (408, "slow"), "queued"),
    ("sendgrid", (429, "slow"), "queued"),
    ("sendgrid", (500, "ill"), "queued"),
    ("sendgrid", (502, "ill"), "queued"),
    ("sendgrid", (503, "ill"), "queued"),
    ("sendgrid", (504, "ill"), "queued"),
    ("postmark", (422, 300), "failed"),
    ("postmark", (422, 406), "suppressed"),
    ("postmark", (401, 10), "queued"),
    ("postmark", (422, 400), "queued"),
    ("postmark", (422, 405), "queued"),
    ("postmark", (422, 412), "queued"),
    ("postmark", (422, 413), "queued"),
    ("postmark", (503, 100), "queued"),
    ("postmark", (429, 429), "queued"),
    ("postmark", (500, 0), "queued"),
]
PAUSES = {("sendgrid", 401), ("sendgrid", 403), ("postmark", 10), ("postmark", 400), ("postmark", 405), ("postmark", 412),
          ("postmark", 413), ("postmark", 100)}


def test_answers(make_server, provider, admin):
    """The table of the contract, one server a provider; a pause is lifted by the admin before the next row."""
    for kind in KINDS:
        p = provider(kind)
        s = make_server(env=p.env())
        boss = admin(s)
        wait_state(sql, s, put_mail(sql, s), "accepted")
        for number, (of, (status, what), state) in enumerate(ANSWERS):
            if of != kind:
                continue
            p.answers = [p.error(status, what) if kind == "sendgrid" else p.postmark(status, what)]
            before, calls = now(), len(p.got)
            mail = put_mail(sql, s, to=f"row{number}@example.test")
            pauses = (kind, status if kind == "sendgrid" else what) in PAUSES
            if state == "queued":
                job = wait_job(sql, s, mail, before + (4 * MINUTE if pauses else 20 * 1000))
                assert job["attempt"] == 0, "a mail's retries have a table of their own"
                assert job["run_at"] < now() + (6 if pauses else 1) * MINUTE
            row = wait_state(sql, s, mail, state)
            assert row["attempts"] == 1 and row["error"], (kind, status, what, row)
            listed = boss.get("/api/admin/email/providers").json["data"]
            assert listed[0]["paused"] is pauses, (kind, status, what)
            if pauses:
                waits = put_mail(sql, s)
                wait_job(sql, s, waits, now() + 3 * MINUTE)
                assert len(p.got) == calls + 1, "a paused provider was called"
                assert boss.post(f"/api/admin/email/providers/{kind}/resume").status == 204
                assert boss.post(f"/api/admin/email/providers/{kind}/resume").status == 404
            if state == "suppressed":
                again = put_mail(sql, s, to=f"Row{number}@Example.test")
                wait_state(sql, s, again, "suppressed")
                assert len(p.got) == calls + 1, "a suppressed address was mailed"


def test_retry_after(make_server, provider):
    p = provider("sendgrid")
    s = make_server(env=p.env())
    p.answers = [p.error(429, **{"Retry-After": "1234"})]
    at = now()
    job = wait_job(sql, s, put_mail(sql, s), at + 20 * MINUTE)
    assert at + 1234_000 <= job["run_at"] <= now() + 1234_000
    p.answers = [p.error(429, **{"X-RateLimit-Reset": str(at // 1000 + 900)})]
    job = wait_job(sql, s, put_mail(sql, s), at + 14 * MINUTE)
    assert job["run_at"] == (at // 1000 + 900) * 1000
    p.answers = [p.error(503, **{"Retry-After": "1000000"})]
    job = wait_job(sql, s, put_mail(sql, s), at + 5 * 60 * MINUTE)
    assert job["run_at"] <= now() + 6 * 60 * MINUTE


def test_retries_by_the_table(make_server, provider):
    """30 s, 2 min, 10 min, 30 min, 2 h, 6 h, +-20 %; then it arrives, once."""
    p = provider("postmark")
    s = make_server(env=p.env())
    p.answers = [p.postmark(500, 0)] * 6
    mail, clock = put_mail(sql, s), now()
    for seconds in (30, 120, 600, 1800, 7200, 21600):
        job = wait_job(sql, s, mail, clock + 0.79 * seconds * 1000)
        assert job["run_at"] < clock + (1.21 * seconds + 60) * 1000, seconds
        clock = job["run_at"] + 1000
        s.clock(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock / 1000)))
    row = wait_state(sql, s, mail, "accepted")
    assert row["attempts"] == 7 and p.ids() == [mail] * 7


def test_in_doubt(make_server, provider):
    """No answer after the body was sent: a quarter of an hour for news, then again under the same id."""
    p = provider("sendgrid")
    s = make_server(env=p.env())
    p.answers = ["hang up"]
    mail, at = put_mail(sql, s), now()
    row = wait_state(sql, s, mail, "in_doubt")
    assert row["doubt_until"] >= at + 15 * MINUTE
    wait_job(sql, s, mail, at + 14 * MINUTE)
    assert len(p.got) == 1
    s.clock("+16 minutes")
    wait_state(sql, s, mail, "accepted")
    assert p.ids() == [mail, mail]


def test_in_doubt_urgent(make_server, provider):
    p = provider("postmark")
    s = make_server(env=p.env())
    p.answers = ["hang up"]
    mail = put_mail(sql, s, "magic_link", vars={"url": "https://x.test/1"}, urgent=1)
    assert wait_state(sql, s, mail, "accepted")["attempts"] == 2


def test_fails_over(make_server, provider):
    """To the second provider when the first has certainly not accepted, and only then."""
    first, second = provider("sendgrid"), provider("postmark")
    s = make_server(env={**first.env(), **second.env(second=True)})
    for answer in (first.error(401), first.error(503), first.error(429)):
        first.answers = [answer]
        mail = put_mail(sql, s)
        assert wait_state(sql, s, mail, "accepted")["provider"] == "postmark"
        assert second.ids()[-1] == mail
        sql(s, "DELETE FROM email_provider")
    calls = len(second.got)
    for answer in ("hang up", first.error(500), first.error(400)):
        first.answers, before = [answer], len(first.got)
        mail = put_mail(sql, s)
        if answer == first.error(400):
            wait_state(sql, s, mail, "failed")
        else:
            wait_job(sql, s, mail, now() + 10 * 1000)
        assert len(first.got) == before + 1
    assert len(second.got) == calls


def test_both_are_busy(make_server, provider):
    """The waits are those of one provider: a sign-in mail would not live to see longer ones."""
    first, second = provider("sendgrid"), provider("postmark")
    s = make_server(env={**first.env(), **second.env(second=True)})
    first.answers, second.answers = [first.error(503)] * 2, [second.postmark(429, 429)] * 2
    mail, clock = put_mail(sql, s), now()
    for seconds in (30, 120):
        job = wait_job(sql, s, mail, clock + 0.79 * seconds * 1000)
        assert job["run_at"] < clock + (1.21 * seconds + 30) * 1000, seconds
        clock = job["run_at"] + 1000
        s.clock(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock / 1000)))
    wait_state(sql, s, mail, "accepted")
    assert first.ids() == [mail] * 3 and second.ids() == [mail] * 2


def test_first_provider_is_down(make_server, provider):
    down, second = provider("sendgrid"), provider("postmark")
    s = make_server(env={**down.env(), **second.env(second=True), "SENDGRID_API_BASE": "http://127.0.0.1:9"})
    row = wait_state(sql, s, put_mail(sql, s), "accepted")
    assert row["provider"] == "postmark" and row["attempts"] == 2


def test_new_credentials_end_a_pause(make_server, provider):
    p = provider("postmark")
    s = make_server(env={**p.env(), "POSTMARK_SERVER_TOKEN": "pm-wrong"})
    p.answers = [p.postmark(401, 10)]
    mail = put_mail(sql, s)
    wait_job(sql, s, mail, now() + 3 * MINUTE)
    assert p.wrong.pop() == "credentials"
    s.env["POSTMARK_SERVER_TOKEN"] = "pm-test"
    s.restart()
    wait_state(sql, s, put_mail(sql, s), "accepted")


def test_dropped_not_sent_late(make_server, provider):
    p = provider("postmark")
    s = make_server(env=p.env())
    p.answers = [p.postmark(500, 0)]
    mail = put_mail(sql, s, "magic_link", vars={"url": "https://x.test/1"}, urgent=1, expires=now() + 10 * MINUTE)
    wait_job(sql, s, mail, now() + 10 * 1000)
    s.clock("+11 minutes")
    wait_state(sql, s, mail, "expired")
    assert len(p.got) == 1


@pytest.mark.parametrize("bad", [{"name": "a\r\nBcc: all@example.test"}, {"name": "a\x00b"},
                                 {"to": "a@example.test\r\nBcc: b@example.test"}, {"to": "zoë@example.test"},
                                 {"template": "refund", "vars": {"amount": "1\r\nBcc: all@example.test"}},
                                 {"template": "no_such_template"}, {"template": "magic_link"}])
def test_refused(make_server, provider, bad):
    """Line breaks and NUL in anything that reaches a header are refused, never stripped; so are holes in a template."""
    p = provider("sendgrid")
    s = make_server(env=p.env())
    if s.engine == "pg" and "\0" in str(bad.get("name")):
        pytest.skip("PostgreSQL's texts cannot hold a NUL")
    row = wait_state(sql, s, put_mail(sql, s, **bad), "failed")
    assert row["error"] and row["attempts"] == 0
    wait_state(sql, s, put_mail(sql, s), "accepted")
    assert len(p.got) == 1


def test_resend(make_server, provider, admin):
    p = provider("sendgrid")
    s = make_server(env=p.env())
    boss = admin(s)
    p.answers = [p.error(400, "your fault")]
    mail = put_mail(sql, s)
    wait_state(sql, s, mail, "failed")
    a = boss.post(f"/api/admin/emails/{mail}/resend")
    assert a.status == 200, a
    wait_state(sql, s, mail, "accepted")
    assert boss.post(f"/api/admin/emails/{mail}/resend").status == 409
    assert [(x["action"], x["target"]) for x in boss.get("/api/admin/audit").json["data"]] == [("mail.resend", mail)]
    assert boss.get(f"/api/admin/emails/{mail}").json["attempts"] == 2
    assert mail in [m["id"] for m in boss.get("/api/admin/emails?state=accepted").json["data"]]
    assert [m["id"] for m in boss.get("/api/admin/emails?to=member@example.test").json["data"]] == [mail]
    assert boss.get("/api/admin/emails?state=sunk").status == 422
    assert boss.get("/api/admin/emails/eml_none").status == 404
    assert s.member().get("/api/admin/emails").status == 403
