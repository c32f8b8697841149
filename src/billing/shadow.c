#include "billing/shadow.h"

#include "billing/event.h"
#include "db/migrate.h"
#include "queries.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 200

struct walk {
    struct app *app;
    struct db *scratch;
    ts now, after;
    sv after_id;
    struct event_walk_row *rows;
    sv *texts;
    size_t n;
    struct shadow_report *report;
};

static err read_batch(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct walk *w = arg;
    struct event_walk_in in = {w->after, w->after_id, BATCH};
    TRY(q_event_walk(tx, mem, &in, &w->rows, &w->n));
    w->texts = ARENA_ARRAY(mem, sv, w->n + 1);
    for (size_t i = 0; i < w->n; i++) {
        const struct event_walk_row *r = &w->rows[i];
        TRY(payload_unpack(tx, mem, r->dict, r->size, r->payload, &w->texts[i]));
    }
    return OK;
}

struct one {
    struct walk *w;
    sv text;
};

static err apply_one(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct one *o = arg;
    struct stripe_event e;
    const json *j;
    bool handled;
    TRY(json_parse(mem, o->text, &j));
    TRY(stripe_event_read(j, &e));
    if (event_ignored(&e))
        return OK;
    return event_apply(tx, mem, NULL, &e, o->w->now, &handled); /* no app: nobody is told */
}

static err apply_batch(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct walk *w = arg;
    for (size_t i = 0; i < w->n; i++) {
        struct one o = {w, w->texts[i]};
        err e = db_attempt(tx, mem, apply_one, &o);
        if (e == ERR_DB || e == ERR_DB_FULL || e == ERR_RETRY)
            return e;
        w->report->failed += e != OK;
    }
    return OK;
}

static err replay(struct walk *w, sync_progress_fn progress, void *arg)
{
    BUF_AUTO id = {0};
    do {
        ARENA_AUTO mem = arena_new(0);
        w->after_id = buf_sv(&id);
        TRY(db_read(w->app->db, mem, read_batch, w));
        TRY(db_write(w->scratch, mem, apply_batch, w));
        w->report->events += (int64_t)w->n;
        if (progress)
            progress(arg, "events", w->report->events, 0);
        if (w->n == 0)
            break;
        w->after = w->rows[w->n - 1].received_at;
        buf_clear(&id);
        buf_add(&id, w->rows[w->n - 1].id);
    } while (w->n == BATCH);
    return OK;
}

/* -------- comparing -------- */

struct facts {
    struct shadow_facts_row *rows;
    size_t n;
};

static err read_facts(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct facts *f = arg;
    return q_shadow_facts(tx, mem, &f->rows, &f->n);
}

static int by_object(const void *a, const void *b)
{
    const struct shadow_facts_row *x = a, *y = b;
    int c = sv_cmp(x->kind, y->kind);
    return c ? c : sv_cmp(x->id, y->id);
}

static void add(struct shadow_report *r, const struct shadow_facts_row *live,
                const struct shadow_facts_row *rebuilt)
{
    const struct shadow_facts_row *any = live ? live : rebuilt;
    assert(any != NULL);
    r->differences[r->n++] =
        (struct shadow_difference){any->kind, any->id, live ? live->content : SV_NULL,
                                   rebuilt ? rebuilt->content : SV_NULL, live && live->fetched};
}

static void diff(struct arena *mem, struct facts *live, struct facts *rebuilt,
                 struct shadow_report *r)
{
    if (live->n) /* engines sort texts differently */
        qsort(live->rows, live->n, sizeof *live->rows, by_object);
    if (rebuilt->n)
        qsort(rebuilt->rows, rebuilt->n, sizeof *rebuilt->rows, by_object);
    r->differences = ARENA_ARRAY(mem, struct shadow_difference, live->n + rebuilt->n + 1);
    size_t i = 0, j = 0;
    while (i < live->n || j < rebuilt->n) {
        int c = i == live->n      ? 1
                : j == rebuilt->n ? -1
                                  : by_object(&live->rows[i], &rebuilt->rows[j]);
        r->objects++;
        if (c < 0)
            add(r, &live->rows[i++], NULL);
        else if (c > 0)
            add(r, NULL, &rebuilt->rows[j++]);
        else if (!sv_eq(live->rows[i++].content, rebuilt->rows[j++].content))
            add(r, &live->rows[i - 1], &rebuilt->rows[j - 1]);
    }
}

/* What no event was ever about, or what two events of one second said differently, only Stripe's
 * answer could tell: that is no difference of the events. */
static err drop_answered(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct shadow_report *r = arg;
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct shadow_difference *d = &r->differences[i];
        struct event_newest_second_row row = {.n = 1};
        if (d->fetched)
            TRY(q_event_newest_second(tx, mem, &(struct event_newest_second_in){d->object}, &row));
        if (row.n == 1)
            r->differences[kept++] = *d;
    }
    r->answered += (int64_t)(r->n - kept);
    r->n = kept;
    return OK;
}

static err rebuild(struct app *app, struct arena *mem, struct db *scratch, ts now,
                   sync_progress_fn progress, void *arg, struct shadow_report *out)
{
    unsigned done;
    struct facts live = {0}, rebuilt = {0};
    struct walk w = {
        .app = app, .scratch = scratch, .now = now, .after = {INT64_MIN + 1}, .report = out};
    TRY(migrate_up(scratch, &done));
    TRY(replay(&w, progress, arg));
    TRY(db_read(app->db, mem, read_facts, &live));
    TRY(db_read(scratch, mem, read_facts, &rebuilt));
    diff(mem, &live, &rebuilt, out);
    return db_read(app->db, mem, drop_answered, out);
}

static void remove_files(struct arena *mem, const char *dir)
{
    static const char *const names[] = {"shadow.db", "shadow.db-wal", "shadow.db-shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(arena_printf(mem, "%s/%s", dir, names[i]).p);
    rmdir(dir);
}

err shadow_rebuild(struct app *app, struct arena *mem, ts now, sync_progress_fn progress, void *arg,
                   struct shadow_report *out)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = arena_cstr(mem, arena_printf(mem, "%s/mybeing-shadow-XXXXXX", tmp ? tmp : "/tmp"));
    if (!mkdtemp(dir))
        return FAIL(ERR_INTERNAL, "cannot make a folder in %s", tmp ? tmp : "/tmp");
    struct db *scratch = NULL;
    struct db_options o = {.url = arena_printf(mem, "sqlite:%s/shadow.db", dir), .create = true};
    *out = (struct shadow_report){0};
    err e = db_open(&o, &scratch);
    if (e == OK) {
        e = rebuild(app, mem, scratch, now, progress, arg, out);
        db_close(scratch);
    }
    remove_files(mem, dir);
    return e;
}
