/* Checkout sessions: made by the server, paid on the hosted page, expired by the clock. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE  INT64_C(60)
#define HOUR    (60 * MINUTE)
#define MINIMUM 50

static bool mode_is(const json_t *o, const char *mode)
{
    return !strcmp(jstr(o, "mode"), mode);
}

/* ---- create: the rules between fields (stripe/CONTRACT §4) */

static bool mode_rules(struct sb_call *c)
{
    json_t *in = c->in;
    if (!*jstr(in, "mode"))
        return sb_fail(c, 400, "parameter_missing", "mode", "Missing required param: mode.") !=
               NULL;
    if (mode_is(in, "setup"))
        return sb_fail(c, 400, NULL, "mode", "The sandbox does not play setup mode.") != NULL;
    if (jobj(in, "subscription_data") && !mode_is(in, "subscription"))
        return sb_fail(c, 400, NULL, "subscription_data",
                       "You can not pass `subscription_data` in `payment` mode.") != NULL;
    if (jobj(in, "payment_intent_data") && !mode_is(in, "payment"))
        return sb_fail(c, 400, NULL, "payment_intent_data",
                       "You can not pass `payment_intent_data` in `subscription` mode.") != NULL;
    if (jhas(in, "customer_creation") && !mode_is(in, "payment"))
        return sb_fail(c, 400, NULL, "customer_creation",
                       "`customer_creation` can only be used in `payment` mode.") != NULL;
    if (json_object_get(in, "invoice_creation") && !mode_is(in, "payment"))
        return sb_fail(c, 400, NULL, "invoice_creation",
                       "You can only enable invoice creation when `mode` is set to `payment`.") !=
               NULL;
    return true;
}

static bool customer_rules(struct sb_call *c)
{
    json_t *in = c->in;
    const char *customer = jstr(in, "customer");
    if (*customer && *jstr(in, "customer_email"))
        return sb_fail(c, 400, NULL, "customer_email",
                       "You may only specify one of these parameters: customer, customer_email.") !=
               NULL;
    if (*customer && jhas(in, "customer_creation"))
        return sb_fail(c, 400, NULL, "customer_creation",
                       "You may only specify one of these parameters: customer, "
                       "customer_creation.") != NULL;
    if (*customer && !sb_find(customer, "customer"))
        return sb_missing(c, "customer", customer, "customer") != NULL;
    return true;
}

static bool time_rules(struct sb_call *c)
{
    int64_t at = jint(c->in, "expires_at"), now = sb_now();
    const char *ui = jstr(c->in, "ui_mode");
    bool hosted = !*ui || !strcmp(ui, "hosted_page");
    if (hosted && !*jstr(c->in, "success_url"))
        return sb_fail(c, 400, "parameter_missing", "success_url",
                       "Missing required param: success_url.") != NULL;
    if (!jhas(c->in, "expires_at"))
        return true;
    if (at < now + 30 * MINUTE - 30)
        return sb_fail(c, 400, NULL, "expires_at",
                       "The `expires_at` timestamp must be at least 30 minutes from Checkout "
                       "Session creation.") != NULL;
    if (at > now + 24 * HOUR + 30)
        return sb_fail(c, 400, NULL, "expires_at",
                       "The `expires_at` timestamp must be less than 24 hours from Checkout "
                       "Session creation.") != NULL;
    return true;
}

static bool discount_rules(struct sb_call *c)
{
    json_t *d = jarr(c->in, "discounts");
    const char *coupon = jpath_str(d, "0.coupon"), *promo = jpath_str(d, "0.promotion_code");
    if (!d)
        return true;
    if (jhas(c->in, "allow_promotion_codes"))
        return sb_fail(c, 400, NULL, "allow_promotion_codes",
                       "You may only specify one of these parameters: allow_promotion_codes, "
                       "discounts.") != NULL;
    if (json_array_size(d) > 1)
        return sb_fail(c, 400, NULL, "discounts", "You may only specify one discount.") != NULL;
    json_t *found =
        sb_find(*promo ? jpath_str(sb_get(promo), "promotion.coupon") : coupon, "coupon");
    if (!found)
        return sb_missing(c, *promo ? "promotion code" : "coupon", *promo ? promo : coupon,
                          *promo ? "discounts[0][promotion_code]" : "discounts[0][coupon]") != NULL;
    if (!jbool(found, "valid") || (jhas(found, "redeem_by") && jint(found, "redeem_by") < sb_now()))
        return sb_fail(c, 400, "coupon_expired", "discounts[0][coupon]", "Coupon expired: %s",
                       jstr(found, "id")) != NULL;
    return true;
}

/* An inline price becomes a price object that no list shows. */
static json_t *inline_price(struct sb_call *c, json_t *data, size_t i)
{
    char param[80];
    json_t *product = jobj(data, "product_data");
    if (!jhas(data, "unit_amount") || jint(data, "unit_amount") < 0) {
        snprintf(param, sizeof param, "line_items[%zu][price_data][unit_amount]", i);
        return sb_fail(c, 400, "parameter_missing", param, "Missing required param: %s.", param);
    }
    if ((product != NULL) == (*jstr(data, "product") != 0)) {
        snprintf(param, sizeof param, "line_items[%zu][price_data][product]", i);
        return sb_fail(c, 400, "parameter_missing", param,
                       "You must specify either `product` or `product_data`.");
    }
    if (!product && !sb_find(jstr(data, "product"), "product")) {
        snprintf(param, sizeof param, "line_items[%zu][price_data][product]", i);
        return sb_missing(c, "product", jstr(data, "product"), param);
    }
    if (product) {
        json_t *made = sb_product_make(NULL, jstr(product, "name"));
        jcopy(made, product, "description");
        sb_metadata_merge(made, json_object_get(product, "metadata"));
        jset_str(data, "product", jstr(made, "id"));
    }
    json_t *price = sb_price_make(data);
    jset_bool(price, "_inline", true);
    jset_bool(price, "active", false);
    return price;
}

static bool line_item_valid(struct sb_call *c, json_t *x, size_t i)
{
    char param[80];
    json_t *data = jobj(x, "price_data"), *price;
    snprintf(param, sizeof param, "line_items[%zu][price]", i);
    if ((data != NULL) == (*jstr(x, "price") != 0))
        return sb_fail(c, 400, "parameter_missing", param,
                       "You must specify either `price` or `price_data`.") != NULL;
    if (data) {
        price = inline_price(c, data, i);
        if (!price)
            return false;
        jset_str(x, "price", jstr(price, "id"));
    }
    price = sb_find(jstr(x, "price"), "price");
    if (!price)
        return sb_missing(c, "price", jstr(x, "price"), param) != NULL;
    if (!data && !jbool(price, "active"))
        return sb_fail(c, 400, "price_inactive", param,
                       "The price specified is inactive. This field only accepts active prices.") !=
               NULL;
    snprintf(param, sizeof param, "line_items[%zu][quantity]", i);
    if (!jhas(x, "quantity") || jint(x, "quantity") < 1)
        return sb_fail(c, 400, "parameter_missing", param,
                       "Quantity is required and must be at least 1. Add `quantity` to "
                       "`line_items[%zu]`",
                       i) != NULL;
    return true;
}

static bool line_items_valid(struct sb_call *c)
{
    json_t *items = jarr(c->in, "line_items"), *x;
    bool recurring = false, once = false;
    size_t i;
    if (!json_array_size(items))
        return sb_fail(c, 400, "parameter_missing", "line_items",
                       "Missing required param: line_items.") != NULL;
    json_array_foreach(items, i, x)
    {
        if (!line_item_valid(c, x, i))
            return false;
        json_t *price = sb_get(jstr(x, "price"));
        recurring = recurring || jobj(price, "recurring");
        once = once || !jobj(price, "recurring");
    }
    if (mode_is(c->in, "payment") && recurring)
        return sb_fail(c, 400, NULL, "line_items",
                       "You specified `payment` mode but passed a recurring price. Either switch "
                       "to `subscription` mode or use only one-time prices.") != NULL;
    if (mode_is(c->in, "subscription") && !recurring)
        return sb_fail(c, 400, NULL, "line_items",
                       "You must provide at least one recurring price in `subscription` mode when "
                       "using prices.") != NULL;
    if (mode_is(c->in, "subscription") && once)
        return sb_fail(c, 400, NULL, "line_items",
                       "The sandbox does not mix one-time and recurring prices.") != NULL;
    return true;
}

static const char *coupon_of(const json_t *session)
{
    const char *promo = jpath_str(session, "discounts.0.promotion_code");
    return *promo ? jpath_str(sb_get(promo), "promotion.coupon")
                  : jpath_str(session, "discounts.0.coupon");
}

static int64_t trial_asked(const json_t *session)
{
    json_t *d = jobj(session, "_subscription_data");
    if (jint(d, "trial_period_days") > 0)
        return sb_now() + jint(d, "trial_period_days") * 86400;
    return jint(d, "trial_end");
}

static void amounts(json_t *s)
{
    json_t *x, *coupon = sb_get(coupon_of(s)), *details;
    int64_t sum = 0, off;
    size_t i;
    json_array_foreach(jarr(s, "_items"), i, x)
    {
        json_t *price = sb_get_deleted(jstr(x, "price"));
        sum += jint(price, "unit_amount") * jint(x, "quantity");
        jset_str(s, "currency", jstr(price, "currency"));
    }
    if (trial_asked(s))
        sum = 0;
    off = coupon ? sb_coupon_off(coupon, sum) : 0;
    jset_int(s, "amount_subtotal", sum);
    jset_int(s, "amount_total", sum - off);
    details =
        json_pack("{s:I, s:i, s:i}", "amount_discount", off, "amount_shipping", 0, "amount_tax", 0);
    jset(s, "total_details", details);
}

static void session_fill(json_t *s, json_t *in)
{
    static const char *const plain[] = {"mode",
                                        "success_url",
                                        "cancel_url",
                                        "client_reference_id",
                                        "customer_email",
                                        "locale",
                                        "submit_type",
                                        "billing_address_collection",
                                        "allow_promotion_codes",
                                        "payment_method_collection"};
    char url[200];
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        jcopy(s, in, plain[i]);
    jset_str(s, "customer", *jstr(in, "customer") ? jstr(in, "customer") : NULL);
    if (mode_is(in, "payment"))
        jset_str(s, "customer_creation",
                 *jstr(in, "customer")            ? NULL
                 : *jstr(in, "customer_creation") ? jstr(in, "customer_creation")
                                                  : "if_required");
    jset(s, "metadata", json_object());
    sb_metadata_merge(s, json_object_get(in, "metadata"));
    jset_str(s, "status", "open");
    jset_str(s, "payment_status", "unpaid");
    jset_str(s, "ui_mode", "hosted_page");
    jset(s, "payment_method_types", json_pack("[s]", "card"));
    jset(s, "custom_fields", json_array());
    jset(s, "shipping_options", json_array());
    jset_int(s, "expires_at",
             jhas(in, "expires_at") ? jint(in, "expires_at") : sb_now() + 24 * HOUR);
    jset(s, "_items", json_deep_copy(jarr(in, "line_items")));
    jset(s, "discounts", jarr(in, "discounts") ? json_array() : json_array());
    json_t *d = json_array_get(jarr(in, "discounts"), 0);
    if (d)
        json_array_append_new(
            jarr(s, "discounts"),
            json_pack("{s:s?, s:s?}", "coupon", *jstr(d, "coupon") ? jstr(d, "coupon") : NULL,
                      "promotion_code",
                      *jstr(d, "promotion_code") ? jstr(d, "promotion_code") : NULL));
    if (jobj(in, "subscription_data"))
        jset(s, "_subscription_data", json_deep_copy(jobj(in, "subscription_data")));
    if (jobj(in, "payment_intent_data"))
        jset(s, "_payment_intent_data", json_deep_copy(jobj(in, "payment_intent_data")));
    snprintf(url, sizeof url, "%s/pay/%s", sb_config.base, jstr(s, "id"));
    jset_str(s, "url", url);
    amounts(s);
}

static bool amount_rules(struct sb_call *c, json_t *s)
{
    int64_t total = jint(s, "amount_total");
    if (total == 0 || total >= MINIMUM)
        return true;
    sb_fail(c, 400, "amount_too_small", NULL,
            "The Checkout Session's total amount due must add up to at least $0.50 %s",
            jstr(s, "currency"));
    return false;
}

static json_t *session_create(struct sb_call *c)
{
    if (!mode_rules(c) || !customer_rules(c) || !time_rules(c) || !discount_rules(c) ||
        !line_items_valid(c))
        return NULL;
    json_t *s = sb_new("checkout.session", "cs_test_", NULL);
    session_fill(s, c->in);
    if (!amount_rules(c, s)) {
        sb_delete(s);
        return NULL;
    }
    sb_due(jint(s, "expires_at"), SB_DUE_SESSION, jstr(s, "id"));
    return json_incref(s);
}

/* ---- read, expire */

static json_t *session_find(struct sb_call *c)
{
    json_t *s = sb_find(c->arg, "checkout.session");
    return s ? s : sb_missing(c, "checkout.session", c->arg, "id");
}
static json_t *session_get(struct sb_call *c)
{
    return json_incref(session_find(c));
}

static bool session_kept(const json_t *o, const json_t *in)
{
    static const char *const by[] = {"customer", "status", "subscription", "payment_intent"};
    for (size_t i = 0; i < sizeof by / sizeof by[0]; i++)
        if (jhas(in, by[i]) && strcmp(jstr(in, by[i]), jstr(o, by[i])))
            return false;
    const char *email = jpath_str(in, "customer_details.email");
    return !*email || !strcmp(email, jpath_str(o, "customer_details.email"));
}
static json_t *session_list(struct sb_call *c)
{
    return sb_list(c, "checkout.session", session_kept);
}

static json_t *session_update(struct sb_call *c)
{
    json_t *s = session_find(c);
    if (s)
        sb_metadata_merge(s, json_object_get(c->in, "metadata"));
    return json_incref(s);
}

json_t *sb_line_items(const json_t *session)
{
    char url[160], id[80];
    snprintf(url, sizeof url, "/v1/checkout/sessions/%s/line_items", jstr(session, "id"));
    json_t *list = jlist(url), *x, *coupon = sb_get_deleted(coupon_of(session));
    size_t i;
    json_array_foreach(jarr(session, "_items"), i, x)
    {
        json_t *item = sb_template("item"), *price = sb_get_deleted(jstr(x, "price"));
        int64_t sum = jint(price, "unit_amount") * jint(x, "quantity");
        int64_t off = coupon ? sb_coupon_off(coupon, sum) : 0;
        snprintf(id, sizeof id, "li_1%.16s%zu", jstr(session, "id") + 10, i);
        jset_str(item, "id", id);
        jset_int(item, "amount_subtotal", sum);
        jset_int(item, "amount_discount", off);
        jset_int(item, "amount_total", sum - off);
        jset_str(item, "currency", jstr(price, "currency"));
        jset_str(item, "description", jstr(sb_get_deleted(jstr(price, "product")), "name"));
        jset(item, "price", sb_view(price, false));
        jset_int(item, "quantity", jint(x, "quantity"));
        json_array_append_new(jarr(list, "data"), item);
    }
    return list;
}

static json_t *session_line_items(struct sb_call *c)
{
    json_t *s = session_find(c);
    return s ? sb_line_items(s) : NULL;
}

void sb_checkout_expire(json_t *s)
{
    jset_str(s, "status", "expired");
    jset_null(s, "url");
    sb_event("checkout.session.expired", s);
}

static json_t *session_expire(struct sb_call *c)
{
    json_t *s = session_find(c);
    if (!s)
        return NULL;
    if (strcmp(jstr(s, "status"), "open"))
        return sb_fail(c, 400, NULL, NULL,
                       "Only Checkout Sessions with a status in [\"open\"] can be expired. This "
                       "Checkout Session has a status of %s.",
                       jstr(s, "status"));
    sb_checkout_expire(s);
    return json_incref(s);
}

/* ---- pay */

static void session_customer(json_t *s, const struct sb_pay *pay)
{
    bool wants = mode_is(s, "subscription") || !strcmp(jstr(s, "customer_creation"), "always");
    json_t *customer = sb_find(jstr(s, "customer"), "customer");
    const char *email = jhas(customer, "email")      ? jstr(customer, "email")
                        : *jstr(s, "customer_email") ? jstr(s, "customer_email")
                        : pay->email && *pay->email  ? pay->email
                                                     : "buyer@example.com";
    const char *name = pay->name && *pay->name ? pay->name : "Test Buyer";
    if (!customer && wants) {
        customer = sb_customer_make(email, name);
        sb_event("customer.created", customer);
        jset_str(s, "customer", jstr(customer, "id"));
    }
    jset(s, "customer_details",
         json_pack("{s:n, s:n, s:s, s:n, s:s, s:n, s:s, s:[]}", "address", "business_name", "email",
                   email, "individual_name", "name", name, "phone", "tax_exempt", "none",
                   "tax_ids"));
}

static json_t *session_discounts(json_t *s)
{
    const char *coupon = coupon_of(s);
    json_t *out = json_array();
    if (*coupon) {
        json_t *d = sb_discount_make(coupon, jstr(s, "customer"));
        jset_str(d, "checkout_session", jstr(s, "id"));
        json_array_append_new(out, json_string(jstr(d, "id")));
    }
    return out;
}

static void pay_subscription(json_t *s, const char *pm)
{
    json_t *data = jobj(s, "_subscription_data"), *discounts = session_discounts(s);
    const char *missing = jpath_str(data, "trial_settings.end_behavior.missing_payment_method");
    struct sb_subscribe sub = {
        .customer = jstr(s, "customer"),
        .pm = pm,
        .items = jarr(s, "_items"),
        .metadata = jobj(data, "metadata"),
        .discounts = discounts,
        .trial_end = trial_asked(s),
        .trial_missing = *missing ? missing : NULL,
    };
    json_t *made = sb_subscription_make(&sub);
    jset_str(s, "subscription", jstr(made, "id"));
    jset_str(s, "invoice", jstr(made, "latest_invoice"));
    jset_str(s, "payment_status", jint(s, "amount_total") ? "paid" : "no_payment_required");
    json_decref(discounts);
}

static void pay_once(json_t *s, const char *pm, const struct sb_pay *pay)
{
    json_decref(session_discounts(s));
    if (jint(s, "amount_total") == 0) {
        jset_str(s, "payment_status", "no_payment_required");
        return;
    }
    json_t *data = jobj(s, "_payment_intent_data"), *pi = sb_get(jstr(s, "payment_intent"));
    if (!pi)
        pi = sb_payment_intent_make(jint(s, "amount_total"), jstr(s, "currency"),
                                    jstr(s, "customer"));
    jset_str(pi, "customer", jhas(s, "customer") ? jstr(s, "customer") : NULL);
    sb_metadata_merge(pi, json_object_get(data, "metadata"));
    jcopy(pi, data, "description");
    jcopy(pi, data, "receipt_email");
    jset_str(s, "payment_intent", jstr(pi, "id"));
    if (!jbool(pi, "_announced"))
        sb_event("payment_intent.created", pi);
    jset_bool(pi, "_announced", true);
    if (!pay->async) {
        sb_payment_succeed(pi, pm);
        jset_str(s, "payment_status", "paid");
        return;
    }
    jset_str(pi, "status", "processing");
    jset_str(pi, "payment_method", pm);
    sb_event("payment_intent.processing", pi);
    jset_str(s, "_async", pay->async);
}

/* A declined card leaves the session open, as at Stripe: a failed charge and its events. */
static const char *declined(json_t *s, const struct sb_card *card)
{
    if (mode_is(s, "payment")) {
        json_t *pi = sb_get(jstr(s, "payment_intent"));
        json_t *data = jobj(s, "_payment_intent_data");
        if (!pi) {
            pi = sb_payment_intent_make(jint(s, "amount_total"), jstr(s, "currency"),
                                        jstr(s, "customer"));
            sb_metadata_merge(pi, json_object_get(data, "metadata"));
            jset_str(s, "payment_intent", jstr(pi, "id"));
            jset_bool(pi, "_announced", true);
            sb_event("payment_intent.created", pi);
        }
        json_t *pm = sb_card_attach(card, NULL, NULL);
        sb_payment_fail(pi, jstr(pm, "id"), card->code, card->decline);
    }
    return !strcmp(card->decline, "insufficient_funds")
               ? "Your card has insufficient funds. Try a different card."
               : "Your card was declined. Please try a different card.";
}

static void complete(json_t *s)
{
    jset_str(s, "status", "complete");
    jset_null(s, "url");
    sb_event("checkout.session.completed", s);
}

const char *sb_checkout_pay(json_t *s, const struct sb_pay *pay, bool *action)
{
    const struct sb_card *card = sb_card_find(pay->card ? pay->card : "4242424242424242");
    *action = false;
    if (strcmp(jstr(s, "status"), "open"))
        return "This session is no longer open.";
    if (!card)
        return "Your card number is invalid.";
    if (pay->async && !mode_is(s, "payment"))
        return "The sandbox plays payments that take days in payment mode only.";
    if (jint(s, "amount_total") > 0 && card->decline)
        return declined(s, card);
    if (card->authenticate && !pay->authenticated) {
        *action = true;
        return "This card needs authentication.";
    }
    session_customer(s, pay);
    json_t *pm = sb_card_attach(card, jstr(s, "customer"), jpath_str(s, "customer_details.email"));
    if (mode_is(s, "subscription"))
        pay_subscription(s, jstr(pm, "id"));
    else
        pay_once(s, jstr(pm, "id"), pay);
    complete(s);
    if (pay->async && strcmp(pay->async, "pending"))
        sb_due(sb_now() + pay->async_delay, SB_DUE_ASYNC, jstr(s, "id"));
    return NULL;
}

void sb_checkout_async(json_t *s, bool succeed)
{
    json_t *pi = sb_get(jstr(s, "payment_intent"));
    char pm[80];
    snprintf(pm, sizeof pm, "%s", jstr(pi, "payment_method"));
    if (!pi || strcmp(jstr(pi, "status"), "processing"))
        return;
    if (succeed) {
        sb_payment_succeed(pi, pm);
        jset_str(s, "payment_status", "paid");
        sb_event("checkout.session.async_payment_succeeded", s);
    } else {
        sb_payment_fail(pi, pm, "payment_intent_payment_attempt_failed", "generic_decline");
        sb_event("checkout.session.async_payment_failed", s);
    }
}

void sb_checkout_async_due(const char *id)
{
    json_t *s = sb_get(id);
    if (s)
        sb_checkout_async(s, strcmp(jstr(s, "_async"), "fail") != 0);
}

char *sb_return_url(const json_t *s)
{
    static const char hole[] = "{CHECKOUT_SESSION_ID}";
    const char *url = jstr(s, "success_url"), *id = jstr(s, "id"), *p;
    size_t size = strlen(url) + 16 * strlen(id) + 1, n = 0;
    char *out = calloc(1, size);
    if (!out)
        abort();
    while ((p = strstr(url, hole)) && n + strlen(url) + strlen(id) < size) {
        n += (size_t)snprintf(out + n, size - n, "%.*s%s", (int)(p - url), url, id);
        url = p + strlen(hole);
    }
    snprintf(out + n, size - n, "%s", url);
    return out;
}

const struct sb_route sb_checkout_routes[] = {
    {"GET", "/v1/checkout/sessions", session_list},
    {"POST", "/v1/checkout/sessions", session_create},
    {"GET", "/v1/checkout/sessions/{}", session_get},
    {"POST", "/v1/checkout/sessions/{}", session_update},
    {"POST", "/v1/checkout/sessions/{}/expire", session_expire},
    {"GET", "/v1/checkout/sessions/{}/line_items", session_line_items},
    {NULL, NULL, NULL},
};
