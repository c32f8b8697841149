/* The caller's Idempotency-Key on money POSTs: same key and same body give the same answer, another
 * body is 409 idempotency_mismatch. The scope is the caller (a member or a visitor). SPEC §5.
 * Answers are kept for at least 24 hours; only successes are: a failed request may be tried again
 * with its key. */
#pragma once
#include "http/reply.h"
#include "http/request.h"

struct idempotency {
    bool given;    /* the caller sent a key */
    bool replayed; /* the reply is written already: return OK */
    sv scope, key;
};
/* After the body was found valid. Uses r->tx when there is one, else a short transaction of its
 * own. ERR_IDEMPOTENCY; ERR_VALIDATION (the key is not 1..255 printable characters). */
err idempotency_begin(struct req *r, struct idempotency *out) MUST_USE;
/* Replies the JSON `text` with `status` and keeps it for the key. */
err idempotency_reply(struct req *r, const struct idempotency *i, int status, sv text) MUST_USE;
