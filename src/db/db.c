/* The two engines behind one interface. */
#include "db/db_internal.h"
#include "db/memo.h"
#include "queries.h"

#include <assert.h>
#include <stdlib.h>

err db_open(const struct db_options *o, struct db **out)
{
    struct db *db = calloc(1, sizeof *db);
    assert(db);
    bool pg = sv_starts(o->url, SV("postgres://")) || sv_starts(o->url, SV("postgresql://"));
    db->engine = pg ? DB_PG : DB_SQLITE;
    err e = pg ? pg_open(o, db) : sqlite_open(o, db);
    if (e != OK) {
        free(db);
        return e;
    }
    *out = db;
    return OK;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    if (db->engine == DB_PG)
        pg_close(db->pg);
    else
        sqlite_close(db->sqlite);
    free(db);
}

enum db_engine db_engine(const struct db *db)
{
    return db->engine;
}

err db_read(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    return db->engine == DB_PG ? pg_read(db, mem, fn, arg) : sqlite_read(db, mem, fn, arg);
}

err db_read_soon(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    return db->engine == DB_PG ? pg_read_soon(db, mem, fn, arg) : sqlite_read(db, mem, fn, arg);
}

void db_read_done(struct db *db)
{
    if (db->engine == DB_SQLITE)
        sqlite_read_done(db->sqlite);
}

err db_write(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    if (db->engine == DB_PG)
        return pg_write(db, mem, fn, arg);
    return writer_call(sqlite_writer(db->sqlite), mem, fn, arg, false);
}

err db_write_schema(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    if (db->engine == DB_PG)
        return pg_write(db, mem, fn, arg);
    return writer_call(sqlite_writer(db->sqlite), mem, fn, arg, true);
}

bool db_has_writer(const struct db *db)
{
    return db->engine == DB_SQLITE;
}

void db_post(struct db *db, struct db_post *p)
{
    assert(db->engine == DB_SQLITE);
    writer_post(sqlite_writer(db->sqlite), p);
}

/* Without a savepoint: what failed before it wrote left nothing to undo; anything else breaks the
 * transaction, and the writer runs it again with savepoints. */
static err sq_attempt_bare(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg)
{
    unsigned after = tx->after.n;
    int64_t before = sq_changes(tx->sq);
    err e = fn(tx, mem, arg);
    if (e == OK)
        e = tx->broken;
    if (e == OK)
        return OK;
    tx->after.n = after;
    bool nothing = sq_in_transaction(tx->sq) && !tx->script && sq_changes(tx->sq) == before;
    tx->broken = nothing ? OK : e;
    return e;
}

static err sq_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg)
{
    unsigned after = tx->after.n;
    TRY(sq_control(tx->sq, SQ_SAVEPOINT));
    err e = fn(tx, mem, arg);
    if (e == OK)
        e = tx->broken;
    if (e == OK)
        return sq_control(tx->sq, SQ_RELEASE);
    tx->after.n = after;
    if (!sq_in_transaction(tx->sq) || sq_control(tx->sq, SQ_ROLLBACK_TO) != OK ||
        sq_control(tx->sq, SQ_RELEASE) != OK) {
        tx->broken = e;
        return e;
    }
    tx->broken = OK;
    return e;
}

err db_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg)
{
    if (tx->broken != OK)
        return tx->broken;
    return tx->pg     ? pg_attempt(tx, mem, fn, arg)
           : tx->bare ? sq_attempt_bare(tx, mem, fn, arg)
                      : sq_attempt(tx, mem, fn, arg);
}

err db_lock(struct db_tx *tx, const sv *keys, size_t n)
{
    assert(tx->writable);
    if (tx->broken != OK)
        return tx->broken;
    return tx->pg ? pg_lock(tx, keys, n) : OK;
}

enum db_engine db_tx_engine(const struct db_tx *tx)
{
    return tx->pg ? DB_PG : DB_SQLITE;
}

void after_add(struct after_set *set, void (*fn)(void))
{
    for (unsigned i = 0; i < set->n; i++)
        if (set->fn[i] == fn)
            return;
    assert(set->n < DB_AFTER_MAX);
    set->fn[set->n++] = fn;
}

void after_run(const struct after_set *set)
{
    for (unsigned i = 0; i < set->n; i++)
        set->fn[i]();
}

void db_on_commit(struct db_tx *tx, void (*fn)(void))
{
    assert(tx->writable);
    after_add(&tx->after, fn);
}

err stmt_check(const struct db_tx *tx, const struct db_stmt *s, const struct db_val *in)
{
    if (s->writes && !tx->writable)
        return FAIL(ERR_INTERNAL, "query %s writes, but the transaction is read-only", s->name);
    for (unsigned i = 0; i < s->nparams; i++)
        if (in[i].type == DB_NULL && s->param_nullable[i] == '0')
            return FAIL(ERR_INTERNAL, "query %s: parameter %s is NULL", s->name, s->param_names[i]);
    return OK;
}

err column_null(const struct db_stmt *s, size_t col)
{
    return FAIL(ERR_INTERNAL, "query %s: column %s is NULL", s->name, s->col_names[col]);
}

err db_run(struct db_tx *tx, struct arena *mem, unsigned stmt, const struct db_val *in,
           struct db_rows *out)
{
    const struct db_stmt *s = &db_stmts[stmt];
    if (tx->broken != OK)
        return tx->broken;
    struct memo *memo = s->kept && !tx->past_memo ? tx->memo : NULL;
    err e = stmt_check(tx, s, in);
    if (e == OK && memo && memo_get(memo, stmt, in, mem, out))
        return OK;
    if (e == OK)
        e = tx->pg ? pg_run(tx, mem, s, stmt, in, out) : sq_run(tx, mem, s, stmt, in, out);
    if (e != OK)
        tx->broken = e;
    else if (memo)
        memo_put(memo, stmt, in, out);
    return e;
}

bool db_text_kept(struct db_tx *tx, sv what, sv owner, ts now, sv *out)
{
    if (!tx->memo)
        return false;
    tx->past_memo = !memo_text_get(tx->memo, what, owner, now, out);
    return !tx->past_memo;
}

void db_text_keep(struct db_tx *tx, sv what, sv owner, ts now, ts until, sv text)
{
    if (tx->memo)
        memo_text_put(tx->memo, what, owner, now, until, text);
}

struct each {
    unsigned stmt;
    const struct db_val *in;
    size_t n;
    int64_t *changed;
};

static err each_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct each *a = arg;
    for (size_t i = 0; i < a->n; i++) {
        struct db_rows rows;
        TRY(db_run(tx, mem, a->stmt, a->in + i * db_stmts[a->stmt].nparams, &rows));
        a->changed[i] = rows.changed;
    }
    return OK;
}

err db_write_each(struct db *db, unsigned stmt, const struct db_val *in, size_t n, int64_t *changed)
{
    assert(db_stmts[stmt].writes && db_stmts[stmt].ncols == 0);
    struct each a = {stmt, in, n, changed};
    return db->engine == DB_PG ? pg_write_each(db, stmt, in, n, changed)
                               : db_write(db, NULL, each_run, &a);
}

static err ping(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct db_ping_row row;
    (void)arg;
    return q_db_ping(tx, mem, &row);
}

err db_ping(struct db *db)
{
    ARENA_AUTO mem = arena_new(0);
    return db_read_soon(db, mem, ping, NULL);
}
