/* What one may open: free, owned, by allowance, granted, or for money. SPEC §2, §5. */
#pragma once
#include "app/app.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "entitlement/entitlement_rules.h"
#include "http/route.h"

extern const struct route_set entitlement_routes;

/* -------- the caller: a member, a visitor, or nobody -------- */
struct caller {
    user_id member;     /* "" = not signed in */
    visitor_id visitor; /* used only without a member */
};
struct caller caller_of(const struct req *r);
static inline bool caller_none(const struct caller *c)
{
    return user_id_none(&c->member) && visitor_id_none(&c->visitor);
}
/* The member's or the visitor's id; SV_NULL for nobody. */
sv caller_id(const struct caller *c);

/* -------- what the caller has -------- */
enum held_kind { HELD_USE, HELD_SLOT, HELD_OWN, HELD_GRANT };
struct held {
    enum held_kind what;
    int kind;       /* enum item_kind; -1 where it does not matter */
    sv item;        /* HELD_SLOT: "held" or "consumed" */
    ts from, until; /* cycle of uses and slots; from/until of grants */
    int64_t number; /* of the slot; price of an own one */
    sv ref;         /* purchase or grant id */
};
struct entitlement_state {
    struct caller caller;
    ts now;
    struct access access;
    const struct held *held; /* in force at `now` */
    size_t nheld;
    const struct discount_offer *offers; /* personal ones of the member; not checked yet */
    size_t noffers;
    ts same_until; /* with the same rows all of this is the same before that time; TS_NONE: for good
                    */
};
/* Few queries: access, one over all that is held, personal discounts. `except`: a purchase whose
 * slot and discount do not count (it is about to be replaced), SV_NULL for none. */
err entitlement_state_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                          const struct caller *c, sv except, ts now,
                          struct entitlement_state *out) MUST_USE;
/* Uses and discount slots in cycles that overlap the current one. */
struct slot_count entitlement_uses(const struct entitlement_state *s, enum item_kind kind);
struct slot_count entitlement_discounts(const struct entitlement_state *s, enum item_kind kind);
/* Decides for one item; `code` is an offer by code that was found usable, or NULL. Lives in `mem`.
 */
struct decision entitlement_decide_item(const struct entitlement_state *s, struct arena *mem,
                                        const struct catalog *cat, const struct item *it,
                                        const struct discount_offer *code);
/* The offer of a code (any case). *found = false: no such code. */
err entitlement_offer_by_code(struct db_tx *tx, struct arena *mem, sv code, const struct caller *c,
                              sv except, struct discount_offer *out, bool *found) MUST_USE;
/* Looks up the code that the caller typed and checks it for the item: 422 at `pointer`, or 401 when
 * it needs a sign-in. code SV_NULL: *out = NULL. */
err entitlement_code_read(struct db_tx *tx, struct arena *mem, sv code, const struct caller *c,
                          sv except, const struct item *it, ts now, const char *pointer,
                          const struct discount_offer **out) MUST_USE;

/* -------- slots (writing transactions) -------- */
/* One lock for all that counts a member's slots; take it before entitlement_state_get. */
err entitlement_lock(struct db_tx *tx, struct arena *mem, const struct caller *c, const sv *more,
                     size_t n) MUST_USE;
/* Takes a free use for the item. ERR_RETRY if a race was lost all the same (UNIQUE). */
err entitlement_use_take(struct db_tx *tx, struct arena *mem, const struct entitlement_state *s,
                         const struct allowance *al, const struct item *it,
                         int64_t *number) MUST_USE;
/* Holds (or consumes at once, `state`) what the quote needs: a discount slot of the cycle, or a use
 * of the manual discount. */
err entitlement_discount_take(struct db_tx *tx, struct arena *mem,
                              const struct entitlement_state *s, const struct allowance *al,
                              const struct item *it, const struct quote *q, sv purchase,
                              const char *state) MUST_USE;
/* Slot and discount use of a purchase become "consumed", "released" or "held". *lost = a released
 * one could not come back because its number was given to another. */
err entitlement_discount_set(struct db_tx *tx, sv purchase, const char *state, ts now,
                             bool *lost) MUST_USE;
/* A full refund: released while its cycle lasts, else left consumed. */
err entitlement_discount_restore(struct db_tx *tx, struct arena *mem, sv purchase, ts now) MUST_USE;

/* -------- the AI line of the answer: chat/ counts -------- */
/* Conversations used today by the caller and when the day ends. */
typedef err (*entitlement_ai_fn)(struct db_tx *tx, struct arena *mem, const struct app *app,
                                 const struct caller *c, ts now, int64_t *used, ts *reset_at);
void entitlement_on_ai(entitlement_ai_fn fn); /* at start, before threads */

/* -------- grants (admin/) -------- */
struct item_grant {
    sv id, item, note, granted_by;
    user_id member;
    ts until, created, revoked; /* TS_NONE: for good, -, in force */
};
err entitlement_grant_put(struct db_tx *tx, struct arena *mem, const struct item_grant *g, ts now,
                          sv *id) MUST_USE;
/* ERR_NOT_FOUND when there is none in force. */
err entitlement_grant_del(struct db_tx *tx, sv id, ts now) MUST_USE;
err entitlement_grant_list(struct db_tx *tx, struct arena *mem, const user_id *member,
                           struct item_grant **out, size_t *n) MUST_USE;

/* -------- writing (shared by entitlement/ and purchase/) -------- */
/* "discount": null or {kind, id, percent, amount}. */
void entitlement_write_discount(struct jw *w, const char *key, const struct quote *q);
