/* /v1/webhook_endpoints, /v1/events, /v1/test_helpers/test_clocks. */
#include "sandbox.h"
#include <stdio.h>
#include <string.h>

/* ---- webhook endpoints */

static json_t *endpoint_find(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "webhook_endpoint");
    return o ? o : sb_missing(c, "webhook endpoint", c->arg, "id");
}

static bool url_good(struct sb_call *c)
{
    const char *url = jstr(c->in, "url");
    if (!*url || !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8))
        return true;
    sb_fail(c, 400, "url_invalid", "url",
            "Invalid URL: An explicit scheme (such as https) must be "
            "provided.");
    return false;
}

static json_t *endpoint_create(struct sb_call *c)
{
    char secret[80];
    if (!url_good(c))
        return NULL;
    json_t *o = sb_new("webhook_endpoint", "we_1", NULL);
    sb_id("whsec_", secret);
    jset_str(o, "_secret", secret);
    jset_str(o, "status", "enabled");
    jcopy(o, c->in, "url");
    jcopy(o, c->in, "enabled_events");
    jcopy(o, c->in, "api_version");
    jcopy(o, c->in, "description");
    sb_metadata_merge(o, json_object_get(c->in, "metadata"));
    json_t *answer = json_deep_copy(o);
    jset_str(answer, "secret", secret); /* in this answer only */
    return answer;
}

static json_t *endpoint_update(struct sb_call *c)
{
    json_t *o = endpoint_find(c);
    if (!o || !url_good(c))
        return NULL;
    jcopy(o, c->in, "url");
    jcopy(o, c->in, "enabled_events");
    jcopy(o, c->in, "description");
    if (json_object_get(c->in, "disabled"))
        jset_str(o, "status", jbool(c->in, "disabled") ? "disabled" : "enabled");
    sb_metadata_merge(o, json_object_get(c->in, "metadata"));
    return json_incref(o);
}
static json_t *endpoint_get(struct sb_call *c)
{
    return json_incref(endpoint_find(c));
}
static json_t *endpoint_delete(struct sb_call *c)
{
    json_t *o = endpoint_find(c);
    if (o)
        sb_delete(o);
    return json_incref(o);
}
static json_t *endpoint_list(struct sb_call *c)
{
    return sb_list(c, "webhook_endpoint", NULL);
}

/* ---- events */

static bool type_matches(const char *want, const char *type)
{
    size_t n = strcspn(want, "*");
    return want[n] == '*' ? !strncmp(want, type, n) : !strcmp(want, type);
}

static bool event_kept(const json_t *o, const json_t *in)
{
    json_t *types = jarr(in, "types"), *x;
    size_t i;
    bool any = types == NULL;
    json_array_foreach(types, i, x)
    {
        any = any || type_matches(json_string_value(x), jstr(o, "type"));
    }
    if (jhas(in, "delivery_success") &&
        jbool(in, "delivery_success") != (jint(o, "pending_webhooks") == 0))
        return false;
    return any && (!jhas(in, "type") || type_matches(jstr(in, "type"), jstr(o, "type")));
}

static json_t *event_list(struct sb_call *c)
{
    json_t *list = sb_list(c, "event", event_kept), *data = jarr(list, "data");
    for (size_t i = 0; i < json_array_size(data); i++)
        json_array_set_new(data, i, sb_event_body(json_array_get(data, i), sb_config.legacy));
    return list;
}
static json_t *event_get(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "event");
    return o ? sb_event_body(o, sb_config.legacy) : sb_missing(c, "event", c->arg, "id");
}

/* ---- test clocks: there is one clock, the sandbox's */

static json_t *clock_find(struct sb_call *c)
{
    json_t *o = sb_find(c->arg, "test_helpers.test_clock");
    return o ? o : sb_missing(c, "test clock", c->arg, "id");
}
static json_t *clock_create(struct sb_call *c)
{
    json_t *o = sb_new("test_helpers.test_clock", "clock_1", NULL);
    sb_timeline_move(jint(c->in, "frozen_time"));
    jset_int(o, "frozen_time", sb_now());
    jset_int(o, "deletes_after", sb_now() + 30 * 86400);
    jcopy(o, c->in, "name");
    jset_str(o, "status", "ready");
    return json_incref(o);
}
static json_t *clock_get(struct sb_call *c)
{
    return json_incref(clock_find(c));
}
static json_t *clock_advance(struct sb_call *c)
{
    json_t *o = clock_find(c);
    if (!o)
        return NULL;
    if (jint(c->in, "frozen_time") <= sb_now())
        return sb_fail(c, 400, NULL, "frozen_time", "frozen_time must be in the future.");
    sb_timeline_move(jint(c->in, "frozen_time"));
    jset_int(o, "frozen_time", sb_now());
    return json_incref(o);
}
static json_t *clock_delete(struct sb_call *c)
{
    json_t *o = clock_find(c);
    if (o)
        sb_delete(o);
    return json_incref(o);
}
static json_t *clock_list(struct sb_call *c)
{
    return sb_list(c, "test_helpers.test_clock", NULL);
}

const struct sb_route sb_endpoint_routes[] = {
    {"GET", "/v1/webhook_endpoints", endpoint_list},
    {"POST", "/v1/webhook_endpoints", endpoint_create},
    {"GET", "/v1/webhook_endpoints/{}", endpoint_get},
    {"POST", "/v1/webhook_endpoints/{}", endpoint_update},
    {"DELETE", "/v1/webhook_endpoints/{}", endpoint_delete},
    {"GET", "/v1/events", event_list},
    {"GET", "/v1/events/{}", event_get},
    {"GET", "/v1/test_helpers/test_clocks", clock_list},
    {"POST", "/v1/test_helpers/test_clocks", clock_create},
    {"GET", "/v1/test_helpers/test_clocks/{}", clock_get},
    {"POST", "/v1/test_helpers/test_clocks/{}/advance", clock_advance},
    {"DELETE", "/v1/test_helpers/test_clocks/{}", clock_delete},
    {NULL, NULL, NULL},
};
