#include "http/inner.h"

#include <assert.h>

static const char html_csp[] =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'";

void reply_reset(struct reply *p)
{
    buf_clear(&p->body);
    p->status = 0;
    p->writer = (struct jw){0};
    p->fixed = SV_NULL;
    p->type = p->cache = NULL;
    p->heads = NULL;
    p->nheads = p->cap = 0;
    p->members = NULL;
    p->fields = NULL;
    p->fields_end = &p->fields;
    p->close = false;
    if (p->stream != NULL) {
        stream_unref(p->stream);
        p->stream = NULL;
    }
}

void reply_header(struct req *r, const char *name, sv value)
{
    struct reply *p = r->reply;
    assert(memchr(value.p, '\r', value.n) == NULL && memchr(value.p, '\n', value.n) == NULL);
    if (p->nheads == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct reply_head *v = arena_alloc(r->mem, cap * sizeof *v);
        if (p->nheads > 0)
            memcpy(v, p->heads, p->nheads * sizeof *v);
        p->heads = v;
        p->cap = cap;
    }
    p->heads[p->nheads++] = (struct reply_head){name, arena_cstr(r->mem, value)};
}

struct jw *reply_json(struct req *r, int status)
{
    struct reply *p = r->reply;
    buf_clear(&p->body);
    p->fixed = SV_NULL;
    p->status = status;
    p->type = "application/json";
    p->cache = "no-store";
    p->writer = (struct jw){.out = &p->body};
    return &p->writer;
}

err reply_empty(struct req *r, int status)
{
    struct reply *p = r->reply;
    buf_clear(&p->body);
    p->fixed = SV_NULL;
    p->status = status;
    p->type = NULL;
    p->cache = "no-store";
    return OK;
}

void reply_page_headers(struct req *r)
{
    reply_header(r, "Content-Security-Policy", (sv){html_csp, sizeof html_csp - 1});
    /* Not no-referrer: with it browsers send `Origin: null` with a form, which we refuse. */
    reply_header(r, "Referrer-Policy", SV("same-origin"));
    reply_header(r, "X-Frame-Options", SV("DENY"));
}

static void body_headers(struct req *r, const char *type)
{
    reply_header(r, "X-Content-Type-Options", SV("nosniff"));
    if (strncmp(type, "text/html", 9) == 0)
        reply_page_headers(r);
}

err reply_body(struct req *r, int status, const char *type, sv body)
{
    reply_empty(r, status);
    buf_add(&r->reply->body, body);
    r->reply->type = type;
    body_headers(r, type);
    return OK;
}

/* Is `etag` in the list of If-None-Match? */
static bool etag_known(sv list, const char *etag)
{
    sv want = sv_from(etag);
    for (sv rest = list; rest.p != NULL && rest.n > 0;) {
        sv one = sv_trim(sv_cut(&rest, ','));
        if (sv_starts(one, SV("W/")))
            one = (sv){one.p + 2, one.n - 2};
        if (sv_is(one, "*") || sv_eq(one, want))
            return true;
        if (one.n >= 2 && one.p[0] == '"' && sv_eq((sv){one.p + 1, one.n - 2}, want))
            return true;
    }
    return false;
}

err reply_static(struct req *r, const char *type, sv body, const char *etag)
{
    reply_empty(r, 200);
    r->reply->cache = "no-cache";
    if (etag != NULL) {
        bool quoted = etag[0] == '"';
        reply_header(r, "ETag", quoted ? sv_from(etag) : arena_printf(r->mem, "\"%s\"", etag));
        sv known = req_header(r, "If-None-Match");
        if (known.p != NULL && etag_known(known, etag)) {
            r->reply->status = 304;
            return OK;
        }
    }
    r->reply->type = type;
    r->reply->fixed = body;
    body_headers(r, type);
    return OK;
}

err reply_redirect(struct req *r, int status, sv location)
{
    reply_empty(r, status);
    reply_header(r, "Location", location);
    return OK;
}

void reply_cookie(struct req *r, const char *name, sv value, int64_t max_age)
{
    bool secure = r->conn->s->origins.secure;
    reply_header(r, "Set-Cookie",
                 arena_printf(r->mem, "%s%s=%.*s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s",
                              secure ? "__Host-" : "", name, SV_ARG(value), (long long)max_age,
                              secure ? "; Secure" : ""));
}

void reply_problem_raw(struct req *r, const char *key, sv json_text)
{
    struct problem_member *m = ARENA_NEW(r->mem, struct problem_member);
    *m = (struct problem_member){key, arena_sv(r->mem, json_text), r->reply->members};
    r->reply->members = m;
}

void reply_problem_str(struct req *r, const char *key, sv value)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_str(&w, value);
    reply_problem_raw(r, key, buf_sv(&b));
}

void reply_retry_after(struct req *r, int64_t seconds)
{
    for (size_t i = 0; i < r->reply->nheads; i++)
        if (strcmp(r->reply->heads[i].name, "Retry-After") == 0)
            return;
    reply_header(r, "Retry-After", arena_printf(r->mem, "%lld", (long long)seconds));
}

struct stream *reply_stream(struct req *r, const char *type)
{
    assert(r->route->tx == TX_NONE && r->reply->stream == NULL);
    reply_empty(r, 200);
    r->reply->type = type;
    r->reply->stream = stream_new(r->conn, strncmp(type, "text/event-stream", 17) == 0);
    return stream_ref(r->reply->stream);
}
