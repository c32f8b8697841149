/* What is known of the traffic: the access log and the figures of /metrics. Never query values,
 * never bodies. */
#include "base/calendar.h"
#include "base/log.h"
#include "http/inner.h"
#include "http/metrics.h"

#include <stdlib.h>

#define BUCKETS      14
#define LOG_TOGETHER (32 * 1024)
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
    pthread_mutex_t log_lock;
    struct buf log, spare;
};

struct observer *observer_new(const struct router *router)
{
    struct observer *o = calloc(1, sizeof *o);
    if (o == NULL || (o->routes = calloc(router_count(router) + 1, sizeof *o->routes)) == NULL)
        abort();
    o->router = router;
    pthread_mutex_init(&o->log_lock, NULL);
    return o;
}

void observer_free(struct observer *o)
{
    if (o == NULL)
        return;
    observer_flush(o);
    pthread_mutex_destroy(&o->log_lock);
    buf_free(&o->log);
    buf_free(&o->spare);
    free(o->routes);
    free(o);
}

static void bump(_Atomic uint64_t *n, uint64_t by)
{
    atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

/* -------- the access log -------- */
/* Lines are collected and written together: a write a request would cost more than the request. */
struct line {
    char *at;
};

static void add(struct line *l, sv s)
{
    memcpy(l->at, s.p, s.n);
    l->at += s.n;
}

static void add_number(struct line *l, uint64_t v, int digits)
{
    char text[24], *p = text + sizeof text;
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0 || (text + sizeof text) - p < digits);
    add(l, (sv){p, (size_t)(text + sizeof text - p)});
}

/* "2026-11-29T06:40:00.123Z"; the second's text is made once a second. */
static void add_time(struct line *l, ts now)
{
    static _Thread_local int64_t second = -1;
    static _Thread_local char text[TS_TEXT];
    if (now.ms / 1000 != second) {
        second = now.ms / 1000;
        ts_text((ts){second * 1000}, text);
    }
    add(l, (sv){text, 19});
    *l->at++ = '.';
    add_number(l, (uint64_t)(now.ms % 1000), 3);
    *l->at++ = 'Z';
}

static void add_pair(struct line *l, bool quoted, sv key, sv value)
{
    add(l, quoted ? SV(",\"") : SV(" "));
    add(l, key);
    add(l, quoted ? SV("\":\"") : SV("="));
    add(l, value);
    if (quoted)
        *l->at++ = '"';
}

static void access_line(struct line *l, const struct http_conn *x, int status, size_t bytes,
                        int64_t us)
{
    bool quoted = log_is_json();
    const struct route *route = x->match.route;
    char number[48];
    struct line n = {number};
    add(l, quoted ? SV("{\"time\":\"") : SV(""));
    add_time(l, clock_wall());
    add(l, quoted ? SV("\",\"level\":\"info\",\"event\":\"http.request\"")
                  : SV(" info  http.request"));
    /* the gate took the method for a token; a strange one may still be long */
    sv method = {x->method_text.p, x->method_text.n < 16 ? x->method_text.n : 16};
    add_pair(l, quoted, SV("method"), x->early == ERR_BAD_REQUEST ? SV("-") : method);
    add_pair(l, quoted, SV("route"), route ? sv_from(route->path) : SV("-"));
    add_number(&n, (uint64_t)status, 1);
    add_pair(l, quoted, SV("status"), (sv){number, (size_t)(n.at - number)});
    n.at = number;
    add_number(&n, (uint64_t)(us / 1000), 1);
    *n.at++ = '.';
    add_number(&n, (uint64_t)(us % 1000), 3);
    add_pair(l, quoted, SV("ms"), (sv){number, (size_t)(n.at - number)});
    add_pair(l, quoted, SV("id"), sv_from(x->id));
    n.at = number;
    add_number(&n, bytes, 1);
    add_pair(l, quoted, SV("bytes"), (sv){number, (size_t)(n.at - number)});
    add(l, quoted ? SV("}\n") : SV("\n"));
}

void observer_flush(struct observer *o)
{
    pthread_mutex_lock(&o->log_lock);
    struct buf lines = o->log;
    o->log = o->spare;
    o->spare = (struct buf){0};
    pthread_mutex_unlock(&o->log_lock);
    if (lines.n > 0)
        log_raw(buf_sv(&lines));
    buf_clear(&lines);
    pthread_mutex_lock(&o->log_lock);
    if (o->spare.p == NULL) {
        o->spare = lines;
        lines = (struct buf){0};
    }
    pthread_mutex_unlock(&o->log_lock);
    buf_free(&lines);
}

static void access_log(struct http_conn *x, int status, size_t bytes, int64_t us)
{
    if (!log_wanted(LOG_INFO))
        return;
    char text[1024]; /* a route's path is ours and short */
    struct line l = {text};
    access_line(&l, x, status, bytes, us);
    struct observer *o = x->s->observer;
    pthread_mutex_lock(&o->log_lock);
    buf_add(&o->log, (sv){text, (size_t)(l.at - text)});
    bool full = o->log.n > LOG_TOGETHER;
    pthread_mutex_unlock(&o->log_lock);
    if (full)
        observer_flush(o);
}

void observe(struct http_conn *x, int status, size_t bytes, int64_t now_us)
{
    struct observer *o = x->s->observer;
    int64_t us = now_us - x->started_us;
    size_t i = x->match.route != NULL ? x->match.index : router_count(o->router);
    bump(&o->routes[i].by_class[status / 100 < 6 ? status / 100 : 0], 1);
    unsigned b = 0;
    while (b < BUCKETS && us > bounds[b].us)
        b++;
    bump(&o->hist[b], 1);
    bump(&o->sum_us, (uint64_t)us);
    if (x->r.counter != NULL && status < 500)
        metric_add(x->r.counter, 1);
    access_log(x, status, bytes, us);
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
    size_t parked = park_count(s->links.park);
    gauge(out, "mb_http_connections", "Open connections.", (int64_t)(s->links.n + parked));
    gauge(out, "mb_http_connections_parked", "Of these, silent for a while.", (int64_t)parked);
    gauge(out, "mb_http_active_requests", "Requests being worked on.", s->active);
    gauge(out, "mb_http_streams", "Open event streams.", (int64_t)streams_open());
    gauge(out, "mb_http_worker_queue", "Requests waiting for a worker.",
          (int64_t)workers_queued(s->workers));
    metric_write(out);
}
