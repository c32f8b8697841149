/* Time. `ts` is milliseconds since 1970 UTC, a type of its own so that it cannot be mixed with
 * seconds, money or counts.
 *
 * clock_now is the program's clock: with MYBEING_ENV=dev it can be moved (`mybeing dev clock`),
 * else it is the machine's. Rules get their time as a parameter; handlers use r->now. */
#pragma once
#include "base/sv.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct ts {
    int64_t ms;
} ts;

#define TS_NONE   ((ts){INT64_MIN}) /* "no time": SQL NULL */
#define TS_SECOND INT64_C(1000)
#define TS_MINUTE (60 * TS_SECOND)
#define TS_HOUR   (60 * TS_MINUTE)
#define TS_DAY    (24 * TS_HOUR)

static inline bool ts_is_none(ts t)
{
    return t.ms == INT64_MIN;
}
static inline bool ts_before(ts a, ts b)
{
    return a.ms < b.ms;
}
static inline ts ts_add(ts t, int64_t ms)
{
    return ts_is_none(t) ? t : (ts){t.ms + ms};
}
/* The beginning of its UTC day; times since 1970. */
static inline ts ts_day(ts t)
{
    return (ts){t.ms - t.ms % TS_DAY};
}
static inline ts ts_min(ts a, ts b)
{
    return a.ms < b.ms ? a : b;
}
static inline ts ts_max(ts a, ts b)
{
    return a.ms > b.ms ? a : b;
}
/* Of times at which something changes, the first after `now`: `next` as found so far (TS_NONE:
 * none), and t. */
static inline ts ts_next(ts next, ts t, ts now)
{
    bool later = !ts_before(now, t) || (!ts_is_none(next) && !ts_before(t, next));
    return later ? next : t;
}
/* Unix seconds, Stripe's unit. */
static inline ts ts_from_unix(int64_t s)
{
    return (ts){s * 1000};
}
static inline int64_t ts_unix(ts t)
{
    return t.ms / 1000;
}

ts clock_now(void);          /* the program's clock */
ts clock_wall(void);         /* the machine's clock, never moved: signatures, session age */
int64_t clock_mono_us(void); /* monotonic microseconds: durations, deadlines */
/* Moves the program's clock: milliseconds ahead of the machine's. Thread-safe. */
void clock_set_offset(int64_t ms);
int64_t clock_offset(void);
