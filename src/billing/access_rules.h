/* Subscription to access: pure rules. SPEC §2. */
#pragma once
#include "base/clock.h"
#include "base/sv.h"

enum sub_status {
    SUB_NONE,
    SUB_TRIALING,
    SUB_ACTIVE,
    SUB_PAST_DUE,
    SUB_UNPAID,
    SUB_PAUSED,
    SUB_INCOMPLETE,
    SUB_INCOMPLETE_EXPIRED,
    SUB_CANCELED,
    SUB_UNKNOWN
};
enum sub_status sub_status_parse(sv s); /* unknown words: SUB_UNKNOWN (no access) */
const char *sub_status_name(enum sub_status s);

struct grace { /* configuration */
    int64_t renewal_ms, past_due_ms;
};

/* What is known of one subscription, from facts alone. TS_NONE = not known. */
struct sub_facts {
    sv id;
    enum sub_status status;
    ts created, period_start, period_end;
    ts trial_start, trial_end;
    ts cancel_at, ended_at;
    bool cancel_at_period_end, collection_paused;
    ts first_failure;   /* first failed attempt of the current past_due */
    bool invoice_known; /* any invoice of it is known */
    ts paid_through;  /* latest end of a period that a paid, not refunded or lost invoice (or trial)
                         covers */
    bool suspended;   /* an open dispute on the invoice that covers now */
    ts revoked_until; /* end of a period revoked by refund/lost dispute that covers now, else
                         TS_NONE */
    ts barred_from;   /* start of the next period that is suspended or revoked, else TS_NONE */
    ts barred_next;   /* when the three above change next by themselves; TS_NONE: never */
    int anchor_day;   /* 1..31: day of month of the billing anchor, UTC */
    ts anchor;        /* time that cycles step from */
};

struct access {
    bool premium;
    bool grace;
    enum sub_status status;
    ts until;                  /* end of access; TS_NONE if none */
    ts cycle_start, cycle_end; /* of allowances; TS_NONE if not premium */
    bool new_slots;   /* false in past_due and renewal grace: the cycle gives no new slots */
    sv subscription;  /* id of the one that counts */
    const char *rule; /* for explain: which row decided, in words */
    ts same_until; /* with the same facts the decision stays as it is before this time (it may stay
                      longer); TS_NONE: for good */
};
struct access access_decide(const struct sub_facts *s, const struct grace *g, ts now);
/* Of several: the best one counts (premium first, then the latest end). */
struct access access_best(const struct sub_facts *s, size_t n, const struct grace *g, ts now);
/* The calendar-month cycle that holds `now`, stepping from anchor by months on anchor_day, never
 * past period_end. */
void cycle_at(ts period_start, ts period_end, ts anchor, int anchor_day, ts now, ts *start,
              ts *end);
