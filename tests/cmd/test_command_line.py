"""The command line: words, exit codes, settings, the life of `serve`, members and time in development."""
import json
import os
import signal
import socket
import subprocess

import pytest
import requests

from harness import Process, Server, wait_until
from harness.process import BUILD, PATIENCE
from harness.server import SANITIZER


@pytest.fixture
def run(tmp_path):
    """mybeing in an empty folder with only these settings."""
    def go(*args, **env):
        return subprocess.run([str(BUILD / "mybeing"), *args], cwd=tmp_path, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE, env={"PATH": os.environ["PATH"], **SANITIZER, **env})
    go.dir = tmp_path
    return go


DEV = {"MYBEING_ENV": "dev", "PASSWORD_COST": "cheap"}


# ---- libraries that are loaded when they are used
def test_missing_libraries(run):
    good = run("doctor", **DEV)
    assert "libcurl" not in good.stdout, good.stdout
    broken = {"LD_LIBRARY_PATH": str(run.dir / "lib"), **DEV}
    (run.dir / "lib").mkdir()
    for name in ("libcurl.so.4", "libpq.so.5"):
        (run.dir / "lib" / name).touch()
    pg = {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", **broken}
    done = run("serve", **pg)
    assert done.returncode == 1 and "libpq.so.5 is needed" in done.stderr and "the package libpq5" in done.stderr, done
    done = run("doctor", **pg)
    assert done.returncode == 1 and "the package libcurl4" in done.stdout and "-> apt install libpq5" in done.stdout, done
    done = run("version", **broken)
    assert done.returncode == 0 and "curl missing" in done.stdout, done


# ---- words and exit codes
def test_help(run):
    for args in (["--help"], ["-h"], ["help"]):
        done = run(*args)
        assert done.returncode == 0 and "serve" in done.stdout and not done.stderr
    done = run()
    assert done.returncode == 2 and "usage:" in done.stderr
    for word in ("serve", "migrate", "user", "key", "admin", "dev", "routes"):
        for args in ([word, "--help"], ["help", word]):
            done = run(*args)
            assert done.returncode == 0 and done.stdout.startswith(f"usage: mybeing {word}"), done


@pytest.mark.parametrize("args, words", [
    (["sreve"], "did you mean serve?"),
    (["banana"], "no command"),
    (["migrate", "upp"], "did you mean up?"),
    (["user"], "which?"),
    (["user", "lits"], "did you mean list?"),
    (["key", "destroy"], "none of them"),
    (["routes", "--jsno"], "--jsno"),
    (["serve", "--port", "1"], "--port"),
    (["admin", "create"], "whose address?"),
    (["admin", "create", "nobody"], "whose address?"),
    (["routes", "extra"], "extra"),
    (["serve", "now"], "now"),
    (["check", "all"], "all"),
    (["version", "2"], "2"),
    (["migrate", "down", "3", "4"], "4"),
])
def test_used_wrong_is_2(run, args, words):
    done = run(*args, **DEV)
    assert done.returncode == 2 and words in done.stderr, done


def test_version(run):
    assert run("version").stdout.startswith("mybeing ")
    assert run("--version").returncode == 0
    assert json.loads(run("version", "--json").stdout)["version"]


def test_routes_need_no_settings(run):
    done = run("routes", "--json")
    assert done.returncode == 0
    routes = json.loads(done.stdout)["routes"]
    by_path = {(r["method"], r["path"]): r for r in routes}
    assert len(by_path) == len(routes)
    assert by_path["POST", "/api/auth/login"]["auth"] == "public"
    assert by_path["POST", "/api/webhooks/stripe"]["auth"] == "none"
    assert all(r["auth"] in ("public", "visitor", "member", "admin", "none") for r in routes)
    assert len(run("routes").stdout.splitlines()) == len(routes)


# ---- settings
def test_every_mistake_of_the_settings_at_once(run):
    done = run("serve", PORT="x", EMAIL_PROVIDER="pigeon", STRIPE_WEBHOOK_SECERT="whsec_1")
    assert done.returncode == 1
    for words in ("BASE_URL is not set", "PORT must be", "EMAIL_PROVIDER must be one of",
                  "STRIPE_WEBHOOK_SECERT is not a setting; did you mean STRIPE_WEBHOOK_SECRET?"):
        assert words in done.stderr, done.stderr
    assert not (run.dir / "mybeing.db").exists()


def test_secrets_do_not_reach_the_screen(run):
    secret = "oops_this_is_secret"
    done = run("serve", STRIPE_SECRET_KEY=secret, SENDGRID_API_KEY=secret, STRIPE_WEBHOOK_SECRET=secret, SMTP_URL=secret,
               BASE_URL="x")
    assert done.returncode == 1 and secret not in done.stdout + done.stderr


def test_dotenv_is_read_and_the_environment_wins(run):
    (run.dir / ".env").write_text('MYBEING_ENV=dev\nDATABASE_URL="sqlite:from_file.db"\n')
    assert run("migrate", "up").returncode == 0
    assert (run.dir / "from_file.db").exists()
    assert run("migrate", "up", DATABASE_URL="sqlite:from_env.db").returncode == 0
    assert (run.dir / "from_env.db").exists()


def test_a_wrong_catalogue_is_told(run):
    (run.dir / "c.json").write_text('{"plan": 1}')
    done = run("dev", "state", CATALOG="c.json", **DEV)
    assert done.returncode == 1 and "catalogue" in done.stderr


# ---- schema
def test_migrate(run):
    done = run("migrate", "status", **DEV)
    assert done.returncode == 1 and "migrate up" in done.stderr and not (run.dir / "mybeing.db").exists()
    done = run("migrate", "up", **DEV)
    assert done.returncode == 0 and "applied" in done.stdout
    assert "nothing to do" in run("migrate", "up", **DEV).stdout
    status = json.loads(run("migrate", "status", "--json", **DEV).stdout)
    assert all(s["applied"] for s in status) and len(status) >= 8
    assert run("migrate", "check", **DEV).returncode == 0
    assert json.loads(run("migrate", "check", "--json", **DEV).stdout) == {"asExpected": True, "differences": []}
    assert run("migrate", "down", **DEV).returncode == 2
    assert run("migrate", "down", "3", **DEV).returncode == 0
    assert run("migrate", "status", **DEV).returncode == 1
    assert run("migrate", "check", **DEV).returncode == 1
    differs = json.loads(run("migrate", "check", "--json", **DEV).stdout)
    assert not differs["asExpected"] and differs["differences"]
    assert run("migrate", "up", **DEV).returncode == 0
    assert run("migrate", "check", **DEV).returncode == 0


# ---- serve
def serve(tmp_path, **env):
    return Process([BUILD / "mybeing", "serve"], {"PATH": os.environ["PATH"], **SANITIZER, **DEV, **env}, tmp_path)


def test_port_0_is_a_free_one_and_links_know_it(tmp_path):
    p = serve(tmp_path, PORT="0")
    port = int(p.wait_line(r"listening on http://127\.0\.0\.1:(\d+)").group(1))
    a = requests.post(f"http://127.0.0.1:{port}/api/auth/logout", json={}, headers={"Origin": f"http://localhost:{port}"},
                      timeout=PATIENCE)
    assert a.status_code == 204
    assert p.stop() == 0, p.output()


def test_a_taken_port_is_a_sentence(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        p = serve(tmp_path, PORT=str(s.getsockname()[1]))
        assert p.proc.wait(PATIENCE) == 1
        p._reader.join(PATIENCE)
        assert "is it running already? PORT takes another" in p.output() and "listening on" not in p.output()


@pytest.mark.parametrize("env, words", [
    ({"DATABASE_URL": "sqlite:nowhere/x.db"}, "its folder has to be there and writable"),
    ({"CATALOG": "missing.json"}, "set CATALOG to a readable JSON file"),
    ({"BIND": "192.0.2.1"}, "BIND has to be an address of this machine"),
    ({"STRIPE_SECRET_KEY_FILE": "nowhere"}, "STRIPE_SECRET_KEY_FILE=nowhere"),
])
def test_a_mistake_of_the_operator_is_a_sentence_that_mends_it(run, env, words):
    done = run("serve", **{**DEV, "PORT": "0", **env})
    assert done.returncode == 1 and words in done.stderr, done


def test_a_file_that_is_no_database(run):
    (run.dir / "x.db").write_bytes(bytes(range(256)) * 4)
    done = run("serve", **DEV, DATABASE_URL="sqlite:x.db")
    assert done.returncode == 1 and "not a database" in done.stderr and "DATABASE_URL" in done.stderr, done


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stops_gracefully(tmp_path, sig):
    p = serve(tmp_path, PORT="0")
    port = p.wait_line(r"listening on http://127\.0\.0\.1:(\d+)").group(1)
    p.signal(signal.SIGHUP)  # harmless
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200
    p.signal(sig)
    assert p.proc.wait(PATIENCE) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE)


def test_a_supervisor_is_told(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(PATIENCE)
        p = serve(tmp_path, PORT="0", NOTIFY_SOCKET=path)
        assert s.recv(100) == b"READY=1"
        p.signal(signal.SIGTERM)
        assert s.recv(100) == b"STOPPING=1"
        assert p.proc.wait(PATIENCE) == 0


def test_the_made_secret_is_kept(make_server):
    server = make_server(env={"AUTH_SECRET": ""})
    v = server.client()
    a = v.post("/api/chat/save", {"messages": [{"role": "user", "content": "hello"}]})
    assert a.status in (200, 201), a
    server.restart()
    assert len(v.get("/api/chat/history").json["data"]) == 1  # its cookie is still good


# ---- members
def test_newuser(server):
    a = server.dev("newuser", "new@example.com")
    assert set(a) >= {"userId", "cookie", "token"} and a["cookie"] == "mb_session=" + a["token"]
    b = server.dev("newuser", "NEW@example.com")  # the same member, another session
    assert b["userId"] == a["userId"] and b["token"] != a["token"]
    assert server.dev("newuser")["userId"] != server.dev("newuser")["userId"]
    for header in ({"Cookie": a["cookie"]}, {"Authorization": "Bearer " + b["token"]}):
        me = server.client(headers=header).get("/api/auth/me")
        assert me.status == 200 and me.json["email"] == "new@example.com" and me.json["emailVerified"]
    assert server.run("dev", "newuser", "nobody", ok=False).returncode == 2


def test_userstate_of_a_new_member(server):
    a = server.dev("newuser", "state@example.com")
    for who in (a["userId"], "state@example.com"):
        s = server.dev("userstate", who)
        assert s["premium"] is False and s["paid_cents"] == 0 and s["refunded_cents"] == 0
        assert set(s["items"].values()) == {"none"} and "quiz:stress-profile" in s["items"]
    done = server.run("dev", "userstate", "usr_01900000-0000-7000-8000-000000000000", ok=False)
    assert done.returncode == 1 and "no such member" in done.stderr
    assert server.run("dev", "userstate", ok=False).returncode == 2


def test_state_is_canonical(make_server):
    texts = []
    for order in (["a", "b"], ["b", "a"]):
        server = make_server()
        for name in order:
            server.dev("newuser", name + "@example.com")
        texts.append(server.state())
    assert texts[0] == texts[1]
    state = json.loads(texts[0])
    assert list(state["members"]) == ["a@example.com", "b@example.com"]
    assert json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == texts[0].strip()
    assert "usr_" not in texts[0]


def test_dev_is_for_development(run):
    done = run("dev", "newuser", MYBEING_ENV="production", BASE_URL="http://127.0.0.1:1", DATABASE_URL="sqlite:x.db")
    assert done.returncode == 2 and "MYBEING_ENV=dev" in done.stderr


def test_user_commands(server):
    id_ = server.dev("newuser", "cli@example.com")["userId"]
    assert "cli@example.com" in server.cli("user", "list")
    rows = [json.loads(line) for line in server.cli("user", "list", "--json").splitlines()]
    assert [r["id"] for r in rows] == [id_]
    assert json.loads(server.cli("user", "show", "CLI@example.com", "--json"))["id"] == id_
    assert "1 session ended" in server.cli("user", "logout", id_)
    done = server.run("user", "show", "nobody@example.com", ok=False)
    assert done.returncode == 1 and "no member" in done.stderr


def test_admin_create_gives_a_way_in(server):
    out = server.cli("admin", "create", "root@example.com")
    token = out.split("token=")[1].split()[0]
    c = server.client()
    a = c.post("/api/auth/magic-link/verify", {"token": token})
    assert a.status == 200 and a.json["user"]["role"] == "admin"
    assert "root@example.com" in server.cli("admin", "list")
    server.cli("admin", "remove", "root@example.com")
    assert c.get("/api/auth/me").json["role"] == "member"
    member = server.dev("newuser", "plain@example.com")
    assert "an administrator" in server.cli("admin", "create", "plain@example.com")
    assert json.loads(server.cli("user", "show", member["userId"], "--json"))["admin"]


def test_keys(server):
    made = json.loads(server.cli("key", "create", "shop front", "--json"))
    assert made["key"].startswith("mb_sk_")
    listed = json.loads(server.cli("key", "list", "--json"))
    assert [k["name"] for k in listed] == ["shop front"] and made["key"] not in json.dumps(listed)
    assert server.run("key", "revoke", made["id"]).returncode == 0
    assert server.run("key", "revoke", made["id"], ok=False).returncode == 1


# ---- time
def seconds(server, *how):
    from datetime import datetime
    return datetime.fromisoformat(server.clock(*how).strip().replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("how, low, high", [
    (["+3", "days"], 3 * 86400, 3 * 86400), (["+1 month"], 28 * 86400, 31 * 86400), (["+2 hours"], 7200, 7200),
    (["+90", "minutes"], 5400, 5400), (["+1 week"], 7 * 86400, 7 * 86400), (["+1 year"], 365 * 86400, 366 * 86400),
])
def test_the_clock_moves(server, how, low, high):
    before = seconds(server, "show")
    after = seconds(server, *how)
    assert low - 1 <= after - before <= high + PATIENCE
    assert 0 <= seconds(server, "show") - after <= PATIENCE


def test_the_clock_moves_to_a_time_and_never_back(server):
    assert server.clock("2031-01-31T12:00:00Z").startswith("2031-01-31T12:00:0")
    for bad in (["2020-01-01T00:00:00Z"], ["tomorrow"], ["+1", "fortnight"], ["-1", "day"], ["+x", "days"], ["+99999", "years"]):
        done = server.run("dev", "clock", *bad, ok=False)
        assert done.returncode == 2, bad
    assert server.clock().startswith("2031-01-31T12:0")
    # a running server follows
    me = server.member("future@example.com").get("/api/auth/me").json
    assert me["createdAt"].startswith("2031-01-31")


def test_settle_waits_for_jobs(server):
    for k in range(5):
        server.client().post("/api/auth/register", {"email": f"m{k}@example.com", "password": "correct horse battery 9"})
    server.settle()
    assert len(server.mails()) == 5


def test_work_alone_does_the_jobs(make_server):
    server = make_server(start=False)
    server.cli("migrate", "up")
    server.start("work")
    server.process.wait_line("working on jobs")
    server.settle()
    server.process.signal(signal.SIGTERM)
    assert wait_until(lambda: server.process.proc.poll() is not None)
    assert server.process.stop() == 0
    server.process = None
