"""The bench works: its smallest run ends well, on whatever machine. What it measures is not looked at here."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MYBEING_BUILD", ROOT / "build"))


def bench(*args):
    done = subprocess.run([sys.executable, ROOT / "tests/bench/bench.py", BUILD, *args], capture_output=True, text=True,
                          timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_smallest_run():
    only = ["soak"]
    if shutil.which("wrk") and (shutil.which("nginx") or os.path.exists("/usr/sbin/nginx")):
        only += ["rest", "reads", "webhooks", "chat"]  # what `./dev bench` installs is there
    got = json.loads(bench("--tiny", "--soak", "2", "--only", ",".join(only), "--json"))
    assert [s["name"] for s in got["sections"]] == only and got["failed"] == []
    rows = [r for s in got["sections"] for r in s["rows"]]
    assert {"fact", "aim"} <= {r["kind"] for r in rows}
    assert all(isinstance(r["value"], (int, float)) for r in rows if r["kind"] == "aim")


def test_sections_have_titles():
    listed = [line.split(None, 1) for line in bench("--list").splitlines()]
    assert len(listed) >= 7 and all(len(parts) == 2 for parts in listed)


def test_documents_tables_are_replaced(tmp_path):
    sys.path.insert(0, str(ROOT / "tests/bench"))
    try:
        import report
    finally:
        sys.path.pop(0)
    doc = tmp_path / "doc.md"
    doc.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    aim = report.aim("reads", 0.3, at_least=0.4, why="30 us")
    report.write_docs(doc, report.markdown([("reads", "Reads", [aim])]))
    text = doc.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| reads | at least 0.40 | 0.30 | missed: 30 us |" in text
    assert report.BEGIN in (ROOT / "docs/performance.md").read_text()
