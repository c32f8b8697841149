/* Who may send state changes from where (SPEC §5), CORS, and addresses behind trusted proxies. */
#include "http/inner.h"

#include <arpa/inet.h>

static sv origin_of(sv url)
{
    size_t i = 0, slashes = 0;
    while (i < url.n && (slashes += url.p[i] == '/') < 3)
        i++;
    return (sv){url.p, i};
}

void origins_init(struct origins *o, struct arena *mem, sv base_url, sv cors)
{
    *o = (struct origins){.base = origin_of(arena_sv(mem, base_url.p ? base_url : SV("")))};
    o->secure = !sv_starts(base_url.p ? base_url : SV(""), SV("http://"));
    if (cors.n == 0)
        return;
    o->more = ARENA_ARRAY(mem, sv, cors.n / 2 + 1);
    for (sv rest = arena_sv(mem, cors); rest.p != NULL;) {
        sv one = origin_of(sv_trim(sv_cut(&rest, ',')));
        if (one.n > 0)
            o->more[o->nmore++] = one;
    }
}

bool origin_cors(const struct origins *o, sv origin)
{
    for (size_t i = 0; i < o->nmore; i++)
        if (sv_eq_nocase(o->more[i], origin))
            return true;
    return false;
}

/* What follows the host of an http origin on loopback (":3000"), or SV_NULL. */
static sv loopback_port(sv origin)
{
    static const char *const names[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    for (int i = 0; i < 3; i++) {
        sv name = sv_from(names[i]);
        if (!sv_starts(origin, name))
            continue;
        sv rest = {origin.p + name.n, origin.n - name.n};
        if (rest.n == 0 || rest.p[0] == ':')
            return rest;
    }
    return SV_NULL;
}

bool origin_own(const struct origins *o, sv origin)
{
    if (o->base.n > 0 && sv_eq_nocase(o->base, origin))
        return true;
    sv port = loopback_port(origin); /* on loopback the three names are one place */
    return (port.p != NULL && loopback_port(o->base).p != NULL &&
            sv_eq(port, loopback_port(o->base))) ||
           origin_cors(o, origin);
}

err origin_check(const struct origins *o, const struct req *r, sv origin)
{
    if (r->method == GET || r->route->same_origin_exempt || r->via == VIA_BEARER ||
        r->via == VIA_SECRET_KEY || r->via == VIA_JWT)
        return OK;
    if (origin.p != NULL)
        return origin_own(o, origin) ? OK : FAIL(ERR_ORIGIN, "The Origin is not this server's");
    return r->via == VIA_COOKIE ? FAIL(ERR_ORIGIN, "Send the header Origin with a session's cookie")
                                : OK;
}

void cors_headers(struct http_conn *x)
{
    if (x->s->origins.nmore == 0)
        return;
    reply_header(&x->r, "Vary", SV("Origin"));
    sv origin = req_header(&x->r, "Origin");
    if (origin.p == NULL || !origin_cors(&x->s->origins, origin))
        return;
    reply_header(&x->r, "Access-Control-Allow-Origin", origin);
    reply_header(&x->r, "Access-Control-Allow-Credentials", SV("true"));
    reply_header(&x->r, "Access-Control-Expose-Headers",
                 SV("X-Request-Id, Retry-After, RateLimit, RateLimit-Policy"));
}

/* OPTIONS: what this path takes, and what another origin may send. */
void cors_preflight(struct http_conn *x)
{
    BUF_AUTO allow = {0};
    for (int m = 0; m < METHOD_COUNT; m++)
        if (x->match.allow & 1u << m)
            buf_printf(&allow, "%s%s", allow.n ? ", " : "",
                       m == GET ? "GET, HEAD" : method_name((enum method)m));
    buf_printf(&allow, "%sOPTIONS", allow.n ? ", " : "");
    reply_header(&x->r, "Allow", buf_sv(&allow));
    sv origin = req_header(&x->r, "Origin");
    if (origin.p == NULL || !origin_cors(&x->s->origins, origin))
        return;
    reply_header(&x->r, "Access-Control-Allow-Methods", buf_sv(&allow));
    reply_header(&x->r, "Access-Control-Allow-Headers",
                 SV("Authorization, Content-Type, Idempotency-Key, MyBeing-User, X-Request-Id"));
    reply_header(&x->r, "Access-Control-Max-Age", SV("600"));
}

/* -------- trusted proxies -------- */
static bool address_bytes(sv text, unsigned char out[16])
{
    char s[ADDRESS_MAX];
    if (text.n > 2 && text.p[0] == '[') { /* [v6]:port */
        const char *end = memchr(text.p, ']', text.n);
        if (end == NULL)
            return false;
        text = (sv){text.p + 1, (size_t)(end - text.p - 1)};
    }
    if (text.n == 0 || text.n >= sizeof s)
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    memset(out, 0, 16);
    if (inet_pton(AF_INET6, s, out) == 1)
        return true;
    char *colon = strchr(s, ':'); /* v4:port */
    if (colon != NULL)
        *colon = '\0';
    out[10] = out[11] = 0xff;
    return inet_pton(AF_INET, s, out + 12) == 1;
}

void proxies_init(struct proxies *p, struct arena *mem, sv list)
{
    *p = (struct proxies){0};
    if (list.n == 0)
        return;
    p->v = ARENA_ARRAY(mem, struct cidr, list.n / 2 + 1);
    for (sv rest = list; rest.p != NULL;) {
        sv range = sv_trim(sv_cut(&rest, ','));
        sv address = sv_cut(&range, '/');
        struct cidr c = {.bits = 128};
        if (!address_bytes(address, c.addr))
            continue;
        int64_t bits;
        if (range.p != NULL && sv_to_i64(range, &bits))
            c.bits = (unsigned)bits + (memchr(address.p, ':', address.n) ? 0 : 96);
        if (c.bits <= 128)
            p->v[p->n++] = c;
    }
}

static bool trusted(const struct proxies *p, sv text)
{
    unsigned char a[16];
    if (!address_bytes(text, a))
        return false;
    for (size_t i = 0; i < p->n; i++) {
        const struct cidr *c = &p->v[i];
        unsigned whole = c->bits / 8, rest = c->bits % 8;
        if (memcmp(a, c->addr, whole) == 0 &&
            (rest == 0 || ((a[whole] ^ c->addr[whole]) >> (8 - rest)) == 0))
            return true;
    }
    return false;
}

/* Canonical text, so that one client has one name. */
static bool canonical(sv text, char out[ADDRESS_MAX])
{
    unsigned char a[16];
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!address_bytes(text, a))
        return false;
    if (memcmp(a, mapped, 12) == 0)
        return inet_ntop(AF_INET, a + 12, out, ADDRESS_MAX) != NULL;
    return inet_ntop(AF_INET6, a, out, ADDRESS_MAX) != NULL;
}

void proxies_client(const struct proxies *p, const char *peer, const struct pairs *heads,
                    char out[ADDRESS_MAX])
{
    memcpy(out, peer, strlen(peer) + 1);
    if (p->n == 0 || !trusted(p, sv_from(peer)))
        return;
    for (size_t i = heads->n; i-- > 0;) {
        if (!sv_eq_nocase(heads->v[i].name, SV("X-Forwarded-For")))
            continue;
        for (sv rest = heads->v[i].value; rest.n > 0;) {
            size_t at = rest.n;
            while (at > 0 && rest.p[at - 1] != ',')
                at--;
            sv one = sv_trim((sv){rest.p + at, rest.n - at});
            if (!canonical(one, out)) { /* not an address: nothing left of it can be believed */
                memcpy(out, peer, strlen(peer) + 1);
                return;
            }
            if (!trusted(p, one))
                return;
            rest.n = at > 0 ? at - 1 : 0;
        }
    }
}
