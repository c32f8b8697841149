/* The outbox's rows; inside mail/ only. */
#pragma once
#include "base/json.h"
#include "mail/mail.h"
#include "mail/mail_rules.h"

struct mail_row {
    sv id, cause, template, recipient, recipient_name, member, vars, state, provider, provider_id,
        error;
    int64_t rank, attempts;
    bool optional, urgent;
    ts doubt_until, expires, created, updated;
};
err mail_store_get(struct db_tx *tx, struct arena *mem, sv id, struct mail_row *out) MUST_USE;

struct mail_filter {
    sv state, template, recipient, member; /* SV_NULL = any */
    sv before;
    int64_t n;
};
err mail_store_list(struct db_tx *tx, struct arena *mem, const struct mail_filter *f,
                    struct mail_row **out, size_t *n) MUST_USE;
/* *won = false: the mail moved on meanwhile (an event, another worker). */
err mail_store_begin(struct db_tx *tx, const struct mail_row *m, sv provider, ts now,
                     bool *won) MUST_USE;
struct mail_end {
    enum mail_state state;
    sv provider_id, error;
    ts doubt_until;
};
/* Of the attempt that began with row `m`. */
err mail_store_result(struct db_tx *tx, const struct mail_row *m, const struct mail_end *e,
                      ts now) MUST_USE;
/* Without an attempt. */
err mail_store_state(struct db_tx *tx, const struct mail_row *m, const struct mail_end *e,
                     ts now) MUST_USE;
/* Queues a failed, suppressed or doubtful one again; *queued = false: it is another, or its content
 * is no longer kept. */
err mail_store_queue(struct db_tx *tx, sv id, ts now, bool *queued) MUST_USE;
/* The same with a job, for people. ERR_CONFLICT */
err mail_store_requeue(struct db_tx *tx, struct arena *mem, sv id, ts now) MUST_USE;

err mail_store_suppressed(struct db_tx *tx, struct arena *mem, const struct mail_row *m, sv *reason,
                          bool *found) MUST_USE;
err mail_store_suppress(struct db_tx *tx, sv address, sv scope, sv reason, sv provider,
                        ts now) MUST_USE;
/* A provider takes back what it said up to `at`. */
err mail_store_lift(struct db_tx *tx, sv address, sv scope, sv provider, ts at) MUST_USE;
/* scope SV_NULL: all of them. *found = there was one. */
err mail_store_unsuppress(struct db_tx *tx, sv address, sv scope, bool *found) MUST_USE;
struct mail_suppression {
    sv address, scope, reason, provider;
    ts created;
};
err mail_store_suppressions(struct db_tx *tx, struct arena *mem, sv after, int64_t n,
                            struct mail_suppression **out, size_t *got) MUST_USE;

struct mail_pause {
    sv name, fingerprint, reason;
    ts until, at;
};
err mail_store_pause(struct db_tx *tx, const struct mail_pause *p) MUST_USE;
err mail_store_pauses(struct db_tx *tx, struct arena *mem, struct mail_pause **out,
                      size_t *n) MUST_USE;
err mail_store_resume(struct db_tx *tx, sv name, bool *found) MUST_USE;

struct mail_event {
    sv key; /* of repeats */
    sv email_id, provider_id, provider, type, address, detail;
    ts at;
    struct mail_event_effect effect;
};
/* Stores it once and raises the mail's state; *fresh = false for a repeat. */
err mail_store_event(struct db_tx *tx, struct arena *mem, const struct mail_event *e, ts now,
                     bool *fresh) MUST_USE;
/* Forgets what is no longer needed, a part at a time; *more = there may be more. */
err mail_store_clean(struct db_tx *tx, ts now, bool *more) MUST_USE;
err mail_store_events(struct db_tx *tx, struct arena *mem, sv email_id, struct mail_event **out,
                      size_t *n) MUST_USE;
