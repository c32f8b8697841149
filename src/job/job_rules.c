#include "job/job_rules.h"
#include "base/calendar.h"

#define BACKOFF_FIRST (15 * TS_SECOND)
#define BACKOFF_MOST  (6 * TS_HOUR)

static bool cron_number(sv s, int low, int high, int *out)
{
    int64_t v;
    if (!sv_to_i64(s, &v) || v < low || v > high)
        return false;
    *out = (int)v;
    return true;
}

/* One element of a list: "*", "n", "a-b", each with an optional "/step". */
static bool cron_element(sv s, int low, int high, uint64_t *bits, bool *any)
{
    int from = low, to = high, step = 1;
    sv rest = s, range = sv_cut(&rest, '/');
    if (rest.p && !cron_number(rest, 1, high, &step))
        return false;
    if (sv_is(range, "*")) {
        *any = *any || step == 1;
    } else {
        sv end = range, begin = sv_cut(&end, '-');
        if (!cron_number(begin, low, high, &from))
            return false;
        if (end.p) {
            if (!cron_number(end, from, high, &to))
                return false;
        } else if (!rest.p) {
            to = from;
        }
    }
    for (int i = from; i <= to; i += step)
        *bits |= UINT64_C(1) << i;
    return true;
}

static bool cron_field(sv *text, int low, int high, uint64_t *bits, bool *any)
{
    *text = sv_trim(*text);
    sv field = sv_cut(text, ' ');
    if (sv_empty(field))
        return false;
    *bits = 0;
    *any = false;
    while (field.p) {
        if (!cron_element(sv_cut(&field, ','), low, high, bits, any))
            return false;
    }
    return true;
}

bool cron_parse(sv text, struct cron *out)
{
    struct cron c = {0};
    uint64_t hours, days, months, weekdays;
    bool any;
    if (!cron_field(&text, 0, 59, &c.minutes, &any) || !cron_field(&text, 0, 23, &hours, &any) ||
        !cron_field(&text, 1, 31, &days, &c.any_day) || !cron_field(&text, 1, 12, &months, &any) ||
        !cron_field(&text, 0, 7, &weekdays, &c.any_weekday) || !sv_empty(sv_trim(text)))
        return false;
    if (weekdays & (1u << 7))
        weekdays |= 1;
    c.hours = (uint32_t)hours;
    c.days = (uint32_t)days;
    c.months = (uint32_t)months;
    c.weekdays = (uint32_t)(weekdays & 0x7f);
    *out = c;
    return true;
}

static bool cron_day_matches(const struct cron *c, ts day)
{
    struct civil v = civil_from_ts(day);
    /* 1 January 1970 was a Thursday. */
    int weekday = (int)((day.ms / TS_DAY + 4) % 7);
    bool by_day = c->days & (1u << v.day), by_weekday = c->weekdays & (1u << weekday);
    if (!(c->months & (1u << v.month)))
        return false;
    if (c->any_day || c->any_weekday)
        return by_day && by_weekday;
    return by_day || by_weekday;
}

ts cron_next(const struct cron *c, ts t)
{
    ts at = {(t.ms / TS_MINUTE + 1) * TS_MINUTE};
    ts day = ts_day(at);
    for (int i = 0; i < 5 * 366; i++, day.ms += TS_DAY) {
        if (!cron_day_matches(c, day))
            continue;
        for (int minute = 0; minute < 24 * 60; minute++) {
            ts m = ts_add(day, minute * TS_MINUTE);
            if (m.ms >= at.ms && (c->hours & (1u << (minute / 60))) &&
                (c->minutes & (UINT64_C(1) << (minute % 60))))
                return m;
        }
    }
    return TS_NONE;
}

int64_t job_backoff_ms(int64_t attempt, uint32_t random)
{
    int64_t wait = BACKOFF_FIRST;
    for (int64_t i = 1; i < attempt && wait < BACKOFF_MOST; i++)
        wait *= 2;
    if (wait > BACKOFF_MOST)
        wait = BACKOFF_MOST;
    return wait * (800 + random) / 1000;
}

enum job_outcome job_outcome_decide(const struct job_result *r)
{
    if (r->ok)
        return r->again ? JOB_SNOOZE : JOB_DONE;
    if (r->permanent)
        return JOB_DEAD;
    if (r->stopping)
        return JOB_SNOOZE;
    return r->attempt >= r->max_attempts ? JOB_DEAD : JOB_RETRY;
}

int64_t job_lane(int priority)
{
    return priority < 0 ? -1 : priority > 0 ? 1 : 0;
}

static void rate_refill(struct job_rate *r, int64_t now_us)
{
    double burst = r->per_minute / 60.0 < 1.0 ? 1.0 : r->per_minute / 60.0;
    if (r->at_us == 0)
        r->tokens = burst;
    else
        r->tokens += (double)(now_us - r->at_us) * r->per_minute / 60e6;
    if (r->tokens > burst)
        r->tokens = burst;
    r->at_us = now_us;
}

bool job_rate_take(struct job_rate *r, int64_t now_us)
{
    if (r->per_minute == 0)
        return true;
    rate_refill(r, now_us);
    if (r->tokens < 1.0)
        return false;
    r->tokens -= 1.0;
    return true;
}

int64_t job_rate_wait_ms(struct job_rate *r, int64_t now_us)
{
    if (r->per_minute == 0)
        return 0;
    rate_refill(r, now_us);
    if (r->tokens >= 1.0)
        return 0;
    return (int64_t)((1.0 - r->tokens) * 60e3 / r->per_minute) + 1;
}
