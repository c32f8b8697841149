#include "sandbox.h"
#include <string.h>

struct sb_call *sb_cause;

static json_t *event_make(const char *type, const json_t *object, json_t *previous)
{
    json_t *e = sb_new("event", "evt_1", NULL);
    json_t *data = json_object();
    jset_int(e, "created", sb_now());
    jset_str(e, "type", type);
    jset_str(e, "api_version", sb_config.legacy ? SB_VERSION_OLD : SB_VERSION);
    json_t *now = sb_view(object, false), *old = sb_view(object, true);
    if (jbool(object, "_no_id")) { /* an upcoming invoice has none */
        json_object_del(now, "id");
        json_object_del(old, "id");
    }
    jset(data, "object", now);
    jset(e, "_old", old);
    if (previous)
        jset(data, "previous_attributes", previous);
    jset(e, "data", data);
    jset(e, "request",
         json_pack("{s:s?, s:s?}", "id", sb_cause ? sb_cause->request_id : NULL, "idempotency_key",
                   sb_cause && *sb_cause->idempotency_key ? sb_cause->idempotency_key : NULL));
    sb_deliver_event(e);
    return e;
}

json_t *sb_event(const char *type, const json_t *object)
{
    return event_make(type, object, NULL);
}

json_t *sb_event_updated(const char *type, const json_t *object, const json_t *before)
{
    json_t *previous = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        json_t *was = json_object_get(before, key);
        if (*key != '_' && !json_equal(v, was ? was : json_null()))
            jset(previous, key, was ? json_deep_copy(was) : json_null());
    }
    return event_make(type, object, previous);
}

json_t *sb_event_body(const json_t *event, bool legacy)
{
    json_t *body = sb_view(event, false);
    jset_str(body, "api_version", legacy ? SB_VERSION_OLD : SB_VERSION);
    if (legacy)
        json_object_set(jobj(body, "data"), "object", json_object_get(event, "_old"));
    return body;
}
