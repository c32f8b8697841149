import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))

from fakes import Mailbox, Provider, Smtp  # noqa: E402


@pytest.fixture
def provider():
    """provider("sendgrid"): closed, and asked whether every request was right, after the test."""
    made = []

    def make(*args, **kw):
        made.append(Provider(*args, **kw))
        return made[-1]

    yield make
    for p in made:
        p.close()


@pytest.fixture
def smtp():
    made = []

    def make(**kw):
        made.append(Smtp(**kw))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.fixture
def mailbox():
    made = []

    def make(*arguments):
        made.append(Mailbox(*arguments))
        return made[-1]

    yield make
    for m in made:
        m.close()


@pytest.fixture
def admin():
    """admin(server): a signed-in admin."""
    def make(server):
        server.cli("admin", "create", "admin@example.com")
        return server.member("admin@example.com")
    return make
