/* The member's customer at Stripe: one for each member. */
#include "account/account.h"
#include "app/app.h"
#include "billing/billing.h"
#include "billing/operation.h"
#include "http/client.h"
#include "queries.h"

err billing_customer_owner(struct db_tx *tx, struct arena *mem, sv customer, user_id *member)
{
    bool found = false;
    struct customer_owner_row row;
    TRY(q_customer_owner(tx, mem, &(struct customer_owner_in){customer}, &row, &found));
    *member = found ? user_id_from(row.user_id) : (user_id){{0}};
    return OK;
}

err billing_customer_get(struct db_tx *tx, struct arena *mem, const user_id *member, sv *customer)
{
    bool found = false;
    struct customer_by_user_row row;
    struct customer_by_user_in in = {.user_id = user_id_sv(member)};
    TRY(q_customer_by_user(tx, mem, &in, &row, &found));
    if (found) {
        *customer = row.id;
        return OK;
    }
    struct customer_by_fact_row fact;
    TRY(q_customer_by_fact(tx, mem, &(struct customer_by_fact_in){user_id_sv(member)}, &fact,
                           &found));
    *customer = found ? fact.id : SV_NULL;
    return OK;
}

err billing_customer_put(struct db_tx *tx, struct arena *mem, const user_id *member, sv customer,
                         ts now)
{
    int64_t changed = 0;
    struct customer_put_in in = {.user_id = user_id_sv(member), .id = customer, .created_at = now};
    TRY(q_customer_put(tx, mem, &in, &changed));
    if (changed == 1)
        return OK;
    user_id owner;
    TRY(billing_customer_owner(tx, mem, customer, &owner));
    if (user_id_eq(&owner, member))
        return OK;
    return billing_flag_put(tx, mem, "customer_conflict", customer,
                            arena_printf(mem, "%s has another customer already", member->s), now);
}

err billing_customer_del(struct db_tx *tx, struct arena *mem, sv customer)
{
    return q_customer_del(tx, mem, &(struct customer_del_in){customer}, NULL);
}

struct ensure {
    struct req *r;
    const user_id *member;
    sv customer;
    struct operation op;
};

/* `last` is the series as it was before the customer was looked for. */
static err make_operation(struct db_tx *tx, struct arena *mem, struct ensure *e, sv subject,
                          const struct operation *last)
{
    struct account a;
    bool made = false;
    TRY(account_get(tx, mem, e->member, &a));
    BUF_AUTO form = {0};
    if (!sv_empty(a.email))
        form_add(&form, "email", a.email);
    if (!sv_empty(a.name))
        form_add(&form, "name", a.name);
    form_add(&form, "metadata[userId]", user_id_sv(e->member));
    return operation_put_next(tx, mem, subject, last->seq, "POST", SV("/v1/customers"),
                              buf_sv(&form), e->r->now, &e->op, &made);
}

/* The series is read before the customer: an operation that is seen done brought its customer in
 * the same transaction, so it is seen as well. The other way round, one that ends between the two
 * reads would look like a customer that was deleted, and a second one would be made. */
static err tx_ensure(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ensure *e = arg;
    sv subject = arena_printf(mem, "customer:%s", e->member->s);
    bool found = false;
    struct operation last = {.seq = 0};
    TRY(operation_last(tx, mem, subject, &last, &found));
    TRY(billing_customer_get(tx, mem, e->member, &e->customer));
    if (e->customer.p != NULL)
        return billing_customer_put(tx, mem, e->member, e->customer, e->r->now);
    if (found && sv_is(last.status, "pending")) {
        e->op = last;
        return OK;
    }
    return make_operation(tx, mem, e, subject, &last);
}

static err tx_customer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ensure *e = arg;
    return billing_customer_get(tx, mem, e->member, &e->customer);
}

err billing_customer_ensure(struct req *r, const user_id *member, sv *customer)
{
    struct ensure e = {.r = r, .member = member};
    struct stripe_answer answer;
    TRY(db_read(r->db, r->mem, tx_customer, &e)); /* the usual case writes nothing */
    if (e.customer.p == NULL) {
        TRY(db_write(r->db, r->mem, tx_ensure, &e));
        if (e.customer.p == NULL) {
            TRY(operation_run(r->app, r->mem, &e.op, STRIPE_PERSON, NULL, NULL, &answer));
            TRY(db_read(r->db, r->mem, tx_customer, &e));
        }
    }
    if (e.customer.p == NULL)
        return FAIL(ERR_RETRY, "the customer was deleted just now");
    *customer = e.customer;
    return OK;
}

err billing_cancel_put(struct db_tx *tx, struct arena *mem, sv subscription, const char *reason,
                       ts now)
{
    sv id = url_encode(mem, subscription);
    sv key = arena_printf(mem, "cancel:%.*s", SV_ARG(subscription));
    sv path = arena_printf(mem, "/v1/subscriptions/%.*s", SV_ARG(id));
    struct operation op;
    bool made = false;
    BUF_AUTO form = {0};
    form_add(&form, "cancellation_details[comment]", sv_from(reason));
    TRY(operation_put(tx, mem, key, "DELETE", path, buf_sv(&form), now, &op, &made));
    return sv_is(op.status, "pending") ? operation_queue(tx, mem, &op, now) : OK;
}
