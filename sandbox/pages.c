/* Pages that a person clicks: Checkout at /pay/SESSION, the portal at /portal/SESSION. */
#include "base/html.h"
#include "sandbox.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width, initial-scale=1\"><title>Sandbox</title><style>"
    ":root{color-scheme:light "
    "dark;--g:#f4f5f8;--c:#fff;--i:#1d2433;--s:#5f6b80;--l:#dfe3ea;--a:#4f46e5;--b:#a12b2b}"
    "@media(prefers-color-scheme:dark){:root{--g:#12151c;--c:#1b202b;--i:#e8ebf2;--s:#9aa6ba;--l:#"
    "2f3644;--a:#8b84ff;"
    "--b:#ff9d9d}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--g);color:var(--i);font:16px/1.5 "
    "system-ui,sans-serif}"
    "main{max-width:440px;margin:32px auto;padding:0 16px}.card{background:var(--c);border:1px "
    "solid var(--l);"
    "border-radius:14px;padding:22px}h1{font-size:30px;margin:0}p{margin:0 0 "
    "14px}.s{color:var(--s);font-size:14px}"
    "label{display:block;font-size:14px;color:var(--s);margin:0 0 "
    "12px}input,select{display:block;width:100%;"
    "margin-top:4px;padding:10px 12px;font:inherit;color:inherit;background:var(--g);border:1px "
    "solid var(--l);"
    "border-radius:9px}button{width:100%;font:inherit;font-weight:600;padding:12px;border:0;border-"
    "radius:9px;"
    "background:var(--a);color:#fff;cursor:pointer;margin-bottom:10px}button.q{background:none;"
    "color:var(--a);border:1px "
    "solid var(--l)}.bad{color:var(--b)}.tag{display:inline-block;font-size:12px;border:1px solid "
    "var(--l);border-radius:"
    "99px;padding:2px "
    "10px;color:var(--s);margin-bottom:14px}a{color:var(--a)}</style></head><body><main>"
    "<span class=\"tag\">Stripe sandbox: no real money</span><div class=\"card\">";
static const char tail[] = "</div></main></body></html>";

static void text(struct buf *b, const char *tag, const char *class, const char *s)
{
    buf_printf(b, "<%s class=\"%s\">", tag, class);
    buf_html(b, sv_from(s));
    buf_printf(b, "</%s>", tag);
}

static void page(struct sb_page *out, int status, struct buf *b)
{
    struct buf all = {0};
    buf_add(&all, sv_from(head));
    buf_add(&all, buf_sv(b));
    buf_add(&all, sv_from(tail));
    out->status = status;
    out->type = "text/html; charset=utf-8";
    out->body = strdup(all.p);
    buf_free(&all);
    buf_free(b);
}

static void redirect(struct sb_page *out, const char *to)
{
    out->status = 303;
    out->type = "text/plain";
    out->body = strdup("");
    snprintf(out->location, sizeof out->location, "%s", to);
}

static void amount(struct buf *b, int64_t minor, const char *currency)
{
    buf_printf(b, "<h1>%lld.%02lld %s</h1>", (long long)(minor / 100), (long long)(minor % 100),
               currency);
}

/* A field of a posted form, decoded; "" if absent. */
static void field(const char *body, const char *name, char *out, size_t size)
{
    size_t n = strlen(name), k = 0;
    *out = 0;
    for (const char *p = body; p && *p; p = strchr(p, '&'), p += p != NULL) {
        if (strncmp(p, name, n) || p[n] != '=')
            continue;
        for (const char *v = p + n + 1; *v && *v != '&' && k + 1 < size; v++) {
            unsigned code;
            if (*v == '%' && sscanf(v + 1, "%2x", &code) == 1) {
                out[k++] = (char)code;
                v += 2;
            } else {
                out[k++] = *v == '+' ? ' ' : *v;
            }
        }
        out[k] = 0;
        return;
    }
}

/* ---- Checkout */

static void checkout_form(struct sb_page *out, json_t *s, const char *trouble, bool action)
{
    struct buf b = {0};
    json_t *items = sb_line_items(s), *item;
    size_t i;
    bool monthly = !strcmp(jstr(s, "mode"), "subscription");
    json_array_foreach(jarr(items, "data"), i, item) text(&b, "p", "s", jstr(item, "description"));
    json_decref(items);
    amount(&b, jint(s, "amount_total"), jstr(s, "currency"));
    buf_printf(&b, "<p class=\"s\">%s</p>", monthly ? "every month, until you cancel" : "once");
    if (trouble)
        text(&b, "p", "bad", trouble);
    buf_add(&b, SV("<form method=\"post\">"));
    if (!jhas(s, "customer"))
        buf_add(&b, SV("<label>E-mail <input name=\"email\" type=\"email\" "
                       "value=\"buyer@example.com\"></label>"));
    if (action)
        buf_add(&b, SV("<input type=\"hidden\" name=\"card\" value=\"4000002500003155\"><input "
                       "type=\"hidden\" "
                       "name=\"authenticated\" value=\"1\"><p>Your bank asks: is this you?</p>"
                       "<button>Yes, it is me</button>"));
    else
        buf_add(&b, SV("<label>Card <select name=\"card\"><option value=\"4242424242424242\">4242 "
                       "4242 4242 4242 pays"
                       "</option><option value=\"4000000000000002\">4000 0000 0000 0002 is "
                       "declined</option><option "
                       "value=\"4000000000000341\">4000 0000 0000 0341 pays now, fails "
                       "later</option><option "
                       "value=\"4000002500003155\">4000 0025 0000 3155 needs "
                       "authentication</option></select></label>"
                       "<button>Pay</button>"));
    buf_add(&b, SV("</form>"));
    if (jhas(s, "cancel_url")) {
        buf_add(&b, SV("<p class=\"s\"><a href=\""));
        buf_html(&b, sv_from(jstr(s, "cancel_url")));
        buf_add(&b, SV("\">Back without paying</a></p>"));
    }
    page(out, trouble && !action ? 402 : 200, &b);
}

static void checkout(const char *method, const char *id, const char *body, struct sb_page *out)
{
    struct buf b = {0};
    json_t *s = sb_find(id, "checkout.session");
    char card[64], email[256], authenticated[8];
    bool action = false;
    if (!s || strcmp(jstr(s, "status"), "open")) {
        text(&b, "p", "", s ? "This checkout is over." : "There is no such checkout.");
        page(out, s ? 410 : 404, &b);
        return;
    }
    if (strcmp(method, "POST")) {
        checkout_form(out, s, NULL, false);
        return;
    }
    field(body, "card", card, sizeof card);
    field(body, "email", email, sizeof email);
    field(body, "authenticated", authenticated, sizeof authenticated);
    struct sb_pay pay = {
        .card = *card ? card : NULL, .email = email, .authenticated = *authenticated != 0};
    const char *trouble = sb_checkout_pay(s, &pay, &action);
    if (trouble) {
        checkout_form(out, s, trouble, action);
        return;
    }
    char *to = sb_return_url(s);
    redirect(out, to);
    free(to);
}

/* ---- the portal */

static json_t *subscription_of(const char *customer)
{
    json_t *all = sb_all("subscription");
    for (size_t i = json_array_size(all); i-- > 0;) {
        json_t *sub = json_array_get(all, i);
        if (!strcmp(jstr(sub, "customer"), customer) && strcmp(jstr(sub, "status"), "canceled"))
            return sub;
    }
    return NULL;
}

static void set_cancel(json_t *sub, bool yes)
{
    json_t *before = json_deep_copy(sub);
    sb_subscription_set_cancel(sub, yes, 0);
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

static void set_card(json_t *sub, const struct sb_card *card)
{
    json_t *before = json_deep_copy(sub), *invoice = sb_get(jstr(sub, "latest_invoice"));
    json_t *pm = sb_card_attach(card, jstr(sub, "customer"), NULL);
    jset_str(sub, "default_payment_method", jstr(pm, "id"));
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
    if (invoice && !strcmp(jstr(invoice, "status"), "open"))
        sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, true));
}

static void portal_page(struct sb_page *out, const json_t *s, json_t *sub)
{
    struct buf b = {0};
    buf_add(&b, SV("<h1>Your subscription</h1>"));
    if (!sub) {
        text(&b, "p", "s", "There is none at the moment.");
    } else {
        bool ends = jbool(sub, "cancel_at_period_end") || jhas(sub, "cancel_at");
        text(&b, "p", "s", jstr(sub, "status"));
        buf_add(&b, SV("<form method=\"post\">"));
        buf_printf(&b, "<button name=\"do\" value=\"%s\">%s</button>", ends ? "resume" : "cancel",
                   ends ? "Keep it" : "Cancel at the end of the period");
        buf_add(&b,
                SV("</form><form method=\"post\"><label>New card <select name=\"card\"><option "
                   "value=\"4242424242424242\">4242 4242 4242 4242 pays</option><option "
                   "value=\"4000000000000341\">4000 0000 0000 0341 fails later</option></select>"
                   "</label><button class=\"q\" name=\"do\" value=\"card\">Use this "
                   "card</button></form>"));
    }
    if (jhas(s, "return_url")) {
        buf_add(&b, SV("<p class=\"s\"><a href=\""));
        buf_html(&b, sv_from(jstr(s, "return_url")));
        buf_add(&b, SV("\">Back to MyBeing</a></p>"));
    }
    page(out, 200, &b);
}

static void portal(const char *method, const char *id, const char *body, struct sb_page *out)
{
    struct buf b = {0};
    json_t *s = sb_find(id, "billing_portal.session");
    char what[16], number[64];
    if (!s) {
        text(&b, "p", "", "There is no such portal session.");
        page(out, 404, &b);
        return;
    }
    json_t *sub = subscription_of(jstr(s, "customer"));
    if (strcmp(method, "POST")) {
        portal_page(out, s, sub);
        return;
    }
    field(body, "do", what, sizeof what);
    field(body, "card", number, sizeof number);
    const struct sb_card *card = sb_card_find(*number ? number : "4242424242424242");
    if (sub && !strcmp(what, "card") && card && !card->decline)
        set_card(sub, card);
    else if (sub && (!strcmp(what, "cancel") || !strcmp(what, "resume")))
        set_cancel(sub, !strcmp(what, "cancel"));
    redirect(out, jstr(s, "url"));
}

/* An invoice's own page: the card of the customer is tried again. */
static void invoice(const char *method, const char *id, struct sb_page *out)
{
    struct buf b = {0};
    json_t *i = sb_find(id, "invoice");
    if (i && !strcmp(method, "POST") && !strcmp(jstr(i, "status"), "open")) {
        json_t *sub = sb_get(jstr(i, "_sub"));
        if (sub)
            set_card(sub, sb_card_find("4242424242424242"));
        redirect(out, jstr(i, "hosted_invoice_url"));
        return;
    }
    if (!i) {
        text(&b, "p", "", "There is no such invoice.");
        page(out, 404, &b);
        return;
    }
    amount(&b, jint(i, "amount_due"), jstr(i, "currency"));
    text(&b, "p", "s", jstr(i, "status"));
    if (!strcmp(jstr(i, "status"), "open"))
        buf_add(&b, SV("<form method=\"post\"><button>Pay with a card that works</button></form>"));
    page(out, 200, &b);
}

void sb_pages(const char *method, const char *path, const char *body, size_t len,
              struct sb_page *out)
{
    struct buf b = {0};
    (void)len;
    if (!strncmp(path, "/pay/", 5))
        checkout(method, path + 5, body, out);
    else if (!strncmp(path, "/portal/", 8))
        portal(method, path + 8, body, out);
    else if (!strncmp(path, "/invoice/", 9))
        invoice(method, path + 9, out);
    else {
        text(&b, "h1", "", "Stripe, played");
        text(&b, "p", "s",
             "The server talks to this address as if it were Stripe. Pages: Checkout, the portal.");
        page(out, strcmp(path, "/") ? 404 : 200, &b);
    }
}
