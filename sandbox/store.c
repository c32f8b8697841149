#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static json_t *by_id, *by_type, *templates;

void sb_id(const char *prefix, char out[80])
{
    static const char set[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char noise[64];
    size_t want = !strncmp(prefix, "cs_", 3) ? 58 : !strncmp(prefix, "cus_", 4) ? 14 : 24;
    if (getrandom(noise, want, 0) != (ssize_t)want)
        abort();
    size_t n = (size_t)snprintf(out, 80, "%s", prefix);
    for (size_t i = 0; i < want && n < 79; i++)
        out[n++] = set[noise[i] % 62];
    out[n] = 0;
}

json_t *sb_template(const char *type)
{
    if (!templates)
        templates = json_object();
    json_t *t = json_object_get(templates, type);
    for (size_t i = 0; !t && i < sb_template_count; i++) {
        if (strcmp(sb_templates[i].name, type))
            continue;
        t = json_loads(sb_templates[i].json, 0, NULL);
        jset(templates, type, t);
    }
    if (!t) {
        fprintf(stderr, "sandbox: no template %s\n", type);
        abort();
    }
    return json_deep_copy(t);
}

json_t *sb_all(const char *type)
{
    if (!by_type)
        by_type = json_object();
    json_t *list = json_object_get(by_type, type);
    if (!list) {
        list = json_array();
        jset(by_type, type, list);
    }
    return list;
}

json_t *sb_new(const char *type, const char *prefix, const char *id)
{
    char made[80];
    if (!id || !*id) {
        sb_id(prefix, made);
        id = made;
    }
    json_t *o = sb_template(type);
    jset_str(o, "id", id);
    if (json_object_get(o, "created"))
        jset_int(o, "created", sb_now());
    if (!by_id)
        by_id = json_object();
    jset(by_id, id, o);
    json_array_append(sb_all(type), o);
    return o;
}

json_t *sb_get_deleted(const char *id)
{
    return id && *id ? json_object_get(by_id, id) : NULL;
}

json_t *sb_get(const char *id)
{
    json_t *o = sb_get_deleted(id);
    return o && !jbool(o, "_deleted") ? o : NULL;
}

json_t *sb_find(const char *id, const char *type)
{
    json_t *o = sb_get(id);
    return o && !strcmp(jstr(o, "object"), type) ? o : NULL;
}

void sb_delete(json_t *o)
{
    jset_bool(o, "_deleted", true);
}

void sb_metadata_merge(json_t *o, json_t *given)
{
    if (!given)
        return;
    json_t *m = jobj(o, "metadata"), *v;
    if (!m || json_is_string(given)) {
        m = json_object();
        jset(o, "metadata", m);
    }
    const char *key;
    json_object_foreach(given, key, v)
    {
        if (*json_string_value(v))
            json_object_set(m, key, v);
        else
            json_object_del(m, key);
    }
}

json_t *sb_store_dump(void)
{
    if (!by_type)
        by_type = json_object();
    return by_type;
}

void sb_store_load(json_t *given)
{
    const char *type;
    json_t *list, *o;
    size_t i;
    if (!by_id)
        by_id = json_object();
    json_object_foreach(given, type, list)
    {
        json_array_foreach(list, i, o)
        {
            json_object_set(by_id, jstr(o, "id"), o);
            json_array_append(sb_all(type), o);
        }
    }
}
