"""The power goes while events arrive: whatever was answered 2xx before is there, whole, once.

Not a kill: what the program wrote but did not sync may be gone, in part, or torn. powercut.c records writes and syncs of
the database; here the disk is rebuilt as of any moment of that record.
"""
import os
import pathlib
import random
import shutil
import sqlite3
import struct
import threading
import time

import pytest

from harness import Server, wait_until
from harness.client import post_event
from harness.server import BUILD
from harness.stripe_events import Subscriber, event, fresh_id

pytestmark = pytest.mark.sqlite_only  # what is written and synced here is SQLite's own files; test_powercut_pg.py is the other

RECORDER = pathlib.Path(BUILD) / "tests/crash/powercut.so"
HEAD = struct.Struct("<IIIIq")
WRITE, TRUNCATE, SYNC, UNLINK = 1, 2, 3, 4
ENDS = ("", "-wal", "-journal")
SECTOR = 512


def records(log, until):
    """(place, op, file, offset, data) of every record that is complete before `until`."""
    place = 0
    while place + HEAD.size <= until:
        op, file, length, _, offset = HEAD.unpack_from(log, place)
        after = place + HEAD.size + length
        if after > until:
            return
        yield place, op, file, offset, log[place + HEAD.size:after]
        place = after


def put(image, op, offset, data):
    if op == WRITE:
        if len(image) < offset:
            image.extend(bytes(offset - len(image)))
        image[offset:offset + len(data)] = data
    elif op == TRUNCATE:
        del image[offset:]
        image.extend(bytes(offset - len(image)))
    else:
        image.clear()


def torn(offset, data, dice):
    """The sectors of one write that reached the disk."""
    for at in range(0, len(data), SECTOR):
        if dice.random() < 0.5:
            yield WRITE, offset + at, data[at:at + SECTOR]


def disk_after_cut(base, log, until, dice):
    """The files as the power cut leaves them: what was synced, and any of the rest."""
    images = [bytearray(b) for b in base]
    waiting = [[], [], []]
    for place, op, file, offset, data in records(log, until):
        if op != SYNC:
            waiting[file].append((place, op, offset, data))
            continue
        for _, *change in [w for w in waiting[file] if w[0] < offset]:
            put(images[file], *change)
        waiting[file] = [w for w in waiting[file] if w[0] >= offset]
    luck = dice.choice((0.0, 0.3, 0.7, 1.0))
    for file in range(3):
        for _, op, offset, data in waiting[file]:
            if dice.random() >= luck:
                continue
            if op == WRITE and dice.random() < 0.3:
                for change in torn(offset, data, dice):
                    put(images[file], *change)
            else:
                put(images[file], op, offset, data)
    return images


class Recorded:
    """A server whose writes are recorded, and what it acknowledged when."""

    def __init__(self, server, folder):
        self.server, self.log = server, folder / "record"
        self.path = pathlib.Path(server.database.split(":", 1)[1])
        self.members = [server.member(f"m{i}@example.com") for i in range(3)]
        self.base = [p.read_bytes() if (p := pathlib.Path(f"{self.path}{end}")).exists() else b"" for end in ENDS]
        self.acknowledged, self.mu = [], threading.Lock()
        recorder = {"LD_PRELOAD": str(RECORDER), "POWERCUT_FILE": str(self.path), "POWERCUT_LOG": str(self.log)}
        plain, server.env = server.env, {**server.env, **recorder}
        server.start()
        server.env = {**plain, "PORT": str(server.port), "BASE_URL": server.base}

    def size(self):
        return self.log.stat().st_size

    def send(self, e):
        assert post_event(self.server, e).status == 200
        size = self.size()  # the sync that the answer waited for stands before this place
        with self.mu:
            self.acknowledged.append((size, e["id"]))

    def burst(self, seed, n):
        dice = random.Random(seed)
        for i in range(n):
            s = Subscriber(dice.choice(self.members).user_id, time.time() - 60, tag=f"p{seed}_{i}")
            for e in (s.customer_created(), s.subscription("created"), *s.month(), s.refund(amount=dice.randrange(1, 3200))):
                self.send(e)
            self.send(event("product.updated", {"id": fresh_id("prod"), "object": "product", "pad": os.urandom(3000).hex()}))

    def bursts(self, seed, n):
        threads = [threading.Thread(target=self.burst, args=(seed * 10 + i, n)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def folds(self):
        """Syncs of the database file itself: the log was folded into it."""
        log = self.log.read_bytes()
        return sum(op == SYNC and file == 0 for _, op, file, _, _ in records(log, len(log)))


@pytest.fixture
def recorded(make_server, tmp_path):
    if not RECORDER.exists():
        pytest.skip("the recorder is not built")
    return Recorded(make_server(start=False), tmp_path)


def look(images, path):
    """Opens what is left, asks SQLite, and returns the events that are there."""
    for end, image in zip(ENDS, images):
        if image or not end:
            pathlib.Path(f"{path}{end}").write_bytes(image)
    base = sqlite3.connect(path)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    there = {row[0] for row in base.execute("SELECT id FROM webhook_event")}
    base.close()
    return there


def serve(server, path):
    """The program on what is left: it starts, takes an event, and no invariant is broken."""
    other = Server(start=False, share=server, env={"DATABASE_URL": f"sqlite:{path}"})
    try:
        other.start()
        assert post_event(other, event("customer.created", {"id": fresh_id("cus"), "object": "customer"})).status == 200
        other.cli("check")
        assert "schema is as expected" in other.cli("migrate", "check")
    finally:
        other.close(check=False)


def test_power_cut(recorded, tmp_path, long):
    r, dice = recorded, random.Random(11)
    for n in range(6 if long else 3):
        folds = r.folds()
        r.bursts(n, 12 if long else 4)
        wait_until(lambda: r.folds() > folds)  # at rest the log is folded, and starts over with the next burst
    r.server.kill()
    log = r.log.read_bytes()
    assert len(r.acknowledged) > 200
    moments = [place for place, _ in r.acknowledged] + [place for place, *_ in records(log, len(log))]
    cuts = 200 if long else 40
    for n in range(cuts):
        until = len(log) if n == 0 else dice.choice(moments) + dice.randrange(2)
        folder = tmp_path / f"cut{n}"
        folder.mkdir()
        images = disk_after_cut(r.base, log, until, dice)
        there = look(images, folder / "look.db")
        lost = [e for place, e in r.acknowledged if place <= until and e not in there]
        assert not lost, (n, until, len(log), lost[:5], len(lost))
        if n % 8 == 0:
            for end, image in zip(ENDS, images):
                if image or not end:
                    (folder / f"live.db{end}").write_bytes(image)
            serve(r.server, folder / "live.db")
        shutil.rmtree(folder)
