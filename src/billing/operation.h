/* Operations: calls to Stripe that move money or open checkouts, stored with their Idempotency-Key
 * before the first attempt, so that a lost answer is repeated with the same key and, after 24 h,
 * reconciled and never resent. SPEC §3, stripe/CONTRACT §1. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "billing/billing.h"
#include "ext/stripe.h"
#include "http/request.h"

struct operation {
    sv id;  /* "op_…" = the Idempotency-Key sent */
    sv key; /* ours, unique: "checkout:pur_…:1", "cancel:sub_…:<n>" */
    sv method, path, form;
    sv subject;  /* what it is about; = key unless it is one of a series */
    int64_t seq; /* number in the series, 1.. ; 0 = not of a series */
    sv status;   /* pending, done, failed (refused, or nothing came of it), unknown (a refund that
                    cannot be found) */
    sv object;   /* Stripe's id of the answer's object when done, else SV_NULL */
    int64_t http_status;
    sv answer; /* JSON text of the answer when done */
    ts created, done_at, first_sent;
};
/* In the caller's transaction: makes the operation, or returns the one with that key (*made =
 * false). */
err operation_put(struct db_tx *tx, struct arena *mem, sv key, const char *method, sv path, sv form,
                  ts now, struct operation *out, bool *made) MUST_USE;
/* Performs it now (outside any transaction), stores the outcome. On ERR_UPSTREAM it stays pending
 * and a job goes on with it. `app` for the listeners: the answer's object is applied as a fact in
 * the same transaction that marks the operation done, then `then` (may be NULL) runs in it. */
err operation_run(struct app *app, struct arena *mem, const struct operation *op,
                  enum stripe_wait w, db_fn then, void *arg, struct stripe_answer *out) MUST_USE;
/* Queues a job that performs it (actions that nobody waits for). */
err operation_queue(struct db_tx *tx, struct arena *mem, const struct operation *op,
                    ts now) MUST_USE;

/* Series: operations about one subject ("subscribe:usr_…"), numbered by us. The next one is made
 * only if the last has number `last` (0: there is none); else the last one is returned and *made =
 * false. So of many callers who saw the same last operation, one makes the next and the others join
 * it. */
err operation_put_next(struct db_tx *tx, struct arena *mem, sv subject, int64_t last,
                       const char *method, sv path, sv form, ts now, struct operation *out,
                       bool *made) MUST_USE;
err operation_last(struct db_tx *tx, struct arena *mem, sv subject, struct operation *out,
                   bool *found) MUST_USE;
err operation_get(struct db_tx *tx, struct arena *mem, sv id, struct operation *out) MUST_USE;

/* The return from Checkout and every other doubt about a session: GETs it with its subscription,
 * invoice and payment, and applies them as facts; the same way a webhook goes. Outside any
 * transaction. ERR_NOT_FOUND; `object` (may be NULL) is Stripe's session. SPEC §3. */
err billing_session_fulfil(struct app *app, struct arena *mem, sv session, enum stripe_wait w,
                           const json **object) MUST_USE;

/* Is `url` absolute and on our origin (BASE_URL) or one of CORS_ORIGINS? Where people are sent back
 * to after paying: anything else would be an open redirect. */
bool billing_return_url_ok(const struct settings *set, sv url);
/* The success_url for Checkout: /billing/success of ours, which confirms the session and then sends
 * the member on to `to` (SV_NULL: "/"). */
sv billing_success_url(struct arena *mem, const struct settings *set, sv to);
