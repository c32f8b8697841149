/* GET /api/subscription: the state of the member's subscription. */
#include "app/app.h"
#include "billing/event.h"
#include "billing/subscription.h"
#include "catalog/catalog.h"
#include "queries.h"

/* The price that is paid, as Stripe last told it with the subscription; NULL if it is not known. */
static err own_price(struct db_tx *tx, struct arena *mem, const struct subscription *s,
                     const json *fresh, const json **out)
{
    struct event_of_object_row row;
    bool found = false;
    const json *event = NULL;
    sv text;
    if (s == NULL)
        return OK;
    if (fresh != NULL && sv_eq(json_get_str(fresh, "id"), s->id)) {
        *out = json_path(fresh, "items.data.0.price");
        return OK;
    }
    TRY(q_event_of_object(tx, mem, &(struct event_of_object_in){s->id}, &row, &found));
    if (!found)
        return OK;
    TRY(payload_unpack(tx, mem, row.dict, row.size, row.payload, &text));
    if (json_parse(mem, text, &event) == OK)
        *out = json_path(event, "data.object.items.data.0.price");
    err_clear();
    return OK;
}

static void write_price(struct jw *w, const struct catalog *c, const json *own)
{
    int64_t amount = json_get_int(own, "unit_amount", -1);
    sv code = json_get_str(own, "currency");
    sv interval = json_get_str(json_get(own, "recurring"), "interval");
    bool known = amount >= 0 && !sv_empty(code);
    jw_key(w, "price");
    jw_obj(w);
    jw_kmoney(w, "amount", known ? (money){amount} : c->plan_price);
    jw_kstr(w, "currency", known ? code : currency_sv(&c->plan_currency));
    jw_kstr(w, "interval", known && !sv_empty(interval) ? interval : SV("month"));
    jw_obj_end(w);
}

static void write_card(struct jw *w, const struct subscription *s)
{
    if (s == NULL || (s->card_brand.p == NULL && s->card_last4.p == NULL)) {
        jw_knull(w, "paymentMethod");
        return;
    }
    jw_key(w, "paymentMethod");
    jw_obj(w);
    jw_kstr(w, "brand", s->card_brand);
    jw_kstr(w, "last4", s->card_last4);
    if (s->card_exp_month.has)
        jw_kint(w, "expMonth", s->card_exp_month.v);
    if (s->card_exp_year.has)
        jw_kint(w, "expYear", s->card_exp_year.v);
    jw_obj_end(w);
}

static void write_period(struct jw *w, const struct subscription *s)
{
    if (s == NULL || ts_is_none(s->period_start)) {
        jw_knull(w, "period");
        return;
    }
    jw_key(w, "period");
    jw_obj(w);
    jw_kts(w, "start", s->period_start);
    jw_kts(w, "end", s->period_end);
    jw_obj_end(w);
}

static bool runs(enum sub_status s)
{
    return s == SUB_ACTIVE || s == SUB_TRIALING || s == SUB_PAST_DUE;
}

/* What Stripe just answered is newer than the facts (an answer within the same seconds waits for a
 * refetch). */
static void freshen(struct subscription *s, const json *fresh)
{
    if (fresh == NULL || !sv_eq(json_get_str(fresh, "id"), s->id))
        return;
    s->cancel_at_period_end = json_get_bool(fresh, "cancel_at_period_end", s->cancel_at_period_end);
    s->cancel_at = json_get_unix(fresh, "cancel_at");
    sv status = json_get_str(fresh, "status");
    if (status.p != NULL)
        s->status = sub_status_parse(status);
}

/* The one that access rests on, else the newest that has not ended, else the newest. */
static const struct subscription *shown(const struct subscription *list, size_t n,
                                        const struct access *a)
{
    for (size_t i = 0; i < n; i++)
        if (a->premium && sv_eq(list[i].id, a->subscription))
            return &list[i];
    for (size_t i = 0; i < n; i++)
        if (subscription_blocks(list[i].status))
            return &list[i];
    return n > 0 ? &list[0] : NULL;
}

static void write_subscription(struct jw *w, const struct subscription *s)
{
    ts ends = s == NULL ? TS_NONE : s->cancel_at;
    if (s != NULL && s->cancel_at_period_end && ts_is_none(ends))
        ends = s->period_end;
    jw_kstr(w, "subscriptionId", s == NULL ? SV_NULL : s->id);
    jw_kstr(w, "status", s == NULL ? SV("none") : sv_from(sub_status_name(s->status)));
    write_period(w, s);
    jw_kts(w, "trialEnd", s == NULL ? TS_NONE : s->trial_end);
    jw_kbool(w, "cancelAtPeriodEnd", s != NULL && s->cancel_at_period_end);
    jw_kts(w, "cancelAt", ends);
    jw_kts(w, "endedAt", s == NULL ? TS_NONE : s->ended_at);
    jw_kbool(w, "paused", s != NULL && s->collection_paused);
    write_card(w, s);
}

err subscription_write(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                       ts now, const json *fresh, struct buf *out)
{
    struct subscription *list;
    struct access access;
    size_t n, running = 0;
    TRY(subscription_list(tx, mem, member, &list, &n));
    TRY(billing_access_get(tx, mem, &app->set, member, now, &access));
    for (size_t i = 0; i < n; i++) {
        freshen(&list[i], fresh);
        running += runs(list[i].status);
    }
    const struct subscription *s = shown(list, n, &access);
    sv invoice = SV_NULL;
    if (s != NULL && subscription_blocks(s->status))
        TRY(subscription_invoice_url(tx, mem, s->id, &invoice));
    const json *price = NULL;
    TRY(own_price(tx, mem, s, fresh, &price));
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_kstr(&w, "userId", user_id_sv(member));
    jw_kbool(&w, "premium", access.premium);
    jw_kstr(&w, "plan", access.premium ? app->catalog->plan_key : SV("free"));
    write_subscription(&w, s);
    jw_kbool(&w, "grace", access.grace);
    jw_kts(&w, "accessUntil", access.until);
    jw_kstr(&w, "invoiceUrl", invoice);
    write_price(&w, app->catalog, price);
    jw_kbool(&w, "severalActive", running > 1);
    jw_obj_end(&w);
    return OK;
}
