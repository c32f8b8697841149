/* SQLite: the database as a whole, and its reading connections, one a thread. A thread that ends,
 * or seldom reads, hands its connection on.
 *
 * Beginning and ending a read transaction is two locks by fcntl, more than a small query costs. So
 * a reader keeps its snapshot while nobody has committed, in this process or another: SQLite counts
 * commits in the shared header of its log (sqlite.org/walformat.html), which is one load from
 * memory to ask. Snapshots that nobody uses are ended by the checkpointer: they would keep the log
 * from starting over.
 *
 * What is kept of rows (memo.h) belongs to a snapshot whose number is known: one that had the same
 * count before it began and once it was there. */
#include "db/memo.h"
#include "db/touch.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#define TRIES 3 /* for a snapshot while others commit */
#define UNUSED_LOOKS                                                                               \
    1200 /* of the checkpointer, one in 50 ms: then a reader's memory is given back */

struct reader {
    struct sqlite *of;
    struct sq_conn *conn;
    struct reader *next_all, *next_idle;
    pthread_mutex_t mu; /* its thread, or the checkpointer that ends an unused snapshot */
    bool busy, open, used;
    uint64_t change; /* the newest commit before the snapshot (sq_commit) */
    unsigned epoch;
    unsigned unused;   /* looks since it read */
    struct memo *memo; /* NULL: MYBEING_MEMO=0, to measure what it gives */
};

struct sqlite {
    char *path;
    struct file_map *map; /* what readers look at */
    struct writer *writer;
    struct checkpointer *checkpointer;
    struct touch *touch;
    const uint32_t *change; /* the count of commits; NULL: not known */
    atomic_uint epoch;      /* raised when snapshots should move to the file */
    pthread_key_t mine;
    pthread_mutex_t mu;
    struct reader *all, *idle;
};

static void reader_idle(void *arg)
{
    struct reader *r = arg;
    pthread_mutex_lock(&r->of->mu);
    r->next_idle = r->of->idle;
    r->of->idle = r;
    pthread_mutex_unlock(&r->of->mu);
}

static err reader_new(struct sqlite *s, struct reader **out)
{
    struct sq_conn *conn;
    TRY(sq_conn_open(s->path, SQ_READ, false, &conn));
    err e = sq_use_map(conn, s->map);
    if (e != OK) {
        sq_conn_close(conn);
        return e;
    }
    struct reader *r = calloc(1, sizeof *r);
    assert(r);
    const char *memo = getenv("MYBEING_MEMO");
    bool keeps = !memo || strcmp(memo, "0") != 0;
    *r = (struct reader){.of = s, .conn = conn, .memo = keeps ? memo_new(s->touch) : NULL};
    pthread_mutex_init(&r->mu, NULL);
    pthread_mutex_lock(&s->mu);
    r->next_all = s->all;
    s->all = r;
    pthread_mutex_unlock(&s->mu);
    *out = r;
    return OK;
}

static err reader_mine(struct sqlite *s, struct reader **out)
{
    struct reader *r = pthread_getspecific(s->mine);
    if (!r) {
        pthread_mutex_lock(&s->mu);
        r = s->idle;
        if (r)
            s->idle = r->next_idle;
        pthread_mutex_unlock(&s->mu);
        if (!r)
            TRY(reader_new(s, &r));
        pthread_setspecific(s->mine, r);
    }
    *out = r;
    return OK;
}

static err snapshot_end(struct reader *r)
{
    if (!r->open)
        return OK;
    r->open = false;
    return sq_in_transaction(r->conn) ? sq_control(r->conn, SQ_COMMIT) : OK;
}

/* Begins one; for what is kept also its commit is made sure of (*exact). On an error a transaction
 * may be left open. */
static err snapshot_begin(struct reader *r, uint64_t *commit, unsigned *generation, bool *exact)
{
    const uint32_t *change = r->of->change;
    *exact = false;
    for (int i = 1;; i++) {
        *generation = touch_generation(r->of->touch);
        uint32_t last = touch_last(r->of->touch);
        *commit = change ? sq_commit(change) : 0;
        TRY(sq_control(r->conn, SQ_BEGIN));
        if (!r->memo || !change)
            return OK;
        TRY(sq_control(r->conn, SQ_LOOK));
        *exact = sq_commit(change) == *commit && (int32_t)((uint32_t)*commit - last) >= 0;
        if (*exact || i == TRIES)
            return OK;
        TRY(sq_control(r->conn, SQ_COMMIT));
    }
}

/* The newest snapshot: the one it has, if nobody committed since. */
static err snapshot(struct reader *r)
{
    const uint32_t *change = r->of->change;
    uint64_t now = change ? sq_commit(change) : 0;
    unsigned epoch = atomic_load_explicit(&r->of->epoch, memory_order_acquire);
    if (r->open && change && r->change == now && r->epoch == epoch)
        return OK;
    TRY(snapshot_end(r));
    unsigned generation;
    bool exact;
    err e = snapshot_begin(r, &now, &generation, &exact);
    if (e != OK) {
        if (sq_in_transaction(r->conn))
            (void)!sq_control(r->conn, SQ_ROLLBACK);
        return e;
    }
    if (r->memo)
        memo_snapshot(r->memo, now, exact, generation);
    r->open = true;
    r->change = now;
    r->epoch = epoch;
    return OK;
}

static err read_with(struct reader *r, struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    TRY(snapshot(r));
    r->busy = r->used = true;
    struct db_tx tx = {.db = db, .sq = r->conn, .memo = r->memo};
    err e = fn(&tx, mem, arg);
    if (e == OK)
        e = tx.broken;
    r->busy = false;
    if (tx.broken == OK && r->of->change && sq_in_transaction(r->conn))
        return e;
    err end = snapshot_end(r);
    return e != OK ? e : end;
}

err sqlite_read(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    struct reader *r;
    TRY(reader_mine(db->sqlite, &r));
    assert(!r->busy); /* no transaction inside another */
    pthread_mutex_lock(&r->mu);
    err e = read_with(r, db, mem, fn, arg);
    pthread_mutex_unlock(&r->mu);
    return e;
}

void sqlite_read_done(struct sqlite *s)
{
    struct reader *r = pthread_getspecific(s->mine);
    if (!r)
        return;
    assert(!r->busy);
    pthread_setspecific(s->mine, NULL);
    reader_idle(r); /* with its snapshot, which serves the next if nobody has committed */
}

static void end_unused(struct sqlite *s, bool all)
{
    pthread_mutex_lock(&s->mu);
    for (struct reader *r = s->all; r; r = r->next_all) {
        if (pthread_mutex_trylock(&r->mu) != 0)
            continue; /* it is reading */
        if (all || !r->used)
            (void)!snapshot_end(r);
        r->unused = r->used ? 0 : r->unused + !all;
        if (r->unused == UNUSED_LOOKS && r->memo)
            memo_drop(r->memo);
        if (!all)
            r->used = false;
        pthread_mutex_unlock(&r->mu);
    }
    pthread_mutex_unlock(&s->mu);
}

void sqlite_end_unused(struct sqlite *s)
{
    end_unused(s, false);
}

void sqlite_end_all(struct sqlite *s)
{
    atomic_fetch_add_explicit(&s->epoch, 1, memory_order_release);
    end_unused(s, true);
}

err sqlite_scratch(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    struct sq_conn *conn;
    TRY(sq_conn_open(":memory:", SQ_SCRATCH, true, &conn));
    struct db_tx tx = {.db = db, .sq = conn, .writable = true};
    err e = fn(&tx, mem, arg);
    sq_conn_close(conn);
    return e;
}

struct writer *sqlite_writer(const struct sqlite *s)
{
    return s->writer;
}

static void sqlite_config_once(void)
{
    /* No global count of memory: it is a lock in every allocation of every thread. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

/* sqlite:path, file:path; what follows '?' are another program's options. */
err sqlite_path(sv url, char **out)
{
    sv path = url;
    if (sv_starts(url, SV("sqlite:")) || sv_starts(url, SV("file:")))
        (void)sv_cut(&path, ':');
    if (sv_starts(path, SV("//")))
        path = (sv){path.p + 2, path.n - 2};
    sv rest = path;
    path = sv_cut(&rest, '?');
    if (sv_empty(path))
        return FAIL(ERR_CONFIG, "DATABASE_URL names no file: write sqlite:path or postgres://…");
    *out = strndup(path.p, path.n);
    assert(*out);
    return OK;
}

err sqlite_open(const struct db_options *o, struct db *db)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sqlite_config_once);
    struct sqlite *s = calloc(1, sizeof *s);
    assert(s);
    pthread_mutex_init(&s->mu, NULL);
    pthread_key_create(&s->mine, reader_idle);
    err e = sqlite_path(o->url, &s->path);
    if (e == OK)
        e = writer_open(db, s->path, o->create, &s->writer);
    if (e == OK)
        s->map = file_map_open(s->path);
    if (e == OK)
        e = checkpointer_open(s, s->path, s->writer, &s->checkpointer);
    if (e == OK) {
        s->change = checkpointer_change(s->checkpointer);
        s->touch = touch_new(s->change);
        writer_touches(s->writer, s->touch);
    }
    if (e != OK) {
        sqlite_close(s);
        return e;
    }
    db->sqlite = s;
    return OK;
}

void sqlite_close(struct sqlite *s)
{
    checkpointer_stop(s->checkpointer);
    pthread_key_delete(s->mine);
    while (s->all) {
        struct reader *r = s->all;
        s->all = r->next_all;
        sq_conn_close(r->conn);
        memo_free(r->memo);
        pthread_mutex_destroy(&r->mu);
        free(r);
    }
    checkpointer_close(s->checkpointer);
    writer_close(s->writer); /* last of the connections: it folds the log into the file */
    touch_free(s->touch);
    file_map_close(s->map);
    pthread_mutex_destroy(&s->mu);
    free(s->path);
    free(s);
}
