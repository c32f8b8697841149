/* What differs between our facts and Stripe's objects. SPEC §3. */
#include "billing/fact.h"
#include "billing/sync.h"
#include "ext/stripe.h"
#include "ext/stripe_event.h"
#include "http/client.h"
#include "queries.h"

#include <stdlib.h>

#define RECENT (30 * TS_DAY)

struct compare {
    struct sync *s;
    struct arena *mem; /* of the whole comparison: ids that Stripe listed */
    sv *seen;
    size_t nseen, cap;
    const json *list;
    ts date;
    enum fact_kind kind;
    int64_t drift; /* of the running transaction */
};

static void remember(struct compare *c, sv id)
{
    if (c->nseen == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        sv *more = ARENA_ARRAY(c->mem, sv, cap);
        if (c->nseen)
            memcpy(more, c->seen, c->nseen * sizeof *more);
        c->seen = more;
        c->cap = cap;
    }
    c->seen[c->nseen++] = arena_sv(c->mem, id);
}

/* -------- fields -------- */

struct row {
    struct db_tx *tx;
    struct arena *mem;
    struct compare *c;
    sv object;
    int64_t drift;
};

static err differ(struct row *r, const char *field, sv ours, sv theirs)
{
    if (sv_eq(ours, theirs) && (ours.p == NULL) == (theirs.p == NULL))
        return OK;
    r->drift++;
    struct drift_put_in in = {r->object, sv_from(field), ours, theirs, r->c->s->now};
    return q_drift_put(r->tx, r->mem, &in, NULL);
}

static sv number(struct arena *mem, int64_t v)
{
    return v == TS_NONE.ms ? SV_NULL : arena_printf(mem, "%lld", (long long)v);
}

static err differ_int(struct row *r, const char *field, int64_t ours, int64_t theirs)
{
    return ours == theirs ? OK : differ(r, field, number(r->mem, ours), number(r->mem, theirs));
}

/* Facts newer than the answer are not compared: the answer is old news. */
static bool newer(const struct compare *c, ts as_of)
{
    return as_of.ms > c->date.ms + FACT_FETCH_SLACK;
}

static err compare_subscription(struct row *r, const json *o)
{
    struct wire_subscription w;
    struct subscription_get_row s;
    bool found;
    stripe_read_subscription(o, &w);
    TRY(q_subscription_get(r->tx, r->mem, &(struct subscription_get_in){r->object}, &s, &found));
    if (!found)
        return differ(r, "exists", SV_NULL, w.status);
    if (newer(r->c, s.as_of))
        return OK;
    TRY(differ(r, "status", s.status, w.status));
    TRY(differ(r, "customer", s.customer, w.customer));
    TRY(differ(r, "price", s.price, w.price));
    TRY(differ_int(r, "current_period_start", s.period_start.ms, w.period_start.ms));
    TRY(differ_int(r, "current_period_end", s.period_end.ms, w.period_end.ms));
    TRY(differ_int(r, "cancel_at", s.cancel_at.ms, w.cancel_at.ms));
    TRY(differ_int(r, "cancel_at_period_end", s.cancel_at_period_end, w.cancel_at_period_end));
    return differ_int(r, "pause_collection", s.collection_paused, w.collection_paused);
}

static err compare_invoice(struct row *r, const json *o)
{
    struct wire_invoice w;
    struct invoice_get_row i;
    bool found;
    stripe_read_invoice(o, &w);
    TRY(q_invoice_get(r->tx, r->mem, &(struct invoice_get_in){r->object}, &i, &found));
    if (!found)
        return differ(r, "exists", SV_NULL, w.status);
    if (newer(r->c, i.as_of))
        return OK;
    TRY(differ(r, "status", i.status, w.status));
    TRY(differ(r, "subscription", i.subscription, w.subscription));
    TRY(differ_int(r, "amount_paid", i.amount_paid, w.amount_paid));
    return w.lines_cut ? OK : differ_int(r, "period_end", i.period_end.ms, w.period_end.ms);
}

static err compare_payment(struct row *r, const json *o)
{
    struct wire_payment w;
    struct payment_get_row p;
    bool found;
    stripe_read_payment(o, &w);
    TRY(q_payment_get(r->tx, r->mem, &(struct payment_get_in){r->object}, &p, &found));
    if (!found) /* one that was begun and never paid says nothing */
        return w.received > 0 ? differ(r, "exists", SV_NULL, w.status) : OK;
    if (newer(r->c, p.as_of))
        return OK;
    TRY(differ(r, "status", p.status, w.status));
    return differ_int(r, "amount_received", p.received, w.received);
}

/* -------- lists -------- */

static err compare_page(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct compare *c = arg;
    c->drift = 0;
    for (size_t i = 0; i < json_len(c->list); i++) {
        const json *o = json_at(c->list, i);
        struct row r = {tx, mem, c, json_get_str(o, "id"), 0};
        if (sv_empty(r.object))
            continue;
        if (c->kind == FACT_SUBSCRIPTION)
            TRY(compare_subscription(&r, o));
        else if (c->kind == FACT_INVOICE)
            TRY(compare_invoice(&r, o));
        else
            TRY(compare_payment(&r, o));
        c->drift += r.drift > 0;
    }
    return OK;
}

static err page(struct compare *c, const char *path, const char *what, sv query, sv *last,
                bool *more)
{
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    TRY(stripe_get(mem, sv_from(path), query, STRIPE_JOB, &a));
    c->list = json_get(a.body, "data");
    c->date = ts_is_none(a.date) ? c->s->now : a.date;
    TRY(db_write(c->s->db, mem, compare_page, c));
    size_t n = json_len(c->list);
    c->s->report.compared += (int64_t)n;
    c->s->report.drift += c->drift;
    for (size_t i = 0; c->kind == FACT_SUBSCRIPTION && i < n; i++)
        remember(c, json_get_str(json_at(c->list, i), "id"));
    *more = n > 0 && json_get_bool(a.body, "has_more", false);
    if (*more)
        *last = arena_sv(c->mem, json_get_str(json_at(c->list, n - 1), "id"));
    if (c->s->progress)
        c->s->progress(c->s->arg, what, c->s->report.compared, 0);
    return OK;
}

static err walk(struct compare *c, enum fact_kind kind, const char *path, const char *what)
{
    sv last = SV_NULL;
    bool more = true;
    c->kind = kind;
    while (more) {
        BUF_AUTO q = {0};
        form_add_int(&q, "limit", 100);
        if (kind == FACT_SUBSCRIPTION)
            form_add(&q, "status", SV("all"));
        else
            form_add_int(&q, "created[gte]", ts_unix(ts_add(c->s->now, -RECENT)));
        if (last.p)
            form_add(&q, "starting_after", last);
        TRY(page(c, path, what, buf_sv(&q), &last, &more));
    }
    return OK;
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
}

/* Ours that Stripe did not list. */
static err compare_missing(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct compare *c = arg;
    struct subscription_living_row *rows;
    size_t n;
    c->drift = 0;
    TRY(q_subscription_living(tx, mem, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        if (newer(c, rows[i].as_of) ||
            (c->nseen && bsearch(&rows[i].id, c->seen, c->nseen, sizeof *c->seen, by_text)))
            continue;
        struct row r = {tx, mem, c, rows[i].id, 0};
        TRY(differ(&r, "exists", rows[i].status, SV_NULL));
        c->drift++;
    }
    return OK;
}

static err clear(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    return q_drift_clear(tx, mem, NULL);
}

err sync_compare(struct sync *s, struct arena *mem)
{
    struct compare c = {.s = s, .mem = mem};
    TRY(db_write(s->db, mem, clear, NULL));
    TRY(walk(&c, FACT_SUBSCRIPTION, "/v1/subscriptions", "subscriptions"));
    if (c.nseen)
        qsort(c.seen, c.nseen, sizeof *c.seen, by_text);
    TRY(db_write(s->db, mem, compare_missing, &c));
    s->report.drift += c.drift;
    TRY(walk(&c, FACT_INVOICE, "/v1/invoices", "invoices"));
    return walk(&c, FACT_PAYMENT, "/v1/payment_intents", "payments");
}

/* -------- repair -------- */

err billing_drift_list(struct db_tx *tx, struct arena *mem, struct drift **out, size_t *n)
{
    struct drift_list_row *rows;
    TRY(q_drift_list(tx, mem, &rows, n));
    struct drift *list = ARENA_ARRAY(mem, struct drift, *n + 1);
    for (size_t i = 0; i < *n; i++)
        list[i] = (struct drift){rows[i].object, rows[i].field, rows[i].ours, rows[i].theirs,
                                 rows[i].found_at};
    *out = list;
    return OK;
}

struct list {
    struct drift *d;
    size_t n;
};

static err read_list(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct list *l = arg;
    return billing_drift_list(tx, mem, &l->d, &l->n);
}

static err forget(struct db_tx *tx, struct arena *mem, void *arg)
{
    return q_drift_del(tx, mem, &(struct drift_del_in){*(sv *)arg}, NULL);
}

static err repair_one(struct sync *s, struct arena *mem, sv object, int64_t *done)
{
    bool gone;
    TRY(refetch_now(s->app, s->db, mem, object, s->now, &gone));
    if (gone)
        return OK; /* stays on the list: a person has to look */
    ++*done;
    return db_write(s->db, mem, forget, &object);
}

err sync_repair(struct sync *s, struct arena *mem, sv object, int64_t *done)
{
    struct list l;
    *done = 0;
    if (object.p)
        return repair_one(s, mem, object, done);
    TRY(db_read(s->db, mem, read_list, &l));
    for (size_t i = 0; i < l.n; i++) {
        if (i > 0 && sv_eq(l.d[i].object, l.d[i - 1].object))
            continue;
        TRY(repair_one(s, mem, l.d[i].object, done));
        if (s->progress)
            s->progress(s->arg, "repaired", *done, (int64_t)l.n);
    }
    return OK;
}
