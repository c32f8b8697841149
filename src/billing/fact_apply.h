/* Inside fact_*.c: one object on its way into the tables. */
#pragma once
#include "billing/fact.h"

/* What is known while one object is applied. */
struct fact_ctx {
    struct db_tx *tx;
    struct arena *mem;
    struct app *app;
    const struct fact_in *in;
    const json *object;
    enum fact_kind kind;
    sv id, payment;
    user_id member;
    struct fact_order seen;
    bool newer, again; /* again: the same content at the same time, by another event */
    int depth;
};

/* What an object says, and the ids that it names. */
struct fact_content {
    sv says, ids;
};

/* Is it newer than what is stored? Sets c->seen, newer and again; queues the question after a tie.
 */
err fact_judge(struct fact_ctx *c, const struct fact_order *stored, int64_t rank,
               struct fact_content content) MUST_USE;
/* The order kept in a row of any fact table, and the order to store with what was seen. */
#define FACT_STORED(found, row)                                                                    \
    &((struct fact_order){(found), (found) ? (row).as_of : TS_NONE, (found) ? (row).source : 0,    \
                          (found) ? (row).rank : 0, (found) ? (row).digest : 0})
#define FACT_ORDER(c)                                                                              \
    .as_of = (c)->seen.as_of, .source = (c)->seen.source, .rank = (c)->seen.rank,                  \
    .digest = (c)->seen.digest

/* Locks everything that an object names, in one call; absent ids are passed over. */
err fact_lock(struct fact_ctx *c, const sv *ids, size_t n) MUST_USE;
#define FACT_LOCK(c, ...)                                                                          \
    fact_lock((c), (sv[]){__VA_ARGS__}, sizeof((sv[]){__VA_ARGS__}) / sizeof(sv))
/* Sets c->member. */
err fact_owner_of(struct fact_ctx *c, sv customer, const struct claim *claims, size_t n) MUST_USE;
bool fact_is_type(const struct fact_ctx *c, const char *type);
sv fact_status(sv status); /* "unknown" if there is none */

/* A payment became known to be an invoice's. (fact_invoice.c) */
err fact_link_invoice(struct fact_ctx *c, sv payment, sv invoice) MUST_USE;
/* Refunds embedded in a charge by very old versions. (fact_apply.c) */
err fact_apply_refunds(struct fact_ctx *c, const json *list) MUST_USE;

/* One for each kind: store if newer, own, link, derive. */
err fact_apply_customer(struct fact_ctx *c) MUST_USE;
err fact_apply_subscription(struct fact_ctx *c) MUST_USE;
err fact_apply_invoice(struct fact_ctx *c) MUST_USE;
err fact_apply_invoice_payment(struct fact_ctx *c) MUST_USE;
err fact_apply_payment(struct fact_ctx *c) MUST_USE;
err fact_apply_charge(struct fact_ctx *c) MUST_USE;
err fact_apply_refund(struct fact_ctx *c) MUST_USE;
err fact_apply_dispute(struct fact_ctx *c) MUST_USE;
err fact_apply_session(struct fact_ctx *c) MUST_USE;
err fact_apply_payment_method(struct fact_ctx *c) MUST_USE;
