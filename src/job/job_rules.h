/* Decisions of the queue: pure. SPEC §1. */
#pragma once
#include "base/clock.h"
#include "base/sv.h"

/* A schedule: five fields in UTC (minute hour day month weekday); "*", numbers, ranges, lists,
 * steps. Weekday 0 and 7 are Sunday; if day and weekday are both restricted, either matches. */
struct cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday;
};
bool cron_parse(sv text, struct cron *out);
/* The first matching minute after t; TS_NONE if there is none within five years ("0 0 31 2 *"). */
ts cron_next(const struct cron *c, ts t);

/* Wait before attempt n+1: 15 s * 2^(n-1), at most 6 h, +-20 %. `random` in 0..400. */
int64_t job_backoff_ms(int64_t attempt, uint32_t random);

enum job_outcome { JOB_DONE, JOB_SNOOZE, JOB_RETRY, JOB_DEAD };
struct job_result {
    bool ok, again, permanent; /* `again`: job_again was called */
    bool stopping;             /* the error is that the process stops */
    int64_t attempt, max_attempts;
};
enum job_outcome job_outcome_decide(const struct job_result *r);
/* -1, 0, 1: three lanes, each claimed in order of run_at. */
int64_t job_lane(int priority);

/* A rate per minute as a token bucket; the burst is a second's worth, at least one. */
struct job_rate {
    int per_minute; /* 0: no limit */
    double tokens;
    int64_t at_us;
};
bool job_rate_take(struct job_rate *r, int64_t now_us);
/* Milliseconds until a token is there (0: now). */
int64_t job_rate_wait_ms(struct job_rate *r, int64_t now_us);
