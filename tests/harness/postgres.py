"""Databases of their own in the cluster that MYBEING_TEST_PG names."""
import os
import subprocess
import uuid
from urllib.parse import urlsplit, urlunsplit


def cluster():
    url = os.environ.get("MYBEING_TEST_PG")
    assert url, "MYBEING_TEST_PG is not set: run through ./dev test, or tools/pg_cluster.py run -- COMMAND"
    return url


def psql(url, sql):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-A", "-t", "-d", url, "-c", sql],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def create_database(url=None):
    """In the cluster at url (or the one of the tests); answers the database's own URL."""
    name = "t_" + uuid.uuid4().hex[:16]
    psql(url or cluster(), f"CREATE DATABASE {name}")
    parts = urlsplit(url or cluster())
    return urlunsplit(parts._replace(path="/" + name))


def drop_database(url):
    parts = urlsplit(url)
    psql(urlunsplit(parts._replace(path="/postgres")), f"DROP DATABASE IF EXISTS {parts.path[1:]} WITH (FORCE)")
