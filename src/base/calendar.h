/* Calendar arithmetic in UTC, proleptic Gregorian. Source of the month rule: SPEC §2 (31 Jan, 28
 * Feb, 31 Mar: no drift). */
#pragma once
#include "base/arena.h"
#include "base/clock.h"

struct civil {
    int year, month, day; /* month 1..12, day 1..31 */
    int hour, minute, second, ms;
};

struct civil civil_from_ts(ts t);
ts ts_from_civil(struct civil c);
int days_in_month(int year, int month);
/* `months` calendar months after t (may be negative), at the same time of day, on `anchor_day`
 * (1..31) or the month's last day if it is shorter. */
ts ts_add_months(ts t, int months, int anchor_day);
int ts_day_of_month(ts t);

/* "2026-11-29T06:00:00Z" (with ".123" when there are milliseconds). At least 32 bytes. */
#define TS_TEXT 32
sv ts_text(ts t, char out[TS_TEXT]);
/* RFC 3339 with Z or an offset, 0 to 9 fractional digits (cut to ms). False if it is not that. */
bool ts_parse(sv s, ts *out);
/* "Sun, 06 Nov 1994 08:49:37 GMT": HTTP dates (IMF-fixdate). */
bool ts_parse_http(sv s, ts *out);
sv ts_http(ts t, char out[TS_TEXT]);
