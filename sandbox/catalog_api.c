/* Products, prices, coupons, promotion codes. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- products */

json_t *sb_product_make(const char *id, const char *name)
{
    json_t *p = sb_new("product", "prod_", id);
    jset_bool(p, "active", true);
    jset_str(p, "name", name);
    jset_str(p, "type", "service");
    jset_int(p, "updated", sb_now());
    return p;
}

static void product_set(json_t *p, json_t *in)
{
    static const char *const plain[] = {"active",     "name",    "description",
                                        "images",     "url",     "statement_descriptor",
                                        "unit_label", "tax_code"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        jcopy(p, in, plain[i]);
    sb_metadata_merge(p, json_object_get(in, "metadata"));
    jset_int(p, "updated", sb_now());
}

static json_t *product_create(struct sb_call *c)
{
    if (sb_get(jstr(c->in, "id")))
        return sb_fail(c, 400, "resource_already_exists", "id", "Product already exists.");
    json_t *p = sb_product_make(jstr(c->in, "id"), jstr(c->in, "name"));
    product_set(p, c->in);
    sb_event("product.created", p);
    return json_incref(p);
}

static json_t *product_get(struct sb_call *c)
{
    return sb_one(c, "product", "product");
}

static json_t *product_update(struct sb_call *c)
{
    return sb_change(c, "product", "product", product_set);
}

static json_t *product_delete(struct sb_call *c)
{
    json_t *p = sb_find(c->arg, "product");
    if (!p)
        return sb_missing(c, "product", c->arg, "id");
    sb_event("product.deleted", p);
    sb_delete(p);
    return json_incref(p);
}

static bool in_array(const json_t *in, const char *key, const char *value)
{
    json_t *list = jarr(in, key), *x;
    size_t i;
    json_array_foreach(list, i, x)
    {
        if (!strcmp(json_string_value(x), value))
            return true;
    }
    return list == NULL;
}

static bool product_kept(const json_t *o, const json_t *in)
{
    return (!jhas(in, "active") || jbool(in, "active") == jbool(o, "active")) &&
           in_array(in, "ids", jstr(o, "id"));
}
static json_t *product_list(struct sb_call *c)
{
    return sb_list(c, "product", product_kept);
}

/* ---- prices */

static json_t *recurring_make(const json_t *in)
{
    return json_pack("{s:s, s:I, s:n, s:n, s:s}", "interval", jstr(in, "interval"),
                     "interval_count",
                     (json_int_t)(jhas(in, "interval_count") ? jint(in, "interval_count") : 1),
                     "meter", "trial_period_days", "usage_type", "licensed");
}

json_t *sb_price_make(const json_t *in)
{
    json_t *p = sb_new("price", "price_1", NULL);
    char decimal[32];
    snprintf(decimal, sizeof decimal, "%lld", (long long)jint(in, "unit_amount"));
    jset_bool(p, "active", !jhas(in, "active") || jbool(in, "active"));
    jset_str(p, "billing_scheme", "per_unit");
    jset_str(p, "currency", jstr(in, "currency"));
    jset_int(p, "unit_amount", jint(in, "unit_amount"));
    jset_str(p, "unit_amount_decimal", decimal);
    jset_str(p, "product", jstr(in, "product"));
    jset_str(p, "tax_behavior", "unspecified");
    jset_str(p, "type", jobj(in, "recurring") ? "recurring" : "one_time");
    if (jobj(in, "recurring"))
        jset(p, "recurring", recurring_make(jobj(in, "recurring")));
    jcopy(p, in, "nickname");
    jcopy(p, in, "lookup_key");
    sb_metadata_merge(p, json_object_get(in, "metadata"));
    return p;
}

/* A lookup key belongs to one price: true if it is free, or was taken over. */
static bool lookup_claim(struct sb_call *c, const char *self)
{
    const char *key = jstr(c->in, "lookup_key");
    json_t *p;
    size_t i;
    if (!*key)
        return true;
    json_array_foreach(sb_all("price"), i, p)
    {
        if (strcmp(jstr(p, "lookup_key"), key) || !strcmp(jstr(p, "id"), self))
            continue;
        if (!jbool(c->in, "transfer_lookup_key")) {
            sb_fail(c, 400, NULL, "lookup_key", "A price (`%s`) already uses that lookup key.",
                    jstr(p, "id"));
            return false;
        }
        json_t *before = json_deep_copy(p);
        jset_null(p, "lookup_key");
        sb_event_updated("price.updated", p, before);
        json_decref(before);
    }
    return true;
}

static json_t *price_create(struct sb_call *c)
{
    const char *product = jstr(c->in, "product");
    json_t *data = jobj(c->in, "product_data");
    if (!jhas(c->in, "unit_amount") && !jhas(c->in, "unit_amount_decimal"))
        return sb_fail(c, 400, "parameter_missing", "unit_amount",
                       "Missing required param: unit_amount.");
    if (jint(c->in, "unit_amount") < 0)
        return sb_fail(c, 400, "parameter_invalid_integer", "unit_amount",
                       "Invalid non-negative integer");
    if ((*product != 0) == (data != NULL))
        return sb_fail(c, 400, "parameter_missing", "product",
                       "You must specify either `product` or `product_data` when creating a "
                       "price.");
    if (*product && !sb_find(product, "product"))
        return sb_missing(c, "product", product, "product");
    if (!lookup_claim(c, ""))
        return NULL;
    if (data) {
        json_t *made = sb_product_make(jstr(data, "id"), jstr(data, "name"));
        sb_event("product.created", made);
        jset_str(c->in, "product", jstr(made, "id"));
    }
    json_t *p = sb_price_make(c->in);
    sb_event("price.created", p);
    return json_incref(p);
}

static json_t *price_get(struct sb_call *c)
{
    return sb_one(c, "price", "price");
}

static void price_set(json_t *p, json_t *in)
{
    jcopy(p, in, "active");
    jcopy(p, in, "nickname");
    jcopy(p, in, "lookup_key");
    sb_metadata_merge(p, json_object_get(in, "metadata"));
}

static json_t *price_update(struct sb_call *c)
{
    return sb_find(c->arg, "price") && !lookup_claim(c, c->arg)
               ? NULL
               : sb_change(c, "price", "price", price_set);
}

static bool price_kept(const json_t *o, const json_t *in)
{
    if (jbool(o, "_inline"))
        return false;
    return (!jhas(in, "active") || jbool(in, "active") == jbool(o, "active")) &&
           (!jhas(in, "product") || !strcmp(jstr(in, "product"), jstr(o, "product"))) &&
           (!jhas(in, "type") || !strcmp(jstr(in, "type"), jstr(o, "type"))) &&
           (!jhas(in, "currency") || !strcmp(jstr(in, "currency"), jstr(o, "currency"))) &&
           in_array(in, "lookup_keys", jstr(o, "lookup_key"));
}
static json_t *price_list(struct sb_call *c)
{
    return sb_list(c, "price", price_kept);
}

/* ---- coupons */

/* What it takes off: percent rounded half up, never more than the amount. */
int64_t sb_coupon_off(const json_t *coupon, int64_t amount)
{
    if (jhas(coupon, "amount_off"))
        return jint(coupon, "amount_off") < amount ? jint(coupon, "amount_off") : amount;
    double percent = json_number_value(json_object_get(coupon, "percent_off"));
    int64_t hundredths = (int64_t)(percent * 100 + 0.5);
    return (amount * hundredths + 5000) / 10000;
}

json_t *sb_discount_make(const char *coupon, const char *customer)
{
    json_t *d = sb_new("discount", "di_1", NULL);
    json_t *c = sb_find(coupon, "coupon");
    jset_str(jobj(d, "source"), "coupon", coupon);
    jset_int(d, "start", sb_now());
    if (customer && *customer)
        jset_str(d, "customer", customer);
    jset_int(c, "times_redeemed", jint(c, "times_redeemed") + 1);
    return d;
}

static json_t *coupon_create(struct sb_call *c)
{
    bool percent = jhas(c->in, "percent_off"), amount = jhas(c->in, "amount_off");
    double p = json_number_value(json_object_get(c->in, "percent_off"));
    if (percent == amount)
        return sb_fail(c, 400, "parameter_missing", "percent_off",
                       "Must pass either `percent_off` or `amount_off`, not both.");
    if (percent && (p <= 0 || p > 100))
        return sb_fail(c, 400, NULL, "percent_off",
                       "Invalid percent_off: must be greater than 0 and at most 100");
    if (amount && !jhas(c->in, "currency"))
        return sb_fail(c, 400, "parameter_missing", "currency",
                       "Must provide currency when passing amount_off.");
    if (sb_get(jstr(c->in, "id")))
        return sb_fail(c, 400, "resource_already_exists", "id", "Coupon already exists.");
    json_t *o = sb_new("coupon", "", jstr(c->in, "id"));
    static const char *const plain[] = {"percent_off", "amount_off",         "currency",
                                        "duration",    "duration_in_months", "max_redemptions",
                                        "name",        "redeem_by"};
    jset_str(o, "duration", "once");
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        jcopy(o, c->in, plain[i]);
    jset_bool(o, "valid", true);
    if (!jhas(o, "metadata"))
        jset(o, "metadata", json_object());
    sb_metadata_merge(o, json_object_get(c->in, "metadata"));
    sb_event("coupon.created", o);
    return json_incref(o);
}

static json_t *coupon_get(struct sb_call *c)
{
    return sb_one(c, "coupon", "coupon");
}

static void coupon_set(json_t *o, json_t *in)
{
    jcopy(o, in, "name");
    sb_metadata_merge(o, json_object_get(in, "metadata"));
}

static json_t *coupon_update(struct sb_call *c)
{
    return sb_change(c, "coupon", "coupon", coupon_set);
}

static json_t *coupon_delete(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "coupon");
    if (!o)
        return sb_missing(c, "coupon", c->arg, "id");
    jset_bool(o, "valid", false);
    sb_event("coupon.deleted", o);
    sb_delete(o);
    return json_incref(o);
}

static json_t *coupon_list(struct sb_call *c)
{
    return sb_list(c, "coupon", NULL);
}

/* ---- promotion codes */

static json_t *promotion_create(struct sb_call *c)
{
    const char *coupon = jpath_str(c->in, "promotion.coupon");
    if (!sb_find(coupon, "coupon"))
        return sb_missing(c, "coupon", coupon, "promotion[coupon]");
    json_t *o = sb_new("promotion_code", "promo_1", NULL);
    char code[80];
    sb_id("", code);
    code[8] = 0;
    jset_bool(o, "active", true);
    jset_str(o, "code", code);
    jset_str(jobj(o, "promotion"), "coupon", coupon);
    jcopy(o, c->in, "code");
    jcopy(o, c->in, "max_redemptions");
    jcopy(o, c->in, "expires_at");
    jcopy(o, c->in, "customer");
    if (!jhas(o, "metadata"))
        jset(o, "metadata", json_object());
    sb_metadata_merge(o, json_object_get(c->in, "metadata"));
    sb_event("promotion_code.created", o);
    return json_incref(o);
}

static bool promotion_kept(const json_t *o, const json_t *in)
{
    return (!jhas(in, "code") || !strcmp(jstr(in, "code"), jstr(o, "code"))) &&
           (!jhas(in, "active") || jbool(in, "active") == jbool(o, "active"));
}
static json_t *promotion_list(struct sb_call *c)
{
    return sb_list(c, "promotion_code", promotion_kept);
}
static json_t *promotion_get(struct sb_call *c)
{
    return sb_one(c, "promotion_code", "promotion code");
}
static void promotion_set(json_t *o, json_t *in)
{
    jcopy(o, in, "active");
    sb_metadata_merge(o, json_object_get(in, "metadata"));
}

static json_t *promotion_update(struct sb_call *c)
{
    return sb_change(c, "promotion_code", "promotion code", promotion_set);
}

const struct sb_route sb_catalog_routes[] = {
    {"GET", "/v1/products", product_list},
    {"POST", "/v1/products", product_create},
    {"GET", "/v1/products/{}", product_get},
    {"POST", "/v1/products/{}", product_update},
    {"DELETE", "/v1/products/{}", product_delete},
    {"GET", "/v1/prices", price_list},
    {"POST", "/v1/prices", price_create},
    {"GET", "/v1/prices/{}", price_get},
    {"POST", "/v1/prices/{}", price_update},
    {"GET", "/v1/coupons", coupon_list},
    {"POST", "/v1/coupons", coupon_create},
    {"GET", "/v1/coupons/{}", coupon_get},
    {"POST", "/v1/coupons/{}", coupon_update},
    {"DELETE", "/v1/coupons/{}", coupon_delete},
    {"GET", "/v1/promotion_codes", promotion_list},
    {"POST", "/v1/promotion_codes", promotion_create},
    {"GET", "/v1/promotion_codes/{}", promotion_get},
    {"POST", "/v1/promotion_codes/{}", promotion_update},
    {NULL, NULL, NULL},
};
