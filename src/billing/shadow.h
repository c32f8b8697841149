/* Facts rebuilt from the stored events alone, in a database of their own, and compared with the
 * living ones. Changes nothing. */
#pragma once
#include "billing/sync.h"

struct shadow_difference {
    sv kind, object;
    sv live, rebuilt; /* in words; SV_NULL = not there */
    bool fetched; /* the living one came from an answer of Stripe, so events need not explain it */
};
struct shadow_report {
    int64_t events, failed, objects;
    int64_t
        answered; /* decided by Stripe's answers: no event tells of them, or two of one second do */
    struct shadow_difference *differences;
    size_t n;
};
err shadow_rebuild(struct app *app, struct arena *mem, ts now, sync_progress_fn progress, void *arg,
                   struct shadow_report *out) MUST_USE;
