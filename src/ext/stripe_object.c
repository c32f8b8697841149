#include "ext/stripe_event.h"

#define META_MAX 500 /* bytes of a value that we look for: ids of ours or of the old backend */

static sv meta(const json *o, const char *key)
{
    sv s = json_str(json_get(json_get(o, "metadata"), key));
    return sv_empty(s) || s.n > META_MAX ? SV_NULL : s;
}

static sv text(const json *o, const char *key)
{
    sv s = json_get_str(o, key);
    return sv_empty(s) ? SV_NULL : s;
}

/* "id or whole object"; ids are keys of indexes, so what is too long for one is none. */
static sv id_of(const json *value)
{
    sv s = json_id(value);
    return sv_empty(s) || s.n > STRIPE_ID_MAX ? SV_NULL : s;
}

static sv ref(const json *o, const char *key)
{
    return id_of(json_get(o, key));
}

static int64_t amount(const json *o, const char *key)
{
    int64_t v = json_get_int(o, key, 0);
    return v < 0 ? 0 : v > STRIPE_AMOUNT_MAX ? STRIPE_AMOUNT_MAX : v;
}

static ts earlier(ts a, ts b)
{
    return ts_is_none(a) ? b : ts_is_none(b) ? a : ts_min(a, b);
}

static ts later(ts a, ts b)
{
    return ts_is_none(a) ? b : ts_is_none(b) ? a : ts_max(a, b);
}

void stripe_read_customer(const json *o, struct wire_customer *out)
{
    *out = (struct wire_customer){
        .id = text(o, "id"),
        .user_ref = meta(o, "userId"),
        .payment_method = id_of(json_path(o, "invoice_settings.default_payment_method")),
        .deleted = json_get_bool(o, "deleted", false)};
}

static void read_items(const json *o, struct wire_subscription *s)
{
    const json *items = json_path(o, "items.data");
    for (size_t i = 0; i < json_len(items); i++) {
        const json *item = json_at(items, i);
        s->period_start = earlier(s->period_start, json_get_unix(item, "current_period_start"));
        s->period_end = later(s->period_end, json_get_unix(item, "current_period_end"));
    }
    const json *first = json_at(items, 0);
    s->item = text(first, "id");
    s->price = ref(first, "price");
    if (!s->price.p)
        s->price = ref(first, "plan");
    if (!s->price.p)
        s->price = ref(o, "plan");
}

void stripe_read_subscription(const json *o, struct wire_subscription *out)
{
    *out = (struct wire_subscription){
        .id = text(o, "id"),
        .customer = ref(o, "customer"),
        .status = text(o, "status"),
        .payment_method = ref(o, "default_payment_method"),
        .user_ref = meta(o, "userId"),
        .created = json_get_unix(o, "created"),
        .period_start = TS_NONE,
        .period_end = TS_NONE,
        .trial_start = json_get_unix(o, "trial_start"),
        .trial_end = json_get_unix(o, "trial_end"),
        .cancel_at = json_get_unix(o, "cancel_at"),
        .canceled_at = json_get_unix(o, "canceled_at"),
        .ended_at = json_get_unix(o, "ended_at"),
        .anchor = json_get_unix(o, "billing_cycle_anchor"),
        .cancel_at_period_end = json_get_bool(o, "cancel_at_period_end", false),
        .collection_paused = json_kind(json_get(o, "pause_collection")) == JK_OBJ,
    };
    read_items(o, out);
    if (ts_is_none(out->period_start)) /* before basil */
        out->period_start = json_get_unix(o, "current_period_start");
    if (ts_is_none(out->period_end))
        out->period_end = json_get_unix(o, "current_period_end");
}

/* -------- invoices -------- */

/* An invoice's list of lines, and the pages it goes on with. */
struct lines {
    const json *first, *const *pages;
    size_t npages;
};

/* The i-th list; NULL after the last. */
static const json *lines_page(const struct lines *l, size_t i)
{
    const json *page = i == 0 ? l->first : i <= l->npages ? l->pages[i - 1] : NULL;
    return json_get(page, "data");
}

static bool lines_cut(const struct lines *l)
{
    return json_get_bool(l->npages ? l->pages[l->npages - 1] : l->first, "has_more", false);
}

static sv invoice_subscription(const json *o)
{
    sv s = ref(o, "subscription");
    if (s.p)
        return s;
    s = id_of(json_path(o, "parent.subscription_details.subscription"));
    if (s.p)
        return s;
    const json *lines = json_path(o, "lines.data");
    for (size_t i = 0; i < json_len(lines); i++) {
        const json *line = json_at(lines, i);
        s = ref(line, "subscription");
        if (!s.p)
            s = id_of(json_path(line, "parent.subscription_item_details.subscription"));
        if (s.p)
            return s;
    }
    return SV_NULL;
}

static bool is_proration(const json *line)
{
    return json_get_bool(line, "proration", false) ||
           json_bool(json_path(line, "parent.subscription_item_details.proration"), false) ||
           json_bool(json_path(line, "parent.invoice_item_details.proration"), false);
}

/* Something else that is billed along: its period is not the subscription's. */
static bool is_extra(const json *line)
{
    return !is_proration(line) &&
           (json_kind(json_path(line, "parent.invoice_item_details")) == JK_OBJ ||
            sv_is(json_get_str(line, "type"), "invoiceitem"));
}

static void read_page(const json *lines, bool prorations, struct wire_invoice *out)
{
    for (size_t i = 0; i < json_len(lines); i++) {
        const json *line = json_at(lines, i);
        const json *period = json_get(line, "period");
        ts start = json_get_unix(period, "start"), end = json_get_unix(period, "end");
        if (json_get_int(line, "amount", 0) < 0 || is_proration(line) != prorations ||
            is_extra(line) || ts_is_none(start) || ts_is_none(end) || !ts_before(start, end))
            continue; /* a credit, another thing, or a single moment: no period */
        out->period_start = earlier(out->period_start, start);
        out->period_end = later(out->period_end, end);
    }
}

static void read_periods(const struct lines *l, bool prorations, struct wire_invoice *out)
{
    for (size_t i = 0; i <= l->npages; i++)
        read_page(lines_page(l, i), prorations, out);
}

static void add_payment(struct wire_invoice *out, sv id)
{
    if (sv_empty(id) || out->npayments == WIRE_PAYMENTS)
        return;
    for (size_t i = 0; i < out->npayments; i++)
        if (sv_eq(out->payments[i], id))
            return;
    out->payments[out->npayments++] = id;
}

static sv payment_of(const json *payment)
{
    sv id = ref(payment, "payment_intent");
    return id.p ? id : ref(payment, "charge");
}

static void read_payments(const json *o, struct wire_invoice *out)
{
    sv intent = ref(o, "payment_intent");
    add_payment(out, intent);
    if (!intent.p)
        add_payment(out, ref(o, "charge"));
    const json *list = json_path(o, "payments.data");
    for (size_t i = 0; i < json_len(list); i++)
        add_payment(out, payment_of(json_get(json_at(list, i), "payment")));
}

void stripe_read_invoice(const json *o, struct wire_invoice *out)
{
    stripe_read_invoice_pages(o, NULL, 0, out);
}

void stripe_read_invoice_pages(const json *o, const json *const *pages, size_t n,
                               struct wire_invoice *out)
{
    struct lines lines = {json_get(o, "lines"), pages, n};
    struct wire_invoice v = {.id = text(o, "id"),
                             .subscription = invoice_subscription(o),
                             .customer = ref(o, "customer"),
                             .status = text(o, "status"),
                             .billing_reason = text(o, "billing_reason"),
                             .hosted_url = text(o, "hosted_invoice_url"),
                             .amount_due = amount(o, "amount_due"),
                             .amount_paid = amount(o, "amount_paid"),
                             .attempt_count = json_get_int(o, "attempt_count", 0),
                             .currency = text(o, "currency"),
                             .period_start = TS_NONE,
                             .period_end = TS_NONE,
                             .created = json_get_unix(o, "created"),
                             .next_attempt = json_get_unix(o, "next_payment_attempt")};
    v.paid_at = json_get_unix(json_get(o, "status_transitions"), "paid_at");
    if (!v.status.p && json_get_bool(o, "paid", false))
        v.status = SV("paid");
    v.user_ref = meta(json_get(o, "subscription_details"), "userId");
    if (!v.user_ref.p)
        v.user_ref = meta(json_path(o, "parent.subscription_details"), "userId");
    v.lines_cut = lines_cut(&lines);
    read_periods(&lines, false, &v);
    if (ts_is_none(v.period_end))
        read_periods(&lines, true, &v);
    if (ts_is_none(v.period_end)) {
        v.period_start = json_get_unix(o, "period_start");
        v.period_end = json_get_unix(o, "period_end");
    }
    read_payments(o, &v);
    *out = v;
}

/* -------- money -------- */

void stripe_read_payment(const json *o, struct wire_payment *out)
{
    *out = (struct wire_payment){.id = text(o, "id"),
                                 .customer = ref(o, "customer"),
                                 .status = text(o, "status"),
                                 .currency = text(o, "currency"),
                                 .invoice = ref(o, "invoice"),
                                 .user_ref = meta(o, "userId"),
                                 .amount = amount(o, "amount"),
                                 .received = amount(o, "amount_received"),
                                 .created = json_get_unix(o, "created")};
    out->failed = json_kind(json_get(o, "last_payment_error")) == JK_OBJ;
}

void stripe_read_charge(const json *o, struct wire_charge *out)
{
    *out = (struct wire_charge){.id = text(o, "id"),
                                .payment = ref(o, "payment_intent"),
                                .customer = ref(o, "customer"),
                                .status = text(o, "status"),
                                .currency = text(o, "currency"),
                                .invoice = ref(o, "invoice"),
                                .amount = amount(o, "amount"),
                                .refunded = amount(o, "amount_refunded"),
                                .created = json_get_unix(o, "created"),
                                .refunds = json_path(o, "refunds.data")};
}

void stripe_read_refund(const json *o, struct wire_refund *out)
{
    *out = (struct wire_refund){.id = text(o, "id"),
                                .charge = ref(o, "charge"),
                                .payment = ref(o, "payment_intent"),
                                .status = text(o, "status"),
                                .currency = text(o, "currency"),
                                .amount = amount(o, "amount"),
                                .created = json_get_unix(o, "created")};
}

void stripe_read_dispute(const json *o, struct wire_dispute *out)
{
    *out = (struct wire_dispute){.id = text(o, "id"),
                                 .charge = ref(o, "charge"),
                                 .payment = ref(o, "payment_intent"),
                                 .status = text(o, "status"),
                                 .reason = text(o, "reason"),
                                 .currency = text(o, "currency"),
                                 .amount = amount(o, "amount"),
                                 .created = json_get_unix(o, "created")};
}

void stripe_read_session(const json *o, struct wire_session *out)
{
    *out = (struct wire_session){.id = text(o, "id"),
                                 .mode = text(o, "mode"),
                                 .status = text(o, "status"),
                                 .payment_status = text(o, "payment_status"),
                                 .customer = ref(o, "customer"),
                                 .subscription = ref(o, "subscription"),
                                 .payment = ref(o, "payment_intent"),
                                 .currency = text(o, "currency"),
                                 .email = text(json_get(o, "customer_details"), "email"),
                                 .purchase_id = meta(o, "purchaseId"),
                                 .item_id = meta(o, "itemId"),
                                 .user_ref = meta(o, "userId"),
                                 .client_ref = text(o, "client_reference_id"),
                                 .amount_total = amount(o, "amount_total"),
                                 .expires_at = json_get_unix(o, "expires_at"),
                                 .created = json_get_unix(o, "created")};
    if (!out->email.p)
        out->email = text(o, "customer_email");
}

void stripe_read_invoice_payment(const json *o, struct wire_invoice_payment *out)
{
    *out = (struct wire_invoice_payment){.id = text(o, "id"),
                                         .invoice = ref(o, "invoice"),
                                         .payment = payment_of(json_get(o, "payment")),
                                         .status = text(o, "status"),
                                         .amount_paid = amount(o, "amount_paid")};
}

void stripe_read_payment_method(const json *o, struct wire_payment_method *out)
{
    const json *card = json_get(o, "card");
    *out = (struct wire_payment_method){.id = text(o, "id"),
                                        .customer = ref(o, "customer"),
                                        .kind = text(o, "type"),
                                        .brand = text(card, "brand"),
                                        .last4 = text(card, "last4"),
                                        .exp_month = json_get_int(card, "exp_month", 0),
                                        .exp_year = json_get_int(card, "exp_year", 0)};
}
