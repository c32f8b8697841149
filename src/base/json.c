#include "base/json.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

/* While a text is parsed, jansson's memory comes from the arena and frees nothing; else it is
 * malloc's. Trees are immutable afterwards, so nothing of the arena is freed outside of a parse. */
static _Thread_local struct arena *parsing;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *json_alloc(size_t n)
{
    return parsing != NULL ? arena_alloc(parsing, n) : malloc(n);
}

static void json_release(void *p)
{
    if (parsing == NULL)
        free(p);
}

static void init(void)
{
    json_object_seed(0);
    json_set_alloc_funcs(json_alloc, json_release);
}

/* Where a string ends, whose first byte is at `at`: its quote, or the end of the text. */
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

/* Deepest nesting of brackets outside of strings. */
static unsigned nesting(sv text)
{
    unsigned depth = 0, most = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"') {
            i = string_end(text, i + 1);
        } else if (c == '[' || c == '{') {
            if (++depth > most)
                most = depth;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return most;
}

static err parse_error(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_duplicate_key:
        return FAIL(ERR_JSON_DUPLICATE, "line %d, column %d: a key stands twice", e->line,
                    e->column);
    case json_error_numeric_overflow:
        return FAIL(ERR_JSON_NUMBER, "line %d, column %d: the number is too large", e->line,
                    e->column);
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return FAIL(ERR_JSON_NUL, "line %d, column %d: NUL in a string", e->line, e->column);
    case json_error_invalid_utf8:
        return FAIL(ERR_JSON_UTF8, "line %d, column %d: not UTF-8", e->line, e->column);
    default:
        return FAIL(ERR_JSON_SYNTAX, "line %d, column %d: not valid JSON", e->line, e->column);
    }
}

err json_parse(struct arena *mem, sv text, const json **out)
{
    pthread_once(&once, init);
    if (!sv_valid_utf8(text))
        return FAIL(ERR_JSON_UTF8, "the text is not valid UTF-8");
    if (nesting(text) > JSON_DEPTH)
        return FAIL(ERR_JSON_DEPTH, "nested deeper than %d levels", JSON_DEPTH);
    json_error_t e;
    parsing = mem;
    json_t *root =
        json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    parsing = NULL;
    if (root == NULL)
        return parse_error(&e);
    *out = (const json *)root;
    return OK;
}

/* Back to jansson's type. It wants non-const pointers even for reading. */
static json_t *node(const json *j)
{
    union {
        const json *in;
        json_t *out;
    } u = {j};
    return u.out;
}

static const json *value(const json_t *j)
{
    return (const json *)j;
}

enum json_kind json_kind(const json *j)
{
    if (j == NULL)
        return JK_NONE;
    switch (json_typeof(node(j))) {
    case JSON_OBJECT:
        return JK_OBJ;
    case JSON_ARRAY:
        return JK_ARR;
    case JSON_STRING:
        return JK_STR;
    case JSON_INTEGER:
        return JK_INT;
    case JSON_TRUE:
    case JSON_FALSE:
        return JK_BOOL;
    default:
        return json_is_null(node(j)) ? JK_NULL : JK_REAL;
    }
}

const json *json_get(const json *obj, const char *key)
{
    return json_kind(obj) == JK_OBJ ? value(json_object_get(node(obj), key)) : NULL;
}

const json *json_at(const json *arr, size_t i)
{
    return json_kind(arr) == JK_ARR ? value(json_array_get(node(arr), i)) : NULL;
}

const json *json_path(const json *j, const char *path)
{
    sv rest = sv_from(path);
    while (j != NULL && rest.p != NULL) {
        sv part = sv_cut(&rest, '.');
        int64_t i;
        if (json_kind(j) == JK_ARR)
            j = sv_to_i64(part, &i) && i >= 0 ? json_at(j, (size_t)i) : NULL;
        else if (json_kind(j) == JK_OBJ)
            j = value(json_object_getn(node(j), part.p, part.n));
        else
            j = NULL;
    }
    return j;
}

size_t json_len(const json *j)
{
    switch (json_kind(j)) {
    case JK_ARR:
        return json_array_size(node(j));
    case JK_OBJ:
        return json_object_size(node(j));
    default:
        return 0;
    }
}

sv json_str(const json *j)
{
    if (json_kind(j) != JK_STR)
        return SV_NULL;
    return (sv){json_string_value(node(j)), json_string_length(node(j))};
}

int64_t json_int(const json *j, int64_t fallback)
{
    if (json_kind(j) == JK_INT)
        return json_integer_value(node(j));
    if (json_kind(j) == JK_REAL) {
        double d = json_real_value(node(j));
        if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d)
            return (int64_t)d;
    }
    return fallback;
}

bool json_bool(const json *j, bool fallback)
{
    return json_kind(j) == JK_BOOL ? json_is_true(node(j)) : fallback;
}

sv json_id(const json *j)
{
    return json_str(json_kind(j) == JK_OBJ ? json_get(j, "id") : j);
}

sv json_get_str(const json *obj, const char *key)
{
    return json_str(json_get(obj, key));
}

int64_t json_get_int(const json *obj, const char *key, int64_t fallback)
{
    return json_int(json_get(obj, key), fallback);
}

bool json_get_bool(const json *obj, const char *key, bool fallback)
{
    return json_bool(json_get(obj, key), fallback);
}

ts json_get_unix(const json *obj, const char *key)
{
    /* Beyond the year 9999 or before 1970 it is not a time of Stripe's. */
    int64_t s = json_int(json_get(obj, key), -1);
    return s < 0 || s > INT64_C(253402300799) ? TS_NONE : ts_from_unix(s);
}

struct json_iter json_iter(const json *obj_or_arr)
{
    struct json_iter it = {.of = obj_or_arr};
    if (json_kind(obj_or_arr) == JK_OBJ)
        it.at = json_object_iter(node(obj_or_arr));
    return it;
}

bool json_next(struct json_iter *it)
{
    if (json_kind(it->of) == JK_ARR) {
        it->value = json_at(it->of, it->i++);
        return it->value != NULL;
    }
    if (it->at == NULL)
        return false;
    it->key = (sv){json_object_iter_key(it->at), json_object_iter_key_len(it->at)};
    it->value = value(json_object_iter_value(it->at));
    it->at = json_object_iter_next(node(it->of), it->at);
    return true;
}

static int append(const char *p, size_t n, void *out)
{
    buf_add(out, (sv){p, n});
    return 0;
}

static void dump(struct buf *out, const json *j)
{
    json_dump_callback(node(j), append, out, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

sv json_text(struct arena *mem, const json *j)
{
    BUF_AUTO b = {0};
    if (j == NULL)
        return SV("null");
    dump(&b, j);
    return arena_sv(mem, buf_sv(&b));
}

void jw_json(struct jw *w, const json *j)
{
    BUF_AUTO b = {0};
    if (j == NULL) {
        jw_null(w);
        return;
    }
    dump(&b, j);
    jw_raw(w, buf_sv(&b));
}
