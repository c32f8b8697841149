/* JSON: reading (yajl behind it, so it can be exchanged) and writing (a streaming writer).
 *
 * Reading is strict: UTF-8, no duplicate keys, no NUL in strings, integers within int64, at most
 * JSON_DEPTH levels. A parsed tree is immutable, lives in the arena and is freed with it. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/money.h"

#define JSON_DEPTH 64

typedef struct json json; /* a value; NULL = absent; every getter takes NULL */

enum json_kind { JK_NONE, JK_NULL, JK_BOOL, JK_INT, JK_REAL, JK_STR, JK_ARR, JK_OBJ };

/* Errors: ERR_JSON_SYNTAX, _DEPTH, _UTF8, _DUPLICATE (400), _NUMBER, _NUL (422; the text is right
 * but holds what we cannot). Any value is taken at top level. */
err json_parse(struct arena *mem, sv text, const json **out) MUST_USE;

enum json_kind json_kind(const json *j);
const json *json_get(const json *obj, const char *key); /* NULL if absent or not an object */
const json *json_at(const json *arr, size_t i);         /* NULL if absent or not an array */
/* Dotted path, numbers index arrays: json_path(ev, "data.object.items.data.0.price.id"). */
const json *json_path(const json *j, const char *path);
size_t json_len(const json *j); /* of an array or object, else 0 */
/* Values with a fallback when the type is another. */
sv json_str(const json *j);                        /* SV_NULL if not a string */
int64_t json_int(const json *j, int64_t fallback); /* a real with integral value counts */
bool json_bool(const json *j, bool fallback);
/* Stripe's "id or whole object": the string itself, or .id of an object, else SV_NULL. */
sv json_id(const json *j);
/* Shorthands for members. */
sv json_get_str(const json *obj, const char *key);
int64_t json_get_int(const json *obj, const char *key, int64_t fallback);
bool json_get_bool(const json *obj, const char *key, bool fallback);
ts json_get_unix(const json *obj, const char *key); /* Unix seconds; TS_NONE if absent or null */

/* for (struct json_iter it = json_iter(obj); json_next(&it);) it.key, it.value */
struct json_iter {
    const json *of;
    size_t i; /* the next one */
    sv key;   /* members only */
    const json *value;
};
struct json_iter json_iter(const json *obj_or_arr);
bool json_next(struct json_iter *it);

/* Canonical text: sorted keys, no spaces; a real keeps the digits it was written with. */
sv json_text(struct arena *mem, const json *j);

/* Writer: appends to a buffer, puts commas itself, escapes, asserts balance. Zero value + .out. */
struct jw {
    struct buf *out;
    unsigned depth;
    bool comma, key;
};
void jw_obj(struct jw *w);     /* { */
void jw_obj_end(struct jw *w); /* } */
void jw_arr(struct jw *w);     /* [ */
void jw_arr_end(struct jw *w); /* ] */
void jw_key_sv(struct jw *w, sv key);
void jw_key_plain(struct jw *w, sv key);
/* `key` is a word of the program's: nothing in it needs an escape. */
static inline void jw_key(struct jw *w, const char *key)
{
    jw_key_plain(w, sv_from(key));
}
void jw_str(struct jw *w, sv s); /* SV_NULL writes null; invalid UTF-8 becomes U+FFFD */
void jw_int(struct jw *w, int64_t v);
void jw_real(struct jw *w, double v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_ts(struct jw *w, ts t);            /* RFC 3339 string; TS_NONE writes null */
void jw_json(struct jw *w, const json *j); /* a parsed value */
void jw_raw(struct jw *w, sv text);        /* a value that is JSON text already */
/* key + value in one call */
static inline void jw_kstr(struct jw *w, const char *key, sv v)
{
    jw_key(w, key);
    jw_str(w, v);
}
static inline void jw_kint(struct jw *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_int(w, v);
}
static inline void jw_kbool(struct jw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}
/* null if there is none */
static inline void jw_kopt(struct jw *w, const char *key, opt_int v)
{
    jw_key(w, key);
    if (v.has)
        jw_int(w, v.v);
    else
        jw_null(w);
}
static inline void jw_knull(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}
static inline void jw_kts(struct jw *w, const char *key, ts t)
{
    jw_key(w, key);
    jw_ts(w, t);
}
static inline void jw_kmoney(struct jw *w, const char *key, money m)
{
    jw_kint(w, key, m.minor);
}
