#include "billing/sync.h"

#include "base/log.h"
#include "billing/event.h"
#include "ext/stripe.h"
#include "http/client.h"
#include "http/metrics.h"
#include "queries.h"

#define OVERLAP (TS_HOUR) /* events may be listed later than their time says */
#define BATCH   20        /* events in one transaction: webhooks go on in between */

static void progress(struct sync *s, const char *what, int64_t done, int64_t total)
{
    if (s->progress)
        s->progress(s->arg, what, done, total);
}

struct batch {
    struct sync *s;
    const json *list;
    size_t from, to;
    struct sync_report report; /* of this batch; counted once it is committed */
};

static err take_one(struct db_tx *tx, struct arena *mem, struct batch *b, const json *event)
{
    struct event_in in = {.unreadable = OK, .why = SV_NULL};
    enum event_result result;
    TRY(stripe_event_read(event, &in.e));
    in.body = json_text(mem, event);
    in.payload = payload_pack(mem, in.body);
    TRY(event_take(tx, mem, b->s->app, &in, b->s->now, &result));
    b->report.seen++;
    b->report.missed += result == EVENT_APPLIED;
    b->report.failed += result == EVENT_FAILED;
    return OK;
}

static err take_batch(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct batch *b = arg;
    b->report = (struct sync_report){0};
    for (size_t i = b->from; i < b->to; i++)
        TRY(take_one(tx, mem, b, json_at(b->list, i)));
    return OK;
}

static err take_page(struct sync *s, const json *list, int64_t *newest, sv *newest_id)
{
    size_t n = json_len(list);
    for (size_t i = 0; i < n; i += BATCH) {
        ARENA_AUTO mem = arena_new(0);
        struct batch b = {.s = s, .list = list, .from = i, .to = i + BATCH < n ? i + BATCH : n};
        TRY(db_write(s->db, mem, take_batch, &b));
        s->report.seen += b.report.seen;
        s->report.missed += b.report.missed;
        s->report.failed += b.report.failed;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t created = json_get_int(json_at(list, i), "created", 0);
        if (created > *newest) {
            *newest = created;
            *newest_id = json_get_str(json_at(list, i), "id");
        }
    }
    return OK;
}

static err read_cursor(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct cursor_get_row row;
    bool found;
    TRY(q_cursor_get(tx, mem, &(struct cursor_get_in){SV("events")}, &row, &found));
    *(ts *)arg = found ? row.created_at : TS_NONE;
    return OK;
}

static err write_cursor(struct db_tx *tx, struct arena *mem, void *arg)
{
    return q_cursor_put(tx, mem, arg, NULL);
}

err sync_events(struct sync *s, struct arena *mem)
{
    ts since = TS_NONE;
    TRY(db_read(s->db, mem, read_cursor, &since));
    int64_t newest = ts_is_none(since) ? 0 : ts_unix(since);
    sv after = SV_NULL, newest_id = SV("");
    bool more = true;
    while (more) {
        struct stripe_answer a;
        BUF_AUTO q = {0};
        form_add_int(&q, "limit", 100);
        if (!ts_is_none(since))
            form_add_int(&q, "created[gte]", ts_unix(ts_add(since, -OVERLAP)));
        if (after.p)
            form_add(&q, "starting_after", after);
        TRY(stripe_get(mem, SV("/v1/events"), buf_sv(&q), STRIPE_JOB, &a));
        const json *list = json_get(a.body, "data");
        size_t n = json_len(list);
        TRY(take_page(s, list, &newest, &newest_id));
        progress(s, "events", s->report.seen, 0);
        more = n > 0 && json_get_bool(a.body, "has_more", false);
        if (more)
            after = json_get_str(json_at(list, n - 1), "id");
    }
    if (sv_empty(newest_id))
        return OK;
    struct cursor_put_in in = {SV("events"), ts_from_unix(newest), newest_id};
    return db_write(s->db, mem, write_cursor, &in);
}

/* -------- the nightly job -------- */

static void job_told(void *arg, const char *what, int64_t done, int64_t total)
{
    job_progress(arg, done, total, what);
}

err sync_job(struct job *j)
{
    if (!stripe_configured())
        return OK;
    struct sync s = {.app = j->app, .db = j->db, .now = j->now, .progress = job_told, .arg = j};
    err e = sync_events(&s, j->mem);
    if (e == OK)
        e = sync_compare(&s, j->mem);
    if (e == ERR_NOT_CONFIGURED)
        job_permanent(j);
    TRY(e);
    metric_set("mybeing_stripe_drift", s.report.drift);
    if (s.report.missed + s.report.failed + s.report.drift > 0) {
        sv missed = arena_printf(j->mem, "%lld", (long long)s.report.missed);
        sv drift = arena_printf(j->mem, "%lld", (long long)s.report.drift);
        log_event(LOG_WARN, "billing.sync", "missed", missed.p, "drift", drift.p, NULL);
    }
    return OK;
}
