/* mybeing sync: catches up with Stripe and lists what differs. SPEC §3. */
#include "billing/sync.h"
#include "base/calendar.h"
#include "cmd/cmd.h"
#include "cmd/progress.h"
#include "ext/stripe.h"
#include "http/client.h"

#include <stdio.h>

struct list {
    struct drift *d;
    size_t n;
};

static err read_list(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct list *l = arg;
    return billing_drift_list(tx, mem, &l->d, &l->n);
}

static void write_json(const struct sync_report *r, const struct list *l)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kint(&w, "eventsSeen", r->seen);
    jw_kint(&w, "eventsMissed", r->missed);
    jw_kint(&w, "eventsFailed", r->failed);
    jw_kint(&w, "objectsCompared", r->compared);
    jw_key(&w, "drift");
    jw_arr(&w);
    for (size_t i = 0; i < l->n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "object", l->d[i].object);
        jw_kstr(&w, "field", l->d[i].field);
        jw_kstr(&w, "ours", l->d[i].ours);
        jw_kstr(&w, "stripe", l->d[i].theirs);
        jw_kts(&w, "foundAt", l->d[i].found);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

static const char *or_nothing(struct arena *mem, sv s)
{
    return s.p ? arena_cstr(mem, s) : "nothing";
}

static void write_text(struct arena *mem, const struct sync_report *r, const struct list *l)
{
    if (r->seen + r->compared > 0)
        printf("%lld events seen, %lld of them missed and applied now, %lld kept as failed\n"
               "%lld objects compared with Stripe\n",
               (long long)r->seen, (long long)r->missed, (long long)r->failed,
               (long long)r->compared);
    for (size_t i = 0; i < l->n; i++)
        printf(
            "%.*s: %.*s is %s here and %s at Stripe; to take Stripe's: mybeing sync repair %.*s\n",
            SV_ARG(l->d[i].object), SV_ARG(l->d[i].field), or_nothing(mem, l->d[i].ours),
            or_nothing(mem, l->d[i].theirs), SV_ARG(l->d[i].object));
    puts(l->n ? "there are differences (all at once: mybeing sync repair)" : "nothing differs");
}

static int report(struct app *app, struct arena *mem, const struct sync_report *r, bool as_json)
{
    struct list l;
    err e = db_read(app->db, mem, read_list, &l);
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        write_json(r, &l);
    else
        write_text(mem, r, &l);
    return l.n || r->failed ? EXIT_WRONG : EXIT_OK;
}

static int run_sync(struct sync *s, struct arena *mem, bool as_json)
{
    err e = sync_events(s, mem);
    if (e == OK)
        e = sync_compare(s, mem);
    progress_end();
    return e == OK ? report(s->app, mem, &s->report, as_json) : cmd_failed(e);
}

static int run_repair(struct sync *s, struct arena *mem, const char *object)
{
    int64_t done;
    err e = sync_repair(s, mem, sv_from(object), &done);
    progress_end();
    if (e != OK)
        return cmd_failed(e);
    printf("%lld object%s taken from Stripe\n", (long long)done, done == 1 ? "" : "s");
    return report(s->app, mem, &s->report, false);
}

static int with_stripe(int argc, char **argv, bool as_json, bool repair)
{
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    if (!stripe_configured()) {
        fputs("mybeing: there is no key for Stripe: set STRIPE_SECRET_KEY, then `mybeing doctor`\n",
              stderr);
        return EXIT_WRONG;
    }
    http_client_start(app.set.dev);
    struct sync s = {.app = &app, .db = app.db, .now = clock_now(), .progress = progress_show};
    int code = repair ? run_repair(&s, mem, argc > 2 ? argv[2] : NULL) : run_sync(&s, mem, as_json);
    http_client_stop();
    return code;
}

static int show_drift(bool as_json)
{
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    return cmd_open(&app, false) ? report(&app, mem, &(struct sync_report){0}, as_json)
                                 : EXIT_WRONG;
}

int cmd_sync(int argc, char **argv)
{
    static const char *const names[] = {"repair", "drift"};
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = argc > 1 ? cmd_sub("sync", argv[1], names, 2) : 2;
    if (sub < 0)
        return EXIT_USAGE;
    return sub == 1 ? show_drift(as_json) : with_stripe(argc, argv, as_json, sub == 0);
}
