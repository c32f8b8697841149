/* /v1/subscriptions. */
#include "sandbox.h"
#include <stdio.h>
#include <string.h>

static json_t *subscription_find(struct sb_call *c)
{
    json_t *sub = sb_find(c->arg, "subscription");
    return sub ? sub : sb_missing(c, "subscription", c->arg, "id");
}

static json_t *subscription_get(struct sb_call *c)
{
    json_t *sub = subscription_find(c);
    return json_incref(sub);
}

static bool subscription_kept(const json_t *o, const json_t *in)
{
    const char *want = jstr(in, "status"), *status = jstr(o, "status");
    bool ended = !strcmp(status, "canceled") || !strcmp(status, "incomplete_expired");
    if (jhas(in, "customer") && strcmp(jstr(in, "customer"), jstr(o, "customer")))
        return false;
    if (jhas(in, "price") && strcmp(jstr(in, "price"), jpath_str(o, "items.data.0.price.id")))
        return false;
    if (!*want)
        return strcmp(status, "canceled") != 0;
    if (!strcmp(want, "all"))
        return true;
    return !strcmp(want, "ended") ? ended : !strcmp(want, status);
}
static json_t *subscription_list(struct sb_call *c)
{
    return sb_list(c, "subscription", subscription_kept);
}

static bool prices_known(struct sb_call *c, json_t *items)
{
    json_t *x;
    size_t i;
    json_array_foreach(items, i, x)
    {
        char param[48];
        const char *price = jstr(x, "price");
        if (!*price)
            continue;
        snprintf(param, sizeof param, "items[%zu][price]", i);
        json_t *p = sb_find(price, "price");
        if (!p)
            return sb_missing(c, "price", price, param) != NULL;
        if (strcmp(jstr(p, "type"), "recurring"))
            return sb_fail(c, 400, NULL, param,
                           "The price specified is set to `type=one_time` but this field only "
                           "accepts prices with `type=recurring`.") != NULL;
    }
    return true;
}

static json_t *discounts_make(json_t *in, const char *customer)
{
    json_t *given = jarr(in, "discounts"), *out = json_array(), *x;
    size_t i;
    json_array_foreach(given, i, x)
    {
        if (sb_find(jstr(x, "coupon"), "coupon"))
            json_array_append_new(
                out, json_string(jstr(sb_discount_make(jstr(x, "coupon"), customer), "id")));
    }
    return out;
}

static int64_t trial_asked(const json_t *in)
{
    if (jint(in, "trial_period_days") > 0)
        return sb_now() + jint(in, "trial_period_days") * 86400;
    return jint(in, "trial_end");
}

static json_t *subscription_create(struct sb_call *c)
{
    json_t *customer = sb_find(jstr(c->in, "customer"), "customer");
    json_t *items = jarr(c->in, "items");
    const char *pm = jstr(c->in, "default_payment_method");
    if (!customer)
        return sb_missing(c, "customer", jstr(c->in, "customer"), "customer");
    if (!json_array_size(items))
        return sb_fail(c, 400, "parameter_missing", "items", "Missing required param: items.");
    if (!prices_known(c, items))
        return NULL;
    bool card = *pm || *jpath_str(customer, "invoice_settings.default_payment_method");
    if (!card && !trial_asked(c->in) &&
        strcmp(jstr(c->in, "payment_behavior"), "default_incomplete"))
        return sb_fail(c, 400, "resource_missing", NULL,
                       "This customer has no attached payment source or default payment method.");
    json_t *discounts = discounts_make(c->in, jstr(customer, "id"));
    struct sb_subscribe s = {
        .customer = jstr(customer, "id"),
        .pm = pm,
        .items = items,
        .metadata = jobj(c->in, "metadata"),
        .discounts = discounts,
        .trial_end = trial_asked(c->in),
    };
    json_t *sub = sb_subscription_make(&s);
    json_decref(discounts);
    return json_incref(sub);
}

/* ---- price and quantity */

static int64_t share(int64_t amount, const json_t *item)
{
    int64_t start = jint(item, "current_period_start"), end = jint(item, "current_period_end");
    int64_t left = end - sb_now();
    if (left <= 0 || end <= start)
        return 0;
    return (amount * left + (end - start) / 2) / (end - start);
}

static int64_t item_amount(const json_t *item)
{
    return jint(jobj(item, "price"), "unit_amount") * jint(item, "quantity");
}

static void proration_line(json_t *sub, json_t *item, json_t *pending, int64_t amount,
                           const char *what)
{
    json_t *holder = json_pack("{s:s, s:s, s:{s:[]}}", "id", "", "currency", jstr(sub, "currency"),
                               "lines", "data");
    char text[160];
    json_t *product = sb_get_deleted(jpath_str(item, "price.product"));
    snprintf(text, sizeof text, "%s %.100s", what, jstr(product, "name"));
    json_array_append(pending, sb_invoice_line(holder, sub, item, amount, sb_now(),
                                               jint(item, "current_period_end"), true, text));
    json_decref(holder);
}

static bool same_interval(const json_t *a, const json_t *b)
{
    return !strcmp(jpath_str(a, "recurring.interval"), jpath_str(b, "recurring.interval")) &&
           jint(jobj(a, "recurring"), "interval_count") ==
               jint(jobj(b, "recurring"), "interval_count");
}

/* One items[] entry. Lines of money owed either way go to `pending`. True if the cycle starts anew.
 */
static bool item_change(json_t *sub, json_t *x, json_t *pending, bool prorate)
{
    json_t *item = NULL, *it, *price = sb_find(jstr(x, "price"), "price");
    size_t i;
    json_array_foreach(jpath(sub, "items.data"), i, it)
    {
        if (!strcmp(jstr(it, "id"), jstr(x, "id")))
            item = it;
    }
    if (!item) {
        item = sb_item_make(sub, price, jhas(x, "quantity") ? jint(x, "quantity") : 1);
        if (prorate)
            proration_line(sub, item, pending, share(item_amount(item), item), "Remaining time on");
        return false;
    }
    if (jbool(x, "deleted")) {
        if (prorate)
            proration_line(sub, item, pending, -share(item_amount(item), item), "Unused time on");
        json_array_foreach(jpath(sub, "items.data"), i, it)
        {
            if (it == item)
                json_array_remove(jpath(sub, "items.data"), i--);
        }
        return false;
    }
    price = price ? price : sb_get(jpath_str(item, "price.id"));
    bool anew = !same_interval(jobj(item, "price"), price);
    if (prorate)
        proration_line(sub, item, pending, -share(item_amount(item), item), "Unused time on");
    sb_item_price(item, price, jhas(x, "quantity") ? jint(x, "quantity") : jint(item, "quantity"));
    if (prorate && !anew)
        proration_line(sub, item, pending, share(item_amount(item), item), "Remaining time on");
    return anew;
}

static bool items_valid(struct sb_call *c, json_t *sub, json_t *items)
{
    json_t *x, *it;
    size_t i, k;
    if (!prices_known(c, items))
        return false;
    json_array_foreach(items, i, x)
    {
        char param[48];
        bool found = false;
        snprintf(param, sizeof param, "items[%zu][id]", i);
        json_array_foreach(jpath(sub, "items.data"), k, it)
        {
            found = found || !strcmp(jstr(it, "id"), jstr(x, "id"));
        }
        if (*jstr(x, "id") && !found)
            return sb_missing(c, "subscription item", jstr(x, "id"), param) != NULL;
        if (!*jstr(x, "id") && !*jstr(x, "price"))
            return sb_fail(c, 400, "parameter_missing", param, "Missing required param: %s.",
                           param) != NULL;
    }
    return true;
}

struct change {
    json_t *pending;
    bool anew, invoice_now;
};

static void items_change(struct sb_call *c, json_t *sub, struct change *ch)
{
    const char *how = jstr(c->in, "proration_behavior");
    bool prorate = strcmp(how, "none") && strcmp(jstr(sub, "status"), "trialing");
    json_t *x;
    size_t i;
    ch->pending = json_array();
    ch->invoice_now = !strcmp(how, "always_invoice");
    json_array_foreach(jarr(c->in, "items"), i, x)
    {
        ch->anew = item_change(sub, x, ch->pending, prorate) || ch->anew;
    }
}

static void update_invoice(json_t *sub)
{
    json_t *invoice = sb_invoice_make(sub, "subscription_update");
    json_t *line, *pending = jarr(sub, "_pending");
    size_t i;
    json_array_foreach(pending, i, line)
    {
        jset_str(line, "invoice", jstr(invoice, "id"));
        json_array_append(jpath(invoice, "lines.data"), line);
    }
    json_object_del(sub, "_pending");
    sb_invoice_finish(invoice, sub);
    sb_invoice_finalize(invoice);
    sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, false));
}

/* ---- update */

static bool update_valid(struct sb_call *c, json_t *sub)
{
    json_t *in = c->in, *key;
    const char *name;
    bool ended = !strcmp(jstr(sub, "status"), "canceled") ||
                 !strcmp(jstr(sub, "status"), "incomplete_expired");
    json_object_foreach(in, name, key)
    {
        if (ended && strcmp(name, "metadata") && strcmp(name, "cancellation_details") &&
            strcmp(name, "expand"))
            return sb_fail(c, 400, NULL, NULL,
                           "A canceled subscription can only update its cancellation_details and "
                           "metadata.") != NULL;
    }
    if (json_object_get(in, "cancel_at") && json_object_get(in, "cancel_at_period_end"))
        return sb_fail(c, 400, NULL, "cancel_at",
                       "You may only pass one of `cancel_at` or `cancel_at_period_end`.") != NULL;
    if (jint(in, "cancel_at") && jint(in, "cancel_at") <= sb_now())
        return sb_fail(c, 400, NULL, "cancel_at", "cancel_at must be in the future.") != NULL;
    if (jint(in, "trial_end") && jint(in, "trial_end") <= sb_now())
        return sb_fail(c, 400, NULL, "trial_end", "trial_end must be in the future.") != NULL;
    const char *pm = jstr(in, "default_payment_method");
    if (*pm && !sb_find(pm, "payment_method"))
        return sb_missing(c, "PaymentMethod", pm, "default_payment_method") != NULL;
    return items_valid(c, sub, jarr(in, "items"));
}

static void update_cancel(json_t *sub, json_t *in)
{
    json_t *at = json_object_get(in, "cancel_at");
    if (json_object_get(in, "cancel_at_period_end"))
        sb_subscription_set_cancel(sub, jbool(in, "cancel_at_period_end"), 0);
    if (json_is_integer(at))
        sb_subscription_set_cancel(sub, false, json_integer_value(at));
    else if (json_is_string(at))
        sb_subscription_set_cancel(sub, false, *json_string_value(at) ? sb_period_end(sub) : 0);
    json_t *details = jobj(in, "cancellation_details"), *to = jobj(sub, "cancellation_details");
    if (details && to) {
        jcopy(to, details, "comment");
        jcopy(to, details, "feedback");
    }
}

static void update_pause(json_t *sub, json_t *in)
{
    json_t *pause = jobj(in, "pause_collection");
    jcopy(sub, in, "pause_collection");
    if (!pause)
        return;
    json_t *now = jobj(sub, "pause_collection");
    if (!jhas(now, "resumes_at"))
        jset_null(now, "resumes_at");
    else
        sb_due(jint(now, "resumes_at"), SB_DUE_RESUME, jstr(sub, "id"));
}

static bool update_trial(json_t *sub, json_t *in)
{
    json_t *end = json_object_get(in, "trial_end");
    if (json_is_integer(end)) {
        sb_subscription_trial(sub, json_integer_value(end));
        return false;
    }
    if (!end || strcmp(jstr(sub, "status"), "trialing"))
        return false;
    jset_int(sub, "trial_end", sb_now());
    return true;
}

static json_t *subscription_update(struct sb_call *c)
{
    json_t *sub = subscription_find(c);
    struct change ch = {0};
    if (!sub || !update_valid(c, sub))
        return NULL;
    json_t *before = json_deep_copy(sub);
    update_cancel(sub, c->in);
    update_pause(sub, c->in);
    jcopy(sub, c->in, "default_payment_method");
    jcopy(sub, c->in, "description");
    sb_metadata_merge(sub, json_object_get(c->in, "metadata"));
    if (json_object_get(c->in, "discounts"))
        jset(sub, "discounts", discounts_make(c->in, jstr(sub, "customer")));
    items_change(c, sub, &ch);
    bool ended_trial = update_trial(sub, c->in);
    bool anew =
        ch.anew || ended_trial || !strcmp(jpath_str(c->in, "billing_cycle_anchor.type"), "now");
    if (json_array_size(ch.pending)) {
        if (!jarr(sub, "_pending"))
            jset(sub, "_pending", json_array());
        json_array_extend(jarr(sub, "_pending"), ch.pending);
    }
    json_decref(ch.pending);
    if (!json_equal(sub, before))
        sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
    if (anew) {
        sb_subscription_anchor(sub, sb_now());
        sb_subscription_renew(sub, ended_trial ? "subscription_cycle" : "subscription_update");
    } else if (ch.invoice_now && jarr(sub, "_pending")) {
        update_invoice(sub);
    }
    return json_incref(sub);
}

static json_t *subscription_delete(struct sb_call *c)
{
    json_t *sub = subscription_find(c);
    if (!sub)
        return NULL;
    if (!strcmp(jstr(sub, "status"), "canceled"))
        return sb_missing(c, "subscription", c->arg, "id");
    sb_subscription_cancel(sub, "cancellation_requested");
    return json_incref(sub);
}

static json_t *subscription_pause(struct sb_call *c)
{
    json_t *sub = subscription_find(c);
    if (!sub)
        return NULL;
    if (strcmp(jstr(sub, "status"), "active") && strcmp(jstr(sub, "status"), "trialing"))
        return sb_fail(c, 400, NULL, NULL, "This subscription cannot be paused.");
    sb_subscription_pause(sub, true);
    return json_incref(sub);
}

static json_t *subscription_resume(struct sb_call *c)
{
    json_t *sub = subscription_find(c);
    if (!sub)
        return NULL;
    if (strcmp(jstr(sub, "status"), "paused"))
        return sb_fail(c, 400, NULL, NULL, "This subscription is not paused.");
    sb_subscription_pause(sub, false);
    return json_incref(sub);
}

const struct sb_route sb_subscription_routes[] = {
    {"GET", "/v1/subscriptions", subscription_list},
    {"POST", "/v1/subscriptions", subscription_create},
    {"GET", "/v1/subscriptions/{}", subscription_get},
    {"POST", "/v1/subscriptions/{}", subscription_update},
    {"DELETE", "/v1/subscriptions/{}", subscription_delete},
    {"POST", "/v1/subscriptions/{}/pause", subscription_pause},
    {"POST", "/v1/subscriptions/{}/resume", subscription_resume},
    {NULL, NULL, NULL},
};
