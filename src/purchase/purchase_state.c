/* `mybeing dev state` and `userstate`: purchases, slots, free uses, without ids and times. SPEC §6.
 */
#include "purchase/purchase_store.h"

#include "app/dev_state.h"
#include "queries.h"

static err state_purchases(struct db_tx *tx, struct arena *mem, struct app *app,
                           const user_id *member, ts now, struct jw *w)
{
    (void)app;
    (void)now;
    struct purchase_state_in in = {.member = user_id_sv(member)};
    struct purchase_state_row *r;
    size_t n;
    TRY(q_purchase_state(tx, mem, &in, &r, &n));
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "item", r[i].item);
        jw_kstr(w, "status", r[i].status);
        jw_kint(w, "listPrice", r[i].list_price);
        jw_kint(w, "price", r[i].price);
        jw_kstr(w, "currency", r[i].currency);
        jw_kstr(w, "discount", r[i].discount_kind);
        jw_kstr(w, "slot", r[i].slot);
        jw_kstr(w, "discountUse", r[i].use_state);
        jw_kbool(w, "mismatch", r[i].mismatch);
        jw_kbool(w, "late", r[i].late);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

static err state_uses(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                      ts now, struct jw *w)
{
    (void)app;
    (void)now;
    struct entitlement_member_in in = {.member = user_id_sv(member)};
    struct entitlement_member_row *r;
    size_t n;
    TRY(q_entitlement_member(tx, mem, &in, &r, &n));
    jw_arr(w);
    for (size_t i = 0; i < n; i++)
        if (sv_is(r[i].what, "use") || sv_is(r[i].what, "grant")) {
            jw_obj(w);
            jw_kstr(w, "what", r[i].what);
            jw_kstr(w, "item", r[i].item);
            jw_kint(w, "number", r[i].number);
            jw_obj_end(w);
        }
    jw_arr_end(w);
    return OK;
}

static err money_add_up(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                        struct dev_userstate *out)
{
    struct payment_facts m = {.paid_at = TS_NONE};
    if (p->payment_intent.p)
        TRY(billing_payment_get(tx, mem, p->payment_intent, &m));
    bool told_by_session = !ts_is_none(p->paid) && !p->mismatch;
    int64_t paid = m.known && m.succeeded ? m.received.minor : told_by_session ? p->price.minor : 0;
    const currency *c = m.known ? &m.currency : &p->currency;
    dev_userstate_money(mem, out, sv_from(c->code), paid, m.refunded.minor);
    return OK;
}

static bool was_taken(enum purchase_status s)
{
    return s == PURCHASE_REFUNDED || s == PURCHASE_DISPUTED || s == PURCHASE_LOST;
}

static err userstate(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                     ts now, struct dev_userstate *out)
{
    (void)app;
    struct caller c = {.member = *member};
    struct purchase *p;
    size_t n;
    TRY(purchase_list_of(tx, mem, &c, SV_NULL, 100000, &p, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(money_add_up(tx, mem, &p[i], out));
        if (was_taken(p[i].status))
            dev_userstate_item(mem, out, p[i].item, "revoked");
    }
    /* The last word holds: one that grants outweighs those that were taken back. */
    for (size_t i = 0; i < n; i++)
        if (purchase_grants(p[i].status))
            dev_userstate_item(mem, out, p[i].item, "owned");
    struct item_grant *g;
    TRY(entitlement_grant_list(tx, mem, member, &g, &n));
    for (size_t i = 0; i < n; i++)
        if (ts_is_none(g[i].revoked) && (ts_is_none(g[i].until) || ts_before(now, g[i].until)))
            dev_userstate_item(mem, out, g[i].item, "owned");
    return OK;
}

void purchase_state_init(void)
{
    dev_state_add("purchases", state_purchases);
    dev_state_add("uses", state_uses);
    dev_userstate_add(userstate);
}
