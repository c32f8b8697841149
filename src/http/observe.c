/* What is known of the traffic: the access log and the figures of /metrics. Never query values,
 * never bodies. */
#include "base/log.h"
#include "http/inner.h"
#include "http/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 14
static const struct {
    int64_t us;
    const char *le;
} bounds[BUCKETS] = {
    {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},  {250000, "0.25"},
    {500000, "0.5"},  {1000000, "1"},   {5000000, "5"},  {30000000, "30"},
};

struct counts {
    _Atomic uint64_t by_class[6];
};
struct observer {
    const struct router *router;
    struct counts *routes; /* one more: no route */
    _Atomic uint64_t hist[BUCKETS + 1], sum_us;
};

struct observer *observer_new(const struct router *router)
{
    struct observer *o = calloc(1, sizeof *o);
    if (o == NULL || (o->routes = calloc(router_count(router) + 1, sizeof *o->routes)) == NULL)
        abort();
    o->router = router;
    return o;
}

void observer_free(struct observer *o)
{
    if (o != NULL)
        free(o->routes);
    free(o);
}

static void bump(_Atomic uint64_t *n, uint64_t by)
{
    atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

void observe(struct http_conn *x, int status, size_t bytes)
{
    struct observer *o = x->s->observer;
    int64_t us = clock_mono_us() - x->started_us;
    const struct route *route = x->match.route;
    size_t i = route != NULL ? x->match.index : router_count(o->router);
    bump(&o->routes[i].by_class[status / 100 < 6 ? status / 100 : 0], 1);
    unsigned b = 0;
    while (b < BUCKETS && us > bounds[b].us)
        b++;
    bump(&o->hist[b], 1);
    bump(&o->sum_us, (uint64_t)us);
    char st[8], ms[24], size[24], method[16];
    snprintf(st, sizeof st, "%d", status);
    snprintf(ms, sizeof ms, "%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000));
    snprintf(size, sizeof size, "%zu", bytes);
    snprintf(method, sizeof method, "%.*s", (int)(x->method_text.n < 15 ? x->method_text.n : 15),
             x->method_text.p ? x->method_text.p : "");
    log_event(LOG_INFO, "http.request", "method", method, "route", route ? route->path : "-",
              "status", st, "ms", ms, "id", x->id, "bytes", size, NULL);
}

static void write_routes(const struct observer *o, struct buf *out)
{
    static const char *const classes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    buf_add(out, SV("# HELP mb_http_requests_total Requests by route and class of status.\n"
                    "# TYPE mb_http_requests_total counter\n"));
    for (size_t i = 0; i <= router_count(o->router); i++) {
        const struct route *r = i < router_count(o->router) ? router_route(o->router, i) : NULL;
        for (int c = 0; c < 6; c++) {
            uint64_t n = o->routes[i].by_class[c];
            if (n > 0)
                buf_printf(out,
                           "mb_http_requests_total{method=\"%s\",route=\"%s\",class=\"%s\"} %llu\n",
                           r ? method_name(r->method) : "", r ? r->path : "", classes[c],
                           (unsigned long long)n);
        }
    }
}

static void write_latency(const struct observer *o, struct buf *out)
{
    buf_add(out, SV("# HELP mb_http_request_seconds Time to the reply.\n"
                    "# TYPE mb_http_request_seconds histogram\n"));
    uint64_t n = 0;
    for (int b = 0; b < BUCKETS; b++) {
        n += o->hist[b];
        buf_printf(out, "mb_http_request_seconds_bucket{le=\"%s\"} %llu\n", bounds[b].le,
                   (unsigned long long)n);
    }
    n += o->hist[BUCKETS];
    buf_printf(out,
               "mb_http_request_seconds_bucket{le=\"+Inf\"} %llu\n"
               "mb_http_request_seconds_sum %.6f\nmb_http_request_seconds_count %llu\n",
               (unsigned long long)n, (double)o->sum_us / 1e6, (unsigned long long)n);
}

static void gauge(struct buf *out, const char *name, const char *help, int64_t v)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %lld\n", name, help, name, name,
               (long long)v);
}

void http_metrics_write(struct http_server *s, struct buf *out)
{
    write_routes(s->observer, out);
    write_latency(s->observer, out);
    gauge(out, "mb_http_connections", "Open connections.", (int64_t)s->links.n);
    gauge(out, "mb_http_active_requests", "Requests being worked on.", s->active);
    gauge(out, "mb_http_streams", "Open event streams.", (int64_t)streams_open());
    gauge(out, "mb_http_worker_queue", "Requests waiting for a worker.",
          (int64_t)workers_queued(s->workers));
    metric_write(out);
}
