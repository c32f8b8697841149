#include "entitlement/entitlement_write.h"
#include "queries.h"

static entitlement_ai_fn count_ai;

void entitlement_on_ai(entitlement_ai_fn fn)
{
    count_ai = fn;
}

err entitlement_ai_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                       const struct entitlement_state *s, struct entitlement_ai *out)
{
    struct entitlement_ai ai = {.unlimited = s->access.premium,
                                .limit = app->catalog->ai_free_per_day,
                                .reset_at = ts_add(ts_day(s->now), TS_DAY)};
    if (count_ai)
        TRY(count_ai(tx, mem, app, &s->caller, s->now, &ai.used, &ai.reset_at));
    *out = ai;
    return OK;
}

/* -------- why -------- */

static struct explain_line *add(struct entitlement_explain *ex, sv line, const char *rule, sv fact,
                                sv event, ts expires)
{
    struct explain_line *l = &ex->lines[ex->n++];
    *l = (struct explain_line){line, sv_from(rule), fact, event, expires};
    return l;
}

static err event_of_object(struct db_tx *tx, struct arena *mem, sv object, sv *event)
{
    *event = SV_NULL;
    if (!object.p)
        return OK;
    struct entitlement_event_in in = {.object = object};
    struct entitlement_event_row row;
    bool found;
    TRY(q_entitlement_event(tx, mem, &in, &row, &found));
    if (found)
        *event = row.id;
    return OK;
}

static err event_of_purchase(struct db_tx *tx, struct arena *mem, sv purchase, sv *event)
{
    struct purchase_last_event_in in = {.purchase = purchase};
    struct purchase_last_event_row row;
    bool found;
    TRY(q_purchase_last_event(tx, mem, &in, &row, &found));
    *event = found ? row.event : SV_NULL;
    return OK;
}

static const char *allowance_rule(const struct access *a, int64_t left)
{
    if (!a->premium)
        return "no premium access: no free uses";
    if (!a->new_slots)
        return "this cycle is not paid yet: it gives no new slots; what was opened stays open";
    return left > 0 ? "the cycle's free uses that are left, counting cycles that overlap"
                    : "the cycle's free uses are used up";
}

static const char *discount_rule(const struct access *a, const struct allowance *al, int64_t left)
{
    if (!a->premium)
        return "no premium access: list prices";
    if (al->discount_limit < 0)
        return "premium's discount, without limit";
    if (!a->new_slots)
        return "this cycle is not paid yet: it gives no new discounts";
    return left > 0 ? "premium's discount, for as many as are left"
                    : "the cycle's discounts are used or held";
}

static void explain_kind(struct entitlement_explain *ex, struct arena *mem, const struct app *app,
                         const struct entitlement_state *s, enum item_kind k, sv event)
{
    const struct allowance *al = &app->catalog->allowance[k];
    const struct access *a = &s->access;
    const char *key = k == ITEM_QUIZ ? "quizzes" : "articles";
    ts end = a->premium ? a->cycle_end : TS_NONE;
    add(ex, arena_printf(mem, "%s.included", key),
        allowance_rule(a, slots_left(a, al->limit, entitlement_uses(s, k))), a->subscription, event,
        end);
    add(ex, arena_printf(mem, "%s.discount", key),
        discount_rule(a, al, slots_left(a, al->discount_limit, entitlement_discounts(s, k))),
        a->subscription, event, end);
}

static err explain_held(struct entitlement_explain *ex, struct db_tx *tx, struct arena *mem,
                        const struct entitlement_state *s, const struct held *h, sv sub_event)
{
    if (h->what == HELD_SLOT) {
        add(ex, arena_printf(mem, "quizzes.discount.%lld", (long long)h->number),
            sv_is(h->item, "held") ? "held by an open checkout" : "consumed by a purchase", h->ref,
            SV_NULL, h->until);
        return event_of_purchase(tx, mem, h->ref, &ex->lines[ex->n - 1].event);
    }
    sv line = arena_printf(mem, "items.%.*s", SV_ARG(h->item));
    if (h->what == HELD_OWN) {
        add(ex, line, "bought: open for good", h->ref, SV_NULL, TS_NONE);
        return event_of_purchase(tx, mem, h->ref, &ex->lines[ex->n - 1].event);
    }
    if (h->what == HELD_GRANT)
        add(ex, line, "granted by an admin", h->ref, SV_NULL, h->until);
    else if (s->access.premium)
        add(ex, line, "opened by allowance, while premium access lasts", s->access.subscription,
            sub_event, s->access.until);
    return OK;
}

err entitlement_explain_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                            const struct entitlement_state *s, const struct entitlement_ai *ai,
                            struct entitlement_explain *out)
{
    const struct access *a = &s->access;
    struct entitlement_explain ex = {
        .lines = ARENA_ARRAY(mem, struct explain_line, 8 + s->nheld + s->noffers)};
    sv event;
    TRY(event_of_object(tx, mem, a->subscription, &event));
    add(&ex, SV("premium"), a->rule ? a->rule : "no subscription", a->subscription, event,
        a->until);
    add(&ex, SV("cycle"),
        a->premium ? "a calendar month from the subscription's anchor" : "no premium access",
        a->subscription, event, a->premium ? a->cycle_end : TS_NONE);
    explain_kind(&ex, mem, app, s, ITEM_QUIZ, event);
    explain_kind(&ex, mem, app, s, ITEM_ARTICLE, event);
    add(&ex, SV("ai"),
        ai->unlimited ? "premium: without limit" : "conversations a day of free members",
        ai->unlimited ? a->subscription : SV_NULL, ai->unlimited ? event : SV_NULL,
        ai->unlimited ? a->until : ai->reset_at);
    for (size_t i = 0; i < s->nheld; i++)
        TRY(explain_held(&ex, tx, mem, s, &s->held[i], event));
    for (size_t i = 0; i < s->noffers; i++)
        add(&ex, arena_printf(mem, "discounts.%.*s", SV_ARG(s->offers[i].id)),
            "a personal discount by an admin; the lowest price wins", s->offers[i].id, SV_NULL,
            s->offers[i].until);
    *out = ex;
    return OK;
}
