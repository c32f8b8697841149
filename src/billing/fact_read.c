/* What others read of the facts. */
#include "app/app.h"
#include "base/calendar.h"
#include "billing/billing.h"
#include "billing/fact_rules.h"
#include "queries.h"

/* -------- access -------- */

static struct sub_facts facts_of(const struct billing_access_row *r, ts now)
{
    struct sub_facts s = {
        .id = r->id,
        .status = ts_is_none(r->gone_at) ? sub_status_parse(r->status) : SUB_CANCELED,
        .created = r->created_at,
        .period_start = r->period_start,
        .period_end = r->period_end,
        .trial_start = r->trial_start,
        .trial_end = r->trial_end,
        .cancel_at = r->cancel_at,
        .ended_at = r->ended_at,
        .cancel_at_period_end = r->cancel_at_period_end,
        .collection_paused = r->collection_paused,
        .first_failure = r->first_failure,
        .invoice_known = r->invoice_known,
        .paid_through = r->paid_through,
        .revoked_until = TS_NONE,
        .barred_from = TS_NONE,
        .barred_next = TS_NONE,
        .anchor = ts_is_none(r->anchor) ? r->period_start : r->anchor,
    };
    s.anchor_day = ts_is_none(s.anchor) ? 0 : ts_day_of_month(s.anchor);
    cover_barred_read(r->barred, now, &s);
    return s;
}

struct grace billing_grace(const struct settings *set)
{
    return (struct grace){set->renewal_grace_hours * TS_HOUR, set->past_due_grace_days * TS_DAY};
}

err billing_facts_get(struct db_tx *tx, struct arena *mem, const user_id *member, ts now,
                      struct sub_facts **out, size_t *n)
{
    struct billing_access_row *rows = NULL;
    size_t count = 0;
    if (!user_id_none(member))
        TRY(q_billing_access(tx, mem, &(struct billing_access_in){user_id_sv(member)}, &rows,
                             &count));
    struct sub_facts *s = ARENA_ARRAY(mem, struct sub_facts, count + 1);
    for (size_t i = 0; i < count; i++)
        s[i] = facts_of(&rows[i], now);
    *out = s;
    *n = count;
    return OK;
}

err billing_access_get(struct db_tx *tx, struct arena *mem, const struct settings *set,
                       const user_id *member, ts now, struct access *out)
{
    struct sub_facts *s;
    size_t n;
    struct grace g = billing_grace(set);
    TRY(billing_facts_get(tx, mem, member, now, &s, &n));
    *out = access_best(s, n, &g, now);
    return OK;
}

/* -------- payments and sessions -------- */

static currency currency_of(sv s)
{
    currency c = {""};
    if (s.p)
        (void)currency_parse(s, &c);
    return c;
}

err billing_payment_get(struct db_tx *tx, struct arena *mem, sv payment_intent,
                        struct payment_facts *out)
{
    struct payment_get_row p;
    struct payment_money_row m;
    bool found;
    TRY(q_payment_get(tx, mem, &(struct payment_get_in){payment_intent}, &p, &found));
    TRY(q_payment_money(tx, mem, &(struct payment_money_in){payment_intent}, &m));
    struct payment_facts f = {.known = found, .paid_at = TS_NONE};
    if (found) {
        f.succeeded = sv_is(p.status, "succeeded");
        f.canceled = sv_is(p.status, "canceled");
        f.failed = p.failed && !f.succeeded;
        f.received = (money){f.succeeded && p.received == 0 ? p.amount : p.received};
        f.currency = currency_of(p.currency);
        f.paid_at = p.paid_at;
    }
    f.refunded = (money){refunded_sum(m.counting, m.failed, m.by_charge)};
    f.dispute_open = m.dispute_open > 0;
    f.dispute_lost = m.dispute_lost > 0;
    f.dispute_inquiry = m.dispute_inquiry > 0;
    *out = f;
    return OK;
}

err billing_refund_get(struct db_tx *tx, struct arena *mem, sv refund, bool *known, bool *counts)
{
    struct refund_get_row row;
    bool found = false;
    if (!sv_empty(refund))
        TRY(q_refund_get(tx, mem, &(struct refund_get_in){refund}, &row, &found));
    *known = found;
    *counts = found && refund_counts(row.status);
    return OK;
}

err billing_session_get(struct db_tx *tx, struct arena *mem, sv session, struct session_facts *out)
{
    struct fact_session_get_row s;
    bool found;
    TRY(q_fact_session_get(tx, mem, &(struct fact_session_get_in){session}, &s, &found));
    if (!found) {
        *out = (struct session_facts){.id = session, .expires_at = TS_NONE};
        return OK;
    }
    *out = (struct session_facts){.known = true,
                                  .id = session,
                                  .status = s.status,
                                  .payment_status = s.payment_status,
                                  .payment_intent = s.payment,
                                  .subscription = s.subscription,
                                  .customer = s.customer,
                                  .email = s.email,
                                  .mode = s.mode,
                                  .async_failed = s.async_failed,
                                  .amount_total = {s.amount_total},
                                  .currency = currency_of(s.currency),
                                  .purchase_id = s.purchase_id,
                                  .item_id = s.item_id,
                                  .user_id_text = s.user_ref,
                                  .expires_at = s.expires_at};
    return OK;
}

/* The payment that a refund or dispute is about, for those who got a fact without links. */
err billing_invoice_of_payment(struct db_tx *tx, struct arena *mem, sv payment, sv *invoice)
{
    struct invoices_of_payment_row *rows;
    size_t n;
    TRY(q_invoices_of_payment(tx, mem, &(struct invoices_of_payment_in){payment}, &rows, &n));
    *invoice = n ? rows[0].invoice : SV_NULL;
    return OK;
}
