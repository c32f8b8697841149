/* One-time purchases: checkout, discounts, slots held and consumed, status from facts. SPEC §2. */
#pragma once
#include "app/app.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "entitlement/entitlement.h"
#include "http/route.h"
#include "job/job.h"
#include "purchase/purchase_rules.h"

extern const struct route_set purchase_routes;
extern const struct job_kind_set purchase_jobs;
void purchase_init(void); /* registers its listeners (billing facts, claims, verified addresses) */

struct purchase {
    sv id;              /* "pur_…" */
    user_id member;     /* "" while it is a visitor's */
    visitor_id visitor; /* who bought it without an account; stays after a claim */
    sv item;
    money list, price;
    currency currency;
    sv discount_kind, discount_id; /* "none", "premium", "manual"; SV_NULL */
    int discount_percent;          /* -1: an amount */
    enum purchase_status status;
    sv session, session_url, payment_intent; /* Stripe's; SV_NULL while not known */
    sv email;                                /* where the receipt goes, as told to Stripe */
    bool gone;     /* the session was never made, or Stripe does not know it */
    bool mismatch; /* amount, currency or item of an event disagree: grants nothing */
    bool late;     /* paid after its session had ended */
    ts expires, created, changed, paid, claimed;
};
/* ERR_NOT_FOUND if there is none. Whose it is, is the caller's question. */
err purchase_get(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out) MUST_USE;
/* Newest first; `before` = an id, SV_NULL = from the newest. The second: everybody's (admin/). */
err purchase_list_of(struct db_tx *tx, struct arena *mem, const struct caller *c, sv before,
                     int64_t limit, struct purchase **out, size_t *n) MUST_USE;
err purchase_list(struct db_tx *tx, struct arena *mem, sv before, int64_t limit,
                  struct purchase **out, size_t *n) MUST_USE;
bool purchase_is_of(const struct purchase *p, const struct caller *c);

struct purchase_event { /* a row of the history */
    int64_t seq;
    ts at;
    sv status, what, actor, event, detail; /* event: Stripe's id, or SV_NULL */
};
err purchase_history(struct db_tx *tx, struct arena *mem, sv id, struct purchase_event **out,
                     size_t *n) MUST_USE;
/* Appends what happened outside of facts (an admin's refund): status stays as it is. */
err purchase_note(struct db_tx *tx, struct arena *mem, sv id, const char *what, sv actor, sv detail,
                  ts now) MUST_USE;

/* The JSON object of the API, without and with its history (NULL, 0: without). */
void purchase_write(struct jw *w, const struct app *app, const struct purchase *p,
                    const struct purchase_event *history, size_t n);

/* -------- told to others (notice/ mails receipts) -------- */
struct purchase_change {
    const struct purchase *p; /* as it is now */
    bool created;             /* `from` does not count */
    enum purchase_status from, to;
    sv event;
    ts now;
};
/* In the transaction that changed the status. Idempotent by (purchase, to). */
typedef err (*purchase_fn)(struct db_tx *tx, struct arena *mem, struct app *app,
                           const struct purchase_change *c);
void purchase_listen(purchase_fn fn); /* at start, before threads; at most 8 */

/* Derives status, slot and flags again from the facts; history and listeners if they changed.
 * `event` and `type`: what brought it here, or SV_NULL. */
err purchase_refresh(struct db_tx *tx, struct arena *mem, struct app *app, sv id, sv event, sv type,
                     ts now) MUST_USE;

/* The secret of the claim link in a visitor's receipt. Needs no storage: it is signed. */
sv purchase_claim_token(struct arena *mem, const struct app *app, sv id);
sv purchase_claim_url(struct arena *mem, const struct app *app, sv id); /* BASE_URL/?claim=… */
