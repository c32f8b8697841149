#include "cmd/dev_clock.h"
#include "base/calendar.h"
#include "base/json.h"
#include "http/client.h"

#include <stdio.h>

/* -------- the sandbox -------- */

static bool sandbox_post(struct app *app, struct arena *mem, const char *path, sv body)
{
    struct http_header type = {"Content-Type", SV("application/json")};
    struct http_call c = {.method = "POST",
                          .url =
                              arena_printf(mem, "%.*s%s", SV_ARG(app->set.stripe_api_base), path),
                          .headers = &type,
                          .nheaders = 1,
                          .body = body,
                          .connect_timeout_ms = 2000,
                          .timeout_ms = 120000};
    struct http_answer a;
    if (!app->set.stripe_api_loopback || http_fetch(mem, &c, &a) != OK)
        return false;
    return a.status >= 200 && a.status < 300;
}

void dev_sandbox_settle(struct app *app, struct arena *mem)
{
    (void)sandbox_post(app, mem, "/_sandbox/settle", SV("{}"));
}

/* -------- times -------- */

static bool unit_is(sv word, const char *unit)
{
    if (word.n > 1 && word.p[word.n - 1] == 's')
        word.n--;
    return sv_is(word, unit);
}

static bool step(ts now, int64_t n, sv unit, ts *out)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"second", TS_SECOND},
                 {"minute", TS_MINUTE},
                 {"hour", TS_HOUR},
                 {"day", TS_DAY},
                 {"week", 7 * TS_DAY}};
    if (n < 0 || n > 1000000000)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (unit_is(unit, units[i].name)) {
            *out = ts_add(now, n * units[i].ms);
            return n <= INT64_C(100) * 366 * TS_DAY / units[i].ms;
        }
    }
    int months = unit_is(unit, "month") ? 1 : unit_is(unit, "year") ? 12 : 0;
    if (months == 0 || n > 1200 / months)
        return false;
    *out = ts_add_months(now, (int)n * months, ts_day_of_month(now));
    return true;
}

bool dev_clock_parse(sv text, ts now, ts *out)
{
    sv rest = sv_trim(text);
    int64_t n;
    if (rest.n == 0 || rest.p[0] != '+')
        return ts_parse(rest, out);
    rest = (sv){rest.p + 1, rest.n - 1};
    sv number = sv_cut(&rest, ' ');
    return sv_to_i64(number, &n) && rest.p != NULL && step(now, n, sv_trim(rest), out);
}

/* -------- moving -------- */

struct move {
    struct app *app;
    sv how;
    ts to;
    bool understood, back;
};

static err move_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct move *m = arg;
    sv old;
    int64_t offset = 0;
    TRY(db_lock1(tx, SV("clock_offset_ms")));
    TRY(app_value_get(tx, mem, "clock_offset_ms", &old));
    if (old.p && !sv_to_i64(old, &offset))
        offset = 0;
    ts wall = clock_wall(), now = ts_add(wall, offset), to = now;
    m->understood = dev_clock_parse(m->how, now, &to);
    m->back = m->understood && ts_before(to, now);
    if (!m->understood || m->back)
        return OK;
    m->to = to;
    return app_value_put(tx, mem, "clock_offset_ms",
                         arena_printf(mem, "%lld", (long long)(to.ms - wall.ms)));
}

/* The sandbox first: what a month brings (renewals) is on its way before the month is over here. */
static void move_sandbox(struct app *app, struct arena *mem, sv how)
{
    BUF_AUTO body = {0};
    struct jw w = {.out = &body};
    ts now = clock_now(), to = now;
    if (!dev_clock_parse(how, now, &to) || ts_before(to, now))
        return;
    jw_obj(&w);
    if (how.p[0] == '+')
        jw_kstr(&w, "advance", how);
    else
        jw_kstr(&w, "advance",
                arena_printf(mem, "+%lld seconds", (long long)((to.ms - now.ms) / TS_SECOND)));
    jw_obj_end(&w);
    (void)sandbox_post(app, mem, "/_sandbox/clock", buf_sv(&body));
}

int dev_clock(struct app *app, struct arena *mem, int argc, char **argv)
{
    char text[TS_TEXT];
    BUF_AUTO how = {0};
    for (int i = 0; i < argc; i++)
        buf_printf(&how, "%s%s", i ? " " : "", argv[i]);
    struct move m = {.app = app, .how = sv_trim(buf_sv(&how)), .to = clock_now()};
    if (m.how.n > 0 && !sv_is(m.how, "show")) {
        move_sandbox(app, mem, m.how);
        err e = db_write(app->db, mem, move_tx, &m);
        if (e != OK)
            return cmd_failed(e);
        if (!m.understood)
            return cmd_misused(
                "dev clock: \"%s\" is not show, +N seconds|minutes|hours|days|weeks|months|"
                "years, or a time like 2027-01-31T12:00:00Z",
                how.p);
        if (m.back)
            return cmd_misused("dev clock: the clock goes forward only");
    }
    printf("%.*s\n", SV_ARG(ts_text(m.to, text)));
    return EXIT_OK;
}
