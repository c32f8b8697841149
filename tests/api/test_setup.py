"""`mybeing setup stripe` and `mybeing doctor`."""
import json

import pytest
import requests

from harness.process import PATIENCE

KEY = {"Authorization": "Bearer sk_test_harness"}


def stripe(sandbox, path, **params):
    a = requests.get(sandbox.base + path, params=params, headers=KEY, timeout=PATIENCE)
    assert a.status_code == 200, a.text
    return a.json()


@pytest.fixture
def server(make_server, sandbox):
    return make_server(sandbox=sandbox)


def plan(server, *args):
    return json.loads(server.run("setup", "stripe", "--json", *args, ok=False).stdout)


def test_second_run_changes_nothing(server, sandbox):
    first = plan(server, "--yes")
    assert first["applied"] and first["changes"] == 6
    assert {i["action"] for i in first["items"]} == {"create"}
    assert first["webhookSecret"].startswith("whsec_")
    done = server.run("setup", "stripe")
    assert "nothing to do" in done.stdout
    second = plan(server)
    assert second["changes"] == 0 and {i["action"] for i in second["items"]} == {"same"}
    assert "webhookSecret" not in second
    (price,) = stripe(sandbox, "/v1/prices", **{"lookup_keys[0]": "mybeing_premium_monthly", "active": "true"})["data"]
    assert price["unit_amount"] == 3200 and price["currency"] == "usd" and price["product"] == "mybeing_premium"
    (endpoint,) = stripe(sandbox, "/v1/webhook_endpoints")["data"]
    assert endpoint["url"] == server.base + "/api/webhooks/stripe"
    assert "invoice_payment.paid" in endpoint["enabled_events"]


def test_nothing_without_yes(server, sandbox):
    done = server.run("setup", "stripe", ok=False)
    assert done.returncode == 1 and "--yes" in done.stderr, done
    assert not stripe(sandbox, "/v1/prices")["data"] and not stripe(sandbox, "/v1/products")["data"]


def test_other_price(server, sandbox):
    server.run("setup", "stripe", "--yes")
    catalog = json.loads((server_root() / "catalog.json").read_text())
    catalog["plan"]["price"] = 2900
    (server.dir / "cheap.json").write_text(json.dumps(catalog))
    env = {"CATALOG": str(server.dir / "cheap.json")}
    a = server.run("doctor", env=env, ok=False)
    assert a.returncode == 1 and "mybeing setup stripe" in a.stdout
    out = server.run("setup", "stripe", "--yes", env=env).stdout
    assert "$29.00" in out
    prices = stripe(sandbox, "/v1/prices")["data"]
    assert sorted((p["unit_amount"], p["active"], p.get("lookup_key")) for p in prices) == [
        (2900, True, "mybeing_premium_monthly"), (3200, False, None)]
    assert "nothing to do" in server.run("setup", "stripe", env=env).stdout


def server_root():
    from harness.process import ROOT
    return ROOT


def test_write_env(server, sandbox):
    (server.dir / ".env").write_text("A_COMMENT=1\n# kept\nSTRIPE_WEBHOOK_SECRET=old\n".replace("A_COMMENT=1\n", ""))
    out = server.run("setup", "stripe", "--yes", "--write-env", "--json")
    assert "webhookSecret" not in json.loads(out.stdout)
    lines = (server.dir / ".env").read_text().splitlines()
    assert lines[0] == "# kept" and lines[1].startswith("STRIPE_WEBHOOK_SECRET=whsec_") and len(lines) == 2
    assert (server.dir / ".env").stat().st_mode & 0o077 == 0
    (server.dir / ".env").unlink()


def test_live_key_needs_a_flag(server):
    a = server.run("setup", "stripe", "--yes", ok=False,
                   env={"STRIPE_SECRET_KEY": "sk_live_x", "MYBEING_ENV": "production", "PASSWORD_COST": "",
                        "STRIPE_API_BASE": "", "EMAIL_CONSOLE_IN_PRODUCTION": "1"})
    assert a.returncode == 2 and "--live" in a.stderr, a


def test_used_wrong(server):
    for args in [("setup",), ("setup", "strip"), ("setup", "stripe", "--what"), ("doctor", "x"), ("doctor", "--what")]:
        assert server.run(*args, ok=False).returncode == 2, args


def test_disabled_endpoint_is_mended(server, sandbox):
    server.run("setup", "stripe", "--yes")
    (endpoint,) = stripe(sandbox, "/v1/webhook_endpoints")["data"]
    requests.post(f"{sandbox.base}/v1/webhook_endpoints/{endpoint['id']}", headers=KEY, timeout=PATIENCE,
                  data={"enabled_events[0]": "invoice.paid"}).raise_for_status()
    assert {i["name"]: i["action"] for i in plan(server)["items"]}["webhook"] == "update"
    again = plan(server, "--yes")
    assert again["applied"] and "webhookSecret" not in again
    assert plan(server)["changes"] == 0


def findings(server, env=None):
    a = server.run("doctor", "--json", env=env, ok=False)
    out = json.loads(a.stdout)
    assert a.returncode == (1 if out["problems"] else 0)
    return out, {(f["about"], f["level"]): f for f in out["findings"]}


def test_doctor(server, sandbox):
    out, found = findings(server)
    assert found["price", "problem"]["mend"] == "mybeing setup stripe"
    server.run("setup", "stripe", "--yes")
    out, found = findings(server)
    assert out["problems"] == 0, out
    assert ("schema", "ok") in found and ("database", "ok") in found and ("mail", "ok") in found


def test_doctor_names_what_mends(server, sandbox):
    server.run("setup", "stripe", "--yes")
    out, found = findings(server, {"STRIPE_WEBHOOK_SECRET": ""})
    assert "setup stripe" in found["webhook", "problem"]["mend"]
    out, found = findings(server, {"STRIPE_SECRET_KEY": ""})
    assert "STRIPE_SECRET_KEY" in found["stripe", "problem"]["mend"]
    out, found = findings(server, {"STRIPE_API_BASE": "http://127.0.0.1:9"})
    assert ("stripe", "problem") in found
    out, found = findings(server, {"EMAIL_PROVIDER": "", "MYBEING_ENV": "production", "PASSWORD_COST": ""})
    assert "EMAIL_PROVIDER" in found["mail", "problem"]["mend"]
    out, found = findings(server, {"DATABASE_URL": f"sqlite:{server.dir}/none.db"})
    assert "migrate up" in found["database", "problem"]["mend"]
    out, found = findings(server, {"CATALOG": "/nonexistent.json"})
    assert ("catalogue", "problem") in found
    out, found = findings(server, {"PORT": "x"})
    assert ("settings", "problem") in found
