/* Billing's start, and its part of `mybeing dev state` and `userstate`: facts without ids and times
 * of arrival. */
#include "account/account.h"
#include "app/dev_state.h"
#include "billing/billing.h"
#include "queries.h"

#define EACH(query, call)                                                                          \
    struct query##_row *rows;                                                                      \
    size_t n;                                                                                      \
    TRY(q_##query(tx, mem, &(struct query##_in){member}, &rows, &n));                              \
    jw_key(w, call);                                                                               \
    jw_arr(w);                                                                                     \
    for (const struct query##_row *r = rows; r < rows + n; r++)

static err subscriptions(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_subscriptions, "subscriptions")
    {
        jw_obj(w);
        jw_kstr(w, "status", r->status);
        jw_kts(w, "periodStart", r->period_start);
        jw_kts(w, "periodEnd", r->period_end);
        jw_kts(w, "trialEnd", r->trial_end);
        jw_kts(w, "cancelAt", r->cancel_at);
        jw_kbool(w, "cancelAtPeriodEnd", r->cancel_at_period_end);
        jw_kts(w, "endedAt", r->ended_at);
        jw_kbool(w, "collectionPaused", r->collection_paused);
        jw_kts(w, "anchor", r->anchor);
        jw_kbool(w, "invoiceKnown", r->invoice_known);
        jw_kts(w, "paidThrough", r->paid_through);
        jw_kstr(w, "barred", r->barred);
        jw_kts(w, "firstFailure", r->first_failure);
        jw_kts(w, "goneAt", r->gone_at);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err invoices(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_invoices, "invoices")
    {
        jw_obj(w);
        jw_kstr(w, "status", r->status);
        jw_kstr(w, "reason", r->billing_reason);
        jw_kint(w, "due", r->amount_due);
        jw_kint(w, "paid", r->amount_paid);
        jw_kstr(w, "currency", r->currency);
        jw_kts(w, "periodStart", r->period_start);
        jw_kts(w, "periodEnd", r->period_end);
        jw_kint(w, "attempts", r->attempt_count);
        jw_kts(w, "firstFailed", r->first_failed);
        jw_kint(w, "refunded", r->refunded);
        jw_kint(w, "cover", r->cover);
        jw_kint(w, "payments", r->payments);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err payments(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_payments, "payments")
    {
        jw_obj(w);
        jw_kstr(w, "status", r->status);
        jw_kint(w, "amount", r->amount);
        jw_kint(w, "received", r->received);
        jw_kstr(w, "currency", r->currency);
        jw_kbool(w, "failed", r->failed);
        jw_kts(w, "paidAt", r->paid_at);
        jw_kint(w, "refunds", r->refunds);
        jw_kint(w, "disputes", r->disputes);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err charges(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_charges, "charges")
    {
        jw_obj(w);
        jw_kstr(w, "status", r->status);
        jw_kint(w, "amount", r->amount);
        jw_kint(w, "refunded", r->refunded);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static void money_back(struct jw *w, sv status, int64_t amount, bool linked)
{
    jw_obj(w);
    jw_kstr(w, "status", status);
    jw_kint(w, "amount", amount);
    jw_kbool(w, "linked", linked);
    jw_obj_end(w);
}

static err refunds(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_refunds, "refunds")
    {
        money_back(w, r->status, r->amount, r->linked);
    }
    jw_arr_end(w);
    return OK;
}

static err disputes(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_disputes, "disputes")
    {
        money_back(w, r->status, r->amount, r->linked);
    }
    jw_arr_end(w);
    return OK;
}

static err sessions(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_sessions, "checkoutSessions")
    {
        jw_obj(w);
        jw_kstr(w, "mode", r->mode);
        jw_kstr(w, "status", r->status);
        jw_kstr(w, "paymentStatus", r->payment_status);
        jw_kint(w, "amount", r->amount_total);
        jw_kbool(w, "asyncFailed", r->async_failed);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err customers(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_customers, "customers")
    {
        jw_obj(w);
        jw_kbool(w, "deleted", r->deleted);
        jw_kint(w, "methods", r->methods);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err flags(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    EACH(state_flags, "flags")
    {
        jw_str(w, r->kind);
    }
    jw_arr_end(w);
    return OK;
}

static err write_state(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                       ts now, struct jw *w)
{
    static err (*const parts[])(struct db_tx *, struct arena *, sv, struct jw *) = {
        subscriptions, invoices, payments, charges, refunds, disputes, sessions, customers, flags};
    (void)app;
    (void)now;
    jw_obj(w);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        TRY(parts[i](tx, mem, user_id_sv(member), w));
    jw_obj_end(w);
    return OK;
}

static err write_userstate(struct db_tx *tx, struct arena *mem, struct app *app,
                           const user_id *member, ts now, struct dev_userstate *out)
{
    struct access a;
    struct member_money_row sum;
    TRY(billing_access_get(tx, mem, &app->set, member, now, &a));
    TRY(q_member_money(tx, mem, &(struct member_money_in){user_id_sv(member)}, &sum));
    out->premium |= a.premium;
    out->paid_cents += sum.paid;
    out->refunded_cents += sum.refunded;
    return OK;
}

static struct app *process;

static err adopt(struct db_tx *tx, struct arena *mem, const user_id *member, sv legacy_id, ts now)
{
    return billing_adopt(tx, mem, process, member, legacy_id, now);
}

void billing_init(struct app *app)
{
    process = app;
    account_on_created(adopt);
    dev_state_add("billing", write_state);
    dev_userstate_add(write_userstate);
}
