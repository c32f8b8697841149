/* SPEC §2, "Subscription to access": each row and each edge, to the second. */
#include "base/calendar.h"
#include "billing/access_rules.h"
#include "test.h"
#include <stdio.h>
#include <string.h>

static const struct grace grace = {72 * TS_HOUR, 14 * TS_DAY};

static int rnd(int below)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (int)((x >> 20) % (uint64_t)below);
}

static ts at(int month, int day)
{
    return ts_from_civil((struct civil){.year = 2026, .month = month, .day = day, .hour = 9});
}

/* A subscription of which the months January to March are known: paid to 1 March. */
static struct sub_facts sub(enum sub_status status)
{
    return (struct sub_facts){.id = SV("sub_1"),
                              .status = status,
                              .created = at(1, 1),
                              .period_start = at(2, 1),
                              .period_end = at(3, 1),
                              .trial_start = TS_NONE,
                              .trial_end = TS_NONE,
                              .cancel_at = TS_NONE,
                              .ended_at = TS_NONE,
                              .first_failure = TS_NONE,
                              .invoice_known = true,
                              .paid_through = at(3, 1),
                              .revoked_until = TS_NONE,
                              .barred_from = TS_NONE,
                              .anchor_day = 1,
                              .anchor = at(1, 1)};
}

static void ends(struct sub_facts s, ts end, bool flagged)
{
    struct access before = access_decide(&s, &grace, (ts){end.ms - TS_SECOND});
    assert_true(before.premium);
    assert_int_equal(before.until.ms, end.ms);
    assert_int_equal(before.grace, flagged);
    assert_true(access_decide(&s, &grace, (ts){end.ms - 1}).premium);
    struct access after = access_decide(&s, &grace, end);
    assert_false(after.premium);
    assert_false(after.grace);
    assert_true(ts_is_none(after.until));
    assert_false(access_decide(&s, &grace, (ts){end.ms + TS_SECOND}).premium);
}

static void never(struct sub_facts s)
{
    for (int month = 1; month <= 12; month++)
        for (int day = 1; day <= 28; day++)
            assert_false(access_decide(&s, &grace, at(month, day)).premium);
}

static void statuses_with_access(void **state)
{
    (void)state;
    ends(sub(SUB_ACTIVE), at(3, 4), false);
    ends(sub(SUB_TRIALING), at(3, 4), false);
    struct sub_facts s = sub(SUB_ACTIVE);
    s.paid_through = at(2, 10); /* earlier than its period */
    ends(s, at(2, 13), false);
    s.invoice_known = false; /* then its own period counts */
    s.paid_through = TS_NONE;
    ends(s, at(3, 4), false);
    s = sub(SUB_TRIALING);
    s.invoice_known = true;
    s.paid_through = TS_NONE;
    s.trial_end = at(3, 1);
    ends(s, at(3, 4), false);
}

/* March is paid, but the news of the subscription never came: what is paid counts, and its cycle.
 */
static void paid_before_the_renewal_is_told(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_ACTIVE);
    s.paid_through = at(4, 1);
    ends(s, at(4, 4), false);
    struct access a = access_decide(&s, &grace, at(3, 20));
    assert_int_equal(a.cycle_start.ms, at(3, 1).ms);
    assert_int_equal(a.cycle_end.ms, at(4, 1).ms);
    assert_true(a.new_slots);
    s.collection_paused = true; /* until the last paid period ends */
    ends(s, at(4, 1), false);
}

static void statuses_without_access(void **state)
{
    (void)state;
    static const enum sub_status none[] = {SUB_NONE,       SUB_UNPAID,   SUB_PAUSED,
                                           SUB_INCOMPLETE, SUB_CANCELED, SUB_INCOMPLETE_EXPIRED,
                                           SUB_UNKNOWN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        never(sub(none[i]));
    struct sub_facts s = sub(SUB_ACTIVE);
    s.paid_through = TS_NONE; /* an invoice is known and none is paid */
    never(s);
}

static void past_due(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_PAST_DUE);
    s.first_failure = at(2, 1);
    ends(s, at(2, 15), true);
    s.paid_through = at(2, 1);
    s.first_failure = at(2, 5); /* the paid time ends before */
    ends(s, at(2, 15), true);
    s.invoice_known = false;
    s.paid_through = TS_NONE;
    ends(s, at(2, 19), true);
    s.cancel_at = at(8, 1);
    ends(s, at(2, 19), true);
    s.cancel_at = at(2, 7);
    ends(s, at(2, 7), true);
}

static void cancelled_ahead(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_ACTIVE);
    s.cancel_at_period_end = true;
    ends(s, at(3, 1), false);
    s = sub(SUB_ACTIVE);
    s.cancel_at = at(2, 20);
    ends(s, at(2, 20), false);
    s.cancel_at = at(8, 20); /* renewals come before: the earliest end holds */
    ends(s, at(3, 4), false);
    s = sub(SUB_ACTIVE);
    s.ended_at = at(2, 12);
    ends(s, at(2, 12), false);
}

static void paused_collection(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_ACTIVE);
    s.collection_paused = true;
    ends(s, at(3, 1), false);
    s.period_end = at(4, 1); /* the next period is not collected */
    s.period_start = at(3, 1);
    ends(s, at(3, 1), false);
}

static void refunds_and_disputes(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_ACTIVE);
    s.suspended = true;
    assert_false(access_decide(&s, &grace, at(2, 10)).premium);
    s.suspended = false;
    s.revoked_until = at(2, 10);
    assert_false(access_decide(&s, &grace, (ts){at(2, 10).ms - 1}).premium);
    assert_true(access_decide(&s, &grace, at(2, 10)).premium);
    s = sub(SUB_ACTIVE);
    s.barred_from = at(2, 9);
    ends(s, at(2, 9), false);
}

static void best_of_several(void **state)
{
    (void)state;
    struct sub_facts s[3] = {sub(SUB_CANCELED), sub(SUB_ACTIVE), sub(SUB_PAST_DUE)};
    s[1].id = SV("sub_2");
    s[2].id = SV("sub_3");
    s[2].first_failure = at(2, 2);
    for (int i = 0; i < 3; i++) {
        struct access a = access_best(s, 3, &grace, at(2, 10));
        assert_true(a.premium);
        assert_true(sv_is(a.subscription, "sub_2"));
        struct sub_facts first = s[0];
        s[0] = s[1];
        s[1] = s[2];
        s[2] = first;
    }
    struct access none = access_best(s, 0, &grace, at(2, 10));
    assert_false(none.premium);
    assert_int_equal(none.status, SUB_NONE);
    struct access late = access_best(s, 3, &grace, at(9, 1));
    assert_false(late.premium);
    assert_int_equal(late.status, SUB_ACTIVE);
}

static void slots_need_a_paid_period(void **state)
{
    (void)state;
    struct sub_facts s = sub(SUB_ACTIVE);
    assert_true(access_decide(&s, &grace, (ts){at(3, 1).ms - 1}).new_slots);
    assert_false(access_decide(&s, &grace, at(3, 1)).new_slots);
    s.period_start = at(3, 1); /* the renewal is announced, its invoice not yet paid */
    s.period_end = at(4, 1);
    struct access a = access_decide(&s, &grace, at(3, 2));
    assert_true(a.premium);
    assert_false(a.new_slots);
    s.paid_through = at(4, 1);
    assert_true(access_decide(&s, &grace, at(3, 2)).new_slots);
    s = sub(SUB_PAST_DUE);
    s.first_failure = at(2, 1);
    assert_false(access_decide(&s, &grace, at(2, 2)).new_slots);
    s.first_failure = at(2, 10);
    assert_true(access_decide(&s, &grace, at(2, 11)).new_slots);
}

/* Oracle: walk the days from the anchor; a cycle begins on the anchor day or the month's last. */
static void cycles_agree_with_a_walk_over_days(void **state)
{
    (void)state;
    for (int day = 1; day <= 31; day++) {
        struct civil c = {.year = 2000, .month = 1, .day = day};
        ts anchor = ts_from_civil(c), start = anchor;
        int month_days = 31;
        c.day++;
        for (ts t = anchor;
             t.ms < ts_from_civil((struct civil){.year = 2101, .month = 1, .day = 1}).ms;
             t = ts_add(t, TS_DAY)) {
            struct civil now = civil_from_ts(t);
            month_days = days_in_month(now.year, now.month);
            if (now.day == (day < month_days ? day : month_days))
                start = t;
            ts from, to;
            cycle_at(anchor, TS_NONE, anchor, day, t, &from, &to);
            assert_int_equal(from.ms, start.ms);
            assert_true(t.ms < to.ms);
            struct civil e = civil_from_ts(to);
            int last = days_in_month(e.year, e.month);
            assert_int_equal(e.day, day < last ? day : last);
        }
    }
}

static void cycles_stay_inside_the_period(void **state)
{
    (void)state;
    ts from, to;
    ts jan31 = ts_from_civil((struct civil){.year = 2026, .month = 1, .day = 31});
    ts feb28 = ts_from_civil((struct civil){.year = 2026, .month = 2, .day = 28});
    ts mar31 = ts_from_civil((struct civil){.year = 2026, .month = 3, .day = 31});
    cycle_at(feb28, mar31, jan31, 31, feb28, &from, &to);
    assert_int_equal(from.ms, feb28.ms);
    assert_int_equal(to.ms, mar31.ms);
    cycle_at(feb28, mar31, TS_NONE, 0, (ts){mar31.ms - 1}, &from, &to); /* no anchor known */
    assert_int_equal(to.ms, mar31.ms);
    /* in renewal grace: still the last cycle of the period */
    cycle_at(feb28, mar31, jan31, 31, ts_add(mar31, TS_DAY), &from, &to);
    assert_int_equal(from.ms, feb28.ms);
    assert_int_equal(to.ms, mar31.ms);
    /* a trial of a week whose anchor is its end */
    cycle_at(at(2, 1), at(2, 8), at(2, 8), 8, at(2, 3), &from, &to);
    assert_int_equal(from.ms, at(2, 1).ms);
    assert_int_equal(to.ms, at(2, 8).ms);
    /* a year */
    ts next = ts_from_civil((struct civil){.year = 2027, .month = 1, .day = 31});
    cycle_at(jan31, next, jan31, 31, ts_add(feb28, TS_DAY), &from, &to);
    assert_int_equal(from.ms, feb28.ms);
    assert_int_equal(to.ms, mar31.ms);
    /* periods of 30 days that leave their anchor */
    cycle_at(at(1, 31), at(3, 2), at(1, 1), 1, at(2, 3), &from, &to);
    assert_int_equal(from.ms, at(1, 31).ms);
    cycle_at(TS_NONE, TS_NONE, TS_NONE, 0, at(2, 3), &from, &to);
    assert_true(ts_is_none(from));
}

/* -------- how long a decision stays -------- */

static ts some_time(void)
{
    return rnd(4) == 0 ? TS_NONE : at(1 + rnd(6), 1 + rnd(28));
}

static struct sub_facts some_facts(void)
{
    struct sub_facts s = sub((enum sub_status)rnd(SUB_UNKNOWN + 1));
    if (rnd(3) > 0)
        s.status = rnd(3) > 0 ? SUB_ACTIVE : SUB_PAST_DUE;
    ts *times[] = {&s.period_start, &s.period_end,    &s.trial_end,   &s.cancel_at,    &s.ended_at,
                   &s.paid_through, &s.revoked_until, &s.barred_from, &s.first_failure};
    for (int k = rnd(6); k > 0; k--)
        *times[rnd(sizeof times / sizeof *times)] = some_time();
    s.anchor = rnd(4) == 0 ? TS_NONE : at(1 + rnd(3), 1 + rnd(28));
    s.anchor_day = ts_is_none(s.anchor) ? 0 : ts_day_of_month(s.anchor);
    s.cancel_at_period_end = rnd(4) == 0;
    s.collection_paused = rnd(4) == 0;
    s.invoice_known = rnd(4) > 0;
    s.suspended = rnd(8) == 0;
    s.barred_next = TS_NONE;
    return s;
}

static void same(const struct access *a, const struct access *b)
{
    assert_int_equal(a->premium, b->premium);
    assert_int_equal(a->grace, b->grace);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->until.ms, b->until.ms);
    assert_int_equal(a->cycle_start.ms, b->cycle_start.ms);
    assert_int_equal(a->cycle_end.ms, b->cycle_end.ms);
    assert_int_equal(a->new_slots, b->new_slots);
    assert_true(sv_eq(a->subscription, b->subscription));
    assert_string_equal(a->rule, b->rule);
    assert_int_equal(a->same_until.ms, b->same_until.ms);
}

/* Half a year hour by hour: nothing changes before it was said to. And it is not said for nothing
 * each time. */
static void decisions_stay_until_they_say(void **state)
{
    (void)state;
    int changes = 0, told = 0;
    for (int round = 0; round < 400; round++) {
        struct sub_facts s[3];
        size_t n = (size_t)rnd(4);
        for (size_t i = 0; i < n; i++)
            s[i] = some_facts();
        ts now = at(1, 1);
        struct access last = access_best(s, n, &grace, now);
        for (now = ts_add(now, TS_HOUR); ts_before(now, at(7, 20)); now = ts_add(now, TS_HOUR)) {
            struct access a = access_best(s, n, &grace, now);
            assert_true(ts_is_none(a.same_until) || ts_before(now, a.same_until));
            if (ts_is_none(last.same_until) || ts_before(now, last.same_until)) {
                same(&last, &a);
                ts eve = ts_add(last.same_until, -1);
                if (ts_before(now, eve)) {
                    struct access at_eve = access_best(s, n, &grace, eve);
                    same(&last, &at_eve);
                }
            } else {
                told++;
                changes += a.premium != last.premium || a.cycle_end.ms != last.cycle_end.ms ||
                           a.new_slots != last.new_slots;
            }
            last = a;
        }
    }
    assert_true(told > 1000 && changes > 200 && changes < told);
}

static void status_words(void **state)
{
    (void)state;
    static const char *const words[] = {"trialing", "active",     "past_due",           "unpaid",
                                        "paused",   "incomplete", "incomplete_expired", "canceled"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(sub_status_name(sub_status_parse(sv_from(words[i]))), words[i]);
    assert_int_equal(sub_status_parse(SV("none")), SUB_UNKNOWN);
    assert_int_equal(sub_status_parse(SV("frozen")), SUB_UNKNOWN);
    assert_int_equal(sub_status_parse(SV_NULL), SUB_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_with_access),
        cmocka_unit_test(paid_before_the_renewal_is_told),
        cmocka_unit_test(statuses_without_access),
        cmocka_unit_test(past_due),
        cmocka_unit_test(cancelled_ahead),
        cmocka_unit_test(paused_collection),
        cmocka_unit_test(refunds_and_disputes),
        cmocka_unit_test(best_of_several),
        cmocka_unit_test(slots_need_a_paid_period),
        cmocka_unit_test(cycles_agree_with_a_walk_over_days),
        cmocka_unit_test(cycles_stay_inside_the_period),
        cmocka_unit_test(decisions_stay_until_they_say),
        cmocka_unit_test(status_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
