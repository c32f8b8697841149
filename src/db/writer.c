/* SQLite's one writer: a thread that owns the only writing connection.
 *
 * Group commit: a batch is what queued while the last one was being made durable; it never waits
 * to fill. One that fails takes nothing with it; then one COMMIT (one fsync), then the answers.
 * Measured: waiting 1 ms to fill cost a third.
 *
 * Savepoints are dear (SQLite copies every page that is then changed) and hardly ever used, so a
 * batch runs without. A body that fails before it wrote anything, the usual way, needs none. After
 * any other failure the batch is rolled back and run again, now each body in a savepoint of its
 * own, and so are the next few batches: failures come in company. */
#include "base/log.h"
#include "db/touch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define GUARDED_AFTER 16 /* batches with savepoints after one that needed them */

struct writer {
    struct db *db;
    char *path;
    struct sq_conn *conn; /* NULL after a failed reopening */
    bool single;          /* MYBEING_BATCH=1: each alone, to measure what grouping gives */
    unsigned guarded;     /* so many batches still run with savepoints */
    atomic_int wal_pages;
    struct touch *touch;
    bool listening; /* conn tells it */

    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t more, idle;
    struct db_post *head, **tail;
    bool stop, hold, busy, waiting;
};

struct batch {
    struct db_post *first;
    size_t n;
    struct after_set after;
    bool guarded; /* each body in a savepoint */
    bool script;  /* one ran a script: nobody knows what it changed */
};

static _Thread_local bool me;

bool writer_is_me(void)
{
    return me;
}

/* The record of a failure is the thread's and the next body overwrites it: kept until `done`. */
static void post_result(struct db_post *p, err e)
{
    p->result = e;
    if (e != OK && err_last()->code == e) {
        if (!p->why)
            p->why = malloc(sizeof *p->why);
        assert(p->why);
        *p->why = *err_last();
    } else {
        free(p->why);
        p->why = NULL;
    }
}

static void post_done(struct db_post *p)
{
    struct err_info *why = p->why;
    p->why = NULL;
    err_restore(why);
    p->done(p, p->result);
    free(why);
}

static bool rerun(struct db_post *p, err e)
{
    if (e != ERR_RETRY || ++p->tries >= DB_TRIES)
        return false;
    if (p->mem)
        arena_rewind(p->mem, p->mark);
    return true;
}

enum ran {
    RAN,      /* it has its result, and what it did is there or undone */
    RAN_LOST, /* the whole transaction is gone */
    RAN_BARE  /* it failed after it wrote, without a savepoint to go back to */
};

static err run_once(struct db_post *p, struct db_tx *tx)
{
    err_clear();
    err e = p->fn(tx, p->mem, p->arg);
    return e == OK ? tx->broken : e;
}

static void keep_after(struct batch *b, const struct db_tx *tx)
{
    b->script |= tx->script;
    for (unsigned i = 0; i < tx->after.n; i++)
        after_add(&b->after, tx->after.fn[i]);
}

static enum ran run_guarded(struct writer *w, struct batch *b, struct db_post *p)
{
    err e;
    p->tries = 0;
    do {
        struct db_tx tx = {.db = w->db, .sq = w->conn, .writable = true};
        err_clear();
        e = sq_control(w->conn, SQ_SAVEPOINT);
        if (e == OK)
            e = run_once(p, &tx);
        if (e == OK)
            e = sq_control(w->conn, SQ_RELEASE);
        post_result(p, e);
        if (e == OK) {
            keep_after(b, &tx);
            return RAN;
        }
        if (!sq_in_transaction(w->conn) || sq_control(w->conn, SQ_ROLLBACK_TO) != OK ||
            sq_control(w->conn, SQ_RELEASE) != OK)
            return RAN_LOST;
    } while (rerun(p, e));
    return RAN;
}

static enum ran run_bare(struct writer *w, struct batch *b, struct db_post *p)
{
    err e;
    p->tries = 0;
    do {
        struct db_tx tx = {.db = w->db, .sq = w->conn, .writable = true, .bare = true};
        int64_t before = sq_changes(w->conn);
        e = run_once(p, &tx);
        post_result(p, e);
        if (e == OK) {
            keep_after(b, &tx);
            return RAN;
        }
        if (!sq_in_transaction(w->conn))
            return RAN_LOST;
        if (tx.script || sq_changes(w->conn) != before)
            return RAN_BARE;
    } while (rerun(p, e));
    return RAN;
}

static void roll_back(struct writer *w)
{
    if (sq_in_transaction(w->conn))
        (void)!sq_control(w->conn, SQ_ROLLBACK);
}

static void reopen(struct writer *w)
{
    sq_conn_close(w->conn);
    w->conn = NULL;
    w->listening = false;
    if (sq_conn_open(w->path, SQ_WRITE, false, &w->conn) == OK)
        sq_count_wal(w->conn, &w->wal_pages);
    else
        log_event(LOG_ERROR, "db.reopen_failed", "detail", err_last()->detail, NULL);
}

static void batch_fail(const struct batch *b, err e)
{
    for (struct db_post *p = b->first; p; p = p->next)
        post_result(p, e);
}

/* A failed COMMIT. No room: the frame that ends a transaction is written last, so it is not there
 * and nothing happened. Anything else: it may or may not be on the disk (SPEC §8: never a wrong
 * answer), so nobody is told either. A body that had failed has seen what may not exist. */
static bool commit_failed(struct writer *w, struct batch *b, err e)
{
    roll_back(w);
    if (e == ERR_DB_FULL) {
        batch_fail(b, e);
        return false;
    }
    log_event(LOG_ERROR, "db.commit_failed", "detail", err_last()->detail, NULL);
    for (struct db_post *p = b->first; p; p = p->next)
        post_result(p, p->result == OK
                           ? FAIL(ERR_WRITE_UNCERTAIN, "the commit failed: it is not known whether "
                                                       "this was stored")
                           : FAIL(ERR_DB, "the storage failed; try again"));
    reopen(w);
    return true;
}

static void begun(struct writer *w)
{
    if (!w->listening)
        sq_listen(w->conn, w->touch);
    w->listening = true;
    touch_begin(w->touch);
}

static void rewind_post(struct db_post *p)
{
    if (p->mem)
        arena_rewind(p->mem, p->mark);
}

/* Everything of a batch in one transaction. False: it was lost without a verdict on each (a full
 * disk ends the whole of it); *culprit = the one it happened to, if one. */
static bool run_together(struct writer *w, struct batch *b, struct db_post **culprit)
{
    *culprit = NULL;
    b->after.n = 0;
    err e = sq_control(w->conn, SQ_BEGIN_WRITE);
    if (e != OK) {
        batch_fail(b, e);
        return true;
    }
    begun(w);
    b->script = false;
    uint64_t before = sq_logged(w->conn);
    for (struct db_post *p = b->first; p; p = p->next) {
        enum ran ran = b->guarded ? run_guarded(w, b, p) : run_bare(w, b, p);
        if (ran == RAN)
            continue;
        roll_back(w);
        if (ran == RAN_LOST) {
            *culprit = p;
            return false;
        }
        for (struct db_post *again = b->first; again; again = again->next)
            rewind_post(again);
        b->guarded = true;
        w->guarded = GUARDED_AFTER;
        return run_together(w, b, culprit);
    }
    e = sq_control(w->conn, SQ_COMMIT);
    if (e == OK)
        touch_end(w->touch, sq_logged(w->conn) != before, b->script);
    return e == OK || commit_failed(w, b, e);
}

/* After a lost batch: each on its own, so that each gets its own answer. */
static void run_apart(struct writer *w, struct batch *b, const struct db_post *culprit)
{
    struct after_set after = {0};
    for (struct db_post *p = b->first; p; p = p->next) {
        if (p == culprit)
            continue;
        struct db_post *next = p->next, *again;
        rewind_post(p);
        p->next = NULL;
        struct batch one = {.first = p, .n = 1, .guarded = true};
        if (w->conn) {
            (void)run_together(w, &one, &again);
        } else {
            post_result(p, FAIL(ERR_DB, "the database file can't be opened"));
        }
        if (p->result == OK)
            for (unsigned i = 0; i < one.after.n; i++)
                after_add(&after, one.after.fn[i]);
        p->next = next;
    }
    b->after = after;
}

static void run_batch(struct writer *w, struct batch *b)
{
    struct db_post *culprit;
    if (!w->conn)
        reopen(w);
    if (!w->conn) {
        batch_fail(b, err_last()->code == OK ? ERR_DB : err_last()->code);
        return;
    }
    for (struct db_post *p = b->first; p; p = p->next)
        if (p->mem)
            p->mark = arena_mark(p->mem);
    b->guarded = w->guarded > 0;
    w->guarded -= b->guarded;
    if (!run_together(w, b, &culprit) && b->n > 1)
        run_apart(w, b, culprit);
}

/* A schema change: alone, foreign keys off, checked before the end. */
static void run_schema(struct writer *w, struct batch *b)
{
    struct db_post *p = b->first;
    struct db_tx tx = {.db = w->db, .sq = w->conn, .writable = true};
    err_clear();
    err e = w->conn ? sq_exec(w->conn, "PRAGMA foreign_keys=OFF; BEGIN IMMEDIATE")
                    : FAIL(ERR_DB, "the database file can't be opened");
    if (e == OK) {
        begun(w);
        e = p->fn(&tx, p->mem, p->arg);
    }
    if (e == OK)
        e = tx.broken;
    if (e == OK)
        e = sq_foreign_key_check(w->conn);
    if (e == OK)
        e = sq_control(w->conn, SQ_COMMIT);
    if (e == OK)
        touch_end(w->touch, false, true);
    post_result(p, e);
    if (w->conn) {
        roll_back(w);
        (void)!sq_exec(w->conn, "PRAGMA foreign_keys=ON");
    }
}

/* Takes the queue, or its first alone. Called with the lock. */
static struct batch take(struct writer *w)
{
    struct batch b = {.first = w->head};
    if (w->single || w->head->schema) {
        w->head = b.first->next;
        b.first->next = NULL;
        b.n = 1;
    } else {
        struct db_post **end = &w->head;
        for (; *end && !(*end)->schema; end = &(*end)->next)
            b.n++;
        w->head = *end;
        *end = NULL;
    }
    if (!w->head)
        w->tail = &w->head;
    return b;
}

static void finish(struct batch *b)
{
    for (struct db_post *p = b->first, *next; p; p = next) {
        next = p->next;
        post_done(p);
    }
    after_run(&b->after);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    me = true;
    pthread_mutex_lock(&w->mu);
    for (;;) {
        while (w->hold || (!w->head && !w->stop)) {
            w->waiting = true;
            pthread_cond_wait(&w->more, &w->mu);
        }
        w->waiting = false;
        if (!w->head)
            break;
        struct batch b = take(w);
        w->busy = true;
        pthread_mutex_unlock(&w->mu);
        if (b.first->schema)
            run_schema(w, &b);
        else
            run_batch(w, &b);
        finish(&b);
        pthread_mutex_lock(&w->mu);
        w->busy = false;
        if (w->hold)
            pthread_cond_signal(&w->idle);
    }
    pthread_mutex_unlock(&w->mu);
    return NULL;
}

void writer_post(struct writer *w, struct db_post *p)
{
    p->next = NULL;
    p->why = NULL;
    p->result = OK;
    pthread_mutex_lock(&w->mu);
    assert(!w->stop);
    *w->tail = p;
    w->tail = &p->next;
    bool wake = w->waiting;
    if (wake)
        w->waiting = false;
    pthread_mutex_unlock(&w->mu);
    if (wake)
        pthread_cond_signal(&w->more);
}

struct call {
    struct db_post post; /* first: done gets its address */
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool ended;
    struct err_info why;
};

static void call_done(struct db_post *p, err result)
{
    struct call *c = (struct call *)p;
    (void)result;
    pthread_mutex_lock(&c->mu);
    c->why = *err_last();
    c->ended = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mu);
}

err writer_call(struct writer *w, struct arena *mem, db_fn fn, void *arg, bool schema)
{
    assert(!me); /* it would wait for itself */
    struct call c = {
        .post = {.fn = fn, .mem = mem, .arg = arg, .done = call_done, .schema = schema}};
    pthread_mutex_init(&c.mu, NULL);
    pthread_cond_init(&c.cond, NULL);
    writer_post(w, &c.post);
    pthread_mutex_lock(&c.mu);
    while (!c.ended)
        pthread_cond_wait(&c.cond, &c.mu);
    pthread_mutex_unlock(&c.mu);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.mu);
    if (c.post.result != OK)
        err_restore(&c.why);
    return c.post.result;
}

void writer_touches(struct writer *w, struct touch *t)
{
    pthread_mutex_lock(&w->mu); /* its thread looks after a post, which takes the lock too */
    w->touch = t;
    pthread_mutex_unlock(&w->mu);
}

int writer_wal_pages(struct writer *w)
{
    return atomic_load_explicit(&w->wal_pages, memory_order_relaxed);
}

void writer_hold(struct writer *w)
{
    pthread_mutex_lock(&w->mu);
    w->hold = true;
    while (w->busy)
        pthread_cond_wait(&w->idle, &w->mu);
    pthread_mutex_unlock(&w->mu);
}

void writer_resume(struct writer *w)
{
    pthread_mutex_lock(&w->mu);
    w->hold = false;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->mu);
}

err writer_open(struct db *db, const char *path, bool create, struct writer **out)
{
    struct sq_conn *conn;
    TRY(sq_conn_open(path, SQ_WRITE, create, &conn));
    struct writer *w = calloc(1, sizeof *w);
    assert(w);
    w->db = db;
    w->conn = conn;
    w->path = strdup(path);
    w->tail = &w->head;
    const char *batch = getenv("MYBEING_BATCH");
    w->single = batch && strcmp(batch, "1") == 0;
    sq_count_wal(conn, &w->wal_pages);
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->more, NULL);
    pthread_cond_init(&w->idle, NULL);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0)
        abort();
    *out = w;
    return OK;
}

void writer_close(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mu);
    w->stop = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->mu);
    pthread_join(w->thread, NULL);
    sq_conn_close(w->conn);
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->more);
    pthread_cond_destroy(&w->idle);
    free(w->path);
    free(w);
}
