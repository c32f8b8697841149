#include "billing/access_rules.h"

#include "base/calendar.h"

#include <assert.h>

static const struct {
    const char *name;
    int rank; /* which status to show when none gives access: the one closest to it */
} statuses[] = {
    [SUB_NONE] = {"none", 0},
    [SUB_TRIALING] = {"trialing", 9},
    [SUB_ACTIVE] = {"active", 9},
    [SUB_PAST_DUE] = {"past_due", 8},
    [SUB_UNPAID] = {"unpaid", 7},
    [SUB_PAUSED] = {"paused", 6},
    [SUB_INCOMPLETE] = {"incomplete", 5},
    [SUB_UNKNOWN] = {"unknown", 4},
    [SUB_CANCELED] = {"canceled", 3},
    [SUB_INCOMPLETE_EXPIRED] = {"incomplete_expired", 2},
};
enum { STATUS_COUNT = sizeof statuses / sizeof *statuses };

enum sub_status sub_status_parse(sv s)
{
    for (int i = SUB_TRIALING; i < SUB_UNKNOWN; i++)
        if (sv_is(s, statuses[i].name))
            return (enum sub_status)i;
    return SUB_UNKNOWN;
}

const char *sub_status_name(enum sub_status s)
{
    assert((unsigned)s < STATUS_COUNT);
    return statuses[s].name;
}

/* -------- cycles -------- */

static int months_between(ts from, ts to)
{
    struct civil a = civil_from_ts(from), b = civil_from_ts(to);
    return (b.year - a.year) * 12 + b.month - a.month;
}

/* A period starts on a step of its anchor. Trials, short first periods and weekly plans do not:
 * those step from their own start. */
static bool on_step(ts anchor, int day, ts start)
{
    return ts_add_months(anchor, months_between(anchor, start), day).ms == start.ms;
}

void cycle_at(ts period_start, ts period_end, ts anchor, int anchor_day, ts now, ts *start, ts *end)
{
    if (ts_is_none(period_start))
        period_start = anchor;
    if (ts_is_none(period_start)) {
        *start = *end = TS_NONE;
        return;
    }
    if (anchor_day < 1 || anchor_day > 31)
        anchor_day = ts_day_of_month(ts_is_none(anchor) ? period_start : anchor);
    if (ts_is_none(anchor) || !on_step(anchor, anchor_day, period_start)) {
        if (!on_step(period_start, anchor_day, period_start))
            anchor_day = ts_day_of_month(period_start);
        anchor = period_start;
    }
    bool bounded = !ts_is_none(period_end) && ts_before(period_start, period_end);
    ts t = ts_max(now, period_start);
    if (bounded)
        t = ts_min(t, (ts){period_end.ms - 1});
    int k = months_between(anchor, t);
    ts from = ts_add_months(anchor, k, anchor_day);
    if (ts_before(t, from))
        from = ts_add_months(anchor, --k, anchor_day);
    ts to = ts_add_months(anchor, k + 1, anchor_day);
    *start = ts_max(from, period_start);
    *end = bounded ? ts_min(to, period_end) : to;
}

/* -------- access -------- */

struct bound {
    ts until;
    const char *rule;
};

/* The earliest end holds; an unknown time bounds nothing. */
static void cap(struct bound *b, ts t, const char *rule)
{
    if (ts_is_none(t) || (!ts_is_none(b->until) && !ts_before(t, b->until)))
        return;
    b->until = t;
    b->rule = rule;
}

/* Paid through, by the facts; TS_NONE = nothing was paid. */
static ts paid_through(const struct sub_facts *s)
{
    bool own = s->status == SUB_ACTIVE || s->status == SUB_TRIALING;
    ts paid = s->paid_through;
    if (!s->invoice_known && own)
        paid = ts_is_none(paid) ? s->period_end : ts_max(paid, s->period_end);
    if (!ts_is_none(s->trial_end))
        paid = ts_is_none(paid) ? s->trial_end : ts_max(paid, s->trial_end);
    return paid;
}

static struct bound bound_active(const struct sub_facts *s, const struct grace *g, ts paid)
{
    struct bound b = {TS_NONE, "status gives access"};
    if (s->collection_paused)
        cap(&b, ts_is_none(paid) ? s->period_end : paid,
            "collection is paused: until the last paid period ends");
    else if (ts_is_none(paid) || paid.ms == s->period_end.ms)
        cap(&b, ts_add(s->period_end, g->renewal_ms),
            "until the period's end and the renewal grace");
    else /* the news of the subscription or of its invoice may come late: what is paid counts */
        cap(&b, ts_add(paid, g->renewal_ms), "until the paid time's end and the renewal grace");
    return b;
}

static struct bound bound_past_due(const struct sub_facts *s, const struct grace *g, ts paid)
{
    struct bound b = {TS_NONE, "past due"};
    cap(&b, ts_add(s->first_failure, g->past_due_ms),
        "past due: days after the first failed attempt");
    if (ts_is_none(paid)) /* no invoice known: it cannot be paid longer than its own period */
        paid = s->period_end;
    cap(&b, ts_add(paid, g->past_due_ms), "past due: days after the paid time's end");
    if (s->collection_paused)
        cap(&b, paid, "collection is paused: until the last paid period ends");
    return b;
}

static const char *barred(const struct sub_facts *s, ts paid, ts now)
{
    if (s->suspended)
        return "suspended by an open dispute about this period";
    if (!ts_is_none(s->revoked_until) && ts_before(now, s->revoked_until))
        return "this period was refunded or lost in a dispute";
    if (s->invoice_known && ts_is_none(paid))
        return "no invoice of it is paid";
    return NULL;
}

static bool new_slots(const struct sub_facts *s, ts paid, ts cycle_start, ts now)
{
    if (ts_is_none(paid) || !ts_before(now, paid))
        return false;
    if (s->status != SUB_PAST_DUE)
        return true;
    /* A cycle that began before the trouble keeps its slots. */
    return !ts_is_none(s->first_failure) && ts_before(cycle_start, s->first_failure);
}

/* The subscription's own period; after it, what was paid already although nobody told us of the
 * renewal. */
static void period_now(const struct sub_facts *s, ts paid, ts now, ts *start, ts *end)
{
    *start = ts_is_none(s->period_start) ? s->created : s->period_start;
    *end = s->period_end;
    if (ts_is_none(*end) || ts_is_none(paid) || ts_before(now, *end) || !ts_before(*end, paid))
        return;
    *start = *end;
    *end = paid;
}

static struct access decide(const struct sub_facts *s, const struct grace *g, ts paid, ts now)
{
    struct access a = {.status = s->status,
                       .until = TS_NONE,
                       .cycle_start = TS_NONE,
                       .cycle_end = TS_NONE,
                       .subscription = s->id};
    struct bound b;
    if (s->status == SUB_ACTIVE || s->status == SUB_TRIALING) {
        b = bound_active(s, g, paid);
    } else if (s->status == SUB_PAST_DUE) {
        b = bound_past_due(s, g, paid);
    } else {
        a.rule = s->status == SUB_NONE ? "no subscription" : "the status gives no access";
        return a;
    }
    a.rule = barred(s, paid, now);
    if (a.rule)
        return a;
    if (s->cancel_at_period_end)
        cap(&b, s->period_end, "cancelled at the period's end");
    cap(&b, s->cancel_at, "cancelled at a set time");
    cap(&b, s->ended_at, "ended");
    cap(&b, s->barred_from, "the next period is suspended or revoked");
    a.rule = b.rule;
    if (ts_is_none(b.until) || !ts_before(now, b.until))
        return a;
    a.premium = true;
    a.until = b.until;
    a.grace = s->status == SUB_PAST_DUE;
    ts start, end;
    period_now(s, paid, now, &start, &end);
    cycle_at(start, end, s->anchor, s->anchor_day, now, &a.cycle_start, &a.cycle_end);
    a.new_slots = new_slots(s, paid, a.cycle_start, now);
    return a;
}

/* Every time that a rule above compares with `now` is one of the facts', or one of these and its
 * grace; the cycle ends by itself. */
static ts next_change(const struct sub_facts *s, const struct grace *g, ts paid, ts cycle_end,
                      ts now)
{
    const ts times[] = {s->period_start,
                        s->period_end,
                        ts_add(s->period_end, g->renewal_ms),
                        ts_add(s->period_end, g->past_due_ms),
                        paid,
                        ts_add(paid, g->renewal_ms),
                        ts_add(paid, g->past_due_ms),
                        s->first_failure,
                        ts_add(s->first_failure, g->past_due_ms),
                        s->cancel_at,
                        s->ended_at,
                        s->revoked_until,
                        s->barred_from,
                        s->barred_next,
                        cycle_end};
    ts next = TS_NONE;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        next = ts_next(next, times[i], now);
    return next;
}

struct access access_decide(const struct sub_facts *s, const struct grace *g, ts now)
{
    ts paid = paid_through(s);
    struct access a = decide(s, g, paid, now);
    a.same_until = next_change(s, g, paid, a.cycle_end, now);
    return a;
}

/* Total, so that the answer does not depend on the order of rows. */
static bool better(const struct access *a, const struct sub_facts *fa, const struct access *b,
                   const struct sub_facts *fb)
{
    if (a->premium != b->premium)
        return a->premium;
    if (a->premium && a->until.ms != b->until.ms)
        return a->until.ms > b->until.ms;
    if (a->premium && a->grace != b->grace)
        return b->grace;
    if (statuses[a->status].rank != statuses[b->status].rank)
        return statuses[a->status].rank > statuses[b->status].rank;
    if (fa->created.ms != fb->created.ms)
        return fa->created.ms > fb->created.ms;
    return sv_cmp(fa->id, fb->id) < 0;
}

struct access access_best(const struct sub_facts *s, size_t n, const struct grace *g, ts now)
{
    static const struct access none = {.status = SUB_NONE,
                                       .until = TS_NONE,
                                       .cycle_start = TS_NONE,
                                       .cycle_end = TS_NONE,
                                       .rule = "no subscription",
                                       .same_until = TS_NONE};
    if (n == 0)
        return none;
    struct access best = access_decide(&s[0], g, now);
    ts same = best.same_until;
    size_t at = 0;
    for (size_t i = 1; i < n; i++) {
        struct access a = access_decide(&s[i], g, now);
        same = ts_next(same, a.same_until, now);
        if (better(&a, &s[i], &best, &s[at])) {
            best = a;
            at = i;
        }
    }
    best.same_until = same;
    return best;
}
