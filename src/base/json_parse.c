#include "base/json_tree.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

/* yajl reads the text and calls what is below; the values are put together on a stack and copied to
 * the arena, exactly as large as they are, when their container ends. What yajl lets pass and JSON
 * does not is refused before, and so are too many levels. */

enum {
    FIRST_VALUES = 64, /* so many lie on the C stack */
    TABLE_KEYS = 127,  /* members that are looked for twice in a table, beyond: by sorting */
};

struct parse {
    struct arena *mem;
    char *pool; /* where the next string goes: all together are no longer than the text */
    struct json_member *values;
    size_t n, room;
    size_t open[JSON_DEPTH]; /* the containers that have not ended, as indexes of `values` */
    unsigned depth;
    sv key; /* of the next value, if it is a member */
    struct json_member first[FIRST_VALUES];
    err failed;
};

/* ---- what yajl would let pass ---- */

/* Where a string ends, whose first byte is at `at`: its quote, or text.n if there is none. */
static size_t string_end(sv text, size_t at)
{
    for (size_t from = at;;) {
        const char *quote = from < text.n ? memchr(text.p + from, '"', text.n - from) : NULL;
        if (quote == NULL)
            return text.n;
        size_t end = (size_t)(quote - text.p), slashes = 0;
        while (end - slashes > from && text.p[end - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return end;
        from = end + 1;
    }
}

struct look {
    unsigned depth; /* deepest nesting of brackets outside of strings */
    size_t values;  /* no more begin: the first, and one behind each bracket and comma */
    bool lax; /* what only yajl takes: \v and \f for space, and, behind a whole value, a string
                 without an end */
};

static struct look look_over(sv text)
{
    struct look l = {.values = 1};
    unsigned depth = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"') {
            i = string_end(text, i + 1);
            l.lax |= i == text.n;
        } else if (c == ',') {
            l.values++;
        } else if (c == '[' || c == '{') {
            l.values++;
            if (++depth > l.depth)
                l.depth = depth;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (c == '\v' || c == '\f') {
            l.lax = true;
        }
    }
    return l;
}

/* The unit that an escape at `at` stands for (\u and four digits), else -1. */
static int unit(sv text, size_t at)
{
    int value = 0;
    if (text.n - at < 6 || text.p[at] != '\\' || text.p[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        int digit = hex_value(text.p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* A half of a surrogate pair without the other: yajl would write "?". Backslashes outside of
 * strings are none of JSON's, so the whole text is looked at alike. */
static bool lone_surrogate(sv text)
{
    for (size_t at = 0; at < text.n;) {
        const char *slash = memchr(text.p + at, '\\', text.n - at);
        if (slash == NULL)
            return false;
        at = (size_t)(slash - text.p);
        int high = unit(text, at);
        if (high < 0xd800 || high > 0xdfff) {
            at += 2;
            continue;
        }
        int low = text.n - at >= 12 ? unit(text, at + 6) : -1;
        if (high >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
            return true;
        at += 12;
    }
    return false;
}

/* ---- building ---- */

static int refuse(struct parse *p, err e)
{
    p->failed = e;
    return 0;
}

static json *push(struct parse *p, enum json_kind kind)
{
    assert(p->n < p->room); /* look_over counted what begins a value */
    struct json_member *m = &p->values[p->n++];
    *m = (struct json_member){.key = p->key, .value = {.kind = kind}};
    return &m->value;
}

/* A copy with a NUL behind it. The quotes of a string, what divides a number from the next value
 * and the two spare bytes of the pool are room enough for the NULs. */
static const char *keep(struct parse *p, const void *text, size_t n)
{
    char *at = p->pool;
    memcpy(at, text, n);
    at[n] = '\0';
    p->pool += n + 1;
    return at;
}

static int on_null(void *ctx)
{
    push(ctx, JK_NULL);
    return 1;
}

static int on_boolean(void *ctx, int value)
{
    push(ctx, JK_BOOL)->b = value != 0;
    return 1;
}

static int on_number(void *ctx, const char *text, size_t n)
{
    struct parse *p = ctx;
    if (memchr(text, '.', n) == NULL && memchr(text, 'e', n) == NULL &&
        memchr(text, 'E', n) == NULL) {
        if (!sv_to_i64((sv){text, n}, &push(p, JK_INT)->i))
            return refuse(p, ERR_JSON_NUMBER);
        return 1;
    }
    json *j = push(p, JK_REAL);
    j->s = keep(p, text, n);
    j->n = (uint32_t)n;
    return isfinite(strtod(j->s, NULL)) ? 1 : refuse(p, ERR_JSON_NUMBER);
}

static int on_string(void *ctx, const unsigned char *text, size_t n)
{
    struct parse *p = ctx;
    if (memchr(text, '\0', n) != NULL)
        return refuse(p, ERR_JSON_NUL);
    json *j = push(p, JK_STR);
    j->s = keep(p, text, n);
    j->n = (uint32_t)n;
    return 1;
}

static int on_key(void *ctx, const unsigned char *text, size_t n)
{
    struct parse *p = ctx;
    if (memchr(text, '\0', n) != NULL)
        return refuse(p, ERR_JSON_NUL);
    p->key = (sv){keep(p, text, n), n};
    return 1;
}

static int begin(struct parse *p, enum json_kind kind)
{
    push(p, kind);
    p->open[p->depth++] = p->n - 1;
    return 1;
}

static int on_start_map(void *ctx)
{
    return begin(ctx, JK_OBJ);
}

static int on_start_array(void *ctx)
{
    return begin(ctx, JK_ARR);
}

static bool key_twice_sorted(struct arena *mem, const struct json_member *m, size_t n)
{
    const struct json_member **sorted = ARENA_ARRAY(mem, const struct json_member *, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &m[i];
    qsort(sorted, n, sizeof *sorted, json_by_key);
    for (size_t i = 1; i < n; i++)
        if (sv_eq(sorted[i - 1]->key, sorted[i]->key))
            return true;
    return false;
}

/* Does a key stand twice? Few members are looked up in a table of 256, whose worst case (all keys
 * in one place, on purpose) is bounded by their number. */
static bool key_twice(struct arena *mem, const struct json_member *m, size_t n)
{
    if (n > TABLE_KEYS)
        return key_twice_sorted(mem, m, n);
    uint8_t table[256] = {0}; /* indexes of m, plus one */
    for (size_t i = 0; i < n; i++) {
        uint32_t h = 2166136261U; /* FNV-1a */
        for (size_t k = 0; k < m[i].key.n; k++)
            h = (h ^ (uint8_t)m[i].key.p[k]) * 16777619U;
        uint8_t at = (uint8_t)(h ^ h >> 16);
        for (; table[at] != 0; at++)
            if (sv_eq(m[table[at] - 1].key, m[i].key))
                return true;
        table[at] = (uint8_t)(i + 1);
    }
    return false;
}

static int on_end_map(void *ctx)
{
    struct parse *p = ctx;
    size_t at = p->open[--p->depth], n = p->n - at - 1;
    struct json_member *members = arena_alloc(p->mem, n * sizeof *members);
    memcpy(members, &p->values[at + 1], n * sizeof *members);
    if (key_twice(p->mem, members, n))
        return refuse(p, ERR_JSON_DUPLICATE);
    p->values[at].value.members = members;
    p->values[at].value.n = (uint32_t)n;
    p->n = at + 1;
    return 1;
}

static int on_end_array(void *ctx)
{
    struct parse *p = ctx;
    size_t at = p->open[--p->depth], n = p->n - at - 1;
    json *items = arena_alloc(p->mem, n * sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = p->values[at + 1 + i].value;
    p->values[at].value.items = items;
    p->values[at].value.n = (uint32_t)n;
    p->n = at + 1;
    return 1;
}

/* ---- parsing ---- */

static void *or_abort(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void *yajl_memory(void *ctx, size_t n)
{
    (void)ctx;
    return or_abort(malloc(n));
}

static void *yajl_more(void *ctx, void *old, size_t n)
{
    (void)ctx;
    return or_abort(realloc(old, n));
}

static void yajl_release(void *ctx, void *old)
{
    (void)ctx;
    free(old);
}

static const char *meaning(err e)
{
    switch (e) {
    case ERR_JSON_DUPLICATE:
        return "a key stands twice";
    case ERR_JSON_NUMBER:
        return "the number is too large";
    case ERR_JSON_NUL:
        return "NUL in a string";
    default:
        return "not valid JSON";
    }
}

static err fail_at(sv text, size_t at, err e)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        column++;
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return FAIL(e, "line %zu, column %zu: %s", line, column, meaning(e));
}

err json_parse(struct arena *mem, sv text, const json **out)
{
    static const yajl_callbacks calls = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_map,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end_map,
        .yajl_start_array = on_start_array,
        .yajl_end_array = on_end_array,
    };
    if (text.n > UINT32_MAX / 2)
        return FAIL(ERR_JSON_SYNTAX, "the text is too large");
    if (!sv_valid_utf8(text))
        return FAIL(ERR_JSON_UTF8, "the text is not valid UTF-8");
    struct look look = look_over(text);
    if (look.depth > JSON_DEPTH)
        return FAIL(ERR_JSON_DEPTH, "nested deeper than %d levels", JSON_DEPTH);
    if (look.lax || lone_surrogate(text))
        return FAIL(ERR_JSON_SYNTAX, "not valid JSON");
    struct parse p = {.mem = mem, .room = look.values};
    p.values = p.first;
    if (p.room > FIRST_VALUES)
        p.values = arena_alloc(mem, p.room * sizeof *p.values);
    p.pool = arena_alloc(mem, text.n + 2);
    yajl_alloc_funcs memory = {yajl_memory, yajl_more, yajl_release, NULL};
    yajl_handle h = yajl_alloc(&calls, &memory, &p);
    yajl_config(h, yajl_dont_validate_strings, 1);
    yajl_status s = yajl_parse(h, (const unsigned char *)(text.p ? text.p : ""), text.n);
    size_t at = yajl_get_bytes_consumed(h);
    if (s == yajl_status_ok)
        s = yajl_complete_parse(h);
    yajl_free(h);
    if (s != yajl_status_ok)
        return fail_at(text, at, p.failed != OK ? p.failed : ERR_JSON_SYNTAX);
    json *root = ARENA_NEW(mem, json);
    *root = p.values[0].value;
    *out = root;
    return OK;
}
