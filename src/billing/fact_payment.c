/* Payments and charges, refunds and disputes. */
#include "billing/fact_apply.h"
#include "ext/stripe_event.h"
#include "queries.h"

/* -------- payments and charges -------- */

static err payment_owner(struct fact_ctx *c, const struct wire_payment *w)
{
    struct fact_session_of_payment_row s;
    bool found;
    TRY(fact_owner_of(c, w->customer, &(struct claim){w->user_ref, CLAIM_PAYMENT}, 1));
    if (!user_id_none(&c->member))
        return OK;
    TRY(q_fact_session_of_payment(c->tx, c->mem, &(struct fact_session_of_payment_in){c->id}, &s,
                                  &found));
    if (found && s.member.p)
        c->member = user_id_from(s.member);
    return OK;
}

err fact_apply_payment(struct fact_ctx *c)
{
    struct wire_payment w;
    stripe_read_payment(c->object, &w);
    TRY(FACT_LOCK(c, c->id, w.customer, w.invoice));
    struct payment_get_row row;
    bool found;
    TRY(q_payment_get(c->tx, c->mem, &(struct payment_get_in){c->id}, &row, &found));
    struct fact_content content = {arena_printf(c->mem, "%.*s|%lld|%lld|%.*s|%d", SV_ARG(w.status),
                                                (long long)w.amount, (long long)w.received,
                                                SV_ARG(w.currency), w.failed),
                                   w.customer};
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_payment(w.status), content));
    TRY(payment_owner(c, &w));
    c->payment = c->id;
    if (c->newer) {
        struct payment_put_in in = {.id = c->id,
                                    .customer = w.customer,
                                    .member =
                                        user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
                                    .status = fact_status(w.status),
                                    .amount = w.amount,
                                    .received = w.received,
                                    .currency = w.currency,
                                    .failed = w.failed,
                                    .created_at = w.created,
                                    FACT_ORDER(c)};
        TRY(q_payment_put(c->tx, c->mem, &in, NULL));
    }
    if (sv_is(w.status, "succeeded"))
        TRY(q_payment_paid(c->tx, c->mem, &(struct payment_paid_in){c->id, c->in->as_of}, NULL));
    return fact_link_invoice(c, c->id, w.invoice);
}

/* Refunds and disputes that named the charge alone learn their payment. */
static err link_charge(struct fact_ctx *c, sv payment)
{
    struct refund_link_row *refunds;
    struct dispute_link_row *disputes;
    size_t nr, nd;
    TRY(q_refund_link(c->tx, c->mem, &(struct refund_link_in){c->id, payment}, &refunds, &nr));
    TRY(q_dispute_link(c->tx, c->mem, &(struct dispute_link_in){c->id, payment}, &disputes, &nd));
    for (size_t i = 0; i < nr; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_REFUND, refunds[i].id, NULL, payment,
                            c->in->now));
    for (size_t i = 0; i < nd; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_DISPUTE, disputes[i].id, NULL, payment,
                            c->in->now));
    return OK;
}

static err put_charge(struct fact_ctx *c, const struct wire_charge *w)
{
    struct charge_put_in in = {.id = c->id,
                               .payment = c->payment,
                               .customer = w->customer,
                               .status = fact_status(w->status),
                               .amount = w->amount,
                               .currency = w->currency,
                               .created_at = w->created,
                               FACT_ORDER(c)};
    return q_charge_put(c->tx, c->mem, &in, NULL);
}

err fact_apply_charge(struct fact_ctx *c)
{
    struct wire_charge w;
    stripe_read_charge(c->object, &w);
    c->payment = w.payment.p ? w.payment : c->id;
    TRY(FACT_LOCK(c, c->id, w.payment, w.invoice));
    struct charge_get_row row;
    bool found;
    TRY(q_charge_get(c->tx, c->mem, &(struct charge_get_in){c->id}, &row, &found));
    struct fact_content content = {
        arena_printf(c->mem, "%.*s|%lld|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     (long long)w.refunded, w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.customer))};
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_charge(w.status), content));
    TRY(fact_owner_of(c, w.customer, NULL, 0));
    if (c->newer)
        TRY(put_charge(c, &w));
    /* Given back is counted by refunds; what the charge says only grows. */
    TRY(q_charge_refunded(c->tx, c->mem, &(struct charge_refunded_in){c->id, w.refunded}, NULL));
    TRY(link_charge(c, c->payment));
    TRY(fact_link_invoice(c, c->payment, w.invoice));
    TRY(fact_apply_refunds(c, w.refunds));
    return fact_derive_payment(c->tx, c->mem, c->payment, c->in->now);
}

/* -------- refunds and disputes -------- */

/* The payment that a refund or dispute is about: named, or known by its charge. */
static err payment_of(struct fact_ctx *c, sv payment, sv charge)
{
    struct charge_get_row row;
    bool found;
    c->payment = payment;
    if (payment.p || !charge.p)
        return OK;
    TRY(q_charge_get(c->tx, c->mem, &(struct charge_get_in){charge}, &row, &found));
    c->payment = found ? row.payment : SV_NULL;
    /* What is summed up of the payment is summed by one at a time. */
    return sv_empty(c->payment) ? OK : db_lock1(c->tx, c->payment);
}

/* What cannot be tied to an invoice or a checkout yet is asked about later. */
static err link_later(struct fact_ctx *c)
{
    if (c->payment.p) {
        struct invoices_of_payment_row *invoices;
        struct fact_session_of_payment_row session;
        struct payment_get_row payment;
        size_t n;
        bool by_session;
        TRY(q_invoices_of_payment(c->tx, c->mem, &(struct invoices_of_payment_in){c->payment},
                                  &invoices, &n));
        TRY(q_fact_session_of_payment(c->tx, c->mem,
                                      &(struct fact_session_of_payment_in){c->payment}, &session,
                                      &by_session));
        bool found;
        TRY(q_payment_get(c->tx, c->mem, &(struct payment_get_in){c->payment}, &payment, &found));
        if (found && payment.member.p)
            c->member = user_id_from(payment.member);
        if (n > 0 || by_session)
            return OK;
    }
    return fact_link_job_put(c->tx, c->mem, c->kind, c->id, c->in->now);
}

static err after_money_back(struct fact_ctx *c)
{
    TRY(link_later(c));
    return c->payment.p ? fact_derive_payment(c->tx, c->mem, c->payment, c->in->now) : OK;
}

err fact_apply_refund(struct fact_ctx *c)
{
    struct wire_refund w;
    stripe_read_refund(c->object, &w);
    if (!w.status.p)
        w.status = SV("succeeded"); /* very old versions have none */
    TRY(FACT_LOCK(c, c->id, w.payment, w.charge));
    struct refund_get_row row;
    bool found;
    TRY(q_refund_get(c->tx, c->mem, &(struct refund_get_in){c->id}, &row, &found));
    struct fact_content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.charge))};
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_refund(w.status), content));
    TRY(payment_of(c, w.payment, w.charge));
    if (c->newer) {
        struct refund_put_in in = {.id = c->id,
                                   .charge = w.charge,
                                   .payment = c->payment,
                                   .status = w.status,
                                   .amount = w.amount,
                                   .currency = w.currency,
                                   .created_at = w.created,
                                   FACT_ORDER(c)};
        TRY(q_refund_put(c->tx, c->mem, &in, NULL));
    }
    return after_money_back(c);
}

err fact_apply_dispute(struct fact_ctx *c)
{
    struct wire_dispute w;
    stripe_read_dispute(c->object, &w);
    TRY(FACT_LOCK(c, c->id, w.payment, w.charge));
    struct dispute_get_row row;
    bool found;
    TRY(q_dispute_get(c->tx, c->mem, &(struct dispute_get_in){c->id}, &row, &found));
    struct fact_content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.charge))};
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_dispute(w.status), content));
    TRY(payment_of(c, w.payment, w.charge));
    if (c->newer) {
        struct dispute_put_in in = {.id = c->id,
                                    .charge = w.charge,
                                    .payment = c->payment,
                                    .status = fact_status(w.status),
                                    .reason = w.reason,
                                    .amount = w.amount,
                                    .currency = w.currency,
                                    .created_at = w.created,
                                    FACT_ORDER(c)};
        TRY(q_dispute_put(c->tx, c->mem, &in, NULL));
    }
    return after_money_back(c);
}
