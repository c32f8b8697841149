/* Cancel at the period's end, undo that, and Stripe's portal. stripe/CONTRACT §6. */
#include "app/app.h"
#include "base/crypto.h"
#include "billing/subscription.h"
#include "http/client.h"

#define ROUNDS 5

struct change {
    struct req *r;
    enum subscription_change what;
    sv asked; /* by the caller, or SV_NULL */
    struct subscription target;
    bool found;
    sv customer;
    const char *form;
    struct operation op;
    const struct stripe_answer *seen;
};

/* The one that counts for access; else the newest that has not ended; else the newest. */
static err tx_target(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct change *c = arg;
    struct subscription *list;
    struct access access;
    size_t n;
    TRY(subscription_list(tx, mem, &c->r->member, &list, &n));
    TRY(billing_access_get(tx, mem, &c->r->app->set, &c->r->member, c->r->now, &access));
    const struct subscription *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct subscription *s = &list[i];
        if (c->asked.p != NULL ? sv_eq(s->id, c->asked)
                               : access.premium && sv_eq(s->id, access.subscription)) {
            best = s;
            break;
        }
        if (c->asked.p == NULL && subscription_blocks(s->status) &&
            (best == NULL || !subscription_blocks(best->status)))
            best = s;
        else if (c->asked.p == NULL && best == NULL)
            best = s;
    }
    c->found = best != NULL;
    if (best != NULL)
        c->target = *best;
    return OK;
}

/* What is pending is finished first: it is ours if it asks for the same, else ours is the next. */
static err tx_operation(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct change *c = arg;
    bool found = false, made = false;
    sv subject = arena_printf(mem, "subscription:%.*s", SV_ARG(c->target.id));
    struct operation last = {0};
    TRY(operation_last(tx, mem, subject, &last, &found));
    if (found && sv_is(last.status, "pending")) {
        c->op = last;
        return OK;
    }
    sv path = arena_printf(mem, "/v1/subscriptions/%.*s", SV_ARG(url_encode(mem, c->target.id)));
    return operation_put_next(tx, mem, subject, found ? last.seq : 0, "POST", path,
                              sv_from(c->form), c->r->now, &c->op, &made);
}

static err tx_apply(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct change *c = arg;
    const struct stripe_answer *a = c->seen;
    ts now = clock_now();
    return billing_apply_object(tx, mem, c->r->app, a->body, ts_is_none(a->date) ? now : a->date,
                                now);
}

/* Stripe's own state decides what has to be sent: our facts may be late. */
static err decide(struct change *c, const json **object)
{
    struct stripe_answer a;
    sv path = arena_printf(c->r->mem, "/v1/subscriptions/%.*s",
                           SV_ARG(url_encode(c->r->mem, c->target.id)));
    TRY(stripe_get(c->r->mem, path, SV_NULL, STRIPE_PERSON, &a));
    enum sub_status status = sub_status_parse(json_get_str(a.body, "status"));
    ts period_end = json_get_unix(a.body, "current_period_end");
    if (ts_is_none(period_end))
        period_end = json_get_unix(json_path(a.body, "items.data.0"), "current_period_end");
    struct subscription_end end = {.cancel_at_period_end =
                                       json_get_bool(a.body, "cancel_at_period_end", false),
                                   .cancel_at = json_get_unix(a.body, "cancel_at"),
                                   .period_end = period_end};
    c->form = c->what == SUBSCRIPTION_CANCEL ? subscription_cancel_form(&end)
                                             : subscription_resume_form(&end);
    *object = a.body;
    if (subscription_blocks(status) && c->form[0] != '\0')
        return OK;
    c->seen = &a; /* nothing to send: what we learned is kept */
    TRY(db_write(c->r->db, c->r->mem, tx_apply, c));
    if (!subscription_blocks(status))
        return FAIL(ERR_CONFLICT, "the subscription has ended: subscribe again");
    return OK;
}

err subscription_change(struct req *r, enum subscription_change what, sv subscription,
                        const json **object)
{
    struct change c = {.r = r, .what = what, .asked = subscription};
    TRY(db_read(r->db, r->mem, tx_target, &c));
    if (!c.found)
        return FAIL(ERR_NOT_FOUND, "there is no subscription");
    TRY(decide(&c, object));
    for (int i = 0; i < ROUNDS && c.form[0] != '\0'; i++) {
        struct stripe_answer a;
        TRY(db_write(r->db, r->mem, tx_operation, &c));
        TRY(operation_run(r->app, r->mem, &c.op, STRIPE_PERSON, NULL, NULL, &a));
        if (sv_starts(c.op.form, sv_from(c.form))) {
            *object = a.body;
            return OK;
        }
    }
    return c.form[0] == '\0' ? OK : FAIL(ERR_RETRY, "another change of it is under way");
}

static err tx_customer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct change *c = arg;
    struct subscription *list;
    size_t n;
    TRY(billing_customer_get(tx, mem, &c->r->member, &c->customer));
    if (c->customer.p != NULL)
        return OK;
    TRY(subscription_list(tx, mem, &c->r->member, &list, &n));
    for (size_t i = 0; i < n && c->customer.p == NULL; i++)
        c->customer = list[i].customer;
    return OK;
}

err subscription_portal(struct req *r, sv return_url, sv *url)
{
    struct change c = {.r = r};
    TRY(db_read(r->db, r->mem, tx_customer, &c));
    if (c.customer.p == NULL)
        return FAIL(ERR_NOT_FOUND, "there is nothing to manage yet");
    if (sv_empty(return_url))
        return_url = r->app->set.base_url;
    BUF_AUTO form = {0};
    struct stripe_answer a;
    form_add(&form, "customer", c.customer);
    form_add(&form, "return_url", return_url);
    /* Made for each click and never stored: a link, not money. */
    TRY(stripe_post(r->mem, SV("/v1/billing_portal/sessions"), &form,
                    crypto_token(r->mem, "portal_"), STRIPE_PERSON, &a));
    sv link = json_get_str(a.body, "url");
    if (sv_empty(link))
        return FAIL(ERR_UPSTREAM, "Stripe gave no link");
    *url = link;
    return OK;
}
