/* Jobs of operations: going on with pending ones, and forgetting what is old. */
#include "app/app.h"
#include "billing/operation.h"
#include "queries.h"

#define SWEEP_AFTER_MS (2 * TS_MINUTE)
#define SWEEP_LIMIT    200
#define KEEP_MS        (3 * TS_DAY) /* answers kept for callers' keys: at least 24 h, SPEC §5 */

struct loaded {
    sv id;
    struct operation op;
};

static err tx_get(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct loaded *l = arg;
    return operation_get(tx, mem, l->id, &l->op);
}

static err operation_job_run(struct job *j)
{
    struct loaded l = {.id = json_get_str(j->payload, "operation")};
    struct stripe_answer answer;
    err e = db_read(j->db, j->mem, tx_get, &l);
    if (e == ERR_NOT_FOUND)
        return OK; /* nothing to go on with */
    TRY(e);
    if (!sv_is(l.op.status, "pending"))
        return OK;
    e = operation_run(j->app, j->mem, &l.op, STRIPE_JOB, NULL, NULL, &answer);
    if (e == ERR_UPSTREAM && answer.retry_after_s > 0)
        job_retry_at(j, ts_add(j->now, answer.retry_after_s * TS_SECOND));
    /* A refusal is an outcome: it is stored, and the same call would be refused again. */
    if (e == ERR_UPSTREAM_REFUSED || e == ERR_CARD || e == ERR_NOT_FOUND)
        return OK;
    return e;
}

/* Pending operations whose request died before it could queue the job. */
static err tx_sweep(struct db_tx *tx, struct arena *mem, void *arg)
{
    ts now = *(ts *)arg;
    struct operation_pending_row *rows;
    size_t n;
    struct operation_pending_in in = {.before = ts_add(now, -SWEEP_AFTER_MS), .n = SWEEP_LIMIT};
    TRY(q_operation_pending(tx, mem, &in, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        struct operation op = {.id = rows[i].id};
        TRY(operation_queue(tx, mem, &op, now));
    }
    return OK;
}

static err operation_job_sweep(struct job *j)
{
    return db_write(j->db, j->mem, tx_sweep, &j->now);
}

static err tx_clean(struct db_tx *tx, struct arena *mem, void *arg)
{
    ts before = ts_add(*(ts *)arg, -KEEP_MS);
    TRY(q_operation_clean(tx, mem, &(struct operation_clean_in){before}, NULL));
    return q_idempotency_clean(tx, mem, &(struct idempotency_clean_in){before}, NULL);
}

static err operation_job_clean(struct job *j)
{
    return db_write(j->db, j->mem, tx_clean, &j->now);
}

static const struct job_kind kinds[] = {
    {.name = "stripe.operation", .run = operation_job_run, .max_attempts = 40},
    {.name = "stripe.operation_sweep", .run = operation_job_sweep, .every = "*/5 * * * *"},
    {.name = "stripe.operation_clean", .run = operation_job_clean, .every = "17 3 * * *"},
};
const struct job_kind_set subscription_jobs = JOB_SET(kinds);
