import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))

from ai_double import Double, say, stream  # noqa: E402


@pytest.fixture
def ai():
    double = Double()
    double.answers = [stream(say("Hello", " there"))]
    yield double
    double.close()


@pytest.fixture
def chat(make_server, ai):
    """A server with the double as its AI."""
    return make_server(env={"AI_BASE_URL": ai.base, "AI_MODEL": "test-model", "AI_API_KEY": "key-of-the-tests"})
