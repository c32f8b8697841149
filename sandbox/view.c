/* The shape an answer has: without the sandbox's own keys, before or since 2025-03-31.basil,
 * expanded. */
#include "sandbox.h"
#include <stdio.h>
#include <string.h>

static void move(json_t *o, const char *key, json_t *v)
{
    json_object_set(o, key, v ? v : json_null());
}

static void old_subscription(json_t *o)
{
    json_t *items = jpath(o, "items.data"), *item;
    size_t i;
    int64_t start = sb_period_start(o), end = sb_period_end(o);
    json_array_foreach(items, i, item)
    {
        json_object_del(item, "current_period_start");
        json_object_del(item, "current_period_end");
    }
    jset_int(o, "current_period_start", start);
    jset_int(o, "current_period_end", end);
    move(o, "plan", jpath(o, "items.data.0.plan"));
    move(o, "quantity", jpath(o, "items.data.0.quantity"));
    json_t *first = json_array_get(jarr(o, "discounts"), 0);
    json_t *full = json_is_string(first) ? sb_get(json_string_value(first)) : NULL;
    jset(o, "discount", full ? sb_view(full, true) : json_null());
    json_object_del(o, "billing_mode");
    json_object_del(o, "billing_schedules");
    json_object_del(o, "managed_payments");
}

static void old_line(json_t *o)
{
    json_t *details = jpath(o, "parent.subscription_item_details");
    json_t *price = sb_get_deleted(jpath_str(o, "pricing.price_details.price"));
    jset_str(o, "type", details ? "subscription" : "invoiceitem");
    move(o, "subscription", json_object_get(details, "subscription"));
    move(o, "subscription_item", json_object_get(details, "subscription_item"));
    jset_bool(o, "proration", jbool(details, "proration"));
    jset(o, "price", price ? sb_view(price, true) : json_null());
    json_object_del(o, "parent");
    json_object_del(o, "pricing");
    json_object_del(o, "taxes");
}

static json_t *invoice_payment_of(const char *invoice)
{
    json_t *all = sb_all("invoice_payment");
    for (size_t i = json_array_size(all); i-- > 0;)
        if (!strcmp(jstr(json_array_get(all, i), "invoice"), invoice))
            return json_array_get(all, i);
    return NULL;
}

static void old_invoice(json_t *o)
{
    json_t *details = jpath(o, "parent.subscription_details");
    json_t *payment = invoice_payment_of(jstr(o, "id"));
    json_t *pi = sb_get(jpath_str(payment, "payment.payment_intent"));
    move(o, "subscription", json_object_get(details, "subscription"));
    json_t *metadata = json_object_get(details, "metadata");
    jset(o, "subscription_details",
         json_pack("{s:o}", "metadata", metadata ? json_incref(metadata) : json_object()));
    jset_bool(o, "paid", !strcmp(jstr(o, "status"), "paid"));
    jset_bool(o, "paid_out_of_band", false);
    jset_str(o, "payment_intent", pi ? jstr(pi, "id") : NULL);
    jset_str(o, "charge", pi && jhas(pi, "latest_charge") ? jstr(pi, "latest_charge") : NULL);
    jset_null(o, "discount");
    jset_null(o, "tax");
    jset_null(o, "quote");
    jset(o, "total_tax_amounts", json_array());
    json_object_del(o, "parent");
    json_object_del(o, "payments");
    json_object_del(o, "total_taxes");
    json_object_del(o, "amount_overpaid");
    json_object_del(o, "confirmation_secret");
}

static void old_payment(json_t *o, const char *pi)
{
    json_t *all = sb_all("invoice_payment"), *p;
    size_t i;
    jset_null(o, "invoice");
    json_array_foreach(all, i, p)
    {
        if (!strcmp(jpath_str(p, "payment.payment_intent"), pi))
            jset_str(o, "invoice", jstr(p, "invoice"));
    }
}

static void old_discount(json_t *o)
{
    json_t *coupon = sb_get_deleted(jpath_str(o, "source.coupon"));
    jset(o, "coupon", coupon ? sb_view(coupon, true) : json_null());
    json_object_del(o, "source");
}

static void old_promotion(json_t *o)
{
    json_t *coupon = sb_get_deleted(jpath_str(o, "promotion.coupon"));
    jset(o, "coupon", coupon ? sb_view(coupon, true) : json_null());
    json_object_del(o, "promotion");
}

static void old_shape(json_t *o)
{
    const char *type = jstr(o, "object");
    if (!strcmp(type, "subscription"))
        old_subscription(o);
    else if (!strcmp(type, "invoice"))
        old_invoice(o);
    else if (!strcmp(type, "line_item"))
        old_line(o);
    else if (!strcmp(type, "charge"))
        old_payment(o, jstr(o, "payment_intent"));
    else if (!strcmp(type, "payment_intent"))
        old_payment(o, jstr(o, "id"));
    else if (!strcmp(type, "discount"))
        old_discount(o);
    else if (!strcmp(type, "promotion_code"))
        old_promotion(o);
}

static json_t *view_value(const json_t *v, bool legacy)
{
    if (json_is_object(v))
        return sb_view(v, legacy);
    if (!json_is_array(v))
        return json_copy((json_t *)(uintptr_t)v);
    json_t *out = json_array(), *x;
    size_t i;
    json_array_foreach(v, i, x)
    {
        json_array_append_new(out, view_value(x, legacy));
    }
    return out;
}

json_t *sb_view(const json_t *o, bool legacy)
{
    if (!strcmp(jstr(o, "object"), "event")) /* an event keeps the shape it was made in */
        legacy = false;
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        if (*key != '_')
            jset(out, key, view_value(v, legacy));
    }
    if (jbool(o, "_deleted")) {
        json_t *gone = json_pack("{s:O, s:O, s:b}", "id", json_object_get(o, "id"), "object",
                                 json_object_get(o, "object"), "deleted", 1);
        json_decref(out);
        return gone;
    }
    if (legacy)
        old_shape(out);
    return out;
}

/* Lists that are there only when asked for. */
static json_t *included(const json_t *o, const char *key, bool legacy)
{
    const char *type = jstr(o, "object"), *id = jstr(o, "id"), *of, *by, *root;
    char url[160];
    if (!strcmp(type, "checkout.session") && !strcmp(key, "line_items"))
        return sb_line_items(sb_get_deleted(id));
    if (!strcmp(type, "invoice") && !strcmp(key, "payments") && !legacy)
        of = "invoice_payment", by = "invoice", root = "/v1/invoice_payments?invoice=";
    else if (!strcmp(type, "charge") && !strcmp(key, "refunds"))
        of = "refund", by = "charge", root = "/v1/refunds?charge=";
    else if (!strcmp(type, "customer") && !strcmp(key, "subscriptions"))
        of = "subscription", by = "customer", root = "/v1/subscriptions?customer=";
    else
        return NULL;
    snprintf(url, sizeof url, "%s%s", root, id);
    json_t *list = jlist(url), *all = sb_all(of);
    for (size_t i = json_array_size(all); i-- > 0;) {
        json_t *x = json_array_get(all, i);
        bool over = !strcmp(of, "subscription") && !strcmp(jstr(x, "status"), "canceled");
        if (!strcmp(jstr(x, by), id) && !over)
            json_array_append_new(jarr(list, "data"), sb_view(x, legacy));
    }
    return list;
}

static bool expand_at(json_t *holder, json_t *v, const char *key, size_t index, const char *rest,
                      bool legacy)
{
    if (json_is_string(v)) {
        json_t *full = sb_get_deleted(json_string_value(v));
        if (!full)
            return false;
        v = sb_view(full, legacy);
        if (json_is_array(holder))
            json_array_set_new(holder, index, v);
        else
            jset(holder, key, v);
    }
    return !*rest || json_is_null(v) || sb_expand(v, rest, legacy);
}

bool sb_expand(json_t *view, const char *path, bool legacy)
{
    char key[64];
    size_t n = strcspn(path, "."), i;
    const char *rest = path + n + (path[n] == '.');
    if (n >= sizeof key || !n)
        return false;
    memcpy(key, path, n);
    key[n] = 0;
    json_t *v = json_object_get(view, key), *x;
    if (!v || (json_is_null(v) && strcmp(jstr(view, "object"), "list"))) {
        json_t *list = included(view, key, legacy);
        if (list)
            jset(view, key, list);
        else
            return v != NULL; /* null stays null */
        v = list;
    }
    if (json_is_array(v)) {
        bool ok = true;
        json_array_foreach(v, i, x)
        {
            ok = expand_at(v, x, key, i, rest, legacy) && ok;
        }
        return ok;
    }
    return expand_at(view, v, key, 0, rest, legacy);
}
