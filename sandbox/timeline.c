#include "base/calendar.h"
#include "base/clock.h"
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct due {
    int64_t at;
    uint64_t order; /* what was asked first goes first */
    enum sb_due what;
    char id[96];
};
static struct due *heap;
static size_t count, room;
static uint64_t orders;
static int64_t stepping; /* the moment being played, or 0 */

int64_t sb_now(void)
{
    return stepping ? stepping : ts_unix(clock_now());
}

void sb_http_date(char out[64])
{
    char text[TS_TEXT];
    sv s = ts_http(ts_from_unix(sb_now()), text);
    snprintf(out, 64, "%.*s", (int)s.n, s.p);
}

int64_t sb_months(int64_t t, int months, int anchor_day)
{
    return ts_unix(ts_add_months(ts_from_unix(t), months, anchor_day));
}

int64_t sb_interval(int64_t anchor, const json_t *recurring, int n)
{
    const char *unit = jstr(recurring, "interval");
    int k = n * (int)(jint(recurring, "interval_count") ? jint(recurring, "interval_count") : 1);
    if (!strcmp(unit, "day"))
        return anchor + k * INT64_C(86400);
    if (!strcmp(unit, "week"))
        return anchor + k * INT64_C(604800);
    int months = strcmp(unit, "year") ? k : 12 * k;
    return sb_months(anchor, months, ts_day_of_month(ts_from_unix(anchor)));
}

static bool earlier(const struct due *a, const struct due *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->what != b->what ? a->what < b->what : a->order < b->order;
}

static void swap(size_t a, size_t b)
{
    struct due t = heap[a];
    heap[a] = heap[b];
    heap[b] = t;
}

void sb_due(int64_t at, enum sb_due what, const char *id)
{
    if (count == room) {
        room = room ? room * 2 : 256;
        heap = realloc(heap, room * sizeof *heap);
        if (!heap)
            abort();
    }
    struct due *d = &heap[count];
    *d = (struct due){.at = at, .order = orders++, .what = what};
    snprintf(d->id, sizeof d->id, "%s", id);
    for (size_t i = count++; i && earlier(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(i, (i - 1) / 2);
}

uint64_t sb_timeline_orders(void)
{
    return orders;
}

json_t *sb_timeline_dump(void)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(all, json_pack("{s:I, s:i, s:s}", "at", (json_int_t)heap[i].at,
                                             "what", (int)heap[i].what, "id", heap[i].id));
    return all;
}

void sb_timeline_load(const json_t *due)
{
    json_t *d;
    size_t i;
    json_array_foreach(due, i, d)
        sb_due(jint(d, "at"), (enum sb_due)jint(d, "what"), jstr(d, "id"));
}

static struct due take(void)
{
    struct due top = heap[0];
    heap[0] = heap[--count];
    for (size_t i = 0;;) {
        size_t l = 2 * i + 1, r = l + 1, m = i;
        if (l < count && earlier(&heap[l], &heap[m]))
            m = l;
        if (r < count && earlier(&heap[r], &heap[m]))
            m = r;
        if (m == i)
            return top;
        swap(i, m);
        i = m;
    }
}

static void play(const struct due *d)
{
    json_t *session;
    switch (d->what) {
    case SB_DUE_SESSION:
        session = sb_get(d->id);
        if (session && !strcmp(jstr(session, "status"), "open"))
            sb_checkout_expire(session);
        return;
    case SB_DUE_ASYNC:
        sb_checkout_async_due(d->id);
        return;
    case SB_DUE_RETRY:
        sb_invoice_retry(d->id, d->at);
        return;
    case SB_DUE_UPCOMING:
    case SB_DUE_TRIAL_NOTICE:
    case SB_DUE_RESUME:
    case SB_DUE_CANCEL:
    case SB_DUE_PERIOD:
    case SB_DUE_INCOMPLETE:
        sb_subscription_due(d->what, d->id, d->at);
        return;
    }
}

static void run_until(int64_t limit)
{
    while (count && heap[0].at <= limit) {
        struct due d = take();
        stepping = d.at; /* what happens then is dated then */
        play(&d);
    }
    stepping = 0;
}

void sb_timeline_run(void)
{
    run_until(sb_now());
}

void sb_timeline_move(int64_t to)
{
    if (to < sb_now())
        to = sb_now();
    run_until(to);
    clock_set_offset(to * 1000 - clock_wall().ms);
}

static bool parse_step(const char *text, int64_t *out)
{
    char unit[16];
    long n;
    if (sscanf(text, "%ld %15s", &n, unit) != 2 || n < 0 || n > 4000000000L)
        return false;
    if (strlen(unit) > 1 && unit[strlen(unit) - 1] == 's')
        unit[strlen(unit) - 1] = 0;
    static const struct {
        const char *name;
        int64_t seconds;
        int months;
    } units[] = {{"second", 1, 0},  {"minute", 60, 0},   {"min", 60, 0},  {"hour", 3600, 0},
                 {"day", 86400, 0}, {"week", 604800, 0}, {"month", 0, 1}, {"year", 0, 12},
                 {"s", 1, 0},       {"h", 3600, 0},      {"d", 86400, 0}, {"m", 60, 0}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(units[i].name, unit))
            continue;
        int64_t now = sb_now();
        *out = units[i].months
                   ? sb_months(now, (int)n * units[i].months, ts_day_of_month(ts_from_unix(now)))
                   : now + n * units[i].seconds;
        return true;
    }
    return false;
}

bool sb_timeline_parse(const char *text, int64_t *out)
{
    char *end;
    ts t;
    if (*text == '+')
        return parse_step(text + 1, out);
    long long n = strtoll(text, &end, 10);
    if (*text && !*end && n > 0) {
        *out = n;
        return true;
    }
    if (!ts_parse(sv_from(text), &t))
        return false;
    *out = ts_unix(t);
    return true;
}
