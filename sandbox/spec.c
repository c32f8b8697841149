#include "spec.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8

__attribute__((format(printf, 4, 5))) static json_t *
wrong(struct sb_fault_text *why, const char *code, const char *param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    snprintf(why->code, sizeof why->code, "%s", code);
    snprintf(why->param, sizeof why->param, "%s", param);
    return NULL;
}

static int hex(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decode(const char *s, size_t n)
{
    char *out = malloc(n + 1), *p = out;
    if (!out)
        abort();
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
            *p++ = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
            i += 2;
        } else {
            *p++ = s[i] == '+' ? ' ' : s[i];
        }
    }
    *p = 0;
    return out;
}

/* Puts one decoded pair where its brackets say. */
static bool put(json_t *root, char *key, const char *value, struct sb_fault_text *why)
{
    json_t *at = root;
    char whole[256], index[24];
    snprintf(whole, sizeof whole, "%s", key);
    const char *name = key;
    char *rest = strchr(key, '[');
    if (rest)
        *rest++ = 0;
    for (int depth = 0; rest; depth++) {
        char *close = strchr(rest, ']');
        json_t *next = json_object_get(at, name);
        if (!close || depth >= DEPTH_MAX || (next && !json_is_object(next))) {
            wrong(why, "parameter_unknown", whole, "Invalid parameter name: %s", whole);
            return false;
        }
        *close = 0;
        if (!next) {
            next = json_object();
            json_object_set_new(at, name, next);
        }
        at = next;
        name = rest;
        if (!*name) { /* a[]=x appends */
            snprintf(index, sizeof index, "%zu", json_object_size(at));
            name = index;
        }
        rest = close[1] == '[' ? close + 2 : NULL;
    }
    if (json_object_set_new(at, name, json_string(value)) == 0)
        return true;
    wrong(why, "parameter_invalid", whole, "Invalid string: not UTF-8");
    return false;
}

json_t *sb_form_parse(const char *text, size_t len, struct sb_fault_text *why)
{
    json_t *root = json_object();
    const char *p = text, *end = text + len;
    bool ok = true;
    while (p < end && ok) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        const char *stop = amp ? amp : end;
        const char *eq = memchr(p, '=', (size_t)(stop - p));
        if (stop > p) {
            char *key = decode(p, (size_t)((eq ? eq : stop) - p));
            char *value = eq ? decode(eq + 1, (size_t)(stop - eq - 1)) : decode("", 0);
            ok = put(root, key, value, why);
            free(key);
            free(value);
        }
        p = amp ? amp + 1 : end;
    }
    if (ok)
        return root;
    json_decref(root);
    return NULL;
}

const struct sb_operation *sb_operation_find(const char *method, const char *pattern)
{
    for (size_t i = 0; i < sb_operation_count; i++)
        if (!strcmp(sb_operations[i].method, method) && !strcmp(sb_operations[i].pattern, pattern))
            return &sb_operations[i];
    return NULL;
}

static json_t *check_node(const struct sb_spec *s, json_t *v, const char *at,
                          struct sb_fault_text *why);

static void name_of(char *out, size_t size, const char *at, const char *name)
{
    if (*at)
        snprintf(out, size, "%s[%s]", at, name);
    else
        snprintf(out, size, "%s", name);
}

static json_t *check_object(const struct sb_spec *sub, size_t count, json_t *raw, const char *at,
                            struct sb_fault_text *why)
{
    json_t *out = json_object(), *v;
    const char *key;
    char param[256];
    json_object_foreach(raw, key, v)
    {
        const struct sb_spec *s = NULL;
        for (size_t i = 0; i < count && !s; i++)
            s = strcmp(sub[i].name, key) ? NULL : &sub[i];
        name_of(param, sizeof param, at, key);
        json_t *typed =
            s ? check_node(s, v, param, why)
              : wrong(why, "parameter_unknown", param, "Received unknown parameter: %s", param);
        if (!typed) {
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, key, typed);
    }
    for (size_t i = 0; i < count; i++) {
        if (!sub[i].required || json_object_get(raw, sub[i].name))
            continue;
        name_of(param, sizeof param, at, sub[i].name);
        json_decref(out);
        return wrong(why, "parameter_missing", param, "Missing required param: %s.", param);
    }
    return out;
}

static json_t *check_map(json_t *raw, const char *at, struct sb_fault_text *why)
{
    json_t *v;
    const char *key;
    if (json_object_size(raw) > 50)
        return wrong(why, "parameter_invalid", at,
                     "Metadata can have up to 50 keys, and you passed in %zu.",
                     json_object_size(raw));
    json_object_foreach(raw, key, v)
    {
        char param[256];
        name_of(param, sizeof param, at, key);
        if (!json_is_string(v))
            return wrong(why, "parameter_invalid", param, "Invalid string: %s must be a string",
                         param);
        if (strlen(key) > 40)
            return wrong(why, "parameter_invalid", param,
                         "Invalid metadata key: keys can have up to 40 characters");
        if (json_string_length(v) > 500)
            return wrong(why, "parameter_invalid", param,
                         "Invalid metadata value: values can have up to 500 characters");
    }
    return json_deep_copy(raw);
}

static json_t *check_array(const struct sb_spec *item, json_t *raw, const char *at,
                           struct sb_fault_text *why)
{
    json_t *out = json_array();
    char key[24], param[256];
    for (size_t i = 0; i < json_object_size(raw); i++) {
        snprintf(key, sizeof key, "%zu", i);
        name_of(param, sizeof param, at, key);
        json_t *v = json_object_get(raw, key);
        json_t *typed =
            v ? check_node(item, v, param, why)
              : wrong(why, "parameter_invalid", at, "Invalid array: %s has no index %zu", at, i);
        if (!typed) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, typed);
    }
    return out;
}

static bool to_integer(const char *text, json_int_t *out)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || *end || !*text || isspace((unsigned char)*text) || *text == '+')
        return false;
    *out = n;
    return true;
}

static json_t *enum_refused(const struct sb_spec *s, const char *at, struct sb_fault_text *why)
{
    char list[320] = "";
    size_t n = 0;
    for (const char *const *e = s->enums; e && *e && n < sizeof list; e++) {
        int k = snprintf(list + n, sizeof list - n, "%s%s", n ? (e[1] ? ", " : ", or ") : "", *e);
        n += (size_t)k;
    }
    return wrong(why, "parameter_invalid_enum", at, "Invalid %s: must be one of %s", at, list);
}

static json_t *check_text(const struct sb_spec *s, const char *text, const char *at,
                          struct sb_fault_text *why)
{
    json_int_t n;
    char *end;
    if (!*text && (s->kinds & (SB_EMPTY | SB_STRING)))
        return json_string("");
    for (const char *const *e = s->enums; e && *e; e++)
        if (!strcmp(*e, text))
            return json_string(text);
    if ((s->kinds & SB_INTEGER) && to_integer(text, &n))
        return json_integer(n);
    if ((s->kinds & SB_BOOLEAN) && (!strcmp(text, "true") || !strcmp(text, "false")))
        return json_boolean(*text == 't');
    if (s->kinds & SB_NUMBER) {
        double d = strtod(text, &end);
        if (*text && !*end)
            return json_real(d);
    }
    if (s->kinds & SB_STRING)
        return strlen(text) <= 5000 ? json_string(text)
                                    : wrong(why, "parameter_invalid_string_too_long", at,
                                            "Invalid string: %s is too long", at);
    if (s->kinds & SB_INTEGER)
        return wrong(why, "parameter_invalid_integer", at, "Invalid integer: %.100s", text);
    if (s->kinds & SB_BOOLEAN)
        return wrong(why, "parameter_invalid_boolean", at, "Invalid boolean: %.100s", text);
    if (s->kinds & SB_NUMBER)
        return wrong(why, "parameter_invalid_decimal", at, "Invalid decimal: %.100s", text);
    if (s->enums)
        return enum_refused(s, at, why);
    return wrong(why, "parameter_invalid", at, "Invalid %s",
                 s->kinds & SB_ARRAY ? "array" : "object");
}

static json_t *check_node(const struct sb_spec *s, json_t *v, const char *at,
                          struct sb_fault_text *why)
{
    if (json_is_string(v))
        return check_text(s, json_string_value(v), at, why);
    if (s->kinds & SB_ARRAY)
        return check_array(s->item, v, at, why);
    if (s->kinds & SB_MAP)
        return check_map(v, at, why);
    if (s->kinds & SB_OBJECT)
        return check_object(s->sub, s->count, v, at, why);
    return wrong(why, "parameter_invalid", at, "Invalid string: %s must not be a hash", at);
}

json_t *sb_spec_check(const struct sb_operation *op, json_t *raw, struct sb_fault_text *why)
{
    return check_object(op->sub, op->count, raw, "", why);
}
