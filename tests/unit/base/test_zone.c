#include "base/calendar.h"
#include "base/zone.h"
#include "test.h"

static void days_end_where_people_live(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *now, *end;
    } cases[] = {
        {"", "2026-11-29T06:00:00Z", "2026-11-30T00:00:00Z"},
        {"UTC", "2026-11-29T23:59:59.999Z", "2026-11-30T00:00:00Z"},
        {"UTC", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
        {"Europe/Berlin", "2026-11-29T22:59:59Z", "2026-11-29T23:00:00Z"},
        {"Europe/Berlin", "2026-11-29T23:00:00Z", "2026-11-30T23:00:00Z"},
        /* the days that the clocks change: 23 and 25 hours */
        {"Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
        {"Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
        {"America/New_York", "2026-07-01T03:59:59Z", "2026-07-01T04:00:00Z"},
        {"Asia/Kathmandu", "2026-07-01T18:14:59Z", "2026-07-01T18:15:00Z"},
        {"Nowhere/Land", "2026-11-29T06:00:00Z", "2026-11-30T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts now;
        char text[TS_TEXT];
        assert_true(ts_parse(sv_from(cases[i].now), &now));
        sv got = ts_text(zone_day_end(sv_from(cases[i].zone), now), text);
        if (!sv_is(got, cases[i].end))
            fail_msg("%s %s: %s, not %s", cases[i].zone, cases[i].now, got.p, cases[i].end);
    }
}

static void names_are_checked(void **state)
{
    (void)state;
    assert_true(zone_valid(SV("Europe/Berlin")) && zone_valid(SV("Etc/GMT+5")));
    assert_false(zone_valid(SV("../etc/passwd")) || zone_valid(SV("/etc/passwd")) ||
                 zone_valid(SV("Europe/Berlin\n")) || zone_valid(SV("Mars/Base")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_end_where_people_live),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
