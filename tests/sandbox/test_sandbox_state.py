"""--state FILE: the sandbox remembers over a restart, so ./dev run may be stopped and started."""
import subprocess

import requests

from harness.process import BUILD, PATIENCE, wait_until

KEY = {"Authorization": "Bearer sk_test_harness"}


def test_a_restart_forgets_nothing(make_server, make_sandbox, tmp_path):
    state = tmp_path / "sandbox.json"
    first = make_sandbox("--state", str(state))
    port = first.base.rsplit(":", 1)[1]
    server = make_server(sandbox=first)
    first.forward_to(server)
    member = server.member()
    first.pay(member.post("/api/subscription/create", {}).json["url"])
    first.settle()
    server.clock("+10 days")
    assert member.get("/api/subscription").json["status"] == "active"
    before = requests.get(first.base + "/v1/subscriptions", headers=KEY, timeout=PATIENCE).json()
    clock = first.call("GET", "/_sandbox/clock")["now"]
    assert first.process.stop() == 0
    again = make_sandbox("--port", port, "--state", str(state))
    assert requests.get(again.base + "/v1/subscriptions", headers=KEY, timeout=PATIENCE).json() == before
    assert 0 <= again.call("GET", "/_sandbox/clock")["now"] - clock <= PATIENCE * 2
    again.control("forward", url=server.base + "/api/webhooks/stripe")
    assert member.post("/api/subscription/cancel", {}).status == 200
    assert member.post("/api/subscription/resume", {}).status == 200
    server.clock("+1 month")  # what was due is still due: a renewal
    again.settle()
    assert member.get("/api/subscription").json["period"]["start"] > member.get("/api/auth/me").json["createdAt"]
    types = [e["type"] for e in member.get("/api/subscription/events?limit=100").json["data"]]
    assert types.count("invoice.paid") == 2


def test_a_moved_clock_is_kept_although_nothing_else_happened(make_sandbox, tmp_path):
    state = tmp_path / "sandbox.json"
    first = make_sandbox("--state", str(state))
    requests.post(first.base + "/v1/customers", headers=KEY, data={"name": "Ada"}, timeout=PATIENCE)
    wait_until(lambda: state.exists() and "Ada" in state.read_text())
    first.control("clock", advance="+10 days")
    moved = first.call("GET", "/_sandbox/clock")["now"]
    assert first.process.stop() == 0
    again = make_sandbox("--state", str(state))
    assert 0 <= again.call("GET", "/_sandbox/clock")["now"] - moved <= PATIENCE * 2


def test_a_file_that_is_no_state(tmp_path):
    (tmp_path / "x").write_text("[]")
    done = subprocess.run([str(BUILD / "sandbox" / "mybeing-sandbox"), "--port", "0", "--state", str(tmp_path / "x")],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "remove it to begin anew" in done.stderr
