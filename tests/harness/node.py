"""Programs of tests/npm: what npm packages say about our work."""
import json
import pathlib
import subprocess

from .process import PATIENCE

NPM = pathlib.Path(__file__).resolve().parents[1] / "npm"


def node(script, data=None, timeout=PATIENCE):
    """Runs tests/npm/SCRIPT with `data` as JSON on its standard input; what it prints, read as JSON."""
    assert (NPM / "node_modules").is_dir(), "npm ci --prefix tests/npm"
    done = subprocess.run(["node", NPM / script], input=json.dumps(data).encode(), capture_output=True, timeout=timeout)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
