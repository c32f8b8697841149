/* Rows of operations: for operation.c and its job only. */
#pragma once
#include "billing/operation.h"

struct operation_outcome {
    sv id;
    const char *status; /* done, failed, unknown */
    int64_t http_status;
    sv object, answer, error;
};
/* Only the holder of the lease calls Stripe; the lease is short and by the machine's clock. It
 * saves calls; correctness rests on the Idempotency-Key. */
err operation_lease(struct db_tx *tx, sv id, ts wall, int64_t lease_ms, bool *ours) MUST_USE;
err operation_release(struct db_tx *tx, sv id, int64_t http_status, sv error) MUST_USE;
/* *ended = false: another one stored the outcome before. */
err operation_end(struct db_tx *tx, const struct operation_outcome *o, ts now,
                  bool *ended) MUST_USE;

/* After 24 h, or when Stripe keeps a failure for the key: looks for the outcome at Stripe without
 * sending again. *found = the object that came of it, NULL if there is none (ERR_… : not known
 * now). */
err operation_find(struct arena *mem, const struct operation *op, enum stripe_wait w,
                   const json **found, ts *date) MUST_USE;
