"""The queue for the admin: lists, redrive, cancel; several processes; a killed worker's jobs. SPEC §5, DESIGN §1."""
import json
import os
import socket
import time
import uuid

import pytest
from books import sql

from harness import wait_until
from harness.process import BUILD, Process


def ms():
    return int(time.time() * 1000)


def put(server, kind="mail_send", payload='{"id":"none"}', state="ready", run_at=None, **more):
    job = "job_" + str(uuid.uuid4())
    row = {"id": job, "kind": kind, "payload": payload, "state": state, "priority": 0, "run_at": run_at or ms(),
           "attempt": 0, "crashes": 0, "token": 0, "cancel": 0, "created_at": ms(), **more}
    sql(server, f"INSERT INTO job ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())
    return job


def state(server, job):
    return sql(server, "SELECT state FROM job WHERE id = ?", job)[0][0]


def wait_state(server, job, wanted):
    wait_until(lambda: state(server, job) == wanted)


@pytest.fixture
def boss(server):
    server.cli("admin", "create", "admin@example.com")
    return server.member("admin@example.com")


def audit(boss):
    return [(a["action"], a["target"], a["reason"]) for a in boss.get("/api/admin/audit").json["data"]]


def test_for_admins(server, boss):
    for c, status in ((server.client(), 401), (server.member(), 403)):
        assert c.get("/api/admin/jobs").status == status
        assert c.get("/api/admin/jobs/counts").status == status
        assert c.post("/api/admin/jobs/job_1/redrive").status == status
        assert c.post("/api/admin/jobs/job_1/cancel").status == status
        assert c.post("/api/admin/jobs/redrive", {"kind": "mail_send"}).status == status
    assert boss.get("/api/admin/jobs?state=lost").status == 422
    assert boss.get("/api/admin/jobs?colour=red").status == 422
    assert boss.get("/api/admin/jobs/job_none").status == 404
    assert boss.post("/api/admin/jobs/job_none/redrive").status == 404
    assert boss.post("/api/admin/jobs/job_none/cancel").status == 404


def test_dead_and_redriven(server, boss):
    job = put(server, payload="{", key="k", live_key="k")  # no JSON: dead at once
    wait_state(server, job, "dead")
    shown = boss.get(f"/api/admin/jobs/{job}")
    assert shown.status == 200 and shown.json["state"] == "dead" and shown.json["error"] and shown.json["payload"] is None
    assert job in [j["id"] for j in boss.get("/api/admin/jobs?state=dead&kind=mail_send").json["data"]]
    assert {"kind": "mail_send", "state": "dead", "count": 1} in boss.get("/api/admin/jobs/counts").json["data"]
    wait_until(lambda: "mb_jobs_dead 1" in server.client().get("/metrics").text)
    sql(server, "UPDATE job SET payload = ? WHERE id = ?", '{"id":"none"}', job)
    assert boss.post(f"/api/admin/jobs/{job}/redrive?reason=mended").json["state"] == "ready"
    wait_state(server, job, "done")
    assert boss.post(f"/api/admin/jobs/{job}/redrive").status == 409
    assert boss.post(f"/api/admin/jobs/{job}/cancel").status == 409
    assert audit(boss) == [("job.redrive", job, "mended")]


def test_redrive_a_kind(server, boss):
    jobs = [put(server, state="dead", finished_at=ms()) for _ in range(3)]
    assert boss.post("/api/admin/jobs/redrive", {"kind": "mail_send"}).json == {"redriven": 3}
    for job in jobs:
        wait_state(server, job, "done")
    assert boss.post("/api/admin/jobs/redrive", {"kind": "mail_send"}).json == {"redriven": 0}
    assert boss.post("/api/admin/jobs/redrive", {}).status == 422


def test_cancelled_never_runs(server, boss):
    job = put(server, run_at=ms() + 3600_000)
    assert boss.post(f"/api/admin/jobs/{job}/cancel").json["state"] == "cancelled"
    server.clock("+2 hours")
    server.settle()
    assert state(server, job) == "cancelled"


def test_pages(server, boss):
    jobs = {put(server, run_at=ms() + 3600_000) for _ in range(5)}
    seen, cursor = [], ""
    while cursor is not None:
        a = boss.get("/api/admin/jobs?kind=mail_send&state=ready&limit=2" + cursor).json
        seen += [j["id"] for j in a["data"]]
        cursor = "&cursor=" + a["nextCursor"] if a["nextCursor"] else None
    assert set(seen) == jobs and len(seen) == 5


def test_command(server):
    job = put(server, payload="{")
    wait_state(server, job, "dead")
    assert [j["id"] for j in json.loads(server.cli("jobs", "list", "--state", "dead", "--json"))] == [job]
    assert job in server.cli("jobs")
    sql(server, "UPDATE job SET payload = ? WHERE id = ?", '{"id":"none"}', job)
    assert "will run again" in server.cli("jobs", "redrive", job)
    wait_state(server, job, "done")
    assert server.run("jobs", "redrive", job, ok=False).returncode == 1
    assert server.run("jobs", "show", ok=False).returncode == 2
    assert server.run("jobs", "juggle", ok=False).returncode == 2
    assert "mail_send" in server.cli("jobs", "counts")


def test_workers_beside_the_server(server):
    """Several processes share the queue; every job is done by one of them, once."""
    workers = [Process([BUILD / "mybeing", "work"], server.env, server.dir) for _ in range(2)]
    for w in workers:
        w.wait_line("working on jobs")
    jobs = [put(server) for _ in range(60)]
    for job in jobs:
        wait_state(server, job, "done")
    assert all(int(a) == 1 for (a,) in sql(server, "SELECT attempt FROM job WHERE kind = 'mail_send'"))
    for w in workers:
        assert w.stop() == 0, w.output()


def test_leases_of_a_killed_server_are_taken_over_at_once(server):
    """No wait for the lease's end when the process of this machine is known to be gone; three crashes make it dead."""
    pid = server.process.proc.pid
    with open(f"/proc/{pid}/stat") as f:
        start = f.read().rsplit(")", 1)[1].split()[19]
    name = f"{socket.gethostname()}:{os.readlink('/proc/self/ns/pid')}/{pid}/{start}/0"
    server.kill()
    leased = ms() + 3600_000
    job = put(server, state="running", worker=name, leased_until=leased, token=9, attempt=1)
    poison = put(server, state="running", worker=name, leased_until=leased, crashes=2)
    server.start()
    wait_state(server, job, "done")
    wait_state(server, poison, "dead")
    assert "died" in sql(server, "SELECT error FROM job WHERE id = ?", poison)[0][0]


def test_ended_jobs_are_forgotten_in_time(server):
    """Done ones after a day; those that a person may want to look at after 90. What waits is never too old."""
    hour = 3600_000
    server.stop()
    old = [put(server, state=s, run_at=1, finished_at=ms() - age) for s, age in (
        ("done", 25 * hour), ("dead", 91 * 24 * hour), ("cancelled", 91 * 24 * hour))]
    young = {put(server, state=s, run_at=1, finished_at=ms() - age) for s, age in (
        ("done", 23 * hour), ("dead", 89 * 24 * hour), ("cancelled", 89 * 24 * hour))}
    young.add(put(server, kind="of.another.version", run_at=1, created_at=1))
    server.start()
    marks = ", ".join("?" * len(old))
    wait_until(lambda: not sql(server, f"SELECT id FROM job WHERE id IN ({marks})", *old))
    assert young <= {job for (job,) in sql(server, "SELECT id FROM job")}
