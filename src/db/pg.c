/* PostgreSQL: transactions on the calling thread. Isolation and what is run again:
 * docs/adr/0002-isolation.md. */
#include "base/crypto.h"
#include "db/pg_internal.h"
#include "db/pq.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define BEGIN_READ  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#define BEGIN_WRITE "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
#define POOL_SIZE   16
#define WAIT_MS     5000 /* for a free connection */
#define SOON_MS     2000

err pg_run(struct db_tx *tx, struct arena *mem, const struct db_stmt *s, unsigned id,
           const struct db_val *in, struct db_rows *out)
{
    PGresult *r = NULL;
    tx->pg->dirty |= s->writes;
    TRY(pg_statement(tx->pg, s, id, in, &r));
    size_t n = (size_t)PQntuples(r), cols = (size_t)PQnfields(r);
    err e = OK;
    if (cols != s->ncols)
        e = FAIL(ERR_INTERNAL, "query %s has %zu columns, not %u", s->name, cols, s->ncols);
    struct db_val *v = n && e == OK ? arena_alloc(mem, n * cols * sizeof *v) : NULL;
    for (size_t i = 0; e == OK && i < n * cols; i++)
        e = pg_decode(r, s, (int)(i / cols), (int)(i % cols), mem, &v[i]);
    if (e == OK)
        *out = (struct db_rows){n, cols, v, s->writes ? atoll(PQcmdTuples(r)) : 0};
    PQclear(r);
    return e;
}

err pg_script(struct db_tx *tx, const char *sql)
{
    tx->pg->dirty = true;
    return pg_conn_script(tx->pg, sql);
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
}

err pg_lock(struct db_tx *tx, const sv *keys, size_t n)
{
    sv *sorted = calloc(n + 1, sizeof *sorted);
    assert(sorted);
    memcpy(sorted, keys, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    err e = OK;
    for (size_t i = 0; i < n && e == OK; i++)
        e = pg_conn_lock(tx->pg, sorted[i]);
    free(sorted);
    if (e != OK)
        tx->broken = e;
    return e;
}

/* A conflict or a lost connection ends the whole transaction; other failures only the attempt. */
static bool ends_all(const struct db_tx *tx, err e)
{
    return tx->pg->lost || tx->pg->stale || tx->broken == ERR_RETRY || e == ERR_DB_FULL;
}

err pg_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg)
{
    unsigned after = tx->after.n;
    err e = pg_held(tx->pg); /* a lock that is not to be had is not the attempt's failure */
    if (e == OK)
        e = pg_later(tx->pg, "SAVEPOINT s");
    if (e != OK) {
        tx->broken = e;
        return e;
    }
    e = fn(tx, mem, arg);
    if (e == OK)
        e = tx->broken;
    if (e != OK)
        pg_forget_locks(tx->pg);
    if (e == OK)
        e = pg_later(tx->pg, "RELEASE s");
    else if (!ends_all(tx, e) && pg_later(tx->pg, "ROLLBACK TO s") == OK &&
             pg_later(tx->pg, "RELEASE s") == OK) {
        tx->after.n = after;
        tx->broken = OK;
        return e;
    }
    if (e != OK && tx->broken == OK)
        tx->broken = e;
    return e;
}

/* -------- a transaction -------- */

static bool only_begin_pending(const struct pg_conn *c)
{
    return c->npending > 0 && (c->pending[0].sql[0] == 'B');
}

/* The connection was lost while the answer to COMMIT was awaited. */
static err uncertain(void)
{
    struct err_info why = *err_last();
    return FAIL(ERR_WRITE_UNCERTAIN, "%s: it is not known whether this was stored", why.detail);
}

static void roll_back(struct pg_conn *c)
{
    bool begun = !only_begin_pending(c);
    pg_forget(c);
    if (begun && !c->lost && pg_command(c, "ROLLBACK") != OK)
        c->lost = true;
}

static err commit(struct db_tx *tx)
{
    struct pg_conn *c = tx->pg;
    if (only_begin_pending(c)) { /* nothing was asked */
        pg_forget(c);
        return OK;
    }
    if (!c->dirty) { /* what was read holds */
        pg_end_read(c);
        return OK;
    }
    err e = pg_command(c, "COMMIT");
    if (e == OK)
        return OK;
    if (c->lost)
        return uncertain();
    struct err_info why = *err_last();
    roll_back(c); /* what travelled with COMMIT may have failed, and COMMIT was not run */
    err_restore(&why);
    return e;
}

/* One run of the body. *again: it ended for a reason that another run may not meet. */
static err run_once(struct db *db, struct pg_conn *c, bool write, struct arena *mem, db_fn fn,
                    void *arg, bool *again)
{
    struct db_tx tx = {.db = db, .pg = c, .writable = write};
    c->dirty = false;
    *again = false;
    err e = pg_later(c, write ? BEGIN_WRITE : BEGIN_READ);
    if (e == OK)
        e = fn(&tx, mem, arg);
    if (tx.broken != OK && (e == OK || tx.broken == ERR_RETRY))
        e = tx.broken;
    if (e == OK) {
        e = commit(&tx);
        if (e == OK)
            after_run(&tx.after);
        *again = e == ERR_RETRY;
    } else {
        struct err_info why = *err_last(); /* rolling back may fail too */
        *again = e == ERR_RETRY || c->lost || c->stale;
        roll_back(c);
        err_restore(&why);
    }
    return e;
}

static void pause_before(unsigned try)
{
    int64_t us = 1000 + crypto_random_below(5000u << try);
    struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

static err transact(struct db *db, bool write, struct arena *mem, db_fn fn, void *arg)
{
    static _Thread_local bool inside;
    assert(!inside); /* no transaction inside another */
    struct arena_mark mark = mem ? arena_mark(mem) : (struct arena_mark){0};
    for (unsigned try = 1;; try++) {
        struct pg_conn *c;
        bool again;
        TRY(pg_acquire(db->pg, WAIT_MS, &c));
        inside = true;
        err_clear();
        err e = run_once(db, c, write, mem, fn, arg, &again);
        inside = false;
        pg_release(db->pg, c);
        if (!again || try == DB_TRIES)
            return e;
        if (mem)
            arena_rewind(mem, mark);
        pause_before(try);
    }
}

err pg_read(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    return transact(db, false, mem, fn, arg);
}

err pg_read_soon(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    for (unsigned try = 1;; try++) {
        struct pg_conn *c;
        bool again;
        TRY(pg_acquire(db->pg, SOON_MS, &c));
        int patience = c->timeout_ms;
        c->timeout_ms = SOON_MS;
        err e = run_once(db, c, false, mem, fn, arg, &again);
        c->timeout_ms = patience;
        if (c->lost && PQstatus(c->h) == CONNECTION_OK) { /* silent, perhaps only slow: the other */
            c->lost = again = false;                      /* connections are not suspect */
            c->stale = true;
        }
        pg_release(db->pg, c);
        if (!again || try == DB_TRIES)
            return e;
    }
}

err pg_write(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    return transact(db, true, mem, fn, arg);
}

err pg_write_each(struct db *db, unsigned stmt, const struct db_val *in, size_t n, int64_t *changed)
{
    const struct db_stmt *s = &db_stmts[stmt];
    const struct db_tx tx = {.db = db, .writable = true};
    for (size_t i = 0; i < n; i++)
        TRY(stmt_check(&tx, s, in + i * s->nparams));
    struct pg_conn *c;
    TRY(pg_acquire(db->pg, WAIT_MS, &c));
    err_clear();
    err e = pg_later(c, BEGIN_WRITE);
    if (e == OK)
        e = pg_commit_each(c, stmt, in, n, changed);
    if (e != OK) {
        struct err_info why = *err_last();
        if (!c->lost)
            roll_back(c);
        else if (why.code == ERR_DB)
            e = uncertain();
        if (e != ERR_WRITE_UNCERTAIN)
            err_restore(&why);
    }
    pg_release(db->pg, c);
    return e;
}

/* -------- opening -------- */

err pg_open(const struct db_options *o, struct db *db)
{
    TRY(pq_load());
    struct pg *pg = calloc(1, sizeof *pg);
    assert(pg);
    pg->url = strndup(o->url.p, o->url.n);
    pg->max = o->conns ? o->conns : POOL_SIZE;
    pg->statement_timeout_ms = o->statement_timeout_ms ? o->statement_timeout_ms : 10000;
    pg->lock_timeout_ms = o->lock_timeout_ms ? o->lock_timeout_ms : 5000;
    pthread_mutex_init(&pg->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pg->freed, &attr);
    pthread_condattr_destroy(&attr);
    struct pg_conn *first;
    err e = pg_acquire(pg, WAIT_MS, &first);
    if (e != OK) {
        pg_close(pg);
        return e;
    }
    pg_release(pg, first);
    db->pg = pg;
    return OK;
}

void pg_close(struct pg *pg)
{
    while (pg->idle) {
        struct pg_conn *c = pg->idle;
        pg->idle = c->next;
        pg_conn_close(c);
    }
    pthread_mutex_destroy(&pg->mu);
    pthread_cond_destroy(&pg->freed);
    free(pg->url);
    free(pg);
}
