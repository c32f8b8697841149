#include "billing/subscription_rules.h"

bool subscription_blocks(enum sub_status status)
{
    return status != SUB_NONE && status != SUB_CANCELED && status != SUB_INCOMPLETE_EXPIRED;
}

const char *subscription_cancel_form(const struct subscription_end *s)
{
    bool ends_sooner = !s->cancel_at_period_end && !ts_is_none(s->cancel_at) &&
                       !ts_is_none(s->period_end) && s->cancel_at.ms <= s->period_end.ms;
    return ends_sooner || s->cancel_at_period_end ? "" : "cancel_at_period_end=true";
}

const char *subscription_resume_form(const struct subscription_end *s)
{
    if (s->cancel_at_period_end)
        return "cancel_at_period_end=false";
    return ts_is_none(s->cancel_at) ? "" : "cancel_at=";
}

/* "https://host:port" of an absolute URL; SV_NULL if it has none or is built to mislead. */
static sv origin_of(sv url)
{
    size_t scheme = sv_starts(url, SV("https://")) ? 8 : sv_starts(url, SV("http://")) ? 7 : 0;
    if (scheme == 0)
        return SV_NULL;
    size_t n = scheme;
    while (n < url.n && url.p[n] != '/' && url.p[n] != '?' && url.p[n] != '#') {
        if (url.p[n] == '@')
            return SV_NULL;
        n++;
    }
    return n > scheme ? (sv){url.p, n} : SV_NULL;
}

static bool is_plain(sv url)
{
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\')
            return false;
    }
    return url.n > 0;
}

bool subscription_url_ok(sv url, sv base_url, sv origins)
{
    sv origin = origin_of(url);
    if (!is_plain(url) || origin.p == NULL)
        return false;
    if (sv_eq_nocase(origin, origin_of(base_url)))
        return true;
    for (sv rest = origins; rest.p != NULL;) {
        sv one = origin_of(sv_trim(sv_cut(&rest, ',')));
        if (one.p != NULL && sv_eq_nocase(origin, one))
            return true;
    }
    return false;
}

bool subscription_target_ok(sv to, sv base_url, sv origins)
{
    if (to.n > 0 && to.p[0] == '/' && is_plain(to))
        return to.n == 1 || to.p[1] != '/';
    return subscription_url_ok(to, base_url, origins);
}
