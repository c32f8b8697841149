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


def create_database():
    name = "t_" + uuid.uuid4().hex[:16]
    psql(cluster(), f"CREATE DATABASE {name}")
    parts = urlsplit(cluster())
    return urlunsplit(parts._replace(path="/" + name))


def drop_database(url):
    psql(cluster(), f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")
