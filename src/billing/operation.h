/* Operations: calls to Stripe that move money or open checkouts, stored with their Idempotency-Key before
 * the first attempt, so that a lost answer is repeated with the same key and, after 24 h, reconciled and
 * never resent. SPEC §3, stripe/CONTRACT §1. (lead's contract) */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "billing/billing.h"
#include "ext/stripe.h"
#include "http/request.h"

struct operation {
    sv id;              /* "op_…" = the Idempotency-Key sent */
    sv key;             /* ours, unique: "checkout:pur_…:1", "cancel:sub_…:<n>" */
    sv method, path, form;
    sv status;          /* pending, done, failed, unknown */
    int64_t http_status;
    sv answer;          /* JSON text of the answer when done */
    ts created, done_at;
};
/* In the caller's transaction: makes the operation, or returns the one with that key (*made = false). */
err operation_put(struct db_tx *tx, struct arena *mem, sv key, const char *method, sv path, sv form, ts now,
                  struct operation *out, bool *made) MUST_USE;
/* Performs it now (outside any transaction), stores the outcome. On ERR_UPSTREAM it stays pending and a
 * job goes on with it. `app` for the listeners: the answer's object is applied as a fact in the same
 * transaction that marks the operation done, then `then` (may be NULL) runs in it. */
err operation_run(struct app *app, struct arena *mem, const struct operation *op, enum stripe_wait w,
                  db_fn then, void *arg, struct stripe_answer *out) MUST_USE;
/* Queues a job that performs it (actions that nobody waits for). */
err operation_queue(struct db_tx *tx, struct arena *mem, const struct operation *op, ts now) MUST_USE;
