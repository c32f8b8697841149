"""mybeing backup, restore, export: what is saved comes back, nothing else is touched. On both engines."""
import json
import os
import shutil
import sqlite3
import threading
import time

import pytest

from books import sql
from harness.client import post_event
from harness.stripe_events import Subscriber, deliver, event, fresh_id


@pytest.fixture
def lived(server):
    """A server with members, money, a conversation; server.ann paid."""
    server.ann, server.bob = server.member("ann@example.com"), server.member("bob@example.com")
    for m in (server.ann, server.bob):
        s = Subscriber(m.user_id, time.time() - 5)
        deliver(server, s.customer_created(), s.subscription("created"), *s.month(), s.refund(amount=100))
    a = server.ann.post("/api/chat/save", {"title": "Sleep", "context": "evening", "messages": [
        {"role": "user", "content": "I sleep badly ☾"}, {"role": "assistant", "content": "Since when?"}]})
    assert a.status == 200, a
    a = server.bob.post("/api/chat/save", {"messages": [{"role": "user", "content": "bob's secret"}]})
    assert a.status == 200, a
    server.settle()
    return server


def save(server, name="b.mybeing"):
    path = server.dir / name
    return path, json.loads(server.cli("backup", path, "--json"))


def refused(server, *args, code=1):
    done = server.run(*args, ok=False)
    assert done.returncode == code, done
    assert "mybeing:" in done.stderr and done.stdout == ""
    return done.stderr


def test_what_is_saved_comes_back(lived):
    before = lived.state()
    path, told = save(lived)
    assert told["rows"]["account"] == 2 and told["rows"]["ai_message"] == 3 and told["bytes"] == path.stat().st_size
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads((lived.dir / "b.mybeing.json").read_text())["sha256"] == told["sha256"]
    deliver(lived, event("customer.created", {"id": "cus_later", "object": "customer"}))
    lived.member("carl@example.com")
    lived.stop()
    refused(lived, "restore", path)  # not empty
    done = json.loads(lived.cli("restore", path, "--force", "--json"))
    assert done["rows"] == told["rows"] and done["broken"] == 0 and done["invariants"] > 20
    if lived.engine == "sqlite":
        kept = sqlite3.connect(done["kept"])
        assert kept.execute("SELECT count(*) FROM account").fetchone() == (3,)
        kept.close()
    assert lived.state() == before
    lived.start()
    assert lived.ann.entitlements()["premium"] is True
    assert lived.ann.get("/api/chat/history").json["data"][0]["title"] == "Sleep"
    deliver(lived, event("customer.created", {"id": "cus_later", "object": "customer"}))


def test_into_an_empty_place(lived, make_server):
    path, told = save(lived)
    other = make_server(start=False, env={"AUTH_SECRET": lived.env["AUTH_SECRET"]})
    text = other.cli("restore", path)
    assert "invariants hold" in text
    assert other.state() == lived.state()
    other.start()
    assert post_event(other, event("customer.created", {"id": "cus_x", "object": "customer"})).status == 200


def test_never_below_a_running_server(lived):
    path, _ = save(lived)
    before = lived.state()
    if lived.engine == "sqlite":
        assert "not empty" in refused(lived, "restore", path)
    assert "stop `mybeing serve`" in refused(lived, "restore", path, *["--force"] * (lived.engine == "sqlite"))
    deliver(lived, event("customer.created", {"id": "cus_live", "object": "customer"}))
    assert lived.state() != before


def test_while_events_pour_in(lived):
    sent, stop, failures = [], threading.Event(), []

    def pour():
        while not stop.is_set():
            e = event("customer.created", {"id": fresh_id("cus"), "object": "customer", "pad": "x" * 2000})
            if post_event(lived, e).status == 200:
                sent.append(e["id"])
            else:
                failures.append(e)

    threads = [threading.Thread(target=pour) for _ in range(3)]
    for t in threads:
        t.start()
    known = set()
    try:
        for n in range(3):
            known = set(sent)
            path, told = save(lived, f"load{n}")
            assert told["rows"]["webhook_event"] >= len(known)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures and len(sent) > 10
    lived.stop()
    lived.cli("restore", path, "--force")
    for i in sorted(known)[:20]:
        assert json.loads(lived.cli("events", "show", i, "--json"))["id"] == i


def test_damage_is_seen_before_anything_changes(lived):
    path, told = save(lived)
    before = lived.state()
    lived.stop()
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
    assert "not the file" in refused(lived, "restore", path, "--force")
    (lived.dir / "b.mybeing.json").unlink()
    path.write_bytes(whole[:len(whole) // 2])
    refused(lived, "restore", path, "--force")
    for junk in (b"", b"hello", b"SQLite format 3\0" + b"x" * 5000, b"PGDMP" + b"x" * 5000):
        path.write_bytes(junk)
        refused(lived, "restore", path, "--force")
    assert lived.state() == before
    path.write_bytes(whole)  # without its description it is still a backup
    assert "invariants hold" in lived.cli("restore", path, "--force")
    assert lived.state() == before


def test_used_wrong(lived):
    refused(lived, "restore", code=2)
    refused(lived, "restore", "a", "b", code=2)
    refused(lived, "backup", "--all", code=2)
    refused(lived, "backup", "a", "b", code=2)
    refused(lived, "export", code=2)
    refused(lived, "restore", lived.dir / "none")
    refused(lived, "backup", lived.dir / "no" / "such" / "folder")
    mine = lived.dir / "diary.txt"
    mine.write_text("mine")
    assert "stays as it is" in refused(lived, "backup", mine)
    assert mine.read_text() == "mine"
    if lived.engine == "sqlite":
        assert "database itself" in refused(lived, "backup", lived.database.split(":", 1)[1])
    save(lived)
    save(lived)  # an older backup is replaced
    assert not [p for p in lived.dir.iterdir() if p.name.endswith(".part")]


def test_without_a_name_it_goes_to_its_folder(lived):
    folder = lived.dir / "backups"
    folder.mkdir()
    told = json.loads(lived.cli("backup", "--json", env={"BACKUP_DIR": str(folder)}))
    assert told["file"].startswith(str(folder)) and os.path.exists(told["file"])


def test_the_newest_are_kept_and_nothing_else_is_touched(lived):
    folder = lived.dir / "backups"
    folder.mkdir()
    end = "dump" if lived.engine == "pg" else "db"
    env = {"BACKUP_DIR": str(folder), "BACKUP_KEEP": "3"}

    def again(*args):
        return lived.run("backup", *args, env=env)

    def named(day):
        return f"mybeing-202401{day:02}T031500Z.{end}"

    first = json.loads(again("--json").stdout)["file"]
    about = json.loads((folder / (first + ".json").rsplit("/", 1)[1]).read_text())
    for day in range(1, 7):      # six finished ones of long ago
        shutil.copy(first, folder / named(day))
        (folder / (named(day) + ".json")).write_text(json.dumps({**about, "file": named(day)}))
    strange = {named(20): b"no description", named(21): b"cut short", "mybeing-notes.db": b"x", "mybeing-20240101.db": b"x",
               "old." + end: b"x", named(22) + ".part": b"x", "mybeing-20240101T031500Z.txt": b"x"}
    for name, content in strange.items():
        (folder / name).write_bytes(content)
    (folder / (named(21) + ".json")).write_text(json.dumps(about))
    (folder / ("old." + end + ".json")).write_text(json.dumps({**about, "bytes": 1}))
    other = f"mybeing-20240109T031500Z.{'db' if end == 'dump' else 'dump'}"
    shutil.copy(first, folder / other)
    (folder / (other + ".json")).write_text(json.dumps({**about, "engine": "sqlite" if end == "dump" else "postgresql"}))
    (folder / named(23)).symlink_to(first)
    (folder / (named(23) + ".json")).write_text(json.dumps(about))

    again(lived.dir / "by-hand")     # a name of one's own: nothing is counted, nothing goes
    assert all((folder / named(day)).exists() for day in range(1, 7))
    time.sleep(1.1)     # names are of a second
    told = again().stdout
    assert "5 older deleted" in told, told
    left = {p.name for p in folder.iterdir()}
    assert {named(6), named(6) + ".json"} <= left and not any(named(day) in left or named(day) + ".json" in left for day in range(1, 6))
    assert {*strange, other, named(23)} <= left and os.path.exists(first)
    for name, content in strange.items():
        assert (folder / name).read_bytes() == content


@pytest.mark.sqlite_only
def test_an_older_schema_is_brought_up_to_date(lived):
    path, told = save(lived)
    lived.stop()
    older = lived.dir / "older"
    shutil.copy(path, older)
    url = f"sqlite:{older}"
    lived.run("migrate", "down", str(told["schema"] - 1), env={"DATABASE_URL": url})
    for end in ("-wal", "-shm"):
        (lived.dir / f"older{end}").unlink(missing_ok=True)
    done = json.loads(lived.cli("restore", older, "--force", "--json"))
    assert done["migrated"] == 1 and done["schema"] == told["schema"]
    base = sqlite3.connect(older)
    base.execute("INSERT INTO schema_migration VALUES (9999, 'x', 'x', 1)")
    base.commit()
    base.close()
    assert "newer" in refused(lived, "restore", older, "--force")


@pytest.mark.pg_only
def test_an_older_backup_in_place_of_a_newer_database(lived):
    """What newer migrations made is not in the way of making it again; what is not ours stays."""
    lived.stop()
    lived.run("migrate", "down", "16")
    path, told = save(lived)
    assert told["schema"] == 16
    lived.run("migrate", "up")
    sql(lived, "CREATE TABLE webhook_typ (code text)")
    assert "webhook_typ is not made by any" in refused(lived, "restore", path, "--force")
    sql(lived, "DROP TABLE webhook_typ")
    done = json.loads(lived.cli("restore", path, "--force", "--json"))
    assert done["rows"] == told["rows"] and done["broken"] == 0 and done["migrated"] == done["schema"] - 16
    lived.start()
    assert lived.ann.get("/api/chat/history").json["data"][0]["title"] == "Sleep"
    deliver(lived, event("customer.created", {"id": "cus_later", "object": "customer"}))


@pytest.mark.pg_only
def test_without_postgresqls_programs(lived):
    path, _ = save(lived)
    nowhere = {"PATH": "/nonexistent"}
    done = lived.run("backup", lived.dir / "x", env=nowhere, ok=False)
    assert done.returncode == 1 and "pg_dump is needed" in done.stderr and not (lived.dir / "x").exists()
    done = lived.run("restore", path, env=nowhere, ok=False)
    assert done.returncode == 1 and "pg_restore is needed" in done.stderr


@pytest.mark.pg_only
def test_of_another_engine(lived, tmp_path):
    sqlite3.connect(tmp_path / "s").execute("CREATE TABLE a (b)").connection.close()
    assert "DATABASE_URL names PostgreSQL" in refused(lived, "restore", tmp_path / "s")


# ---- one person

def test_export_tells_all_of_one_and_nothing_of_others(lived):
    for i, m in enumerate((lived.ann, lived.bob)):
        sql(lived, "INSERT INTO longitudinal_checkin (id, user_id, scale, score, body, key_id, taken_at, created_at) "
                   "VALUES (?, ?, 'who5', ?, CAST('{\"q1\":3}' AS " + ("bytea" if lived.engine == "pg" else "blob")
            + "), 0, ?, ?)", f"chk_{i}", m.user_id, 60 + i, 1790000000000, 1790000000000)
    text = lived.cli("export", "ann@example.com")
    doc = json.loads(text)
    assert doc == {**json.loads(lived.cli("export", lived.ann.user_id)), "exportedAt": doc["exportedAt"]}
    assert doc["account"]["id"] == lived.ann.user_id and doc["account"]["email"] == "ann@example.com"
    assert [s["status"] for s in doc["subscriptions"]] == ["active"]
    assert [(i["amountPaid"], i["refunded"]) for i in doc["invoices"]] == [(3200, 100)]
    assert [r["amount"] for r in doc["refunds"]] == [100]
    assert doc["conversations"][0]["title"] == "Sleep" and doc["conversations"][0]["context"] == "evening"
    assert [m["content"] for m in doc["messages"]] == ["I sleep badly ☾", "Since when?"]
    assert [(c["id"], c["score"], c["answers"]) for c in doc["checkins"]] == [("chk_0", 60, '{"q1":3}')]
    assert len(doc["sessions"]) == 1 and len(doc["customers"]) == 1
    for not_hers in ("bob", lived.bob.user_id, lived.ann.token, "hash", lived.bob.token):
        assert not_hers not in text, not_hers


def test_export_into_a_file(lived):
    path = lived.dir / "ann.json"
    lived.cli("export", "ann@example.com", path)
    assert json.loads(path.read_text())["account"]["email"] == "ann@example.com"
    assert path.stat().st_mode & 0o077 == 0
    assert "cannot be made" in refused(lived, "export", "ann@example.com", path)
    refused(lived, "export", "nobody@example.com")


def test_purchases_of_an_exported_member(town):
    c = town.member("ann@example.com")
    item = "quiz:big-five"
    c.buy(town.sandbox, item)
    town.settle()
    doc = json.loads(town.cli("export", "ann@example.com"))
    assert [(p["item"], p["status"]) for p in doc["purchases"]] == [(item, "paid")]
    assert [h["status"] for h in doc["purchaseHistory"]][-1] == "paid" and doc["payments"] and doc["checkoutSessions"]
    assert doc["mails"] and all(m["recipient"] for m in doc["mails"])


def test_secrets_do_not_show_in_the_list_of_processes(lived):
    """What is run for PostgreSQL gets the password by its environment."""
    if lived.engine != "pg":
        pytest.skip("on PostgreSQL alone")
    fake = lived.dir / "bin"
    fake.mkdir()
    (fake / "pg_dump").write_text('#!/bin/sh\necho "$@" >"$OUT"\nenv | grep ^PG >>"$OUT"\nexit 1\n')
    (fake / "pg_dump").chmod(0o755)
    out = lived.dir / "seen"
    url = lived.database.replace("postgres://", "postgres://", 1)
    lived.run("backup", lived.dir / "y", env={"PATH": f"{fake}:{os.environ['PATH']}", "OUT": str(out), "DATABASE_URL": url},
              ok=False)
    arguments, *rest = out.read_text().splitlines()
    assert "postgres://" not in arguments and any(line.startswith("PGDATABASE=") for line in rest)


