/* POST /api/webhooks/stripe (kept). SPEC §3, stripe/CONTRACT §2. */
#include "app/app.h"
#include "billing/event.h"
#include "http/metrics.h"

/* On the loop: signature over the raw bytes, parsing, compression; the writer only binds values. */
static err webhook_prepare(struct req *r)
{
    struct event_in *in = ARENA_NEW(r->mem, struct event_in);
    err e = stripe_signature_check(req_header(r, "Stripe-Signature"), r->body,
                                   r->app->set.stripe_webhook_secret, clock_wall(), clock_now());
    if (e != OK) {
        metric_add("mybeing_webhooks_total{source=\"stripe\",result=\"refused\"}", 1);
        return e;
    }
    TRY(event_read(r->mem, r->body, in));
    r->prepared = in;
    return OK;
}

static const char *counter(enum event_result result)
{
    static const char *const names[] = {
        [EVENT_APPLIED] = "mybeing_webhooks_total{source=\"stripe\",result=\"applied\"}",
        [EVENT_DUPLICATE] = "mybeing_webhooks_total{source=\"stripe\",result=\"duplicate\"}",
        [EVENT_IGNORED] = "mybeing_webhooks_total{source=\"stripe\",result=\"ignored\"}",
        [EVENT_FAILED] = "mybeing_webhooks_total{source=\"stripe\",result=\"failed\"}",
    };
    return names[result];
}

static err webhook_stripe(struct req *r)
{
    enum event_result result;
    TRY(event_take(r->tx, r->mem, r->app, r->prepared, r->now, &result));
    r->counter = counter(result);
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kbool(w, "received", true);
    jw_obj_end(w);
    return OK;
}

static const struct route routes[] = {
    ROUTE(POST, "/api/webhooks/stripe", webhook_stripe, .auth = AUTH_NONE, .tx = TX_WRITE,
          .body = BODY_RAW, .limit = LIMIT_NONE, .body_max = 1 << 20, .same_origin_exempt = true,
          .lenient = true, .prepare = webhook_prepare),
};
const struct route_set billing_routes = ROUTE_SET(routes);
