/* Stripe's wire format, going out. stripe/CONTRACT §1. No tables here. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct stripe_config {
    sv key, base,
        version;    /* "https://api.stripe.com", "2026-10-28.endive" (both also when empty) */
    int per_second; /* calls a second; 0: 20, and no limit when base is on loopback; < 0: no limit
                     */
};
/* Once at start, before threads. Copies. */
void stripe_configure(const struct stripe_config *c);
bool stripe_configured(void);
sv stripe_version(void);     /* the pinned API version that is sent */
bool stripe_live_mode(void); /* by the key */

struct stripe_answer {
    int status;       /* 0: no answer */
    const json *body; /* parsed; NULL if there was none */
    sv raw;
    ts date; /* the answer's Date header; TS_NONE if absent */
    sv request_id;
    sv error_type, error_code, error_message, error_param; /* of {"error":{…}} */
    bool sent;                                             /* the request may have reached Stripe */
    bool replayed; /* Idempotent-Replayed: the first result of this key, again */
    int attempts;
    int retry_after_s; /* what Stripe asked us to wait; 0: nothing */
};
enum stripe_wait { STRIPE_PERSON /* <= 10 s */, STRIPE_JOB /* <= 30 s */ };

/* GET/DELETE: `form` goes into the query. POST: form body with the Idempotency-Key (required).
 * Retries as the contract says (at most 2, same key, Retry-After, Stripe-Should-Retry), one limiter
 * of 20 calls/s. OK for 2xx. Else: ERR_UPSTREAM (no answer, 5xx, 409, 429: outcome may be unknown),
 * ERR_NOT_FOUND (404 resource_missing), ERR_CARD (402), ERR_NOT_CONFIGURED (no key, 401, 403),
 * ERR_UPSTREAM_REFUSED (400); `out` is filled in every case. Never inside a transaction. Never logs
 * the key. */
err stripe_get(struct arena *mem, sv path, sv query, enum stripe_wait w,
               struct stripe_answer *out) MUST_USE;
err stripe_post(struct arena *mem, sv path, const struct buf *form, sv idempotency_key,
                enum stripe_wait w, struct stripe_answer *out) MUST_USE;
err stripe_delete(struct arena *mem, sv path, sv query, enum stripe_wait w,
                  struct stripe_answer *out) MUST_USE;
