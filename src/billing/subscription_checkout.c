/* One subscription a member, one open Checkout for it. SPEC §2. */
#include "app/app.h"
#include "billing/subscription.h"
#include "catalog/catalog.h"
#include "http/client.h"

#define OPEN_FOR_S (23 * 3600) /* Stripe takes 30 minutes to 24 hours */
#define ROUNDS     6

struct checkout {
    struct req *r;
    const struct checkout_request *ask;
    sv customer, price;
    struct operation op;
    bool has_op;
    int64_t ended;                 /* number of the last checkout that we know to have ended */
    sv blocking, blocking_invoice; /* the subscription in the way */
};

static sv base_of(const struct req *r)
{
    sv base = r->app->set.base_url;
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    return base;
}

static void write_form(const struct checkout *c, struct arena *mem, bool had_one, struct buf *form)
{
    const struct catalog *cat = c->r->app->catalog;
    sv user = user_id_sv(&c->r->member);
    sv cancel = c->ask->cancel_url, success = c->ask->success_url;
    if (sv_empty(cancel))
        cancel = arena_printf(mem, "%.*s/?canceled=premium", SV_ARG(base_of(c->r)));
    if (sv_empty(success)) /* the built-in page says thank you */
        success = SV("/?subscribed=premium");
    form_add(form, "mode", SV("subscription"));
    form_add(form, "customer", c->customer);
    form_add(form, "client_reference_id", user);
    form_add(form, "line_items[0][price]", c->price);
    form_add(form, "line_items[0][quantity]", SV("1"));
    form_add(form, "success_url", billing_success_url(mem, &c->r->app->set, success));
    form_add(form, "cancel_url", cancel);
    form_add_int(form, "expires_at", ts_unix(c->r->now) + OPEN_FOR_S);
    form_add(form, "metadata[userId]", user);
    form_add(form, "metadata[type]", SV("subscription"));
    form_add(form, "subscription_data[metadata][userId]", user);
    form_add(form, "subscription_data[metadata][type]", SV("subscription"));
    if (cat->plan_trial_days > 0 && !had_one) /* one trial a member */
        form_add_int(form, "subscription_data[trial_period_days]", cat->plan_trial_days);
}

static err find_blocking(struct db_tx *tx, struct arena *mem, struct checkout *c, bool *had_one)
{
    struct subscription *list;
    size_t n;
    TRY(subscription_list(tx, mem, &c->r->member, &list, &n));
    *had_one = n > 0;
    c->blocking = SV_NULL;
    for (size_t i = 0; i < n && c->blocking.p == NULL; i++)
        if (subscription_blocks(list[i].status))
            c->blocking = list[i].id;
    return c->blocking.p == NULL
               ? OK
               : subscription_invoice_url(tx, mem, c->blocking, &c->blocking_invoice);
}

/* Finds what stands in the way, or the checkout to go on with, or makes the next one. */
static err tx_begin(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct checkout *c = arg;
    bool had_one = false, made = false;
    sv subject = arena_printf(mem, "subscribe:%s", c->r->member.s);
    TRY(db_lock1(tx, subject));
    TRY(find_blocking(tx, mem, c, &had_one));
    if (c->blocking.p != NULL)
        return OK;
    struct operation last = {0};
    TRY(operation_last(tx, mem, subject, &last, &c->has_op));
    bool alive = c->has_op && (sv_is(last.status, "pending") || sv_is(last.status, "done"));
    if (alive && last.seq != c->ended) {
        c->op = last;
        return OK;
    }
    BUF_AUTO form = {0};
    write_form(c, mem, had_one, &form);
    return operation_put_next(tx, mem, subject, c->has_op ? last.seq : 0, "POST",
                              SV("/v1/checkout/sessions"), buf_sv(&form), c->r->now, &c->op, &made);
}

static bool is_open(const struct checkout *c, const json *session)
{
    ts expires = json_get_unix(session, "expires_at");
    return sv_is(json_get_str(session, "status"), "open") &&
           !sv_empty(json_get_str(session, "url")) &&
           (ts_is_none(expires) || c->r->now.ms < expires.ms);
}

/* A link that mends it: the invoice that waits to be paid, else the portal. Without either the
 * answer is still 409. */
static err already_subscribed(struct checkout *c)
{
    sv url = SV_NULL;
    if (!sv_empty(c->blocking_invoice))
        reply_problem_str(c->r, "invoiceUrl", c->blocking_invoice);
    else if (subscription_portal(c->r, SV_NULL, &url) == OK)
        reply_problem_str(c->r, "portalUrl", url);
    reply_problem_str(c->r, "subscriptionId", c->blocking);
    return FAIL(ERR_ALREADY_SUBSCRIBED, "there is a subscription already");
}

/* A completed session's subscription stands in the way even before its facts are stored. */
static bool completed(struct checkout *c, const json *session)
{
    const json *sub = json_get(session, "subscription");
    if (!sv_is(json_get_str(session, "status"), "complete"))
        return false;
    sv status = json_get_str(sub, "status");
    if (status.p == NULL || !subscription_blocks(sub_status_parse(status)))
        return false;
    c->blocking = json_id(sub);
    c->blocking_invoice = json_get_str(json_get(sub, "latest_invoice"), "hosted_invoice_url");
    if (!sv_is(json_get_str(json_get(sub, "latest_invoice"), "status"), "open"))
        c->blocking_invoice = SV_NULL;
    return true;
}

/* The session of the operation as Stripe has it now; NULL if it is of no use any more. A session
 * that we made in this very request is open; of any other we ask, because a link must never be
 * dead. */
static err session_now(struct checkout *c, bool fresh, const json *answer, const json **session)
{
    if (fresh && is_open(c, answer)) {
        *session = answer;
        return OK;
    }
    err e = billing_session_fulfil(c->r->app, c->r->mem, c->op.object, STRIPE_PERSON, session);
    if (e == ERR_NOT_FOUND) {
        *session = NULL;
        return OK;
    }
    return e;
}

/* Stripe says that there is no such customer: kept as the fact that it was deleted. */
static err tx_forget_customer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct checkout *c = arg;
    BUF_AUTO text = {0};
    const json *object;
    struct jw w = {.out = &text};
    jw_obj(&w);
    jw_kstr(&w, "id", c->customer);
    jw_kstr(&w, "object", SV("customer"));
    jw_kbool(&w, "deleted", true);
    jw_obj_end(&w);
    TRY(json_parse(mem, buf_sv(&text), &object));
    TRY(billing_apply_object(tx, mem, c->r->app, object, c->r->now, c->r->now));
    return billing_customer_del(tx, mem, c->customer);
}

/* Stripe refused: a customer that was deleted there, or a price that was replaced, are looked up
 * anew. */
static err after_refusal(struct checkout *c, const struct stripe_answer *a, err e)
{
    sv param = a->error_param;
    subscription_price_forget();
    if (sv_is(a->error_code, "resource_missing") && sv_is(param, "customer")) {
        TRY(db_write(c->r->db, c->r->mem, tx_forget_customer, c));
        TRY(billing_customer_ensure(c->r, &c->r->member, &c->customer));
        return OK;
    }
    if (sv_starts(param, SV("line_items")))
        return subscription_price(c->r->mem, c->r->app->catalog, &c->price);
    return e;
}

/* One round: *session = the open one, or NULL when another round is needed. */
static err round_of(struct checkout *c, const json **session)
{
    struct stripe_answer a = {0};
    *session = NULL;
    TRY(db_write(c->r->db, c->r->mem, tx_begin, c));
    if (c->blocking.p != NULL)
        return already_subscribed(c);
    bool fresh = sv_is(c->op.status, "pending");
    if (fresh) {
        err e = operation_run(c->r->app, c->r->mem, &c->op, STRIPE_PERSON, NULL, NULL, &a);
        if (e == ERR_UPSTREAM_REFUSED)
            return a.error_code.p != NULL || a.error_param.p != NULL ? after_refusal(c, &a, e) : OK;
        TRY(e);
        c->op.object = json_get_str(a.body, "id");
    }
    const json *now = NULL;
    TRY(session_now(c, fresh, a.body, &now));
    if (now != NULL && completed(c, now))
        return already_subscribed(c);
    if (now != NULL && is_open(c, now))
        *session = now;
    else
        c->ended = c->op.seq;
    return OK;
}

err subscription_checkout(struct req *r, const struct checkout_request *ask,
                          struct checkout_answer *out)
{
    struct checkout c = {.r = r, .ask = ask, .ended = -1};
    const json *session = NULL;
    TRY(billing_customer_ensure(r, &r->member, &c.customer));
    TRY(subscription_price(r->mem, r->app->catalog, &c.price));
    for (int i = 0; i < ROUNDS && session == NULL; i++)
        TRY(round_of(&c, &session));
    if (session == NULL)
        return FAIL(ERR_RETRY, "the checkout could not be opened");
    out->url = json_get_str(session, "url");
    out->session = json_get_str(session, "id");
    return OK;
}
