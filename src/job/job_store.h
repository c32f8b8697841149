/* The queue's rows; inside job/ only. */
#pragma once
#include "job/job.h"

#define JOB_DONE_MOST 64
#define JOB_LEASE_MS  (60 * TS_SECOND)

struct job_want {
    ts now, until;
    int64_t n;
    sv kinds, worker; /* ",a,b," */
    bool lanes[3];    /* of the urgent, the normal, the late lane? */
    bool alone;       /* of the suspects: those that two crashes were about */
};
struct job_claimed {
    sv id, kind, key, payload;
    int64_t attempt, token;
};
/* Up to n due jobs, urgent lane first, oldest first. */
err job_store_claim(struct db_tx *tx, struct arena *mem, const struct job_want *in,
                    struct job_claimed **out, size_t *n) MUST_USE;
/* ERR_GONE if the lease is no longer ours. */
err job_store_done(struct db_tx *tx, sv id, int64_t token, ts now) MUST_USE;
err job_store_retry(struct db_tx *tx, sv id, int64_t token, ts run_at, bool uncount, sv error,
                    ts now) MUST_USE;
/* Claimed, but its turn is not yet; neither an attempt nor a crash. */
err job_store_put_back(struct db_tx *tx, sv id, int64_t token, ts run_at, ts now) MUST_USE;
err job_store_kill(struct db_tx *tx, sv id, int64_t token, sv error, ts now) MUST_USE;
struct job_rescued {
    sv id, kind;
    bool dead;
    int64_t crashes;
};
/* Gives back the jobs of a worker that died, as far as their leases ended before `wall`. */
err job_store_rescue(struct db_tx *tx, struct arena *mem, sv worker, ts wall, ts now,
                     struct job_rescued **out, size_t *n) MUST_USE;
/* In a transaction of its own, all or none of those that still have their lease: stored[i]. */
err job_store_done_each(struct db *db, const struct job_claimed *const *jobs, size_t n, ts now,
                        bool *stored) MUST_USE;
void job_wake(void);
