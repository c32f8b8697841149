/* How the sandbox's pages look: the frame, money, dates, and the start page. */
#include "page_html.h"
#include "base/html.h"
#include "sandbox_page_files.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

void sb_text(struct buf *b, const char *tag, const char *class, const char *s)
{
    if (*class)
        buf_printf(b, "<%s class=\"%s\">", tag, class);
    else
        buf_printf(b, "<%s>", tag);
    buf_html(b, sv_from(s));
    buf_printf(b, "</%s>", tag);
}

void sb_page_send(struct sb_page *out, int status, const char *title, bool wide, struct buf *inner)
{
    struct buf all = {0};
    buf_add(&all, SV("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
                     "name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta "
                     "name=\"color-scheme\" content=\"light dark\"><title>"));
    buf_html(&all, sv_from(title));
    buf_add(&all, SV(" · Stripe sandbox</title><link rel=\"icon\" href=\"data:,\"><style>"));
    buf_add(&all, sandbox_page_files[0].body);
    buf_printf(&all,
               "</style></head><body><div class=\"stripe\"><b>SANDBOX</b> This is not Stripe, and "
               "no money moves. <a href=\"/\">What is this?</a></div><main%s>",
               wide ? " class=\"wide\"" : "");
    buf_add(&all, buf_sv(inner));
    buf_add(&all, SV("</main></body></html>\n"));
    out->status = status;
    out->type = "text/html; charset=utf-8";
    out->body = strdup(all.p);
    buf_free(&all);
    buf_free(inner);
}

void sb_page_message(struct sb_page *out, int status, const char *title, const char *text)
{
    struct buf b = {0};
    buf_add(&b, SV("<div class=\"card\">"));
    sb_text(&b, "h1", "", title);
    sb_text(&b, "p", "s", text);
    buf_add(&b, SV("</div>"));
    sb_page_send(out, status, title, false, &b);
}

void sb_money_text(struct buf *b, int64_t minor, const char *currency)
{
    static const struct {
        const char *code, *sign;
    } signs[] = {{"usd", "$"}, {"eur", "€"}, {"gbp", "£"}};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (!strcmp(currency, signs[i].code)) {
            buf_printf(b, "%s%lld.%02lld", signs[i].sign, (long long)(minor / 100),
                       (long long)(minor % 100));
            return;
        }
    if (!strcmp(currency, "jpy") || !strcmp(currency, "krw"))
        buf_printf(b, "%lld ", (long long)minor);
    else
        buf_printf(b, "%lld.%02lld ", (long long)(minor / 100), (long long)(minor % 100));
    for (const char *c = currency; *c; c++)
        buf_char(b, (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c));
}

void sb_date_text(struct buf *b, int64_t t, bool with_time)
{
    time_t at = (time_t)t;
    struct tm tm;
    char text[64];
    gmtime_r(&at, &tm);
    strftime(text, sizeof text, with_time ? "%Y-%m-%d %H:%M:%S UTC" : "%-d %B %Y", &tm);
    buf_add(b, sv_from(text));
}

/* ---- the start page: what is known, what was said, how to make things happen */

static json_t *newest(const char *type, size_t nth)
{
    json_t *all = sb_all(type);
    size_t n = json_array_size(all);
    return nth < n ? json_array_get(all, n - 1 - nth) : NULL;
}

static void settings(struct buf *b)
{
    buf_add(b, SV("<div class=\"card\"><h1>Stripe sandbox</h1><p class=\"s\">It plays Stripe on "
                  "this machine for people without an account: the API under <code>/v1</code>, "
                  "Checkout and the portal as pages, signed webhooks, a clock of its own. "
                  "</p><dl><dt>Clock</dt><dd>"));
    sb_date_text(b, sb_now(), true);
    buf_add(b, SV("</dd><dt>Webhooks go to</dt><dd>"));
    if (sb_config.forward_to)
        sb_text(b, "code", "", sb_config.forward_to);
    else
        buf_add(b, SV("registered endpoints only"));
    buf_add(b, SV("</dd><dt>Memory</dt><dd>"));
    if (sb_config.state)
        sb_text(b, "code", "", sb_config.state);
    else
        buf_add(b, SV("nothing is kept: a restart forgets everything"));
    buf_add(b, SV("</dd></dl></div>"));
}

static void checkouts(struct buf *b)
{
    json_t *s;
    buf_add(b, SV("<div class=\"card\"><h2>Checkouts</h2>"));
    if (!newest("checkout.session", 0)) {
        buf_add(b, SV("<p class=\"s\">None yet. Press <i>Subscribe</i> in the shop, and one "
                      "appears.</p></div>"));
        return;
    }
    buf_add(b, SV("<table><tr><th>Made</th><th>State</th><th class=\"n\">Total</th></tr>"));
    for (size_t i = 0; i < 8 && (s = newest("checkout.session", i)) != NULL; i++) {
        buf_add(b, SV("<tr><td>"));
        sb_date_text(b, jint(s, "created"), true);
        buf_add(b, SV("</td><td>"));
        if (!strcmp(jstr(s, "status"), "open")) {
            buf_add(b, SV("<a href=\"/pay/"));
            buf_html(b, sv_from(jstr(s, "id")));
            buf_add(b, SV("\">open: pay it</a>"));
        } else {
            buf_html(b, sv_from(jstr(s, "status")));
        }
        buf_add(b, SV("</td><td class=\"n\">"));
        sb_money_text(b, jint(s, "amount_total"), jstr(s, "currency"));
        buf_add(b, SV("</td></tr>"));
    }
    buf_add(b, SV("</table></div>"));
}

static void events(struct buf *b)
{
    json_t *e;
    buf_add(b, SV("<div class=\"card\"><h2>Events</h2>"));
    if (!newest("event", 0)) {
        buf_add(b, SV("<p class=\"s\">None yet.</p></div>"));
        return;
    }
    buf_add(b, SV("<table><tr><th>Type</th><th class=\"h\">Object</th><th class=\"n\">Webhook</th>"
                  "</tr>"));
    for (size_t i = 0; i < 15 && (e = newest("event", i)) != NULL; i++) {
        buf_add(b, SV("<tr><td>"));
        sb_text(b, "code", "", jstr(e, "type"));
        buf_add(b, SV("</td><td class=\"h s\">"));
        buf_html(b, sv_from(jpath_str(e, "data.object.id")));
        buf_printf(b, "</td><td class=\"n\">%s</td></tr>",
                   jint(e, "pending_webhooks") > 0 ? "waits" : "sent");
    }
    buf_add(b, SV("</table></div>"));
}

static void commands(struct buf *b)
{
    buf_printf(b,
               "<div class=\"card\"><h2>Make things happen</h2><p class=\"s\">From a terminal, as "
               "with Stripe's own command line:</p><pre><code>mybeing-sandbox --port %d trigger "
               "invoice.payment_failed\nmybeing-sandbox --port %d fault duplicate 3\n"
               "mybeing-sandbox --port %d clock +1 month</code></pre></div>",
               sb_config.port, sb_config.port, sb_config.port);
}

void sb_page_start(struct sb_page *out)
{
    struct buf b = {0};
    settings(&b);
    checkouts(&b);
    events(&b);
    commands(&b);
    sb_page_send(out, 200, "Start", true, &b);
}
