/* Confirming a Checkout session: the return from Checkout and every other doubt. */
#include "app/app.h"
#include "billing/operation.h"
#include "billing/subscription_rules.h"
#include "http/client.h"

struct fulfil {
    struct app *app;
    const json *session;
    ts as_of;
};

static err apply(struct db_tx *tx, struct arena *mem, const struct fulfil *f, const json *object,
                 ts now)
{
    if (json_kind(object) != JK_OBJ)
        return OK;
    return billing_apply_object(tx, mem, f->app, object, f->as_of, now);
}

/* The session and what hangs on it, in the order in which a member's access is built up. */
static err tx_fulfil(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct fulfil *f = arg;
    ts now = clock_now();
    if (ts_is_none(f->as_of))
        f->as_of = now;
    const json *subscription = json_get(f->session, "subscription");
    TRY(apply(tx, mem, f, f->session, now));
    TRY(apply(tx, mem, f, subscription, now));
    TRY(apply(tx, mem, f, json_get(subscription, "latest_invoice"), now));
    return apply(tx, mem, f, json_get(f->session, "payment_intent"), now);
}

err billing_session_fulfil(struct app *app, struct arena *mem, sv session, enum stripe_wait w,
                           const json **object)
{
    struct stripe_answer a;
    sv path = arena_printf(mem, "/v1/checkout/sessions/%.*s", SV_ARG(url_encode(mem, session)));
    BUF_AUTO query = {0};
    form_add(&query, "expand[0]", SV("subscription.latest_invoice"));
    form_add(&query, "expand[1]", SV("payment_intent"));
    TRY(stripe_get(mem, path, buf_sv(&query), w, &a));
    struct fulfil f = {.app = app, .session = a.body, .as_of = a.date};
    TRY(db_write(app->db, mem, tx_fulfil, &f));
    if (object != NULL)
        *object = a.body;
    return OK;
}

bool billing_return_url_ok(const struct settings *set, sv url)
{
    return subscription_url_ok(url, set->base_url, set->cors_origins);
}

sv billing_success_url(struct arena *mem, const struct settings *set, sv to)
{
    sv base = set->base_url;
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    if (sv_empty(to))
        return arena_printf(mem, "%.*s/billing/success?session_id={CHECKOUT_SESSION_ID}",
                            SV_ARG(base));
    return arena_printf(mem, "%.*s/billing/success?session_id={CHECKOUT_SESSION_ID}&to=%.*s",
                        SV_ARG(base), SV_ARG(url_encode(mem, to)));
}
