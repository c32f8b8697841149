/* Customers and their subscriptions. */
#include "billing/fact_apply.h"
#include "ext/stripe_event.h"
#include "queries.h"

/* -------- customers -------- */

static err each_subscription(struct fact_ctx *c, sv customer)
{
    struct subscriptions_of_customer_row *rows;
    size_t n;
    TRY(q_subscriptions_of_customer(c->tx, c->mem, &(struct subscriptions_of_customer_in){customer},
                                    &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_derive_subscription(c->tx, c->mem, rows[i].id));
    return fact_derive_member(c->tx, c->mem, &c->member, c->in->now);
}

err fact_apply_customer(struct fact_ctx *c)
{
    struct wire_customer w;
    stripe_read_customer(c->object, &w);
    w.deleted |= fact_is_type(c, "customer.deleted");
    TRY(FACT_LOCK(c, c->id));
    struct fact_customer_get_row row;
    bool found;
    TRY(q_fact_customer_get(c->tx, c->mem, &(struct fact_customer_get_in){c->id}, &row, &found));
    struct fact_content content = {
        arena_printf(c->mem, "%d|%d", w.deleted, w.payment_method.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.user_ref), SV_ARG(w.payment_method))};
    found = found && row.rank >= 0; /* a row made by a claim alone holds no content */
    TRY(fact_judge(c, FACT_STORED(found, row), w.deleted ? FACT_TERMINAL : 1, content));
    if (c->newer) {
        struct fact_customer_put_in in = {.id = c->id,
                                          .user_ref = w.user_ref,
                                          .payment_method = w.payment_method,
                                          .deleted = w.deleted,
                                          FACT_ORDER(c)};
        TRY(q_fact_customer_put(c->tx, c->mem, &in, NULL));
    }
    TRY(fact_owner_of(c, c->id, &(struct claim){w.user_ref, CLAIM_CUSTOMER}, 1));
    if (!w.deleted || !c->newer)
        return OK;
    TRY(billing_customer_del(c->tx, c->mem, c->id));
    return each_subscription(c, c->id);
}

/* -------- subscriptions -------- */

static struct fact_content subscription_content(struct arena *mem,
                                                const struct wire_subscription *w)
{
    return (struct fact_content){
        arena_printf(mem, "%.*s|%lld|%lld|%lld|%lld|%lld|%d|%lld|%lld|%d|%lld", SV_ARG(w->status),
                     (long long)w->period_start.ms, (long long)w->period_end.ms,
                     (long long)w->trial_start.ms, (long long)w->trial_end.ms,
                     (long long)w->cancel_at.ms, w->cancel_at_period_end,
                     (long long)w->canceled_at.ms, (long long)w->ended_at.ms, w->collection_paused,
                     (long long)w->anchor.ms),
        arena_printf(mem, "%.*s|%.*s|%.*s|%.*s", SV_ARG(w->customer), SV_ARG(w->item),
                     SV_ARG(w->price), SV_ARG(w->payment_method))};
}

static bool same_text(sv a, sv b)
{
    return (a.p != NULL) == (b.p != NULL) && sv_eq(a, b);
}

/* Would the row stay as it is, but for its order and clear_at? A member who is not known leaves the
 * one that is stored. */
static bool says_the_same(const struct subscription_get_row *a, const struct subscription_put_in *b)
{
    return (!b->member.p || same_text(a->member, b->member)) &&
           same_text(a->customer, b->customer) && same_text(a->status, b->status) &&
           a->created_at.ms == b->created_at.ms && a->period_start.ms == b->period_start.ms &&
           a->period_end.ms == b->period_end.ms && a->trial_start.ms == b->trial_start.ms &&
           a->trial_end.ms == b->trial_end.ms && a->cancel_at.ms == b->cancel_at.ms &&
           a->cancel_at_period_end == b->cancel_at_period_end &&
           a->canceled_at.ms == b->canceled_at.ms && a->ended_at.ms == b->ended_at.ms &&
           a->collection_paused == b->collection_paused && a->anchor.ms == b->anchor.ms &&
           same_text(a->item, b->item) && same_text(a->price, b->price) &&
           same_text(a->payment_method, b->payment_method) && same_text(a->user_ref, b->user_ref) &&
           a->invoice_known == b->invoice_known && a->paid_through.ms == b->paid_through.ms &&
           same_text(a->barred, b->barred) && a->first_failure.ms == b->first_failure.ms &&
           a->gone_at.ms == b->gone_at.ms;
}

/* `stored`: its row, if there is one. Who claimed its customer since it was read has changed no
 * more of it than the member, and is the member now. */
static err put_subscription(struct fact_ctx *c, const struct wire_subscription *w, ts clear_at,
                            const struct subscription_get_row *stored)
{
    struct derive_from from = {c->id, w->customer, fact_status(w->status), clear_at};
    struct subscription_derived d;
    TRY(fact_subscription_values(c->tx, c->mem, &from, &d));
    struct subscription_put_in in = {
        .id = c->id,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .customer = w->customer,
        .status = fact_status(w->status),
        .created_at = w->created,
        .period_start = w->period_start,
        .period_end = w->period_end,
        .trial_start = w->trial_start,
        .trial_end = w->trial_end,
        .cancel_at = w->cancel_at,
        .cancel_at_period_end = w->cancel_at_period_end,
        .canceled_at = w->canceled_at,
        .ended_at = w->ended_at,
        .collection_paused = w->collection_paused,
        .anchor = w->anchor,
        .item = w->item,
        .price = w->price,
        .payment_method = w->payment_method,
        .user_ref = w->user_ref,
        .invoice_known = d.invoice_known,
        .paid_through = d.paid_through,
        .barred = d.barred,
        .first_failure = d.first_failure,
        .clear_at = clear_at,
        .gone_at = d.gone_at,
        FACT_ORDER(c),
    };
    if (!stored || !says_the_same(stored, &in))
        return q_subscription_put(c->tx, c->mem, &in, NULL);
    struct subscription_seen_in seen = {.id = c->id, .clear_at = clear_at, FACT_ORDER(c)};
    return q_subscription_seen(c->tx, c->mem, &seen, NULL);
}

/* News of past_due and of its end are kept beside the newest content: when it began is asked of
 * all. */
static err note_past_due(struct fact_ctx *c, sv status, ts *clear_at)
{
    if (sv_is(status, "past_due"))
        return q_past_due_seen(c->tx, c->mem, &(struct past_due_seen_in){c->id, c->in->as_of},
                               NULL);
    if (ts_is_none(*clear_at) || ts_before(*clear_at, c->in->as_of))
        *clear_at = c->in->as_of;
    return OK;
}

/* Older than what is stored: only what it says of past_due may be news. */
static err keep_subscription(struct fact_ctx *c, ts before, ts clear_at)
{
    if (before.ms != clear_at.ms)
        TRY(q_subscription_clear(c->tx, c->mem, &(struct subscription_clear_in){c->id, clear_at},
                                 NULL));
    return fact_derive_subscription(c->tx, c->mem, c->id);
}

err fact_apply_subscription(struct fact_ctx *c)
{
    struct wire_subscription w;
    stripe_read_subscription(c->object, &w);
    if (fact_is_type(c, "customer.subscription.deleted"))
        w.status = SV("canceled");
    TRY(FACT_LOCK(c, c->id, w.customer));
    struct subscription_get_row row;
    bool found;
    TRY(q_subscription_get(c->tx, c->mem, &(struct subscription_get_in){c->id}, &row, &found));
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_subscription(w.status),
                   subscription_content(c->mem, &w)));
    TRY(fact_owner_of(c, w.customer, &(struct claim){w.user_ref, CLAIM_SUBSCRIPTION}, 1));
    ts before = found ? row.clear_at : TS_NONE, clear_at = before;
    TRY(note_past_due(c, w.status, &clear_at));
    TRY(c->newer ? put_subscription(c, &w, clear_at, found ? &row : NULL)
                 : keep_subscription(c, before, clear_at));
    return fact_derive_member(c->tx, c->mem, &c->member, c->in->now);
}
