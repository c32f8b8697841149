/* /api/admin/jobs: what waits, runs and died; dead ones run again, others end. SPEC §5. */
#include "app/audit.h"
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
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++)
        job_view_write(w, &rows[i]);
    return page_end(r, w, more ? rows[n - 1].id : SV_NULL);
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

static err audited(struct req *r, const char *action, sv target, sv reason)
{
    return audit_put(r->tx, r->mem, r,
                     &(struct audit_entry){.action = action,
                                           .target = target,
                                           .reason = reason,
                                           .before = SV_NULL,
                                           .after = SV_NULL});
}

/* POST /api/admin/jobs/{id}/redrive?reason= - a dead or cancelled job runs again. */
static err job_admin_redrive(struct req *r)
{
    sv reason = SV_NULL;
    TRY(audit_reason_read(r, &reason));
    TRY(job_redrive(r->tx, r->mem, req_param(r, "id"), r->now));
    TRY(audited(r, "job.redrive", req_param(r, "id"), reason));
    return job_reply(r);
}

/* POST /api/admin/jobs/{id}/cancel?reason= */
static err job_admin_cancel(struct req *r)
{
    sv reason = SV_NULL;
    TRY(audit_reason_read(r, &reason));
    TRY(audited(r, "job.cancel", req_param(r, "id"), reason));
    TRY(job_cancel(r->tx, r->mem, req_param(r, "id"), r->now));
    return job_reply(r);
}

/* POST /api/admin/jobs/redrive {kind, reason?} - all dead jobs of a kind. */
static err job_admin_redrive_kind(struct req *r)
{
    sv kind = SV_NULL, reason = SV_NULL;
    const struct field f[] = {{"kind", FIELD_STR, &kind, .required = true, .min = 1, .max = 60},
                              {"reason", FIELD_STR, &reason, .min = 1, .max = 500}};
    TRY(body_read(r, FIELDS(f)));
    int64_t count = 0;
    TRY(job_redrive_kind(r->tx, r->mem, kind, r->now, &count));
    TRY(audited(r, "job.redrive_kind", kind, reason));
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
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "kind", rows[i].kind);
        jw_kstr(w, "state", rows[i].state);
        jw_kint(w, "count", rows[i].n);
        jw_obj_end(w);
    }
    return page_end(r, w, SV_NULL);
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
