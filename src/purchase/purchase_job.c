/* When nobody tells us how a session ended, we ask: only that answer frees the slot. SPEC §2. */
#include "purchase/purchase_store.h"

#include "billing/operation.h"

err purchase_expire_put(struct db_tx *tx, struct arena *mem, sv id, ts at, ts now)
{
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    jw_obj(&w);
    jw_kstr(&w, "purchase", id);
    jw_obj_end(&w);
    struct job_new j = {.kind = "purchase.expire",
                        .key = id,
                        .payload = arena_sv(mem, buf_sv(&text)),
                        .run_at = at};
    return job_put(tx, mem, &j, now);
}

struct look {
    sv id;
    ts now;
    bool found;
    struct purchase p;
    struct operation op;
    struct session_facts session;
};

static err look(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct look *l = arg;
    TRY(purchase_by_id(tx, mem, l->id, &l->p, &l->found));
    if (l->found && l->p.session.p)
        return billing_session_get(tx, mem, l->p.session, &l->session);
    return OK;
}

static err look_operation(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct look *l = arg;
    bool made; /* it is there: it was made with the purchase */
    return operation_put(tx, mem, purchase_operation_key(mem, l->id), "POST",
                         SV("/v1/checkout/sessions"), SV(""), l->now, &l->op, &made);
}

struct gone {
    struct app *app;
    sv id, why;
    ts now;
};

static err set_gone(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct gone *g = arg;
    TRY(purchase_set_gone(tx, g->id));
    return purchase_refresh(tx, mem, g->app, g->id, SV_NULL, g->why, g->now);
}

/* No session is known: what became of the call that should have made it? */
static err without_session(struct job *j, struct look *l)
{
    TRY(db_write(j->db, j->mem, look_operation, l));
    /* "unknown": after 24 hours billing looked for the session at Stripe and there is none. */
    if (sv_is(l->op.status, "failed") || sv_is(l->op.status, "unknown")) {
        struct gone g = {j->app, l->id, SV("checkout_refused"), j->now};
        return db_write(j->db, j->mem, set_gone, &g);
    }
    job_again(j, ts_add(j->now, 15 * TS_MINUTE));
    return OK;
}

/* Still pending after the answer: open by Stripe's clock, or a payment that takes days. */
static void look_again(struct job *j, const struct look *l)
{
    bool processing = l->session.known && sv_is(l->session.status, "complete");
    ts at = ts_add(j->now, processing ? 6 * TS_HOUR : 2 * TS_MINUTE);
    if (!processing && l->session.known && !ts_is_none(l->session.expires_at))
        at = ts_max(at, ts_add(l->session.expires_at, TS_MINUTE));
    job_again(j, at);
}

static err run_expire(struct job *j)
{
    struct look l = {.id = json_get_str(j->payload, "purchase"), .now = j->now};
    TRY(db_read(j->db, j->mem, look, &l));
    if (!l.found || l.p.status != PURCHASE_PENDING)
        return OK;
    if (!l.p.session.p)
        return without_session(j, &l);
    err e = billing_session_fulfil(j->app, j->mem, l.p.session, STRIPE_JOB, NULL);
    if (e == ERR_NOT_FOUND) {
        struct gone g = {j->app, l.id, SV("session_missing"), j->now};
        return db_write(j->db, j->mem, set_gone, &g);
    }
    TRY(e);
    TRY(db_read(j->db, j->mem, look, &l));
    if (l.p.status == PURCHASE_PENDING)
        look_again(j, &l);
    return OK;
}

/* Should a job have been lost: those that are long over get one again. */
static err sweep(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job *j = arg;
    sv *ids;
    size_t n;
    TRY(purchase_overdue(tx, mem, ts_add(j->now, -TS_HOUR), 500, &ids, &n));
    for (size_t i = 0; i < n; i++)
        TRY(purchase_expire_put(tx, mem, ids[i], j->now, j->now));
    return OK;
}

static err run_sweep(struct job *j)
{
    return db_write(j->db, j->mem, sweep, j);
}

static const struct job_kind kinds[] = {
    {.name = "purchase.expire", .run = run_expire, .max_attempts = 60},
    {.name = "purchase.sweep", .run = run_sweep, .every = "17 * * * *"},
};
const struct job_kind_set purchase_jobs = {kinds, sizeof kinds / sizeof *kinds};
