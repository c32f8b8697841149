"""Fixtures of all live tests."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import Sandbox, Server  # noqa: E402

LONG = bool(os.environ.get("MYBEING_LONG"))
SHARED = pathlib.Path(os.environ.get("MYBEING_SHARED", pathlib.Path(__file__).resolve().parents[2] / "shared"))


def pytest_configure(config):
    config.addinivalue_line("markers", "sqlite_only: makes sense on SQLite alone")
    config.addinivalue_line("markers", "pg_only: makes sense on PostgreSQL alone")


def pytest_collection_modifyitems(config, items):
    engine = os.environ.get("MYBEING_TEST_ENGINE", "sqlite")
    for item in items:
        if item.get_closest_marker("sqlite_only") and engine != "sqlite":
            item.add_marker(pytest.mark.skip(reason="on SQLite alone"))
        if item.get_closest_marker("pg_only") and engine != "pg":
            item.add_marker(pytest.mark.skip(reason="on PostgreSQL alone"))


@pytest.fixture(scope="session")
def long():
    """True in `./dev test --long`."""
    return LONG


@pytest.fixture(scope="session")
def shared():
    """The folder of contracts and third-party data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder at {SHARED}")
    return SHARED


@pytest.fixture
def make_server():
    """make_server(sandbox=…, env={…}): servers that are closed, and checked, after the test."""
    made = []

    def make(**kw):
        server = Server(**kw)
        made.append(server)
        return server

    yield make
    for server in reversed(made):
        server.close()


@pytest.fixture
def make_sandbox():
    made = []

    def make(*args, **kw):
        made.append(Sandbox(*args, **kw))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def server(make_server):
    """A server without Stripe (it answers nothing)."""
    return make_server()


@pytest.fixture
def sandbox(make_sandbox):
    return make_sandbox()


@pytest.fixture
def town(make_server, sandbox):
    """A server with the sandbox as its Stripe; town.sandbox."""
    made = make_server(sandbox=sandbox)
    sandbox.forward_to(made)
    return made
