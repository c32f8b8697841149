/* What administrators did: a row of the audit table for each action that changes something, written
 * in the acting transaction, so that there is no action without its row. SPEC §5. Rows are never
 * changed. */
#pragma once
#include "http/request.h"

struct audit_entry {
    const char *action; /* "purchase.refund" */
    sv target, reason;
    sv before, after; /* JSON texts, or SV_NULL */
};
/* Who acts and how they signed in is the request's. */
err audit_put(struct db_tx *tx, struct arena *mem, const struct req *r,
              const struct audit_entry *e) MUST_USE;

/* A row of a field table: the reason that an action must be given. */
#define AUDIT_REASON(into)                                                                         \
    {                                                                                              \
        "reason", FIELD_STR, (into), .required = true, .min = 1, .max = 500                        \
    }
/* For actions on the machinery (jobs, mail): one may be given, `?reason=`. Refuses other
 * parameters. */
err audit_reason_read(struct req *r, sv *reason) MUST_USE;
