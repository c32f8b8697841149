/* The strict gate before any route: everything RFC 9112 forbids that can be seen above the library.
 */
#include "http/inner.h"

static const unsigned char token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool is_token(sv s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!token[(unsigned char)s.p[i]])
            return false;
    return true;
}

static bool value_clean(sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool percent_decode(struct arena *mem, sv in, bool plus, sv *out)
{
    size_t i = 0;
    while (i < in.n && in.p[i] != '%' && !(plus && in.p[i] == '+'))
        i++;
    if (i == in.n) {
        *out = in;
        return true;
    }
    char *p = arena_alloc(mem, in.n + 1);
    size_t n = 0;
    for (i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            if (i + 2 >= in.n || hex_value(in.p[i + 1]) < 0 || hex_value(in.p[i + 2]) < 0)
                return false;
            c = (char)(hex_value(in.p[i + 1]) << 4 | hex_value(in.p[i + 2]));
            i += 2;
            if (c == '\0')
                return false;
        } else if (plus && c == '+') {
            c = ' ';
        }
        p[n++] = c;
    }
    p[n] = '\0';
    *out = (sv){p, n};
    return true;
}

void pairs_add(struct pairs *p, struct arena *mem, sv name, sv value)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 16;
        struct pair *v = arena_alloc(mem, cap * sizeof *v);
        if (p->n > 0)
            memcpy(v, p->v, p->n * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    p->v[p->n++] = (struct pair){name, value};
}

bool form_parse(struct arena *mem, sv text, struct pairs *out)
{
    for (sv rest = text; rest.p != NULL && (rest.n > 0 || rest.p != text.p);) {
        sv part = sv_cut(&rest, '&');
        if (part.n == 0)
            continue;
        sv name = sv_cut(&part, '=');
        sv value = part.p != NULL ? part : (sv){"", 0};
        if (!percent_decode(mem, name, true, &name) || !percent_decode(mem, value, true, &value))
            return false;
        pairs_add(out, mem, name, value);
    }
    return true;
}

static err check_target(const struct gate_in *in)
{
    sv t = in->path;
    if (sv_is(t, "*"))
        return sv_is(in->method, "OPTIONS") ? OK : FAIL(ERR_BAD_REQUEST, "bad request target");
    if (t.n == 0 || t.p[0] != '/')
        return FAIL(ERR_BAD_REQUEST, "the request target has to begin with '/'");
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\')
            return FAIL(ERR_BAD_REQUEST, "bad character in the request target");
        if (c != '%')
            continue;
        if (i + 2 >= t.n || hex_value(t.p[i + 1]) < 0 || hex_value(t.p[i + 2]) < 0)
            return FAIL(ERR_BAD_REQUEST, "bad percent encoding in the request target");
        if (t.p[i + 1] == '0' && t.p[i + 2] == '0')
            return FAIL(ERR_BAD_REQUEST, "NUL in the request target");
    }
    return OK;
}

/* host[:port], no userinfo, no list */
static bool host_ok(sv v)
{
    if (v.n == 0 || v.n > 255)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  strchr(".-_:[]~!$&'()*+;=%", c) != NULL;
        if (!ok || c == '\0')
            return false;
    }
    return true;
}

static bool length_ok(sv v, int64_t *out)
{
    if (v.n == 0 || v.n > 18)
        return false;
    int64_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
        n = n * 10 + (v.p[i] - '0');
    }
    *out = n;
    return true;
}

/* Fields that may be there once; their counts. */
struct seen {
    unsigned host, length, coding, type, authorization, origin;
    sv host_value, length_value, coding_value, expect;
};

static void look(struct seen *s, sv name, sv value)
{
    switch (name.n) {
    case 4:
        if (sv_eq_nocase(name, SV("Host")))
            s->host++, s->host_value = value;
        break;
    case 6:
        if (sv_eq_nocase(name, SV("Origin")))
            s->origin++;
        else if (sv_eq_nocase(name, SV("Expect")))
            s->expect = value;
        break;
    case 12:
        s->type += sv_eq_nocase(name, SV("Content-Type"));
        break;
    case 13:
        s->authorization += sv_eq_nocase(name, SV("Authorization"));
        break;
    case 14:
        if (sv_eq_nocase(name, SV("Content-Length")))
            s->length++, s->length_value = value;
        break;
    case 17:
        if (sv_eq_nocase(name, SV("Transfer-Encoding")))
            s->coding++, s->coding_value = value;
        break;
    default:
        break;
    }
}

static err check_framing(const struct seen *s, bool http10, struct gate_out *out)
{
    if (s->length > 1)
        return FAIL(ERR_BAD_REQUEST, "Content-Length is there more than once");
    if (s->coding > 1)
        return FAIL(ERR_BAD_REQUEST, "Transfer-Encoding is there more than once");
    if (s->coding > 0 && s->length > 0)
        return FAIL(ERR_BAD_REQUEST, "Content-Length beside Transfer-Encoding");
    if (s->coding > 0 && (http10 || !sv_eq_nocase(sv_trim(s->coding_value), SV("chunked"))))
        return FAIL(ERR_BAD_REQUEST, "this Transfer-Encoding is not understood");
    if (s->length > 0 && !length_ok(s->length_value, &out->content_length))
        return FAIL(ERR_BAD_REQUEST, "Content-Length is not a number");
    out->chunked = s->coding > 0;
    return OK;
}

err gate_check(const struct gate_in *in, struct gate_out *out)
{
    *out = (struct gate_out){.content_length = -1};
    bool http10 = sv_is(in->version, "HTTP/1.0");
    if (!http10 && !sv_is(in->version, "HTTP/1.1"))
        return FAIL(ERR_BAD_REQUEST, "this version of HTTP is not spoken here");
    if (!is_token(in->method))
        return FAIL(ERR_BAD_REQUEST, "bad method");
    TRY(check_target(in));
    struct seen s = {0};
    for (size_t i = 0; i < in->heads->n; i++) {
        const struct pair *h = &in->heads->v[i];
        if (!is_token(h->name))
            return FAIL(ERR_BAD_REQUEST, "bad header name");
        if (!value_clean(h->value))
            return FAIL(ERR_BAD_REQUEST, "bad character in a header's value");
        look(&s, h->name, h->value);
    }
    if (s.host > 1 || (s.host == 0 && !http10))
        return FAIL(ERR_BAD_REQUEST, "Host has to be there once");
    if (s.host == 1 && !host_ok(s.host_value))
        return FAIL(ERR_BAD_REQUEST, "bad Host");
    if (s.type > 1 || s.authorization > 1 || s.origin > 1)
        return FAIL(ERR_BAD_REQUEST, "a header that may be there once is there twice");
    out->expects = s.expect.n > 0;
    return check_framing(&s, http10, out);
}
