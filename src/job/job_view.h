/* Jobs for people: the admin API and `mybeing jobs`. */
#pragma once
#include "job/job.h"

struct job_view {
    sv id, kind, key, payload, state, worker, progress_unit, error;
    int64_t attempt, crashes;
    bool cancel, has_progress;
    int64_t progress_done, progress_total;
    ts run_at, created_at, finished_at;
};
struct job_filter {
    sv state, kind; /* SV_NULL = any */
    sv before;      /* id, exclusive; SV_NULL = from the newest */
    int64_t n;
};
err job_view_get(struct db_tx *tx, struct arena *mem, sv id, struct job_view *out) MUST_USE;
err job_view_list(struct db_tx *tx, struct arena *mem, const struct job_filter *f,
                  struct job_view **out, size_t *n) MUST_USE;
void job_view_write(struct jw *w, const struct job_view *v);

struct job_count {
    sv kind, state;
    int64_t n;
};
err job_view_counts(struct db_tx *tx, struct arena *mem, struct job_count **out,
                    size_t *n) MUST_USE;
