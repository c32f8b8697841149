/* Who owns what a customer bought. Owners hang on customers, so that all facts of one customer
 * agree. */
#include "account/account.h"
#include "billing/fact.h"
#include "queries.h"

static err resolve(struct db_tx *tx, struct arena *mem, sv ref, user_id *out)
{
    struct account a;
    if (sv_empty(ref)) {
        *out = (user_id){""};
        return OK;
    }
    err e = account_by_any_id(tx, mem, ref, &a);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *out = e == OK ? a.id : (user_id){""};
    return OK;
}

/* Everything of the customer now belongs to the member; those who listen hear of it again. */
static err move_subscriptions(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
                              const user_id *member, ts now)
{
    struct subscription_own_row *rows;
    size_t n;
    TRY(q_subscription_own(tx, mem, &(struct subscription_own_in){customer, user_id_sv(member)},
                           &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(tx, mem, app, FACT_SUBSCRIPTION, rows[i].id, member, SV_NULL, now));
    return fact_derive_member(tx, mem, member, now);
}

static err move_rest(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
                     const user_id *member, ts now)
{
    struct invoice_own_row *invoices;
    struct payment_own_row *payments;
    struct fact_session_own_row *sessions;
    size_t n;
    sv m = user_id_sv(member);
    TRY(q_invoice_own(tx, mem, &(struct invoice_own_in){customer, m}, &invoices, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(tx, mem, app, FACT_INVOICE, invoices[i].id, member, SV_NULL, now));
    TRY(q_payment_own(tx, mem, &(struct payment_own_in){customer, m}, &payments, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(tx, mem, app, FACT_PAYMENT, payments[i].id, member, payments[i].id,
                            now));
    TRY(q_fact_session_own(tx, mem, &(struct fact_session_own_in){customer, m}, &sessions, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(tx, mem, app, FACT_SESSION, sessions[i].id, member, SV_NULL, now));
    return OK;
}

/* Who owns a customer, by which claim, and whose it is because we made it. */
struct owned {
    user_id member, ours;
    int64_t rank;
};

static err of_customer(struct db_tx *tx, struct arena *mem, sv customer, struct owned *out)
{
    struct fact_customer_owner_row row;
    TRY(q_fact_customer_owner(tx, mem, &(struct fact_customer_owner_in){customer}, &row));
    bool claimed = row.member.p && row.claim_rank.has;
    *out = (struct owned){.member = row.member.p ? user_id_from(row.member) : (user_id){""},
                          .ours = row.ours.p ? user_id_from(row.ours) : (user_id){""},
                          .rank = claimed ? row.claim_rank.v : INT64_MAX};
    return OK;
}

static err claim_customer(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
                          const user_id *member, enum claim_rank rank, ts now)
{
    struct owned before;
    int64_t changed;
    TRY(of_customer(tx, mem, customer, &before));
    struct fact_customer_claim_in in = {
        .id = customer, .member = user_id_sv(member), .claim_rank = rank};
    TRY(q_fact_customer_claim(tx, mem, &in, &changed));
    if (changed == 0)
        return OK;
    TRY(move_subscriptions(tx, mem, app, customer, member, now));
    TRY(fact_derive_member(tx, mem, &before.member, now));
    return move_rest(tx, mem, app, customer, member, now);
}

static err owner_without_customer(struct db_tx *tx, struct arena *mem, const struct claim *c,
                                  size_t n, user_id *out)
{
    user_id member = {""};
    for (size_t i = 0; i < n && user_id_none(&member); i++)
        TRY(resolve(tx, mem, c[i].ref, &member));
    *out = member;
    return OK;
}

err fact_owner(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
               const struct claim *c, size_t n, ts now, user_id *out)
{
    if (!customer.p)
        return owner_without_customer(tx, mem, c, n, out);
    struct owned of;
    user_id claimed;
    TRY(of_customer(tx, mem, customer, &of));
    /* Customers that we made are their member's, whatever metadata says. */
    if (of.rank > CLAIM_OURS && !user_id_none(&of.ours)) {
        TRY(claim_customer(tx, mem, app, customer, &of.ours, CLAIM_OURS, now));
        TRY(of_customer(tx, mem, customer, &of));
    }
    for (size_t i = 0; i < n; i++) {
        if (!c[i].ref.p || (int64_t)c[i].rank > of.rank || sv_eq(c[i].ref, user_id_sv(&of.member)))
            continue; /* cannot be better */
        TRY(resolve(tx, mem, c[i].ref, &claimed));
        if (user_id_none(&claimed) || user_id_eq(&claimed, &of.member))
            continue;
        TRY(claim_customer(tx, mem, app, customer, &claimed, c[i].rank, now));
        TRY(of_customer(tx, mem, customer, &of));
    }
    *out = of.member;
    return OK;
}

err billing_customer_link(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
                          const user_id *member, ts now)
{
    user_id ignored;
    struct claim c = {user_id_sv(member), CLAIM_OURS};
    TRY(db_lock1(tx, customer));
    return fact_owner(tx, mem, app, customer, &c, 1, now, &ignored);
}

/* -------- accounts that come later than their facts -------- */

static err adopt(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                 sv ref, ts now)
{
    struct customer_unclaimed_row *customers;
    struct subscription_unclaimed_row *subs;
    size_t n;
    TRY(q_customer_unclaimed(tx, mem, &(struct customer_unclaimed_in){ref}, &customers, &n));
    for (size_t i = 0; i < n; i++)
        TRY(claim_customer(tx, mem, app, customers[i].id, member, CLAIM_CUSTOMER, now));
    TRY(q_subscription_unclaimed(tx, mem, &(struct subscription_unclaimed_in){ref}, &subs, &n));
    for (size_t i = 0; i < n; i++)
        if (subs[i].customer.p)
            TRY(claim_customer(tx, mem, app, subs[i].customer, member, CLAIM_SUBSCRIPTION, now));
    return OK;
}

err billing_adopt(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                  sv legacy_id, ts now)
{
    TRY(adopt(tx, mem, app, member, user_id_sv(member), now));
    return sv_empty(legacy_id) ? OK : adopt(tx, mem, app, member, legacy_id, now);
}
