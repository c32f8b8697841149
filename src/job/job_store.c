#include "job/job_store.h"
#include "base/id.h"
#include "job/job_rules.h"
#include "queries.h"
#include <assert.h>
#include <stdlib.h>

err job_put(struct db_tx *tx, struct arena *mem, const struct job_new *j, ts now)
{
    assert(j->kind);
    bool at_once = ts_is_none(j->run_at) || j->run_at.ms == 0;
    struct job_insert_in in = {
        .id = id_new(mem, "job", now),
        .kind = sv_from(j->kind),
        .key = j->key,
        .payload = j->payload.p ? j->payload : SV("{}"),
        .priority = job_lane(j->priority),
        .run_at = at_once ? now : j->run_at,
        .now = now,
    };
    struct job_insert_row row;
    TRY(q_job_insert(tx, mem, &in, &row));
    db_on_commit(tx, job_wake);
    return OK;
}

static int claim_order(const void *a, const void *b)
{
    const struct job_claim_row *x = a, *y = b;
    if (x->run_at.ms != y->run_at.ms)
        return x->run_at.ms < y->run_at.ms ? -1 : 1;
    return sv_cmp(x->id, y->id);
}

err job_store_claim(struct db_tx *tx, struct arena *mem, const struct job_want *in,
                    struct job_claimed **out, size_t *n)
{
    struct job_claimed *all = ARENA_ARRAY(mem, struct job_claimed, in->n);
    size_t have = 0;
    for (int64_t lane = -1; lane <= 1 && have < (size_t)in->n; lane++) {
        if (!in->lanes[lane + 1])
            continue;
        struct job_claim_in q = {.lane = lane,
                                 .now = in->now,
                                 .n = in->n - (int64_t)have,
                                 .kinds = in->kinds,
                                 .worker = in->worker,
                                 .until = in->until,
                                 .alone = in->alone};
        struct job_claim_row *rows;
        size_t got;
        TRY(q_job_claim(tx, mem, &q, &rows, &got));
        if (got > 1)
            qsort(rows, got, sizeof *rows, claim_order);
        for (size_t i = 0; i < got && have < (size_t)in->n; i++)
            all[have++] = (struct job_claimed){rows[i].id,      rows[i].kind,    rows[i].key,
                                               rows[i].payload, rows[i].attempt, rows[i].token};
    }
    *out = all;
    *n = have;
    return OK;
}

/* -------- ends without being done -------- */

#define LISTENERS 8
static struct {
    const char *kind;
    job_lost_fn fn;
} lost_fns[LISTENERS];
static size_t nlost;

void job_on_lost(const char *kind, job_lost_fn fn)
{
    assert(nlost < LISTENERS);
    lost_fns[nlost].kind = kind;
    lost_fns[nlost++].fn = fn;
}

/* Tells who wants to know if the job's new state is an end. */
static err lost_tell(struct db_tx *tx, struct arena *mem, sv kind, sv payload, sv state, sv why,
                     ts now)
{
    if (!sv_is(state, "dead") && !sv_is(state, "cancelled"))
        return OK;
    for (size_t i = 0; i < nlost; i++) {
        const json *j = NULL;
        if (!sv_is(kind, lost_fns[i].kind) || json_parse(mem, payload, &j) != OK)
            continue; /* unreadable: it says nothing of what is lost */
        TRY(lost_fns[i].fn(tx, mem, j, sv_is(state, "cancelled") ? SV("it was cancelled") : why,
                           now));
    }
    return OK;
}

/* The fence: a row was changed, or somebody else has the job. */
static err fenced(err e, bool changed)
{
    if (e == OK && !changed)
        return FAIL(ERR_GONE, "the lease of this job was lost");
    return e;
}

err job_store_done(struct db_tx *tx, sv id, int64_t token, ts now)
{
    struct job_done_in in = {.id = id, .token = token, .now = now};
    int64_t changed = 0;
    err e = q_job_done(tx, NULL, &in, &changed);
    return fenced(e, changed > 0);
}

err job_store_done_each(struct db *db, const struct job_claimed *const *jobs, size_t n, ts now,
                        bool *stored)
{
    struct job_done_in in[JOB_DONE_MOST] = {0};
    int64_t changed[JOB_DONE_MOST];
    assert(n <= JOB_DONE_MOST);
    for (size_t i = 0; i < n; i++)
        in[i] = (struct job_done_in){.id = jobs[i]->id, .token = jobs[i]->token, .now = now};
    TRY(q_job_done_each(db, in, n, changed));
    for (size_t i = 0; i < n; i++)
        stored[i] = changed[i] > 0;
    return OK;
}

err job_store_retry(struct db_tx *tx, sv id, int64_t token, ts run_at, bool uncount, sv error,
                    ts now)
{
    ARENA_AUTO mem = arena_new(0);
    struct job_retry_in in = {
        .id = id, .token = token, .run_at = run_at, .uncount = uncount, .error = error, .now = now};
    struct job_retry_row row;
    bool found = false;
    err e = q_job_retry(tx, mem, &in, &row, &found);
    TRY(fenced(e, found));
    return lost_tell(tx, mem, row.kind, row.payload, row.state, SV_NULL, now);
}

err job_store_put_back(struct db_tx *tx, sv id, int64_t token, ts run_at, ts now)
{
    ARENA_AUTO mem = arena_new(0);
    struct job_put_back_in in = {.id = id, .token = token, .run_at = run_at, .now = now};
    struct job_put_back_row row;
    bool found = false;
    err e = q_job_put_back(tx, mem, &in, &row, &found);
    TRY(fenced(e, found));
    return lost_tell(tx, mem, row.kind, row.payload, row.state, SV_NULL, now);
}

err job_store_kill(struct db_tx *tx, sv id, int64_t token, sv error, ts now)
{
    ARENA_AUTO mem = arena_new(0);
    struct job_kill_in in = {.id = id, .token = token, .error = error, .now = now};
    struct job_kill_row row;
    bool found = false;
    err e = q_job_kill(tx, mem, &in, &row, &found);
    TRY(fenced(e, found));
    return lost_tell(tx, mem, row.kind, row.payload, row.state, error, now);
}

err job_store_rescue(struct db_tx *tx, struct arena *mem, sv worker, ts wall, ts now,
                     struct job_rescued **out, size_t *n)
{
    struct job_rescue_in in = {.worker = worker, .wall = wall, .now = now};
    struct job_rescue_row *rows;
    size_t got;
    TRY(q_job_rescue(tx, mem, &in, &rows, &got));
    struct job_rescued *all = ARENA_ARRAY(mem, struct job_rescued, got + 1);
    for (size_t i = 0; i < got; i++) {
        all[i] = (struct job_rescued){rows[i].id, rows[i].kind, sv_is(rows[i].state, "dead"),
                                      rows[i].crashes};
        TRY(lost_tell(tx, mem, rows[i].kind, rows[i].payload, rows[i].state,
                      SV("three workers died while they ran it"), now));
    }
    *out = all;
    *n = got;
    return OK;
}

err job_idle(struct db_tx *tx, struct arena *mem, ts now, bool *idle)
{
    struct job_busy_in in = {.now = now};
    struct job_busy_row row;
    TRY(q_job_busy(tx, mem, &in, &row));
    *idle = !row.busy;
    return OK;
}

err job_redrive(struct db_tx *tx, struct arena *mem, sv id, ts now)
{
    struct job_redrive_in in = {.id = id, .now = now};
    int64_t changed = 0;
    err e = q_job_redrive(tx, mem, &in, &changed);
    if (e == ERR_UNIQUE)
        return FAIL(ERR_CONFLICT, "a newer job with the same key is waiting or running");
    TRY(e);
    if (changed == 0) {
        struct job_get_in get = {.id = id};
        struct job_get_row row;
        TRY(q_job_get(tx, mem, &get, &row));
        return FAIL(ERR_CONFLICT, "the job is %.*s: only dead and cancelled jobs run again",
                    SV_ARG(row.state));
    }
    db_on_commit(tx, job_wake);
    return OK;
}

err job_redrive_kind(struct db_tx *tx, struct arena *mem, sv kind, ts now, int64_t *count)
{
    struct job_redrive_kind_in in = {.kind = kind, .now = now};
    TRY(q_job_redrive_kind(tx, mem, &in, count));
    db_on_commit(tx, job_wake);
    return OK;
}

err job_cancel(struct db_tx *tx, struct arena *mem, sv id, ts now)
{
    struct job_cancel_in in = {.id = id, .now = now};
    struct job_cancel_row row;
    bool found = false;
    TRY(q_job_cancel(tx, mem, &in, &row, &found));
    if (found)
        return lost_tell(tx, mem, row.kind, row.payload, row.state, SV_NULL, now);
    struct job_get_in get = {.id = id};
    struct job_get_row now_is;
    TRY(q_job_get(tx, mem, &get, &now_is));
    return FAIL(ERR_CONFLICT, "the job is %.*s already", SV_ARG(now_is.state));
}
