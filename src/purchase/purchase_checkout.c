/* Buying one item: short transactions that decide, with Stripe asked between them. SPEC §2 "Holding
 * a slot", "one per buyer and item". */
#include "purchase/purchase_store.h"

#include "billing/operation.h"
#include "ext/stripe.h"
#include "http/client.h"

#include <stdio.h>

/* Stripe wants 30 minutes to 24 hours; an hour leaves room for a repeated call. */
#define SESSION_LIFE (60 * TS_MINUTE)
#define ROUNDS       5

enum step {
    STEP_DONE,     /* `p` is the answer: given away, or its session is open */
    STEP_CUSTOMER, /* the member has no customer at Stripe yet */
    STEP_CREATE,   /* `op` makes the session */
    STEP_EXPIRE,   /* `op` ends an open session whose price is no longer right */
    STEP_ASK,      /* Stripe knows more about the session than we do */
};
struct checkout {
    struct app *app;
    const struct checkout_ask *ask;
    struct caller caller;
    ts now;
    sv customer; /* members: after STEP_CUSTOMER */
    bool has_customer;
    /* out */
    enum step step;
    struct purchase p;
    struct operation op;
};

sv purchase_operation_key(struct arena *mem, sv id)
{
    return arena_printf(mem, "checkout:%.*s:1", SV_ARG(id));
}

/* -------- what is sent -------- */

static void metadata_add(struct buf *b, const char *prefix, const struct purchase *p,
                         const struct item *it)
{
    char name[80];
    bool member = !user_id_none(&p->member);
    const struct {
        const char *key;
        sv value;
    } m[] = {{member ? "userId" : "sessionId",
              member ? user_id_sv(&p->member) : visitor_id_sv(&p->visitor)},
             {"type", sv_from(item_kind_name(it->kind))},
             {"itemId", it->id},
             {"purchaseId", p->id}};
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        snprintf(name, sizeof name, "%s[%s]", prefix, m[i].key);
        form_add(b, name, m[i].value);
    }
}

static void session_form(struct buf *b, struct arena *mem, const struct checkout *c,
                         const struct purchase *p)
{
    const struct item *it = c->ask->item;
    sv buyer = user_id_none(&p->member) ? visitor_id_sv(&p->visitor) : user_id_sv(&p->member);
    form_add(b, "mode", SV("payment"));
    form_add(b, "client_reference_id", buyer);
    if (c->customer.p)
        form_add(b, "customer", c->customer);
    form_add(b, "line_items[0][quantity]", SV("1"));
    form_add(b, "line_items[0][price_data][currency]", currency_sv(&p->currency));
    form_add_int(b, "line_items[0][price_data][unit_amount]", p->price.minor);
    form_add(b, "line_items[0][price_data][product_data][name]", it->title);
    metadata_add(b, "metadata", p, it);
    metadata_add(b, "payment_intent_data[metadata]", p, it);
    form_add(b, "success_url",
             billing_success_url(mem, &c->app->set,
                                 arena_printf(mem, "/?purchase=%.*s", SV_ARG(p->id))));
    form_add(b, "cancel_url",
             arena_printf(mem, "%.*s/?canceled=%.*s", SV_ARG(c->app->set.base_url), SV_ARG(p->id)));
    form_add_int(b, "expires_at", ts_unix(p->expires));
}

/* -------- deciding (in a transaction) -------- */

/* Everything that limits this checkout, locked at once: the buyer's slots and the discounts'
 * numbers. */
static err lock_all(struct db_tx *tx, struct arena *mem, const struct checkout *c)
{
    struct entitlement_state s;
    struct discount_offer code;
    bool found = false;
    TRY(entitlement_state_get(tx, mem, c->app, &c->caller, SV_NULL, c->now, &s));
    if (c->ask->code.p)
        TRY(entitlement_offer_by_code(tx, mem, c->ask->code, &c->caller, SV_NULL, &code, &found));
    sv *keys = ARENA_ARRAY(mem, sv, s.noffers + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.noffers; i++)
        keys[n++] = arena_printf(mem, "discount:%.*s", SV_ARG(s.offers[i].id));
    if (found)
        keys[n++] = arena_printf(mem, "discount:%.*s", SV_ARG(code.id));
    return entitlement_lock(tx, mem, &c->caller, keys, n);
}

static err refuse_open(const struct decision *d)
{
    switch (d->kind) {
    case DECIDE_OWNED:
        return FAIL(ERR_ALREADY_OWNED, "this is bought already");
    case DECIDE_GRANTED:
        return FAIL(ERR_ALREADY_OWNED, "this is open already: %s", d->rule);
    case DECIDE_FREE:
        return FAIL(ERR_CONFLICT, "this is free for everybody: nothing to buy");
    case DECIDE_GONE:
        return FAIL(ERR_GONE, "this is not sold any more");
    default:
        return OK;
    }
}

static bool same_basis(const struct purchase *p, const struct quote *q)
{
    return p->price.minor == q->price.minor && p->list.minor == q->list.minor &&
           currency_eq(p->currency, q->currency) &&
           sv_is(p->discount_kind, discount_kind_name(q->discount)) &&
           sv_eq(p->discount_id, q->discount_id);
}

static err operation_for(struct db_tx *tx, struct arena *mem, struct checkout *c)
{
    BUF_AUTO form = {0};
    bool made;
    session_form(&form, mem, c, &c->p);
    TRY(operation_put(tx, mem, purchase_operation_key(mem, c->p.id), "POST",
                      SV("/v1/checkout/sessions"), arena_sv(mem, buf_sv(&form)), c->now, &c->op,
                      &made));
    if (sv_is(c->op.status, "unknown"))
        return FAIL(ERR_UPSTREAM, "it is not known yet whether the checkout was opened");
    c->step = STEP_CREATE;
    return OK;
}

err purchase_operation_expire(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now,
                              struct operation *out)
{
    bool made;
    sv path = arena_printf(mem, "/v1/checkout/sessions/%.*s/expire", SV_ARG(p->session));
    sv key = arena_printf(mem, "expire:%.*s:1", SV_ARG(p->id));
    return operation_put(tx, mem, key, "POST", path, SV(""), now, out, &made);
}

static err expire_old(struct db_tx *tx, struct arena *mem, struct checkout *c)
{
    TRY(purchase_operation_expire(tx, mem, &c->p, c->now, &c->op));
    c->step = sv_is(c->op.status, "pending") ? STEP_EXPIRE : STEP_ASK;
    return OK;
}

/* The buyer has an open checkout of this item. */
static err go_on(struct db_tx *tx, struct arena *mem, struct checkout *c, const struct quote *q)
{
    struct session_facts s = {0};
    if (!c->p.session.p)
        return operation_for(tx, mem, c);
    TRY(billing_session_get(tx, mem, c->p.session, &s));
    bool complete = s.known && sv_is(s.status, "complete");
    if (!ts_before(c->now, c->p.expires) || (!complete && !c->p.session_url.p)) {
        c->step = STEP_ASK;
        return OK;
    }
    if (complete)
        return FAIL(ERR_CONFLICT, "the payment of this item is being processed");
    if (!same_basis(&c->p, q))
        return expire_old(tx, mem, c);
    c->step = STEP_DONE;
    return OK;
}

static err begin_new(struct db_tx *tx, struct arena *mem, struct checkout *c,
                     const struct entitlement_state *s, const struct quote *q)
{
    bool given = q->price.minor == 0;
    if (!given && !stripe_configured())
        return FAIL(ERR_NOT_CONFIGURED, "payments are not set up on this server");
    if (!given && !user_id_none(&c->caller.member) && !c->has_customer) {
        c->step = STEP_CUSTOMER;
        return OK;
    }
    TRY(purchase_make(tx, mem, c->app, s, c->ask->item, q, ts_add(c->now, SESSION_LIFE), &c->p));
    c->step = STEP_DONE;
    if (given)
        return OK;
    TRY(purchase_expire_put(tx, mem, c->p.id, ts_add(c->p.expires, TS_MINUTE), c->now));
    return operation_for(tx, mem, c);
}

static err decide(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct checkout *c = arg;
    struct entitlement_state s;
    const struct discount_offer *code;
    bool open;
    TRY(lock_all(tx, mem, c));
    TRY(purchase_open_get(tx, mem, &c->caller, c->ask->item->id, &c->p, &open));
    sv except = open ? c->p.id : SV_NULL;
    TRY(entitlement_state_get(tx, mem, c->app, &c->caller, except, c->now, &s));
    TRY(entitlement_code_read(tx, mem, c->ask->code, &c->caller, except, c->ask->item, c->now,
                              "/discountCode", &code));
    struct decision d = entitlement_decide_item(&s, mem, c->app->catalog, c->ask->item, code);
    TRY(refuse_open(&d));
    return open ? go_on(tx, mem, c, &d.quote) : begin_new(tx, mem, c, &s, &d.quote);
}

/* -------- asking Stripe (outside) -------- */

static err reload(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct checkout *c = arg;
    return purchase_get(tx, mem, c->p.id, &c->p);
}

/* Stripe refused to open the session: there is none, and there will be none. */
static err close_refused(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct checkout *c = arg;
    struct operation op;
    TRY(operation_get(tx, mem, c->op.id, &op));
    if (!sv_is(op.status, "failed"))
        return OK;
    TRY(purchase_set_gone(tx, c->p.id));
    return purchase_refresh(tx, mem, c->app, c->p.id, SV_NULL, SV("checkout_refused"), c->now);
}

static err create(struct req *r, struct checkout *c, bool *done)
{
    struct stripe_answer a;
    err e = operation_run(c->app, r->mem, &c->op, STRIPE_PERSON, NULL, NULL, &a);
    if (e != OK) {
        struct err_info why = *err_last();
        TRY(db_write(r->db, r->mem, close_refused, c));
        return why.code == e ? FAIL(e, "%s", why.detail) : e;
    }
    TRY(db_read(r->db, r->mem, reload, c));
    *done = c->p.status != PURCHASE_PENDING || c->p.session_url.p;
    return OK;
}

static err expire(struct req *r, struct checkout *c)
{
    struct stripe_answer a;
    err e = operation_run(c->app, r->mem, &c->op, STRIPE_PERSON, NULL, NULL, &a);
    /* Refused: it has ended otherwise, or is paid. The next round asks. */
    return e == ERR_UPSTREAM_REFUSED || e == ERR_NOT_FOUND ? OK : e;
}

static err ask(struct req *r, struct checkout *c)
{
    err e = billing_session_fulfil(c->app, r->mem, c->p.session, STRIPE_PERSON, NULL);
    return e == ERR_NOT_FOUND ? FAIL(ERR_UPSTREAM, "the open checkout cannot be found at Stripe")
                              : e;
}

err purchase_checkout(struct req *r, const struct checkout_ask *what, struct purchase *out)
{
    struct checkout c = {
        .app = r->app, .ask = what, .caller = caller_of(r), .now = r->now, .customer = SV_NULL};
    bool done = false;
    for (int round = 0; round < ROUNDS; round++) {
        TRY(db_write(r->db, r->mem, decide, &c));
        switch (c.step) {
        case STEP_DONE:
            done = true;
            break;
        case STEP_CUSTOMER:
            TRY(billing_customer_ensure(r, &c.caller.member, &c.customer));
            c.has_customer = true;
            break;
        case STEP_CREATE:
            TRY(create(r, &c, &done));
            break;
        case STEP_EXPIRE:
            TRY(expire(r, &c));
            break;
        case STEP_ASK:
            TRY(ask(r, &c));
            break;
        }
        if (done) {
            *out = c.p;
            return OK;
        }
    }
    return FAIL(ERR_RETRY, "the checkout could not be settled now, try again");
}
