/* /api/admin/jobs: what waits, runs and died; dead ones run again, others end. SPEC §5. */
#include "http/route.h"
#include "job/job_view.h"

static const char *const job_states[] = {"ready", "running", "done", "dead", "cancelled", NULL};

/* GET /api/admin/jobs?state=&kind=&limit=&cursor= - newest first. */
static err job_admin_list(struct req *r)
{
    struct page page;
    sv kind = SV_NULL;
    int state = -1;
    const struct field filters[] = {
        {"state", FIELD_ENUM, &state, .values = job_states},
        {"kind", FIELD_STR, &kind, .min = 1, .max = 60},
    };
    TRY(page_query_read(r, &page, FIELDS(filters)));
    struct job_filter f = {.state = state < 0 ? SV_NULL : sv_from(job_states[state]),
                           .kind = kind,
                           .before = page.cursor,
                           .n = page.limit + 1};
    struct job_view *rows;
    size_t n;
    TRY(job_view_list(r->tx, r->mem, &f, &rows, &n));
    bool more = n > (size_t)page.limit;
    if (more)
        n = (size_t)page.limit;
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_key(w, "data");
    jw_arr(w);
    for (size_t i = 0; i < n; i++)
        job_view_write(w, &rows[i]);
    jw_arr_end(w);
    page_write(r, w, more ? rows[n - 1].id : SV_NULL);
    jw_obj_end(w);
    return OK;
}

static err job_reply(struct req *r)
{
    struct job_view v;
    TRY(job_view_get(r->tx, r->mem, req_param(r, "id"), &v));
    job_view_write(reply_json(r, 200), &v);
    return OK;
}

/* GET /api/admin/jobs/{id} */
static err job_admin_get(struct req *r)
{
    return job_reply(r);
}

/* POST /api/admin/jobs/{id}/redrive - a dead or cancelled job runs again. */
static err job_admin_redrive(struct req *r)
{
    TRY(job_redrive(r->tx, r->mem, req_param(r, "id"), r->now));
    return job_reply(r);
}

/* POST /api/admin/jobs/{id}/cancel */
static err job_admin_cancel(struct req *r)
{
    TRY(job_cancel(r->tx, r->mem, req_param(r, "id"), r->now));
    return job_reply(r);
}

/* POST /api/admin/jobs/redrive {kind} - all dead jobs of a kind. */
static err job_admin_redrive_kind(struct req *r)
{
    sv kind = SV_NULL;
    const struct field f[] = {{"kind", FIELD_STR, &kind, .required = true, .min = 1, .max = 60}};
    TRY(body_read(r, FIELDS(f)));
    int64_t count = 0;
    TRY(job_redrive_kind(r->tx, r->mem, kind, r->now, &count));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kint(w, "redriven", count);
    jw_obj_end(w);
    return OK;
}

/* GET /api/admin/jobs/counts - by kind and state. */
static err job_admin_counts(struct req *r)
{
    struct job_count *rows;
    size_t n;
    TRY(job_view_counts(r->tx, r->mem, &rows, &n));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_key(w, "data");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "kind", rows[i].kind);
        jw_kstr(w, "state", rows[i].state);
        jw_kint(w, "count", rows[i].n);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

static const struct route routes[] = {
    ROUTE(GET, "/api/admin/jobs", job_admin_list, .auth = AUTH_ADMIN, .tx = TX_READ),
    ROUTE(GET, "/api/admin/jobs/counts", job_admin_counts, .auth = AUTH_ADMIN, .tx = TX_READ),
    ROUTE(POST, "/api/admin/jobs/redrive", job_admin_redrive_kind, .auth = AUTH_ADMIN,
          .tx = TX_WRITE, .body = BODY_JSON),
    ROUTE(GET, "/api/admin/jobs/{id}", job_admin_get, .auth = AUTH_ADMIN, .tx = TX_READ),
    ROUTE(POST, "/api/admin/jobs/{id}/redrive", job_admin_redrive, .auth = AUTH_ADMIN,
          .tx = TX_WRITE),
    ROUTE(POST, "/api/admin/jobs/{id}/cancel", job_admin_cancel, .auth = AUTH_ADMIN,
          .tx = TX_WRITE),
};
const struct route_set job_routes = ROUTE_SET(routes);
