"""tools/sqlgen.py: what it makes of .sql files, and how it names mistakes."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOOD = """-- What this file is about.
-- name: thing_get :one
-- in: id text, at ts
-- out: id text, n int?
SELECT id, '$id ? -- no comment' AS n -- $unknown in a comment, really
FROM "ta$ble" WHERE id = $id /* $x */ AND at < $at;

-- name: thing_put :exec
-- in: id text,
-- in: data blob?
INSERT INTO thing (data, id) VALUES ($data, $id);
-- [pg]
INSERT INTO thing (id, data) VALUES ($id, $data);
"""


def run(tmp_path, queries=None, schema=None):
    for folder, files in (("query", queries or {}), ("schema", schema or {})):
        (tmp_path / "sql" / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / "sql" / folder / name).write_text(text)
    out = [str(tmp_path / n) for n in ("queries.h", "queries.c", "migrations.c", "queries.d")]
    return subprocess.run([sys.executable, ROOT / "tools/sqlgen.py", tmp_path / "sql", *out], capture_output=True,
                          text=True, check=False)


def read(tmp_path, name):
    return (tmp_path / name).read_text()


def test_parameters_are_numbered_by_annotation_and_quotes_are_left_alone(tmp_path):
    done = run(tmp_path, {"a.sql": GOOD})
    assert done.returncode == 0, done.stderr
    made = read(tmp_path, "queries.c").replace('"\n        "', "").replace("\\?", "?")
    assert """"SELECT id, '$id ? -- no comment' AS n FROM \\"ta$ble\\" WHERE id = ?1 AND at < ?2",""" in made
    assert """FROM \\"ta$ble\\" WHERE id = $1 AND at < $2",""" in made
    assert '"INSERT INTO thing (data, id) VALUES (?2, ?1)"' in made
    assert '"INSERT INTO thing (id, data) VALUES ($1, $2)"' in made
    header = read(tmp_path, "queries.h")
    assert "struct thing_get_row {\n    sv id;\n    opt_int n;\n};" in header
    assert ("err q_thing_put(struct db_tx *tx, struct arena *mem, const struct thing_put_in *in, int64_t *changed)"
            in header)


def test_it_compiles(tmp_path):
    kinds = "".join(f"\n-- name: q_{k} :{k}\n-- out: a text, b blob?, c int?, d bool, e ts?, f bool?\nSELECT 1;\n"
                    for k in ("one", "opt", "many"))
    schema = {"0001_a.sql": '-- up\nCREATE TABLE a ("x" text DEFAULT \'a;\\b\');\n-- down\nDROP TABLE a;\n'}
    assert run(tmp_path, {"a.sql": GOOD, "b.sql": kinds}, schema).returncode == 0
    for name in ("queries.c", "migrations.c"):
        subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                        "-Wno-missing-field-initializers", "-I", ROOT / "src", "-I", tmp_path, tmp_path / name],
                       check=True)


def test_nothing_at_all_compiles(tmp_path):
    assert run(tmp_path).returncode == 0
    for name in ("queries.c", "migrations.c"):
        subprocess.run(["cc", "-std=gnu17", "-fsyntax-only", "-I", ROOT / "src", "-I", tmp_path, tmp_path / name],
                       check=True)


def test_the_depfile_names_folders_and_files(tmp_path):
    run(tmp_path, {"a.sql": GOOD})
    deps = read(tmp_path, "queries.d").split()
    assert deps[0] == f"{tmp_path}/queries.h:"
    assert {f"{tmp_path}/sql/query", f"{tmp_path}/sql/schema", f"{tmp_path}/sql/query/a.sql"} <= set(deps)


@pytest.mark.parametrize("text, said", [
    ("-- name: a :one\n-- out: x int\nSELECT $b;\n", "a.sql:3: a: unknown parameter $b"),
    ("-- name: a :one\n-- out: x int\nSELECT 1\n  + $b;\n", "a.sql:4: a: unknown parameter $b"),
    ("-- name: a :one\n-- in: b int\n-- out: x int\nSELECT 1;\n", "a.sql:1: a: parameter 'b' is not used"),
    ("-- name: a :one\n-- out: x number\nSELECT 1;\n", "a.sql:2: unknown type 'number'"),
    ("-- name: a :one\n-- out: int int\nSELECT 1;\n", "a.sql:2: 'int' can't be the name of a field in C"),
    ("-- name: a :one\n-- out: x\nSELECT 1;\n", "a.sql:2: 'x' is not `name type`"),
    ("-- name: a :first\nSELECT 1;\n", "a.sql:1: unknown kind ':first'"),
    ("-- name: a\nSELECT 1;\n", "a.sql:1: write `-- name: a_name :kind`"),
    ("-- name: a :one\nSELECT 1;\n", "a.sql:1: a is :one but has no out:"),
    ("-- name: a :exec\n-- out: x int\nSELECT 1;\n", "a.sql:1: a is :exec but has out:"),
    ("-- name: a :exec\n", "a.sql:1: a has no SQL"),
    ("-- name: a :exec\nDELETE FROM b;\n-- [mysql]\nDELETE FROM b;\n", "a.sql:3: unknown variant [mysql]"),
    ("-- name: a :exec\nDELETE FROM b WHERE c = ?;\n", "a.sql:2: a: '?'"),
    ("-- name: a :exec\nDELETE FROM b;\nDELETE FROM c;\n", "a.sql:2: a: more than one statement"),
    ("-- name: a :exec\nDELETE FROM b;\n-- name: a :exec\nDELETE FROM b;\n", "a.sql:3: 'a' is at a.sql:1 already"),
    ("DELETE FROM b;\n", "a.sql:1: SQL before any `-- name:`"),
])
def test_mistakes_are_named(tmp_path, text, said):
    done = run(tmp_path, {"a.sql": text})
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "queries.c").exists()


@pytest.mark.parametrize("name, text, said", [
    ("1_a.sql", "-- up\nx;\n-- down\ny;\n", "a schema file is named NNNN_name.sql"),
    ("0001_a.sql", "-- up\nx;\n", "no `-- down` part"),
    ("0001_a.sql", "-- up\n-- [mysql]\nx;\n-- down\ny;\n", "0001_a.sql:2: a part of"),
    ("0001_a.sql", "-- [sqlite]\n-- up\nx;\n-- down\ny;\n", "0001_a.sql:1: a part of"),
    ("0001_a.sql", "x;\n-- up\nx;\n-- down\ny;\n", "0001_a.sql:1: SQL before `-- up`"),
])
def test_mistakes_in_the_schema(tmp_path, name, text, said):
    done = run(tmp_path, schema={name: text})
    assert done.returncode == 1
    assert said in done.stderr


def test_parts_of_one_engine_are_marked(tmp_path):
    text = "-- up\na;\n-- [sqlite]\nb; -- why\n-- [all]\nc;\n-- down\n-- [sqlite]\nd;\n"
    assert run(tmp_path, {"a.sql": GOOD}, {"0001_a.sql": text}).returncode == 0
    made = (tmp_path / "migrations.c").read_text()
    assert '"a; /*[sqlite]*/ b; /*[all]*/ c;"' in made
    assert '"/*[sqlite]*/ d;"' in made


def test_two_migrations_with_one_number(tmp_path):
    text = "-- up\nx;\n-- down\ny;\n"
    done = run(tmp_path, schema={"0001_a.sql": text, "0001_b.sql": text})
    assert "0001_b.sql:1: number 0001 is taken by 0001_a.sql" in done.stderr


def test_rows_as_json(tmp_path):
    text = ("-- name: thing_list :many\n-- json\n-- out: id text, seen_at ts?, weight int?, is_new bool\n"
            "SELECT id, seen_at, weight, is_new FROM thing;\n")
    assert run(tmp_path, {"a.sql": text}).returncode == 0
    made = read(tmp_path, "queries.c")
    for call in ('jw_kstr(w, "id", row->id)', 'jw_kts(w, "seenAt", row->seen_at)',
                 'jw_kopt(w, "weight", row->weight)', 'jw_kbool(w, "isNew", row->is_new)'):
        assert call in made
    assert "void thing_list_json_array(struct jw *w, const struct thing_list_row *rows, size_t n);" in read(
        tmp_path, "queries.h")
    refused = run(tmp_path, {"a.sql": "-- name: x_get :one\n-- json\n-- out: b blob\nSELECT b FROM x;\n"})
    assert refused.returncode == 1 and "without a blob" in refused.stderr


THINGS = {"0001_a.sql": "-- up\nCREATE TABLE thing (id text PRIMARY KEY, n bigint, member text);\n"
                        "CREATE TABLE part (thing text, member text);\n-- [pg]\nnot SQLite's;\n-- [all]\n"
                        "CREATE INDEX thing_member ON thing (member);\n-- down\nDROP TABLE part;\nDROP TABLE thing;\n"}
KEPT = "-- name: thing_of :many\n-- kept: member\n-- of: thing.member\n-- in: member text\n-- out: n int\nSELECT n FROM thing WHERE member = $member;\n"


def test_kept_queries_name_their_owner_and_where_it_stands(tmp_path):
    assert run(tmp_path, {"a.sql": KEPT}, THINGS).returncode == 0
    made = read(tmp_path, "queries.c")
    assert "false, true, 0, -1, 1, 1," in made and '{"thing", 2},' in made and "db_owned_n = 1;" in made
    of_column = ("-- name: thing_get :opt\n-- kept: member\n-- of: thing.member\n-- in: id text\n-- out: n int, member text\n"
                 "SELECT n, member FROM thing WHERE id = $id;\n")
    assert run(tmp_path, {"a.sql": of_column}, THINGS).returncode == 0
    assert "false, true, -1, 1, 1, 2," in read(tmp_path, "queries.c")


@pytest.mark.parametrize("before, after, said", [
    ("SELECT n FROM thing WHERE", "UPDATE thing SET n = 1 WHERE", "does not only read"),
    ("kept: member", "kept", "names one text"),
    ("kept: member", "kept: n", "names one text"),
    ("thing.member", "thing.owner", "thing has no column owner"),
    ("thing.member", "thing.member, part.member", "does not read part"),
    ("SELECT n FROM thing WHERE", "SELECT n FROM thing JOIN part ON part.thing = id WHERE thing.", "reads part"),
    ("SELECT n FROM", "SELECT m FROM", "SQLite: no such column: m")])
def test_mistakes_in_kept_queries(tmp_path, before, after, said):
    done = run(tmp_path, {"a.sql": KEPT.replace(before, after).replace(". member", ".member")}, THINGS)
    assert done.returncode == 1
    assert said in done.stderr and "a.sql:" in done.stderr


def test_runs_for_each_are_of_what_answers_nothing(tmp_path):
    text = "-- name: thing_end :exec\n-- each\n-- in: id text, n int\nUPDATE thing SET n = $n WHERE id = $id;\n"
    assert run(tmp_path, {"a.sql": text}).returncode == 0
    assert ("err q_thing_end_each(struct db *db, const struct thing_end_in *all, size_t n, int64_t *changed) MUST_USE;"
            in read(tmp_path, "queries.h"))
    made = read(tmp_path, "queries.c")
    assert "v[i * 2 + 1] = of_int(in->n);" in made and "db_write_each(db, Q_THING_END, v, n, changed)" in made
    refused = run(tmp_path, {"a.sql": "-- name: x_get :one\n-- each\n-- out: n int\nSELECT 1;\n"})
    assert refused.returncode == 1 and "run for each" in refused.stderr
