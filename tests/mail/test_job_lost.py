"""A mail whose job ended without being done says so, and can be sent after all: by the job or by the mail. Nothing is given
up because we may not send, and a person's wish counts whatever the mail's age."""
import os
import socket
import time

import pytest
from books import sql
from fakes import job_row, mail_row, put_mail, wait_job, wait_state

from harness import wait_until

DAY = 24 * 3600 * 1000


def now():
    return int(time.time() * 1000)


@pytest.fixture
def sending(make_server, provider, admin):
    p = provider("sendgrid")
    s = make_server(env=p.env())
    return s, p, admin(s)


def job_of(server, mail):
    return sql(server, "SELECT id FROM job WHERE key = ? ORDER BY id DESC", mail)[0][0]


def dies(server, mail, state):
    """Its third worker died, while the mail was in this state."""
    gone = f"{socket.gethostname()}:{os.readlink('/proc/self/ns/pid')}/4194305/1/0"
    sql(server, "UPDATE email_log SET state = ?, rank = ?, attempts = 1, provider = 'sendgrid' WHERE id = ?", state,
        1 if state == "sending" else 0, mail)
    sql(server, "UPDATE job SET state = 'running', crashes = 2, worker = ?, leased_until = 1 WHERE key = ?", gone, mail)


@pytest.mark.parametrize("was, shown", [("sending", "in_doubt"), ("queued", "failed")])
@pytest.mark.parametrize("by", ["job", "mail"])
def test_three_crashes(sending, was, shown, by):
    s, p, boss = sending
    s.stop()
    mail = put_mail(sql, s)
    dies(s, mail, was)
    s.start()
    row = wait_state(sql, s, mail, shown)
    assert "three workers died" in row["error"] and row["vars"] and job_row(sql, s, mail)["state"] == "dead"
    marks = sql(s, "SELECT type FROM email_event WHERE email_id = ?", mail)
    assert marks == ([("in_doubt",)] if shown == "in_doubt" else []) and not p.got
    assert boss.get(f"/api/admin/emails/{mail}").json["state"] == shown
    if by == "job":
        s.cli("jobs", "redrive", job_of(s, mail))
    else:
        assert boss.post(f"/api/admin/emails/{mail}/resend").status == 200
    row = wait_state(sql, s, mail, "accepted")
    assert int(row["attempts"]) == 2 and not row["error"] and p.ids() == [mail]


def test_cancelled(sending):
    s, p, boss = sending
    p.answers = [p.error(503)]
    mail = put_mail(sql, s)
    wait_job(sql, s, mail, now() + 10_000)
    assert boss.post(f"/api/admin/jobs/{job_of(s, mail)}/cancel").status == 200
    row = mail_row(sql, s, mail)
    assert (row["state"], row["error"]) == ("failed", "its job ended: it was cancelled")
    assert boss.post(f"/api/admin/emails/{mail}/resend").status == 200
    wait_state(sql, s, mail, "accepted")
    assert p.ids() == [mail, mail]


def test_an_old_mail_gets_its_try(sending):
    s, p, boss = sending
    p.answers = [p.error(400, "your fault")]
    mail = put_mail(sql, s, now=now() - 4 * DAY)
    wait_state(sql, s, mail, "failed")
    assert boss.post(f"/api/admin/emails/{mail}/resend").status == 200
    wait_state(sql, s, mail, "accepted")


def test_given_up_after_three_days_of_tries_not_of_pauses(sending):
    s, p, boss = sending
    p.answers = [p.error(401)]
    mail = put_mail(sql, s, now=now() - 4 * DAY)
    wait_job(sql, s, mail, now() + 4 * 60_000)
    assert mail_row(sql, s, mail)["state"] == "queued"
    p.answers = [p.error(503, "too busy")]
    s.clock("+6 minutes")
    row = wait_state(sql, s, mail, "failed")
    assert "three days" in row["error"] and "too busy" in row["error"]
    wait_until(lambda: job_row(sql, s, mail)["state"] == "done")


def test_without_a_provider(make_server):
    s = make_server(env={"MYBEING_ENV": "production", "EMAIL_PROVIDER": "none", "BASE_URL": "https://x.example",
                         "PASSWORD_COST": "normal", "MIGRATE": "1"})
    old, young = put_mail(sql, s, now=now() - 4 * DAY), put_mail(sql, s)
    assert "no provider" in wait_state(sql, s, old, "failed")["error"]
    wait_job(sql, s, young, now() + 4 * 60_000)
    assert mail_row(sql, s, young)["state"] == "queued"
