/* SQLite: a snapshot into a file, and a file in the place of the database. */
#include "base/buf.h"
#include "db/backup_inner.h"
#include "queries.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEPS_BETWEEN_LOOKS 20000
#define COPY_CHUNK          (1 << 20)

static void close_handle(sqlite3 **h)
{
    sqlite3_close(*h);
}
#define HANDLE_AUTO __attribute__((cleanup(close_handle))) sqlite3

static err open_handle(const char *path, int flags, int busy_ms, sqlite3 **out)
{
    if (sqlite3_open_v2(path, out, flags, NULL) != SQLITE_OK)
        return FAIL(ERR_DB, "%s cannot be opened: %s", path, sqlite3_errmsg(*out));
    sqlite3_busy_timeout(*out, busy_ms);
    return OK;
}

/* The first column of the first row; -1 if there is none. */
static err ask(sqlite3 *h, const char *sql, struct arena *mem, int64_t *number, sv *text)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    *number = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    const char *s = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    *text = s ? arena_sv(mem, sv_from(s)) : SV_NULL;
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? OK
               : FAIL(rc == SQLITE_BUSY || rc == SQLITE_LOCKED ? ERR_CONFLICT : ERR_DB, "%s",
                      sqlite3_errmsg(h));
}

/* -------- out -------- */

struct watch {
    const char *to;
    int64_t total;
    backup_progress fn;
};

static int look(void *arg)
{
    struct watch *w = arg;
    struct stat st;
    if (stat(w->to, &st) == 0)
        w->fn(NULL, "bytes saved", st.st_size < w->total ? st.st_size : w->total, w->total);
    return 0;
}

err backup_sqlite_write(const char *path, const char *to, backup_progress progress)
{
    HANDLE_AUTO *h = NULL;
    ARENA_AUTO mem = arena_new(0);
    int64_t pages, size;
    sv text;
    TRY(open_handle(path, SQLITE_OPEN_READONLY, 10000, &h));
    TRY(ask(h, "PRAGMA page_count", mem, &pages, &text));
    TRY(ask(h, "PRAGMA page_size", mem, &size, &text));
    struct watch w = {to, pages * size, progress};
    if (progress)
        sqlite3_progress_handler(h, STEPS_BETWEEN_LOOKS, look, &w);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, "VACUUM INTO ?", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 1, to, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return FAIL(rc == SQLITE_FULL ? ERR_DB_FULL : ERR_DB, "the copy failed: %s",
                    sqlite3_errmsg(h));
    return backup_sync(to);
}

/* -------- looking at a file -------- */

static err counts(sqlite3 *h, struct arena *mem, struct backup_facts *f)
{
    sqlite3_stmt *st = NULL;
    enum { MOST = 64 };
    if (sqlite3_prepare_v2(h, db_stmts[Q_BACKUP_COUNTS].sqlite, -1, &st, NULL) != SQLITE_OK)
        return OK; /* of another schema */
    struct backup_count *c = ARENA_ARRAY(mem, struct backup_count, MOST);
    size_t n = 0;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && n < MOST)
        c[n++] =
            (struct backup_count){arena_sv(mem, sv_from((const char *)sqlite3_column_text(st, 0))),
                                  sqlite3_column_int64(st, 1)};
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return FAIL(ERR_DB, "its rows cannot be counted: %s", sqlite3_errmsg(h));
    f->counts = c;
    f->n = n;
    return OK;
}

/* It is nobody's database: no log beside it, no locks. */
static const char *immutable_uri(struct arena *mem, const char *file)
{
    BUF_AUTO b = {0};
    buf_add(&b, SV("file:"));
    for (const char *p = file; *p; p++) {
        if (*p == '?' || *p == '#' || *p == '%')
            buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*p);
        else
            buf_char(&b, *p);
    }
    buf_add(&b, SV("?immutable=1"));
    return arena_cstr(mem, buf_sv(&b));
}

err backup_sqlite_verify(struct arena *mem, const char *file, struct backup_facts *out)
{
    HANDLE_AUTO *h = NULL;
    struct backup_facts f = {0};
    int64_t number;
    sv text;
    if (access(file, R_OK) != 0)
        return FAIL(ERR_NOT_FOUND, "%s cannot be read: %s", file, strerror(errno));
    TRY(open_handle(immutable_uri(mem, file), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0, &h));
    if (ask(h, "SELECT count(*) FROM sqlite_schema", mem, &number, &text) != OK)
        return FAIL(ERR_DB, "%s is not a backup of SQLite: %s", file, sqlite3_errmsg(h));
    TRY(ask(h, "PRAGMA integrity_check(1)", mem, &number, &text));
    if (!sv_is(text, "ok"))
        return FAIL(ERR_DB, "%s is damaged: %.*s", file, SV_ARG(text));
    TRY(ask(h, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1", mem, &number, &text));
    if (text.p)
        return FAIL(ERR_DB, "%s is damaged: rows of %.*s lack what they refer to", file,
                    SV_ARG(text));
    if (ask(h, db_stmts[Q_BACKUP_SCHEMA].sqlite, mem, &f.schema, &text) != OK || f.schema < 1)
        return FAIL(ERR_DB, "%s is not a database of mybeing", file);
    TRY(counts(h, mem, &f));
    *out = f;
    return OK;
}

/* -------- back -------- */

/* Folds the log into the file and ends it: possible only if nobody else has the database open. */
static err take_alone(struct arena *mem, const char *path)
{
    HANDLE_AUTO *h = NULL;
    int64_t number;
    sv mode;
    TRY(open_handle(path, SQLITE_OPEN_READWRITE, 0, &h));
    err e = ask(h, "PRAGMA journal_mode=DELETE", mem, &number, &mode);
    if (e == OK && sv_is(mode, "delete"))
        return OK;
    return e == OK || e == ERR_CONFLICT
               ? FAIL(ERR_CONFLICT, "%s is in use: stop `mybeing serve` and `mybeing work` first",
                      path)
               : e;
}

static err copy_bytes(int from, int to)
{
    char *chunk = malloc(COPY_CHUNK);
    ssize_t n = 0;
    if (!chunk)
        abort();
    while ((n = read(from, chunk, COPY_CHUNK)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t put = write(to, chunk + at, (size_t)(n - at));
            if (put < 0 && errno != EINTR) {
                free(chunk);
                return FAIL(errno == ENOSPC ? ERR_DB_FULL : ERR_DB, "the copy failed: %s",
                            strerror(errno));
            }
            at += put > 0 ? put : 0;
        }
    }
    free(chunk);
    return n == 0 ? OK : FAIL(ERR_DB, "the backup cannot be read: %s", strerror(errno));
}

static err copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    err e = in < 0 || out < 0 ? FAIL(ERR_DB, "%s: %s", in < 0 ? from : to, strerror(errno))
                              : copy_bytes(in, out);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return e == OK ? backup_sync(to) : e;
}

static const char *beside(struct arena *mem, const char *path, const char *end)
{
    return arena_cstr(mem, arena_printf(mem, "%s%s", path, end));
}

err backup_sqlite_restore(struct arena *mem, const char *path, const char *file, const char *keep)
{
    struct backup_facts ignored;
    bool there = access(path, F_OK) == 0;
    const char *half = beside(mem, path, ".restoring");
    if (there)
        TRY(take_alone(mem, path));
    TRY(copy_file(file, half));
    TRY(backup_sqlite_verify(mem, half, &ignored));
    if (there && keep && link(path, keep) != 0)
        return FAIL(ERR_DB, "the old database cannot be kept as %s: %s", keep, strerror(errno));
    if (!there) { /* a log of a file that is gone is not this file's */
        unlink(beside(mem, path, "-wal"));
        unlink(beside(mem, path, "-shm"));
    }
    if (rename(half, path) != 0)
        return FAIL(ERR_DB, "%s cannot be replaced: %s", path, strerror(errno));
    return backup_sync(path);
}
