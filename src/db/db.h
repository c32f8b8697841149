/* The database: one interface, two engines (SQLite, PostgreSQL).
 *
 * Nobody writes SQL in C: the files in sql/query + tools/sqlgen.py give typed functions (queries.h,
 * made at build) that call db_run. Transactions are opened by the router, the worker and cmd/ only;
 * features get a `struct db_tx *`.
 *
 * SQLite: one writer thread owns the only writing connection; write bodies queue, run one after
 * another and are committed together with one fsync (group commit, db/writer.c); reads run
 * on read-only connections, one a thread. PostgreSQL: reads and writes run on the calling thread
 * with a connection of the pool, READ COMMITTED, re-run on serialization failure, deadlock, or a
 * connection lost before COMMIT. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

struct db;
struct db_tx;

enum db_engine { DB_SQLITE, DB_PG };

struct db_options {
    sv url;         /* sqlite:path, file:path, postgres://… */
    unsigned conns; /* PostgreSQL: pool size; SQLite: readers (0: default) */
    bool create;    /* SQLite: make the file if it is missing */
    int statement_timeout_ms, lock_timeout_ms; /* 0: defaults (10 s, 5 s) */
};
err db_open(const struct db_options *o, struct db **out) MUST_USE;
void db_close(struct db *db); /* waits for queued writes */
enum db_engine db_engine(const struct db *db);

/* The body of a transaction. May be run again after a conflict (arena rewound by the caller of the
 * engine), so it must not have effects outside. An error rolls everything of it back. */
typedef err (*db_fn)(struct db_tx *tx, struct arena *mem, void *arg);

/* Runs fn in a read-only snapshot on this thread. */
err db_read(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
/* This thread reads no more for a while: its connection (SQLite: the schema it has read is 3
 * million instructions and 0.2 MB) is for the thread that reads next. PostgreSQL keeps none for a
 * thread. */
void db_read_done(struct db *db);
/* Runs fn in a writing transaction; returns after the commit is durable. Not to be called from
 * inside a transaction or from an event loop. ERR_WRITE_UNCERTAIN: the outcome is not known, do not
 * retry. */
err db_write(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;

/* The same without waiting (SQLite's writer; on PostgreSQL it is not available: use db_write on a
 * worker thread, see db_has_writer). `done` is called on the writer thread after the commit, with
 * the detail of a failure in err_last(); it must be quick. The arena is rewound before fn is run
 * again; what a failed last run left there stays readable. */
struct db_post {
    db_fn fn;
    struct arena *mem;
    void *arg;
    void (*done)(struct db_post *p, err result);
    struct db_post *next; /* from here on the writer's */
    err result;
    struct arena_mark mark;
    struct err_info *why;
    unsigned tries;
    bool schema;
};
bool db_has_writer(const struct db *db);
void db_post(struct db *db, struct db_post *p);

/* A savepoint inside tx: if fn fails, what it did is undone and its error returned; tx goes on.
 * (On both engines; an ERR_DB… that ends the whole transaction is passed on as it is. SQLite's
 * first try has no savepoint to go back to: if fn wrote before it failed, the rest of tx fails too,
 * and all of it is run again.) */
err db_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg) MUST_USE;

/* Takes the transaction-long lock named `key` (PostgreSQL: advisory lock; SQLite: the writer is
 * alone, nothing to do). Several locks of one transaction are taken in one call: they are sorted
 * first. Held before the next statement runs; if that had to wait too long, the statement says so.
 */
err db_lock(struct db_tx *tx, const sv *keys, size_t n) MUST_USE;
static inline err db_lock1(struct db_tx *tx, sv key)
{
    return db_lock(tx, &key, 1);
}
enum db_engine db_tx_engine(const struct db_tx *tx);

/* After a commit that enqueued work: called by job_put through db_on_commit. fn runs on the
 * committing thread after the commit, once for each distinct fn. */
void db_on_commit(struct db_tx *tx, void (*fn)(void));

/* -------- what generated code calls -------- */
enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };
struct db_val {
    enum db_type type;
    int64_t i; /* DB_NULL: INT64_MIN, which is TS_NONE */
    sv s;      /* DB_NULL and DB_INT: SV_NULL */
};
struct db_rows {
    size_t n, cols;
    struct db_val *v; /* n * cols, texts in the arena */
    int64_t changed;  /* rows changed by INSERT/UPDATE/DELETE */
};
struct db_stmt {
    const char *name;
    const char *sqlite, *pg; /* texts for each engine */
    bool writes;
    bool kept; /* SQLite's readers keep its rows: db/memo.h */
    /* kept: the parameter that is the rows' owner, or (-1) the column of the row; else both -1 */
    int owner_param, owner_col;
    unsigned nparams, ncols;
    /* One letter each: types i, t, b; nullable 0 or 1. */
    const char *param_types, *param_nullable, *col_types, *col_nullable;
    const char *const *param_names, *const *col_names;
};
extern const struct db_stmt db_stmts[]; /* indexed by enum db_query, made by sqlgen */
extern const unsigned db_stmts_n;
/* The tables that kept rows come from, and the column of each that names its row's owner
 * (db/touch.h). */
struct db_owned {
    const char *table;
    unsigned column; /* its place in the table, from 0 */
};
extern const struct db_owned db_owned[];
extern const unsigned db_owned_n;
/* Errors: ERR_UNIQUE, ERR_FOREIGN_KEY (the transaction goes on only inside db_attempt), ERR_RETRY
 * (conflict: the engine re-runs), ERR_DB, ERR_DB_FULL. On both engines a failed statement outside
 * db_attempt ends the transaction: every further call answers the same error, nothing is kept. */
err db_run(struct db_tx *tx, struct arena *mem, unsigned stmt, const struct db_val *in,
           struct db_rows *out) MUST_USE;

/* Text made of this transaction's rows, kept with them (SQLite's readers: db/memo.h): who asks for
 * it next needs neither the rows nor the making. It depends on nothing but `what`, the time, and
 * the rows of `owner` in the tables of kept queries (db_owned), and is the same from `now` on and
 * before `until` (TS_NONE: for good).
 *
 * db_text_kept: *out is valid until the transaction ends; false: make it, and give it to
 * db_text_keep in the same transaction. (Its rows are then read past what is kept of them: they
 * will not be needed again.) */
bool db_text_kept(struct db_tx *tx, sv what, sv owner, ts now, sv *out) MUST_USE;
void db_text_keep(struct db_tx *tx, sv what, sv owner, ts now, ts until, sv text);

/* A transaction of its own: one writing statement with n rows of parameters, one after another; on
 * PostgreSQL all of it in one round trip. changed[i] = the rows that the i-th run changed. It is
 * not run again after a failure. Errors as db_write's. */
err db_write_each(struct db *db, unsigned stmt, const struct db_val *in, size_t n,
                  int64_t *changed) MUST_USE;

/* As db_read, with the patience of /readyz: on PostgreSQL at most 2 s for a connection and 2 s for
 * each answer, so that a frozen server is noticed soon. */
err db_read_soon(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
/* Ping for /readyz: a read of one row, soon. */
err db_ping(struct db *db) MUST_USE;
