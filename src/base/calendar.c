#include "base/calendar.h"

#include <assert.h>
#include <stdio.h>

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a civil date: years start in March, so that the leap day is the last. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, struct civil *out)
{
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t mp = (5 * day_of_year + 2) / 153;
    out->day = (int)(day_of_year - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = (int)(year_of_era + era * 400 + (out->month <= 2));
}

struct civil civil_from_ts(ts t)
{
    struct civil c;
    int64_t days = floor_div(t.ms, TS_DAY);
    int64_t rest = t.ms - days * TS_DAY;
    date_from_days(days, &c);
    c.hour = (int)(rest / TS_HOUR);
    c.minute = (int)(rest / TS_MINUTE % 60);
    c.second = (int)(rest / TS_SECOND % 60);
    c.ms = (int)(rest % TS_SECOND);
    return c;
}

ts ts_from_civil(struct civil c)
{
    return (ts){days_from_date(c.year, c.month, c.day) * TS_DAY + c.hour * TS_HOUR +
                c.minute * TS_MINUTE + c.second * TS_SECOND + c.ms};
}

int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    assert(month >= 1 && month <= 12);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

ts ts_add_months(ts t, int months, int anchor_day)
{
    assert(anchor_day >= 1 && anchor_day <= 31);
    struct civil c = civil_from_ts(t);
    int64_t index = (int64_t)c.year * 12 + c.month - 1 + months;
    c.year = (int)floor_div(index, 12);
    c.month = (int)(index - (int64_t)c.year * 12) + 1;
    int last = days_in_month(c.year, c.month);
    c.day = anchor_day < last ? anchor_day : last;
    return ts_from_civil(c);
}

int ts_day_of_month(ts t)
{
    return civil_from_ts(t).day;
}

/* Two digits and what stands behind them. */
static char *put2(char *to, int v, char after)
{
    to[0] = (char)('0' + v / 10);
    to[1] = (char)('0' + v % 10);
    to[2] = after;
    return to + 3;
}

sv ts_text(ts t, char out[TS_TEXT])
{
    struct civil c = civil_from_ts(t);
    if (c.year < 0 || c.year > 9999) { /* RFC 3339 knows no such year; kept readable */
        int n = snprintf(out, TS_TEXT, "%d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day,
                         c.hour, c.minute, c.second);
        return (sv){out, n < TS_TEXT ? (size_t)n : TS_TEXT - 1};
    }
    char *to = put2(out, c.year / 100, '0') - 1;
    to = put2(to, c.year % 100, '-');
    to = put2(to, c.month, '-');
    to = put2(to, c.day, 'T');
    to = put2(to, c.hour, ':');
    to = put2(to, c.minute, ':');
    to = put2(to, c.second, c.ms ? '.' : 'Z');
    if (c.ms) {
        *to++ = (char)('0' + c.ms / 100);
        to = put2(to, c.ms % 100, 'Z');
    }
    *to = '\0';
    return (sv){out, (size_t)(to - out)};
}

/* Reads exactly `width` digits at *s. */
static bool digits(sv *s, size_t width, int *out)
{
    if (s->n < width)
        return false;
    int v = 0;
    for (size_t i = 0; i < width; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = (sv){s->p + width, s->n - width};
    *out = v;
    return true;
}

static bool one_char(sv *s, const char *any_of)
{
    if (s->n == 0 || s->p[0] == '\0' || strchr(any_of, s->p[0]) == NULL)
        return false;
    *s = (sv){s->p + 1, s->n - 1};
    return true;
}

static bool fraction(sv *s, int *ms)
{
    *ms = 0;
    if (!one_char(s, "."))
        return true;
    size_t n = 0;
    int scale = 100;
    for (int d; n < 9 && digits(s, 1, &d); n++, scale /= 10)
        *ms += d * scale;
    return n > 0;
}

static bool offset(sv *s, int64_t *out)
{
    *out = 0;
    if (one_char(s, "Zz"))
        return true;
    bool west = s->n > 0 && s->p[0] == '-';
    int hours, minutes;
    if (!one_char(s, "+-") || !digits(s, 2, &hours) || !one_char(s, ":") || !digits(s, 2, &minutes))
        return false;
    *out = (hours * TS_HOUR + minutes * TS_MINUTE) * (west ? -1 : 1);
    return hours <= 23 && minutes <= 59;
}

static bool civil_valid(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month) && c->hour <= 23 && c->minute <= 59 &&
           c->second <= 59;
}

bool ts_parse(sv s, ts *out)
{
    struct civil c = {0};
    int64_t off;
    if (!digits(&s, 4, &c.year) || !one_char(&s, "-") || !digits(&s, 2, &c.month) ||
        !one_char(&s, "-") || !digits(&s, 2, &c.day) || !one_char(&s, "Tt ") ||
        !digits(&s, 2, &c.hour) || !one_char(&s, ":") || !digits(&s, 2, &c.minute) ||
        !one_char(&s, ":") || !digits(&s, 2, &c.second) || !fraction(&s, &c.ms) ||
        !offset(&s, &off) || s.n != 0 || !civil_valid(&c))
        return false;
    *out = (ts){ts_from_civil(c).ms - off};
    return true;
}

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */

bool ts_parse_http(sv s, ts *out)
{
    struct civil c = {0};
    if (s.n < 8 || s.p[3] != ',' || s.p[4] != ' ')
        return false;
    s = (sv){s.p + 5, s.n - 5};
    if (!digits(&s, 2, &c.day) || !one_char(&s, " ") || s.n < 4)
        return false;
    for (int m = 0; m < 12 && c.month == 0; m++)
        if (memcmp(s.p, month_names + m * 3, 3) == 0)
            c.month = m + 1;
    s = (sv){s.p + 3, s.n - 3};
    if (!one_char(&s, " ") || !digits(&s, 4, &c.year) || !one_char(&s, " ") ||
        !digits(&s, 2, &c.hour) || !one_char(&s, ":") || !digits(&s, 2, &c.minute) ||
        !one_char(&s, ":") || !digits(&s, 2, &c.second) || !sv_is(s, " GMT") || !civil_valid(&c))
        return false;
    *out = ts_from_civil(c);
    return true;
}

sv ts_http(ts t, char out[TS_TEXT])
{
    struct civil c = civil_from_ts(t);
    int64_t weekday = floor_div(t.ms, TS_DAY) % 7;
    if (weekday < 0)
        weekday += 7;
    int n =
        snprintf(out, TS_TEXT, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", day_names + weekday * 3,
                 c.day, month_names + (c.month - 1) * 3, c.year, c.hour, c.minute, c.second);
    return (sv){out, n < TS_TEXT ? (size_t)n : TS_TEXT - 1};
}
