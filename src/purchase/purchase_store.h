/* Rows of purchases: internal to purchase/. */
#pragma once
#include "purchase/purchase.h"

/* pending, or paid at once when the price is 0. open_key: set while pending. Takes the discount
 * (held or consumed). ERR_RETRY when a race was lost. */
err purchase_make(struct db_tx *tx, struct arena *mem, struct app *app,
                  const struct entitlement_state *s, const struct item *it, const struct quote *q,
                  ts expires, struct purchase *out) MUST_USE;
err purchase_open_get(struct db_tx *tx, struct arena *mem, const struct caller *c, sv item,
                      struct purchase *out, bool *found) MUST_USE;
err purchase_by_session(struct db_tx *tx, struct arena *mem, sv session, struct purchase *out,
                        bool *found) MUST_USE;
err purchase_by_payment(struct db_tx *tx, struct arena *mem, sv payment, struct purchase *out,
                        bool *found) MUST_USE;
err purchase_by_id(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out,
                   bool *found) MUST_USE;
/* Does another purchase give its owner the same item? */
err purchase_twin(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                  bool *found) MUST_USE;
err purchase_lock(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out,
                  bool *found) MUST_USE;
err purchase_payment_of_charge(struct db_tx *tx, struct arena *mem, sv charge,
                               sv *payment) MUST_USE;
err purchase_bind_session(struct db_tx *tx, sv id, sv session) MUST_USE;
/* In place of whatever payment the purchase had; *bound = false if another purchase has this one.
 */
err purchase_bind_payment(struct db_tx *tx, sv id, sv payment, bool *bound) MUST_USE;
err purchase_set_url(struct db_tx *tx, sv id, sv url) MUST_USE;
err purchase_set_email(struct db_tx *tx, sv id, sv email) MUST_USE;
err purchase_set_gone(struct db_tx *tx, sv id) MUST_USE;
err purchase_set_status(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                        ts now) MUST_USE;
err purchase_history_add(struct db_tx *tx, struct arena *mem, sv id, enum purchase_status status,
                         const char *what, sv actor, sv event, sv detail, ts now) MUST_USE;
err purchase_overdue(struct db_tx *tx, struct arena *mem, ts before, int64_t limit, sv **ids,
                     size_t *n) MUST_USE;
/* Conditional: *won = false when somebody has it already. */
err purchase_claim_one(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                       const user_id *to, const char *what, ts now, bool *won) MUST_USE;
err purchase_visitor_count(struct db_tx *tx, struct arena *mem, const visitor_id *v,
                           int64_t *n) MUST_USE;
err purchase_claim_wait(struct db_tx *tx, sv id, const user_id *member, ts now) MUST_USE;
err purchase_claims_waiting(struct db_tx *tx, struct arena *mem, const user_id *member, sv **ids,
                            size_t *n) MUST_USE;
err purchase_claims_done(struct db_tx *tx, const user_id *member) MUST_USE;

err purchase_tell(struct db_tx *tx, struct arena *mem, struct app *app,
                  const struct purchase_change *c) MUST_USE;

/* purchase_facts.c: told by billing. */
err purchase_on_fact(struct db_tx *tx, struct arena *mem, struct app *app,
                     const struct fact_change *c) MUST_USE;
/* purchase_claim.c */
err purchase_on_claim(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                      const user_id *to, ts now) MUST_USE;
err purchase_on_claimable(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                          int64_t *count) MUST_USE;
struct account;
void purchase_state_init(void); /* purchase_state.c: dev state */
err purchase_on_verified(struct db_tx *tx, struct arena *mem, const struct account *a,
                         ts now) MUST_USE;
/* purchase_member.c */
/* Queues the end of an open session at Stripe. */
err purchase_end_session(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                         ts now) MUST_USE;
err purchase_on_delete(struct db_tx *tx, struct arena *mem, const struct account *a,
                       ts now) MUST_USE;
/* Addresses go, personal discounts end; the rest are books. */
err purchase_forget(struct db_tx *tx, const user_id *member, ts now) MUST_USE;
enum claim_outcome { CLAIM_WON, CLAIM_MINE, CLAIM_TAKEN, CLAIM_OTHER_ADDRESS, CLAIM_UNVERIFIED };
err purchase_claim_receipt(struct db_tx *tx, struct arena *mem, const struct app *app, sv token,
                           const user_id *member, ts now, struct purchase *p,
                           enum claim_outcome *out) MUST_USE;
/* purchase_checkout.c (TX_NONE) */
struct checkout_ask {
    const struct item *item;
    sv code;
};
err purchase_checkout(struct req *r, const struct checkout_ask *ask, struct purchase *out) MUST_USE;
/* The operation that ends a purchase's open session at Stripe; not performed yet. */
struct operation;
err purchase_operation_expire(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now,
                              struct operation *out) MUST_USE;
/* Puts the job that asks Stripe when nobody told us of the session's end. */
err purchase_expire_put(struct db_tx *tx, struct arena *mem, sv id, ts at, ts now) MUST_USE;
sv purchase_operation_key(struct arena *mem, sv id);
