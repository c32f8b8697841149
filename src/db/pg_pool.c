/* The pool of connections to PostgreSQL: the one used last is taken first (its statements are
 * prepared, its cache warm). When one is lost, those opened before are suspect and closed when they
 * are taken. A server that is away is asked again after 0.1 s to 2 s, jittered, by one caller; the
 * others are told at once. */
#include "base/crypto.h"
#include "base/log.h"
#include "db/pg_internal.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define BACKOFF_LEAST_MS 100
#define BACKOFF_MOST_MS  2000

static void wait_until(struct timespec *t, int ms)
{
    clock_gettime(CLOCK_MONOTONIC, t);
    t->tv_sec += ms / 1000;
    t->tv_nsec += ms % 1000 * 1000000;
    if (t->tv_nsec >= 1000000000) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000;
    }
}

static int64_t backoff_us(unsigned failures)
{
    int64_t ms = BACKOFF_LEAST_MS << (failures < 5 ? failures : 5);
    ms = ms > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : ms;
    return (ms / 2 + crypto_random_below((uint32_t)(ms / 2) + 1)) * 1000;
}

/* With the lock; gives it up while connecting. */
static err open_one(struct pg *pg, struct pg_conn **out)
{
    if (pg->failures > 0 && clock_mono_us() < pg->next_try_us)
        return FAIL(ERR_DB, "%s", pg->last_failure);
    if (pg->failures > 0) /* this caller tries, the others don't wait behind it */
        pg->next_try_us = clock_mono_us() + backoff_us(pg->failures);
    unsigned generation = pg->generation;
    pg->open++;
    pthread_mutex_unlock(&pg->mu);
    struct pg_conn *c = NULL;
    err e = pg_conn_open(pg, &c);
    pthread_mutex_lock(&pg->mu);
    if (e != OK) {
        pg->open--;
        if (pg->failures++ == 0)
            log_event(LOG_ERROR, "db.connect_failed", "detail", err_detail(e), NULL);
        pg->next_try_us = clock_mono_us() + backoff_us(pg->failures);
        snprintf(pg->last_failure, sizeof pg->last_failure, "%.255s", err_detail(e));
        pthread_cond_broadcast(&pg->freed);
        return e;
    }
    if (pg->failures > 0)
        log_event(LOG_INFO, "db.connected", NULL);
    pg->failures = 0;
    c->generation = generation;
    *out = c;
    return OK;
}

static void drop(struct pg *pg, struct pg_conn *c)
{
    pg->open--;
    pg_conn_close(c);
    pthread_cond_broadcast(&pg->freed);
}

static struct pg_conn *take_idle(struct pg *pg)
{
    while (pg->idle) {
        struct pg_conn *c = pg->idle;
        pg->idle = c->next;
        if (c->generation == pg->generation)
            return c;
        drop(pg, c);
    }
    return NULL;
}

static err acquire(struct pg *pg, int wait_ms, struct pg_conn **out)
{
    struct timespec until;
    wait_until(&until, wait_ms);
    for (;;) {
        *out = take_idle(pg);
        if (*out)
            return OK;
        if (pg->open < pg->max) {
            err e = open_one(pg, out);
            /* The server may have fewer places than the pool: one in use will come free. */
            if (e == OK || pg->open == 0)
                return e;
        }
        if (pthread_cond_timedwait(&pg->freed, &pg->mu, &until) == ETIMEDOUT)
            return FAIL(ERR_DB, "all %u connections to PostgreSQL are in use%s%s", pg->open,
                        pg->failures ? ", and " : "", pg->failures ? pg->last_failure : "");
    }
}

err pg_acquire(struct pg *pg, int wait_ms, struct pg_conn **out)
{
    pthread_mutex_lock(&pg->mu);
    err e = acquire(pg, wait_ms, out);
    pthread_mutex_unlock(&pg->mu);
    return e;
}

void pg_release(struct pg *pg, struct pg_conn *c)
{
    pthread_mutex_lock(&pg->mu);
    if (c->lost && c->generation == pg->generation)
        pg->generation++;
    if (c->lost || c->stale || c->generation != pg->generation) {
        drop(pg, c);
    } else {
        c->next = pg->idle;
        pg->idle = c;
        pthread_cond_broadcast(&pg->freed);
    }
    pthread_mutex_unlock(&pg->mu);
}
