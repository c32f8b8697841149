/* One request on the library: its start, its body, suspension, its reply, its end. */
#include "http/conn.h"
#include "http/inner.h"

#include <stdlib.h>

#define LONG_ANSWER 4096

/* -------- suspending and resuming -------- */
void conn_suspend_raw(void *mc)
{
    MHD_suspend_connection(mc);
}

void conn_resume_raw(void *mc)
{
    MHD_resume_connection(mc);
}

void conn_suspend(struct http_conn *x)
{
    link_set(x->link, LINK_RUN, x->started_us);
    atomic_store(&x->refs, 2);
    atomic_store(&x->phase, PHASE_RUNNING);
    MHD_suspend_connection(x->mc);
}

void conn_finish(struct http_conn *x)
{
    int running = PHASE_RUNNING;
    void *mc = x->mc;
    if (atomic_compare_exchange_strong(&x->phase, &running, PHASE_DONE))
        MHD_resume_connection(mc);
    else
        conn_release(x);
}

/* -------- replies -------- */
static ssize_t pull(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    int64_t n = stream_pull(cls, buf, max);
    return n >= 0    ? (ssize_t)n
           : n == -1 ? MHD_CONTENT_READER_END_OF_STREAM
                     : MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *response_of(struct reply *p, size_t *bytes)
{
    *bytes = 0;
    if (p->stream != NULL)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, pull, p->stream, NULL);
    sv body = p->fixed.p != NULL ? p->fixed : buf_sv(&p->body);
    *bytes = body.n;
    /* The library does not write to it. */
    return MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p,
                                           MHD_RESPMEM_PERSISTENT);
}

/* The library ends connections on which nothing moves for as long as a header may take; bodies and
 * long answers have more time. They are few: it looks at each of them at every turn. */
static void be_patient(struct http_conn *x, bool patient)
{
    if (x->patient == patient)
        return;
    x->patient = patient;
    MHD_set_connection_option(x->mc, MHD_CONNECTION_OPTION_TIMEOUT,
                              patient ? 0U : (unsigned)(x->s->links.header_us / 1000000));
}

static enum MHD_Result send_reply(struct http_conn *x)
{
    struct reply *p = &x->reply;
    if (x->result != OK)
        reply_problem(x, x->result);
    cors_headers(x);
    size_t bytes;
    struct MHD_Response *m = response_of(p, &bytes);
    if (m == NULL)
        abort();
    if (p->type != NULL)
        MHD_add_response_header(m, "Content-Type", p->type);
    MHD_add_response_header(m, "X-Request-Id", x->id);
    if (p->cache != NULL)
        MHD_add_response_header(m, "Cache-Control", p->cache);
    for (size_t i = 0; i < p->nheads; i++)
        MHD_add_response_header(m, p->heads[i].name, p->heads[i].value);
    if (p->close || x->s->stopping)
        MHD_add_response_header(m, "Connection", "close");
    int64_t now = clock_mono_us();
    link_set(x->link, p->stream != NULL ? LINK_STREAM : LINK_REPLY, now);
    be_patient(x, p->stream != NULL || bytes > LONG_ANSWER);
    if (p->stream != NULL)
        stream_attach(p->stream, x->link->fd);
    atomic_store_explicit(&x->phase, PHASE_SENT, memory_order_relaxed);
    enum MHD_Result ok = MHD_queue_response(x->mc, (unsigned)p->status, m);
    MHD_destroy_response(m);
    observe(x, p->status, bytes, now);
    if (p->stream != NULL) { /* it may last for minutes, and nobody reads the request again */
        arena_reset(x->r.mem);
        buf_free(&x->body);
    }
    return ok;
}

/* The request goes on somewhere, but not for this client: the server stops. */
static enum MHD_Result send_stopping(struct http_conn *x)
{
    BUF_AUTO b = {0};
    problem_write(&b, ERR_STOPPING, err_title(ERR_STOPPING), x->id, NULL, NULL);
    struct MHD_Response *m = MHD_create_response_from_buffer(b.n, b.p, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(m, "Content-Type", "application/problem+json");
    MHD_add_response_header(m, "X-Request-Id", x->id);
    MHD_add_response_header(m, "Retry-After", "1");
    MHD_add_response_header(m, "Connection", "close");
    link_set(x->link, LINK_REPLY, clock_mono_us());
    enum MHD_Result ok = MHD_queue_response(x->mc, 503, m);
    MHD_destroy_response(m);
    return ok;
}

/* -------- the start of a request -------- */
static enum MHD_Result collect(void *cls, enum MHD_ValueKind kind, const char *key, size_t nkey,
                               const char *value, size_t nvalue)
{
    struct http_conn *x = cls;
    sv name = {key, nkey}, v = {value ? value : "", nvalue};
    if (kind == MHD_HEADER_KIND) {
        pairs_add(&x->heads, x->r.mem, name, v);
    } else if (percent_decode(x->r.mem, name, false, &name) &&
               percent_decode(x->r.mem, v, false, &v)) {
        pairs_add(&x->query, x->r.mem, name, v);
    } else {
        x->query_bad = true;
    }
    return MHD_YES;
}
/* Fields that a request before may have left. */
static void conn_begin(struct http_conn *x, struct link *link, void *mc)
{
    struct req *r = &x->r;
    struct http_server *s = x->s;
    *r = (struct req){.mem = r->mem,
                      .app = s->o.app,
                      .db = s->o.db,
                      .session = SV_NULL,
                      .reply = &x->reply,
                      .conn = x,
                      .id = x->id};
    x->link = link;
    x->mc = mc;
    atomic_store_explicit(&link->req, x, memory_order_release);
    atomic_store_explicit(&x->phase, PHASE_RECEIVING, memory_order_relaxed);
    x->heads = (struct pairs){x->heads_inline, 0, HEADS_INLINE};
    x->query = (struct pairs){x->query_inline, 0, PAIRS_INLINE};
    x->form = (struct pairs){0};
    x->query_bad = x->patient = x->too_large = x->head = x->preflight = x->checked = x->limited =
        x->writes = false;
    x->match.route = NULL;
    x->match.allow = 0;
    x->match.nparams = 0;
    x->body_max = BODY_DEFAULT;
    x->discarded = 0;
    x->early = x->body_err = x->result = OK;
    x->fault.code = OK;
    x->runs = 0;
    x->started_us = clock_mono_us();
}

static err route_request(struct http_conn *x)
{
    sv m = x->method_text;
    x->head = sv_is(m, "HEAD");
    enum method method = x->head ? GET : method_parse(m);
    x->r.method = method < METHOD_COUNT ? method : GET;
    if (sv_is(x->r.path, "*")) {
        x->preflight = true;
        return OK;
    }
    router_find(x->s->router, x->r.mem, x->r.path, method, &x->match);
    x->r.route = x->match.route;
    if (x->match.allow == 0)
        return FAIL(ERR_NOT_FOUND, "There is nothing at this path");
    if (x->r.route == NULL && sv_is(m, "OPTIONS")) {
        x->preflight = true;
        return OK;
    }
    if (x->r.route == NULL)
        return FAIL(ERR_METHOD, "This path does not take this method");
    size_t own = x->s->o.body_max ? x->s->o.body_max : BODY_DEFAULT;
    x->body_max = x->r.route->body_max ? x->r.route->body_max : own;
    return OK;
}

/* Too late to be polite: answer before the body, then close. */
static bool refuse_early(struct http_conn *x, err e)
{
    bool body = x->gate.content_length > 0 || x->gate.chunked;
    if (e == ERR_BAD_REQUEST)
        return true;
    if (x->gate.content_length > (int64_t)x->body_max)
        return true;
    return e != OK && body && x->gate.expects;
}

/* So many bytes are this request; those of a chunked body are the library's secret. */
static void count_taken(struct http_conn *x)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(x->mc, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct link *l = x->link;
    bool body = x->gate.content_length > 0 || x->gate.chunked;
    l->uncounted |= i == NULL || x->gate.chunked;
    if (i != NULL)
        l->taken += i->header_size + (body ? (uint64_t)x->gate.content_length : 0);
    be_patient(x, body);
}

static enum MHD_Result begin(struct http_server *s, struct link *link, struct MHD_Connection *mc,
                             const char *url, const char *method, const char *version, void **cls)
{
    struct http_conn *x = conn_take(s);
    conn_begin(x, link, mc);
    *cls = x;
    atomic_fetch_add_explicit(&s->active, 1, memory_order_relaxed);
    link_set(link, LINK_BODY, x->started_us);
    MHD_get_connection_values_n(mc, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND, collect, x);
    conn_set_id(x);
    x->method_text = sv_from(method);
    x->r.path = sv_from(url);
    struct gate_in in = {x->method_text, x->r.path, sv_from(version), &x->heads};
    err_clear();
    err e = gate_check(&in, &x->gate);
    if (e == OK)
        e = route_request(x);
    if (e != OK)
        fault_capture(x, e);
    x->early = e;
    count_taken(x);
    proxies_client(&s->proxies, link->address, &x->heads, x->address);
    x->r.address = sv_from(x->address);
    if (!refuse_early(x, e))
        return MHD_YES;
    x->reply.close = link->linger = true;
    if (e == OK) {
        x->early = ERR_TOO_LARGE;
        (void)FAIL(ERR_TOO_LARGE, "The body may have at most %zu bytes", x->body_max);
        fault_capture(x, ERR_TOO_LARGE);
    }
    x->result = x->early;
    return send_reply(x);
}

static enum MHD_Result receive(struct http_conn *x, const char *data, size_t *n)
{
    size_t got = *n;
    *n = 0;
    bool ignored = x->early != OK || x->preflight || x->r.route->body == BODY_NONE;
    if (!x->too_large && x->body.n + x->discarded + got > x->body_max) {
        x->too_large = true;
        x->discarded += x->body.n;
        buf_clear(&x->body);
    }
    if (ignored || x->too_large) {
        x->discarded += got;
        return x->discarded > x->body_max + DISCARD_MAX ? MHD_NO : MHD_YES;
    }
    buf_add(&x->body, (sv){data, got});
    return MHD_YES;
}

static enum MHD_Result complete(struct http_conn *x)
{
    be_patient(x, false);
    if (x->s->stopping && x->early == OK) {
        x->early = ERR_STOPPING;
        x->fault = (struct err_info){.code = ERR_STOPPING};
    }
    if (x->early == ERR_METHOD)
        cors_preflight(x);
    if (x->preflight) {
        reply_empty(&x->r, 204);
        cors_preflight(x);
    }
    return execute(x) ? send_reply(x) : MHD_YES;
}

enum MHD_Result conn_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *ndata, void **con)
{
    struct http_server *s = cls;
    struct http_conn *x = *con;
    if (x == NULL) {
        const union MHD_ConnectionInfo *i =
            MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return begin(s, i->socket_context, mc, url, method, version, con);
    }
    if (*ndata > 0)
        return receive(x, data, ndata);
    switch (atomic_load(&x->phase)) {
    case PHASE_RECEIVING:
        return complete(x);
    case PHASE_DONE:
        return send_reply(x);
    case PHASE_ABANDONED:
        return send_stopping(x);
    default:
        return MHD_YES;
    }
}

void conn_on_completed(void *cls, struct MHD_Connection *mc, void **con,
                       enum MHD_RequestTerminationCode why)
{
    (void)mc;
    struct http_server *s = cls;
    struct http_conn *x = *con;
    if (x == NULL)
        return;
    *con = NULL;
    atomic_fetch_sub_explicit(&s->active, 1, memory_order_relaxed);
    struct link *l = x->link;
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        be_patient(x, false);
    else
        l->uncounted = true;
    atomic_store_explicit(&l->fresh, false, memory_order_relaxed);
    atomic_store_explicit(&l->looked, false, memory_order_relaxed);
    link_set(l, LINK_IDLE, clock_mono_us());
    if (x->phase == PHASE_ABANDONED) {
        pthread_mutex_lock(&s->links.lock);
        l->req = NULL;
        pthread_mutex_unlock(&s->links.lock);
        conn_release(x);
        return;
    }
    if (x->reply.stream != NULL)
        stream_detach(x->reply.stream);
    conn_give(x);
}
