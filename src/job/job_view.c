#include "job/job_view.h"
#include "queries.h"

#define VIEW(row)                                                                                  \
    {                                                                                              \
        .id = (row).id, .kind = (row).kind, .key = (row).key, .payload = (row).payload,            \
        .state = (row).state, .worker = (row).worker, .progress_unit = (row).progress_unit,        \
        .error = (row).error, .attempt = (row).attempt, .crashes = (row).crashes,                  \
        .cancel = (row).cancel, .has_progress = (row).progress_done.has,                           \
        .progress_done = (row).progress_done.v, .progress_total = (row).progress_total.v,          \
        .run_at = (row).run_at, .created_at = (row).created_at, .finished_at = (row).finished_at,  \
    }

err job_view_get(struct db_tx *tx, struct arena *mem, sv id, struct job_view *out)
{
    struct job_get_in in = {.id = id};
    struct job_get_row row;
    TRY(q_job_get(tx, mem, &in, &row));
    *out = (struct job_view)VIEW(row);
    return OK;
}

err job_view_list(struct db_tx *tx, struct arena *mem, const struct job_filter *f,
                  struct job_view **out, size_t *n)
{
    struct job_list_in in = {.state = f->state, .kind = f->kind, .before = f->before, .n = f->n};
    struct job_list_row *rows;
    size_t got;
    TRY(q_job_list(tx, mem, &in, &rows, &got));
    struct job_view *all = ARENA_ARRAY(mem, struct job_view, got);
    for (size_t i = 0; i < got; i++)
        all[i] = (struct job_view)VIEW(rows[i]);
    *out = all;
    *n = got;
    return OK;
}

err job_view_counts(struct db_tx *tx, struct arena *mem, struct job_count **out, size_t *n)
{
    struct job_counts_row *rows;
    size_t got;
    TRY(q_job_counts(tx, mem, &rows, &got));
    struct job_count *all = ARENA_ARRAY(mem, struct job_count, got);
    for (size_t i = 0; i < got; i++)
        all[i] = (struct job_count){rows[i].kind, rows[i].state, rows[i].n};
    *out = all;
    *n = got;
    return OK;
}

/* A payload that is no JSON (why the job died) must not break the answer. */
static void payload_write(struct jw *w, sv payload)
{
    ARENA_AUTO mem = arena_new(0);
    const json *parsed;
    jw_key(w, "payload");
    if (json_parse(mem, payload, &parsed) == OK)
        jw_json(w, parsed);
    else
        jw_null(w);
}

void job_view_write(struct jw *w, const struct job_view *v)
{
    jw_obj(w);
    jw_kstr(w, "id", v->id);
    jw_kstr(w, "kind", v->kind);
    jw_kstr(w, "key", v->key);
    jw_kstr(w, "state", v->state);
    payload_write(w, v->payload);
    jw_kint(w, "attempt", v->attempt);
    jw_kint(w, "crashes", v->crashes);
    jw_kbool(w, "cancelRequested", v->cancel);
    jw_kstr(w, "error", v->error);
    jw_key(w, "progress");
    if (v->has_progress) {
        jw_obj(w);
        jw_kint(w, "done", v->progress_done);
        jw_kint(w, "total", v->progress_total);
        jw_kstr(w, "unit", v->progress_unit);
        jw_obj_end(w);
    } else {
        jw_null(w);
    }
    jw_kts(w, "runAt", v->run_at);
    jw_kts(w, "createdAt", v->created_at);
    jw_kts(w, "finishedAt", v->finished_at);
    jw_obj_end(w);
}
