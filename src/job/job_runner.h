/* The runner's parts; inside job/ only. Three kinds of threads: the dispatcher claims due jobs, the
 * workers run them, the keeper beats for all leases of the process, rescues those of dead ones, and
 * keeps schedule and house. */
#pragma once
#include "job/job_rules.h"
#include "job/job_store.h"
#include <pthread.h>
#include <stdatomic.h>

struct kind_state {
    const struct job_kind *kind;
    struct job_rate rate;
    struct cron cron;
    /* metric names, for the process */
    char *done, *snoozed, *retried, *dead, *lost;
};

struct job_item {
    struct job_item *next;      /* in the queue; then among those that are done */
    struct job_item *next_held; /* among all that are claimed and not yet finished */
    struct arena *mem;
    struct kind_state *kind;
    struct job_claimed c;
    int64_t ended_us;
};

/* job_finish.c: those that end while a transaction of ends is on its way. */
struct job_ends {
    pthread_mutex_t lock;
    struct job_item *first, **last;
    bool under_way; /* a worker stores */
};

struct job_runner {
    struct app *app;
    struct db *db;
    bool dev;
    struct kind_state *kinds;
    size_t nkinds;
    char worker[160];
    unsigned threads;
    pthread_t dispatcher, keeper, *workers;

    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_item *head, **tail;
    struct job_item *held;   /* claimed and not yet finished, waiting ones too */
    unsigned in_flight;      /* how many these are */
    unsigned ahead;          /* how many these may be */
    int64_t ended, paced_us; /* since then */
    bool stopping;           /* under lock */
    atomic_bool stop;
    /* Jobs that two crashes were about may be innocent neighbours of a bad one. They run one by one
     * with nothing beside them, so that a third crash is surely their own. */
    atomic_bool suspects;
    atomic_llong doubt_until_us; /* what the table says of our leases may be wrong until then */
    int64_t doubt_looked_us;
    struct job_ends ends;
};

void *job_keeper_main(void *runner);
void *job_worker_main(void *runner);
/* Leases of processes of this machine that are gone are given back at once (counted as crashes). */
void job_keeper_adopt(struct job_runner *r);
/* Names this process: host, pid namespace, pid, start time. */
void job_worker_name(char *out, size_t n);

/* job_doubt.c: an answer of the database was lost or never came, so that the table may name jobs as
 * ours that are in nobody's hand. job_settle_doubt, called by the dispatcher (it alone claims),
 * puts those back; for a while, because a frozen database may still commit what we gave up. */
void job_doubt(struct job_runner *r);
void job_settle_doubt(struct job_runner *r, struct arena *mem);
void job_hold(struct job_runner *r, struct job_item *it); /* both with the lock */
void job_let_go(struct job_runner *r, struct job_item *it);

/* job_finish.c: the job is done. Takes the item over: it is stored in one transaction with all that
 * end meanwhile, perhaps by another worker, perhaps by this one for others. */
void job_done(struct job_runner *r, struct job_item *it);

/* job_worker.c: an outcome that was not stored; the end of an item, whatever became of it; may the
 * trouble of the database pass? */
#define JOB_STORE_US       (60 * INT64_C(1000000)) /* so long */
#define JOB_STORE_AGAIN_US 200000                  /* between two tries */
void job_lost(struct job_runner *r, struct kind_state *k, err e);
void job_over(struct job_runner *r, struct job_item *it);
bool job_may_pass(err e);

/* Waits until job_wake or `ms`. `seen` = the wake counter read before looking for work. */
unsigned job_wake_count(void);
void job_wake_wait(unsigned seen, int64_t ms);
