/* No-op jobs from the first put to the last end: job_loop DATABASE JOBS PUTTERS WORKERS
 * PER_TRANSACTION. Prints {"per_second"}. Putters and workers are threads of one process, as in the
 * server. */
#include "base/log.h"
#include "db/migrate.h"
#include "job/job.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct db *db;
static atomic_long left, ended;
static long per_transaction;

static err noop(struct job *j)
{
    (void)j;
    atomic_fetch_add(&ended, 1);
    return OK;
}
static const struct job_kind kinds[] = {{.name = "noop", .run = noop}};

static err put_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    for (long i = 0; i < per_transaction; i++)
        TRY(job_put(tx, mem, &(struct job_new){.kind = "noop", .payload = SV("{\"n\":1}")},
                    clock_now()));
    return OK;
}

static void *putter(void *arg)
{
    ARENA_AUTO mem = arena_new(0);
    while (atomic_fetch_sub(&left, per_transaction) > 0) {
        if (db_write(db, mem, put_run, NULL) != OK) {
            fprintf(stderr, "put: %s\n", err_last()->detail);
            exit(1);
        }
        arena_reset(mem);
    }
    return arg;
}

/* Ended = the row says done, not only that its function returned. */
static err idle_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    return job_idle(tx, mem, clock_now(), arg);
}

static void wait_done(long jobs)
{
    ARENA_AUTO mem = arena_new(0);
    bool idle = false;
    while (atomic_load(&ended) < jobs)
        usleep(500);
    while (db_read(db, mem, idle_run, &idle) != OK || !idle) {
        usleep(500);
        arena_reset(mem);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    long jobs = atol(argv[2]), putters = atol(argv[3]), workers = atol(argv[4]);
    per_transaction = atol(argv[5]);
    log_init(LOG_TEXT, LOG_ERROR);
    unsigned done;
    struct db_options o = {.url = sv_from(argv[1]), .create = true, .conns = 24};
    if (db_open(&o, &db) != OK || migrate_up(db, &done) != OK) {
        fprintf(stderr, "%s\n", err_last()->detail);
        return 1;
    }
    struct job_runner *runner;
    const struct job_kind_set set = JOB_SET(kinds);
    if (job_runner_start(NULL, db, &set, 1, (unsigned)workers, &runner) != OK)
        return 1;
    usleep(300000); /* the schedule and the gauges of the first tick are not what is measured */
    atomic_store(&left, jobs);
    pthread_t t[64];
    int64_t began = clock_mono_us();
    for (long i = 0; i < putters; i++)
        pthread_create(&t[i], NULL, putter, NULL);
    wait_done(jobs);
    double seconds = (double)(clock_mono_us() - began) / 1e6;
    for (long i = 0; i < putters; i++)
        pthread_join(t[i], NULL);
    job_runner_stop(runner);
    db_close(db);
    printf("{\"per_second\":%.1f}\n", (double)jobs / seconds);
    return 0;
}
