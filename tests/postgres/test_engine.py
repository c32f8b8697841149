"""The unit tests of db/ on PostgreSQL: transactions, conflicts, lost connections, migrations, every statement."""
import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("MYBEING_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))

pytestmark = pytest.mark.pg_only


@pytest.mark.parametrize("name", ["transaction", "migrate", "pg", "statements", "indexes"])
def test_db(name):
    done = subprocess.run([BUILD / f"tests/unit/db_test_{name}_c"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on PostgreSQL" in done.stdout
