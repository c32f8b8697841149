/* What follows from money facts: what an invoice covers, how long a subscription is paid.
 * Recomputed from the rows whenever one of them changes; never stepped. SPEC §2 "Refunds and
 * disputes". */
#include "base/buf.h"
#include "billing/fact.h"
#include "ext/stripe.h"
#include "queries.h"

/* -------- invoices -------- */

struct sums {
    struct invoice_money m;
    int64_t settled; /* given back for good: not pending any more */
};

static err add_payment(struct db_tx *tx, struct arena *mem, sv payment, struct sums *s)
{
    struct payment_money_row p;
    TRY(q_payment_money(tx, mem, &(struct payment_money_in){payment}, &p));
    int64_t pending = p.counting - p.succeeded;
    s->m.refunded += refunded_sum(p.counting, p.failed, p.by_charge);
    s->settled += refunded_sum(p.succeeded, p.failed + pending, p.by_charge);
    s->m.dispute_open |= p.dispute_open > 0;
    s->m.dispute_lost |= p.dispute_lost > 0;
    return OK;
}

static err sum_invoice(struct db_tx *tx, struct arena *mem, const struct invoice_get_row *inv,
                       struct sums *out)
{
    struct sums s = {.m = {.paid = sv_is(inv->status, "paid"), .amount_paid = inv->amount_paid}};
    struct payments_of_invoice_row *rows;
    size_t n;
    TRY(q_payments_of_invoice(tx, mem, &(struct payments_of_invoice_in){inv->id}, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(add_payment(tx, mem, rows[i].payment, &s));
    *out = s;
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

err fact_derive_invoice(struct db_tx *tx, struct arena *mem, sv invoice, ts now)
{
    struct invoice_get_row inv;
    struct sums s;
    bool found;
    TRY(db_lock1(tx, invoice));
    TRY(q_invoice_get(tx, mem, &(struct invoice_get_in){invoice}, &inv, &found));
    if (!found)
        return OK;
    TRY(sum_invoice(tx, mem, &inv, &s));
    enum cover cover = cover_decide(&s.m);
    struct invoice_derive_in in = {invoice, s.m.refunded, (int64_t)cover};
    TRY(q_invoice_derive(tx, mem, &in, NULL));
    if (!inv.subscription.p)
        return OK;
    TRY(fact_derive_subscription(tx, mem, inv.subscription));
    bool for_good = s.m.dispute_lost || s.settled >= s.m.amount_paid;
    if (cover == COVER_REVOKED && for_good && !ts_is_none(inv.period_end) &&
        ts_before(now, inv.period_end))
        return cancel_at_stripe(tx, mem, inv.subscription, s.m.dispute_lost ? "dispute" : "refund",
                                now);
    return OK;
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
static err first_failure(struct db_tx *tx, struct arena *mem,
                         const struct subscription_get_row *sub,
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

static err gone_at(struct db_tx *tx, struct arena *mem, sv customer, ts *out)
{
    struct fact_customer_get_row row;
    bool found = false;
    if (customer.p)
        TRY(q_fact_customer_get(tx, mem, &(struct fact_customer_get_in){customer}, &row, &found));
    *out = found && row.deleted ? row.as_of : TS_NONE;
    return OK;
}

static bool same(const struct subscription_get_row *a, const struct subscription_derive_in *b)
{
    return a->invoice_known == b->invoice_known && a->paid_through.ms == b->paid_through.ms &&
           (a->barred.p != NULL) == (b->barred.p != NULL) && sv_eq(a->barred, b->barred) &&
           a->first_failure.ms == b->first_failure.ms && a->gone_at.ms == b->gone_at.ms;
}

err fact_derive_subscription(struct db_tx *tx, struct arena *mem, sv subscription)
{
    struct subscription_get_row sub;
    struct invoices_of_subscription_row *inv;
    size_t n;
    bool found;
    TRY(db_lock1(tx, subscription));
    TRY(q_subscription_get(tx, mem, &(struct subscription_get_in){subscription}, &sub, &found));
    if (!found)
        return OK;
    TRY(q_invoices_of_subscription(tx, mem, &(struct invoices_of_subscription_in){subscription},
                                   &inv, &n));
    struct covered *c = ARENA_ARRAY(mem, struct covered, n + 1);
    struct subscription_derive_in d = {.id = subscription};
    for (size_t i = 0; i < n; i++) {
        d.invoice_known |= !sv_is(inv[i].status, "deleted");
        c[i] = (struct covered){inv[i].period_start, inv[i].period_end, (enum cover)inv[i].cover};
    }
    d.paid_through = cover_paid_through(c, n);
    d.barred = cover_barred(mem, c, n);
    TRY(first_failure(tx, mem, &sub, inv, n, &d.first_failure));
    TRY(gone_at(tx, mem, sub.customer, &d.gone_at));
    return same(&sub, &d) ? OK : q_subscription_derive(tx, mem, &d, NULL);
}

err fact_derive_member(struct db_tx *tx, struct arena *mem, const user_id *member, ts now)
{
    static const char *const kind = "second_active_subscription";
    struct subscription_active_count_row row;
    if (user_id_none(member))
        return OK;
    sv m = user_id_sv(member);
    TRY(q_subscription_active_count(tx, mem, &(struct subscription_active_count_in){m}, &row));
    if (row.n >= 2)
        return billing_flag_put(tx, mem, kind, m, SV("pays for more than one subscription"), now);
    return q_flag_del(tx, mem, &(struct flag_del_in){sv_from(kind), m}, NULL);
}

err billing_flag_put(struct db_tx *tx, struct arena *mem, const char *kind, sv ref, sv detail,
                     ts now)
{
    return q_flag_put(tx, mem, &(struct flag_put_in){sv_from(kind), ref, detail, now}, NULL);
}
