#include "base/json_tree.h"

#include <stdlib.h>

int json_by_key(const void *a, const void *b)
{
    const struct json_member *x = *(const struct json_member *const *)a;
    const struct json_member *y = *(const struct json_member *const *)b;
    return sv_cmp(x->key, y->key);
}

enum json_kind json_kind(const json *j)
{
    return j != NULL ? j->kind : JK_NONE;
}

static const json *member(const json *obj, sv key)
{
    if (json_kind(obj) != JK_OBJ)
        return NULL;
    for (uint32_t i = 0; i < obj->n; i++)
        if (sv_eq(obj->members[i].key, key))
            return &obj->members[i].value;
    return NULL;
}

const json *json_get(const json *obj, const char *key)
{
    return member(obj, sv_from(key));
}

const json *json_at(const json *arr, size_t i)
{
    return json_kind(arr) == JK_ARR && i < arr->n ? &arr->items[i] : NULL;
}

const json *json_path(const json *j, const char *path)
{
    sv rest = sv_from(path);
    while (j != NULL && rest.p != NULL) {
        sv part = sv_cut(&rest, '.');
        int64_t i;
        if (j->kind == JK_ARR)
            j = sv_to_i64(part, &i) && i >= 0 ? json_at(j, (size_t)i) : NULL;
        else
            j = member(j, part);
    }
    return j;
}

size_t json_len(const json *j)
{
    return json_kind(j) == JK_ARR || json_kind(j) == JK_OBJ ? j->n : 0;
}

sv json_str(const json *j)
{
    return json_kind(j) == JK_STR ? (sv){j->s, j->n} : SV_NULL;
}

int64_t json_int(const json *j, int64_t fallback)
{
    if (json_kind(j) == JK_INT)
        return j->i;
    if (json_kind(j) == JK_REAL) {
        double d = strtod(j->s, NULL);
        if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d)
            return (int64_t)d;
    }
    return fallback;
}

bool json_bool(const json *j, bool fallback)
{
    return json_kind(j) == JK_BOOL ? j->b : fallback;
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
    return (struct json_iter){.of = obj_or_arr};
}

bool json_next(struct json_iter *it)
{
    if (it->i >= json_len(it->of))
        return false;
    if (it->of->kind == JK_ARR) {
        it->value = &it->of->items[it->i++];
        return true;
    }
    const struct json_member *m = &it->of->members[it->i++];
    it->key = m->key;
    it->value = &m->value;
    return true;
}

sv json_text(struct arena *mem, const json *j)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_json(&w, j);
    return arena_sv(mem, buf_sv(&b));
}
