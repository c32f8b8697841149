"""PostgreSQL restarted, crashed, away, frozen, its connections killed, under load: 503 or success, nothing acknowledged
is lost, nothing takes effect twice, and the server is back within seconds by itself. SPEC §8."""
import json
import os
import signal
import time

import psycopg2
import pytest

from books import sql
from harness import postgres, wait_until
from load import Load, assert_kept, assert_polite, quiet, succeeded
from pg_cluster import Cluster

pytestmark = pytest.mark.pg_only

BACK_S = 5      # after the database is back, everything is answered
LONGEST_S = 40  # no request takes longer, whatever happens (statement timeout 10 s, twice, on a busy machine)


@pytest.fixture(scope="module")
def cluster():
    with Cluster(durable=True) as c:
        yield c


@pytest.fixture
def server(make_server, cluster):
    return make_server(engine="pg", cluster=cluster.url)


def restart(cluster, _):
    cluster.restart()


def crash(cluster, _):
    cluster.restart(signal.SIGQUIT)


def away(cluster, _):
    cluster.stop()
    time.sleep(10)
    cluster.start()


def freeze(cluster, _):
    frozen = cluster.pids()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(10)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def kill_connections(cluster, server):
    """In the middle of whatever they do, for three seconds."""
    killer = psycopg2.connect(cluster.url)
    killer.autocommit = True
    end = time.monotonic() + 3
    with killer.cursor() as c:
        while time.monotonic() < end:
            c.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mybeing'")
            time.sleep(0.05)
    killer.close()


def unfinished(server):
    """Jobs that still have something to do now, and letters that did not go."""
    now = str(int(time.time() * 1000))
    return sql(server, "SELECT kind, state, error FROM job WHERE state = 'running' OR state = 'dead' OR "
                       "(state = 'ready' AND run_at < ?)", now) + \
        sql(server, "SELECT template, state, error FROM email_log WHERE state <> 'accepted'")


@pytest.mark.parametrize("fault", [restart, crash, away, freeze, kill_connections])
def test_fault(server, cluster, fault):
    with Load(server) as load:
        wait_until(lambda: len(load.of("event")) > 30 and succeeded(load, 0))
        fault(cluster, server)
        back = time.monotonic()
        wait_until(lambda: quiet(load, back))
    last = max([r.ended for r in load.failed_after(back)], default=back)
    refused = [r for r in load.work() if r.status == 503]
    slow = max(r.ended - r.began for r in load.work())
    print(f"{fault.__name__}: {len(load.work())} requests, {len(refused)} refused "
          f"({sum(r.code == 'outcome_unknown' for r in refused)} of unknown outcome), longest {slow:.2f} s, "
          f"well again {last - back:.2f} s after the database")
    assert refused or fault is freeze, "the fault was not felt"
    assert_polite(load, LONGEST_S)
    assert last - back < BACK_S, f"still failing {last - back:.1f} s after the database was back"
    if fault in (away, freeze):
        reasons = {reason for r in load.of("ready") if r.status == 503 for reason in r.code}
        assert any("database" in reason for reason in reasons), reasons
    assert_kept(load)
    wait_until(lambda: not unfinished(server), every=0.5, message="jobs do not go on")
    assert server.client().get("/readyz").status == 200
    replay = json.loads(server.cli("events", "replay", "--shadow", "--json"))
    assert replay["differences"] == [] and replay["failed"] == 0
