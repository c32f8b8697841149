#include "base/zone.h"
#include "base/calendar.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ZONE_MAX 64

/* The C library reads zones only through TZ. It gets one buffer of ours, once; its content changes
 * under the lock, so the environment itself is never touched again. Nothing else in the program
 * asks for local time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char setting[3 + 1 + ZONE_MAX] = "TZ=:UTC";
static bool installed;

bool zone_valid(sv name)
{
    if (name.n == 0)
        return true;
    if (name.n >= ZONE_MAX || name.p[0] == '/' || sv_contains(name, SV("..")))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && strchr("/_+-", c) == NULL)
            return false;
    }
    char path[32 + ZONE_MAX];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", SV_ARG(name));
    return access(path, R_OK) == 0;
}

static ts utc_day_end(ts now)
{
    struct civil c = civil_from_ts(now);
    ts start = ts_from_civil((struct civil){.year = c.year, .month = c.month, .day = c.day});
    return ts_add(start, TS_DAY);
}

ts zone_day_end(sv name, ts now)
{
    if (name.n == 0 || !zone_valid(name))
        return utc_day_end(now);
    pthread_mutex_lock(&lock);
    if (!installed)
        putenv(setting);
    installed = true;
    snprintf(setting, sizeof setting, "TZ=:%.*s", SV_ARG(name));
    tzset();
    time_t s = (time_t)(now.ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    tm.tm_mday += 1;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    time_t end = mktime(&tm);
    pthread_mutex_unlock(&lock);
    ts out = ts_from_unix((int64_t)end);
    /* Where midnight does not exist, mktime may answer a moment of the same day. */
    return out.ms > now.ms ? out : utc_day_end(now);
}
