#include "base/json_tree.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

/* yajl reads the text and calls what is below; the values are put together on a stack and copied to
 * the arena, exactly as large as they are, when their container ends. What yajl lets pass and JSON
 * does not is refused before or behind it, and so are too many levels. */

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
    bool escapes; /* there is a backslash: strings may hold a NUL */
    err failed;
};

/* ---- what yajl would let pass ---- */

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

/* \v and \f, which yajl takes for space; in a string they would be as wrong. */
static bool strange_space(sv text)
{
    return text.n > 0 &&
           (memchr(text.p, '\v', text.n) != NULL || memchr(text.p, '\f', text.n) != NULL);
}

/* ---- building ---- */

static int refuse(struct parse *p, err e)
{
    p->failed = e;
    return 0;
}

static void more_room(struct parse *p)
{
    struct json_member *values = arena_alloc(p->mem, 2 * p->room * sizeof *values);
    memcpy(values, p->values, p->n * sizeof *values);
    p->values = values;
    p->room *= 2;
}

static json *push(struct parse *p, enum json_kind kind)
{
    if (p->n == p->room)
        more_room(p);
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
    if (p->escapes && memchr(text, '\0', n) != NULL)
        return refuse(p, ERR_JSON_NUL);
    json *j = push(p, JK_STR);
    j->s = keep(p, text, n);
    j->n = (uint32_t)n;
    return 1;
}

static int on_key(void *ctx, const unsigned char *text, size_t n)
{
    struct parse *p = ctx;
    if (p->escapes && memchr(text, '\0', n) != NULL)
        return refuse(p, ERR_JSON_NUL);
    p->key = (sv){keep(p, text, n), n};
    return 1;
}

static int begin(struct parse *p, enum json_kind kind)
{
    if (p->depth == JSON_DEPTH)
        return refuse(p, ERR_JSON_DEPTH);
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

/* Of a key's length and ends: what it does not tell apart is compared. */
static uint8_t key_hash(sv key)
{
    uint64_t head = 0, tail = 0;
    if (key.n >= sizeof head) {
        memcpy(&head, key.p, sizeof head);
        memcpy(&tail, key.p + key.n - sizeof tail, sizeof tail);
    } else {
        for (size_t i = 0; i < key.n; i++)
            head = head << 8 | (uint8_t)key.p[i];
    }
    return (uint8_t)((head * 31 + tail + key.n) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

/* Does a key stand twice? Few members are looked up in a table of 256, whose worst case (all keys
 * in one place, on purpose) is bounded by their number. */
static bool key_twice(struct arena *mem, const struct json_member *m, size_t n)
{
    if (n > TABLE_KEYS)
        return key_twice_sorted(mem, m, n);
    if (n < 2)
        return false;
    uint8_t table[256] = {0}; /* indexes of m, plus one */
    for (size_t i = 0; i < n; i++) {
        uint8_t at = key_hash(m[i].key);
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
    case ERR_JSON_DEPTH:
        return "nested too deeply";
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
    if (strange_space(text) || lone_surrogate(text))
        return FAIL(ERR_JSON_SYNTAX, "not valid JSON");
    struct parse p = {.mem = mem, .room = FIRST_VALUES};
    p.values = p.first;
    p.escapes = text.n > 0 && memchr(text.p, '\\', text.n) != NULL;
    p.pool = arena_alloc(mem, text.n + 2);
    yajl_alloc_funcs memory = {yajl_memory, yajl_more, yajl_release, NULL};
    yajl_handle h = yajl_alloc(&calls, &memory, &p);
    yajl_config(h, yajl_dont_validate_strings, 1);
    yajl_config(h, yajl_allow_trailing_garbage, 1);
    yajl_status s = yajl_parse(h, (const unsigned char *)(text.p ? text.p : ""), text.n);
    size_t at = yajl_get_bytes_consumed(h);
    if (s == yajl_status_ok)
        s = yajl_complete_parse(h);
    yajl_free(h);
    if (s != yajl_status_ok)
        return fail_at(text, at, p.failed != OK ? p.failed : ERR_JSON_SYNTAX);
    /* Behind the value yajl itself would overlook a string without an end. */
    if (sv_trim((sv){text.p + at, text.n - at}).n > 0)
        return fail_at(text, at, ERR_JSON_SYNTAX);
    json *root = ARENA_NEW(mem, json);
    *root = p.values[0].value;
    *out = root;
    return OK;
}
