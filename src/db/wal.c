/* SQLite's writer puts a transaction's pages into its log in few calls.
 *
 * SQLite writes each page by two of them, 24 bytes and 4 KB, none of which falls on a page of the
 * kernel: of one page it makes three that are looked up, locked and marked. Here the methods of the
 * writer's log file are SQLite's own, but what is written one behind the other is gathered and
 * written before the log is synced, read, cut, measured or closed. Nobody else looks at it before:
 * pages are shown to readers by the end of a commit, which syncs first (PRAGMA synchronous=FULL).
 * What a transaction leaves gathered when it is rolled back is of no use, and forgotten: by the
 * time it would be written, another process may have put its own commit in that place. Once a write
 * failed, all that follow fail, and the sync, until the transaction is rolled back: SQLite was told
 * that the bytes are there. The order of bytes is SQLite's: the frame that ends a transaction is
 * written last. */
#include "db/db_internal.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>

#define GATHERED (120 * 1024) /* SQLite's own write takes less than 128 KiB at once */

struct wal_file {
    sqlite3_io_methods methods; /* first: the file's pMethods leads back here */
    const sqlite3_io_methods *plain;
    sqlite3 *h;
    sqlite3_int64 at; /* where the gathered bytes belong */
    int n;
    int failed; /* what became of writing those: they are lost, and their transaction with them */
    char bytes[GATHERED];
};

static struct wal_file *wal_of(sqlite3_file *f)
{
    return (struct wal_file *)(uintptr_t)f->pMethods;
}

static int flush(sqlite3_file *f)
{
    struct wal_file *w = wal_of(f);
    int n = w->n;
    w->n = 0;
    if (w->failed == SQLITE_OK && n > 0)
        w->failed = w->plain->xWrite(f, w->bytes, n, w->at);
    return w->failed;
}

static int wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct wal_file *w = wal_of(f);
    if (w->n > 0 && (at != w->at + w->n || n > GATHERED - w->n))
        (void)flush(f);
    if (w->failed != SQLITE_OK)
        return w->failed;
    if (n > GATHERED)
        return w->plain->xWrite(f, p, n, at);
    if (w->n == 0)
        w->at = at;
    memcpy(w->bytes + w->n, p, (size_t)n);
    w->n += n;
    return SQLITE_OK;
}

/* Rolling back reads what stands before the bytes that were lost. */
static int wal_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct wal_file *w = wal_of(f);
    int rc = flush(f);
    return rc == SQLITE_OK || at + n <= w->at ? w->plain->xRead(f, p, n, at) : rc;
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = flush(f);
    return rc == SQLITE_OK ? wal_of(f)->plain->xTruncate(f, size) : rc;
}

static int wal_sync(sqlite3_file *f, int flags)
{
    int rc = flush(f);
    return rc == SQLITE_OK ? wal_of(f)->plain->xSync(f, flags) : rc;
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *size)
{
    int rc = flush(f);
    return rc == SQLITE_OK ? wal_of(f)->plain->xFileSize(f, size) : rc;
}

void wal_forget(struct wal_file *w)
{
    if (!w)
        return;
    w->n = 0;
    w->failed = SQLITE_OK;
}

/* SQLite rolls back by itself too. */
static void on_rollback(void *w)
{
    wal_forget(w);
}

/* What is left belongs to no commit. */
static int wal_close(sqlite3_file *f)
{
    struct wal_file *w = wal_of(f);
    f->pMethods = w->plain;
    sqlite3_rollback_hook(w->h, NULL, NULL);
    free(w);
    return f->pMethods->xClose(f);
}

struct wal_file *wal_gather(struct sqlite3 *h)
{
    sqlite3_file *f = NULL;
    /* Where a write may hurt what lies beside it, SQLite fills up behind a commit, after the sync.
     */
    if (sqlite3_file_control(h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK || !f ||
        !f->pMethods ||
        !(f->pMethods->xDeviceCharacteristics(f) & SQLITE_IOCAP_POWERSAFE_OVERWRITE))
        return NULL;
    struct wal_file *w = malloc(sizeof *w);
    assert(w);
    w->methods = *f->pMethods;
    w->methods.xWrite = wal_write;
    w->methods.xRead = wal_read;
    w->methods.xTruncate = wal_truncate;
    w->methods.xSync = wal_sync;
    w->methods.xFileSize = wal_size;
    w->methods.xClose = wal_close;
    w->plain = f->pMethods;
    w->h = h;
    w->n = 0;
    w->failed = SQLITE_OK;
    f->pMethods = &w->methods;
    sqlite3_rollback_hook(h, on_rollback, w);
    return w;
}
