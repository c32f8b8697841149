/* A purchase's status, derived from its facts: pure. SPEC §2 "Purchase", "Holding a slot". */
#pragma once
#include "base/money.h"
#include "base/sv.h"

enum purchase_status {
    PURCHASE_PENDING,
    PURCHASE_PAID,
    PURCHASE_FAILED,
    PURCHASE_EXPIRED,
    PURCHASE_PARTIALLY_REFUNDED,
    PURCHASE_REFUNDED,
    PURCHASE_DISPUTED,
    PURCHASE_LOST,
};
#define PURCHASE_STATUSES 8
const char *purchase_status_name(enum purchase_status s);
bool purchase_status_parse(sv s, enum purchase_status *out);
bool purchase_grants(enum purchase_status s); /* paid, partially_refunded: the item is open */

/* What we fixed at checkout. */
struct purchase_terms {
    money price;
    currency currency;
    sv item;
};
/* What Stripe says of the session and the payment; sums as billing gives them. */
struct purchase_facts {
    bool session_known;
    bool session_paid; /* payment_status paid or no_payment_required */
    bool session_expired;
    bool session_failed; /* async_payment_failed */
    money session_total;
    currency session_currency;
    sv session_item; /* metadata; SV_NULL: not told */
    bool payment_succeeded;
    money received;
    currency payment_currency;
    money refunded; /* pending or succeeded */
    bool dispute_open, dispute_lost;
    bool never_opened; /* Stripe refused to make the session, or does not know it */
};

enum slot_target {
    SLOT_HELD,
    SLOT_CONSUMED,
    SLOT_RELEASED,
    SLOT_RESTORED /* released while its cycle lasts */
};

struct purchase_outcome {
    enum purchase_status status;
    enum slot_target slot;
    bool mismatch; /* amount, currency or item disagree: nothing is granted, an admin must look */
    bool late;     /* paid although the session had ended: honoured, takes no second slot */
};
struct purchase_outcome purchase_decide(const struct purchase_terms *t,
                                        const struct purchase_facts *f);

/* One of the payments that name a purchase: each attempt to pay may be one of its own. */
struct purchase_attempt {
    sv payment;
    bool named; /* by the purchase's session */
    bool succeeded;
};
/* Does `a` count rather than `b`? The same whichever was heard of first: the one that the session
 * names, else one that succeeded, else the smaller id. */
bool purchase_attempt_outranks(const struct purchase_attempt *a, const struct purchase_attempt *b);
