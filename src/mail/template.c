#include "mail/template.h"
#include "base/html.h"

#define NESTING_MAX 12

/* A template as it is read: texts and tags in order. */
struct token {
    char type;  /* 't' text, 'v' value, '{' raw, '#', '^', '/', '!', '>' */
    sv text;    /* of a text; else the name in the tag */
    size_t end; /* of a section: the index of its end */
};
struct tokens {
    struct token *v;
    size_t n, cap;
    /* the line that is being read */
    size_t line;
    bool tag, visible;
};

/* -------- reading -------- */

static struct token *push(struct arena *mem, struct tokens *t, char type, sv text)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        struct token *v = ARENA_ARRAY(mem, struct token, cap);
        if (t->n)
            memcpy(v, t->v, t->n * sizeof *v);
        t->v = v;
        t->cap = cap;
    }
    t->v[t->n] = (struct token){.type = type, .text = text};
    return &t->v[t->n++];
}

/* A line that holds nothing but tags of sections, comments and parts goes with them. */
static void line_end(struct tokens *t)
{
    if (t->tag && !t->visible)
        for (size_t i = t->line; i < t->n; i++)
            if (t->v[i].type == 't')
                t->v[i].text = SV("");
    t->line = t->n;
    t->tag = t->visible = false;
}

static bool blank(sv s)
{
    return sv_trim(s).n == 0;
}

static void text_read(struct arena *mem, struct tokens *t, sv text)
{
    while (text.n) {
        const char *nl = memchr(text.p, '\n', text.n);
        size_t n = nl ? (size_t)(nl - text.p) + 1 : text.n;
        sv part = {text.p, n};
        push(mem, t, 't', part);
        if (!blank(part))
            t->visible = true;
        if (nl)
            line_end(t);
        text = (sv){text.p + n, text.n - n};
    }
}

/* The tag that `*rest` begins with; *rest goes on behind it. */
static err tag_read(struct arena *mem, struct tokens *t, sv *rest)
{
    sv in = {rest->p + 2, rest->n - 2};
    bool raw = in.n && in.p[0] == '{';
    const char *end = memmem(in.p, in.n, raw ? "}}}" : "}}", raw ? 3 : 2);
    if (!end)
        return FAIL(ERR_VALIDATION, "a tag is not closed: %.20s",
                    arena_cstr(mem, (sv){rest->p, rest->n < 20 ? rest->n : 20}));
    const char *after = end + (raw ? 3 : 2);
    sv name = sv_trim((sv){in.p, (size_t)(end - in.p)});
    char type = 'v';
    if (name.n && strchr("{#^/!>&=", name.p[0])) {
        type = name.p[0] == '&' ? '{' : name.p[0];
        name = sv_trim((sv){name.p + 1, name.n - 1});
    }
    if (type == '=')
        return FAIL(ERR_VALIDATION, "the marks {{ and }} cannot be changed");
    if (name.n == 0 && type != '!')
        return FAIL(ERR_VALIDATION, "a tag has no name");
    push(mem, t, type, name);
    if (type == 'v' || type == '{')
        t->visible = true;
    else
        t->tag = true;
    *rest = (sv){after, rest->n - (size_t)(after - rest->p)};
    return OK;
}

/* Every section gets its end. */
static err sections_match(struct tokens *t)
{
    size_t open[NESTING_MAX], depth = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct token *k = &t->v[i];
        if (k->type == '#' || k->type == '^') {
            if (depth == NESTING_MAX)
                return FAIL(ERR_VALIDATION, "sections are nested too deeply");
            open[depth++] = i;
        } else if (k->type == '/') {
            if (depth == 0 || !sv_eq(t->v[open[depth - 1]].text, k->text))
                return FAIL(ERR_VALIDATION, "the section %.*s was not opened", SV_ARG(k->text));
            t->v[open[--depth]].end = i;
        }
    }
    if (depth)
        return FAIL(ERR_VALIDATION, "the section %.*s is not closed",
                    SV_ARG(t->v[open[depth - 1]].text));
    return OK;
}

static err tokens_read(struct arena *mem, sv text, struct tokens *out)
{
    struct tokens t = {0};
    for (sv rest = text; rest.n;) {
        const char *p = memmem(rest.p, rest.n, "{{", 2);
        size_t n = p ? (size_t)(p - rest.p) : rest.n;
        text_read(mem, &t, (sv){rest.p, n});
        rest = (sv){rest.p + n, rest.n - n};
        if (p)
            TRY(tag_read(mem, &t, &rest));
    }
    line_end(&t);
    TRY(sections_match(&t));
    *out = t;
    return OK;
}

/* -------- values -------- */

static const json *member(const json *of, sv name)
{
    if (json_kind(of) != JK_OBJ)
        return NULL;
    for (struct json_iter it = json_iter(of); json_next(&it);)
        if (sv_eq(it.key, name))
            return it.value;
    return NULL;
}

/* The innermost of the surrounding values that has the whole name, a.b too. */
static const json *lookup(const struct template_ctx *c, sv name)
{
    if (sv_is(name, "."))
        return c->stack[c->depth - 1];
    for (size_t i = c->depth; i-- > 0;) {
        const json *v = c->stack[i];
        for (sv rest = name; v && rest.p;)
            v = member(v, sv_cut(&rest, '.'));
        if (v)
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
    case JK_INT:
        return json_int(v, 0) != 0;
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

static void value_write(struct template_ctx *c, const struct token *t, struct buf *out)
{
    const json *v = lookup(c, t->text);
    sv s = json_str(v);
    if (json_kind(v) == JK_INT)
        s = arena_printf(c->mem, "%lld", (long long)json_int(v, 0));
    if (json_kind(v) == JK_BOOL)
        s = json_bool(v, false) ? SV("true") : SV("false");
    if (!s.p) {
        missing_add(c, t->text);
        return;
    }
    if (c->mode == TEMPLATE_HTML && t->type == 'v')
        buf_html(out, s);
    else
        buf_add(out, s);
}

/* -------- rendering -------- */

static err render(struct template_ctx *c, const struct tokens *t, size_t from, size_t to,
                  struct buf *out);

static err inside(struct template_ctx *c, const json *v, const struct tokens *t, size_t at,
                  struct buf *out)
{
    if (c->depth == sizeof c->stack / sizeof *c->stack)
        return FAIL(ERR_VALIDATION, "sections are nested too deeply");
    c->stack[c->depth++] = v;
    err e = render(c, t, at + 1, t->v[at].end, out);
    c->depth--;
    return e;
}

static err section(struct template_ctx *c, const struct tokens *t, size_t at, struct buf *out)
{
    const struct token *k = &t->v[at];
    const json *v = lookup(c, k->text);
    if (truthy(v) != (k->type == '#'))
        return OK;
    if (k->type == '^' || json_kind(v) == JK_BOOL)
        return render(c, t, at + 1, k->end, out);
    if (json_kind(v) != JK_ARR)
        return inside(c, v, t, at, out);
    for (size_t i = 0; i < json_len(v); i++)
        TRY(inside(c, json_at(v, i), t, at, out));
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

static err render(struct template_ctx *c, const struct tokens *t, size_t from, size_t to,
                  struct buf *out)
{
    for (size_t i = from; i < to; i++) {
        const struct token *k = &t->v[i];
        switch (k->type) {
        case 't':
            buf_add(out, k->text);
            break;
        case '#':
        case '^':
            TRY(section(c, t, i, out));
            i = k->end;
            break;
        case '>':
            TRY(partial(c, k->text, out));
            break;
        case '!':
            break;
        default:
            value_write(c, k, out);
        }
    }
    return OK;
}

err template_render(struct template_ctx *c, sv text, struct buf *out)
{
    if (++c->nesting > NESTING_MAX)
        return FAIL(ERR_VALIDATION, "parts are nested too deeply");
    struct tokens t;
    TRY(tokens_read(c->mem, text, &t));
    TRY(render(c, &t, 0, t.n, out));
    c->nesting--;
    return OK;
}
