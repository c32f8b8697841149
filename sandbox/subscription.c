/* The life of a subscription: first invoice, renewals, dunning, trials, pauses, the end. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY INT64_C(86400)

int64_t sb_period_start(const json_t *sub)
{
    int64_t min = 0;
    json_t *item;
    size_t i;
    json_array_foreach(jpath(sub, "items.data"), i, item)
    {
        int64_t t = jint(item, "current_period_start");
        min = !min || t < min ? t : min;
    }
    return min;
}

int64_t sb_period_end(const json_t *sub)
{
    int64_t max = 0;
    json_t *item;
    size_t i;
    json_array_foreach(jpath(sub, "items.data"), i, item)
    {
        int64_t t = jint(item, "current_period_end");
        max = t > max ? t : max;
    }
    return max;
}

static bool status_is(const json_t *sub, const char *status)
{
    return !strcmp(jstr(sub, "status"), status);
}

static bool over(const json_t *sub)
{
    return status_is(sub, "canceled") || status_is(sub, "incomplete_expired");
}

static void set_period(json_t *sub, int64_t start, int64_t end)
{
    json_t *item;
    size_t i;
    json_array_foreach(jpath(sub, "items.data"), i, item)
    {
        jset_int(item, "current_period_start", start);
        jset_int(item, "current_period_end", end);
    }
    sb_due(end, SB_DUE_PERIOD, jstr(sub, "id"));
    if (end - 7 * DAY > sb_now())
        sb_due(end - 7 * DAY, SB_DUE_UPCOMING, jstr(sub, "id"));
    if (jbool(sub, "cancel_at_period_end"))
        jset_int(sub, "cancel_at", end);
}

void sb_subscription_anchor(json_t *sub, int64_t anchor)
{
    jset_int(sub, "billing_cycle_anchor", anchor);
    jset_int(sub, "_n", -1); /* the next period is the first of this anchor */
}

void sb_subscription_trial(json_t *sub, int64_t end)
{
    jset_str(sub, "status", "trialing");
    jset_int(sub, "trial_end", end);
    if (!jhas(sub, "trial_start"))
        jset_int(sub, "trial_start", sb_now());
    sb_subscription_anchor(sub, end);
    set_period(sub, sb_now(), end);
    sb_due(end - 3 * DAY > sb_now() ? end - 3 * DAY : sb_now(), SB_DUE_TRIAL_NOTICE,
           jstr(sub, "id"));
}

static void next_period(json_t *sub)
{
    json_t *recurring = jpath(sub, "items.data.0.price.recurring");
    int64_t anchor = jint(sub, "billing_cycle_anchor"), n = jint(sub, "_n") + 1;
    jset_int(sub, "_n", n);
    set_period(sub, sb_interval(anchor, recurring, (int)n),
               sb_interval(anchor, recurring, (int)n + 1));
}

static json_t *plan_of(const json_t *price)
{
    json_t *plan = sb_template("plan");
    jset_str(plan, "id", jstr(price, "id"));
    jset_bool(plan, "active", jbool(price, "active"));
    jset_int(plan, "amount", jint(price, "unit_amount"));
    jset_str(plan, "amount_decimal", jstr(price, "unit_amount_decimal"));
    jset_str(plan, "billing_scheme", "per_unit");
    jcopy(plan, price, "created");
    jcopy(plan, price, "currency");
    jcopy(plan, price, "product");
    jset_str(plan, "interval", jpath_str(price, "recurring.interval"));
    jset_int(plan, "interval_count", jint(jobj(price, "recurring"), "interval_count"));
    jset(plan, "metadata", json_object());
    jset_str(plan, "usage_type", "licensed");
    return plan;
}

void sb_item_price(json_t *item, const json_t *price, int64_t quantity)
{
    jset(item, "price", sb_view(price, false));
    jset(item, "plan", plan_of(price));
    jset_int(item, "quantity", quantity);
}

json_t *sb_item_make(json_t *sub, const json_t *price, int64_t quantity)
{
    json_t *item = sb_template("subscription_item"), *first = jpath(sub, "items.data.0");
    char id[80];
    sb_id("si_", id);
    jset_str(item, "id", id);
    jset_int(item, "created", sb_now());
    jset_str(item, "subscription", jstr(sub, "id"));
    jset(item, "tax_rates", json_array());
    sb_item_price(item, price, quantity);
    if (first) {
        jset_int(item, "current_period_start", jint(first, "current_period_start"));
        jset_int(item, "current_period_end", jint(first, "current_period_end"));
    }
    json_array_append_new(jpath(sub, "items.data"), item);
    return item;
}

static json_t *subscription_new(const struct sb_subscribe *s)
{
    json_t *sub = sb_new("subscription", "sub_1", NULL), *x;
    size_t i;
    char url[160];
    snprintf(url, sizeof url, "/v1/subscription_items?subscription=%s", jstr(sub, "id"));
    jset(sub, "items", jlist(url));
    jset_str(sub, "customer", s->customer);
    jset_str(sub, "default_payment_method", s->pm && *s->pm ? s->pm : NULL);
    jset_str(jpath(sub, "invoice_settings.issuer"), "type", "self");
    jset_int(sub, "start_date", sb_now());
    jset(sub, "discounts", s->discounts ? json_deep_copy(s->discounts) : json_array());
    sb_metadata_merge(sub, s->metadata);
    json_array_foreach(s->items, i, x)
    {
        json_t *price = sb_get(jstr(x, "price"));
        sb_item_make(sub, price, jhas(x, "quantity") ? jint(x, "quantity") : 1);
        jset_str(sub, "currency", jstr(price, "currency"));
    }
    if (s->trial_missing)
        jset(sub, "trial_settings",
             json_pack("{s:{s:s}}", "end_behavior", "missing_payment_method", s->trial_missing));
    json_array_foreach(jarr(sub, "discounts"), i, x)
    {
        jset_str(sb_get(json_string_value(x)), "subscription", jstr(sub, "id"));
    }
    return sub;
}

static void incomplete_expires(json_t *sub)
{
    json_t *invoice = sb_get(jstr(sub, "latest_invoice")), *before = json_deep_copy(sub);
    jset_str(sub, "status", "incomplete_expired");
    jset_int(sub, "ended_at", sb_now());
    if (invoice && !strcmp(jstr(invoice, "status"), "open"))
        sb_invoice_close(invoice, "void");
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

json_t *sb_subscription_make(const struct sb_subscribe *s)
{
    json_t *sub = subscription_new(s);
    if (s->trial_end) {
        sb_subscription_trial(sub, s->trial_end);
        jset_bool(sub, "_trial_line", true);
    } else {
        jset_str(sub, "status", "incomplete");
        sb_subscription_anchor(sub, sb_now());
        next_period(sub);
    }
    sb_event("customer.subscription.created", sub);
    json_t *invoice = sb_invoice_make(sub, "subscription_create");
    sb_invoice_lines(invoice, sub);
    json_object_del(sub, "_trial_line");
    sb_invoice_finish(invoice, sub);
    sb_invoice_finalize(invoice);
    sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, true));
    if (status_is(sub, "incomplete"))
        sb_due(sb_now() + 23 * 3600, SB_DUE_INCOMPLETE, jstr(sub, "id"));
    return sub;
}

static void set_status(json_t *sub, const char *status)
{
    json_t *before = json_deep_copy(sub), *customer = sb_get(jstr(sub, "customer"));
    jset_str(sub, "status", status);
    if (customer)
        jset_bool(customer, "delinquent", !strcmp(status, "past_due") || !strcmp(status, "unpaid"));
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

void sb_subscription_cancel(json_t *sub, const char *reason)
{
    json_t *invoice;
    size_t i;
    jset_str(sub, "status", "canceled");
    jset_int(sub, "ended_at", sb_now());
    if (!jhas(sub, "canceled_at"))
        jset_int(sub, "canceled_at", sb_now());
    if (!jobj(sub, "cancellation_details"))
        jset(sub, "cancellation_details",
             json_pack("{s:n, s:n, s:n, s:n}", "comment", "feedback", "feedback_option", "reason"));
    jset_str(jobj(sub, "cancellation_details"), "reason", reason);
    json_array_foreach(sb_all("invoice"), i, invoice)
    {
        if (strcmp(jstr(invoice, "_sub"), jstr(sub, "id")) ||
            strcmp(jstr(invoice, "status"), "open"))
            continue;
        jset_bool(invoice, "auto_advance", false);
        jset_null(invoice, "next_payment_attempt");
    }
    sb_event("customer.subscription.deleted", sub);
}

void sb_subscription_set_cancel(json_t *sub, bool at_period_end, int64_t cancel_at)
{
    bool ends = at_period_end || cancel_at;
    int64_t at = at_period_end ? sb_period_end(sub) : cancel_at;
    jset_bool(sub, "cancel_at_period_end", at_period_end);
    jset(sub, "cancel_at", ends ? json_integer(at) : json_null());
    jset(sub, "canceled_at", ends ? json_integer(sb_now()) : json_null());
    jset(sub, "cancellation_details",
         json_pack("{s:n, s:n, s:n, s:s?}", "comment", "feedback", "feedback_option", "reason",
                   ends ? "cancellation_requested" : NULL));
    if (cancel_at && !at_period_end)
        sb_due(cancel_at, SB_DUE_CANCEL, jstr(sub, "id"));
}

/* What a payment's outcome means for the subscription. */
void sb_subscription_settle(json_t *sub, json_t *invoice, enum sb_attempt result)
{
    bool latest = !strcmp(jstr(sub, "latest_invoice"), jstr(invoice, "id"));
    if (over(sub) || status_is(sub, "paused"))
        return;
    if (result == SB_PAID) {
        if (latest && !status_is(sub, "active") && !status_is(sub, "trialing"))
            set_status(sub, "active");
        return;
    }
    if (status_is(sub, "active") || status_is(sub, "trialing"))
        set_status(sub, "past_due");
    bool exhausted = !jhas(invoice, "next_payment_attempt") && jint(invoice, "attempt_count") > 3;
    if (!exhausted || !status_is(sub, "past_due"))
        return;
    if (!strcmp(sb_config.dunning_end, "canceled"))
        sb_subscription_cancel(sub, "payment_failed");
    else if (!strcmp(sb_config.dunning_end, "unpaid"))
        set_status(sub, "unpaid");
}

static void cycle_invoice(json_t *sub, int64_t start, int64_t end, const char *reason)
{
    json_t *invoice = sb_invoice_make(sub, reason);
    const char *pause = jpath_str(sub, "pause_collection.behavior");
    jset_int(invoice, "period_start", start);
    jset_int(invoice, "period_end", end);
    sb_invoice_lines(invoice, sub);
    if (*pause || status_is(sub, "unpaid"))
        jset_bool(invoice, "auto_advance", false);
    sb_invoice_finish(invoice, sub);
    if (!strcmp(pause, "keep_as_draft") || status_is(sub, "unpaid"))
        return;
    if (*pause) {
        sb_invoice_close(invoice, !strcmp(pause, "void") ? "void" : "uncollectible");
        return;
    }
    sb_invoice_finalize(invoice);
    sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, false));
}

void sb_subscription_renew(json_t *sub, const char *reason)
{
    json_t *before = json_deep_copy(sub);
    int64_t start = sb_period_start(sub), end = sb_period_end(sub);
    next_period(sub);
    if (status_is(sub, "trialing"))
        jset_str(sub, "status", "active");
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
    cycle_invoice(sub, start, end < sb_now() ? end : sb_now(), reason);
}

void sb_subscription_pause(json_t *sub, bool paused)
{
    json_t *before = json_deep_copy(sub);
    jset_str(sub, "status", paused ? "paused" : "active");
    sb_event(paused ? "customer.subscription.paused" : "customer.subscription.resumed", sub);
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
    if (paused)
        return;
    if (sb_period_end(sub) <= sb_now()) {
        sb_subscription_anchor(sub, sb_now());
        sb_subscription_renew(sub, "subscription_cycle");
    }
}

/* A trial that ends without a card: true if that decided what becomes of it. */
static bool trial_without_card(json_t *sub)
{
    json_t *customer = sb_get(jstr(sub, "customer"));
    const char *then = jpath_str(sub, "trial_settings.end_behavior.missing_payment_method");
    if (!status_is(sub, "trialing") || jhas(sub, "default_payment_method") ||
        *jpath_str(customer, "invoice_settings.default_payment_method"))
        return false;
    if (!strcmp(then, "cancel"))
        sb_subscription_cancel(sub, "payment_failed");
    else if (!strcmp(then, "pause"))
        sb_subscription_pause(sub, true);
    else
        return false;
    return true;
}

static void period_ends(json_t *sub)
{
    if (over(sub) || status_is(sub, "incomplete") || status_is(sub, "paused"))
        return;
    if (jbool(sub, "cancel_at_period_end"))
        sb_subscription_cancel(sub, "cancellation_requested");
    else if (!trial_without_card(sub))
        sb_subscription_renew(sub, "subscription_cycle");
}

static void upcoming(json_t *sub)
{
    bool goes_on =
        status_is(sub, "active") || status_is(sub, "trialing") || status_is(sub, "past_due");
    if (!goes_on || jbool(sub, "cancel_at_period_end"))
        return;
    json_t *item = jpath(sub, "items.data.0");
    json_t *invoice = sb_invoice_make(sub, "upcoming");
    int64_t amount = jint(jobj(item, "price"), "unit_amount") * jint(item, "quantity");
    int64_t start = sb_period_end(sub);
    int64_t end = sb_interval(start, jpath(item, "price.recurring"), 1);
    sb_invoice_line(invoice, sub, item, amount, start, end, false, "Coming period");
    jset_int(invoice, "period_start", sb_period_start(sub));
    jset_int(invoice, "period_end", start);
    jset_int(invoice, "next_payment_attempt", start);
    jset_int(invoice, "subtotal", amount);
    jset_int(invoice, "total", amount);
    jset_int(invoice, "amount_due", amount);
    jset_int(invoice, "amount_remaining", amount);
    jset_bool(invoice, "_no_id", true);
    sb_event("invoice.upcoming", invoice);
    sb_delete(invoice);
}

static void collection_resumes(json_t *sub, int64_t at)
{
    if (over(sub) || jint(jobj(sub, "pause_collection"), "resumes_at") != at)
        return;
    json_t *before = json_deep_copy(sub);
    jset_null(sub, "pause_collection");
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

void sb_subscription_due(enum sb_due what, const char *id, int64_t at)
{
    json_t *sub = sb_find(id, "subscription");
    if (!sub)
        return;
    if (what == SB_DUE_PERIOD && sb_period_end(sub) == at)
        period_ends(sub);
    else if (what == SB_DUE_UPCOMING && sb_period_end(sub) == at + 7 * DAY)
        upcoming(sub);
    else if (what == SB_DUE_TRIAL_NOTICE && status_is(sub, "trialing") &&
             jint(sub, "trial_end") <= at + 3 * DAY)
        sb_event("customer.subscription.trial_will_end", sub);
    else if (what == SB_DUE_RESUME)
        collection_resumes(sub, at);
    else if (what == SB_DUE_CANCEL && !over(sub) && jint(sub, "cancel_at") == at)
        sb_subscription_cancel(sub, "cancellation_requested");
    else if (what == SB_DUE_INCOMPLETE && status_is(sub, "incomplete"))
        incomplete_expires(sub);
}

void sb_invoice_retry(const char *id, int64_t at)
{
    json_t *invoice = sb_find(id, "invoice"), *sub = sb_find(jstr(invoice, "_sub"), "subscription");
    if (!invoice || !sub || over(sub) || strcmp(jstr(invoice, "status"), "open") ||
        jint(invoice, "next_payment_attempt") != at)
        return;
    sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, false));
}
