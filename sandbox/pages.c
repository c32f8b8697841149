/* Pages that a person clicks: Checkout at /pay/SESSION, the portal at /portal/SESSION. */
#include "base/html.h"
#include "page_html.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void redirect(struct sb_page *out, const char *to)
{
    out->status = 303;
    out->type = "text/plain";
    out->body = strdup("");
    snprintf(out->location, sizeof out->location, "%s", to);
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

/* The test cards to choose from; what is typed instead wins. */
static void cards(struct buf *b, const char *chosen, bool decline_too)
{
    static const struct {
        const char *number, *shown, *does;
        bool declines;
    } all[] = {
        {"4242424242424242", "4242 4242 4242 4242", "pays", false},
        {"4000000000000002", "4000 0000 0000 0002", "is declined", true},
        {"4000000000009995", "4000 0000 0000 9995", "is declined: not enough money", true},
        {"4000002500003155", "4000 0025 0000 3155", "pays after the bank has asked", true},
        {"4000000000000341", "4000 0000 0000 0341", "pays now, fails at the next renewal", false},
    };
    bool known = false;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        known = known || (!strcmp(chosen, all[i].number) && (decline_too || !all[i].declines));
    buf_add(b, SV("<fieldset><legend>Test card</legend>"));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].declines && !decline_too)
            continue;
        bool on = known ? !strcmp(chosen, all[i].number) : i == 0;
        buf_printf(b,
                   "<label class=\"pick\"><input type=\"radio\" name=\"card\" value=\"%s\"%s>"
                   "<span><b>%s</b><small>%s</small></span></label>",
                   all[i].number, on ? " checked" : "", all[i].shown, all[i].does);
    }
    buf_add(b, SV("</fieldset><label for=\"number\">Or type another test card</label><input "
                  "type=\"text\" id=\"number\" name=\"number\" inputmode=\"numeric\" "
                  "autocomplete=\"off\" maxlength=\"40\""));
    if (!known && *chosen) {
        buf_add(b, SV(" value=\""));
        buf_html(b, sv_from(chosen));
        buf_char(b, '"');
    }
    buf_char(b, '>');
}

/* What was typed, else what was chosen; "" for neither. */
static void card_field(const char *body, char *out, size_t size)
{
    field(body, "number", out, size);
    if (!*out)
        field(body, "card", out, size);
}

static void back_link(struct buf *b, const char *url, const char *words)
{
    if (!*url)
        return;
    buf_add(b, SV("<p class=\"s\"><a href=\""));
    buf_html(b, sv_from(url));
    buf_add(b, SV("\">"));
    buf_html(b, sv_from(words));
    buf_add(b, SV("</a></p>"));
}

/* ---- Checkout */

static void bank_form(struct buf *b, const char *card, const char *email)
{
    buf_add(b, SV("<h2>Your bank asks: is this you?</h2><form method=\"post\"><input "
                  "type=\"hidden\" name=\"card\" value=\""));
    buf_html(b, sv_from(card));
    buf_add(b, SV("\"><input type=\"hidden\" name=\"email\" value=\""));
    buf_html(b, sv_from(email));
    buf_add(b, SV("\"><input type=\"hidden\" name=\"authenticated\" value=\"1\">"
                  "<button>Yes, it is me</button></form>"));
}

static void pay_form(struct buf *b, json_t *s, const char *card, const char *email)
{
    buf_add(b, SV("<form method=\"post\">"));
    if (!jhas(s, "customer")) {
        buf_add(b, SV("<label for=\"email\">E-mail</label><input type=\"email\" id=\"email\" "
                      "name=\"email\" autocomplete=\"email\" value=\""));
        buf_html(b, sv_from(*email ? email : "buyer@example.com"));
        buf_add(b, SV("\">"));
    }
    cards(b, card, true);
    buf_add(b, SV("<button>Pay "));
    sb_money_text(b, jint(s, "amount_total"), jstr(s, "currency"));
    buf_add(b, SV("</button></form>"));
}

struct attempt {
    char card[64], email[256];
    const char *trouble;
    bool action;
};

static void checkout_form(struct sb_page *out, json_t *s, const struct attempt *a)
{
    struct buf b = {0};
    json_t *items = sb_line_items(s), *item;
    size_t i;
    bool monthly = !strcmp(jstr(s, "mode"), "subscription");
    buf_add(&b, SV("<div class=\"card\">"));
    json_array_foreach(jarr(items, "data"), i, item)
        sb_text(&b, "p", "s", jstr(item, "description"));
    json_decref(items);
    buf_add(&b, SV("<h1>"));
    sb_money_text(&b, jint(s, "amount_total"), jstr(s, "currency"));
    buf_printf(&b, "</h1><p class=\"s\">%s</p></div><div class=\"card\">",
               monthly ? "Every month, until you cancel." : "Once.");
    if (a->trouble && !a->action) {
        buf_add(&b, SV("<div role=\"alert\">"));
        sb_text(&b, "p", "bad", a->trouble);
        buf_add(&b, SV("</div>"));
    }
    if (a->action)
        bank_form(&b, a->card, a->email);
    else
        pay_form(&b, s, a->card, a->email);
    buf_add(&b, SV("</div>"));
    back_link(&b, jstr(s, "cancel_url"), "Back without paying");
    sb_page_send(out, a->trouble && !a->action ? 402 : 200, "Checkout", false, &b);
}

static void checkout_over(struct sb_page *out, json_t *s)
{
    bool paid = !strcmp(jstr(s, "status"), "complete");
    struct buf b = {0};
    buf_add(&b, SV("<div class=\"card\">"));
    sb_text(&b, "h1", "", paid ? "This is paid already" : "This checkout has expired");
    sb_text(&b, "p", "s",
            paid ? "Nothing more has to be done." : "Go back to the shop and begin again.");
    char *to = sb_return_url(s);
    back_link(&b, paid ? to : jstr(s, "cancel_url"), "Back to the shop");
    free(to);
    buf_add(&b, SV("</div>"));
    sb_page_send(out, 410, "Checkout", false, &b);
}

static void checkout(const char *method, const char *id, const char *body, struct sb_page *out)
{
    json_t *s = sb_find(id, "checkout.session");
    struct attempt a = {.trouble = NULL};
    char authenticated[8];
    if (!s) {
        sb_page_message(out, 404, "There is no such checkout",
                        "Perhaps the sandbox was restarted and forgot it. Begin again in the "
                        "shop.");
        return;
    }
    if (strcmp(jstr(s, "status"), "open")) {
        checkout_over(out, s);
        return;
    }
    if (strcmp(method, "POST")) {
        checkout_form(out, s, &a);
        return;
    }
    card_field(body, a.card, sizeof a.card);
    field(body, "email", a.email, sizeof a.email);
    field(body, "authenticated", authenticated, sizeof authenticated);
    struct sb_pay pay = {
        .card = *a.card ? a.card : NULL, .email = a.email, .authenticated = *authenticated != 0};
    a.trouble = sb_checkout_pay(s, &pay, &a.action);
    if (a.trouble) {
        checkout_form(out, s, &a);
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

static void card_line(struct buf *b, json_t *sub)
{
    json_t *pm = sb_get(jstr(sub, "default_payment_method"));
    if (!pm)
        return;
    buf_add(b, SV("<dt>Card</dt><dd>"));
    buf_html(b, sv_from(jpath_str(pm, "card.brand")));
    buf_add(b, SV(" ···· "));
    buf_html(b, sv_from(jpath_str(pm, "card.last4")));
    buf_add(b, SV("</dd>"));
}

static void portal_subscription(struct buf *b, json_t *sub)
{
    bool ends = jbool(sub, "cancel_at_period_end") || jhas(sub, "cancel_at");
    buf_add(b, SV("<dl><dt>State</dt><dd>"));
    buf_html(b, sv_from(jstr(sub, "status")));
    buf_printf(b, "</dd><dt>%s</dt><dd>", ends ? "Ends on" : "Renews on");
    sb_date_text(b, jhas(sub, "cancel_at") ? jint(sub, "cancel_at") : sb_period_end(sub), false);
    buf_add(b, SV("</dd>"));
    card_line(b, sub);
    buf_printf(b,
               "</dl><form method=\"post\"><button class=\"%s\" name=\"do\" value=\"%s\">%s"
               "</button></form></div><div class=\"card\"><h2>Another card</h2>"
               "<form method=\"post\">",
               ends ? "" : "q", ends ? "resume" : "cancel",
               ends ? "Keep it" : "Cancel at the end of the period");
    cards(b, "", false);
    buf_add(b, SV("<button class=\"q\" name=\"do\" value=\"card\">Use this card</button></form>"));
}

static void portal_page(struct sb_page *out, const json_t *s, json_t *sub, const char *trouble)
{
    struct buf b = {0};
    buf_add(&b, SV("<div class=\"card\"><h1>Your subscription</h1>"));
    if (trouble) {
        buf_add(&b, SV("<div role=\"alert\">"));
        sb_text(&b, "p", "bad", trouble);
        buf_add(&b, SV("</div>"));
    }
    if (sub)
        portal_subscription(&b, sub);
    else
        sb_text(&b, "p", "s", "There is none at the moment.");
    buf_add(&b, SV("</div>"));
    back_link(&b, jstr(s, "return_url"), "Back to MyBeing");
    sb_page_send(out, trouble ? 402 : 200, "Portal", false, &b);
}

static void portal(const char *method, const char *id, const char *body, struct sb_page *out)
{
    json_t *s = sb_find(id, "billing_portal.session");
    char what[16], number[64];
    if (!s) {
        sb_page_message(out, 404, "There is no such portal session",
                        "Perhaps the sandbox was restarted and forgot it. Open it again from the "
                        "shop.");
        return;
    }
    json_t *sub = subscription_of(jstr(s, "customer"));
    if (strcmp(method, "POST")) {
        portal_page(out, s, sub, NULL);
        return;
    }
    field(body, "do", what, sizeof what);
    card_field(body, number, sizeof number);
    const struct sb_card *card = sb_card_find(*number ? number : "4242424242424242");
    if (!strcmp(what, "card") && (!card || card->decline)) {
        portal_page(out, s, sub, card ? "Your card was declined." : "Your card number is invalid.");
        return;
    }
    if (sub && !strcmp(what, "card"))
        set_card(sub, card);
    else if (sub && (!strcmp(what, "cancel") || !strcmp(what, "resume")))
        set_cancel(sub, !strcmp(what, "cancel"));
    redirect(out, jstr(s, "url"));
}

/* An invoice's own page: it can be paid with a good card. */
static void invoice(const char *method, const char *id, struct sb_page *out)
{
    struct buf b = {0};
    json_t *i = sb_find(id, "invoice");
    if (!i) {
        sb_page_message(out, 404, "There is no such invoice",
                        "Perhaps the sandbox was restarted and forgot it.");
        return;
    }
    bool open = !strcmp(jstr(i, "status"), "open");
    if (open && !strcmp(method, "POST")) {
        json_t *sub = sb_get(jstr(i, "_sub"));
        if (sub)
            set_card(sub, sb_card_find("4242424242424242"));
        redirect(out, jstr(i, "hosted_invoice_url"));
        return;
    }
    buf_add(&b, SV("<div class=\"card\"><p class=\"s\">Invoice "));
    buf_html(&b, sv_from(jstr(i, "number")));
    buf_add(&b, SV("</p><h1>"));
    sb_money_text(&b, jint(i, "amount_due"), jstr(i, "currency"));
    buf_add(&b, SV("</h1>"));
    sb_text(&b, "p", open ? "warn" : "ok", open ? "Not paid yet" : jstr(i, "status"));
    if (open)
        buf_add(&b, SV("<form method=\"post\"><button>Pay with 4242 4242 4242 4242</button>"
                       "</form>"));
    buf_add(&b, SV("</div>"));
    sb_page_send(out, 200, "Invoice", false, &b);
}

void sb_pages(const char *method, const char *path, const char *body, size_t len,
              struct sb_page *out)
{
    (void)len;
    if (!strncmp(path, "/pay/", 5))
        checkout(method, path + 5, body, out);
    else if (!strncmp(path, "/portal/", 8))
        portal(method, path + 8, body, out);
    else if (!strncmp(path, "/invoice/", 9))
        invoice(method, path + 9, out);
    else if (!strcmp(path, "/"))
        sb_page_start(out);
    else
        sb_page_message(out, 404, "There is nothing here",
                        "The sandbox has the API under /v1, Checkout, the portal and invoices.");
}
