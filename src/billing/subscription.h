/* The member's subscription: checkout, state, cancel, resume, portal. SPEC §2, §5. */
#pragma once
#include "billing/billing.h"
#include "billing/operation.h"
#include "billing/subscription_rules.h"
#include "http/reply.h"
#include "http/request.h"

/* One subscription of the member as the facts have it, with how it is paid. */
struct subscription {
    sv id, customer, price;
    enum sub_status status;
    ts created, period_start, period_end, trial_end, cancel_at, canceled_at, ended_at;
    bool cancel_at_period_end, collection_paused;
    sv card_brand, card_last4;
    opt_int card_exp_month, card_exp_year;
};
/* Newest first. */
err subscription_list(struct db_tx *tx, struct arena *mem, const user_id *member,
                      struct subscription **out, size_t *n) MUST_USE;
/* The hosted page of the open invoice, SV_NULL if there is none. */
err subscription_invoice_url(struct db_tx *tx, struct arena *mem, sv subscription,
                             sv *url) MUST_USE;

/* The price of the plan at Stripe, found by its lookup key and kept for ten minutes.
 * ERR_NOT_CONFIGURED when `mybeing setup stripe` has to be run. */
struct catalog;
err subscription_price(struct arena *mem, const struct catalog *c, sv *price) MUST_USE;
void subscription_price_forget(void);

struct checkout_request {
    sv success_url, cancel_url; /* SV_NULL: ours */
};
struct checkout_answer {
    sv url, session;
};
/* The one open Checkout of the member for the plan: the session that is open already, or a new one.
 * ERR_ALREADY_SUBSCRIBED, with portalUrl or invoiceUrl as members of the problem. TX_NONE. */
err subscription_checkout(struct req *r, const struct checkout_request *c,
                          struct checkout_answer *out) MUST_USE;
/* A fresh link to Stripe's portal. ERR_NOT_FOUND if the member has no customer yet. TX_NONE. */
err subscription_portal(struct req *r, sv return_url, sv *url) MUST_USE;
/* Cancel at the period's end, or undo that. `subscription` = SV_NULL: the one that counts.
 * ERR_NOT_FOUND, ERR_CONFLICT (it has ended). TX_NONE. `object` is Stripe's subscription
 * afterwards. */
enum subscription_change { SUBSCRIPTION_CANCEL, SUBSCRIPTION_RESUME };
err subscription_change(struct req *r, enum subscription_change change, sv subscription,
                        const json **object) MUST_USE;

/* The state as JSON (one object). `fresh` = an object of Stripe that is newer than the facts, or
 * NULL. */
err subscription_write(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                       ts now, const json *fresh, struct buf *out) MUST_USE;
