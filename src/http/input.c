/* Checked input: bodies and queries by table; every mistake is collected. */
#include "base/calendar.h"
#include "base/crypto.h"
#include "http/inner.h"

#include <stdarg.h>
#include <stdio.h>

err field_error(struct req *r, const char *pointer, const char *code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct problem_field *f = ARENA_NEW(r->mem, struct problem_field);
    *f = (struct problem_field){arena_sv(r->mem, sv_from(pointer)), arena_sv(r->mem, sv_from(text)),
                                code, NULL};
    *r->reply->fields_end = f;
    r->reply->fields_end = &f->next;
    return FAIL_FIELD(ERR_VALIDATION, pointer, "%s: %s", pointer[0] ? pointer : "body", text);
}

/* -------- rules of one value -------- */
struct place {
    struct req *r;
    const char *pointer;
};

static bool range(const struct place *at, int64_t n, int64_t min, int64_t max, bool length)
{
    if (n >= min && n <= max)
        return true;
    const char *code =
        length ? (n < min ? "too_short" : "too_long") : (n < min ? "too_small" : "too_large");
    const char *what = length ? "a length" : "a value";
    (void)field_error(at->r, at->pointer, code, "has to have %s of %lld to %lld", what,
                      (long long)min, (long long)max);
    return false;
}

static bool controls(sv s, bool lines)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool fine = lines && (c == '\n' || c == '\t' || c == '\r');
        if ((c < 0x20 && !fine) || c == 0x7f)
            return true;
        /* C1 controls (U+0080..U+009F) and the line separators hide in two and three bytes */
        if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
            return true;
        if (!lines && c == 0xe2 && i + 2 < s.n && (unsigned char)s.p[i + 1] == 0x80 &&
            ((unsigned char)s.p[i + 2] == 0xa8 || (unsigned char)s.p[i + 2] == 0xa9))
            return true;
    }
    return false;
}

static bool text_ok(const struct place *at, const struct field *f, sv s)
{
    bool lines = f->type == FIELD_TEXT;
    if (!sv_valid_utf8(s)) {
        (void)field_error(at->r, at->pointer, "utf8", "is not valid UTF-8");
        return false;
    }
    if (controls(s, lines)) {
        (void)field_error(at->r, at->pointer, "control", "holds a control character");
        return false;
    }
    int64_t min = f->min, max = f->max;
    if (min == 0 && max == 0)
        min = 1, max = lines ? 10000 : 1000;
    return range(at, (int64_t)sv_utf8_len(s), min, max ? max : 1000, true);
}

static bool email_ok(sv s)
{
    if (s.n < 3 || s.n > 254 || !sv_valid_utf8(s) || controls(s, false))
        return false;
    const char *at = memchr(s.p, '@', s.n);
    if (at == NULL || at == s.p || at - s.p > 64)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (strchr(" \"(),:;<>[]\\", s.p[i]) != NULL || (s.p[i] == '@' && s.p + i != at))
            return false;
    sv local = {s.p, (size_t)(at - s.p)}, domain = {at + 1, s.n - local.n - 1};
    if (local.p[0] == '.' || local.p[local.n - 1] == '.' || sv_contains(s, SV("..")))
        return false;
    if (domain.n < 3 || memchr(domain.p, '.', domain.n) == NULL)
        return false;
    for (sv rest = domain; rest.p != NULL;) {
        sv label = sv_cut(&rest, '.');
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            unsigned char c = (unsigned char)label.p[i];
            if (c < 0x80 && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
                !(c >= 'A' && c <= 'Z') && c != '-')
                return false;
        }
    }
    return true;
}

static bool url_ok(sv s)
{
    sv rest = s;
    if (s.n > 2048 || sv_has_control(s) || memchr(s.p, ' ', s.n) != NULL)
        return false;
    if (sv_starts(s, SV("https://")))
        rest = (sv){s.p + 8, s.n - 8};
    else if (sv_starts(s, SV("http://")))
        rest = (sv){s.p + 7, s.n - 7};
    else
        return false;
    return rest.n > 0 && rest.p[0] != '/' && rest.p[0] != '?' && rest.p[0] != '#' &&
           rest.p[0] != ':' && sv_valid_utf8(s) && memchr(s.p, '\\', s.n) == NULL;
}

static bool enum_of(const struct place *at, const struct field *f, sv s, int *out)
{
    BUF_AUTO all = {0};
    for (int i = 0; f->values[i] != NULL; i++) {
        if (sv_is(s, f->values[i])) {
            *out = i;
            return true;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", f->values[i]);
    }
    (void)field_error(at->r, at->pointer, "enum", "has to be one of %s", all.p ? all.p : "");
    return false;
}

static void wrong_type(const struct place *at, const char *want)
{
    (void)field_error(at->r, at->pointer, "type", "has to be %s", want);
}

/* Strings of every kind, from JSON or a query. */
static void take_text(const struct place *at, const struct field *f, sv s)
{
    int index;
    ts t;
    switch (f->type) {
    case FIELD_STR:
    case FIELD_TEXT:
        if (text_ok(at, f, s))
            *(sv *)f->out = s;
        break;
    case FIELD_EMAIL:
        if (email_ok(s))
            *(sv *)f->out = s;
        else
            (void)field_error(at->r, at->pointer, "email", "is not an e-mail address");
        break;
    case FIELD_URL:
        if (url_ok(s))
            *(sv *)f->out = s;
        else
            (void)field_error(at->r, at->pointer, "url", "is not an http or https URL");
        break;
    case FIELD_TIME:
        if (ts_parse(s, &t))
            *(ts *)f->out = t;
        else
            (void)field_error(at->r, at->pointer, "time", "is not an RFC 3339 time");
        break;
    case FIELD_ENUM:
        if (enum_of(at, f, s, &index))
            *(int *)f->out = index;
        break;
    default:
        break;
    }
}

static void take_int(const struct place *at, const struct field *f, int64_t v)
{
    if ((f->min == 0 && f->max == 0) || range(at, v, f->min, f->max, false))
        *(int64_t *)f->out = v;
}

static void take_json(const struct place *at, const struct field *f, const json *j)
{
    enum json_kind k = json_kind(j);
    switch (f->type) {
    case FIELD_INT:
        if (k == JK_INT)
            take_int(at, f, json_int(j, 0));
        else
            wrong_type(at, "an integer");
        break;
    case FIELD_BOOL:
        if (k == JK_BOOL)
            *(bool *)f->out = json_bool(j, false);
        else
            wrong_type(at, "true or false");
        break;
    case FIELD_OBJ:
        if (k == JK_OBJ)
            *(const json **)f->out = j;
        else
            wrong_type(at, "an object");
        break;
    case FIELD_ARR:
        if (k != JK_ARR)
            wrong_type(at, "an array");
        else if (range(at, (int64_t)json_len(j), f->min, f->max ? f->max : 1000, true))
            *(const json **)f->out = j;
        break;
    default:
        if (k == JK_STR)
            take_text(at, f, json_str(j));
        else
            wrong_type(at, "a string");
    }
}

static void take_query(const struct place *at, const struct field *f, sv s)
{
    int64_t v;
    if (f->type == FIELD_INT) {
        if (sv_to_i64(s, &v))
            take_int(at, f, v);
        else
            wrong_type(at, "an integer");
    } else if (f->type == FIELD_BOOL) {
        bool yes = sv_is(s, "1") || sv_is(s, "true");
        if (yes || sv_is(s, "0") || sv_is(s, "false"))
            *(bool *)f->out = yes;
        else
            wrong_type(at, "true or false");
    } else {
        take_text(at, f, s);
    }
}

/* -------- tables -------- */
static const struct field *field_named(const struct field *f, size_t n, sv name)
{
    for (size_t i = 0; i < n; i++)
        if (sv_is(name, f[i].name))
            return &f[i];
    return NULL;
}

/* Never taken from a body (SPEC §5). */
static bool identity(sv name)
{
    return sv_is(name, "userId") || sv_is(name, "email") || sv_is(name, "userEmail");
}

static void missing(struct req *r, const char *pointer)
{
    (void)field_error(r, pointer, "required", "is required");
}

/* RFC 6901: ~ and / of a name are written ~0 and ~1. */
static const char *pointer_of(struct req *r, const char *prefix, sv name)
{
    if (memchr(name.p, '/', name.n) == NULL && memchr(name.p, '~', name.n) == NULL)
        return arena_printf(r->mem, "%s/%.*s", prefix, (int)(name.n < 200 ? name.n : 200), name.p)
            .p;
    BUF_AUTO b = {0};
    buf_printf(&b, "%s/", prefix);
    for (size_t i = 0; i < name.n && i < 200; i++)
        if (name.p[i] == '~' || name.p[i] == '/')
            buf_add(&b, name.p[i] == '~' ? SV("~0") : SV("~1"));
        else
            buf_char(&b, name.p[i]);
    return arena_cstr(r->mem, buf_sv(&b));
}

err object_read(struct req *r, const json *obj, const char *prefix, const struct field *f, size_t n)
{
    const struct problem_field *const *before = (const void *)r->reply->fields_end;
    if (json_kind(obj) != JK_OBJ)
        return field_error(r, prefix, "type", "has to be an object");
    for (struct json_iter it = json_iter(obj); json_next(&it);)
        if (field_named(f, n, it.key) == NULL && !identity(it.key) && !r->route->lenient)
            (void)field_error(r, pointer_of(r, prefix, it.key), "unknown", "is not a known field");
    for (size_t i = 0; i < n; i++) {
        const json *j = json_get(obj, f[i].name);
        struct place at = {r, NULL};
        if (j == NULL || json_kind(j) == JK_NULL) {
            if (f[i].required)
                missing(r, pointer_of(r, prefix, sv_from(f[i].name)));
            continue;
        }
        at.pointer = pointer_of(r, prefix, sv_from(f[i].name));
        take_json(&at, &f[i], j);
    }
    return (const void *)r->reply->fields_end == (const void *)before ? OK : ERR_VALIDATION;
}

static err pairs_read(struct req *r, const struct pairs *q, const struct field *f, size_t n)
{
    const void *before = r->reply->fields_end;
    for (size_t i = 0; i < q->n; i++) {
        sv name = q->v[i].name;
        const char *pointer = arena_cstr(r->mem, (sv){name.p, name.n < 100 ? name.n : 100});
        struct place at = {r, pointer};
        const struct field *is = field_named(f, n, name);
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || sv_eq(q->v[k].name, name);
        if (is == NULL && !r->route->lenient && !identity(name))
            (void)field_error(r, pointer, "unknown", "is not a known parameter");
        else if (is != NULL && twice)
            (void)field_error(r, pointer, "repeated", "is there more than once");
        else if (is != NULL)
            take_query(&at, is, q->v[i].value);
    }
    for (size_t i = 0; i < n; i++) {
        bool there = false;
        for (size_t k = 0; k < q->n; k++)
            there = there || sv_is(q->v[k].name, f[i].name);
        if (f[i].required && !there)
            missing(r, f[i].name);
    }
    return r->reply->fields_end == before ? OK : ERR_VALIDATION;
}

err body_read(struct req *r, const struct field *f, size_t n)
{
    return r->route->body == BODY_FORM ? pairs_read(r, &r->conn->form, f, n)
                                       : object_read(r, r->json, "", f, n);
}

err query_read(struct req *r, const struct field *f, size_t n)
{
    return pairs_read(r, &r->conn->query, f, n);
}

/* -------- pages of a list -------- */
err page_query_read(struct req *r, struct page *out, const struct field *more, size_t n)
{
    struct page p = {.limit = 25, .cursor = SV_NULL};
    sv cursor = SV_NULL;
    struct field all[16] = {
        {"limit", FIELD_INT, &p.limit, .min = 1, .max = 100},
        {"cursor", FIELD_STR, &cursor, .min = 1, .max = 1000},
    };
    for (size_t i = 0; i < n && i < 14; i++)
        all[2 + i] = more[i];
    TRY(query_read(r, all, 2 + n));
    if (cursor.p != NULL && (!crypto_b64url_decode(r->mem, cursor, &p.cursor) ||
                             !sv_valid_utf8(p.cursor) || sv_has_control(p.cursor)))
        return field_error(r, "cursor", "cursor", "is not a cursor of this list");
    *out = p;
    return OK;
}

err page_read(struct req *r, struct page *out)
{
    return page_query_read(r, out, NULL, 0);
}

err page_at(struct req *r, const struct page *p, ts *at, sv *id)
{
    ts when = {INT64_MAX};
    sv rest = p->cursor;
    if (rest.p == NULL) {
        *at = when;
        *id = SV("~");
        return OK;
    }
    sv ms = sv_cut(&rest, ' ');
    if (rest.p == NULL || !sv_to_i64(ms, &when.ms))
        return field_error(r, "cursor", "cursor", "is not a cursor of this list");
    *at = when;
    *id = rest;
    return OK;
}

sv page_at_text(struct arena *mem, ts at, sv id)
{
    return arena_printf(mem, "%lld %.*s", (long long)at.ms, SV_ARG(id));
}

bool page_cut(const struct page *p, size_t *n)
{
    bool more = *n > (size_t)p->limit;
    if (more)
        *n = (size_t)p->limit;
    return more;
}

struct jw *page_begin(struct req *r)
{
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_key(w, "data");
    jw_arr(w);
    return w;
}

err page_end(struct req *r, struct jw *w, sv cursor)
{
    jw_arr_end(w);
    jw_kstr(w, "nextCursor", cursor.p == NULL ? SV_NULL : crypto_b64url(r->mem, cursor));
    jw_obj_end(w);
    return OK;
}
