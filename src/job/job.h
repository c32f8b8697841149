/* The background queue: rows enqueued in the caller's transaction, leased by workers. SPEC §1
 * DESIGN §1. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "db/db.h"

struct app;

struct job_new {
    const char *kind;
    sv key; /* unique among the kind's waiting/running jobs; SV_NULL = not unique. A second put with
               the key of a waiting job changes nothing (but may bring its run_at forward) */
    sv payload;   /* JSON object text; SV_NULL = {} */
    ts run_at;    /* TS_NONE or {0} = now (pass r->now or later) */
    int priority; /* lower first; 0 normal */
};
/* In the caller's transaction; wakes the workers after the commit. */
err job_put(struct db_tx *tx, struct arena *mem, const struct job_new *j, ts now) MUST_USE;

struct job {
    sv id;
    const char *kind;
    sv key;
    const json *payload;
    int64_t attempt; /* 1.. */
    struct arena *mem;
    struct app *app;
    struct db *db;
    ts now;
    int64_t token; /* fencing */
    /* outcome, set by the calls below */
    ts retry_at;
    bool permanent, done, cancelled;
    bool again;          /* job_again was called */
    int64_t progress_us; /* monotonic time of the last stored progress */
};

struct job_kind {
    const char *name;
    /* Runs on a worker thread, outside any transaction. OK = done (the worker finishes the row,
     * unless job_finish did it). An error = retried with backoff 15 s * 2^n +-20 % up to 6 h. */
    err (*run)(struct job *j);
    int max_attempts;    /* 0: 20; then dead */
    int rate_per_minute; /* 0: no limit */
    const char *every;   /* cron in UTC ("0 3 * * *"), NULL: not scheduled */
};
/* Runs fn in a write transaction together with the fenced end of the job: both or none. ERR_GONE if
 * the lease was lost (somebody else has the job now). */
err job_finish(struct job *j, db_fn fn, void *arg) MUST_USE;
/* The job runs again at `at`, without counting as a failure (snooze). Then return OK. */
void job_again(struct job *j, ts at);
/* Returned error counts as an attempt, but the next is at `at` (Retry-After). */
void job_retry_at(struct job *j, ts at);
/* Return an error after it: dead at once. */
void job_permanent(struct job *j);
/* Stored at most once a second. Sets j->cancelled when somebody cancelled the job: return an error
 * then. */
void job_progress(struct job *j, int64_t done, int64_t total, const char *unit);
/* Runs in the transaction in which a job of the kind ends without being done: dead or cancelled.
 * `why`: words for people. At start, before threads; at most 8. */
typedef err (*job_lost_fn)(struct db_tx *tx, struct arena *mem, const json *payload, sv why,
                           ts now);
void job_on_lost(const char *kind, job_lost_fn fn);
/* At start, before the runner: the rate of a kind, from the settings. 0 = no limit. */
void job_rate_set(const char *kind, int per_minute);

/* This process, by host, pid namespace, pid and start: for what it holds in the database. */
sv job_process_name(void);
/* Is the process of that name (or of a worker's) certainly gone? It is known of this machine's. */
bool job_process_gone(sv name);

struct job_kind_set {
    const struct job_kind *kinds;
    size_t n;
};
#define JOB_SET(a) ((struct job_kind_set){(a), sizeof(a) / sizeof *(a)})

struct job_runner;
err job_runner_start(struct app *app, struct db *db, const struct job_kind_set *sets, size_t nsets,
                     unsigned threads, struct job_runner **out) MUST_USE;
void job_runner_stop(struct job_runner *r); /* lets running jobs finish (10 s), releases leases */
/* Is nothing due now (and nothing running)? `mybeing dev settle`. */
err job_idle(struct db_tx *tx, struct arena *mem, ts now, bool *idle) MUST_USE;

/* For people: dead and cancelled jobs run again, from their first attempt. ERR_NOT_FOUND;
 * ERR_CONFLICT when it is not dead or a newer job has its key. */
err job_redrive(struct db_tx *tx, struct arena *mem, sv id, ts now) MUST_USE;
err job_redrive_kind(struct db_tx *tx, struct arena *mem, sv kind, ts now, int64_t *count) MUST_USE;
/* A waiting job ends; a running one is asked to (job_progress) and is not retried. */
err job_cancel(struct db_tx *tx, struct arena *mem, sv id, ts now) MUST_USE;

struct route_set;
extern const struct route_set job_routes; /* /api/admin/jobs */
