#!/usr/bin/env python3
"""Makes C of the .sql files (format: HACKING.md, "Queries" and "Add a table").

    sqlgen.py SQL_DIR queries.h queries.c migrations.c [DEPFILE]

SQL_DIR/query/*.sql gives queries.h (structs and prototypes) and queries.c (the table db_stmts and typed functions);
SQL_DIR/schema/NNNN_name.sql gives migrations.c. Every mistake is reported as file:line: sentence; then nothing is
written. The depfile names the folders too, so that a new file is seen.
"""
import pathlib
import re
import sqlite3
import sys

LETTER = {"text": "t", "blob": "b", "int": "i", "bool": "i", "ts": "i"}
CTYPE = {("text", False): "sv", ("blob", False): "sv", ("int", False): "int64_t", ("bool", False): "bool",
         ("ts", False): "ts", ("text", True): "sv", ("blob", True): "sv", ("int", True): "opt_int",
         ("bool", True): "opt_int", ("ts", True): "ts"}
KINDS = {"one", "opt", "many", "exec"}
C_WORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true
false sv ts""".split())
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class Mistakes(list):
    def add(self, path, line, text):
        self.append(f"{path}:{line}: {text}")


def tokens(sql):
    """Yields (kind, text, line offset): quoted, comment, space, param, word, other."""
    rule = re.compile(r"""
        (?P<quoted>'(?:[^']|'')*' | "(?:[^"]|"")*")
      | (?P<comment>--[^\n]* | /\*.*?\*/)
      | (?P<space>\s+)
      | (?P<param>\$[A-Za-z_][A-Za-z0-9_]*)
      | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
      | (?P<other>.)""", re.X | re.S)
    line = 0
    for m in rule.finditer(sql):
        yield m.lastgroup, m.group(), line
        line += m.group().count("\n")


def compact(sql):
    """Without comments, runs of white space as one space (what is quoted stays)."""
    out = []
    for kind, text, _ in tokens(sql):
        if kind in ("comment", "space"):
            if out and out[-1] != " ":
                out.append(" ")
        else:
            out.append(text)
    return "".join(out).strip()


class Query:
    def __init__(self, name, kind, path, line):
        self.name, self.kind, self.path, self.line = name, kind, path, line
        self.ins, self.outs = [], []
        self.bodies = {"": [], "pg": []}  # engine -> [(line, text)]
        self.json = False  # `-- json`: its rows can be written as they are
        self.each = False  # `-- each`: many runs in a transaction of their own, in one round trip
        self.kept = None  # `-- kept: owner`: readers keep its rows; the parameter or column that is their owner
        self.of = []  # `-- of: table.column, ...`: the owner's column in each table that a kept query reads

    def text(self, engine):
        body = self.bodies[engine] or self.bodies[""]
        return "\n".join(t for _, t in body)

    def first_line(self, engine):
        body = self.bodies[engine] or self.bodies[""]
        return body[0][0] if body else self.line


def parse_fields(text, path, line, mistakes):
    fields = []
    for part in (p.strip() for p in text.split(",")):
        m = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)\s+([a-z]+)(\?)?", part)
        if not m:
            mistakes.add(path, line, f"'{part}' is not `name type`")
        elif m.group(2) not in LETTER:
            mistakes.add(path, line, f"unknown type '{m.group(2)}' (known: {', '.join(LETTER)})")
        elif m.group(1) in C_WORDS or not NAME.match(m.group(1)):
            mistakes.add(path, line, f"'{m.group(1)}' can't be the name of a field in C")
        else:
            fields.append((m.group(1), m.group(2), bool(m.group(3))))
    return fields


def parse_file(path, mistakes):
    queries, now, engine = [], None, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        head = re.match(r"\s*--\s*name:\s*(.*)$", line)
        field = re.match(r"\s*--\s*(in|out):\s*(.*)$", line)
        variant = re.match(r"\s*--\s*\[(\w+)\]\s*$", line)
        kept = re.match(r"\s*--\s*kept\b:?\s*(.*)$", line)
        of = re.match(r"\s*--\s*of:\s*(.*)$", line)
        as_json = re.match(r"\s*--\s*json\s*$", line)
        each = re.match(r"\s*--\s*each\s*$", line)
        if head:
            m = re.fullmatch(r"([A-Za-z0-9_]+)\s+:(\w+)\s*", head.group(1))
            now, engine = None, ""
            if not m:
                mistakes.add(path, number, "write `-- name: a_name :kind`")
            elif not NAME.match(m.group(1)):
                mistakes.add(path, number, f"'{m.group(1)}' can't be a name (a-z, 0-9, _)")
            elif m.group(2) not in KINDS:
                mistakes.add(path, number, f"unknown kind ':{m.group(2)}' (known: one, opt, many, exec)")
            else:
                now = Query(m.group(1), m.group(2), path, number)
                queries.append(now)
        elif field and now:
            fields = parse_fields(field.group(2).strip().rstrip(","), path, number, mistakes)
            (now.ins if field.group(1) == "in" else now.outs).extend(fields)
        elif as_json and now:
            now.json = True
        elif each and now:
            now.each = True
        elif kept and now:
            now.kept = kept.group(1).strip()
        elif of and now and now.kept is not None:
            now.of += [p.strip() for p in of.group(1).rstrip(", ").split(",")]
        elif variant and now:
            engine = variant.group(1)
            if engine != "pg":
                mistakes.add(path, number, f"unknown variant [{engine}] (known: pg)")
                engine = "pg"
        elif re.match(r"\s*--", line) or not line.strip():
            continue
        elif now:
            now.bodies[engine].append((number, line))
        elif not mistakes:
            mistakes.add(path, number, "SQL before any `-- name:`")
    return queries


def check(q, mistakes):
    for what, fields in (("in", q.ins), ("out", q.outs)):
        names = [f[0] for f in fields]
        for name in sorted({n for n in names if names.count(n) > 1}):
            mistakes.add(q.path, q.line, f"{q.name}: '{name}' twice in {what}:")
    if not q.bodies[""]:
        mistakes.add(q.path, q.line, f"{q.name} has no SQL")
        return
    if q.kind == "exec" and q.outs:
        mistakes.add(q.path, q.line, f"{q.name} is :exec but has out:")
    if q.kept is not None and (q.kind == "exec" or writes(q)):
        mistakes.add(q.path, q.line, f"{q.name} is kept but does not only read")
    if q.kept is not None and (owner_param(q) < 0) == (owner_col(q) < 0):
        mistakes.add(q.path, q.line, f"{q.name}: `-- kept: owner` names one text, of in: or (with :one, :opt) of out:")
    if q.each and (q.kind != "exec" or not q.ins):
        mistakes.add(q.path, q.line, f"{q.name} is run for each, but is not :exec with in:")
    if q.kind != "exec" and not q.outs:
        mistakes.add(q.path, q.line, f"{q.name} is :{q.kind} but has no out:")
    if q.json and (q.kind == "exec" or any(t == "blob" for _, t, _ in q.outs)):
        mistakes.add(q.path, q.line, f"{q.name}: only rows without a blob can be written as JSON")
    known, used = {f[0] for f in q.ins}, set()
    for engine in [""] + (["pg"] if q.bodies["pg"] else []):
        body, start = q.text(engine), q.first_line(engine)
        numbers = [n for n, _ in q.bodies[engine]]
        for kind, text, line in tokens(body):
            at = numbers[line] if line < len(numbers) else start
            if kind == "param":
                used.add(text[1:])
                if text[1:] not in known:
                    mistakes.add(q.path, at, f"{q.name}: unknown parameter {text} (not in in:)")
            elif kind == "other" and text == "?":
                mistakes.add(q.path, at, f"{q.name}: '?' (parameters are $names)")
            elif kind == "other" and text == "$":
                mistakes.add(q.path, at, f"{q.name}: '$' without a name")
        if compact(body).rstrip(";").count(";") > sum(t.count(";") for k, t, _ in tokens(body) if k == "quoted"):
            mistakes.add(q.path, start, f"{q.name}: more than one statement (is a `-- name:` missing?)")
    for name in [f[0] for f in q.ins if f[0] not in used]:
        mistakes.add(q.path, q.line, f"{q.name}: parameter '{name}' is not used")


def owner_param(q):
    return next((i for i, (n, t, null) in enumerate(q.ins) if n == q.kept and t == "text" and not null), -1)


def owner_col(q):
    single = q.kind in ("one", "opt")
    return next((i for i, (n, t, null) in enumerate(q.outs) if single and n == q.kept and t == "text" and not null), -1)


def check_kept(queries, made, mistakes):
    """The tables of kept queries, as SQLite reads them, are those of their `-- of:`. Returns {table: column's place}."""
    if all(q.kept is None for q in queries):
        return {}
    db, read, found = sqlite3.connect(":memory:"), set(), {}
    for _, _, up, _, path in sorted(made):
        try:
            db.executescript("".join(sqlite_parts(up)))
        except sqlite3.Error as e:
            mistakes.add(path, 1, f"SQLite: {e}")
            return {}
    db.set_authorizer(lambda action, table, *_: read.add(table) or sqlite3.SQLITE_OK if action == sqlite3.SQLITE_READ else sqlite3.SQLITE_OK)
    for q in queries:
        if q.kept is None:
            continue
        read.clear()
        try:
            db.execute("EXPLAIN " + numbered(q, ""), [None] * len(q.ins))
        except sqlite3.Error as e:
            mistakes.add(q.path, q.first_line(""), f"{q.name}: SQLite: {e}")
            continue
        named = dict(p.split(".", 1) for p in q.of if "." in p)
        for table in sorted(read ^ set(named)):
            mistakes.add(q.path, q.line, f"{q.name}: {'reads' if table in read else 'does not read'} {table}, which its "
                                         f"`-- of: table.column` does {'not ' if table in read else ''}name")
        for table, column in named.items():
            place = {r[1]: r[0] for r in db.execute("SELECT * FROM pragma_table_info(?)", [table])}.get(column)
            if place is None:
                mistakes.add(q.path, q.line, f"{q.name}: {table} has no column {column}")
            elif found.setdefault(table, place) != place:
                mistakes.add(q.path, q.line, f"{q.name}: another query names another owner of {table}")
    db.close()
    return found


def numbered(q, engine):
    place = {f[0]: i for i, f in enumerate(q.ins, 1)}
    mark = "$" if engine == "pg" else "?"
    out = []
    for kind, text, _ in tokens(q.text(engine)):
        out.append(f"{mark}{place[text[1:]]}" if kind == "param" else text)
    return compact("".join(out)).rstrip("; ")


def writes(q):
    words = {t.upper() for e in ("", "pg") for k, t, _ in tokens(q.text(e)) if k == "word"}
    return bool(words & {"INSERT", "UPDATE", "DELETE"})


def quote(text, indent="        "):
    """A C string literal, cut in lines."""
    esc = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("?", "\\?")
    parts, rest = [], esc
    while len(rest) > 80:
        cut = rest.rfind(" ", 40, 80)
        cut = 80 if cut < 0 else cut + 1
        while rest[cut - 1] == "\\":
            cut += 1
        parts.append(rest[:cut])
        rest = rest[cut:]
    parts.append(rest)
    return ("\n" + indent).join(f'"{p}"' for p in parts)


def prototype(q):
    args = ["struct db_tx *tx", "struct arena *mem"]
    if q.ins:
        args.append(f"const struct {q.name}_in *in")
    args += {"one": [f"struct {q.name}_row *out"], "opt": [f"struct {q.name}_row *out", "bool *found"],
             "many": [f"struct {q.name}_row **rows", "size_t *n"], "exec": ["int64_t *changed"]}[q.kind]
    return f"err q_{q.name}({', '.join(args)})"


def each_prototype(q):
    return f"err q_{q.name}_each(struct db *db, const struct {q.name}_in *all, size_t n, int64_t *changed)"


def json_prototypes(q):
    """Of `-- json`: the members of one row (within an object that the caller opened), and rows as an array."""
    return [f"void {q.name}_json(struct jw *w, const struct {q.name}_row *row)",
            f"void {q.name}_json_array(struct jw *w, const struct {q.name}_row *rows, size_t n)"]


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def json_functions(q):
    maker = {"text": "jw_kstr", "int": "jw_kint", "bool": "jw_kbool", "ts": "jw_kts"}
    one, many = json_prototypes(q)
    out = [one, "{"]
    for n, t, null in q.outs:
        call = "jw_kopt" if null and t in ("int", "bool") else maker[t]
        out.append(f'    {call}(w, "{camel(n)}", row->{n});')
    out += ["}", "", many, "{", "    jw_arr(w);", "    for (size_t i = 0; i < n; i++) {", "        jw_obj(w);",
            f"        {q.name}_json(w, &rows[i]);", "        jw_obj_end(w);", "    }", "    jw_arr_end(w);", "}", ""]
    return "\n".join(out)


def struct(name, fields):
    lines = [f"struct {name} {{"]
    lines += [f"    {CTYPE[t, null]} {n};{' /* may be NULL */' if null and t in ('text', 'blob') else ''}"
              f"{' /* may be TS_NONE */' if null and t == 'ts' else ''}" for n, t, null in fields]
    return "\n".join(lines + ["};"])


def header(queries):
    out = ["/* Made by tools/sqlgen.py of sql/query: do not edit. How to call: HACKING.md. */", "#pragma once",
           '#include "base/json.h"', '#include "db/db.h"', "", "enum db_query {"]
    out += [f"    Q_{q.name.upper()}," for q in queries] + ["    DB_QUERIES", "};", ""]
    for q in queries:
        out.append(f"/* {q.path.parent.name}/{q.path.name}:{q.line} */")
        if q.ins:
            out.append(struct(q.name + "_in", q.ins))
        if q.outs:
            out.append(struct(q.name + "_row", q.outs))
        out.append(prototype(q) + " MUST_USE;")
        if q.each:
            out.append(each_prototype(q) + " MUST_USE;")
        if q.json:
            out += [f"{p};" for p in json_prototypes(q)]
        out.append("")
    return "\n".join(out) + "\n"


SET = {"text": "of_sv(DB_TEXT, in->{n})", "blob": "of_sv(DB_BLOB, in->{n})", "int": "of_int(in->{n})",
       "bool": "of_int(in->{n} ? 1 : 0)", "ts": "of_ts(in->{n})"}
GET = {("text", False): "v[{i}].s", ("text", True): "v[{i}].s", ("blob", False): "v[{i}].s", ("blob", True): "v[{i}].s",
       ("int", False): "v[{i}].i", ("int", True): "to_opt(&v[{i}])", ("bool", False): "v[{i}].i != 0",
       ("bool", True): "to_opt(&v[{i}])", ("ts", False): "(ts){{v[{i}].i}}", ("ts", True): "(ts){{v[{i}].i}}"}


def parameters(q):
    return [("of_opt(in->{n})" if null and t in ("int", "bool") else SET[t]).format(n=n) for n, t, null in q.ins]


def each_function(q):
    k = len(q.ins)
    return "\n".join([
        each_prototype(q), "{", f"    struct db_val *v = malloc((n * {k} + 1) * sizeof *v);", "    assert(v);",
        "    for (size_t i = 0; i < n; i++) {", f"        const struct {q.name}_in *in = &all[i];"]
        + [f"        v[i * {k} + {i}] = {value};" for i, value in enumerate(parameters(q))]
        + ["    }", f"    err e = db_write_each(db, Q_{q.name.upper()}, v, n, changed);", "    free(v);", "    return e;", "}",
           ""])


def function(q):
    out = []
    if q.outs:
        out += [f"static void {q.name}_get(const struct db_val *v, struct {q.name}_row *row)", "{"]
        out += [f"    row->{n} = {GET[t, null].format(i=i)};" for i, (n, t, null) in enumerate(q.outs)] + ["}"]
    out += [prototype(q), "{", "    struct db_rows r;"]
    arg = "NULL"
    if q.ins:
        arg = "v"
        out += [f"    const struct db_val v[{len(q.ins)}] = {{"]
        out += [f"        {value}," for value in parameters(q)] + ["    };"]
    out.append(f"    TRY(db_run(tx, mem, Q_{q.name.upper()}, {arg}, &r));")
    if q.kind == "one":
        out += ["    if (r.n == 0)", "        return ERR_NOT_FOUND;", f"    {q.name}_get(r.v, out);"]
    elif q.kind == "opt":
        out += ["    *found = r.n > 0;", "    if (r.n > 0)", f"        {q.name}_get(r.v, out);"]
    elif q.kind == "many":
        out += [f"    struct {q.name}_row *made = arena_alloc(mem, sizeof *made * r.n);",
                "    for (size_t i = 0; i < r.n; i++)", f"        {q.name}_get(r.v + i * {len(q.outs)}, &made[i]);",
                "    *rows = made;", "    *n = r.n;"]
    else:
        out += ["    if (changed)", "        *changed = r.changed;"]
    return "\n".join(out + ["    return OK;", "}", ""])


HELPERS = """static inline __attribute__((unused)) struct db_val of_sv(enum db_type type, sv s)
{
    return (struct db_val){s.p ? type : DB_NULL, 0, s};
}

static inline __attribute__((unused)) struct db_val of_int(int64_t i)
{
    return (struct db_val){DB_INT, i, SV_NULL};
}

static inline __attribute__((unused)) struct db_val of_ts(ts t)
{
    return (struct db_val){ts_is_none(t) ? DB_NULL : DB_INT, t.ms, SV_NULL};
}

static inline __attribute__((unused)) struct db_val of_opt(opt_int o)
{
    return (struct db_val){o.has ? DB_INT : DB_NULL, o.v, SV_NULL};
}

static inline __attribute__((unused)) opt_int to_opt(const struct db_val *v)
{
    return v->type == DB_NULL ? (opt_int){0} : SOME_INT(v->i);
}
"""


def names(fields):
    return "(const char *const[]){" + (", ".join(f'"{f[0]}"' for f in fields) or "NULL") + "}"


def letters(fields):
    return '"' + "".join(LETTER[f[1]] for f in fields) + '", "' + "".join("01"[f[2]] for f in fields) + '"'


def c_bool(v):
    return "true" if v else "false"


def source(queries, owned):
    out = ["/* Made by tools/sqlgen.py of sql/query: do not edit. */", '#include "queries.h"', "", "#include <assert.h>", "#include <stdlib.h>",
           "", "const struct db_stmt db_stmts[] = {"]
    for q in queries:
        out.append(f'    {{"{q.name}",\n     {quote(numbered(q, ""))},\n     {quote(numbered(q, "pg"))},\n'
                   f'     {c_bool(writes(q))}, {c_bool(q.kept is not None)}, {owner_param(q)}, {owner_col(q)}, {len(q.ins)}, {len(q.outs)}, '
                   f'{letters(q.ins)}, {letters(q.outs)},\n     {names(q.ins)}, {names(q.outs)}}},')
    if not queries:
        out.append("    {0},")
    out += ["};", f"const unsigned db_stmts_n = {len(queries)};", "", "const struct db_owned db_owned[] = {"]
    out += [f'    {{"{table}", {place}}},' for table, place in sorted(owned.items())] or ["    {0},"]
    out += ["};", f"const unsigned db_owned_n = {len(owned)};", "", HELPERS]
    return "\n".join(out + [function(q) for q in queries] + [each_function(q) for q in queries if q.each] + [json_functions(q) for q in queries if q.json])


# Marks in a schema file, and in the text that is made of it (src/db/migrate.c cuts there).
ENGINES = {"-- [sqlite]": "/*[sqlite]*/", "-- [pg]": "/*[pg]*/", "-- [all]": "/*[all]*/"}


def sqlite_parts(text):
    """What SQLite runs of a part that compact_parts made: all but what stands for PostgreSQL alone."""
    text = re.sub(r"/\*\[pg\]\*/.*?(?=/\*\[|$)", " ", text, flags=re.S)
    for mark in ENGINES.values():
        text = text.replace(mark, " ")
    return text


def compact_parts(lines):
    made, part = [], []
    for line in lines:
        if line in ENGINES:
            made += [compact("\n".join(part)), ENGINES[line]]
            part = []
        else:
            part.append(line)
    return " ".join(t for t in made + [compact("\n".join(part))] if t)


def read_schema(path, mistakes):
    m = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
    if not m:
        mistakes.add(path, 1, "a schema file is named NNNN_name.sql")
        return None
    parts, now = {"up": [], "down": []}, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark = re.fullmatch(r"\s*--\s*(up|down)\s*", line)
        if mark:
            now = mark.group(1)
            if parts[now]:
                mistakes.add(path, number, f"a second `-- {now}`")
        elif re.fullmatch(r"\s*--\s*\[\w+\]\s*", line):
            if line.strip() not in ENGINES or not now:
                mistakes.add(path, number, "a part of `-- up` or `-- down` is `-- [sqlite]`, `-- [pg]` (known to that engine alone) or `-- [all]`")
            else:
                parts[now].append(line.strip())
        elif now:
            parts[now].append(line)
        elif line.strip() and not line.strip().startswith("--"):
            mistakes.add(path, number, "SQL before `-- up`")
    made = {k: compact_parts(v) for k, v in parts.items()}
    for k, text in made.items():
        if not text:
            mistakes.add(path, 1, f"no `-- {k}` part")
    return int(m.group(1)), m.group(2), made["up"], made["down"], path


def schema(paths, mistakes):
    seen, made = {}, []
    for path in paths:
        one = read_schema(path, mistakes)
        if not one:
            continue
        if one[0] in seen:
            mistakes.add(path, 1, f"number {one[0]:04d} is taken by {seen[one[0]].name}")
        seen[one[0]] = path
        made.append(one)
    return made


def migrations(made):
    out = ["/* Made by tools/sqlgen.py of sql/schema: do not edit. */", '#include "db/migrate.h"', "",
           "const struct migration migrations[] = {"]
    out += [f'    {{{n}, "{name}",\n     {quote(up, "     ")},\n     {quote(down, "     ")}}},'
            for n, name, up, down, _ in made]
    if not made:
        out.append("    {0},")
    return "\n".join(out + ["};", f"const unsigned migrations_n = {len(made)};", ""])


def write(path, text):
    path = pathlib.Path(path)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    folders = [root / "query", root / "schema"]
    files = [sorted(f.glob("*.sql")) for f in folders]
    mistakes = Mistakes()
    queries, seen = [], {}
    for path in files[0]:
        for q in parse_file(path, mistakes):
            if q.name in seen:
                other = seen[q.name]
                mistakes.add(path, q.line, f"'{q.name}' is at {other.path.name}:{other.line} already")
            seen[q.name] = q
            check(q, mistakes)
            queries.append(q)
    made = schema(files[1], mistakes)
    owned = {} if mistakes else check_kept(queries, made, mistakes)
    if mistakes:
        print("\n".join(mistakes), file=sys.stderr)
        return 1
    write(sys.argv[2], header(queries))
    write(sys.argv[3], source(queries, owned))
    write(sys.argv[4], migrations(made))
    if len(sys.argv) == 6:
        deps = [str(f).replace(" ", "\\ ") for f in folders + files[0] + files[1] if f.exists()]
        pathlib.Path(sys.argv[5]).write_text(f"{sys.argv[2]}: " + " ".join(deps) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
