#include "http/health.h"
#include "db/migrate.h"
#include "http/inner.h"

/* GET /healthz - the process answers. */
static err health_alive(struct req *r)
{
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "status", SV("ok"));
    jw_kstr(w, "version", SV(MYBEING_VERSION));
    jw_obj_end(w);
    return OK;
}

/* GET /readyz - may it take traffic, and why not. */
static err health_ready(struct req *r)
{
    bool stopping = r->conn->s->stopping;
    err db = db_ping(r->db);
    unsigned pending = 0;
    err schema = db == OK ? migrate_pending(r->db, &pending) : OK;
    bool ready = !stopping && db == OK && schema == OK && pending == 0;
    struct jw *w = reply_json(r, ready ? 200 : 503);
    jw_obj(w);
    jw_kstr(w, "status", ready ? SV("ready") : SV("not_ready"));
    jw_key(w, "reasons");
    jw_arr(w);
    if (stopping)
        jw_str(w, SV("the server is stopping"));
    if (db != OK)
        jw_str(w, SV("the database does not answer"));
    if (schema != OK)
        jw_str(w, SV("the schema's version cannot be read from the database"));
    if (pending > 0)
        jw_str(w, arena_printf(r->mem, "%u migrations are not applied: run mybeing migrate up",
                               pending));
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

/* GET /metrics - Prometheus' text format. */
static err health_metrics(struct req *r)
{
    BUF_AUTO b = {0};
    http_metrics_write(r->conn->s, &b);
    return reply_body(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_sv(&b));
}

static const struct route routes[] = {
    ROUTE(GET, "/healthz", health_alive, .auth = AUTH_NONE, .tx = TX_INLINE, .limit = LIMIT_NONE),
    ROUTE(GET, "/readyz", health_ready, .auth = AUTH_NONE, .tx = TX_HEALTH, .limit = LIMIT_NONE),
    ROUTE(GET, "/metrics", health_metrics, .auth = AUTH_NONE, .tx = TX_INLINE, .limit = LIMIT_NONE),
};
const struct route_set health_routes = {routes, sizeof routes / sizeof *routes};
