#include "catalog/catalog_read.h"

#include <stdarg.h>
#include <stdio.h>

void catalog_mistake(struct catalog_reader *rd, sv pointer, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_printf(rd->problems, "%.*s: %.*s: %s\n", SV_ARG(rd->name),
               SV_ARG(sv_empty(pointer) ? SV("/") : pointer), text);
    rd->mistakes++;
}

static bool is_word(sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!good)
            return false;
    }
    return true;
}

static void read_text(struct catalog_reader *rd, const struct catalog_field *f, const json *value,
                      sv pointer)
{
    sv s = json_str(value);
    if (json_kind(value) != JK_STR) {
        catalog_mistake(rd, pointer, "must be a text");
        return;
    }
    size_t n = sv_utf8_len(s);
    if (n < (size_t)f->min || n > (size_t)f->max)
        catalog_mistake(rd, pointer, "must have %lld to %lld characters", (long long)f->min,
                        (long long)f->max);
    else if (sv_has_control(s))
        catalog_mistake(rd, pointer, "must not hold control characters");
    else if (f->type == CAT_WORD && !is_word(s))
        catalog_mistake(rd, pointer, "may hold a-z, 0-9, - and _ only");
    else
        *(sv *)f->out = s;
}

static void read_int(struct catalog_reader *rd, const struct catalog_field *f, const json *value,
                     sv pointer)
{
    if (f->null_is_unbounded && json_kind(value) == JK_NULL) {
        *(int64_t *)f->out = -1;
        return;
    }
    int64_t v = json_int(value, INT64_MIN);
    if (json_kind(value) != JK_INT)
        catalog_mistake(rd, pointer, "must be a whole number%s",
                        f->null_is_unbounded ? ", or null for no bound" : "");
    else if (v < f->min || v > f->max)
        catalog_mistake(rd, pointer, "must be %lld to %lld", (long long)f->min, (long long)f->max);
    else
        *(int64_t *)f->out = v;
}

static void read_field(struct catalog_reader *rd, const struct catalog_field *f, const json *value,
                       sv pointer)
{
    if (json_kind(value) == JK_NONE) {
        if (f->required)
            catalog_mistake(rd, pointer, "is missing");
        return;
    }
    if (f->type == CAT_INT) {
        read_int(rd, f, value, pointer);
    } else if (f->type == CAT_BOOL) {
        if (json_kind(value) != JK_BOOL)
            catalog_mistake(rd, pointer, "must be true or false");
        else
            *(bool *)f->out = json_bool(value, false);
    } else {
        read_text(rd, f, value, pointer);
    }
}

static bool is_known(sv key, const struct catalog_field *f, size_t n, const char *const *also)
{
    for (size_t i = 0; i < n; i++)
        if (sv_is(key, f[i].key))
            return true;
    for (; also != NULL && *also != NULL; also++)
        if (sv_is(key, *also))
            return true;
    return false;
}

void catalog_read(struct catalog_reader *rd, const json *obj, sv pointer,
                  const struct catalog_field *f, size_t n, const char *const *also)
{
    if (json_kind(obj) != JK_OBJ) {
        catalog_mistake(rd, pointer,
                        json_kind(obj) == JK_NONE ? "is missing" : "must be an object");
        return;
    }
    for (size_t i = 0; i < n; i++)
        read_field(rd, &f[i], json_get(obj, f[i].key),
                   arena_printf(rd->mem, "%.*s/%s", SV_ARG(pointer), f[i].key));
    for (struct json_iter it = json_iter(obj); json_next(&it);)
        if (!is_known(it.key, f, n, also))
            catalog_mistake(rd, arena_printf(rd->mem, "%.*s/%.*s", SV_ARG(pointer), SV_ARG(it.key)),
                            "is not a field of the catalogue");
}
