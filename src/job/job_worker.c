/* A worker thread: runs one job after another and stores how each ended. */
#include "base/crypto.h"
#include "base/log.h"
#include "http/metrics.h"
#include "job/job_runner.h"
#include "queries.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_ATTEMPTS 20
#define PROGRESS_US  1000000

struct finish {
    struct job *j;
    db_fn fn;
    void *arg;
};

static err finish_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct finish *f = arg;
    /* The fence first: it takes the row's lock, so that a rescue waits for us or we for it. */
    TRY(job_store_done(tx, f->j->id, f->j->token, clock_now()));
    return f->fn ? f->fn(tx, mem, f->arg) : OK;
}

err job_finish(struct job *j, db_fn fn, void *arg)
{
    struct finish f = {j, fn, arg};
    TRY(db_write(j->db, j->mem, finish_run, &f));
    j->done = true;
    return OK;
}

void job_again(struct job *j, ts at)
{
    j->again = true;
    j->retry_at = at;
}

void job_retry_at(struct job *j, ts at)
{
    j->retry_at = at;
}

void job_permanent(struct job *j)
{
    j->permanent = true;
}

struct progress {
    struct job *j;
    int64_t done, total;
    const char *unit;
    bool cancel;
};

static err progress_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct progress *p = arg;
    struct job_progress_set_in in = {.id = p->j->id,
                                     .token = p->j->token,
                                     .done = p->done,
                                     .total = p->total,
                                     .unit = sv_from(p->unit)};
    struct job_progress_set_row row;
    bool found;
    TRY(q_job_progress_set(tx, mem, &in, &row, &found));
    p->cancel = !found || row.cancel;
    return OK;
}

void job_progress(struct job *j, int64_t done, int64_t total, const char *unit)
{
    int64_t now = clock_mono_us();
    if (j->progress_us && now - j->progress_us < PROGRESS_US && done < total)
        return;
    j->progress_us = now;
    struct progress p = {j, done, total, unit, false};
    if (db_write(j->db, j->mem, progress_run, &p) == OK && p.cancel)
        j->cancelled = true;
}

struct outcome {
    struct job *j;
    enum job_outcome what;
    ts run_at;
    sv error;
};

static err outcome_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    const struct outcome *o = arg;
    const struct job *j = o->j;
    switch (o->what) {
    case JOB_DONE:
        return job_store_done(tx, j->id, j->token, clock_now());
    case JOB_SNOOZE:
        return job_store_retry(tx, j->id, j->token, o->run_at, true, SV_NULL, clock_now());
    case JOB_RETRY:
        return job_store_retry(tx, j->id, j->token, o->run_at, false, o->error, clock_now());
    case JOB_DEAD:
        break;
    }
    return job_store_kill(tx, j->id, j->token, o->error, clock_now());
}

static void count(struct kind_state *k, enum job_outcome what)
{
    metric_add(what == JOB_DONE     ? k->done
               : what == JOB_SNOOZE ? k->snoozed
               : what == JOB_RETRY  ? k->retried
                                    : k->dead,
               1);
}

static ts next_run(const struct job *j, enum job_outcome what)
{
    ts now = clock_now();
    if (what == JOB_SNOOZE)
        return j->again ? j->retry_at : now;
    if (!ts_is_none(j->retry_at))
        return ts_max(j->retry_at, now);
    return ts_add(now, job_backoff_ms(j->attempt, crypto_random_below(401)));
}

static void log_failure(const struct job *j, enum job_outcome what, sv error)
{
    char attempt[24], text[512], id[64];
    snprintf(attempt, sizeof attempt, "%lld", (long long)j->attempt);
    snprintf(text, sizeof text, "%.*s", SV_ARG(error));
    snprintf(id, sizeof id, "%.*s", SV_ARG(j->id));
    log_event(what == JOB_DEAD ? LOG_ERROR : LOG_WARN, what == JOB_DEAD ? "job.dead" : "job.retry",
              "id", id, "kind", j->kind, "attempt", attempt, "error", text, NULL);
}

bool job_may_pass(err e)
{
    return e == ERR_DB || e == ERR_DB_FULL || e == ERR_BUSY || e == ERR_RETRY ||
           e == ERR_WRITE_UNCERTAIN;
}

/* The database may be away for a while; the token refuses what was stored already. */
static err outcome_store(struct job_runner *r, const struct outcome *o)
{
    int64_t until = clock_mono_us() + JOB_STORE_US;
    for (;;) {
        err e = db_write(r->db, o->j->mem, outcome_run, (void *)(uintptr_t)o);
        if (!job_may_pass(e) || atomic_load(&r->stop) || clock_mono_us() > until)
            return e;
        usleep(JOB_STORE_AGAIN_US);
    }
}

void job_lost(struct job_runner *r, struct kind_state *k, err e)
{
    metric_add(k->lost, 1);
    /* A finish of unknown outcome that did happen ends here too. */
    if (e != ERR_GONE)
        log_event(LOG_ERROR, "job.outcome", "kind", k->kind->name, "error", err_detail(e), NULL);
    if (job_may_pass(e))
        job_doubt(r);
}

/* Stores the outcome of all but those that are simply done. */
static void settle(struct job_runner *r, struct kind_state *k, struct job *j, err result)
{
    struct job_result got = {.ok = result == OK,
                             .again = j->again,
                             .permanent = j->permanent || j->cancelled,
                             .stopping = result == ERR_STOPPING,
                             .attempt = j->attempt,
                             .max_attempts =
                                 k->kind->max_attempts ? k->kind->max_attempts : MAX_ATTEMPTS};
    struct outcome o = {.j = j, .what = job_outcome_decide(&got)};
    if (result != OK)
        o.error = arena_printf(j->mem, "%s: %s", err_name(result), err_detail(result));
    o.run_at = next_run(j, o.what);
    err e = outcome_store(r, &o);
    if (e == OK) {
        count(k, o.what);
        if (result != OK)
            log_failure(j, o.what, o.error);
        return;
    }
    job_lost(r, k, e);
}

void job_over(struct job_runner *r, struct job_item *it)
{
    pthread_mutex_lock(&r->lock);
    job_let_go(r, it);
    r->ended++;
    bool hungry = r->in_flight <= r->ahead / 2; /* none in flight: a suspect may begin */
    pthread_mutex_unlock(&r->lock);
    arena_free(it->mem);
    if (hungry)
        job_wake();
}

static void item_run(struct job_runner *r, struct job_item *it)
{
    struct job j = {.id = it->c.id,
                    .kind = it->kind->kind->name,
                    .key = it->c.key,
                    .attempt = it->c.attempt,
                    .mem = it->mem,
                    .app = r->app,
                    .db = r->db,
                    .now = clock_now(),
                    .token = it->c.token,
                    .retry_at = TS_NONE};
    err_clear();
    err e = json_parse(it->mem, it->c.payload, &j.payload);
    if (e == OK)
        e = it->kind->kind->run(&j);
    else
        j.permanent = true;
    if (e == OK && !j.done && !j.again) {
        job_done(r, it);
        return;
    }
    if (e == OK && j.done)
        count(it->kind, JOB_DONE);
    else
        settle(r, it->kind, &j, e); /* fenced: if the lease was lost it changes nothing */
    job_over(r, it);
}

void *job_worker_main(void *arg)
{
    struct job_runner *r = arg;
    for (;;) {
        pthread_mutex_lock(&r->lock);
        while (!r->head && !r->stopping)
            pthread_cond_wait(&r->work, &r->lock);
        if (!r->head) {
            pthread_mutex_unlock(&r->lock);
            return NULL;
        }
        struct job_item *it = r->head;
        r->head = it->next;
        if (!r->head)
            r->tail = &r->head;
        pthread_mutex_unlock(&r->lock);
        item_run(r, it);
        db_read_done(r->db);
    }
}
