/* Jobs that are done are stored by whichever worker finds nobody at it; the others go on, and what
 * ends meanwhile is stored together next: one commit on the disk for all of them, and nobody waits
 * to fill it. They count as held until they are stored. */
#include "base/log.h"
#include "http/metrics.h"
#include "job/job_runner.h"
#include <unistd.h>

static struct job_item *take(struct job_ends *ends, size_t *n)
{
    struct job_item *first = ends->first, **end = &ends->first;
    for (*n = 0; *end && *n < JOB_DONE_MOST; ++*n)
        end = &(*end)->next;
    ends->first = *end;
    *end = NULL;
    if (!ends->first)
        ends->last = &ends->first;
    return first;
}

/* The database may be away for a while; the token refuses what was stored already. */
static err store_alone(struct job_runner *r, struct job_item *it)
{
    for (;;) {
        bool stored = false;
        err e = job_store_done_each(r->db, (const struct job_claimed *[]){&it->c}, 1, clock_now(),
                                    &stored);
        if (e == OK)
            return stored ? OK : ERR_GONE;
        if (!job_may_pass(e) || atomic_load(&r->stop) ||
            clock_mono_us() > it->ended_us + JOB_STORE_US)
            return e;
        usleep(JOB_STORE_AGAIN_US);
    }
}

/* What troubles one of several must not trouble the others: after a failure each is tried alone. */
static void store(struct job_runner *r, struct job_item *first, size_t n)
{
    const struct job_claimed *jobs[JOB_DONE_MOST];
    bool stored[JOB_DONE_MOST];
    size_t i = 0;
    for (struct job_item *it = first; it; it = it->next)
        jobs[i++] = &it->c;
    err e = job_store_done_each(r->db, jobs, n, clock_now(), stored);
    i = 0;
    for (struct job_item *it = first, *next; it; it = next, i++) {
        next = it->next;
        err one = e != OK ? store_alone(r, it) : stored[i] ? OK : ERR_GONE;
        if (one == OK)
            metric_add(it->kind->done, 1);
        else
            job_lost(r, it->kind, one);
        job_over(r, it);
    }
}

void job_done(struct job_runner *r, struct job_item *it)
{
    struct job_ends *ends = &r->ends;
    it->next = NULL;
    it->ended_us = clock_mono_us();
    pthread_mutex_lock(&ends->lock);
    *ends->last = it;
    ends->last = &it->next;
    if (!ends->under_way) {
        ends->under_way = true;
        while (ends->first) {
            size_t n;
            struct job_item *first = take(ends, &n);
            pthread_mutex_unlock(&ends->lock);
            store(r, first, n);
            pthread_mutex_lock(&ends->lock);
        }
        ends->under_way = false;
    }
    pthread_mutex_unlock(&ends->lock);
}
