/* Inside src/db only (and its tests): what the engines share. */
#pragma once
#include "db/db.h"
#include <stdatomic.h>

#define DB_AFTER_MAX     8
#define DB_TRIES         4 /* runs of one body in all, after conflicts */
#define DB_BUSY_MS       5000
#define DB_CHECKPOINT_MS 5 /* a checkpoint's patience with readers, before it asks them again */
#define DB_ARENA_NONE    ((struct arena_mark){NULL, 0})

struct sq_conn;
struct sqlite;
struct writer;
struct pg;
struct memo;
struct touch;
struct file_map;
struct wal_file;
struct sqlite3;
struct sqlite3_file;
struct pg_conn;

struct after_set {
    void (*fn[DB_AFTER_MAX])(void);
    unsigned n;
};

struct db_tx {
    struct db *db;
    struct sq_conn *sq; /* one of the two */
    struct pg_conn *pg;
    struct memo *memo; /* of a reader of SQLite: memo.h */
    bool past_memo;    /* a text is made that will be kept: its rows need not be */
    bool writable;
    bool bare;   /* SQLite: without savepoints; the writer runs it again if one was needed */
    bool script; /* db_script has run: what it changed is not counted */
    err broken;  /* a statement failed outside db_attempt */
    struct after_set after;
};

struct db {
    enum db_engine engine;
    struct sqlite *sqlite;
    struct pg *pg;
};

void after_add(struct after_set *set, void (*fn)(void));
void after_run(const struct after_set *set);

/* Several statements of text; for migrations and tests. */
err db_script(struct db_tx *tx, const char *sql) MUST_USE;
/* A writing transaction alone, not in a batch, with foreign keys off while it runs and checked at
 * its end: tables may be rebuilt (SQLite; DESIGN §3). On PostgreSQL the same as db_write. */
err db_write_schema(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;

/* Common checks of db_run. */
err stmt_check(const struct db_tx *tx, const struct db_stmt *s, const struct db_val *in) MUST_USE;
err column_null(const struct db_stmt *s, size_t col) MUST_USE;

/* -------- sqlite.c -------- */
/* SQ_FOLD only folds the log: it never reads the schema, which takes a connection 0.2 MB. */
enum sq_mode { SQ_READ, SQ_WRITE, SQ_FOLD, SQ_SCRATCH };
err sq_conn_open(const char *path, enum sq_mode mode, bool create, struct sq_conn **out) MUST_USE;
void sq_conn_close(struct sq_conn *c);
/* Control statements, prepared once. */
enum sq_control {
    SQ_BEGIN,
    SQ_BEGIN_WRITE,
    SQ_LOOK, /* reads no row: a transaction that only reads has its snapshot from here on */
    SQ_COMMIT,
    SQ_ROLLBACK,
    SQ_SAVEPOINT,
    SQ_RELEASE,
    SQ_ROLLBACK_TO,
    SQ_CONTROLS
};
err sq_control(struct sq_conn *c, enum sq_control which) MUST_USE;
bool sq_in_transaction(const struct sq_conn *c);
/* Rows changed since the connection was opened: the same before and after, nothing was written. */
int64_t sq_changes(const struct sq_conn *c);
err sq_exec(struct sq_conn *c, const char *sql) MUST_USE;
err sq_foreign_key_check(struct sq_conn *c) MUST_USE;
void sq_count_wal(struct sq_conn *c, atomic_int *pages);
/* Commits of this connection that went into the log (sq_count_wal was called): one that changed
 * nothing, or rows to what they were, does not. */
uint64_t sq_logged(const struct sq_conn *c);
enum sq_folded {
    SQ_FOLDED_PART, /* the next one gets further */
    SQ_FOLDED_ALL,  /* and, with `restart`, nobody reads the log any more */
    SQ_UNSYNCED     /* the disk failed: nobody knows what of the pages is on it */
};
/* One checkpoint; `restart` waits for readers so that the log starts over, `shrink` cuts the file.
 */
enum sq_folded sq_checkpoint(struct sq_conn *c, bool restart, bool shrink);
/* What was folded so far is on the disk. False: as SQ_UNSYNCED. */
bool sq_sync_file(struct sq_conn *c) MUST_USE;
/* Where SQLite counts commits of all processes, valid while c is open; NULL if not to be had. */
const uint32_t *sq_change_count(struct sq_conn *c);
/* The newest commit: its number in the lower half, above it what tells it from another of the same
 * number. Such is there when a process was killed in mid-commit: who comes next makes the index
 * anew, and SQLite counts from 0 again. */
uint64_t sq_commit(const uint32_t *count);
/* touch_listen: every row that this connection changes is told. */
void sq_listen(struct sq_conn *c, struct touch *t);
err sq_run(struct db_tx *tx, struct arena *mem, const struct db_stmt *s, unsigned id,
           const struct db_val *in, struct db_rows *out) MUST_USE;

/* Pages of the file come from the mapping from now on; the connection must end before it. Without a
 * mapping (NULL) they are read as ever. */
err sq_use_map(struct sq_conn *c, struct file_map *m) MUST_USE;

/* -------- map.c -------- */
/* The mapping of a database file, shared by all of the process who have it open; NULL: none is to
 * be had, or MYBEING_MMAP=0. Closed after all connections to the file. */
struct file_map *file_map_open(const char *path);
void file_map_close(struct file_map *m);
/* False: the file is read as before. */
bool file_map_use(struct file_map *m, struct sqlite3_file *f);

/* -------- wal.c -------- */
/* What is written to this connection's log one behind the other is written together, at the latest
 * when it is synced. Only for one that syncs at every commit and has its log open. It lives as long
 * as the connection; NULL: the log is written as ever. */
struct wal_file *wal_gather(struct sqlite3 *h);
/* After each end of a transaction: what is still gathered was rolled back. NULL is taken. */
void wal_forget(struct wal_file *w);

/* -------- reader.c -------- */
/* The file that a URL names; malloc'ed. */
err sqlite_path(sv url, char **out) MUST_USE;
err sqlite_open(const struct db_options *o, struct db *db) MUST_USE;
void sqlite_close(struct sqlite *s);
err sqlite_read(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
void sqlite_read_done(struct sqlite *s); /* db_read_done */
/* Ends snapshots that were not used since the last call. */
void sqlite_end_unused(struct sqlite *s);
/* Ends all: those in use when their reader next reads. */
void sqlite_end_all(struct sqlite *s);
struct writer *sqlite_writer(const struct sqlite *s);
/* Runs fn in a database in memory: the expected schema of `migrate check`. */
err sqlite_scratch(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;

/* -------- writer.c -------- */
err writer_open(struct db *db, const char *path, bool create, struct writer **out) MUST_USE;
void writer_close(struct writer *w); /* after what is queued */
/* Whom it tells of what it changes; before anything is posted. t lives longer than w. */
void writer_touches(struct writer *w, struct touch *t);
void writer_post(struct writer *w, struct db_post *p);
err writer_call(struct writer *w, struct arena *mem, db_fn fn, void *arg, bool schema) MUST_USE;
bool writer_is_me(void);
/* For checkpoint.c: how long the log is; stops the writer between two batches. */
int writer_wal_pages(struct writer *w);
void writer_hold(struct writer *w);
void writer_resume(struct writer *w);

/* -------- checkpoint.c -------- */
struct checkpointer;
err checkpointer_open(struct sqlite *s, const char *path, struct writer *w,
                      struct checkpointer **out) MUST_USE;
const uint32_t *checkpointer_change(const struct checkpointer *c); /* sq_change_count */
void checkpointer_stop(struct checkpointer *c);
void checkpointer_close(struct checkpointer *c); /* after the readers: they look at its count */

/* -------- pg.c -------- */
err pg_open(const struct db_options *o, struct db *db) MUST_USE;
void pg_close(struct pg *pg);
err pg_read(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
/* Once, with the patience of /readyz. */
err pg_read_soon(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
err pg_write(struct db *db, struct arena *mem, db_fn fn, void *arg) MUST_USE;
err pg_write_each(struct db *db, unsigned stmt, const struct db_val *in, size_t n,
                  int64_t *changed) MUST_USE;
err pg_run(struct db_tx *tx, struct arena *mem, const struct db_stmt *s, unsigned id,
           const struct db_val *in, struct db_rows *out) MUST_USE;
err pg_script(struct db_tx *tx, const char *sql) MUST_USE;
err pg_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg) MUST_USE;
err pg_lock(struct db_tx *tx, const sv *keys, size_t n) MUST_USE;
