#include "base/calendar.h"
#include "job/job_rules.h"
#include "test.h"

static void cron_table(void **state)
{
    (void)state;
    static const struct {
        const char *every, *after, *next;
    } rows[] = {
        {"0 3 * * *", "2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z"},
        {"0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"},
        {"0 3 * * *", "2026-12-31T03:00:01Z", "2027-01-01T03:00:00Z"},
        {"*/15 * * * *", "2026-01-01T10:07:00Z", "2026-01-01T10:15:00Z"},
        {"* * * * *", "2026-01-01T10:07:59.999Z", "2026-01-01T10:08:00Z"},
        {"30 4 1 * *", "2026-01-15T00:00:00Z", "2026-02-01T04:30:00Z"},
        {"0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
        {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 9 * * 1", "2026-11-29T12:00:00Z", "2026-11-30T09:00:00Z"},
        {"0 9 * * 7", "2026-11-29T08:00:00Z", "2026-11-29T09:00:00Z"},
        {"0 9 * * 0", "2026-11-29T09:00:00Z", "2026-12-06T09:00:00Z"},
        {"0 9 13 * 5", "2026-11-28T12:00:00Z", "2026-12-04T09:00:00Z"}, /* the 13th or a Friday */
        {"0,30 8-10 * * *", "2026-01-01T08:31:00Z", "2026-01-01T09:00:00Z"},
        {"5/20 * * * *", "2026-01-01T08:26:00Z", "2026-01-01T08:45:00Z"},
        {"  1   2  *  *  * ", "2026-01-01T00:00:00Z", "2026-01-01T02:01:00Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cron c;
        ts after, want;
        assert_true(cron_parse(sv_from(rows[i].every), &c));
        assert_true(ts_parse(sv_from(rows[i].after), &after));
        assert_true(ts_parse(sv_from(rows[i].next), &want));
        assert_int_equal(cron_next(&c, after).ms, want.ms);
    }
}

static void cron_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "* * * *",   "60 * * * *",  "* 24 * * *",  "* * 0 * *",   "* * * 13 *",
        "* * * * 8", "x * * * *", "5-3 * * * *", "*/0 * * * *", "* * * * * *", "1,,2 * * * *",
        "-1 * * * *"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cron c;
        assert_false(cron_parse(sv_from(bad[i]), &c));
    }
    struct cron never;
    assert_true(cron_parse(SV("0 0 31 2 *"), &never));
    assert_true(ts_is_none(cron_next(&never, (ts){0})));
}

static void backoff_table(void **state)
{
    (void)state;
    static const struct {
        int64_t attempt;
        uint32_t random;
        int64_t ms;
    } rows[] = {
        {1, 200, 15000},        {1, 0, 12000},
        {1, 400, 18000},        {2, 200, 30000},
        {5, 200, 240000},       {11, 200, 15360000},
        {12, 200, 6 * TS_HOUR}, {1000, 200, 6 * TS_HOUR},
        {1000, 400, 25920000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(job_backoff_ms(rows[i].attempt, rows[i].random), rows[i].ms);
}

static void outcome_table(void **state)
{
    (void)state;
    static const struct {
        struct job_result r;
        enum job_outcome want;
    } rows[] = {
        {{.ok = true}, JOB_DONE},
        {{.ok = true, .again = true}, JOB_SNOOZE},
        {{.ok = false, .attempt = 1, .max_attempts = 20}, JOB_RETRY},
        {{.ok = false, .attempt = 20, .max_attempts = 20}, JOB_DEAD},
        {{.ok = false, .permanent = true, .attempt = 1, .max_attempts = 20}, JOB_DEAD},
        {{.ok = false, .stopping = true, .attempt = 20, .max_attempts = 20}, JOB_SNOOZE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(job_outcome_decide(&rows[i].r), rows[i].want);
    assert_int_equal(job_lane(-7), -1);
    assert_int_equal(job_lane(0), 0);
    assert_int_equal(job_lane(3), 1);
}

static void rate_limits(void **state)
{
    (void)state;
    struct job_rate r = {.per_minute = 120}; /* two a second, burst of two */
    int64_t t = 1000000;
    assert_true(job_rate_take(&r, t));
    assert_true(job_rate_take(&r, t));
    assert_false(job_rate_take(&r, t));
    assert_in_range(job_rate_wait_ms(&r, t), 490, 510);
    assert_true(job_rate_take(&r, t + 510000));
    assert_false(job_rate_take(&r, t + 510000));
    int taken = 0;
    for (int i = 0; i < 600; i++) /* a minute in steps of 0.1 s */
        taken += job_rate_take(&r, t + 1000000 + i * 100000);
    assert_in_range(taken, 118, 123);
    struct job_rate free_rate = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(job_rate_take(&free_rate, t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cron_table),    cmocka_unit_test(cron_refused),
        cmocka_unit_test(backoff_table), cmocka_unit_test(outcome_table),
        cmocka_unit_test(rate_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
