/* Catching up with Stripe: missed events, and what differs from it. SPEC §3. */
#pragma once
#include "app/app.h"
#include "billing/billing.h"

struct sync_report {
    int64_t seen, missed, failed; /* events: looked at, applied now, kept as failed */
    int64_t compared, drift;      /* objects: looked at, differing */
};
/* Told while it runs; total 0 = not known. */
typedef void (*sync_progress_fn)(void *arg, const char *what, int64_t done, int64_t total);
struct sync {
    struct app *app;
    struct db *db;
    ts now;
    sync_progress_fn progress; /* NULL: nobody looks */
    void *arg;
    struct sync_report report;
};
/* Walks GET /v1/events from the cursor (30 days at most) and takes what was missed, by the same
 * function as the webhook. The cursor moves only when the walk was whole. */
err sync_events(struct sync *s, struct arena *mem) MUST_USE;
/* Compares subscriptions, and the invoices and payments of the last 30 days; differences replace
 * the drift list. */
err sync_compare(struct sync *s, struct arena *mem) MUST_USE;
/* Takes Stripe's answer for one object of the drift list, or for all (SV_NULL); *done = how many.
 */
err sync_repair(struct sync *s, struct arena *mem, sv object, int64_t *done) MUST_USE;

struct drift {
    sv object, field, ours, theirs;
    ts found;
};
err billing_drift_list(struct db_tx *tx, struct arena *mem, struct drift **out, size_t *n) MUST_USE;

/* Fetches one object and stores the answer, now. *gone: Stripe has none. (refetch.c) */
err refetch_now(struct app *app, struct db *db, struct arena *mem, sv object, ts now,
                bool *gone) MUST_USE;

/* The nightly job. */
err sync_job(struct job *j) MUST_USE;
