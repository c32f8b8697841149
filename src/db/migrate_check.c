/* `migrate check`: the live schema beside what the applied migrations make, in words. The expected
 * one is made for real: in memory on SQLite, in a schema that is rolled back on PostgreSQL. */
#include "db/db_internal.h"
#include "db/migrate.h"
#include "db/migrate_sql.h"
#include "queries.h"

#include <ctype.h>

struct shape {
    struct schema_columns_row *cols;
    size_t ncols;
    struct schema_objects_row *objs;
    size_t nobjs;
};

struct check {
    const struct migrate_state *states;
    size_t nstates;
    struct shape live, expected;
};

static err read_shape(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct shape *s = arg;
    TRY(q_schema_columns(tx, mem, &s->cols, &s->ncols));
    return q_schema_objects(tx, mem, &s->objs, &s->nobjs);
}

static bool is_applied(const struct check *c, int number)
{
    for (size_t i = 0; i < c->nstates; i++)
        if (c->states[i].number == number)
            return c->states[i].applied;
    return false;
}

static err make_expected(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct check *c = arg;
    for (unsigned i = 0; i < migrations_n; i++)
        if (is_applied(c, migrations[i].number))
            TRY(db_script(tx, migrate_text(mem, db_tx_engine(tx), migrations[i].up)));
    return read_shape(tx, mem, &c->expected);
}

/* On PostgreSQL: everything inside is undone by failing on purpose. */
static err make_and_undo(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(db_script(tx, "CREATE SCHEMA mybeing_expected; SET LOCAL search_path = mybeing_expected"));
    TRY(make_expected(tx, mem, arg));
    return ERR_CONFLICT;
}

static err expected_pg(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(db_lock1(tx, SV("migrate")));
    err e = db_attempt(tx, mem, make_and_undo, arg);
    return e == ERR_CONFLICT ? OK : e;
}

/* -------- comparing -------- */

/* Equal but for case and white space. */
static bool same_text(sv a, sv b)
{
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a.n && isspace((unsigned char)a.p[i]))
            i++;
        while (j < b.n && isspace((unsigned char)b.p[j]))
            j++;
        if (i == a.n || j == b.n)
            return i == a.n && j == b.n;
        if (tolower((unsigned char)a.p[i++]) != tolower((unsigned char)b.p[j++]))
            return false;
    }
}

static const struct schema_columns_row *col_find(const struct shape *s, sv tbl, sv col)
{
    for (size_t i = 0; i < s->ncols; i++)
        if (sv_eq(s->cols[i].tbl, tbl) && (col.p == NULL || sv_eq(s->cols[i].col, col)))
            return &s->cols[i];
    return NULL;
}

static bool table_known(const struct shape *s, sv tbl)
{
    return col_find(s, tbl, SV_NULL) != NULL;
}

static const struct schema_objects_row *obj_find(const struct shape *s,
                                                 const struct schema_objects_row *like)
{
    for (size_t i = 0; i < s->nobjs; i++)
        if (sv_eq(s->objs[i].kind, like->kind) && sv_eq(s->objs[i].name, like->name))
            return &s->objs[i];
    return NULL;
}

static bool column_differs(struct buf *out, const struct schema_columns_row *want,
                           const struct schema_columns_row *have)
{
    size_t before = out->n;
    if (!sv_eq(want->type, have->type))
        buf_printf(out, "column %.*s.%.*s is %.*s, should be %.*s\n", SV_ARG(want->tbl),
                   SV_ARG(want->col), SV_ARG(have->type), SV_ARG(want->type));
    if (want->not_null != have->not_null)
        buf_printf(out, "column %.*s.%.*s may %sbe NULL, should %s\n", SV_ARG(want->tbl),
                   SV_ARG(want->col), have->not_null ? "not " : "",
                   want->not_null ? "be NOT NULL" : "be nullable");
    if (!same_text(want->dflt, have->dflt))
        buf_printf(out, "column %.*s.%.*s has the default %.*s, should have %.*s\n",
                   SV_ARG(want->tbl), SV_ARG(want->col),
                   SV_ARG(have->dflt.p ? have->dflt : SV("none")),
                   SV_ARG(want->dflt.p ? want->dflt : SV("none")));
    if (want->pk != have->pk)
        buf_printf(out, "column %.*s.%.*s is %s of the primary key, should %sbe\n",
                   SV_ARG(want->tbl), SV_ARG(want->col), have->pk ? "part" : "not part",
                   want->pk ? "" : "not ");
    return out->n > before;
}

/* Tables missing or too many, then their columns. */
static void compare_columns(struct buf *out, const struct shape *want, const struct shape *have)
{
    for (size_t i = 0; i < want->ncols; i++) {
        const struct schema_columns_row *w = &want->cols[i];
        bool first = i == 0 || !sv_eq(w->tbl, want->cols[i - 1].tbl);
        const struct schema_columns_row *h = col_find(have, w->tbl, w->col);
        if (!table_known(have, w->tbl)) {
            if (first)
                buf_printf(out, "table %.*s is missing\n", SV_ARG(w->tbl));
        } else if (!h) {
            buf_printf(out, "column %.*s.%.*s is missing\n", SV_ARG(w->tbl), SV_ARG(w->col));
        } else {
            (void)column_differs(out, w, h);
        }
    }
    for (size_t i = 0; i < have->ncols; i++) {
        const struct schema_columns_row *h = &have->cols[i];
        bool first = i == 0 || !sv_eq(h->tbl, have->cols[i - 1].tbl);
        if (!table_known(want, h->tbl)) {
            if (first)
                buf_printf(out, "table %.*s is not made by any migration\n", SV_ARG(h->tbl));
        } else if (!col_find(want, h->tbl, h->col)) {
            buf_printf(out, "column %.*s.%.*s is not made by any migration\n", SV_ARG(h->tbl),
                       SV_ARG(h->col));
        }
    }
}

/* Does a column of the table differ? Then the text of the table differs for that reason. */
static bool columns_differ(const struct shape *want, const struct shape *have, sv tbl)
{
    BUF_AUTO sink = {0};
    for (size_t i = 0; i < want->ncols; i++) {
        const struct schema_columns_row *w = &want->cols[i];
        if (!sv_eq(w->tbl, tbl))
            continue;
        const struct schema_columns_row *h = col_find(have, tbl, w->col);
        if (!h || column_differs(&sink, w, h))
            return true;
    }
    for (size_t i = 0; i < have->ncols; i++)
        if (sv_eq(have->cols[i].tbl, tbl) && !col_find(want, tbl, have->cols[i].col))
            return true;
    return false;
}

static void compare_objects(struct buf *out, const struct shape *want, const struct shape *have)
{
    for (size_t i = 0; i < want->nobjs; i++) {
        const struct schema_objects_row *w = &want->objs[i], *h = obj_find(have, w);
        bool table = sv_is(w->kind, "table");
        if (!table_known(have, w->tbl) && !sv_is(w->kind, "view"))
            continue; /* said already */
        if (!h)
            buf_printf(out, "%.*s %.*s on %.*s is missing\n", SV_ARG(w->kind), SV_ARG(w->name),
                       SV_ARG(w->tbl));
        else if (!same_text(w->def, h->def) && !(table && columns_differ(want, have, w->tbl)))
            buf_printf(out, "%.*s %.*s is\n    %.*s\n  should be\n    %.*s\n", SV_ARG(w->kind),
                       SV_ARG(w->name), SV_ARG(h->def), SV_ARG(w->def));
    }
    for (size_t i = 0; i < have->nobjs; i++) {
        const struct schema_objects_row *h = &have->objs[i];
        if (!obj_find(want, h) && table_known(want, h->tbl) && !sv_is(h->kind, "table"))
            buf_printf(out, "%.*s %.*s on %.*s is not made by any migration\n", SV_ARG(h->kind),
                       SV_ARG(h->name), SV_ARG(h->tbl));
    }
}

static void compare_states(struct buf *out, const struct check *c)
{
    for (size_t i = 0; i < c->nstates; i++) {
        const struct migrate_state *s = &c->states[i];
        if (!s->applied)
            buf_printf(out, "migration %04d_%s is not applied: run `mybeing migrate up`\n",
                       s->number, s->name);
        if (s->changed)
            buf_printf(out, "migration %04d_%s was changed after it was applied\n", s->number,
                       s->name);
        if (s->unknown)
            buf_printf(out, "migration %04d_%s is of another version of this program\n", s->number,
                       s->name);
    }
}

err migrate_check(struct db *db, struct buf *out, bool *equal)
{
    ARENA_AUTO mem = arena_new(0);
    struct check c = {0};
    struct migrate_state *states;
    TRY(migrate_status(db, mem, &states, &c.nstates));
    c.states = states;
    TRY(db_read(db, mem, read_shape, &c.live));
    if (db_engine(db) == DB_PG)
        TRY(db_write(db, mem, expected_pg, &c));
    else
        TRY(sqlite_scratch(db, mem, make_expected, &c));
    size_t before = out->n;
    compare_states(out, &c);
    compare_columns(out, &c.expected, &c.live);
    compare_objects(out, &c.expected, &c.live);
    *equal = out->n == before;
    return OK;
}

/* -------- what a newer schema left -------- */

static bool made_later(struct arena *mem, const struct check *c, sv tbl)
{
    sv how = arena_printf(mem, "CREATE TABLE %.*s ", SV_ARG(tbl));
    for (unsigned i = 0; i < migrations_n; i++)
        if (!is_applied(c, migrations[i].number) &&
            sv_contains(sv_from(migrate_text(mem, DB_PG, migrations[i].up)), how))
            return true;
    return false;
}

/* All in one statement: they may refer to each other. */
static err clear_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct check *c = arg;
    BUF_AUTO drop = {0};
    TRY(expected_pg(tx, mem, c));
    TRY(read_shape(tx, mem, &c->live));
    for (size_t i = 0; i < c->live.ncols; i++) {
        sv tbl = c->live.cols[i].tbl;
        bool first = i == 0 || !sv_eq(tbl, c->live.cols[i - 1].tbl);
        if (first && !table_known(&c->expected, tbl) && made_later(mem, c, tbl))
            buf_printf(&drop, "%s%.*s", drop.n ? ", " : "DROP TABLE ", SV_ARG(tbl));
    }
    return drop.n ? db_script(tx, arena_cstr(mem, buf_sv(&drop))) : OK;
}

err migrate_clear(struct db *db)
{
    ARENA_AUTO mem = arena_new(0);
    struct check c = {0};
    struct migrate_state *states;
    if (db_engine(db) != DB_PG)
        return OK;
    TRY(migrate_status(db, mem, &states, &c.nstates));
    c.states = states;
    return db_write(db, mem, clear_tx, &c);
}
