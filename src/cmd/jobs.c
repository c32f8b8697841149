/* mybeing jobs: what waits, runs and died; dead ones run again, others end. */
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "job/job_view.h"

#include <stdio.h>
#include <stdlib.h>

#define LIST_N 50

struct ask {
    struct job_filter filter;
    sv id;
    struct job_view *rows, one;
    struct job_count *counts;
    size_t n;
    int64_t count;
};

static err list_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return job_view_list(tx, mem, &a->filter, &a->rows, &a->n);
}

static err counts_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return job_view_counts(tx, mem, &a->counts, &a->n);
}

static err show_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return job_view_get(tx, mem, a->id, &a->one);
}

static err redrive_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    if (a->filter.kind.p)
        return job_redrive_kind(tx, mem, a->filter.kind, clock_now(), &a->count);
    a->count = 1;
    return job_redrive(tx, mem, a->id, clock_now());
}

static err cancel_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return job_cancel(tx, mem, a->id, clock_now());
}

static void json_print(const struct job_view *rows, size_t n, bool list)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    if (list)
        jw_arr(&w);
    for (size_t i = 0; i < n; i++)
        job_view_write(&w, &rows[i]);
    if (list)
        jw_arr_end(&w);
    printf("%.*s\n", SV_ARG(buf_sv(&b)));
}

static void row_print(const struct job_view *v)
{
    char at[TS_TEXT];
    printf("%-40.*s %-22.*s %-9.*s %3lld  %.*s", SV_ARG(v->id), SV_ARG(v->kind), SV_ARG(v->state),
           (long long)v->attempt, SV_ARG(ts_text(v->run_at, at)));
    if (v->has_progress)
        printf("  %lld/%lld %.*s", (long long)v->progress_done, (long long)v->progress_total,
               SV_ARG(v->progress_unit));
    if (v->error.p)
        printf("  %.*s", SV_ARG(v->error));
    putchar('\n');
}

static int list(struct app *app, struct arena *mem, struct ask *a, bool as_json)
{
    a->filter.n = LIST_N;
    err e = db_read(app->db, mem, list_run, a);
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        json_print(a->rows, a->n, true);
    for (size_t i = 0; !as_json && i < a->n; i++)
        row_print(&a->rows[i]);
    if (!as_json && a->n == 0)
        puts("no jobs");
    return EXIT_OK;
}

static int counts(struct app *app, struct arena *mem, struct ask *a, bool as_json)
{
    err e = db_read(app->db, mem, counts_run, a);
    if (e != OK)
        return cmd_failed(e);
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_arr(&w);
    for (size_t i = 0; i < a->n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "kind", a->counts[i].kind);
        jw_kstr(&w, "state", a->counts[i].state);
        jw_kint(&w, "count", a->counts[i].n);
        jw_obj_end(&w);
        if (!as_json)
            printf("%-24.*s %-10.*s %8lld\n", SV_ARG(a->counts[i].kind), SV_ARG(a->counts[i].state),
                   (long long)a->counts[i].n);
    }
    jw_arr_end(&w);
    if (as_json)
        printf("%.*s\n", SV_ARG(buf_sv(&b)));
    return EXIT_OK;
}

static int show(struct app *app, struct arena *mem, struct ask *a)
{
    err e = db_read(app->db, mem, show_run, a);
    if (e != OK)
        return cmd_failed(e);
    json_print(&a->one, 1, false);
    return EXIT_OK;
}

static int change(struct app *app, struct arena *mem, struct ask *a, db_fn fn, const char *done)
{
    err e = db_write(app->db, mem, fn, a);
    if (e != OK)
        return cmd_failed(e);
    if (fn == redrive_run)
        printf("%lld ", (long long)a->count);
    puts(done);
    return EXIT_OK;
}

int cmd_jobs(int argc, char **argv)
{
    static const char *const subs[] = {"list", "counts", "show", "redrive", "cancel"};
    enum { LIST, COUNTS, SHOW, REDRIVE, CANCEL };
    bool as_json = cmd_flag(&argc, argv, "--json");
    struct ask a = {.filter = {.state = sv_from(cmd_option(&argc, argv, "--state")),
                               .kind = sv_from(cmd_option(&argc, argv, "--kind"))}};
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = argc > 1 ? cmd_sub("jobs", argv[1], subs, sizeof subs / sizeof *subs) : LIST;
    if (sub < 0)
        return EXIT_USAGE;
    a.id = argc > 2 ? sv_from(argv[2]) : SV_NULL;
    bool whole_kind = sub == REDRIVE && a.filter.kind.p;
    if (sub >= SHOW && !a.id.p && !whole_kind)
        return cmd_misused("jobs %s needs the id of a job%s", subs[sub],
                           sub == REDRIVE ? ", or --kind KIND for all its dead ones" : "");
    APP_AUTO app = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    ARENA_AUTO mem = arena_new(0);
    switch (sub) {
    case COUNTS:
        return counts(&app, mem, &a, as_json);
    case SHOW:
        return show(&app, mem, &a);
    case REDRIVE:
        return change(&app, mem, &a, redrive_run, "will run again");
    case CANCEL:
        return change(&app, mem, &a, cancel_run, "cancelled");
    default:
        return list(&app, mem, &a, as_json);
    }
}
