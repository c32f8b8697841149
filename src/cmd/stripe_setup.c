#include "cmd/stripe_setup.h"

#include "base/crypto.h"
#include "ext/stripe.h"
#include "http/client.h"

#include <stdlib.h>

#define PAGES_MAX 10

/* The events that are handled; exactly these are asked for. stripe/CONTRACT §5. */
static const char *const events[] = {
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "charge.refunded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.created",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "customer.updated",
    "invoice.created",
    "invoice.finalization_failed",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.upcoming",
    "invoice.updated",
    "invoice.voided",
    "invoice_payment.paid",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
};
#define NEVENTS (sizeof events / sizeof *events)

const char *setup_action_name(enum setup_action a)
{
    static const char *const names[] = {"same", "create", "update", "skip"};
    return names[a];
}

sv setup_webhook_url(const struct setup *s)
{
    return arena_printf(s->mem, "%.*s/api/webhooks/stripe", SV_ARG(s->set->base_url));
}

static err get(struct setup *s, const char *path, const struct buf *query, const json **body)
{
    struct stripe_answer a;
    sv q = query != NULL ? buf_sv(query) : SV_NULL;
    TRY(stripe_get(s->mem, sv_from(path), q, STRIPE_JOB, &a));
    s->date = a.date;
    *body = a.body;
    return OK;
}

/* A fresh key each time: what is made here is found by its own mark, not by a key. */
static err post(struct setup *s, sv path, const struct buf *form, const json **body)
{
    struct stripe_answer a;
    err e = stripe_post(s->mem, path, form, crypto_token(s->mem, "setup_"), STRIPE_JOB, &a);
    if (e == ERR_UPSTREAM_REFUSED && a.error_message.p != NULL)
        return FAIL(e, "Stripe refused %.*s: %.*s", SV_ARG(path), SV_ARG(a.error_message));
    TRY(e);
    if (body != NULL)
        *body = a.body;
    return OK;
}

/* Is there an object of this fixed id? *found = NULL if not. */
static err get_one(struct setup *s, sv path, const json **found)
{
    err e = get(s, arena_cstr(s->mem, path), NULL, found);
    if (e != ERR_NOT_FOUND)
        return e;
    *found = NULL;
    return OK;
}

/* Walks a list until `fits` likes an object. */
static err find(struct setup *s, const char *path, bool (*fits)(struct setup *, const json *),
                const json **found)
{
    sv after = SV_NULL;
    *found = NULL;
    for (int page = 0; page < PAGES_MAX; page++) {
        BUF_AUTO query = {0};
        const json *body;
        form_add(&query, "limit", SV("100"));
        if (after.p != NULL)
            form_add(&query, "starting_after", after);
        TRY(get(s, path, &query, &body));
        for (struct json_iter it = json_iter(json_get(body, "data")); json_next(&it);) {
            after = json_get_str(it.value, "id");
            if (fits(s, it.value)) {
                *found = it.value;
                return OK;
            }
        }
        if (!json_get_bool(body, "has_more", false))
            return OK;
    }
    return OK;
}

static void is(struct setup_item *item, enum setup_action action, sv what)
{
    item->action = action;
    item->what = what;
}

/* -------- product -------- */
static err look_product(struct setup *s, struct setup_item *item)
{
    const struct catalog *c = s->catalog;
    const json *p;
    TRY(get_one(s, arena_printf(s->mem, "/v1/products/%.*s", SV_ARG(c->plan_product_id)), &p));
    if (p == NULL) {
        is(item, SETUP_CREATE,
           arena_printf(s->mem, "create the product %.*s (%.*s)", SV_ARG(c->plan_product_id),
                        SV_ARG(c->plan_name)));
        return OK;
    }
    item->id = json_get_str(p, "id");
    bool same = sv_eq(json_get_str(p, "name"), c->plan_name) && json_get_bool(p, "active", true);
    is(item, same ? SETUP_SAME : SETUP_UPDATE,
       arena_printf(s->mem,
                    same ? "the product %.*s is there" : "name and activate the product %.*s",
                    SV_ARG(c->plan_product_id)));
    return OK;
}

static err make_product(struct setup *s, struct setup_item *item)
{
    BUF_AUTO form = {0};
    const struct catalog *c = s->catalog;
    form_add(&form, "name", c->plan_name);
    form_add(&form, "active", SV("true"));
    if (item->action == SETUP_UPDATE)
        return post(s, arena_printf(s->mem, "/v1/products/%.*s", SV_ARG(item->id)), &form, NULL);
    form_add(&form, "id", c->plan_product_id);
    return post(s, SV("/v1/products"), &form, NULL);
}

/* -------- price -------- */
static bool is_plan_price(const struct catalog *c, const json *p)
{
    return json_get_int(p, "unit_amount", -1) == c->plan_price.minor &&
           sv_eq(json_get_str(p, "currency"), currency_sv(&c->plan_currency)) &&
           sv_is(json_get_str(json_get(p, "recurring"), "interval"), "month") &&
           json_get_int(json_get(p, "recurring"), "interval_count", 1) == 1;
}

static err look_price(struct setup *s, struct setup_item *item)
{
    const struct catalog *c = s->catalog;
    const json *body;
    BUF_AUTO query = {0};
    form_add(&query, "lookup_keys[0]", c->plan_lookup_key);
    form_add(&query, "active", SV("true"));
    TRY(get(s, "/v1/prices", &query, &body));
    const json *p = json_path(body, "data.0");
    sv amount = money_text(s->mem, c->plan_price, c->plan_currency);
    if (p != NULL)
        item->id = json_get_str(p, "id");
    if (p == NULL)
        is(item, SETUP_CREATE,
           arena_printf(s->mem, "create the price %.*s: %.*s a month", SV_ARG(c->plan_lookup_key),
                        SV_ARG(amount)));
    else if (is_plan_price(c, p))
        is(item, SETUP_SAME,
           arena_printf(s->mem, "the price %.*s is %.*s a month", SV_ARG(c->plan_lookup_key),
                        SV_ARG(amount)));
    else
        is(item, SETUP_UPDATE,
           arena_printf(s->mem,
                        "replace the price %.*s by %.*s a month (who pays the old one keeps it)",
                        SV_ARG(c->plan_lookup_key), SV_ARG(amount)));
    return OK;
}

/* An amount cannot be edited: the new price takes the lookup key over, the old one is retired. */
static err make_price(struct setup *s, struct setup_item *item)
{
    const struct catalog *c = s->catalog;
    BUF_AUTO form = {0}, off = {0};
    form_add(&form, "product", c->plan_product_id);
    form_add(&form, "currency", currency_sv(&c->plan_currency));
    form_add_int(&form, "unit_amount", c->plan_price.minor);
    form_add(&form, "recurring[interval]", SV("month"));
    form_add(&form, "lookup_key", c->plan_lookup_key);
    if (item->action == SETUP_UPDATE)
        form_add(&form, "transfer_lookup_key", SV("true"));
    TRY(post(s, SV("/v1/prices"), &form, NULL));
    if (item->action != SETUP_UPDATE)
        return OK;
    form_add(&off, "active", SV("false"));
    return post(s, arena_printf(s->mem, "/v1/prices/%.*s", SV_ARG(item->id)), &off, NULL);
}

/* -------- coupons -------- */
static err look_coupon(struct setup *s, struct setup_item *item, enum item_kind kind)
{
    const json *found;
    int percent = s->catalog->allowance[kind].discount_percent;
    sv id = arena_printf(s->mem, "mybeing_%s_%d", item_kind_name(kind), percent);
    item->extra = id;
    if (percent == 0) {
        is(item, SETUP_SKIP, arena_printf(s->mem, "no discount on a %s", item_kind_name(kind)));
        return OK;
    }
    TRY(get_one(s, arena_printf(s->mem, "/v1/coupons/%.*s", SV_ARG(id)), &found));
    is(item, found != NULL ? SETUP_SAME : SETUP_CREATE,
       arena_printf(s->mem, found != NULL ? "the coupon %.*s is there" : "create the coupon %.*s",
                    SV_ARG(id)));
    return OK;
}

static err make_coupon(struct setup *s, struct setup_item *item, enum item_kind kind)
{
    BUF_AUTO form = {0};
    int percent = s->catalog->allowance[kind].discount_percent;
    form_add(&form, "id", item->extra);
    form_add_int(&form, "percent_off", percent);
    form_add(&form, "duration", SV("once"));
    form_add(&form, "name", arena_printf(s->mem, "%d %% off a %s", percent, item_kind_name(kind)));
    return post(s, SV("/v1/coupons"), &form, NULL);
}

static err look_coupon_quiz(struct setup *s, struct setup_item *item)
{
    return look_coupon(s, item, ITEM_QUIZ);
}

static err look_coupon_article(struct setup *s, struct setup_item *item)
{
    return look_coupon(s, item, ITEM_ARTICLE);
}

static err make_coupon_quiz(struct setup *s, struct setup_item *item)
{
    return make_coupon(s, item, ITEM_QUIZ);
}

static err make_coupon_article(struct setup *s, struct setup_item *item)
{
    return make_coupon(s, item, ITEM_ARTICLE);
}

/* -------- webhook endpoint -------- */
static bool is_our_endpoint(struct setup *s, const json *e)
{
    return sv_eq(json_get_str(e, "url"), setup_webhook_url(s));
}

static bool listens_to(const json *endpoint, const char *event)
{
    for (struct json_iter it = json_iter(json_get(endpoint, "enabled_events")); json_next(&it);)
        if (sv_is(json_str(it.value), event) || sv_is(json_str(it.value), "*"))
            return true;
    return false;
}

static bool listens_to_all(const json *endpoint)
{
    for (size_t i = 0; i < NEVENTS; i++)
        if (!listens_to(endpoint, events[i]))
            return false;
    return json_len(json_get(endpoint, "enabled_events")) == NEVENTS;
}

static err look_webhook(struct setup *s, struct setup_item *item)
{
    const json *e;
    sv url = setup_webhook_url(s);
    if (s->no_webhook) {
        is(item, SETUP_SKIP, SV("no webhook endpoint, as asked"));
        return OK;
    }
    if (!sv_starts(url, SV("https://")) && !url_is_loopback(s->set->stripe_api_base)) {
        is(item, SETUP_SKIP,
           arena_printf(s->mem,
                        "no webhook endpoint: BASE_URL is not https, Stripe cannot reach it "
                        "(`stripe listen --forward-to %.*s`)",
                        SV_ARG(url)));
        return OK;
    }
    TRY(find(s, "/v1/webhook_endpoints", is_our_endpoint, &e));
    if (e == NULL) {
        is(item, SETUP_CREATE,
           arena_printf(s->mem, "create the webhook endpoint %.*s", SV_ARG(url)));
        return OK;
    }
    item->id = json_get_str(e, "id");
    bool same = listens_to_all(e) && !sv_is(json_get_str(e, "status"), "disabled");
    is(item, same ? SETUP_SAME : SETUP_UPDATE,
       arena_printf(s->mem,
                    same ? "the webhook endpoint %.*s is there"
                         : "enable the webhook endpoint %.*s with the events that are handled",
                    SV_ARG(url)));
    return OK;
}

static err make_webhook(struct setup *s, struct setup_item *item)
{
    BUF_AUTO form = {0};
    const json *body = NULL;
    for (size_t i = 0; i < NEVENTS; i++)
        form_add(&form, arena_printf(s->mem, "enabled_events[%zu]", i).p, sv_from(events[i]));
    if (item->action == SETUP_UPDATE) {
        form_add(&form, "disabled", SV("false"));
        return post(s, arena_printf(s->mem, "/v1/webhook_endpoints/%.*s", SV_ARG(item->id)), &form,
                    NULL);
    }
    form_add(&form, "url", setup_webhook_url(s));
    form_add(&form, "api_version", stripe_version());
    form_add(&form, "description", SV("MyBeing"));
    TRY(post(s, SV("/v1/webhook_endpoints"), &form, &body));
    s->webhook_secret = json_get_str(body, "secret");
    return OK;
}

/* -------- portal -------- */
static bool is_our_portal(struct setup *s, const json *c)
{
    (void)s;
    return sv_is(json_get_str(json_get(c, "metadata"), "app"), "mybeing");
}

static bool portal_is_right(const json *c)
{
    const json *f = json_get(c, "features");
    const json *cancel = json_get(f, "subscription_cancel");
    return json_get_bool(c, "active", true) &&
           json_get_bool(json_get(f, "invoice_history"), "enabled", false) &&
           json_get_bool(json_get(f, "payment_method_update"), "enabled", false) &&
           json_get_bool(json_get(f, "customer_update"), "enabled", false) &&
           json_get_bool(cancel, "enabled", false) &&
           sv_is(json_get_str(cancel, "mode"), "at_period_end");
}

static err look_portal(struct setup *s, struct setup_item *item)
{
    const json *c;
    TRY(find(s, "/v1/billing_portal/configurations", is_our_portal, &c));
    if (c == NULL) {
        is(item, SETUP_CREATE, SV("create the portal configuration"));
        return OK;
    }
    item->id = json_get_str(c, "id");
    if (portal_is_right(c))
        is(item, SETUP_SAME, SV("the portal configuration is there"));
    else
        is(item, SETUP_UPDATE, SV("mend the portal configuration"));
    return OK;
}

static err make_portal(struct setup *s, struct setup_item *item)
{
    BUF_AUTO form = {0};
    form_add(&form, "features[invoice_history][enabled]", SV("true"));
    form_add(&form, "features[payment_method_update][enabled]", SV("true"));
    form_add(&form, "features[customer_update][enabled]", SV("true"));
    form_add(&form, "features[customer_update][allowed_updates][0]", SV("address"));
    form_add(&form, "features[customer_update][allowed_updates][1]", SV("tax_id"));
    form_add(&form, "features[subscription_cancel][enabled]", SV("true"));
    form_add(&form, "features[subscription_cancel][mode]", SV("at_period_end"));
    form_add(&form, "default_return_url", s->set->base_url);
    form_add(&form, "metadata[app]", SV("mybeing"));
    if (item->action == SETUP_CREATE)
        return post(s, SV("/v1/billing_portal/configurations"), &form, NULL);
    form_add(&form, "active", SV("true"));
    return post(s, arena_printf(s->mem, "/v1/billing_portal/configurations/%.*s", SV_ARG(item->id)),
                &form, NULL);
}

static const struct {
    const char *name;
    err (*look)(struct setup *, struct setup_item *);
    err (*make)(struct setup *, struct setup_item *);
} kinds[SETUP_ITEMS] = {
    {"product", look_product, make_product},
    {"price", look_price, make_price},
    {"quiz coupon", look_coupon_quiz, make_coupon_quiz},
    {"article coupon", look_coupon_article, make_coupon_article},
    {"webhook", look_webhook, make_webhook},
    {"portal", look_portal, make_portal},
};

err setup_look(struct setup *s, struct setup_item items[SETUP_ITEMS])
{
    for (size_t i = 0; i < SETUP_ITEMS; i++) {
        items[i] = (struct setup_item){.name = kinds[i].name};
        TRY(kinds[i].look(s, &items[i]));
    }
    return OK;
}

err setup_make(struct setup *s, size_t i, struct setup_item *item)
{
    if (item->action != SETUP_CREATE && item->action != SETUP_UPDATE)
        return OK;
    return kinds[i].make(s, item);
}
