"""Nothing left: no free connection, no room on the disk of the database. A sentence in the log, 503, and back again."""
import os
import pathlib
import subprocess
import tempfile
import time

import psycopg2
import pytest

from harness import Server, postgres, wait_until
from harness.client import post_event
from harness.stripe_events import Subscriber
from load import Load, assert_kept, assert_polite, quiet
from pg_cluster import Cluster

pytestmark = pytest.mark.pg_only


@pytest.fixture(scope="module")
def cluster():
    with Cluster({"max_connections": "20"}) as c:
        yield c


def take_all(url):
    taken = []
    while True:
        try:
            taken.append(psycopg2.connect(url))
        except psycopg2.OperationalError:
            return taken


def test_no_connection_is_free(make_server, cluster):
    server = make_server(engine="pg", cluster=cluster.url)
    member = server.member()
    killer = psycopg2.connect(cluster.url)
    killer.autocommit = True
    taken = []

    def refused():
        killer.cursor().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mybeing'")
        taken.extend(take_all(cluster.url))
        return member.get("/api/user/entitlements").status == 503

    try:
        wait_until(refused)
        server.process.wait_line("max_connections")
        assert server.client().get("/healthz").status == 200
        assert server.client().get("/readyz").status == 503
        for command in ("doctor", "serve"):
            late = server.run(command, ok=False)
            assert late.returncode == 1 and "max_connections" in late.stdout + late.stderr, late
    finally:
        for c in taken:
            c.close()
        killer.close()
    back = time.monotonic()
    wait_until(lambda: member.get("/api/user/entitlements").status == 200)
    assert time.monotonic() - back < 5


@pytest.fixture
def small_disk():
    """40 MB, its own file system."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    path = tempfile.mkdtemp(prefix="mybeing-disk-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=777", "tmpfs", path], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        os.rmdir(path)
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield pathlib.Path(path)
    subprocess.run(["umount", "-l", path], check=True)
    os.rmdir(path)


def fill(path):
    """Until there is no byte left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65536, 4096, 1):
            try:
                while os.write(fd, b"x" * size):
                    pass
            except OSError:
                pass
    finally:
        os.close(fd)


def test_the_disk_is_full(cluster, small_disk):
    space = small_disk / "space"
    space.mkdir()
    if cluster.user:
        os.chown(space, cluster.user.pw_uid, cluster.user.pw_gid)
    postgres.psql(cluster.url, f"CREATE TABLESPACE small LOCATION '{space}'")
    server = Server(engine="pg", cluster=cluster.url, start=False)
    try:
        postgres.psql(cluster.url, f"ALTER DATABASE {server.database.rsplit('/', 1)[1]} SET TABLESPACE small")
        fills_and_empties(server.start(), small_disk)
    finally:
        (small_disk / "rest").unlink(missing_ok=True)
        server.close()
        postgres.psql(cluster.url, "DROP TABLESPACE small")


def fills_and_empties(server, disk):
    member, kept = server.member(), []

    def post(n):
        e = Subscriber(member.user_id, time.time() - 60, tag=f"full{n}").invoice("paid", note=os.urandom(60000).hex())
        a = post_event(server, e)
        assert a.status in (200, 503), a
        if a.status == 200:
            kept.append(e["id"])
        return a

    fill(disk / "rest")
    n = 0
    while (a := post(n)).status == 200:
        n += 1
        assert n < 500, "the disk is never full"
    assert a.code == "storage_full" and a.headers["Retry-After"], a
    server.process.wait_line("free space on the database's disk")
    assert member.get("/api/user/entitlements").status == 200, "what only reads goes on"
    (disk / "rest").unlink()
    wait_until(lambda: post(n + 1).status == 200)
    there = set(postgres.psql(server.database, "SELECT id FROM webhook_event WHERE status = 'applied'").split())
    assert set(kept) <= there


@pytest.fixture
def small_log(small_disk):
    """A cluster whose log lies on the small disk and may grow beyond it; only commits write it, so that one is told."""
    with Cluster({"wal_writer_delay": "10s"}, durable=True, wal=small_disk / "wal") as c:
        yield c


def answers(cluster):
    """Without room for its log PostgreSQL panics, recovers, and ends if there is none for that either: started again
    then, as whoever watches it does."""
    if cluster.process.poll() is not None:
        cluster.start()
    return subprocess.run([cluster.bin / "pg_isready", "-q", "-d", cluster.url], check=False).returncode == 0


def test_the_disk_of_the_log_is_full(small_log, small_disk, make_server):
    server = make_server(engine="pg", cluster=small_log.url)
    with Load(server) as load:
        wait_until(lambda: len(load.of("event")) > 20)
        fill(small_disk / "rest")
        server.process.wait_line(r"db\.disk_full.*No space left on device; free space on that disk")
        wait_until(lambda: {"event", "save", "use", "read", "ready"} <= {r.kind for r in load.results if r.status == 503})
        (small_disk / "rest").unlink()
        wait_until(lambda: answers(small_log))
        back = time.monotonic()
        wait_until(lambda: quiet(load, back))
    last = max([r.ended for r in load.failed_after(back)], default=back)
    assert last - back < 5, f"still failing {last - back:.1f} s after the database was back"
    assert_polite(load, 40)
    assert_kept(load)
