/* /v1/invoices and /v1/invoice_payments. */
#include "sandbox.h"
#include <string.h>

static json_t *invoice_find(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "invoice");
    return o ? o : sb_missing(c, "invoice", c->arg, "id");
}
static json_t *invoice_get(struct sb_call *c)
{
    return json_incref(invoice_find(c));
}

static bool invoice_kept(const json_t *o, const json_t *in)
{
    return (!jhas(in, "customer") || !strcmp(jstr(in, "customer"), jstr(o, "customer"))) &&
           (!jhas(in, "status") || !strcmp(jstr(in, "status"), jstr(o, "status"))) &&
           (!jhas(in, "subscription") || !strcmp(jstr(in, "subscription"), jstr(o, "_sub")));
}
static json_t *invoice_list(struct sb_call *c)
{
    return sb_list(c, "invoice", invoice_kept);
}

static json_t *invoice_lines(struct sb_call *c)
{
    json_t *o = invoice_find(c);
    return o ? json_incref(jobj(o, "lines")) : NULL;
}

static json_t *status_wanted(struct sb_call *c, json_t *o, const char *status, const char *verb)
{
    if (!o || !strcmp(jstr(o, "status"), status))
        return o;
    return sb_fail(c, 400, "invoice_not_editable", NULL, "Invoice is already %s; it cannot be %s.",
                   jstr(o, "status"), verb);
}

static json_t *invoice_finalize(struct sb_call *c)
{
    json_t *o = status_wanted(c, invoice_find(c), "draft", "finalized");
    if (o)
        sb_invoice_finalize(o);
    return json_incref(o);
}

static json_t *invoice_pay(struct sb_call *c)
{
    json_t *o = invoice_find(c);
    if (!o)
        return NULL;
    if (!strcmp(jstr(o, "status"), "paid"))
        return sb_fail(c, 400, "invoice_already_paid", NULL, "Invoice is already paid");
    if (!strcmp(jstr(o, "status"), "void"))
        return sb_fail(c, 400, NULL, NULL, "Voided invoices cannot be paid");
    sb_invoice_finalize(o);
    json_t *sub = sb_find(jstr(o, "_sub"), "subscription");
    enum sb_attempt result = sb_invoice_pay(o, true);
    if (sub)
        sb_subscription_settle(sub, o, result);
    if (result != SB_PAID)
        return sb_fail(c, 402, "card_declined", NULL, "Your card was declined.");
    return json_incref(o);
}

static json_t *invoice_void(struct sb_call *c)
{
    json_t *o = status_wanted(c, invoice_find(c), "open", "voided");
    if (o)
        sb_invoice_close(o, "void");
    return json_incref(o);
}

static json_t *invoice_uncollectible(struct sb_call *c)
{
    json_t *o = status_wanted(c, invoice_find(c), "open", "marked uncollectible");
    if (o)
        sb_invoice_close(o, "uncollectible");
    return json_incref(o);
}

static json_t *payment_get(struct sb_call *c)
{
    return sb_one(c, "invoice_payment", "invoice payment");
}

static bool payment_kept(const json_t *o, const json_t *in)
{
    const char *pi = jpath_str(in, "payment.payment_intent");
    return (!jhas(in, "invoice") || !strcmp(jstr(in, "invoice"), jstr(o, "invoice"))) &&
           (!jhas(in, "status") || !strcmp(jstr(in, "status"), jstr(o, "status"))) &&
           (!*pi || !strcmp(pi, jpath_str(o, "payment.payment_intent")));
}
static json_t *payment_list(struct sb_call *c)
{
    return sb_list(c, "invoice_payment", payment_kept);
}

const struct sb_route sb_invoice_routes[] = {
    {"GET", "/v1/invoices", invoice_list},
    {"GET", "/v1/invoices/{}", invoice_get},
    {"GET", "/v1/invoices/{}/lines", invoice_lines},
    {"POST", "/v1/invoices/{}/finalize", invoice_finalize},
    {"POST", "/v1/invoices/{}/pay", invoice_pay},
    {"POST", "/v1/invoices/{}/void", invoice_void},
    {"POST", "/v1/invoices/{}/mark_uncollectible", invoice_uncollectible},
    {"GET", "/v1/invoice_payments", payment_list},
    {"GET", "/v1/invoice_payments/{}", payment_get},
    {NULL, NULL, NULL},
};
