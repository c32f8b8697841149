/* Billing's start, and its part of `mybeing dev state` and `userstate`: facts without ids and times
 * of arrival. */
#include "account/account.h"
#include "app/dev_state.h"
#include "billing/billing.h"
#include "queries.h"

/* Each part is a query's rows as they are: what they show is chosen in sql/query/billing.sql. */
#define PART(name, key)                                                                            \
    static err name(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)                  \
    {                                                                                              \
        struct state_##name##_row *rows;                                                           \
        size_t n;                                                                                  \
        TRY(q_state_##name(tx, mem, &(struct state_##name##_in){member}, &rows, &n));              \
        jw_key(w, key);                                                                            \
        state_##name##_json_array(w, rows, n);                                                     \
        return OK;                                                                                 \
    }
PART(subscriptions, "subscriptions")
PART(invoices, "invoices")
PART(payments, "payments")
PART(charges, "charges")
PART(refunds, "refunds")
PART(disputes, "disputes")
PART(sessions, "checkoutSessions")
PART(customers, "customers")

/* Their kinds alone. */
static err flags(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    struct state_flags_row *rows;
    size_t n;
    TRY(q_state_flags(tx, mem, &(struct state_flags_in){member}, &rows, &n));
    jw_key(w, "flags");
    jw_arr(w);
    for (size_t i = 0; i < n; i++)
        jw_str(w, rows[i].kind);
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
    struct member_money_row *sums;
    size_t n;
    TRY(billing_access_get(tx, mem, &app->set, member, now, &a));
    TRY(q_member_money(tx, mem, &(struct member_money_in){user_id_sv(member)}, &sums, &n));
    out->premium |= a.premium;
    for (size_t i = 0; i < n; i++)
        dev_userstate_money(mem, out, sums[i].currency, sums[i].paid, sums[i].refunded);
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
