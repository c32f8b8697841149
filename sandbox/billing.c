/* Invoices, payments, refunds, disputes: what happens to money, and the events that say so. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY INT64_C(86400)

/* ---- payments */

json_t *sb_payment_intent_make(int64_t amount, const char *currency, const char *customer)
{
    json_t *pi = sb_new("payment_intent", "pi_3", NULL);
    char secret[180];
    snprintf(secret, sizeof secret, "%s_secret_sandbox", jstr(pi, "id"));
    jset_int(pi, "amount", amount);
    jset_str(pi, "currency", currency);
    jset_str(pi, "customer", customer && *customer ? customer : NULL);
    jset_str(pi, "capture_method", "automatic_async");
    jset_str(pi, "confirmation_method", "automatic");
    jset_str(pi, "client_secret", secret);
    jset_str(pi, "status", "requires_payment_method");
    jset(pi, "payment_method_types", json_pack("[s]", "card"));
    return pi;
}

static json_t *charge_details(const json_t *pm)
{
    static const char *const known[] = {"brand",    "checks",  "country", "exp_month",
                                        "exp_year", "funding", "last4",   "regulated_status"};
    static const char *const empty[] = {"amount_authorized",
                                        "authorization_code",
                                        "electronic_commerce_indicator",
                                        "installments",
                                        "mandate",
                                        "network_transaction_id",
                                        "three_d_secure",
                                        "transaction_link_id",
                                        "wallet"};
    json_t *card = json_object(), *of = jobj(pm, "card");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        jcopy(card, of, known[i]);
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        jset_null(card, empty[i]);
    jset_str(card, "network", jstr(of, "brand"));
    return json_pack("{s:o, s:s}", "card", card, "type", "card");
}

static json_t *charge_make(json_t *pi, const char *pm_id)
{
    json_t *ch = sb_new("charge", "ch_3", NULL), *pm = sb_get(pm_id);
    jset_int(ch, "amount", jint(pi, "amount"));
    jset_str(ch, "currency", jstr(pi, "currency"));
    jcopy(ch, pi, "customer");
    jcopy(ch, pi, "metadata");
    jcopy(ch, pi, "description");
    jset_str(ch, "payment_intent", jstr(pi, "id"));
    jset_bool(ch, "captured", true);
    if (pm) {
        jset_str(ch, "payment_method", pm_id);
        jset(ch, "payment_method_details", charge_details(pm));
        jcopy(ch, pm, "billing_details");
    }
    jset_str(pi, "latest_charge", jstr(ch, "id"));
    return ch;
}

void sb_payment_succeed(json_t *pi, const char *pm)
{
    json_t *ch = charge_make(pi, pm);
    char url[192];
    snprintf(url, sizeof url, "%s/receipts/%s", sb_config.base, jstr(ch, "id"));
    jset_int(ch, "amount_captured", jint(ch, "amount"));
    jset_bool(ch, "paid", true);
    jset_str(ch, "status", "succeeded");
    jset_str(ch, "receipt_url", url);
    jset(ch, "outcome",
         json_pack("{s:n, s:n, s:n, s:s, s:n, s:s, s:i, s:s, s:s}", "advice_code",
                   "network_advice_code", "network_decline_code", "network_status",
                   "approved_by_network", "reason", "risk_level", "normal", "risk_score", 20,
                   "seller_message", "Payment complete.", "type", "authorized"));
    jset_str(pi, "status", "succeeded");
    jset_int(pi, "amount_received", jint(pi, "amount"));
    jset_str(pi, "payment_method", *pm ? pm : NULL);
    jset_null(pi, "last_payment_error");
    jset_null(pi, "next_action");
    sb_event("charge.succeeded", ch);
    sb_event("payment_intent.succeeded", pi);
}

void sb_payment_fail(json_t *pi, const char *pm, const char *code, const char *decline)
{
    json_t *ch = charge_make(pi, pm);
    const char *say = "Your card was declined.";
    jset_str(ch, "status", "failed");
    jset_bool(ch, "captured", false);
    jset_str(ch, "failure_code", code);
    jset_str(ch, "failure_message", say);
    jset(ch, "outcome",
         json_pack("{s:n, s:n, s:n, s:s, s:s, s:s, s:i, s:s, s:s}", "advice_code",
                   "network_advice_code", "network_decline_code", "network_status",
                   "declined_by_network", "reason", decline, "risk_level", "normal", "risk_score",
                   20, "seller_message", "The bank did not return any further details.", "type",
                   "issuer_declined"));
    jset_str(pi, "status", "requires_payment_method");
    jset_null(pi, "payment_method");
    jset(pi, "last_payment_error",
         json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "card_error", "code", code, "decline_code",
                   decline, "message", say, "charge", jstr(ch, "id")));
    sb_event("charge.failed", ch);
    sb_event("payment_intent.payment_failed", pi);
}

enum sb_attempt sb_payment_try(json_t *pi, const char *pm, bool on_session)
{
    const struct sb_card *card = sb_card_find(jstr(sb_get(pm), "_card"));
    if (!card) {
        sb_payment_fail(pi, "", "card_declined", "generic_decline");
        return SB_FAILED;
    }
    if (card->decline || (card->fails_later && !on_session)) {
        sb_payment_fail(pi, pm, card->code ? card->code : "card_declined",
                        card->decline ? card->decline : "generic_decline");
        return SB_FAILED;
    }
    if (card->authenticate_always && !on_session) {
        jset_str(pi, "status", "requires_action");
        jset_str(pi, "payment_method", pm);
        jset(pi, "next_action",
             json_pack("{s:s, s:{}}", "type", "use_stripe_sdk", "use_stripe_sdk"));
        sb_event("payment_intent.requires_action", pi);
        return SB_NEEDS_ACTION;
    }
    sb_payment_succeed(pi, pm);
    return SB_PAID;
}

/* ---- invoices */

json_t *sb_invoice_make(json_t *sub, const char *reason)
{
    json_t *in = sb_new("invoice", "in_1", NULL), *customer = sb_get(jstr(sub, "customer"));
    const char *id = jstr(in, "id");
    char url[160];
    jset_str(in, "status", "draft");
    jset_str(in, "billing_reason", reason);
    jset_str(in, "account_country", "US");
    jset_str(in, "account_name", "MyBeing sandbox");
    jset_bool(in, "auto_advance", true);
    jset_str(in, "currency", jstr(sub, "currency"));
    jset_str(in, "customer", jstr(sub, "customer"));
    jset_str(in, "customer_email", jhas(customer, "email") ? jstr(customer, "email") : NULL);
    jset_str(in, "customer_name", jhas(customer, "name") ? jstr(customer, "name") : NULL);
    jset_str(in, "customer_tax_exempt", "none");
    jset(in, "customer_tax_ids", json_array());
    jset_str(jobj(in, "issuer"), "type", "self");
    if (!jhas(in, "metadata"))
        jset(in, "metadata", json_object());
    jset_int(in, "period_start", sb_now());
    jset_int(in, "period_end", sb_now());
    jset(in, "parent",
         json_pack("{s:n, s:{s:O, s:s}, s:s}", "quote_details", "subscription_details", "metadata",
                   json_object_get(sub, "metadata"), "subscription", jstr(sub, "id"), "type",
                   "subscription_details"));
    snprintf(url, sizeof url, "/v1/invoices/%s/lines", id);
    jset(in, "lines", jlist(url));
    snprintf(url, sizeof url, "%s/invoice/%s", sb_config.base, id);
    jset_str(in, "_hosted", url);
    jset_str(in, "_sub", jstr(sub, "id"));
    return in;
}

json_t *sb_invoice_line(json_t *invoice, json_t *sub, json_t *item, int64_t amount, int64_t start,
                        int64_t end, bool proration, const char *text)
{
    json_t *line = sb_template("line_item"), *price = jobj(item, "price");
    char id[80];
    sb_id("il_1", id);
    jset_str(line, "id", id);
    jset_int(line, "amount", amount);
    jset_int(line, "subtotal", amount);
    jset_str(line, "currency", jstr(invoice, "currency"));
    jset_str(line, "description", text);
    jset(line, "discount_amounts", json_array());
    jset_bool(line, "discountable", !proration);
    jset_str(line, "invoice", jstr(invoice, "id"));
    jcopy(line, sub, "metadata");
    jset(line, "period", json_pack("{s:I, s:I}", "start", start, "end", end));
    jset_int(line, "quantity", jint(item, "quantity"));
    jset_str(line, "subscription", jstr(sub, "id"));
    jset(line, "parent",
         json_pack("{s:n, s:{s:n, s:b, s:{s:n}, s:s, s:s}, s:s}", "invoice_item_details",
                   "subscription_item_details", "invoice_item", "proration", (int)proration,
                   "proration_details", "credited_items", "subscription", jstr(sub, "id"),
                   "subscription_item", jstr(item, "id"), "type", "subscription_item_details"));
    jset(line, "pricing",
         json_pack("{s:{s:s, s:s}, s:s, s:s}", "price_details", "price", jstr(price, "id"),
                   "product", jstr(price, "product"), "type", "price_details",
                   "unit_amount_decimal", jstr(price, "unit_amount_decimal")));
    json_array_append_new(jpath(invoice, "lines.data"), line);
    return line;
}

void sb_invoice_lines(json_t *invoice, json_t *sub)
{
    json_t *item, *line;
    size_t i;
    json_array_foreach(jarr(sub, "_pending"), i, line)
    {
        jset_str(line, "invoice", jstr(invoice, "id"));
        json_array_append(jpath(invoice, "lines.data"), line);
    }
    json_object_del(sub, "_pending");
    json_array_foreach(jpath(sub, "items.data"), i, item)
    {
        json_t *price = jobj(item, "price"), *product = sb_get_deleted(jstr(price, "product"));
        int64_t amount = jint(price, "unit_amount") * jint(item, "quantity");
        char text[256];
        snprintf(text, sizeof text, "%lld × %s (at $%lld.%02lld / %s)",
                 (long long)jint(item, "quantity"), jstr(product, "name"),
                 (long long)jint(price, "unit_amount") / 100,
                 (long long)jint(price, "unit_amount") % 100,
                 jpath_str(price, "recurring.interval"));
        sb_invoice_line(invoice, sub, item, jbool(sub, "_trial_line") ? 0 : amount,
                        jint(item, "current_period_start"), jint(item, "current_period_end"), false,
                        text);
    }
}

/* A discount holds once, for some months or for ever, from its start. */
static bool discount_holds(const json_t *discount, const json_t *coupon)
{
    const char *duration = jstr(coupon, "duration");
    if (!strcmp(duration, "once"))
        return !jbool(discount, "_used");
    if (strcmp(duration, "repeating"))
        return true;
    return sb_now() <
           sb_months(jint(discount, "start"), (int)jint(coupon, "duration_in_months"), 0);
}

static int64_t invoice_discounts(json_t *invoice, json_t *sub, int64_t subtotal)
{
    int64_t off = 0;
    json_t *x;
    size_t i;
    json_array_foreach(jarr(sub, "discounts"), i, x)
    {
        json_t *d = sb_get(json_string_value(x));
        json_t *coupon = sb_get_deleted(jpath_str(d, "source.coupon"));
        if (!d || !discount_holds(d, coupon) || subtotal <= off)
            continue;
        int64_t amount = sb_coupon_off(coupon, subtotal - off);
        off += amount;
        json_array_append_new(jarr(invoice, "discounts"), json_string(jstr(d, "id")));
        json_array_append_new(jarr(invoice, "total_discount_amounts"),
                              json_pack("{s:I, s:s}", "amount", amount, "discount", jstr(d, "id")));
        jset_bool(d, "_used", true);
    }
    return off;
}

void sb_invoice_finish(json_t *invoice, json_t *sub)
{
    int64_t subtotal = 0;
    json_t *line;
    size_t i;
    json_array_foreach(jpath(invoice, "lines.data"), i, line)
    {
        subtotal += jint(line, "amount");
    }
    if (!jarr(invoice, "discounts"))
        jset(invoice, "discounts", json_array());
    jset(invoice, "total_discount_amounts", json_array());
    int64_t total = subtotal - invoice_discounts(invoice, sub, subtotal);
    int64_t due = total > 0 ? total : 0;
    jset_int(invoice, "subtotal", subtotal);
    jset_int(invoice, "subtotal_excluding_tax", subtotal);
    jset_int(invoice, "total", total);
    jset_int(invoice, "total_excluding_tax", total);
    jset_int(invoice, "amount_due", due);
    jset_int(invoice, "amount_remaining", due);
    jset_str(sub, "latest_invoice", jstr(invoice, "id"));
    sb_event("invoice.created", invoice);
}

static json_t *invoice_payment(const json_t *invoice)
{
    json_t *all = sb_all("invoice_payment");
    for (size_t i = json_array_size(all); i-- > 0;)
        if (!strcmp(jstr(json_array_get(all, i), "invoice"), jstr(invoice, "id")))
            return json_array_get(all, i);
    return NULL;
}

void sb_invoice_finalize(json_t *invoice)
{
    char number[64];
    json_t *customer = sb_get_deleted(jstr(invoice, "customer"));
    int64_t n = jint(customer, "next_invoice_sequence");
    if (strcmp(jstr(invoice, "status"), "draft"))
        return;
    snprintf(number, sizeof number, "%.8s-%04lld", jstr(customer, "invoice_prefix"), (long long)n);
    if (customer)
        jset_int(customer, "next_invoice_sequence", n + 1);
    jset_str(invoice, "status", "open");
    jset_str(invoice, "number", number);
    jset_str(invoice, "hosted_invoice_url", jstr(invoice, "_hosted"));
    jset_int(invoice, "effective_at", sb_now());
    jset_int(jobj(invoice, "status_transitions"), "finalized_at", sb_now());
    if (jint(invoice, "amount_due") > 0) {
        json_t *pi = sb_payment_intent_make(jint(invoice, "amount_due"), jstr(invoice, "currency"),
                                            jstr(invoice, "customer"));
        json_t *p = sb_new("invoice_payment", "inpay_1", NULL);
        jset_str(pi, "description",
                 strcmp(jstr(invoice, "billing_reason"), "subscription_create")
                     ? "Subscription update"
                     : "Subscription creation");
        jset_int(p, "amount_requested", jint(invoice, "amount_due"));
        jset_str(p, "currency", jstr(invoice, "currency"));
        jset_str(p, "invoice", jstr(invoice, "id"));
        jset_bool(p, "is_default", true);
        jset(p, "payment",
             json_pack("{s:s, s:s}", "payment_intent", jstr(pi, "id"), "type", "payment_intent"));
        jset_str(p, "status", "open");
    }
    sb_event("invoice.finalized", invoice);
}

void sb_invoice_paid(json_t *invoice)
{
    json_t *p = invoice_payment(invoice);
    jset_str(invoice, "status", "paid");
    jset_int(invoice, "amount_paid", jint(invoice, "amount_due"));
    jset_int(invoice, "amount_remaining", 0);
    jset_bool(invoice, "attempted", true);
    jset_bool(invoice, "auto_advance", false);
    jset_null(invoice, "next_payment_attempt");
    jset_int(jobj(invoice, "status_transitions"), "paid_at", sb_now());
    if (p) {
        jset_str(p, "status", "paid");
        jset_int(p, "amount_paid", jint(invoice, "amount_due"));
        jset_int(jobj(p, "status_transitions"), "paid_at", sb_now());
    }
    sb_event("invoice.paid", invoice);
    sb_event("invoice.payment_succeeded", invoice);
    if (p)
        sb_event("invoice_payment.paid", p);
}

/* The card that an invoice is charged to: the subscription's, else the customer's. */
static const char *method_of(const json_t *invoice)
{
    json_t *sub = sb_get_deleted(jstr(invoice, "_sub"));
    if (jhas(sub, "default_payment_method"))
        return jstr(sub, "default_payment_method");
    return jpath_str(sb_get(jstr(invoice, "customer")), "invoice_settings.default_payment_method");
}

static void plan_retry(json_t *invoice)
{
    static const int days[] = {3, 5, 7}; /* after the first failure */
    int64_t n = jint(invoice, "attempt_count");
    if (n == 1)
        jset_int(invoice, "_first_failure", sb_now());
    bool cycle = strcmp(jstr(invoice, "billing_reason"), "subscription_create") != 0;
    if (!cycle || n < 1 || n > 3) {
        jset_null(invoice, "next_payment_attempt");
        return;
    }
    int64_t at = jint(invoice, "_first_failure") + days[n - 1] * DAY;
    jset_int(invoice, "next_payment_attempt", at);
    sb_due(at, SB_DUE_RETRY, jstr(invoice, "id"));
}

static enum sb_attempt charge_invoice(json_t *invoice, bool on_session)
{
    json_t *p = invoice_payment(invoice), *sub = sb_get_deleted(jstr(invoice, "_sub"));
    json_t *pi = sb_get(jpath_str(p, "payment.payment_intent"));
    if (jint(sub, "_fail_next") > 0) {
        jset_int(sub, "_fail_next", jint(sub, "_fail_next") - 1);
        sb_payment_fail(pi, method_of(invoice), "card_declined", "generic_decline");
        return SB_FAILED;
    }
    return sb_payment_try(pi, method_of(invoice), on_session);
}

enum sb_attempt sb_invoice_pay(json_t *invoice, bool on_session)
{
    if (jint(invoice, "amount_due") == 0) {
        sb_invoice_paid(invoice);
        return SB_PAID;
    }
    jset_bool(invoice, "attempted", true);
    jset_int(invoice, "attempt_count", jint(invoice, "attempt_count") + 1);
    enum sb_attempt result = charge_invoice(invoice, on_session);
    if (result == SB_PAID) {
        sb_invoice_paid(invoice);
        return result;
    }
    plan_retry(invoice);
    sb_event("invoice.payment_failed", invoice);
    if (result == SB_NEEDS_ACTION)
        sb_event("invoice.payment_action_required", invoice);
    return result;
}

void sb_invoice_close(json_t *invoice, const char *status)
{
    bool void_it = !strcmp(status, "void");
    jset_str(invoice, "status", status);
    jset_bool(invoice, "auto_advance", false);
    jset_null(invoice, "next_payment_attempt");
    jset_int(jobj(invoice, "status_transitions"), void_it ? "voided_at" : "marked_uncollectible_at",
             sb_now());
    sb_event(void_it ? "invoice.voided" : "invoice.marked_uncollectible", invoice);
}

/* ---- refunds */

static void charge_recount(json_t *charge)
{
    int64_t sum = 0;
    json_t *r;
    size_t i;
    json_array_foreach(sb_all("refund"), i, r)
    {
        const char *status = jstr(r, "status");
        if (!strcmp(jstr(r, "charge"), jstr(charge, "id")) && strcmp(status, "failed") &&
            strcmp(status, "canceled"))
            sum += jint(r, "amount");
    }
    jset_int(charge, "amount_refunded", sum);
    jset_bool(charge, "refunded", sum >= jint(charge, "amount"));
}

json_t *sb_refund_make(json_t *charge, int64_t amount, const char *status, const char *reason,
                       json_t *metadata)
{
    json_t *r = sb_new("refund", "re_3", NULL), *before = json_deep_copy(charge);
    jset_int(r, "amount", amount);
    jset_str(r, "currency", jstr(charge, "currency"));
    jset_str(r, "charge", jstr(charge, "id"));
    jcopy(r, charge, "payment_intent");
    jset_str(r, "reason", reason && *reason ? reason : NULL);
    jset_str(r, "status", status);
    jset(r, "metadata", json_object());
    sb_metadata_merge(r, metadata);
    jset(r, "destination_details",
         json_pack("{s:{s:s}, s:s}", "card", "type", "refund", "type", "card"));
    charge_recount(charge);
    sb_event_updated("charge.refunded", charge, before);
    sb_event("refund.created", r);
    json_decref(before);
    return r;
}

void sb_refund_set(json_t *refund, const char *status)
{
    json_t *charge = sb_get(jstr(refund, "charge")), *before = json_deep_copy(refund);
    json_t *charge_before = json_deep_copy(charge);
    jset_str(refund, "status", status);
    if (!strcmp(status, "failed"))
        jset_str(refund, "failure_reason", "expired_or_canceled_card");
    charge_recount(charge);
    sb_event_updated("refund.updated", refund, before);
    sb_event_updated("charge.refund.updated", refund, before);
    if (!strcmp(status, "failed"))
        sb_event("refund.failed", refund);
    if (jint(charge, "amount_refunded") != jint(charge_before, "amount_refunded"))
        sb_event_updated("charge.updated", charge, charge_before);
    json_decref(before);
    json_decref(charge_before);
}

/* ---- disputes */

json_t *sb_dispute_open(json_t *charge, bool warning, const char *reason)
{
    json_t *d = sb_new("dispute", "du_1", NULL);
    jset_int(d, "amount", jint(charge, "amount"));
    jset_str(d, "currency", jstr(charge, "currency"));
    jset_str(d, "charge", jstr(charge, "id"));
    jcopy(d, charge, "payment_intent");
    jset_str(d, "reason", reason && *reason ? reason : "fraudulent");
    jset_str(d, "status", warning ? "warning_needs_response" : "needs_response");
    jset_bool(d, "is_charge_refundable", warning);
    jset_int(jobj(d, "evidence_details"), "due_by", sb_now() + 9 * DAY);
    jset(d, "payment_method_details",
         json_pack("{s:{s:s, s:s, s:s, s:s}, s:s}", "card", "brand", "visa", "case_type",
                   warning ? "inquiry" : "chargeback", "network_reason_code", "10.4", "network",
                   "visa", "type", "card"));
    jset_bool(charge, "disputed", true);
    sb_event("charge.dispute.created", d);
    if (!warning)
        sb_event("charge.dispute.funds_withdrawn", d);
    return d;
}

void sb_dispute_close(json_t *dispute, const char *status)
{
    json_t *before = json_deep_copy(dispute);
    jset_str(dispute, "status", status);
    sb_event_updated("charge.dispute.updated", dispute, before);
    sb_event("charge.dispute.closed", dispute);
    if (!strcmp(status, "won"))
        sb_event("charge.dispute.funds_reinstated", dispute);
    json_decref(before);
}
