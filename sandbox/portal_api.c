/* /v1/billing_portal. */
#include "sandbox.h"
#include <stdio.h>
#include <string.h>

static void merge(json_t *to, json_t *from)
{
    const char *key;
    json_t *v;
    json_object_foreach(from, key, v)
    {
        json_t *old = json_object_get(to, key);
        if (json_is_object(v) && json_is_object(old))
            merge(old, v);
        else
            jcopy(to, from, key);
    }
}

static void configuration_set(json_t *o, json_t *in)
{
    static const char *const parts[] = {"features", "business_profile", "login_page"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (jobj(in, parts[i]) && jobj(o, parts[i]))
            merge(jobj(o, parts[i]), jobj(in, parts[i]));
    jcopy(o, in, "active");
    jcopy(o, in, "default_return_url");
    jcopy(o, in, "name");
    sb_metadata_merge(o, json_object_get(in, "metadata"));
    jset_int(o, "updated", sb_now());
}

static json_t *configuration_make(json_t *in)
{
    json_t *o = sb_new("billing_portal.configuration", "bpc_1", NULL);
    jset_bool(o, "active", true);
    jset(o, "metadata", json_object());
    configuration_set(o, in);
    return o;
}

static json_t *configuration_create(struct sb_call *c)
{
    json_t *o = configuration_make(c->in);
    sb_event("billing_portal.configuration.created", o);
    return json_incref(o);
}
static json_t *configuration_get(struct sb_call *c)
{
    return sb_one(c, "billing_portal.configuration", "configuration");
}
static json_t *configuration_update(struct sb_call *c)
{
    return sb_change(c, "billing_portal.configuration", "configuration", configuration_set);
}
static bool configuration_kept(const json_t *o, const json_t *in)
{
    return (!jhas(in, "active") || jbool(in, "active") == jbool(o, "active")) &&
           (!jhas(in, "is_default") || jbool(in, "is_default") == jbool(o, "is_default"));
}
static json_t *configuration_list(struct sb_call *c)
{
    return sb_list(c, "billing_portal.configuration", configuration_kept);
}

/* The one asked for, else the newest active one, else a default made now. */
static json_t *configuration_for(struct sb_call *c)
{
    const char *id = jstr(c->in, "configuration");
    json_t *all = sb_all("billing_portal.configuration");
    if (*id) {
        json_t *o = sb_find(id, "billing_portal.configuration");
        return o ? o : sb_missing(c, "configuration", id, "configuration");
    }
    for (size_t i = json_array_size(all); i-- > 0;)
        if (jbool(json_array_get(all, i), "active"))
            return json_array_get(all, i);
    json_t *made = configuration_make(NULL);
    jset_bool(made, "is_default", true);
    return made;
}

static json_t *session_create(struct sb_call *c)
{
    const char *customer = jstr(c->in, "customer");
    char url[200];
    if (!*customer)
        return sb_fail(c, 400, "parameter_missing", "customer",
                       "Missing required param: customer.");
    if (!sb_find(customer, "customer"))
        return sb_missing(c, "customer", customer, "customer");
    json_t *configuration = configuration_for(c);
    if (!configuration)
        return NULL;
    json_t *s = sb_new("billing_portal.session", "bps_1", NULL);
    snprintf(url, sizeof url, "%s/portal/%s", sb_config.base, jstr(s, "id"));
    jset_str(s, "configuration", jstr(configuration, "id"));
    jset_str(s, "customer", customer);
    jcopy(s, c->in, "return_url");
    jcopy(s, c->in, "locale");
    jset_str(s, "url", url);
    sb_event("billing_portal.session.created", s);
    return json_incref(s);
}

const struct sb_route sb_portal_routes[] = {
    {"GET", "/v1/billing_portal/configurations", configuration_list},
    {"POST", "/v1/billing_portal/configurations", configuration_create},
    {"GET", "/v1/billing_portal/configurations/{}", configuration_get},
    {"POST", "/v1/billing_portal/configurations/{}", configuration_update},
    {"POST", "/v1/billing_portal/sessions", session_create},
    {NULL, NULL, NULL},
};
