/* Calendar rules against the C library's own calendar, for every day from 2000 to 2100. */
#include "base/calendar.h"
#include "test.h"
#include <stdio.h>
#include <time.h>

static void every_day_agrees_with_libc(void **state)
{
    (void)state;
    ts end = ts_from_civil((struct civil){.year = 2101, .month = 1, .day = 1});
    for (ts t = ts_from_civil((struct civil){.year = 2000, .month = 1, .day = 1});
         ts_before(t, end); t = ts_add(t, TS_DAY)) {
        time_t s = (time_t)ts_unix(t);
        struct tm tm;
        gmtime_r(&s, &tm);
        struct civil c = civil_from_ts(t);
        assert_int_equal(c.year, tm.tm_year + 1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(ts_from_civil(c).ms, t.ms);
    }
}

/* Oracle: month arithmetic by mktime's normalisation, shortened to the month's last day. */
static int64_t add_months_by_libc(ts t, int months, int anchor)
{
    time_t s = (time_t)ts_unix(t);
    struct tm tm;
    gmtime_r(&s, &tm);
    tm.tm_mday = 1;
    tm.tm_mon += months;
    time_t first = timegm(&tm);
    struct tm next;
    gmtime_r(&first, &next);
    next.tm_mon += 1;
    time_t after = timegm(&next);
    int last = (int)((after - first) / 86400);
    return ((int64_t)first + (int64_t)((anchor < last ? anchor : last) - 1) * 86400) * 1000;
}

static void months_agree_with_libc(void **state)
{
    (void)state;
    ts end = ts_from_civil((struct civil){.year = 2101, .month = 1, .day = 1});
    for (ts t = ts_from_civil((struct civil){.year = 2000, .month = 1, .day = 1, .hour = 13});
         ts_before(t, end); t = ts_add(t, TS_DAY))
        for (int m = -13; m <= 25; m++) {
            int anchor = ts_day_of_month(t);
            assert_int_equal(ts_add_months(t, m, anchor).ms, add_months_by_libc(t, m, anchor));
        }
}

static void the_anchor_does_not_drift(void **state)
{
    (void)state;
    char text[TS_TEXT];
    ts jan = ts_from_civil((struct civil){.year = 2024, .month = 1, .day = 31, .hour = 9});
    ts feb = ts_add_months(jan, 1, 31), mar = ts_add_months(feb, 1, 31);
    assert_string_equal(ts_text(feb, text).p, "2024-02-29T09:00:00Z");
    assert_string_equal(ts_text(mar, text).p, "2024-03-31T09:00:00Z");
    assert_string_equal(ts_text(ts_add_months(jan, 13, 31), text).p, "2025-02-28T09:00:00Z");
    assert_string_equal(ts_text(ts_add_months(jan, -2, 31), text).p, "2023-11-30T09:00:00Z");
}

static void times_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        const char *same;
    } cases[] = {
        {"2026-11-29T06:00:00Z", true, "2026-11-29T06:00:00Z"},
        {"2026-11-29T06:00:00.1234567Z", true, "2026-11-29T06:00:00.123Z"},
        {"2026-11-29T06:00:00+02:30", true, "2026-11-29T03:30:00Z"},
        {"1969-12-31T23:59:59.999Z", true, "1969-12-31T23:59:59.999Z"},
        {"2026-02-29T06:00:00Z", false, NULL},
        {"2026-11-29T06:00:00", false, NULL},
        {"2026-11-29T24:00:00Z", false, NULL},
        {"2026-11-29T06:00:00.Z", false, NULL},
        {"2026-11-29T06:00:00Zx", false, NULL},
        {"", false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts t;
        char text[TS_TEXT];
        bool good = ts_parse(sv_from(cases[i].text), &t);
        if (good != cases[i].good)
            fail_msg("%s", cases[i].text);
        if (good)
            assert_string_equal(ts_text(t, text).p, cases[i].same);
    }
    ts t;
    assert_true(ts_parse_http(SV("Sun, 06 Nov 1994 08:49:37 GMT"), &t));
    assert_int_equal(ts_unix(t), 784111777);
    char text[TS_TEXT];
    assert_string_equal(ts_http(t, text).p, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_false(ts_parse_http(SV("Sun, 06 Nov 1994 08:49:37"), &t));
    assert_false(ts_parse_http(SV("06 Nov"), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_agrees_with_libc),
        cmocka_unit_test(months_agree_with_libc),
        cmocka_unit_test(the_anchor_does_not_drift),
        cmocka_unit_test(times_are_read_and_written),
    };
    return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
