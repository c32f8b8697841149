/* trigger EVENT: does at Stripe what makes Stripe send it, through the API and the pages as anybody
 * would. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A call of our own API; the answer's id in `id`. False if it was refused. */
static bool call(const char *method, const char *path, const char *form, char id[256])
{
    struct sb_call c = {.method = method,
                        .path = path,
                        .authorization = "Bearer sk_test_trigger",
                        .version = "",
                        .idempotency_key = "",
                        .query = "",
                        .body = form,
                        .body_len = strlen(form)};
    if (sb_config.key) {
        static char bearer[300];
        snprintf(bearer, sizeof bearer, "Bearer %s", sb_config.key);
        c.authorization = bearer;
    }
    sb_api(&c);
    json_t *answer = c.answer ? json_loads(c.answer, 0, NULL) : NULL;
    snprintf(id, 256, "%s", jstr(answer, "id"));
    json_decref(answer);
    free(c.answer);
    return c.status == 200;
}

static bool session(const char *mode, char id[256])
{
    char form[1200];
    bool monthly = !strcmp(mode, "subscription");
    snprintf(form, sizeof form,
             "mode=%s&success_url=http://127.0.0.1/&line_items[0][quantity]=1&"
             "line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=3200&"
             "line_items[0][price_data][product_data][name]=Triggered%s",
             mode, monthly ? "&line_items[0][price_data][recurring][interval]=month" : "");
    return call("POST", "/v1/checkout/sessions", form, id);
}

static json_t *bought(const char *mode)
{
    char id[256];
    bool action;
    struct sb_pay pay = {.card = "4242424242424242", .authenticated = true};
    if (!session(mode, id))
        return NULL;
    json_t *s = sb_get(id);
    return sb_checkout_pay(s, &pay, &action) ? NULL : s;
}

static json_t *subscribed(void)
{
    json_t *s = bought("subscription");
    return s ? sb_get(jstr(s, "subscription")) : NULL;
}

static json_t *charged(void)
{
    json_t *s = bought("payment"), *pi = s ? sb_get(jstr(s, "payment_intent")) : NULL;
    return pi ? sb_get(jstr(pi, "latest_charge")) : NULL;
}

static bool starts(const char *event, const char *with)
{
    return !strncmp(event, with, strlen(with));
}

static bool subscription_event(const char *event)
{
    json_t *sub = subscribed();
    if (!sub)
        return false;
    if (!strcmp(event, "customer.subscription.deleted")) {
        sb_subscription_cancel(sub, "cancellation_requested");
    } else if (!strcmp(event, "customer.subscription.updated")) {
        json_t *before = json_deep_copy(sub);
        sb_subscription_set_cancel(sub, true, 0);
        sb_event_updated(event, sub, before);
        json_decref(before);
    } else if (!strcmp(event, "customer.subscription.paused")) {
        sb_subscription_pause(sub, true);
    } else if (!strcmp(event, "customer.subscription.resumed")) {
        sb_subscription_pause(sub, true);
        sb_subscription_pause(sub, false);
    } else if (!strcmp(event, "customer.subscription.trial_will_end")) {
        sb_event(event, sub);
    }
    return true;
}

static bool invoice_event(const char *event)
{
    json_t *sub = subscribed();
    bool voided = !strcmp(event, "invoice.voided");
    bool lost = !strcmp(event, "invoice.marked_uncollectible");
    if (!sub)
        return false;
    if (!strcmp(event, "invoice.upcoming"))
        sb_subscription_due(SB_DUE_UPCOMING, jstr(sub, "id"), sb_period_end(sub) - 7 * 86400);
    if (!strcmp(event, "invoice.payment_action_required")) {
        const struct sb_card *card = sb_card_find("4000002760003184");
        json_t *pm = sb_card_attach(card, jstr(sub, "customer"), NULL);
        jset_str(sub, "default_payment_method", jstr(pm, "id"));
        sb_subscription_renew(sub, "subscription_cycle");
    }
    if (voided || lost || !strcmp(event, "invoice.payment_failed")) {
        jset_int(sub, "_fail_next", 1);
        sb_subscription_renew(sub, "subscription_cycle");
    }
    if (voided || lost)
        sb_invoice_close(sb_get(jstr(sub, "latest_invoice")), voided ? "void" : "uncollectible");
    return true;
}

/* A card that is refused at the checkout. */
static bool refused_payment(void)
{
    char id[256];
    bool action;
    struct sb_pay pay = {.card = "4000000000000002"};
    return session("payment", id) && sb_checkout_pay(sb_get(id), &pay, &action) != NULL;
}

static bool charge_event(const char *event)
{
    if (!strcmp(event, "charge.failed") || !strcmp(event, "payment_intent.payment_failed"))
        return refused_payment();
    json_t *charge = charged();
    if (!charge)
        return false;
    if (starts(event, "charge.dispute.")) {
        json_t *d = sb_dispute_open(charge, false, NULL);
        if (strcmp(event, "charge.dispute.created"))
            sb_dispute_close(d, "won");
    } else if (!strcmp(event, "charge.refunded") || starts(event, "refund.") ||
               !strcmp(event, "charge.refund.updated")) {
        json_t *r = sb_refund_make(charge, jint(charge, "amount"), "succeeded", NULL, NULL);
        if (!strcmp(event, "refund.failed") || strstr(event, "updated"))
            sb_refund_set(r, "failed");
    }
    return true;
}

static bool checkout_event(const char *event)
{
    char id[256];
    bool action, fails = !strcmp(event, "checkout.session.async_payment_failed");
    if (!strcmp(event, "checkout.session.completed"))
        return bought("subscription") != NULL;
    if (!session("payment", id))
        return false;
    json_t *s = sb_get(id);
    if (!strcmp(event, "checkout.session.expired")) {
        sb_checkout_expire(s);
        return true;
    }
    struct sb_pay pay = {.card = "4242424242424242", .async = "pending", .authenticated = true};
    sb_checkout_pay(s, &pay, &action);
    sb_checkout_async(s, !fails);
    return true;
}

/* Objects of which an event is told when they are made, changed or deleted. */
static bool object_event(const char *event)
{
    static const struct {
        const char *event, *method, *path, *form; /* a path that ends in "/": of a new customer */
    } calls[] = {
        {"customer.created", "POST", "/v1/customers", "email=triggered@example.com"},
        {"customer.updated", "POST", "/v1/customers/", "description=Triggered"},
        {"customer.deleted", "DELETE", "/v1/customers/", ""},
        {"product.created", "POST", "/v1/products", "name=Triggered"},
        {"price.created", "POST", "/v1/prices",
         "currency=usd&unit_amount=3200&product_data[name]=Triggered"},
        {"coupon.created", "POST", "/v1/coupons", "percent_off=20"},
    };
    char id[256], path[300];
    if (!strcmp(event, "payment_method.attached"))
        return bought("subscription") != NULL;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(event, calls[i].event))
            continue;
        snprintf(path, sizeof path, "%s", calls[i].path);
        if (path[strlen(path) - 1] == '/') {
            if (!call("POST", "/v1/customers", "email=triggered@example.com", id))
                return false;
            snprintf(path, sizeof path, "%s%s", calls[i].path, id);
        }
        return call(calls[i].method, path, calls[i].form, id);
    }
    return false;
}

const char *sb_trigger(const char *event)
{
    size_t before = json_array_size(sb_all("event"));
    bool ok;
    if (starts(event, "customer.subscription."))
        ok = subscription_event(event);
    else if (starts(event, "invoice"))
        ok = invoice_event(event);
    else if (starts(event, "checkout.session.") || !strcmp(event, "payment_intent.processing"))
        ok = checkout_event(event);
    else if (starts(event, "charge.") || starts(event, "refund.") ||
             starts(event, "payment_intent."))
        ok = charge_event(event);
    else
        ok = object_event(event);
    for (size_t i = before; ok && i < json_array_size(sb_all("event")); i++)
        if (!strcmp(jstr(json_array_get(sb_all("event"), i), "type"), event))
            return NULL;
    return "the sandbox cannot trigger this event";
}
