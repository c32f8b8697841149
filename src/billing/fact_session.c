/* Checkout sessions and payment methods. */
#include "billing/fact_apply.h"
#include "ext/stripe_event.h"
#include "queries.h"

static struct fact_content session_content(struct arena *mem, const struct wire_session *w)
{
    return (struct fact_content){
        arena_printf(mem, "%.*s|%.*s|%.*s|%lld|%.*s|%d%d%d", SV_ARG(w->mode), SV_ARG(w->status),
                     SV_ARG(w->payment_status), (long long)w->amount_total, SV_ARG(w->currency),
                     w->customer.p != NULL, w->subscription.p != NULL, w->payment.p != NULL),
        arena_printf(mem, "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", SV_ARG(w->customer),
                     SV_ARG(w->subscription), SV_ARG(w->payment), SV_ARG(w->email),
                     SV_ARG(w->purchase_id), SV_ARG(w->item_id), SV_ARG(w->user_ref))};
}

static err put_session(struct fact_ctx *c, const struct wire_session *w)
{
    struct fact_session_put_in in = {
        .id = c->id,
        .mode = w->mode,
        .status = w->status,
        .payment_status = w->payment_status,
        .customer = w->customer,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .subscription = w->subscription,
        .payment = w->payment,
        .amount_total = w->amount_total,
        .currency = w->currency,
        .email = w->email,
        .purchase_id = w->purchase_id,
        .item_id = w->item_id,
        .user_ref = w->user_ref,
        .expires_at = w->expires_at,
        .created_at = w->created,
        FACT_ORDER(c),
    };
    return q_fact_session_put(c->tx, c->mem, &in, NULL);
}

/* A payment without customer belongs to whoever its checkout names. */
static err session_payment(struct fact_ctx *c, sv payment)
{
    int64_t changed;
    if (!payment.p || user_id_none(&c->member))
        return OK;
    struct payment_own_one_in in = {payment, user_id_sv(&c->member)};
    TRY(q_payment_own_one(c->tx, c->mem, &in, &changed));
    if (changed)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_PAYMENT, payment, &c->member, payment,
                            c->in->now));
    return OK;
}

err fact_apply_session(struct fact_ctx *c)
{
    struct wire_session w;
    stripe_read_session(c->object, &w);
    TRY(FACT_LOCK(c, c->id, w.customer, w.payment, w.subscription));
    struct fact_session_get_row row;
    bool found;
    TRY(q_fact_session_get(c->tx, c->mem, &(struct fact_session_get_in){c->id}, &row, &found));
    TRY(fact_judge(c, FACT_STORED(found, row), fact_rank_session(w.status, w.payment_status),
                   session_content(c->mem, &w)));
    struct claim claims[] = {{w.user_ref, CLAIM_SESSION}, {w.client_ref, CLAIM_SESSION_REF}};
    TRY(fact_owner_of(c, w.customer, claims, 2));
    c->payment = w.payment;
    if (c->newer)
        TRY(put_session(c, &w));
    if (fact_is_type(c, "checkout.session.async_payment_failed")) {
        int64_t changed;
        TRY(q_fact_session_failed(c->tx, c->mem, &(struct fact_session_failed_in){c->id},
                                  &changed));
        c->again |= changed > 0;
    }
    return session_payment(c, w.payment);
}

err fact_apply_payment_method(struct fact_ctx *c)
{
    struct wire_payment_method w;
    stripe_read_payment_method(c->object, &w);
    TRY(FACT_LOCK(c, c->id, w.customer));
    struct payment_method_get_row row;
    bool found;
    TRY(q_payment_method_get(c->tx, c->mem, &(struct payment_method_get_in){c->id}, &row, &found));
    struct fact_content content = {arena_printf(c->mem, "%.*s|%.*s|%lld|%lld|%d", SV_ARG(w.brand),
                                                SV_ARG(w.last4), (long long)w.exp_month,
                                                (long long)w.exp_year, w.customer.p != NULL),
                                   w.customer};
    TRY(fact_judge(c, FACT_STORED(found, row), 1, content));
    TRY(fact_owner_of(c, w.customer, NULL, 0));
    if (!c->newer)
        return OK;
    struct payment_method_put_in in = {.id = c->id,
                                       .customer = w.customer,
                                       .kind = w.kind,
                                       .brand = w.brand,
                                       .last4 = w.last4,
                                       .exp_month = w.exp_month,
                                       .exp_year = w.exp_year,
                                       FACT_ORDER(c)};
    return q_payment_method_put(c->tx, c->mem, &in, NULL);
}
