/* Cookies: reading the header, the visitor's signed one. */
#include "base/crypto.h"
#include "http/inner.h"

static sv in_header(sv header, const char *prefix, sv name)
{
    size_t np = strlen(prefix);
    for (sv rest = header; rest.p != NULL;) {
        sv part = sv_cut(&rest, ';');
        sv key = sv_trim(sv_cut(&part, '='));
        if (part.p == NULL || key.n != np + name.n || memcmp(key.p, prefix, np) != 0 ||
            memcmp(key.p + np, name.p, name.n) != 0)
            continue;
        sv v = sv_trim(part);
        if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
            v = (sv){v.p + 1, v.n - 2};
        return v;
    }
    return SV_NULL;
}

sv req_cookie(const struct req *r, const char *name)
{
    static const sv host = SV("__Host-");
    sv bare = sv_from(name);
    if (sv_starts(bare, host))
        bare = (sv){bare.p + host.n, bare.n - host.n};
    const char *prefix = r->conn->s->origins.secure ? "__Host-" : "";
    const struct pairs *h = &r->conn->heads;
    for (size_t i = 0; i < h->n; i++) {
        if (h->v[i].name.n != 6 || !sv_eq_nocase(h->v[i].name, SV("Cookie")))
            continue;
        sv v = in_header(h->v[i].value, prefix, bare);
        if (v.p != NULL)
            return v;
    }
    return SV_NULL;
}

static struct digest sign(sv key, sv id)
{
    sv parts[] = {SV("mybeing visitor "), id};
    return crypto_hmac(key, parts, 2);
}

sv visitor_cookie_make(struct arena *mem, sv key, const visitor_id *id)
{
    struct digest d = sign(key, visitor_id_sv(id));
    return arena_printf(mem, "%s.%.*s", id->s, SV_ARG(crypto_b64url(mem, digest_sv(&d))));
}

bool visitor_cookie_read(sv key, sv cookie, visitor_id *out)
{
    sv rest = cookie, id = sv_cut(&rest, '.');
    if (rest.p == NULL || rest.n > 64 || !id_valid(id, "anon"))
        return false;
    ARENA_AUTO mem = arena_new(512);
    struct digest d = sign(key, id);
    if (!crypto_eq(rest, crypto_b64url(mem, digest_sv(&d))))
        return false;
    *out = visitor_id_from(id);
    return true;
}
