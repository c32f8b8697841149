"""Random lives on a real server, step by step as the rules say; then no broken invariant, and the facts rebuilt from the
stored events are the living ones. One life alone: ./dev life --seed N --steps N."""
import json
import pathlib
import tempfile

import pytest

from harness import Server
from life import Life, catalogue


def live(seed, steps, engine=None, settle_every=1500, start=None):
    """One life; what the server thinks at its end."""
    before, shm = tempfile.tempdir, pathlib.Path("/dev/shm")
    tempfile.tempdir = str(shm) if shm.is_dir() else before     # the disk's pace is not what is looked at
    try:
        server = Server(engine=engine, start=False, env={"RATE_LIMIT_SCALE": "1000000"})
    finally:
        tempfile.tempdir = before
    (server.dir / "catalog.json").write_text(json.dumps(catalogue()))
    server.env["CATALOG"] = str(server.dir / "catalog.json")
    life = Life(server, seed, settle_every=settle_every, start=start)
    try:
        life.start()
        life.run(steps)
        server.cli("check")
        shadow = json.loads(server.cli("events", "replay", "--shadow", "--json"))
        assert shadow["differences"] == [] and shadow["failed"] == 0
        return server.state(), life
    finally:
        life.close()
        server.close(check=False)


START = 1795960800      # the suite's lives are the same today and tomorrow; others: ./dev life


class TestLives:
    @pytest.mark.sqlite_only
    @pytest.mark.parametrize("seed", range(1, 6))
    def test_a_life(self, seed, long):
        live(seed, 50_000 if long else 10_000, start=START)


class TestMoreLives:
    @pytest.mark.sqlite_only
    @pytest.mark.parametrize("seed", range(6, 11))
    def test_a_life(self, seed, long):
        live(seed, 50_000 if long else 10_000, start=START)


class TestOtherEngine:
    @pytest.mark.pg_only
    def test_the_same_life_on_both_engines(self, long):
        seed, steps = 7, 20_000 if long else 2_000
        here, life = live(seed, steps, "pg", 500, START)
        there, same = live(seed, steps, "sqlite", 500, START)
        assert life.counts == same.counts
        assert here == there
