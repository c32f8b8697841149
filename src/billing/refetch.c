/* Jobs that ask Stripe, and those that repeat what failed here. SPEC §3. */
#include "app/app.h"
#include "base/log.h"
#include "billing/event.h"
#include "billing/fact.h"
#include "billing/sync.h"
#include "ext/stripe.h"
#include "http/client.h"
#include "queries.h"

#define HEAL_FROM  (2 * TS_HOUR)
#define HEAL_UNTIL (14 * TS_DAY)
#define HEAL_BATCH 500
#define PAGES_MAX  50 /* of 100 lines of one invoice */

/* -------- queueing -------- */

static err put(struct db_tx *tx, struct arena *mem, const char *job, enum fact_kind kind, sv id,
               ts run_at, ts now)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_obj(&w);
    jw_kstr(&w, "kind", sv_from(fact_kind_name(kind)));
    jw_kstr(&w, "object", id);
    jw_obj_end(&w);
    struct job_new j = {
        .kind = job, .key = id, .payload = buf_sv(&b), .run_at = run_at, .priority = 2};
    return job_put(tx, mem, &j, now);
}

/* Without a key there is nobody to ask: the fixed order of facts holds. */
err fact_refetch_put(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id, ts run_at,
                     ts now)
{
    if (!stripe_configured())
        return OK;
    return put(tx, mem, "stripe.refetch", kind, id, run_at, now);
}

err fact_link_job_put(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id, ts now)
{
    if (!stripe_configured())
        return OK;
    return put(tx, mem, "stripe.link", kind, id, ts_add(now, TS_MINUTE), now);
}

err billing_refetch_put(struct db_tx *tx, struct arena *mem, sv object, ts run_at, ts now)
{
    enum fact_kind kind = fact_kind_guess(object);
    return kind == FACT_KINDS ? OK : fact_refetch_put(tx, mem, kind, object, run_at, now);
}

/* -------- asking -------- */

static const struct {
    const char *path, *query;
} places[FACT_KINDS] = {
    [FACT_SUBSCRIPTION] = {"/v1/subscriptions/", "expand[0]=latest_invoice"},
    [FACT_INVOICE] = {"/v1/invoices/", "expand[0]=payments"},
    [FACT_PAYMENT] = {"/v1/payment_intents/", "expand[0]=latest_charge"},
    [FACT_CHARGE] = {"/v1/charges/", NULL},
    [FACT_REFUND] = {"/v1/refunds/", NULL},
    [FACT_DISPUTE] = {"/v1/disputes/", NULL},
    [FACT_SESSION] = {"/v1/checkout/sessions/", "expand[0]=payment_intent&expand[1]=subscription"},
    [FACT_CUSTOMER] = {"/v1/customers/", NULL},
    [FACT_INVOICE_PAYMENT] = {"/v1/invoice_payments/", NULL},
    [FACT_PAYMENT_METHOD] = {"/v1/payment_methods/", NULL},
};

struct fetch {
    struct app *app;
    enum fact_kind kind;
    sv id;
    ts known, now;
    const json *object;
    ts date;
    const json *pages[PAGES_MAX]; /* an invoice's further lines */
    size_t npages;
};

static err read_known(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct fetch *f = arg;
    return fact_known(tx, mem, f->kind, f->id, &f->known);
}

static err apply_answer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct fetch *f = arg;
    bool handled;
    struct fact_in in = {.object = f->object,
                         .as_of = ts_is_none(f->date) ? f->now : f->date,
                         .source = FACT_FROM_FETCH,
                         .known_before = f->known,
                         .event = SV_NULL,
                         .type = SV_NULL,
                         .now = f->now,
                         .pages = f->pages,
                         .npages = f->npages};
    return fact_apply(tx, mem, f->app, &in, &handled);
}

/* An invoice tells its first ten lines; the rest is a list of its own. */
static err ask_lines(struct arena *mem, struct fetch *f, sv id)
{
    const json *page = json_get(f->object, "lines");
    f->npages = 0;
    while (json_get_bool(page, "has_more", false) && f->npages < PAGES_MAX) {
        const json *data = json_get(page, "data");
        sv last = json_len(data) ? json_get_str(json_at(data, json_len(data) - 1), "id") : SV_NULL;
        struct stripe_answer a;
        BUF_AUTO q = {0};
        if (sv_empty(last))
            return FAIL(ERR_UPSTREAM, "a page of lines without a line");
        form_add(&q, "limit", SV("100"));
        form_add(&q, "starting_after", last);
        TRY(stripe_get(mem, arena_printf(mem, "/v1/invoices/%.*s/lines", SV_ARG(id)), buf_sv(&q),
                       STRIPE_JOB, &a));
        page = f->pages[f->npages++] = a.body;
    }
    return OK;
}

/* *gone: Stripe does not know the object (or nobody can be asked). */
static err ask(struct arena *mem, struct db *db, struct fetch *f, bool *gone)
{
    struct stripe_answer a;
    *gone = true;
    if (!stripe_configured() || f->kind == FACT_KINDS || sv_empty(f->id))
        return OK;
    TRY(db_read(db, mem, read_known, f));
    sv id = url_encode(mem, f->id);
    sv path = arena_printf(mem, "%s%.*s", places[f->kind].path, SV_ARG(id));
    err e = stripe_get(mem, path, sv_from(places[f->kind].query), STRIPE_JOB, &a);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    f->object = a.body;
    f->date = a.date;
    if (f->kind == FACT_INVOICE)
        TRY(ask_lines(mem, f, id));
    *gone = false;
    return OK;
}

static struct fetch fetch_of(const struct job *j)
{
    return (struct fetch){.app = j->app,
                          .kind = fact_kind_parse(json_get_str(j->payload, "kind")),
                          .id = json_get_str(j->payload, "object"),
                          .known = TS_NONE,
                          .now = j->now};
}

static err job_refetch(struct job *j)
{
    struct fetch f = fetch_of(j);
    bool gone;
    err e = ask(j->mem, j->db, &f, &gone);
    if (e == ERR_NOT_CONFIGURED) /* the key was refused: repeating does not help */
        job_permanent(j);
    TRY(e);
    return gone ? OK : job_finish(j, apply_answer, &f);
}

err refetch_now(struct app *app, struct db *db, struct arena *mem, sv object, ts now, bool *gone)
{
    struct fetch f = {
        .app = app, .kind = fact_kind_guess(object), .id = object, .known = TS_NONE, .now = now};
    TRY(ask(mem, db, &f, gone));
    return *gone ? OK : db_write(db, mem, apply_answer, &f);
}

/* -------- links -------- */

struct link {
    struct app *app;
    ts now, date;
    sv payment;
    bool linked;
    const json *list;
};

static err read_link(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id,
                     struct link *l)
{
    bool found;
    struct refund_get_row refund;
    struct dispute_get_row dispute;
    if (kind == FACT_REFUND) {
        TRY(q_refund_get(tx, mem, &(struct refund_get_in){id}, &refund, &found));
        l->payment = found ? refund.payment : SV_NULL;
    } else {
        TRY(q_dispute_get(tx, mem, &(struct dispute_get_in){id}, &dispute, &found));
        l->payment = found ? dispute.payment : SV_NULL;
    }
    return OK;
}

struct link_read {
    enum fact_kind kind;
    sv id;
    struct link *l;
    sv charge;
};

static err tx_read_link(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct link_read *r = arg;
    TRY(read_link(tx, mem, r->kind, r->id, r->l));
    bool found;
    struct refund_get_row refund;
    struct dispute_get_row dispute;
    r->charge = SV_NULL;
    if (r->kind == FACT_REFUND) {
        TRY(q_refund_get(tx, mem, &(struct refund_get_in){r->id}, &refund, &found));
        r->charge = found ? refund.charge : SV_NULL;
    } else {
        TRY(q_dispute_get(tx, mem, &(struct dispute_get_in){r->id}, &dispute, &found));
        r->charge = found ? dispute.charge : SV_NULL;
    }
    if (!r->l->payment.p)
        return OK;
    struct invoices_of_payment_row *rows;
    size_t n;
    TRY(q_invoices_of_payment(tx, mem, &(struct invoices_of_payment_in){r->l->payment}, &rows, &n));
    r->l->linked = n > 0;
    return OK;
}

static err apply_list(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct link *l = arg;
    for (size_t i = 0; i < json_len(l->list); i++)
        TRY(billing_apply_object(tx, mem, l->app, json_at(l->list, i), l->date, l->now));
    return OK;
}

static err apply_fetch(struct job *j, enum fact_kind kind, sv id)
{
    struct fetch f = {.app = j->app, .kind = kind, .id = id, .known = TS_NONE, .now = j->now};
    bool gone;
    TRY(ask(j->mem, j->db, &f, &gone));
    return gone ? OK : db_write(j->db, j->mem, apply_answer, &f);
}

static err ask_invoices(struct job *j, struct link *l)
{
    struct stripe_answer a;
    BUF_AUTO q = {0};
    form_add(&q, "payment[type]", SV("payment_intent"));
    form_add(&q, "payment[payment_intent]", l->payment);
    err e = stripe_get(j->mem, SV("/v1/invoice_payments"), buf_sv(&q), STRIPE_JOB, &a);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    l->list = json_get(a.body, "data");
    l->date = a.date;
    return db_write(j->db, j->mem, apply_list, l);
}

/* A refund or dispute that nothing ties to a payment and an invoice yet: asks for the charge, then
 * for the invoices of the payment. Its payment may have been a one-time purchase: then there are
 * none. */
static err job_link(struct job *j)
{
    struct link l = {.app = j->app, .now = j->now, .payment = SV_NULL};
    struct link_read r = {.kind = fact_kind_parse(json_get_str(j->payload, "kind")),
                          .id = json_get_str(j->payload, "object"),
                          .l = &l};
    if (!stripe_configured() || (r.kind != FACT_REFUND && r.kind != FACT_DISPUTE))
        return OK;
    TRY(db_read(j->db, j->mem, tx_read_link, &r));
    if (!l.payment.p && r.charge.p) {
        TRY(apply_fetch(j, FACT_CHARGE, r.charge));
        TRY(db_read(j->db, j->mem, tx_read_link, &r));
    }
    if (!l.payment.p || l.linked)
        return OK;
    TRY(apply_fetch(j, FACT_PAYMENT, l.payment));
    return ask_invoices(j, &l);
}

/* -------- events that failed -------- */

struct again {
    struct job *j;
    sv id, why;
    enum event_result result;
};

static err apply_again(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct again *a = arg;
    return event_again(tx, mem, a->j->app, a->id, a->j->now, &a->result, &a->why);
}

static err job_retry_event(struct job *j)
{
    struct again a = {.j = j, .id = json_get_str(j->payload, "event")};
    err e = db_write(j->db, j->mem, apply_again, &a);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    if (a.result == EVENT_FAILED)
        return FAIL(ERR_INTERNAL, "%.*s", SV_ARG(a.why));
    return OK;
}

/* Subscriptions whose period ended without news are asked for while their grace still runs: a payer
 * must not be locked out because a webhook was lost. */
static err put_overdue(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct job *j = arg;
    struct subscription_overdue_row *rows;
    size_t n;
    struct subscription_overdue_in in = {ts_add(j->now, -HEAL_UNTIL), ts_add(j->now, -HEAL_FROM),
                                         HEAL_BATCH};
    TRY(q_subscription_overdue(tx, mem, &in, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_refetch_put(tx, mem, FACT_SUBSCRIPTION, rows[i].id, j->now, j->now));
    return OK;
}

static err job_heal(struct job *j)
{
    return stripe_configured() ? db_write(j->db, j->mem, put_overdue, j) : OK;
}

static err job_dict(struct job *j)
{
    bool made;
    TRY(payload_dict_train(j->db, j->mem, j->now, &made));
    if (made)
        log_event(LOG_INFO, "billing.dict", "made", "1", NULL);
    return OK;
}

static const struct job_kind kinds[] = {
    {.name = "stripe.refetch", .run = job_refetch, .max_attempts = 12},
    {.name = "stripe.link", .run = job_link, .max_attempts = 12},
    {.name = "billing.retry_event", .run = job_retry_event, .max_attempts = 10},
    {.name = "stripe.heal", .run = job_heal, .max_attempts = 3, .every = "23 * * * *"},
    {.name = "billing.dict", .run = job_dict, .max_attempts = 2},
    {.name = "billing.sync", .run = sync_job, .max_attempts = 5, .every = "17 3 * * *"},
};
const struct job_kind_set billing_jobs = JOB_SET(kinds);
