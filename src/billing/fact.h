/* Facts, inside billing/: storing what Stripe told, linking it, and what follows from it. SPEC §3.
 * Whatever the order of arrival and with duplicates, the same set of objects ends in the same rows.
 */
#pragma once
#include "app/app.h"
#include "billing/billing.h"
#include "billing/fact_rules.h"

struct fact_in {
    const json *object;
    ts as_of; /* event.created, or the Date of the answer */
    enum fact_source source;
    ts known_before; /* fetched: as_of of what was stored before asking; TS_NONE if nothing was */
    sv event, type;  /* SV_NULL for answers */
    ts now;
    const json *const *pages; /* an invoice that was fetched: what its list of lines goes on with */
    size_t npages;
};
/* Stores one object; *handled = false for kinds that we do not keep. */
err fact_apply(struct db_tx *tx, struct arena *mem, struct app *app, const struct fact_in *in,
               bool *handled) MUST_USE;

/* "subscription", "checkout.session" … and back; FACT_KINDS if it is none of ours. */
const char *fact_kind_name(enum fact_kind k);
enum fact_kind fact_kind_parse(sv object_name);
enum fact_kind fact_kind_guess(sv id); /* by the usual prefixes; only when nothing else tells */
/* as_of of the stored object; TS_NONE if there is none. */
err fact_known(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id, ts *out) MUST_USE;

/* -------- telling others (fact_tell.c) -------- */
err fact_tell(struct db_tx *tx, struct arena *mem, struct app *app,
              const struct fact_change *c) MUST_USE;
/* Tells again what the newest event of an object said, because a link or an owner became known. */
err fact_tell_again(struct db_tx *tx, struct arena *mem, struct app *app, enum fact_kind kind,
                    sv id, const user_id *member, sv payment, ts now) MUST_USE;

/* -------- owners (fact_owner.c) -------- */
/* How sure a claim is: the lowest wins, whatever comes first. SPEC §2, stripe/CONTRACT §4. */
enum claim_rank {
    CLAIM_OURS,
    CLAIM_CUSTOMER,
    CLAIM_SUBSCRIPTION,
    CLAIM_SESSION,
    CLAIM_SESSION_REF,
    CLAIM_INVOICE,
    CLAIM_PAYMENT
};
struct claim {
    sv ref; /* our id or a legacy id; SV_NULL: none */
    enum claim_rank rank;
};
/* The member behind a customer (may be SV_NULL) and claims made by the object itself; "" if nobody
 * is known. A better claim moves everything of the customer to its owner. */
err fact_owner(struct db_tx *tx, struct arena *mem, struct app *app, sv customer,
               const struct claim *c, size_t n, ts now, user_id *out) MUST_USE;

/* -------- what follows (fact_derive.c) -------- */
/* The columns of an invoice and of a subscription that follow from other rows, for whoever writes
 * the row anyway; fact_derive_… below bring a stored row up to date. */
struct invoice_sums {
    int64_t refunded;
    enum cover cover;
    bool disputed, for_good; /* a dispute is lost; the money is gone and nothing is pending */
};
err fact_invoice_sums(struct db_tx *tx, struct arena *mem, sv invoice, sv status,
                      int64_t amount_paid, struct invoice_sums *out) MUST_USE;
/* After an invoice's row holds its sums: its subscription (SV_NULL: none) follows. */
err fact_invoice_follow(struct db_tx *tx, struct arena *mem, sv subscription, ts period_end,
                        const struct invoice_sums *s, ts now) MUST_USE;
struct derive_from {
    sv id, customer, status;
    ts clear_at; /* the last news of a status other than past_due */
};
struct subscription_derived {
    bool invoice_known;
    ts paid_through;
    sv barred;
    ts first_failure, gone_at;
};
err fact_subscription_values(struct db_tx *tx, struct arena *mem, const struct derive_from *sub,
                             struct subscription_derived *out) MUST_USE;
err fact_derive_payment(struct db_tx *tx, struct arena *mem, sv payment, ts now) MUST_USE;
err fact_derive_invoice(struct db_tx *tx, struct arena *mem, sv invoice, ts now) MUST_USE;
err fact_derive_subscription(struct db_tx *tx, struct arena *mem, sv subscription) MUST_USE;
/* Two subscriptions that give access are shown to the admin, as long as there are two. */
err fact_derive_member(struct db_tx *tx, struct arena *mem, const user_id *member, ts now) MUST_USE;

/* -------- jobs -------- */
err fact_refetch_put(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id, ts run_at,
                     ts now) MUST_USE;
err fact_link_job_put(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id,
                      ts now) MUST_USE;
