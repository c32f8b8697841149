/* Folding SQLite's log into the file, on a thread of its own: in the writer it would be the p99.9.
 *
 * Passive checkpoints never reach the end of the log while it grows, and the log starts over only
 * after one that did. So what came is folded and made durable beside the running writer a little at
 * a time: all 32 MiB at once kept the disk from the writer for a quarter of a second. Beyond a size
 * the writer is held for the last few pages; readers then move to the file and the next commit
 * starts the log over. */
#include "base/log.h"
#include "db/db_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FOLD_PAGES    (4 * 256)   /* 4 MiB of 4 KiB pages: so much is folded beside the writer */
#define RESTART_PAGES (32 * 256)  /* 32 MiB */
#define SHRINK_PAGES  (128 * 256) /* a long reader kept it: give the disk back */
#define LOOK_EVERY_MS 50
#define IDLE_LOOKS    20    /* a second without commits */
#define PASSES        8     /* before the writer is held, at most */
#define LITTLE_US     10000 /* a pass so short left little behind */
#define TRIES         40    /* while the writer is held: a long reader is left for the next time */

struct checkpointer {
    struct sqlite *sqlite;
    struct sq_conn *conn;
    struct writer *writer;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool stop;
};

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static bool wait_a_little(struct checkpointer *c)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_EVERY_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    pthread_mutex_lock(&c->mu);
    while (!c->stop && pthread_cond_timedwait(&c->cond, &c->mu, &t) == 0)
        ;
    bool go = !c->stop;
    pthread_mutex_unlock(&c->mu);
    return go;
}

/* The kernel tells of a write that failed once, and then forgets the page: a second sync says yes
 * and the log, which has the only good copy, would start over. So the process ends here without
 * closing the database; the next start finds nothing folded and folds the whole log again. */
static _Noreturn void disk_failed(void)
{
    log_event(LOG_ERROR, "db.sync_failed", "detail",
              "the disk could not store the database file; everything acknowledged is in its log: "
              "look after the disk, then start again",
              NULL);
    abort();
}

static bool fold(struct checkpointer *c, bool restart, bool shrink)
{
    enum sq_folded f = sq_checkpoint(c->conn, restart, shrink);
    if (f == SQ_UNSYNCED)
        disk_failed();
    return f == SQ_FOLDED_ALL;
}

/* Folding stops at what the oldest snapshot reads, and a snapshot that begins before all is folded
 * reads the log: it would keep the log from starting over for as long as nobody commits, and the
 * writer is held. So readers are sent on before each step, and again if one was in mid-read. */
static bool fold_all(struct checkpointer *c, bool restart, bool shrink)
{
    for (int i = 0; i < TRIES; i++) {
        sqlite_end_all(c->sqlite);
        if (fold(c, restart, shrink))
            return true;
        nap();
    }
    return false;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* Folds what it can beside the running writer and makes it durable there: SQLite itself does so
 * only in the pass that reaches the end of the log, for which the writer is held. Microseconds. */
static int64_t fold_beside(struct checkpointer *c)
{
    int64_t began = now_us();
    (void)fold(c, false, false);
    if (!sq_sync_file(c->conn))
        disk_failed();
    return now_us() - began;
}

static void start_over(struct checkpointer *c, bool shrink)
{
    for (int i = 0; i < PASSES && fold_beside(c) > LITTLE_US; i++)
        ;
    writer_hold(c->writer);
    if (fold_all(c, false, false))
        (void)fold_all(c, true, shrink);
    writer_resume(c->writer);
}

static void *checkpoint_main(void *arg)
{
    struct checkpointer *c = arg;
    int seen = 0, quiet = 0, folded = 0, limit = RESTART_PAGES;
    while (wait_a_little(c)) {
        sqlite_end_unused(c->sqlite);
        int pages = writer_wal_pages(c->writer);
        if (pages < seen) { /* the log has started over */
            limit = RESTART_PAGES;
            folded = 0;
        }
        quiet = pages == seen ? quiet + 1 : 0;
        seen = pages;
        if (pages >= limit) {
            start_over(c, pages >= SHRINK_PAGES);
            limit = pages + RESTART_PAGES; /* if a long reader prevented it: not at once again */
        } else if (pages - folded >= FOLD_PAGES || (quiet == IDLE_LOOKS && pages != folded)) {
            (void)fold_beside(c);
            folded = pages;
        }
    }
    return NULL;
}

err checkpointer_open(struct sqlite *s, const char *path, struct writer *w,
                      struct checkpointer **out)
{
    struct sq_conn *conn;
    TRY(sq_conn_open(path, SQ_FOLD, false, &conn));
    struct checkpointer *c = calloc(1, sizeof *c);
    assert(c);
    c->sqlite = s;
    c->conn = conn;
    c->writer = w;
    pthread_mutex_init(&c->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&c->thread, NULL, checkpoint_main, c) != 0)
        abort();
    *out = c;
    return OK;
}

const uint32_t *checkpointer_change(const struct checkpointer *c)
{
    return sq_change_count(c->conn);
}

void checkpointer_stop(struct checkpointer *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->mu);
    c->stop = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mu);
    pthread_join(c->thread, NULL);
}

void checkpointer_close(struct checkpointer *c)
{
    if (!c)
        return;
    sq_conn_close(c->conn);
    pthread_mutex_destroy(&c->mu);
    pthread_cond_destroy(&c->cond);
    free(c);
}
