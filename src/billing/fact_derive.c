/* What follows from money facts: what an invoice covers, how long a subscription is paid.
 * Recomputed from the rows whenever one of them changes; never stepped. SPEC §2 "Refunds and
 * disputes". */
#include "base/buf.h"
#include "billing/fact.h"
#include "ext/stripe.h"
#include "queries.h"

/* -------- invoices -------- */

err fact_invoice_sums(struct db_tx *tx, struct arena *mem, sv invoice, sv status,
                      int64_t amount_paid, struct invoice_sums *out)
{
    struct invoice_money m = {.paid = sv_is(status, "paid"), .amount_paid = amount_paid};
    int64_t settled = 0; /* given back for good: not pending any more */
    struct invoice_payments_row *rows;
    size_t n;
    TRY(q_invoice_payments(tx, mem, &(struct invoice_payments_in){invoice}, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        const struct invoice_payments_row *p = &rows[i];
        int64_t pending = p->counting - p->succeeded;
        m.refunded += refunded_sum(p->counting, p->failed, p->by_charge);
        settled += refunded_sum(p->succeeded, p->failed + pending, p->by_charge);
        m.dispute_open |= p->dispute_open > 0;
        m.dispute_lost |= p->dispute_lost > 0;
    }
    *out = (struct invoice_sums){.refunded = m.refunded,
                                 .cover = cover_decide(&m),
                                 .disputed = m.dispute_lost,
                                 .for_good = m.dispute_lost || settled >= amount_paid};
    return OK;
}

/* Its current period is gone for good: it must not be renewed. Not if another invoice covers that
 * time, and not for a period that is over. */
static err cancel_at_stripe(struct db_tx *tx, struct arena *mem, sv subscription,
                            const char *reason, ts now)
{
    struct subscription_get_row sub;
    bool found;
    TRY(q_subscription_get(tx, mem, &(struct subscription_get_in){subscription}, &sub, &found));
    if (!found || fact_rank_subscription(sub.status) >= FACT_TERMINAL || !ts_is_none(sub.gone_at) ||
        !cover_revoked(sub.barred, now) || !stripe_configured())
        return OK;
    return billing_cancel_put(tx, mem, subscription, reason, now);
}

err fact_invoice_follow(struct db_tx *tx, struct arena *mem, sv subscription, ts period_end,
                        const struct invoice_sums *s, ts now)
{
    if (!subscription.p)
        return OK;
    TRY(fact_derive_subscription(tx, mem, subscription));
    if (s->cover == COVER_REVOKED && s->for_good && !ts_is_none(period_end) &&
        ts_before(now, period_end))
        return cancel_at_stripe(tx, mem, subscription, s->disputed ? "dispute" : "refund", now);
    return OK;
}

err fact_derive_invoice(struct db_tx *tx, struct arena *mem, sv invoice, ts now)
{
    struct invoice_get_row inv;
    struct invoice_sums s;
    bool found;
    TRY(db_lock1(tx, invoice));
    TRY(q_invoice_get(tx, mem, &(struct invoice_get_in){invoice}, &inv, &found));
    if (!found)
        return OK;
    TRY(fact_invoice_sums(tx, mem, invoice, inv.status, inv.amount_paid, &s));
    struct invoice_derive_in in = {invoice, s.refunded, (int64_t)s.cover};
    TRY(q_invoice_derive(tx, mem, &in, NULL));
    return fact_invoice_follow(tx, mem, inv.subscription, inv.period_end, &s, now);
}

err fact_derive_payment(struct db_tx *tx, struct arena *mem, sv payment, ts now)
{
    struct invoices_of_payment_row *rows;
    size_t n;
    TRY(q_invoices_of_payment(tx, mem, &(struct invoices_of_payment_in){payment}, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_derive_invoice(tx, mem, rows[i].invoice, now));
    return OK;
}

/* -------- subscriptions -------- */

static ts earliest(ts a, ts b)
{
    return ts_is_none(a) ? b : ts_is_none(b) ? a : ts_min(a, b);
}

/* The first failed attempt: of invoices that are still unpaid, and the first news of past_due since
 * the last news of another status. */
static err first_failure(struct db_tx *tx, struct arena *mem, const struct derive_from *sub,
                         const struct invoices_of_subscription_row *inv, size_t n, ts *out)
{
    *out = TS_NONE;
    if (!sv_is(sub->status, "past_due"))
        return OK;
    for (size_t i = 0; i < n; i++)
        if (sv_is(inv[i].status, "open") || sv_is(inv[i].status, "uncollectible"))
            *out = earliest(*out, inv[i].first_failed);
    struct past_due_since_row since;
    struct past_due_since_in in = {sub->id, ts_is_none(sub->clear_at) ? (ts){0} : sub->clear_at};
    TRY(q_past_due_since(tx, mem, &in, &since));
    *out = earliest(*out, since.at);
    return OK;
}

/* What takes a look at every invoice. */
static err trouble(struct db_tx *tx, struct arena *mem, const struct derive_from *sub,
                   struct subscription_derived *d)
{
    struct invoices_of_subscription_row *inv;
    size_t n;
    TRY(q_invoices_of_subscription(tx, mem, &(struct invoices_of_subscription_in){sub->id}, &inv,
                                   &n));
    struct covered *c = ARENA_ARRAY(mem, struct covered, n + 1);
    for (size_t i = 0; i < n; i++)
        c[i] = (struct covered){inv[i].period_start, inv[i].period_end, (enum cover)inv[i].cover};
    d->barred = cover_barred(mem, c, n);
    return first_failure(tx, mem, sub, inv, n, &d->first_failure);
}

err fact_subscription_values(struct db_tx *tx, struct arena *mem, const struct derive_from *sub,
                             struct subscription_derived *out)
{
    struct subscription_cover_row row;
    struct subscription_cover_in in = {sub->id, sub->customer};
    TRY(q_subscription_cover(tx, mem, &in, &row));
    struct subscription_derived d = {.invoice_known = !ts_is_none(row.paid_through),
                                     .paid_through = row.paid_through,
                                     .barred = SV_NULL,
                                     .first_failure = TS_NONE,
                                     .gone_at = row.gone_at};
    if (!d.invoice_known) { /* one that pays for a time would be known */
        struct subscription_invoice_known_row any;
        TRY(q_subscription_invoice_known(tx, mem, &(struct subscription_invoice_known_in){sub->id},
                                         &any));
        d.invoice_known = any.known;
    }
    if (row.spoiled || sv_is(sub->status, "past_due"))
        TRY(trouble(tx, mem, sub, &d));
    *out = d;
    return OK;
}

static bool same(const struct subscription_derived_row *a, const struct subscription_derived *b)
{
    return a->invoice_known == b->invoice_known && a->paid_through.ms == b->paid_through.ms &&
           (a->barred.p != NULL) == (b->barred.p != NULL) && sv_eq(a->barred, b->barred) &&
           a->first_failure.ms == b->first_failure.ms && a->gone_at.ms == b->gone_at.ms;
}

err fact_derive_subscription(struct db_tx *tx, struct arena *mem, sv subscription)
{
    struct subscription_derived_row sub;
    struct subscription_derived d;
    bool found;
    TRY(db_lock1(tx, subscription));
    TRY(q_subscription_derived(tx, mem, &(struct subscription_derived_in){subscription}, &sub,
                               &found));
    if (!found)
        return OK;
    struct derive_from from = {subscription, sub.customer, sub.status, sub.clear_at};
    TRY(fact_subscription_values(tx, mem, &from, &d));
    if (same(&sub, &d))
        return OK;
    struct subscription_derive_in in = {.id = subscription,
                                        .invoice_known = d.invoice_known,
                                        .paid_through = d.paid_through,
                                        .barred = d.barred,
                                        .first_failure = d.first_failure,
                                        .gone_at = d.gone_at};
    return q_subscription_derive(tx, mem, &in, NULL);
}

err fact_derive_member(struct db_tx *tx, struct arena *mem, const user_id *member, ts now)
{
    static const char *const kind = "second_active_subscription";
    struct subscription_active_count_row row;
    if (user_id_none(member))
        return OK;
    sv m = user_id_sv(member);
    struct subscription_active_count_in in = {m, sv_from(kind)};
    TRY(q_subscription_active_count(tx, mem, &in, &row));
    if ((row.n >= 2) == (row.flagged > 0))
        return OK;
    if (row.n >= 2)
        return billing_flag_put(tx, mem, kind, m, SV("pays for more than one subscription"), now);
    return q_flag_del(tx, mem, &(struct flag_del_in){sv_from(kind), m}, NULL);
}

err billing_flag_put(struct db_tx *tx, struct arena *mem, const char *kind, sv ref, sv detail,
                     ts now)
{
    return q_flag_put(tx, mem, &(struct flag_put_in){sv_from(kind), ref, detail, now}, NULL);
}
