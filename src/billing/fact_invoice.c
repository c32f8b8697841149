/* Invoices, and which payments paid them. */
#include "billing/fact_apply.h"
#include "ext/stripe_event.h"
#include "queries.h"

static struct fact_content invoice_content(struct arena *mem, const struct wire_invoice *w)
{
    return (struct fact_content){
        arena_printf(mem, "%.*s|%.*s|%lld|%lld|%.*s|%lld|%lld|%lld|%lld|%lld|%d", SV_ARG(w->status),
                     SV_ARG(w->billing_reason), (long long)w->amount_due, (long long)w->amount_paid,
                     SV_ARG(w->currency), (long long)w->period_start.ms,
                     (long long)w->period_end.ms, (long long)w->attempt_count,
                     (long long)w->paid_at.ms, (long long)w->next_attempt.ms,
                     w->subscription.p != NULL),
        arena_printf(mem, "%.*s|%.*s|%.*s", SV_ARG(w->subscription), SV_ARG(w->customer),
                     SV_ARG(w->hosted_url))};
}

static err put_invoice(struct fact_ctx *c, const struct wire_invoice *w,
                       const struct invoice_sums *s)
{
    struct invoice_put_in in = {
        .id = c->id,
        .subscription = w->subscription,
        .customer = w->customer,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .status = fact_status(w->status),
        .billing_reason = w->billing_reason,
        .amount_due = w->amount_due,
        .amount_paid = w->amount_paid,
        .currency = w->currency,
        .period_start = w->period_start,
        .period_end = w->period_end,
        .attempt_count = w->attempt_count,
        .created_at = w->created,
        .paid_at = w->paid_at,
        .next_attempt_at = w->next_attempt,
        .hosted_url = sv_is(w->status, "open") ? w->hosted_url : SV_NULL,
        .refunded = s->refunded,
        .cover = (int64_t)s->cover,
        FACT_ORDER(c),
    };
    return q_invoice_put(c->tx, c->mem, &in, NULL);
}

/* A payment became known to be an invoice's: what waited for it is told again. */
static err tell_waiting(struct fact_ctx *c, sv payment)
{
    struct refunds_of_payment_row *refunds;
    struct disputes_of_payment_row *disputes;
    size_t n;
    TRY(q_refunds_of_payment(c->tx, c->mem, &(struct refunds_of_payment_in){payment}, &refunds,
                             &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_REFUND, refunds[i].id, &c->member, payment,
                            c->in->now));
    TRY(q_disputes_of_payment(c->tx, c->mem, &(struct disputes_of_payment_in){payment}, &disputes,
                              &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_DISPUTE, disputes[i].id, &c->member,
                            payment, c->in->now));
    return OK;
}

static err link_put(struct fact_ctx *c, sv payment, sv invoice, bool *made)
{
    int64_t n = 0;
    if (!sv_empty(payment) && !sv_empty(invoice))
        TRY(q_link_put(c->tx, c->mem, &(struct link_put_in){payment, invoice}, &n));
    *made = n > 0;
    return OK;
}

err fact_link_invoice(struct fact_ctx *c, sv payment, sv invoice)
{
    bool made;
    TRY(link_put(c, payment, invoice, &made));
    if (!made)
        return OK;
    TRY(fact_derive_invoice(c->tx, c->mem, invoice, c->in->now));
    return tell_waiting(c, payment);
}

static err lock_invoice(struct fact_ctx *c, const struct wire_invoice *w)
{
    sv ids[3 + WIRE_PAYMENTS] = {c->id, w->customer, w->subscription};
    for (size_t i = 0; i < w->npayments; i++)
        ids[3 + i] = w->payments[i];
    return fact_lock(c, ids, 3 + w->npayments);
}

err fact_apply_invoice(struct fact_ctx *c)
{
    struct wire_invoice w;
    stripe_read_invoice_pages(c->object, c->in->pages, c->in->npages, &w);
    if (fact_is_type(c, "invoice.deleted"))
        w.status = SV("deleted");
    TRY(lock_invoice(c, &w));
    struct invoice_get_row row;
    bool found;
    TRY(q_invoice_get(c->tx, c->mem, &(struct invoice_get_in){c->id}, &row, &found));
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_invoice(w.status),
                   invoice_content(c->mem, &w)));
    TRY(fact_owner_of(c, w.customer, &(struct claim){w.user_ref, CLAIM_INVOICE}, 1));
    bool linked[WIRE_PAYMENTS] = {false};
    for (size_t i = 0; i < w.npayments; i++)
        TRY(link_put(c, w.payments[i], c->id, &linked[i]));
    struct invoice_sums sums;
    if (c->newer) {
        TRY(fact_invoice_sums(c->tx, c->mem, c->id, w.status, w.amount_paid, &sums));
        TRY(put_invoice(c, &w, &sums));
    }
    if (c->newer && w.lines_cut) /* which period it pays may stand in a line that was not told */
        TRY(fact_refetch_put(c->tx, c->mem, FACT_INVOICE, c->id, c->in->now, c->in->now));
    if (fact_is_type(c, "invoice.payment_failed"))
        TRY(q_invoice_failed(c->tx, c->mem, &(struct invoice_failed_in){c->id, c->in->as_of},
                             NULL));
    if (found && row.subscription.p && !sv_eq(row.subscription, w.subscription))
        TRY(fact_derive_subscription(c->tx, c->mem, row.subscription));
    TRY(c->newer
            ? fact_invoice_follow(c->tx, c->mem, w.subscription, w.period_end, &sums, c->in->now)
            : fact_derive_invoice(c->tx, c->mem, c->id, c->in->now));
    for (size_t i = 0; i < w.npayments; i++)
        if (linked[i])
            TRY(tell_waiting(c, w.payments[i]));
    return OK;
}

err fact_apply_invoice_payment(struct fact_ctx *c)
{
    struct wire_invoice_payment w;
    stripe_read_invoice_payment(c->object, &w);
    TRY(FACT_LOCK(c, c->id, w.invoice, w.payment));
    struct invoice_payment_get_row row;
    bool found;
    TRY(q_invoice_payment_get(c->tx, c->mem, &(struct invoice_payment_get_in){c->id}, &row,
                              &found));
    struct fact_content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount_paid,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.invoice), SV_ARG(w.payment))};
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_invoice_payment(w.status), content));
    c->payment = w.payment;
    if (c->newer) {
        struct invoice_payment_put_in in = {.id = c->id,
                                            .invoice = w.invoice,
                                            .payment = w.payment,
                                            .status = fact_status(w.status),
                                            .amount_paid = w.amount_paid,
                                            FACT_ORDER(c)};
        TRY(q_invoice_payment_put(c->tx, c->mem, &in, NULL));
    }
    struct invoice_get_row inv;
    if (w.invoice.p)
        TRY(q_invoice_get(c->tx, c->mem, &(struct invoice_get_in){w.invoice}, &inv, &found));
    if (w.invoice.p && found && inv.member.p)
        c->member = user_id_from(inv.member);
    return fact_link_invoice(c, w.payment, w.invoice);
}
