/* Stripe's wire format, coming in: signatures, events and objects, in the shapes before and since
 * 2025-03-31.basil. stripe/CONTRACT §2, §3, §5. No tables here.
 *
 * Readers never fail: what is missing, null or of another type is SV_NULL, TS_NONE or 0, unknown
 * fields and words are passed over, amounts are held within 0 and STRIPE_AMOUNT_MAX, and a text
 * that is too long to be an id is none. All texts are borrowed from the parsed tree. */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/money.h"

/* Ids are at most so many bytes (stripe/CONTRACT §1); amounts are held below what Stripe takes by
 * far, so that sums of many stay in an int64. */
#define STRIPE_ID_MAX     255
#define STRIPE_AMOUNT_MAX 1000000000000000

/* Is one of the comma separated `secrets` (whole strings, "whsec_…") the signer of `body`, at a
 * time within 300 s of `wall` or `now` (the machine's clock and the program's)? ERR_SIGNATURE
 * otherwise; blank secrets verify nothing. stripe/CONTRACT §2. */
err stripe_signature_check(sv header, sv body, sv secrets, ts wall, ts now) MUST_USE;
/* "t=…,v1=…" for `body`: tests and the shadow of the sandbox. */
sv stripe_signature_make(struct arena *mem, sv secret, sv body, ts at);

struct stripe_event {
    sv id, type;
    sv account; /* of a connected account (Connect), SV_NULL: our own */
    ts created;
    bool livemode, livemode_known;
    bool thin;            /* v2.core.event: nothing in it for us */
    const json *object;   /* data.object; NULL if there is none */
    const json *previous; /* data.previous_attributes */
};
/* Reads the envelope. ERR_BAD_REQUEST if it is not an event. */
err stripe_event_read(const json *j, struct stripe_event *out) MUST_USE;
/* id, type and created alone, by scanning the top level of a text that is valid JSON but cannot be
 * taken (a number beyond int64, a NUL). False if it is not an event. Texts are copied to `mem`. */
bool stripe_event_scan(struct arena *mem, sv body, struct stripe_event *out);

/* Which invoice pays what period: lines of the subscription that are charged, prorations only if
 * there is nothing else. */
struct wire_customer {
    sv id, user_ref, payment_method;
    bool deleted;
};
struct wire_subscription {
    sv id, customer, status, item, price, payment_method, user_ref;
    ts created, period_start, period_end, trial_start, trial_end;
    ts cancel_at, canceled_at, ended_at, anchor;
    bool cancel_at_period_end, collection_paused;
};
#define WIRE_PAYMENTS 8
struct wire_invoice {
    sv id, subscription, customer, status, billing_reason, hosted_url, user_ref;
    int64_t amount_due, amount_paid, attempt_count;
    sv currency;
    ts period_start, period_end, created, paid_at, next_attempt;
    sv payments[WIRE_PAYMENTS]; /* payment intents, or charges that have none */
    size_t npayments;
    bool lines_cut; /* there are more lines than those that were read */
};
struct wire_payment {
    sv id, customer, status, currency, invoice, user_ref;
    int64_t amount, received;
    ts created;
    bool failed;
};
struct wire_charge {
    sv id, payment, customer, status, currency, invoice;
    int64_t amount, refunded;
    ts created;
    const json *refunds; /* embedded list of very old versions, or NULL */
};
struct wire_refund {
    sv id, charge, payment, status, currency;
    int64_t amount;
    ts created;
};
struct wire_dispute {
    sv id, charge, payment, status, reason, currency;
    int64_t amount;
    ts created;
};
struct wire_session {
    sv id, mode, status, payment_status, customer, subscription, payment, currency, email;
    sv purchase_id, item_id, user_ref, client_ref;
    int64_t amount_total;
    ts expires_at, created;
};
struct wire_invoice_payment {
    sv id, invoice, payment, status;
    int64_t amount_paid;
};
struct wire_payment_method {
    sv id, customer, kind, brand, last4;
    int64_t exp_month, exp_year;
};

void stripe_read_customer(const json *o, struct wire_customer *out);
void stripe_read_subscription(const json *o, struct wire_subscription *out);
void stripe_read_invoice(const json *o, struct wire_invoice *out);
/* With the pages that its list of lines goes on with (GET /v1/invoices/{id}/lines). */
void stripe_read_invoice_pages(const json *o, const json *const *pages, size_t n,
                               struct wire_invoice *out);
void stripe_read_payment(const json *o, struct wire_payment *out);
void stripe_read_charge(const json *o, struct wire_charge *out);
void stripe_read_refund(const json *o, struct wire_refund *out);
void stripe_read_dispute(const json *o, struct wire_dispute *out);
void stripe_read_session(const json *o, struct wire_session *out);
void stripe_read_invoice_payment(const json *o, struct wire_invoice_payment *out);
void stripe_read_payment_method(const json *o, struct wire_payment_method *out);
