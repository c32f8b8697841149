/* Billing: what Stripe told us (facts), who has access, and our own actions there. SPEC §2, §3. */
#pragma once
#include "base/id.h"
#include "base/json.h"
#include "base/money.h"
#include "billing/access_rules.h"
#include "db/db.h"
#include "http/route.h"
#include "job/job.h"

struct app;
struct settings;

/* The member's access now: one query over facts + access_best. Members without subscription:
 * premium false, status SUB_NONE. */
err billing_access_get(struct db_tx *tx, struct arena *mem, const struct settings *set,
                       const user_id *member, ts now, struct access *out) MUST_USE;

/* What access_best decides from, for explaining; *n = 0 for members without subscription. */
err billing_facts_get(struct db_tx *tx, struct arena *mem, const user_id *member, ts now,
                      struct sub_facts **out, size_t *n) MUST_USE;
struct grace billing_grace(const struct settings *set);

/* -------- facts for others (purchase/, notice/, admin/) -------- */
enum fact_kind {
    FACT_SUBSCRIPTION,
    FACT_INVOICE,
    FACT_PAYMENT /* payment intent */,
    FACT_CHARGE,
    FACT_REFUND,
    FACT_DISPUTE,
    FACT_SESSION,
    FACT_CUSTOMER,
    FACT_INVOICE_PAYMENT,
    FACT_PAYMENT_METHOD,
    FACT_KINDS
};

/* A change of a fact, told in the transaction that stored it. Two events of one content and second
 * (invoice.paid, invoice.payment_succeeded) are both told: effects are keyed by the object, not by
 * the event or its type. */
struct fact_change {
    enum fact_kind kind;
    sv object;      /* Stripe's id */
    sv event, type; /* event id and type that brought it; SV_NULL for a refetch or sync */
    ts as_of;       /* the fact's own time (event.created or Date) */
    const json
        *value;     /* data.object as it came; NULL when a link became known and no event is kept */
    user_id member; /* resolved owner or "" */
    sv payment;     /* charge, refund, dispute, session, invoice payment: the payment intent (or the
                       charge, if it has none) that it is about, as far as known; else SV_NULL */
    ts now;
};
typedef err (*billing_fact_fn)(struct db_tx *tx, struct arena *mem, struct app *app,
                               const struct fact_change *c);
/* At start, before threads. Called for every accepted (newer) fact, and again when a link became
 * known (refund to payment, payment to invoice). Must be idempotent. */
void billing_listen(billing_fact_fn fn);

/* One-time payments: the money facts of a payment intent, summed up. */
struct payment_facts {
    bool known, succeeded, failed, canceled;
    money received;
    currency currency;
    money refunded; /* sum of refunds pending or succeeded */
    bool dispute_open, dispute_lost, dispute_inquiry;
    ts paid_at;
};
err billing_payment_get(struct db_tx *tx, struct arena *mem, sv payment_intent,
                        struct payment_facts *out) MUST_USE;
/* Is this refund among the facts (SV_NULL and "": no), and does it count: has it not failed? */
err billing_refund_get(struct db_tx *tx, struct arena *mem, sv refund, bool *known,
                       bool *counts) MUST_USE;
struct session_facts {
    bool known;
    sv id, status /* open complete expired */, payment_status /* paid unpaid no_payment_required */;
    sv payment_intent, subscription, customer, email, mode;
    bool async_failed;
    money amount_total;
    currency currency;
    sv purchase_id, item_id, user_id_text; /* from metadata */
    ts expires_at;
};
err billing_session_get(struct db_tx *tx, struct arena *mem, sv session,
                        struct session_facts *out) MUST_USE;

/* The invoice that a payment (intent) paid; SV_NULL if none is known. */
err billing_invoice_of_payment(struct db_tx *tx, struct arena *mem, sv payment,
                               sv *invoice) MUST_USE;

/* Stores an object that we fetched ourselves (an answer of GET or POST) as a fact stamped `as_of`
 * (the answer's Date): runs the same apply and listeners as an event. */
err billing_apply_object(struct db_tx *tx, struct arena *mem, struct app *app, const json *object,
                         ts as_of, ts now) MUST_USE;
/* Queues a refetch of an object ("sub_…", "in_…", "pi_…", "cs_…", "re_…", "du_…"). */
err billing_refetch_put(struct db_tx *tx, struct arena *mem, sv object, ts run_at, ts now) MUST_USE;

/* Makes the customer the member's, above all claims of metadata (customers that we made). */
err billing_customer_link(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
                          const user_id *member, ts now) MUST_USE;
/* A new or imported account takes the facts that already name it (metadata.userId = its id or
 * legacy_id). SPEC §9. */
err billing_adopt(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                  sv legacy_id, ts now) MUST_USE;

/* Words for the admin: flags ("second_active_subscription", "amount_mismatch", "late_payment").
 * Unique by (kind, ref). */
err billing_flag_put(struct db_tx *tx, struct arena *mem, const char *kind, sv ref, sv detail,
                     ts now) MUST_USE;

/* -------- stored events (admin/, cmd/) -------- */
struct billing_event {
    sv id, type, object, status /* applied ignored failed */, error;
    ts created, received;
    int64_t attempts, size;
};
enum billing_event_filter { EVENTS_ALL, EVENTS_WITH_FAILURE };
/* Newest arrival first, those before (at, id): {INT64_MAX}, "" = from the start. */
err billing_event_list(struct db_tx *tx, struct arena *mem, enum billing_event_filter f, ts before,
                       sv before_id, int64_t limit, struct billing_event **out, size_t *n) MUST_USE;
/* All about one Stripe object, newest created first. */
err billing_event_list_object(struct db_tx *tx, struct arena *mem, sv object, int64_t limit,
                              struct billing_event **out, size_t *n) MUST_USE;
/* About what is a member's own (customer, subscriptions, invoices, checkouts, payments, refunds,
 * disputes), newest created first, those before (created, id). Without error and size. */
err billing_event_list_member(struct db_tx *tx, struct arena *mem, const user_id *member, ts before,
                              sv before_id, int64_t limit, struct billing_event **out,
                              size_t *n) MUST_USE;
/* One with its body as it came. ERR_NOT_FOUND. */
err billing_event_get(struct db_tx *tx, struct arena *mem, sv id, struct billing_event *out,
                      sv *payload) MUST_USE;
/* Applies it again: what it says and is not older than the facts takes effect. *result: applied,
 * ignored, failed. ERR_NOT_FOUND. */
err billing_event_replay(struct db_tx *tx, struct arena *mem, struct app *app, sv id, ts now,
                         const char **result, sv *why) MUST_USE;
struct billing_flag {
    sv kind, ref, detail;
    ts created;
};
err billing_flag_list(struct db_tx *tx, struct arena *mem, int64_t limit, struct billing_flag **out,
                      size_t *n) MUST_USE;
/* Seen and dealt with. ERR_NOT_FOUND. */
err billing_flag_del(struct db_tx *tx, struct arena *mem, sv kind, sv ref) MUST_USE;

/* At start: new accounts take the facts that name them; adds billing's part to `mybeing dev state`
 * and `dev userstate`. */
void billing_init(struct app *app);

/* -------- customers and operations (actions at Stripe) -------- */
/* The member's Stripe customer: from the table, else made at Stripe (metadata[userId]) and stored.
 * Two short transactions around the call; TX_NONE handlers only. */
err billing_customer_ensure(struct req *r, const user_id *member, sv *customer) MUST_USE;

/* Whose customer is it? *member = "" if nobody's. */
err billing_customer_owner(struct db_tx *tx, struct arena *mem, sv customer,
                           user_id *member) MUST_USE;
/* The member's customer, SV_NULL if there is none yet. */
err billing_customer_get(struct db_tx *tx, struct arena *mem, const user_id *member,
                         sv *customer) MUST_USE;
/* Remembers whose customer it is, unless either has another already (flagged then). */
err billing_customer_put(struct db_tx *tx, struct arena *mem, const user_id *member, sv customer,
                         ts now) MUST_USE;
/* customer.deleted: the member gets a new one at the next checkout. */
err billing_customer_del(struct db_tx *tx, struct arena *mem, sv customer) MUST_USE;

/* Cancels a subscription at Stripe at once (full refund, lost dispute): queues the operation
 * DELETE /v1/subscriptions/{id} in the caller's transaction. Any number of calls make one
 * operation. `reason` is a word for the operation's record ("refund", "dispute", "account"). */
err billing_cancel_put(struct db_tx *tx, struct arena *mem, sv subscription, const char *reason,
                       ts now) MUST_USE;

extern const struct route_set billing_routes; /* webhook, events */
extern const struct route_set
    subscription_routes; /* create, get, cancel, resume, portal, success */
extern const struct job_kind_set billing_jobs;
extern const struct job_kind_set subscription_jobs;
void subscription_init(void); /* at start: what happens when an account is deleted */
