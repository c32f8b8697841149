/* mybeing events: what Stripe sent. SPEC §6. */
#include "base/calendar.h"
#include "billing/billing.h"
#include "billing/shadow.h"
#include "cmd/cmd.h"
#include "cmd/progress.h"

#include <stdio.h>

/* -------- list -------- */

struct listing {
    enum billing_event_filter filter;
    sv object;
    int64_t limit;
    struct billing_event *list;
    size_t n;
};

static err read_list(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct listing *l = arg;
    if (l->object.p)
        return billing_event_list_object(tx, mem, l->object, l->limit, &l->list, &l->n);
    return billing_event_list(tx, mem, l->filter, (ts){INT64_MAX}, SV(""), l->limit, &l->list,
                              &l->n);
}

static void event_members(struct jw *w, const struct billing_event *e)
{
    jw_kstr(w, "id", e->id);
    jw_kstr(w, "type", e->type);
    jw_kstr(w, "object", e->object);
    jw_kstr(w, "status", e->status);
    jw_kstr(w, "error", e->error);
    jw_kts(w, "createdAt", e->created);
    jw_kts(w, "receivedAt", e->received);
    jw_kint(w, "attempts", e->attempts);
    jw_kint(w, "size", e->size);
}

static void list_json(const struct listing *l)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_arr(&w);
    for (size_t i = 0; i < l->n; i++) {
        jw_obj(&w);
        event_members(&w, &l->list[i]);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    puts(out.p);
}

static void list_text(const struct listing *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct billing_event *e = &l->list[i];
        char at[TS_TEXT];
        printf("%s  %-8.*s %-40.*s %.*s%s%.*s\n", ts_text(e->created, at).p, SV_ARG(e->status),
               SV_ARG(e->type), SV_ARG(e->id), e->error.p ? "  " : "", SV_ARG(e->error));
    }
}

static int events_list(int argc, char **argv, bool as_json)
{
    bool failed = cmd_flag(&argc, argv, "--failed");
    const char *object = cmd_option(&argc, argv, "--object");
    const char *limit = cmd_option(&argc, argv, "--limit");
    struct listing l = {failed ? EVENTS_WITH_FAILURE : EVENTS_ALL, sv_from(object), 50, NULL, 0};
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (limit && (!sv_to_i64(sv_from(limit), &l.limit) || l.limit < 1 || l.limit > 100000))
        return cmd_misused("--limit is a number from 1 to 100000");
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    err e = db_read(app.db, mem, read_list, &l);
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        list_json(&l);
    else
        list_text(&l);
    return EXIT_OK;
}

/* -------- show -------- */

struct shown {
    sv id, payload;
    struct billing_event e;
};

static err read_one(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct shown *s = arg;
    return billing_event_get(tx, mem, s->id, &s->e, &s->payload);
}

static int events_show(int argc, char **argv, bool as_json)
{
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (argc != 3)
        return cmd_misused("events show ID");
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    struct shown s = {.id = sv_from(argv[2])};
    err e = db_read(app.db, mem, read_one, &s);
    if (e != OK)
        return cmd_failed(e);
    if (as_json) {
        BUF_AUTO out = {0};
        struct jw w = {.out = &out};
        jw_obj(&w);
        event_members(&w, &s.e);
        jw_key(&w, "payload");
        jw_raw(&w, s.payload);
        jw_obj_end(&w);
        puts(out.p);
        return EXIT_OK;
    }
    struct listing l = {.list = &s.e, .n = 1};
    list_text(&l);
    printf("%.*s\n", SV_ARG(s.payload));
    return EXIT_OK;
}

/* -------- replay -------- */

struct replayed {
    struct app *app;
    sv id, why;
    const char *result;
};

static err replay_one(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct replayed *r = arg;
    return billing_event_replay(tx, mem, r->app, r->id, clock_now(), &r->result, &r->why);
}

static int replay(struct app *app, sv id)
{
    ARENA_AUTO mem = arena_new(0);
    struct replayed r = {.app = app, .id = id};
    err e = db_write(app->db, mem, replay_one, &r);
    if (e != OK)
        return cmd_failed(e);
    printf("%.*s %s%s%.*s\n", SV_ARG(id), r.result, r.why.p ? ": " : "", SV_ARG(r.why));
    return strcmp(r.result, "failed") == 0 ? EXIT_WRONG : EXIT_OK;
}

static int replay_failed(struct app *app)
{
    ARENA_AUTO mem = arena_new(0);
    struct listing l = {EVENTS_WITH_FAILURE, SV_NULL, 100000, NULL, 0};
    err e = db_read(app->db, mem, read_list, &l);
    if (e != OK)
        return cmd_failed(e);
    int code = EXIT_OK;
    for (size_t i = l.n; i > 0; i--) /* oldest first */
        if (replay(app, l.list[i - 1].id) != EXIT_OK)
            code = EXIT_WRONG;
    printf("%zu event%s\n", l.n, l.n == 1 ? "" : "s");
    return code;
}

static void shadow_json(const struct shadow_report *r)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kint(&w, "events", r->events);
    jw_kint(&w, "failed", r->failed);
    jw_kint(&w, "objects", r->objects);
    jw_kint(&w, "decidedByAnswers", r->answered);
    jw_key(&w, "differences");
    jw_arr(&w);
    for (size_t i = 0; i < r->n; i++) {
        const struct shadow_difference *d = &r->differences[i];
        jw_obj(&w);
        jw_kstr(&w, "kind", d->kind);
        jw_kstr(&w, "object", d->object);
        jw_kstr(&w, "live", d->live);
        jw_kstr(&w, "rebuilt", d->rebuilt);
        jw_kbool(&w, "fetched", d->fetched);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

static void shadow_text(struct arena *mem, const struct shadow_report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct shadow_difference *d = &r->differences[i];
        printf("%.*s %.*s%s\n  live:    %s\n  rebuilt: %s\n", SV_ARG(d->kind), SV_ARG(d->object),
               d->fetched ? " (the living one was fetched from Stripe)" : "",
               d->live.p ? arena_cstr(mem, d->live) : "not there",
               d->rebuilt.p ? arena_cstr(mem, d->rebuilt) : "not there");
    }
    printf("%lld events, %lld objects, %zu differences\n", (long long)r->events,
           (long long)r->objects, r->n);
}

/* Differences that events alone should explain are wrong; what was fetched may be newer than
 * events. */
static int replay_shadow(struct app *app, bool as_json)
{
    ARENA_AUTO mem = arena_new(0);
    struct shadow_report r;
    err e = shadow_rebuild(app, mem, clock_now(), progress_show, NULL, &r);
    progress_end();
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        shadow_json(&r);
    else
        shadow_text(mem, &r);
    int code = EXIT_OK;
    for (size_t i = 0; i < r.n; i++)
        if (!r.differences[i].fetched)
            code = EXIT_WRONG;
    return code;
}

static int events_replay(int argc, char **argv, bool as_json)
{
    bool shadow = cmd_flag(&argc, argv, "--shadow"), failed = cmd_flag(&argc, argv, "--failed");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (!shadow && !failed && argc < 3)
        return cmd_misused("events replay ID…, --failed or --shadow");
    APP_AUTO app = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    if (shadow)
        return replay_shadow(&app, as_json);
    int code = failed ? replay_failed(&app) : EXIT_OK;
    for (int i = 2; i < argc; i++)
        if (replay(&app, sv_from(argv[i])) != EXIT_OK)
            code = EXIT_WRONG;
    return code;
}

int cmd_events(int argc, char **argv)
{
    static const char *const names[] = {"list", "show", "replay"};
    bool as_json = cmd_flag(&argc, argv, "--json");
    switch (cmd_sub("events", argc > 1 ? argv[1] : NULL, names, 3)) {
    case 0:
        return events_list(argc, argv, as_json);
    case 1:
        return events_show(argc, argv, as_json);
    case 2:
        return events_replay(argc, argv, as_json);
    default:
        return EXIT_USAGE;
    }
}
