#include "sandbox.h"
#include <stdlib.h>
#include <string.h>

const char *jstr(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}
int64_t jint(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}
bool jbool(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}
json_t *jobj(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_object(v) ? v : NULL;
}
json_t *jarr(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_array(v) ? v : NULL;
}

json_t *jpath(const json_t *o, const char *dotted)
{
    char key[64];
    json_t *at = NULL;
    while (*dotted) {
        size_t n = strcspn(dotted, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, dotted, n);
        key[n] = 0;
        at = json_is_array(o) ? json_array_get(o, (size_t)strtoul(key, NULL, 10))
                              : json_object_get(o, key);
        o = at;
        dotted += n + (dotted[n] == '.');
    }
    return at;
}

const char *jpath_str(const json_t *o, const char *dotted)
{
    const char *s = json_string_value(jpath(o, dotted));
    return s ? s : "";
}
bool jhas(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return v && !json_is_null(v);
}
void jset(json_t *o, const char *key, json_t *v)
{
    if (json_object_set_new(o, key, v))
        abort();
}
void jset_str(json_t *o, const char *key, const char *s)
{
    jset(o, key, s ? json_string(s) : json_null());
}
void jset_int(json_t *o, const char *key, int64_t n)
{
    jset(o, key, json_integer(n));
}
void jset_bool(json_t *o, const char *key, bool b)
{
    jset(o, key, json_boolean(b));
}
void jset_null(json_t *o, const char *key)
{
    jset(o, key, json_null());
}

void jcopy(json_t *to, const json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);
    if (!v)
        return;
    bool unset = json_is_string(v) && !*json_string_value(v);
    jset(to, key, unset ? json_null() : json_deep_copy(v));
}

json_t *jlist(const char *url)
{
    return json_pack("{s:s, s:[], s:b, s:s}", "object", "list", "data", "has_more", 0, "url", url);
}
