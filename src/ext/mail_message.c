#include "ext/mail.h"
#include <idn2.h>

#define ADDRESS_MAX 254

static bool local_ok(sv local)
{
    static const char specials[] = "()<>[]:;@\\,\" ";
    if (local.n == 0 || local.n > 64 || local.p[0] == '.' || local.p[local.n - 1] == '.')
        return false;
    for (size_t i = 0; i < local.n; i++)
        if (strchr(specials, local.p[i]))
            return false;
    return !sv_contains(local, SV(".."));
}

/* The domain as the DNS writes it: lower case, A-labels. */
static bool domain_ascii(struct arena *mem, sv domain, sv *out)
{
    for (size_t i = 0; i < domain.n; i++)
        if (strchr("/?#@:[]\\%<>\", ", domain.p[i]))
            return false;
    if (domain.n == 0 || domain.p[0] == '.' || sv_ends(domain, SV(".")) ||
        sv_contains(domain, SV("..")))
        return false;
    char *ascii = NULL; /* idn2_free: by the library's allocator */
    int rc = idn2_lookup_u8((const uint8_t *)arena_cstr(mem, domain), (uint8_t **)&ascii,
                            IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc != IDN2_OK)
        return false;
    char *lower = arena_cstr(mem, sv_from(ascii));
    idn2_free(ascii);
    bool ok = true;
    for (char *p = lower; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
        ok = ok && *p > 0x20 && *p < 0x7f;
    }
    if (ok)
        *out = sv_from(lower);
    return ok;
}

err mail_address(struct arena *mem, sv address, sv *out)
{
    if (sv_has_control(address) || !sv_valid_utf8(address))
        return FAIL(ERR_VALIDATION, "the address holds a control character or is not UTF-8");
    if (address.n > ADDRESS_MAX)
        return FAIL(ERR_VALIDATION, "the address is longer than %d bytes", ADDRESS_MAX);
    sv domain = address, local = sv_cut(&domain, '@');
    for (size_t i = 0; i < local.n; i++)
        if ((unsigned char)local.p[i] >= 0x80)
            return FAIL(ERR_VALIDATION,
                        "the part before the @ is not ASCII: the server offers no SMTPUTF8");
    sv ascii = SV_NULL;
    if (!domain.p || !local_ok(local) || !domain_ascii(mem, domain, &ascii))
        return FAIL(ERR_VALIDATION, "this is no e-mail address");
    *out = arena_printf(mem, "%.*s@%.*s", SV_ARG(local), SV_ARG(ascii));
    return OK;
}

err mail_address_named(struct arena *mem, sv text, sv *name, sv *address)
{
    sv label = SV_NULL, addr = sv_trim(text);
    if (sv_ends(addr, SV(">"))) {
        addr.n--;
        sv rest = addr;
        label = sv_trim(sv_cut(&rest, '<'));
        addr = rest;
        if (label.n >= 2 && label.p[0] == '"' && label.p[label.n - 1] == '"')
            label = (sv){label.p + 1, label.n - 2};
    }
    sv clean;
    TRY(mail_address(mem, sv_trim(addr), &clean));
    *name = label.n ? arena_sv(mem, label) : SV_NULL;
    *address = clean;
    return OK;
}

static err header_check(sv text, const char *what)
{
    if (sv_has_control(text))
        return FAIL(ERR_VALIDATION, "%s holds a control character", what);
    if (!sv_valid_utf8(text))
        return FAIL(ERR_VALIDATION, "%s is not UTF-8", what);
    return OK;
}

err mail_message_check(struct arena *mem, struct mail_message *m)
{
    TRY(header_check(m->subject, "the subject"));
    TRY(header_check(m->to_name, "the recipient's name"));
    TRY(header_check(m->from_name, "the sender's name"));
    TRY(header_check(m->id, "the id"));
    TRY(header_check(m->unsubscribe_url, "the unsubscribe address"));
    if (m->subject.n > 900)
        return FAIL(ERR_VALIDATION, "the subject is too long");
    if (sv_empty(m->text) || sv_empty(m->html))
        return FAIL(ERR_VALIDATION, "a mail has a text and an HTML part");
    if (!sv_valid_utf8(m->text) || !sv_valid_utf8(m->html) || memchr(m->text.p, 0, m->text.n) ||
        memchr(m->html.p, 0, m->html.n))
        return FAIL(ERR_VALIDATION, "the body is not UTF-8 or holds a NUL");
    sv from, to;
    TRY(mail_address(mem, m->from, &from));
    TRY(mail_address(mem, m->to, &to));
    m->from = from;
    m->to = to;
    return OK;
}

sv mail_unsubscribe_header(struct arena *mem, const struct mail_message *m)
{
    return m->unsubscribe_url.p ? arena_printf(mem, "<%.*s>", SV_ARG(m->unsubscribe_url)) : SV_NULL;
}
