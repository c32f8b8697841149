/* Performing an operation: one caller at a time, the same key every time, the outcome stored with
 * the fact it brought. */
#include "billing/operation.h"

#include "app/app.h"
#include "billing/fact.h"
#include "billing/operation_store.h"

#include <time.h>

#define LEASE_PERSON_MS (11 * TS_SECOND)
#define LEASE_JOB_MS    (100 * TS_SECOND)
#define LEASE_EVERY     8              /* looks at the row between two tries for the lease */
#define KEY_LIFE_MS     (23 * TS_HOUR) /* Stripe keeps keys for at least 24 h */

struct run {
    struct app *app;
    const struct operation *op;
    struct operation_outcome outcome;
    const json *object; /* to apply; NULL: none */
    ts as_of;
    db_fn then;
    void *arg;
    bool flag; /* out of the small transactions */
    int64_t lease_ms;
    struct operation now; /* the row as it is now */
    ts known;             /* what we knew of the object before we sent */
};

static err tx_load(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    return operation_get(tx, mem, run->op->id, &run->now);
}

/* The object that a path is about ("/v1/subscriptions/sub_1"), SV_NULL if it names none. */
static sv object_of(sv path)
{
    for (sv rest = path; rest.p != NULL;) {
        sv part = sv_cut(&rest, '/');
        if (!sv_empty(part) && fact_kind_guess(part) != FACT_KINDS)
            return part;
    }
    return SV_NULL;
}

static err tx_known(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    sv object = object_of(run->op->path);
    if (object.p == NULL)
        return OK;
    return fact_known(tx, mem, fact_kind_guess(object), object, &run->known);
}

/* Stripe's Date has whole seconds; what came of our call is newer than what we knew before it. */
static ts as_of(const struct run *run, ts date)
{
    ts t = ts_is_none(date) ? clock_now() : date;
    return ts_is_none(run->known) ? t : ts_max(t, ts_add(run->known, 1 - FACT_FETCH_SLACK));
}

static err tx_lease(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    (void)mem;
    return operation_lease(tx, run->op->id, clock_wall(), run->lease_ms, &run->flag);
}

static err tx_apply(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    return billing_apply_object(tx, mem, run->app, run->object, run->as_of, clock_now());
}

/* Errors that end the whole transaction, whatever the savepoint says. */
static bool is_fatal(err e)
{
    return e == ERR_RETRY || e == ERR_DB || e == ERR_DB_FULL || e == ERR_WRITE_UNCERTAIN ||
           e == ERR_BUSY;
}

/* The customer that an operation "customer:<user>" made belongs to that user. */
static err remember_customer(struct db_tx *tx, struct arena *mem, const struct run *run, ts now)
{
    sv prefix = SV("customer:");
    if (!sv_starts(run->op->subject, prefix))
        return OK;
    sv user = {run->op->subject.p + prefix.n, run->op->subject.n - prefix.n};
    user_id member = user_id_from(user);
    return billing_customer_put(tx, mem, &member, json_get_str(run->object, "id"), now);
}

/* The outcome, the fact and what the caller adds: all or nothing. A fact that cannot be applied
 * does not undo the outcome: the object is fetched again by a job. */
static err tx_done(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    ts now = clock_now();
    bool ended = false;
    TRY(operation_end(tx, &run->outcome, now, &ended));
    if (ended && run->object != NULL) {
        TRY(remember_customer(tx, mem, run, now));
        err e = db_attempt(tx, mem, tx_apply, run);
        if (is_fatal(e))
            return e;
        if (e != OK)
            TRY(billing_refetch_put(tx, mem, run->outcome.object, now, now));
    }
    return run->then != NULL ? run->then(tx, mem, run->arg) : OK;
}

static err tx_failed(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    bool ended = false;
    (void)mem;
    return operation_end(tx, &run->outcome, clock_now(), &ended);
}

static err tx_later(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct run *run = arg;
    ts now = clock_now();
    TRY(operation_release(tx, run->op->id, run->outcome.http_status, run->outcome.error));
    return operation_queue(tx, mem, run->op, now);
}

static err send(struct arena *mem, const struct operation *op, enum stripe_wait w,
                struct stripe_answer *out)
{
    if (sv_is(op->method, "DELETE"))
        return stripe_delete(mem, op->path, op->form, w, out);
    BUF_AUTO form = {0};
    buf_add(&form, op->form);
    return stripe_post(mem, op->path, &form, op->id, w, out);
}

static err store_done(struct run *run, struct arena *mem, const json *object, ts date, int status)
{
    run->object = object;
    run->as_of = as_of(run, date);
    run->outcome = (struct operation_outcome){.id = run->op->id,
                                              .status = "done",
                                              .http_status = status,
                                              .object = json_get_str(object, "id"),
                                              .answer = object ? json_text(mem, object) : SV_NULL};
    return db_write(run->app->db, mem, tx_done, run);
}

/* Stores a failure that is final; the error goes on to the caller. */
static err store_failed(struct run *run, struct arena *mem, const char *status, int http_status,
                        err why)
{
    sv detail = arena_sv(mem, sv_from(err_detail(why)));
    run->outcome = (struct operation_outcome){
        .id = run->op->id, .status = status, .http_status = http_status, .error = detail};
    TRY(db_write(run->app->db, mem, tx_failed, run));
    return FAIL(why, "%.*s", SV_ARG(detail));
}

static err store_later(struct run *run, struct arena *mem, int http_status, err why)
{
    sv detail = arena_sv(mem, sv_from(err_detail(why)));
    run->outcome.http_status = http_status;
    run->outcome.error = detail;
    TRY(db_write(run->app->db, mem, tx_later, run));
    return FAIL(why, "%.*s", SV_ARG(detail));
}

/* No sending: what came of it is looked up at Stripe. */
static err reconcile(struct run *run, struct arena *mem, enum stripe_wait w,
                     struct stripe_answer *out)
{
    const json *found = NULL;
    ts date = TS_NONE;
    err e = operation_find(mem, run->op, w, &found, &date);
    if (e != OK)
        return store_later(run, mem, 0, e);
    bool is_delete = sv_is(run->op->method, "DELETE");
    if (found == NULL && !is_delete) {
        /* A refund is never made twice on a guess; anything else may be asked for anew. */
        bool refund = sv_is(run->op->path, "/v1/refunds");
        (void)FAIL(ERR_UPSTREAM, "Stripe failed, and knows nothing of this operation");
        return store_failed(run, mem, refund ? "unknown" : "failed", 0, ERR_UPSTREAM);
    }
    *out = (struct stripe_answer){.status = 200, .body = found, .date = date, .sent = true};
    return store_done(run, mem, found, date, 200);
}

/* Deleting what is deleted already is done. */
static bool gone_already(const struct operation *op, err e)
{
    return sv_is(op->method, "DELETE") && e == ERR_NOT_FOUND;
}

static err perform(struct run *run, struct arena *mem, enum stripe_wait w,
                   struct stripe_answer *out)
{
    const struct operation *op = &run->now;
    run->op = op;
    bool is_delete = sv_is(op->method, "DELETE");
    bool key_forgotten = !ts_is_none(op->first_sent) && !is_delete &&
                         ts_add(op->first_sent, KEY_LIFE_MS).ms < clock_now().ms;
    TRY(db_read(run->app->db, mem, tx_known, run));
    if (key_forgotten)
        return reconcile(run, mem, w, out);
    err e = send(mem, op, w, out);
    if (e == OK)
        return store_done(run, mem, out->body, out->date, out->status);
    if (out->replayed && out->status >= 500)
        return reconcile(run, mem, w, out); /* Stripe keeps this failure for our key */
    if (gone_already(op, e))
        return reconcile(run, mem, w, out);
    if (e == ERR_UPSTREAM || e == ERR_NOT_CONFIGURED)
        return store_later(run, mem, out->status, e);
    return store_failed(run, mem, "failed", out->status, e);
}

/* The outcome that is stored already. */
static err recall(struct run *run, struct arena *mem, struct stripe_answer *out)
{
    const struct operation *op = &run->now;
    *out = (struct stripe_answer){.status = (int)op->http_status, .date = TS_NONE, .sent = true};
    if (!sv_is(op->status, "done")) {
        err e = op->http_status == 402   ? ERR_CARD
                : op->http_status == 404 ? ERR_NOT_FOUND
                                         : ERR_UPSTREAM_REFUSED;
        return FAIL(e, "Stripe refused it before (operation %.*s)", SV_ARG(op->id));
    }
    if (!sv_empty(op->answer)) {
        TRY(json_parse(mem, op->answer, &out->body));
        out->raw = op->answer;
    }
    return run->then != NULL ? db_write(run->app->db, mem, run->then, run->arg) : OK;
}

err operation_run(struct app *app, struct arena *mem, const struct operation *op,
                  enum stripe_wait w, db_fn then, void *arg, struct stripe_answer *out)
{
    struct run run = {.app = app, .op = op, .then = then, .arg = arg, .known = TS_NONE};
    run.lease_ms = w == STRIPE_PERSON ? LEASE_PERSON_MS : LEASE_JOB_MS;
    int64_t deadline = clock_mono_us() + (LEASE_PERSON_MS + 500) * 1000;
    *out = (struct stripe_answer){.date = TS_NONE};
    for (unsigned i = 0;; i++) {
        run.flag = false;
        if (i % LEASE_EVERY == 0)
            TRY(db_write(app->db, mem, tx_lease, &run));
        TRY(db_read(app->db, mem, tx_load, &run));
        if (!sv_is(run.now.status, "pending"))
            return recall(&run, mem, out);
        if (run.flag)
            return perform(&run, mem, w, out);
        if (clock_mono_us() > deadline)
            return FAIL(ERR_UPSTREAM, "the same operation is still running");
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
    }
}
