/* SQLite: connections and their statements. Settings and why: DESIGN §1, docs/adr/0001-sqlite.md.
 */
#include "db/touch.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>

struct sq_conn {
    sqlite3 *h;
    sqlite3_stmt *control[SQ_CONTROLS];
    sqlite3_stmt **stmts; /* by number of the query, made when first used */
    struct wal_file *wal; /* of a writer */
    atomic_int *wal_pages;
    uint64_t logged;
};

static const char *const control_sql[SQ_CONTROLS] = {
    [SQ_BEGIN] = "BEGIN",
    [SQ_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQ_LOOK] = "SELECT 1 FROM sqlite_schema LIMIT 0",
    [SQ_COMMIT] = "COMMIT",
    [SQ_ROLLBACK] = "ROLLBACK",
    [SQ_SAVEPOINT] = "SAVEPOINT s",
    [SQ_RELEASE] = "RELEASE s",
    [SQ_ROLLBACK_TO] = "ROLLBACK TO s",
};

static err sq_err(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
            rc == SQLITE_CONSTRAINT_ROWID)
            return ERR_UNIQUE;
        return rc == SQLITE_CONSTRAINT_FOREIGNKEY ? ERR_FOREIGN_KEY : ERR_INTERNAL;
    case SQLITE_FULL:
        return ERR_DB_FULL;
    case SQLITE_ERROR: /* bad SQL, a missing table */
    case SQLITE_MISMATCH:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return ERR_INTERNAL;
    default:
        return ERR_DB;
    }
}

#define SQ_FAIL(c, rc, what)                                                                       \
    FAIL(sq_err(rc), "%s: %s%s", (what), sqlite3_errmsg((c)->h),                                   \
         ((rc)&0xff) == SQLITE_BUSY ? " (another process is writing)" : "")

err sq_exec(struct sq_conn *c, const char *sql)
{
    int rc = sqlite3_exec(c->h, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? OK : SQ_FAIL(c, rc, "schema");
}

/* PRAGMA journal_mode answers with the mode it could set. */
static err set_wal(struct sq_conn *c)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(c->h, "PRAGMA journal_mode=WAL", -1, &st, NULL) != SQLITE_OK)
        return SQ_FAIL(c, sqlite3_extended_errcode(c->h), "journal_mode");
    int rc = sqlite3_step(st);
    bool wal = rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
    sqlite3_finalize(st);
    if (wal)
        return OK;
    return FAIL(ERR_DB, "the database file can't be put in WAL mode (%s): is it on a local disk?",
                sqlite3_errmsg(c->h));
}

static err set_up(struct sq_conn *c, enum sq_mode mode)
{
    sqlite3_extended_result_codes(c->h, 1);
    sqlite3_busy_timeout(c->h, DB_BUSY_MS); /* before any pragma: they wait too */
    if (mode == SQ_FOLD) /* SQLite's own `synchronous` suffices: folding syncs log and file */
        return OK;
    if (mode == SQ_WRITE)
        TRY(set_wal(c));
    TRY(sq_exec(c, "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"));
    if (mode != SQ_WRITE)
        return OK;
    TRY(sq_exec(c, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; "
                   "PRAGMA cache_size=-8192; PRAGMA schema_version")); /* which opens the log */
    c->wal = wal_gather(c->h);
    return OK;
}

err sq_conn_open(const char *path, enum sq_mode mode, bool create, struct sq_conn **out)
{
    struct sq_conn *c = calloc(1, sizeof *c);
    assert(c);
    c->stmts = calloc(db_stmts_n + 1, sizeof *c->stmts);
    assert(c->stmts);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (mode == SQ_READ)
        flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READONLY;
    int rc = sqlite3_open_v2(path, &c->h, flags, NULL);
    err e = OK;
    if (rc != SQLITE_OK)
        e = FAIL(ERR_DB, "can't open the database %s: %s (%s)", path,
                 c->h ? sqlite3_errmsg(c->h) : "out of memory",
                 create ? "its folder has to be there and writable"
                        : "`mybeing migrate up` makes it");
    if (e == OK)
        e = set_up(c, mode);
    if (e != OK) {
        sq_conn_close(c);
        return e;
    }
    *out = c;
    return OK;
}

void sq_conn_close(struct sq_conn *c)
{
    if (!c)
        return;
    for (int i = 0; i < SQ_CONTROLS; i++)
        sqlite3_finalize(c->control[i]);
    for (unsigned i = 0; i < db_stmts_n; i++)
        sqlite3_finalize(c->stmts[i]);
    sqlite3_close(c->h);
    free(c->stmts);
    free(c);
}

err sq_control(struct sq_conn *c, enum sq_control which)
{
    sqlite3_stmt **st = &c->control[which];
    if (!*st && sqlite3_prepare_v3(c->h, control_sql[which], -1, SQLITE_PREPARE_PERSISTENT, st,
                                   NULL) != SQLITE_OK)
        return SQ_FAIL(c, sqlite3_extended_errcode(c->h), control_sql[which]);
    int rc = sqlite3_step(*st);
    if (which == SQ_COMMIT || which == SQ_ROLLBACK)
        wal_forget(c->wal);
    if (rc == SQLITE_DONE) {
        sqlite3_reset(*st);
        return OK;
    }
    err e = SQ_FAIL(c, rc, control_sql[which]);
    sqlite3_reset(*st);
    return e;
}

bool sq_in_transaction(const struct sq_conn *c)
{
    return !sqlite3_get_autocommit(c->h);
}

err sq_foreign_key_check(struct sq_conn *c)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(c->h, "PRAGMA foreign_key_check", -1, &st, NULL) != SQLITE_OK)
        return SQ_FAIL(c, sqlite3_extended_errcode(c->h), "foreign_key_check");
    err e = OK;
    if (sqlite3_step(st) == SQLITE_ROW)
        e = FAIL(ERR_FOREIGN_KEY, "a row of %s refers to a missing row of %s",
                 (const char *)sqlite3_column_text(st, 0),
                 (const char *)sqlite3_column_text(st, 2));
    sqlite3_finalize(st);
    return e;
}

int64_t sq_changes(const struct sq_conn *c)
{
    return sqlite3_total_changes64(c->h);
}

static int wal_hook(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct sq_conn *c = arg;
    (void)h, (void)name;
    c->logged++;
    atomic_store_explicit(c->wal_pages, pages, memory_order_relaxed);
    return SQLITE_OK;
}

void sq_count_wal(struct sq_conn *c, atomic_int *pages)
{
    c->wal_pages = pages;
    sqlite3_wal_hook(c->h, wal_hook, c);
}

uint64_t sq_logged(const struct sq_conn *c)
{
    return c->logged;
}

enum sq_folded sq_checkpoint(struct sq_conn *c, bool restart, bool shrink)
{
    int mode = shrink    ? SQLITE_CHECKPOINT_TRUNCATE
               : restart ? SQLITE_CHECKPOINT_RESTART
                         : SQLITE_CHECKPOINT_PASSIVE;
    /* Busy (a reader of old pages, another process) is no fault: the next one gets further. */
    int log = 0, folded = -1;
    sqlite3_busy_timeout(c->h, DB_CHECKPOINT_MS);
    int rc = sqlite3_wal_checkpoint_v2(c->h, NULL, mode, &log, &folded);
    if (rc != SQLITE_OK && sqlite3_extended_errcode(c->h) == SQLITE_IOERR_FSYNC)
        return SQ_UNSYNCED;
    return rc == SQLITE_OK && folded == log ? SQ_FOLDED_ALL : SQ_FOLDED_PART;
}

bool sq_sync_file(struct sq_conn *c)
{
    sqlite3_file *f = NULL;
    return sqlite3_file_control(c->h, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK && f &&
           f->pMethods && f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK;
}

/* The header of the log's index in shared memory: its third word, iChange, grows with every commit.
 * Asked of SQLite's own mapping: a file descriptor of ours would drop its locks when closed. */
const uint32_t *sq_change_count(struct sq_conn *c)
{
    sqlite3_file *f = NULL;
    void volatile *map = NULL;
    /* A question that opens the log and needs no schema. */
    if (sq_exec(c, "PRAGMA schema_version") != OK ||
        sqlite3_file_control(c->h, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK || !f ||
        !f->pMethods || f->pMethods->iVersion < 2 ||
        f->pMethods->xShmMap(f, 0, 32768, 0, &map) != SQLITE_OK || !map)
        return NULL;
    const uint32_t *header = (const uint32_t *)(uintptr_t)map;
    return header[0] == 3007000 ? &header[2] : NULL; /* the only version there is */
}

/* The checksum of the log's frames so far: four words behind. */
uint64_t sq_commit(const uint32_t *count)
{
    uint64_t sum = __atomic_load_n(count + 4, __ATOMIC_ACQUIRE);
    return sum << 32 | __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

void sq_listen(struct sq_conn *c, struct touch *t)
{
    touch_listen(t, c->h);
}

err sq_use_map(struct sq_conn *c, struct file_map *m)
{
    sqlite3_file *f = NULL;
    if (sqlite3_file_control(c->h, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK || !f ||
        !file_map_use(m, f))
        return OK;
    return sq_exec(c, "PRAGMA mmap_size=1"); /* any: it makes SQLite ask for pages by xFetch */
}

/* -------- one statement -------- */

static err statement(struct sq_conn *c, const struct db_stmt *s, unsigned id, sqlite3_stmt **out)
{
    sqlite3_stmt **st = &c->stmts[id];
    if (!*st &&
        sqlite3_prepare_v3(c->h, s->sqlite, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return SQ_FAIL(c, sqlite3_extended_errcode(c->h), s->name);
    *out = *st;
    return OK;
}

/* Values are borrowed until the statement is reset, which is before the caller goes on. */
static int bind(sqlite3_stmt *st, int at, const struct db_val *v)
{
    switch (v->type) {
    case DB_INT:
        return sqlite3_bind_int64(st, at, v->i);
    case DB_TEXT:
        return sqlite3_bind_text64(st, at, v->s.p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB:
        return sqlite3_bind_blob64(st, at, v->s.p, v->s.n, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(st, at);
    }
}

static void column(sqlite3_stmt *st, int i, char type, struct arena *mem, struct db_val *v)
{
    if (sqlite3_column_type(st, i) == SQLITE_NULL) {
        *v = (struct db_val){DB_NULL, INT64_MIN, SV_NULL};
    } else if (type == 'i') {
        *v = (struct db_val){DB_INT, sqlite3_column_int64(st, i), SV_NULL};
    } else {
        const void *p =
            type == 't' ? (const void *)sqlite3_column_text(st, i) : sqlite3_column_blob(st, i);
        sv s = {p ? p : "", (size_t)sqlite3_column_bytes(st, i)};
        *v = (struct db_val){type == 't' ? DB_TEXT : DB_BLOB, 0, arena_sv(mem, s)};
    }
}

struct rows {
    struct db_val *v;
    size_t n, cap;
};

static err add_row(sqlite3_stmt *st, const struct db_stmt *s, struct arena *mem, struct rows *r)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 4 * r->cap : 1;
        struct db_val *v = arena_alloc(mem, cap * s->ncols * sizeof *v);
        if (r->n)
            memcpy(v, r->v, r->n * s->ncols * sizeof *v);
        r->v = v;
        r->cap = cap;
    }
    struct db_val *row = r->v + r->n * s->ncols;
    for (unsigned i = 0; i < s->ncols; i++) {
        column(st, (int)i, s->col_types[i], mem, &row[i]);
        if (row[i].type == DB_NULL && s->col_nullable[i] == '0')
            return column_null(s, i);
    }
    r->n++;
    return OK;
}

static err steps(struct sq_conn *c, sqlite3_stmt *st, const struct db_stmt *s, struct arena *mem,
                 struct rows *r)
{
    for (;;) {
        int rc = sqlite3_step(st);
        if (rc == SQLITE_DONE)
            return OK;
        if (rc != SQLITE_ROW)
            return SQ_FAIL(c, rc, s->name);
        if (s->ncols > 0)
            TRY(add_row(st, s, mem, r));
    }
}

err sq_run(struct db_tx *tx, struct arena *mem, const struct db_stmt *s, unsigned id,
           const struct db_val *in, struct db_rows *out)
{
    sqlite3_stmt *st = NULL;
    TRY(statement(tx->sq, s, id, &st));
    for (unsigned i = 0; i < s->nparams; i++) {
        int rc = bind(st, (int)i + 1, &in[i]);
        if (rc != SQLITE_OK && rc != SQLITE_RANGE) /* range: only the other engine's text has it */
            return SQ_FAIL(tx->sq, rc, s->name);
    }
    struct rows r = {0};
    err e = steps(tx->sq, st, s, mem, &r);
    /* A RETURNING that is not reset makes RELEASE fail. */
    sqlite3_reset(st);
    if (e != OK)
        return e;
    *out = (struct db_rows){r.n, s->ncols, r.v, s->writes ? sqlite3_changes64(tx->sq->h) : 0};
    return OK;
}

err db_script(struct db_tx *tx, const char *sql)
{
    if (tx->broken != OK)
        return tx->broken;
    tx->script = true;
    err e = tx->pg ? pg_script(tx, sql) : sq_exec(tx->sq, sql);
    if (e != OK)
        tx->broken = e;
    return e;
}
