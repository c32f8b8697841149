#include "mail/template.h"
#include "base/html.h"

#define NESTING_MAX 12

struct tag {
    char type; /* 'v' value, '{' raw, '#', '^', '/', '!', '>' */
    sv name;
    size_t at;    /* where it begins */
    size_t after; /* where the text goes on */
};

/* A section, comment or part alone on its line: the line goes with it. */
static void standalone(sv text, struct tag *t)
{
    if (t->type == 'v' || t->type == '{')
        return;
    size_t from = t->at, to = t->after;
    while (from > 0 && (text.p[from - 1] == ' ' || text.p[from - 1] == '\t'))
        from--;
    if (from > 0 && text.p[from - 1] != '\n')
        return;
    while (to < text.n && (text.p[to] == ' ' || text.p[to] == '\t' || text.p[to] == '\r'))
        to++;
    if (to < text.n && text.p[to] != '\n')
        return;
    t->at = from;
    t->after = to < text.n ? to + 1 : to;
}

/* The next tag at or after `from`; *found = false at the end of the text. */
static err tag_next(sv text, size_t from, struct tag *out, bool *found)
{
    const char *p = memmem(text.p + from, text.n - from, "{{", 2);
    *found = p != NULL;
    if (!p)
        return OK;
    struct tag t = {.at = (size_t)(p - text.p), .type = 'v'};
    size_t name = t.at + 2;
    bool raw = name < text.n && text.p[name] == '{';
    const char *end = memmem(text.p + name, text.n - name, raw ? "}}}" : "}}", raw ? 3 : 2);
    if (!end)
        return FAIL(ERR_VALIDATION, "a tag is not closed: %.20s", p);
    t.after = (size_t)(end - text.p) + (raw ? 3 : 2);
    sv inner = {text.p + name, (size_t)(end - text.p) - name};
    if (inner.n && strchr("{#^/!>&", inner.p[0])) {
        t.type = inner.p[0] == '&' ? '{' : inner.p[0];
        inner = (sv){inner.p + 1, inner.n - 1};
    }
    t.name = sv_trim(inner);
    if (t.name.n == 0 && t.type != '!')
        return FAIL(ERR_VALIDATION, "a tag has no name");
    standalone(text, &t);
    *out = t;
    return OK;
}

/* The end of the section that `open` begins: *inner = its text, *after = where the text goes on. */
static err section_end(sv text, const struct tag *open, sv *inner, size_t *after)
{
    size_t at = open->after;
    int depth = 1;
    for (;;) {
        struct tag t;
        bool found;
        TRY(tag_next(text, at, &t, &found));
        if (!found)
            return FAIL(ERR_VALIDATION, "the section %.*s is not closed", SV_ARG(open->name));
        if ((t.type == '#' || t.type == '^') && sv_eq(t.name, open->name))
            depth++;
        if (t.type == '/' && sv_eq(t.name, open->name) && --depth == 0) {
            *inner = (sv){text.p + open->after, t.at - open->after};
            *after = t.after;
            return OK;
        }
        at = t.after;
    }
}

/* -------- values -------- */

static const json *member(const json *of, sv name)
{
    for (struct json_iter it = json_iter(of); json_next(&it);)
        if (sv_eq(it.key, name))
            return it.value;
    return NULL;
}

static const json *lookup(const struct template_ctx *c, sv name)
{
    if (sv_is(name, "."))
        return c->stack[c->depth - 1];
    sv rest = name, first = sv_cut(&rest, '.');
    for (size_t i = c->depth; i-- > 0;) {
        const json *v = json_kind(c->stack[i]) == JK_OBJ ? member(c->stack[i], first) : NULL;
        if (!v)
            continue;
        while (v && rest.p)
            v = json_kind(v) == JK_OBJ ? member(v, sv_cut(&rest, '.')) : NULL;
        return v;
    }
    return NULL;
}

static bool truthy(const json *v)
{
    switch (json_kind(v)) {
    case JK_NONE:
    case JK_NULL:
        return false;
    case JK_BOOL:
        return json_bool(v, false);
    case JK_STR:
        return json_str(v).n > 0;
    case JK_ARR:
        return json_len(v) > 0;
    default:
        return true;
    }
}

static void missing_add(struct template_ctx *c, sv name)
{
    if (!c->missing || (c->missing->n && sv_contains(buf_sv(c->missing), name)))
        return;
    if (c->missing->n)
        buf_add(c->missing, SV(", "));
    buf_add(c->missing, name);
}

static void value_write(struct template_ctx *c, const struct tag *t, struct buf *out)
{
    const json *v = lookup(c, t->name);
    sv s = json_str(v);
    if (json_kind(v) == JK_INT)
        s = arena_printf(c->mem, "%lld", (long long)json_int(v, 0));
    if (!s.p) {
        missing_add(c, t->name);
        return;
    }
    if (c->mode == TEMPLATE_HTML && t->type == 'v')
        buf_html(out, s);
    else
        buf_add(out, s);
}

/* -------- rendering -------- */

static err inside(struct template_ctx *c, const json *v, sv inner, struct buf *out)
{
    if (c->depth == sizeof c->stack / sizeof *c->stack)
        return FAIL(ERR_VALIDATION, "sections are nested too deeply");
    c->stack[c->depth++] = v;
    err e = template_render(c, inner, out);
    c->depth--;
    return e;
}

static err section(struct template_ctx *c, const struct tag *t, sv inner, struct buf *out)
{
    const json *v = lookup(c, t->name);
    if (t->type == '^')
        return truthy(v) ? OK : template_render(c, inner, out);
    if (!truthy(v))
        return OK;
    if (json_kind(v) != JK_ARR)
        return inside(c, v, inner, out);
    for (size_t i = 0; i < json_len(v); i++)
        TRY(inside(c, json_at(v, i), inner, out));
    return OK;
}

static err partial(struct template_ctx *c, sv name, struct buf *out)
{
    sv text;
    err e = template_read(c->mem, arena_cstr(c->mem, name), &text);
    if (e == ERR_NOT_FOUND)
        return FAIL(ERR_VALIDATION, "there is no part %.*s", SV_ARG(name));
    TRY(e);
    return template_render(c, text, out);
}

static err tag_write(struct template_ctx *c, sv text, struct tag *t, struct buf *out)
{
    sv inner = SV_NULL;
    switch (t->type) {
    case '#':
    case '^':
        TRY(section_end(text, t, &inner, &t->after));
        return section(c, t, inner, out);
    case '/':
        return FAIL(ERR_VALIDATION, "the section %.*s was not opened", SV_ARG(t->name));
    case '>':
        return partial(c, t->name, out);
    case '!':
        return OK;
    default:
        value_write(c, t, out);
        return OK;
    }
}

err template_render(struct template_ctx *c, sv text, struct buf *out)
{
    if (++c->nesting > NESTING_MAX)
        return FAIL(ERR_VALIDATION, "parts are nested too deeply");
    size_t at = 0;
    for (;;) {
        struct tag t;
        bool found;
        TRY(tag_next(text, at, &t, &found));
        if (!found)
            break;
        buf_add(out, (sv){text.p + at, t.at - at});
        TRY(tag_write(c, text, &t, out));
        at = t.after;
    }
    buf_add(out, (sv){text.p + at, text.n - at});
    c->nesting--;
    return OK;
}
