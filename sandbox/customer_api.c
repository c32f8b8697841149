/* Customers and their cards. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- test cards (stripe/CONTRACT §8) */

static const struct sb_card cards[] = {
    {"4242424242424242", "pm_card_visa", "visa", NULL, NULL, false, false, false},
    {"5555555555554444", "pm_card_mastercard", "mastercard", NULL, NULL, false, false, false},
    {"4000000000000002", "pm_card_chargeDeclined", "visa", "generic_decline", "card_declined",
     false, false, false},
    {"4000000000009995", "pm_card_chargeDeclinedInsufficientFunds", "visa", "insufficient_funds",
     "card_declined", false, false, false},
    {"4000000000000069", "pm_card_chargeDeclinedExpiredCard", "visa", "expired_card",
     "expired_card", false, false, false},
    {"4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", "visa", "incorrect_cvc",
     "incorrect_cvc", false, false, false},
    {"4000000000000341", "pm_card_chargeCustomerFail", "visa", NULL, NULL, true, false, false},
    {"4000002500003155", "pm_card_authenticationRequiredOnSetup", "visa", NULL, NULL, false, true,
     false},
    {"4000002760003184", "pm_card_authenticationRequired", "visa", NULL, NULL, false, true, true},
};

const struct sb_card *sb_card_find(const char *number)
{
    char digits[32];
    size_t n = 0;
    for (const char *p = number; *p && n < sizeof digits - 1; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    digits[n] = 0;
    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++)
        if (!strcmp(cards[i].token, number) || (n && !strcmp(cards[i].number, digits)))
            return &cards[i];
    return NULL;
}

static json_t *card_json(const struct sb_card *card)
{
    return json_pack(
        "{s:s, s:{s:n, s:n, s:s}, s:s, s:s, s:i, s:i, s:s, s:s, s:n, s:s, s:{s:[s], "
        "s:n}, s:s, s:{s:b}, s:n}",
        "brand", card->brand, "checks", "address_line1_check", "address_postal_code_check",
        "cvc_check", "pass", "country", "US", "display_brand", card->brand, "exp_month", 12,
        "exp_year", 2034, "fingerprint", card->number + 8, "funding", "credit", "generated_from",
        "last4", card->number + 12, "networks", "available", card->brand, "preferred",
        "regulated_status", "unregulated", "three_d_secure_usage", "supported", 1, "wallet");
}

json_t *sb_card_attach(const struct sb_card *card, const char *customer, const char *email)
{
    json_t *pm = sb_new("payment_method", "pm_1", NULL);
    jset_str(pm, "type", "card");
    jset(pm, "card", card_json(card));
    jset_str(pm, "_card", card->number);
    jset_str(pm, "allow_redisplay", "unspecified");
    jset(pm, "metadata", json_object());
    if (email && *email)
        jset_str(jobj(pm, "billing_details"), "email", email);
    if (customer && *customer) {
        jset_str(pm, "customer", customer);
        sb_event("payment_method.attached", pm);
    }
    return pm;
}

/* ---- customers */

json_t *sb_customer_make(const char *email, const char *name)
{
    json_t *o = sb_new("customer", "cus_", NULL);
    char prefix[80];
    sb_id("", prefix);
    prefix[8] = 0;
    jset_str(o, "email", email && *email ? email : NULL);
    jset_str(o, "name", name && *name ? name : NULL);
    jset_bool(o, "delinquent", false);
    jset_str(o, "invoice_prefix", prefix);
    jset_int(o, "next_invoice_sequence", 1);
    jset(o, "preferred_locales", json_array());
    jset_str(o, "tax_exempt", "none");
    jset_null(o, "currency");
    return o;
}

static void customer_set(json_t *o, json_t *in)
{
    static const char *const plain[] = {"email",     "name",     "description",       "phone",
                                        "address",   "shipping", "preferred_locales", "balance",
                                        "tax_exempt"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        jcopy(o, in, plain[i]);
    json_t *settings = jobj(in, "invoice_settings");
    if (settings)
        jcopy(jobj(o, "invoice_settings"), settings, "default_payment_method");
    sb_metadata_merge(o, json_object_get(in, "metadata"));
}

static json_t *default_method_checked(struct sb_call *c)
{
    const char *pm = jpath_str(c->in, "invoice_settings.default_payment_method");
    if (*pm && !sb_find(pm, "payment_method"))
        return sb_missing(c, "PaymentMethod", pm, "invoice_settings[default_payment_method]");
    return c->in;
}

static json_t *customer_create(struct sb_call *c)
{
    if (!default_method_checked(c))
        return NULL;
    json_t *o = sb_customer_make("", "");
    customer_set(o, c->in);
    sb_event("customer.created", o);
    return json_incref(o);
}

static json_t *customer_get(struct sb_call *c)
{
    json_t *o = sb_get_deleted(c->arg);
    if (!o || strcmp(jstr(o, "object"), "customer"))
        return sb_missing(c, "customer", c->arg, "id");
    return json_incref(o);
}

static json_t *customer_update(struct sb_call *c)
{
    return sb_find(c->arg, "customer") && !default_method_checked(c)
               ? NULL
               : sb_change(c, "customer", "customer", customer_set);
}

static json_t *customer_delete(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "customer"), *sub;
    size_t i;
    if (!o)
        return sb_missing(c, "customer", c->arg, "id");
    json_array_foreach(sb_all("subscription"), i, sub)
    {
        if (!strcmp(jstr(sub, "customer"), c->arg) && strcmp(jstr(sub, "status"), "canceled") &&
            strcmp(jstr(sub, "status"), "incomplete_expired"))
            sb_subscription_cancel(sub, "cancellation_requested");
    }
    sb_event("customer.deleted", o);
    sb_delete(o);
    return json_incref(o);
}

static bool customer_kept(const json_t *o, const json_t *in)
{
    return !jhas(in, "email") || !strcmp(jstr(in, "email"), jstr(o, "email"));
}
static json_t *customer_list(struct sb_call *c)
{
    return sb_list(c, "customer", customer_kept);
}

/* ---- payment methods */

static bool method_kept(const json_t *o, const json_t *in)
{
    return jhas(o, "customer") &&
           (!jhas(in, "customer") || !strcmp(jstr(in, "customer"), jstr(o, "customer"))) &&
           (!jhas(in, "type") || !strcmp(jstr(in, "type"), jstr(o, "type")));
}
static json_t *method_list(struct sb_call *c)
{
    return sb_list(c, "payment_method", method_kept);
}

static json_t *customer_methods(struct sb_call *c)
{
    if (!sb_find(c->arg, "customer"))
        return sb_missing(c, "customer", c->arg, "id");
    jset_str(c->in, "customer", c->arg);
    return sb_list(c, "payment_method", method_kept);
}

static json_t *method_get(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "payment_method");
    return o ? json_incref(o) : sb_missing(c, "PaymentMethod", c->arg, "payment_method");
}

static json_t *method_attach(struct sb_call *c)
{
    const char *customer = jstr(c->in, "customer");
    if (!sb_find(customer, "customer"))
        return sb_missing(c, "customer", customer, "customer");
    const struct sb_card *card = sb_card_find(c->arg);
    if (card && card->decline)
        return sb_fail(c, 402, card->code, "", "Your card was declined.");
    if (card)
        return json_incref(sb_card_attach(card, customer, NULL));
    json_t *o = sb_find(c->arg, "payment_method");
    if (!o)
        return sb_missing(c, "PaymentMethod", c->arg, "payment_method");
    jset_str(o, "customer", customer);
    sb_event("payment_method.attached", o);
    return json_incref(o);
}

static json_t *method_detach(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "payment_method"), *sub;
    size_t i;
    if (!o)
        return sb_missing(c, "PaymentMethod", c->arg, "payment_method");
    if (!jhas(o, "customer"))
        return sb_fail(c, 400, NULL, "payment_method",
                       "The payment method you provided is not attached to a customer so "
                       "detachment is impossible.");
    json_t *before = json_deep_copy(o), *customer = sb_get(jstr(o, "customer"));
    json_t *settings = jobj(customer, "invoice_settings");
    jset_null(o, "customer");
    if (!strcmp(jstr(settings, "default_payment_method"), c->arg))
        jset_null(settings, "default_payment_method");
    json_array_foreach(sb_all("subscription"), i, sub)
    {
        if (!strcmp(jstr(sub, "default_payment_method"), c->arg))
            jset_null(sub, "default_payment_method");
    }
    sb_event_updated("payment_method.detached", o, before);
    json_decref(before);
    return json_incref(o);
}

const struct sb_route sb_customer_routes[] = {
    {"GET", "/v1/customers", customer_list},
    {"POST", "/v1/customers", customer_create},
    {"GET", "/v1/customers/{}", customer_get},
    {"POST", "/v1/customers/{}", customer_update},
    {"DELETE", "/v1/customers/{}", customer_delete},
    {"GET", "/v1/customers/{}/payment_methods", customer_methods},
    {"GET", "/v1/payment_methods", method_list},
    {"GET", "/v1/payment_methods/{}", method_get},
    {"POST", "/v1/payment_methods/{}/attach", method_attach},
    {"POST", "/v1/payment_methods/{}/detach", method_detach},
    {NULL, NULL, NULL},
};
