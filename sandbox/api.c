/* /v1: who may call, checks, idempotency, faults, and the shape of the answer. */
#include "sandbox.h"
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sb_route *const route_tables[] = {
    sb_catalog_routes, sb_customer_routes, sb_checkout_routes, sb_subscription_routes,
    sb_invoice_routes, sb_payment_routes,  sb_portal_routes,   sb_endpoint_routes,
};
static json_t *kept;   /* Idempotency-Key → {method, path, params, status, body, request} */
static json_t *faults; /* [{kind, count, path, method, ms}] */
json_t *sb_requests;

json_t *sb_fail(struct sb_call *c, int status, const char *code, const char *param, const char *fmt,
                ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    const char *type = status == 402   ? "card_error"
                       : status >= 500 ? "api_error"
                                       : "invalid_request_error";
    if (code && !strcmp(code, "idempotency_key_in_use"))
        type = "idempotency_error", code = status == 409 ? code : NULL;
    json_t *e = json_pack("{s:s, s:s}", "message", message, "type", type);
    if (code)
        jset_str(e, "code", code);
    if (param)
        jset_str(e, "param", param);
    if (code) {
        char url[128];
        snprintf(url, sizeof url, "https://stripe.com/docs/error-codes/%s", code);
        for (char *p = url; *p; p++)
            *p = *p == '_' ? '-' : *p;
        jset_str(e, "doc_url", url);
    }
    json_decref(c->error);
    c->error = json_pack("{s:o}", "error", e);
    c->status = status;
    return NULL;
}

json_t *sb_missing(struct sb_call *c, const char *what, const char *id, const char *param)
{
    bool own = !strcmp(param, "id");
    return sb_fail(c, own ? 404 : 400, "resource_missing", param, "No such %s: '%s'", what, id);
}

json_t *sb_one(struct sb_call *c, const char *type, const char *what)
{
    json_t *o = sb_find(c->arg, type);
    return o ? json_incref(o) : sb_missing(c, what, c->arg, "id");
}

json_t *sb_change(struct sb_call *c, const char *type, const char *what,
                  void (*set)(json_t *o, json_t *in))
{
    char event[80];
    json_t *o = sb_one(c, type, what);
    if (!o)
        return NULL;
    json_t *before = json_deep_copy(o);
    snprintf(event, sizeof event, "%s.updated", type);
    set(o, c->in);
    sb_event_updated(event, o, before);
    json_decref(before);
    return o;
}

/* ---- lists */

bool sb_created_in(const json_t *o, const json_t *in)
{
    const json_t *c = json_object_get(in, "created");
    int64_t t = jint(o, "created");
    if (json_is_integer(c))
        return t == json_integer_value(c);
    return (!jhas(c, "gt") || t > jint(c, "gt")) && (!jhas(c, "gte") || t >= jint(c, "gte")) &&
           (!jhas(c, "lt") || t < jint(c, "lt")) && (!jhas(c, "lte") || t <= jint(c, "lte"));
}

static size_t position(const json_t *all, const char *id)
{
    for (size_t i = json_array_size(all); i-- > 0;)
        if (!strcmp(jstr(json_array_get(all, i), "id"), id))
            return i;
    return SIZE_MAX;
}

static bool listed(const json_t *o, const json_t *in, sb_keep *keep)
{
    return !jbool(o, "_deleted") && sb_created_in(o, in) && (!keep || keep(o, in));
}

json_t *sb_list(struct sb_call *c, const char *type, sb_keep *keep)
{
    json_t *all = sb_all(type), *list = jlist(c->path), *data = jarr(list, "data");
    size_t limit = jhas(c->in, "limit") ? (size_t)jint(c->in, "limit") : 10, at;
    const char *after = jstr(c->in, "starting_after"), *before = jstr(c->in, "ending_before");
    if (limit < 1 || limit > 100) {
        json_decref(list);
        return sb_fail(c, 400, "parameter_invalid_integer", "limit",
                       "This value must be between 1 and 100 (it currently is '%zu').", limit);
    }
    at = position(all, *before ? before : after);
    if ((*before || *after) && at == SIZE_MAX) {
        json_decref(list);
        return sb_missing(c, type, *before ? before : after,
                          *before ? "ending_before" : "starting_after");
    }
    bool more = false;
    if (*before) {
        for (size_t i = at + 1; i < json_array_size(all) && !more; i++) {
            json_t *o = json_array_get(all, i);
            if (!listed(o, c->in, keep))
                continue;
            more = json_array_size(data) == limit;
            if (!more)
                json_array_insert(data, 0, o);
        }
    } else {
        for (size_t i = *after ? at : json_array_size(all); i-- > 0 && !more;) {
            json_t *o = json_array_get(all, i);
            if (!listed(o, c->in, keep))
                continue;
            more = json_array_size(data) == limit;
            if (!more)
                json_array_append(data, o);
        }
    }
    jset_bool(list, "has_more", more);
    return list;
}

/* ---- faults */

bool sb_api_fault(const json_t *fault)
{
    static const char *const mine[] = {"lost_answer", "429", "500", "500_after", "slow", "down"};
    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++) {
        if (strcmp(mine[i], jstr(fault, "kind")))
            continue;
        if (!faults)
            faults = json_array();
        json_array_append_new(faults, json_deep_copy(fault));
        return true;
    }
    return false;
}

void sb_api_fault_clear(void)
{
    json_array_clear(faults);
}

static json_t *fault_take(const char *kind, const struct sb_call *c)
{
    json_t *f;
    size_t i;
    json_array_foreach(faults, i, f)
    {
        const char *path = jstr(f, "path"), *method = jstr(f, "method");
        if (strcmp(jstr(f, "kind"), kind) || strncmp(c->path, path, strlen(path)) ||
            (*method && strcmp(method, c->method)) || jint(f, "count") == 0)
            continue;
        jset_int(f, "count", jint(f, "count") - 1);
        return f;
    }
    return NULL;
}

/* A fault that keeps the request from being served at all. */
static const char *refused_by_fault(struct sb_call *c)
{
    if (fault_take("down", c)) {
        c->close = true;
        return "down";
    }
    if (fault_take("429", c)) {
        c->retry_after = "1";
        sb_fail(c, 429, "rate_limit", NULL, "Too many requests hit the API too quickly.");
        return "429";
    }
    if (fault_take("500", c)) {
        sb_fail(c, 500, NULL, NULL, "An unknown error occurred");
        return "500";
    }
    return NULL;
}

/* ---- dispatch */

static bool match(const char *pattern, const char *path, char arg[256])
{
    const char *hole = strstr(pattern, "{}");
    if (!hole)
        return !strcmp(pattern, path);
    size_t head = (size_t)(hole - pattern);
    if (strncmp(pattern, path, head))
        return false;
    size_t n = strcspn(path + head, "/");
    if (!n || n >= 256 || strcmp(path + head + n, hole + 2))
        return false;
    memcpy(arg, path + head, n);
    arg[n] = 0;
    return true;
}

static const struct sb_route *route_find(struct sb_call *c)
{
    for (size_t t = 0; t < sizeof route_tables / sizeof route_tables[0]; t++)
        for (const struct sb_route *r = route_tables[t]; r->method; r++)
            if (!strcmp(r->method, c->method) && match(r->pattern, c->path, c->arg))
                return r;
    return NULL;
}

static bool key_good(const char *key)
{
    if (sb_config.key)
        return !strcmp(key, sb_config.key);
    return !strncmp(key, "sk_test_", 8) || !strncmp(key, "rk_test_", 8);
}

static bool authorized(struct sb_call *c)
{
    char key[256] = "";
    const char *a = c->authorization;
    if (!strncmp(a, "Bearer ", 7)) {
        snprintf(key, sizeof key, "%s", a + 7);
    } else if (!strncmp(a, "Basic ", 6) && strlen(a + 6) % 4 == 0 && strlen(a + 6) < 256) {
        int n =
            EVP_DecodeBlock((unsigned char *)key, (const unsigned char *)a + 6, (int)strlen(a + 6));
        key[n > 0 ? n : 0] = 0;
        key[strcspn(key, ":")] = 0;
    } else {
        sb_fail(c, 401, NULL, NULL,
                "You did not provide an API key. Provide it in the Authorization header, using "
                "Bearer auth.");
        return false;
    }
    if (key_good(key))
        return true;
    sb_fail(c, 401, "api_key_invalid", NULL, "Invalid API Key provided: %.8s***", key);
    return false;
}

/* True: answered from what is kept for the key, or refused because of it. */
static bool replayed(struct sb_call *c, const json_t *raw)
{
    if (strcmp(c->method, "POST") || !*c->idempotency_key)
        return false;
    if (strlen(c->idempotency_key) > 255) {
        sb_fail(c, 400, NULL, NULL, "Idempotency-Key: at most 255 characters");
        return true;
    }
    json_t *k = json_object_get(kept, c->idempotency_key);
    if (!k)
        return false;
    if (strcmp(jstr(k, "path"), c->path) || !json_equal(jobj(k, "params"), raw)) {
        sb_fail(c, 400, "idempotency_key_in_use", NULL,
                "Keys for idempotent requests can only be used with the same parameters they were "
                "first used with. Try using a key other than '%.64s' if you meant to execute a "
                "different request.",
                c->idempotency_key);
        return true;
    }
    c->replayed = true;
    c->status = (int)jint(k, "status");
    c->answer = strdup(jstr(k, "body"));
    return true;
}

static void keep(struct sb_call *c, json_t *raw)
{
    bool done = c->status < 300 || c->status == 402 || c->status >= 500;
    if (strcmp(c->method, "POST") || !*c->idempotency_key || !done)
        return;
    if (!kept)
        kept = json_object();
    jset(kept, c->idempotency_key,
         json_pack("{s:s, s:O, s:i, s:s}", "path", c->path, "params", raw, "status", c->status,
                   "body", c->answer));
}

static json_t *expanded(struct sb_call *c, json_t *result)
{
    json_t *view = sb_view(result, c->legacy), *x;
    size_t i;
    json_decref(result);
    json_array_foreach(jarr(c->in, "expand"), i, x)
    {
        const char *path = json_string_value(x);
        if (sb_expand(view, path, c->legacy))
            continue;
        json_decref(view);
        return sb_fail(c, 400, NULL, "expand", "This property cannot be expanded (%s).", path);
    }
    return view;
}

static void serve(struct sb_call *c, const struct sb_route *route, json_t *raw)
{
    struct sb_fault_text why = {0};
    const struct sb_operation *op = sb_operation_find(route->method, route->pattern);
    c->in = op ? sb_spec_check(op, raw, &why) : json_object();
    if (!c->in) {
        sb_fail(c, 400, why.code, why.param, "%s", why.message);
        return;
    }
    c->status = 200;
    json_t *result = route->handle(c);
    if (result)
        result = expanded(c, result);
    if (!result)
        return;
    c->answer = json_dumps(result, JSON_INDENT(2));
    json_decref(result);
}

static void dump_error(struct sb_call *c)
{
    if (!c->error || c->answer)
        return;
    char url[160];
    snprintf(url, sizeof url, "https://dashboard.stripe.com/test/logs/%s", c->request_id);
    jset_str(jobj(c->error, "error"), "request_log_url", url);
    c->answer = json_dumps(c->error, JSON_INDENT(2));
}

static void log_request(struct sb_call *c, json_t *raw, const char *fault)
{
    if (!sb_requests)
        sb_requests = json_array();
    json_array_append_new(
        sb_requests,
        json_pack("{s:s, s:s, s:O?, s:s, s:s, s:i, s:b, s:s?, s:s, s:I}", "method", c->method,
                  "path", c->path, "params", raw, "idempotency_key", c->idempotency_key, "version",
                  c->version, "status", c->close ? 0 : c->status, "replayed", (int)c->replayed,
                  "fault", fault, "request_id", c->request_id, "at", (json_int_t)sb_now()));
    if (json_array_size(sb_requests) > 20000)
        json_array_remove(sb_requests, 0);
    if (!sb_config.quiet)
        fprintf(stderr, "sandbox: %s %s %d%s\n", c->method, c->path, c->status,
                c->replayed ? " (replayed)" : "");
}

static const char *after_faults(struct sb_call *c)
{
    json_t *slow = fault_take("slow", c);
    if (slow)
        c->slow_ms = jhas(slow, "ms") ? (int)jint(slow, "ms") : 3000;
    if (fault_take("lost_answer", c)) {
        c->close = true;
        return "lost_answer";
    }
    return slow ? "slow" : NULL;
}

void sb_api(struct sb_call *c)
{
    struct sb_fault_text why = {0};
    bool post = !strcmp(c->method, "POST");
    json_t *raw =
        sb_form_parse(post ? c->body : c->query, post ? c->body_len : strlen(c->query), &why);
    sb_id("req_", c->request_id);
    c->legacy = *c->version ? strcmp(c->version, SB_VERSION_BASIL) < 0 : sb_config.legacy;
    sb_cause = c;
    const char *fault = refused_by_fault(c);
    if (!fault && authorized(c)) {
        const struct sb_route *route = route_find(c);
        if (!route)
            sb_fail(c, 404, NULL, NULL, "Unrecognized request URL (%s: %.200s).", c->method,
                    c->path);
        else if (!raw)
            sb_fail(c, 400, why.code, why.param, "%s", why.message);
        else if (!replayed(c, raw)) {
            serve(c, route, raw);
            if (fault_take("500_after", c)) {
                free(c->answer);
                c->answer = NULL;
                sb_fail(c, 500, NULL, NULL, "An unknown error occurred");
                fault = "500_after";
            }
            dump_error(c);
            keep(c, raw);
        }
        if (!fault)
            fault = after_faults(c);
    }
    dump_error(c);
    log_request(c, raw, fault);
    sb_cause = NULL;
    json_decref(c->in);
    json_decref(c->error);
    json_decref(raw);
}
