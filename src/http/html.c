/* Pages for people: the frame that all of them share, and errors in words. The style is page/'s. */
#include "base/html.h"
#include "http/inner.h"

static void frame(struct buf *b, const char *title, sv inner)
{
    buf_printf(
        b,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\">"
        "<meta name=\"color-scheme\" content=\"light dark\"><title>%s · MyBeing</title>"
        "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">"
        "<link rel=\"stylesheet\" href=\"/page.css\"></head><body class=\"narrow\">"
        "<header class=\"top\"><a class=\"brand\" href=\"/\">MyBeing</a></header><main>"
        "<section class=\"card\"><h1>%s</h1>",
        title, title);
    buf_add(b, inner);
    buf_add(b, SV("</section></main></body></html>\n"));
}

err reply_page(struct req *r, int status, const char *title, sv inner)
{
    BUF_AUTO b = {0};
    frame(&b, title, inner);
    return reply_body(r, status, "text/html; charset=utf-8", buf_sv(&b));
}

bool problem_wants_page(const struct http_conn *x)
{
    sv accept = req_header(&x->r, "Accept");
    return !sv_starts(x->r.path, SV("/api/")) && accept.p != NULL &&
           memmem(accept.p, accept.n, "text/html", 9) != NULL;
}

/* The same error, as a person would say it. */
static const char *title_of(int status)
{
    switch (status) {
    case 404:
    case 405:
        return "There is nothing here";
    case 401:
        return "Please sign in first";
    case 403:
        return "This was not allowed";
    case 410:
        return "This is no longer here";
    case 413:
        return "That was too much at once";
    case 429:
        return "A moment, please";
    case 502:
    case 503:
        return "We cannot do this right now";
    default:
        return status >= 500 ? "Something went wrong on our side" : "That did not work";
    }
}

static void sentence(struct buf *b, sv s)
{
    if (s.n == 0)
        return;
    buf_add(b, SV("<p>"));
    bool lower = s.p[0] >= 'a' && s.p[0] <= 'z';
    buf_char(b, lower ? (char)(s.p[0] - 32) : s.p[0]);
    buf_html(b, (sv){s.p + 1, s.n - 1});
    if (memchr(".!?", s.p[s.n - 1], 3) == NULL)
        buf_char(b, '.');
    buf_add(b, SV("</p>"));
}

void problem_page(struct buf *out, int status, const char *detail, const char *request_id,
                  const struct problem_field *fields)
{
    BUF_AUTO inner = {0};
    if (fields == NULL)
        sentence(&inner, sv_from(detail));
    for (; fields != NULL; fields = fields->next) {
        BUF_AUTO one = {0};
        sv name = fields->pointer;
        if (name.n > 0 && name.p[0] == '/')
            name = (sv){name.p + 1, name.n - 1};
        buf_add(&one, name);
        buf_char(&one, ' ');
        buf_add(&one, fields->message);
        sentence(&inner, buf_sv(&one));
    }
    if (status == 429 || status >= 500)
        buf_add(&inner, SV("<p>Please try again in a moment.</p>"));
    buf_add(&inner, SV("<p><a class=\"button\" href=\"/\">On to MyBeing</a></p>"
                       "<p class=\"muted small\">If you write to us about this, name <code>"));
    buf_html(&inner, sv_from(request_id));
    buf_add(&inner, SV("</code>.</p>"));
    frame(out, title_of(status), buf_sv(&inner));
}
