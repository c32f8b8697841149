"""One server for a file's tests: they only ask."""
import pathlib
import sys

import pytest
from harness import Server

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="module")
def server():
    made = Server(env={"RATE_LIMIT_SCALE": "1000"})
    yield made
    made.close()
