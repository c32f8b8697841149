"""The power of PostgreSQL's machine goes while events arrive: whatever was answered 2xx is there, whole, once, and the
server goes on by itself.

Not a kill: the data lie on a file system of their own, and a cut ends it with everything that was not synced.
"""
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from harness import postgres, wait_until
from harness.client import post_event
from harness.stripe_events import Subscriber, event, fresh_id

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools"))
from pg_cluster import Cluster  # noqa: E402

pytestmark = pytest.mark.pg_only

SHUTDOWN, AT_ONCE = 0x8004587D, struct.pack("I", 2)  # FS_IOC_SHUTDOWN, what waits in memory is dropped
SENDERS = 4


class Disk:
    """ext4 in a file. Where none can be mounted, a folder: then a cut is the end of all processes alone."""

    def __init__(self, folder):
        self.image, self.path = folder / "image", folder / "disk"
        self.path.mkdir()
        self.path.chmod(0o755)
        self.mounted = False
        if os.geteuid() == 0:
            with open(self.image, "wb") as f:
                f.truncate(600 << 20)
            self.mounted = self.run("mkfs.ext4", "-q", self.image) and self.mount()

    @staticmethod
    def run(*command):
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0

    def mount(self):
        return self.run("mount", "-o", "loop", self.image, self.path)

    def sync(self):
        self.run("sync", "-f", self.path)

    def shut_down(self):
        if self.mounted:
            fd = os.open(self.path, os.O_RDONLY)
            fcntl.ioctl(fd, SHUTDOWN, AT_ONCE)
            os.close(fd)

    def back(self):
        if self.mounted:
            wait_until(lambda: self.run("umount", self.path), message="the disk is held")
            assert self.mount()

    def close(self):
        if self.mounted:
            wait_until(lambda: self.run("umount", self.path), message="the disk is held")


@pytest.fixture
def disk():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mybeing-cut-"))
    folder.chmod(0o755)  # PostgreSQL is another user, who has to get there
    d = Disk(folder)
    yield d
    d.close()
    shutil.rmtree(folder)


@pytest.fixture
def cluster(disk):
    with Cluster({"recovery_init_sync_method": "syncfs"}, durable=True, folder=disk.path) as c:
        disk.sync()  # as an installation is, long before
        yield c


@pytest.fixture
def server(cluster, make_server):
    return make_server(engine="pg", cluster=cluster.url)


def cut(disk, cluster):
    """The machine is off; then it is on again."""
    pids = cluster.pids()
    disk.shut_down()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    cluster.stop()
    disk.back()
    cluster.start()


class Senders:
    """Send events until one is not answered 200 or they are told to stop."""

    def __init__(self, server, members, tag):
        self.server, self.members, self.tag = server, members, tag
        self.acknowledged, self.refused, self.over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(i,)) for i in range(SENDERS)]

    def send(self, number):
        dice = random.Random(f"{self.tag} {number}")
        for i in range(10_000):
            s = Subscriber(dice.choice(self.members).user_id, time.time() - 60, tag=f"{self.tag}x{number}x{i}")
            for e in (s.customer_created(), s.subscription("created"), *s.month(), s.refund(amount=dice.randrange(1, 3200))):
                if self.over.is_set():
                    return
                try:
                    answered = post_event(self.server, e).status
                except OSError:
                    answered = None  # the server was killed too
                if answered != 200:
                    self.refused.append(e)
                    return
                self.acknowledged.append(e["id"])

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def test_power_cut(cluster, disk, server, long):
    dice = random.Random(11)
    members = [server.member(f"m{i}@example.com") for i in range(3)]
    for n in range(20 if long else 4):
        with Senders(server, members, f"cut{n}") as senders:
            wait_until(lambda: len(senders.acknowledged) > 40 + dice.randrange(40), every=0.001)
            if n % 2:  # it was on the same machine
                server.kill()
            cut(disk, cluster)
        there = set(postgres.psql(server.database, "SELECT id FROM webhook_event WHERE status = 'applied'").split())
        assert senders.refused, "nobody was cut off"
        lost = [e for e in senders.acknowledged if e not in there]
        assert not lost, (n, len(lost), len(senders.acknowledged))
        if n % 2:
            server.start()
        one = event("customer.created", {"id": fresh_id("cus"), "object": "customer"})
        wait_until(lambda: post_event(server, one).status == 200)
        server.check()
        for e in senders.refused:  # Stripe sends them again
            assert post_event(server, e).status == 200
    replay = json.loads(server.cli("events", "replay", "--shadow", "--json"))
    assert replay["differences"] == [] and replay["failed"] == 0
    assert "schema is as expected" in server.cli("migrate", "check")
