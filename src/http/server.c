/* The event loops, on libmicrohttpd. The only file that knows the library. */
#include "http/server.h"
#include "base/crypto.h"
#include "base/log.h"
#include "http/inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_MEMORY  (18 * 1024) /* a little above the header limit of 16 KiB */
#define TARGET_MAX   (14 * 1024) /* the request's target, and what its parameters take */
#define PARAM_MEMORY 64
#define STOP_SECONDS 10
#define POOL_KEEP    128
#define BUF_KEEP     (64 * 1024)
#define LONG_ANSWER  4096

/* -------- request objects, pooled by event loop -------- */
struct pool {
    struct http_server *s;
    struct http_conn *first;
    unsigned n;
    uint64_t id_seed, id_n;
    struct pool *next;
};
static _Thread_local struct pool *my_pool;

static struct pool *pool_get(struct http_server *s)
{
    if (my_pool != NULL && my_pool->s == s)
        return my_pool;
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        abort();
    p->s = s;
    crypto_random(&p->id_seed, sizeof p->id_seed);
    crypto_random(&p->id_n, sizeof p->id_n);
    pthread_mutex_lock(&s->pools_lock);
    p->next = s->pools;
    s->pools = p;
    pthread_mutex_unlock(&s->pools_lock);
    return my_pool = p;
}

static void conn_free(struct http_conn *x)
{
    reply_reset(&x->reply);
    arena_free(x->r.mem);
    buf_free(&x->body);
    buf_free(&x->reply.body);
    free(x);
}

static struct http_conn *conn_take(struct http_server *s)
{
    struct pool *p = pool_get(s);
    struct http_conn *x = p->first;
    if (x != NULL) {
        p->first = x->next_free;
        p->n--;
        return x;
    }
    x = calloc(1, sizeof *x);
    if (x == NULL)
        abort();
    x->r.mem = arena_new(8192);
    x->s = s;
    x->pool = p;
    reply_reset(&x->reply);
    return x;
}

static void buf_trim(struct buf *b)
{
    if (b->cap > BUF_KEEP)
        buf_free(b);
    else
        buf_clear(b);
}

static void conn_give(struct http_conn *x)
{
    struct pool *p = x->pool;
    reply_reset(&x->reply);
    buf_trim(&x->reply.body);
    buf_trim(&x->body);
    arena_reset(x->r.mem);
    if (p->n >= POOL_KEEP) {
        pthread_mutex_lock(&x->s->links.lock); /* the stopper may be looking */
        x->link->req = NULL;
        pthread_mutex_unlock(&x->s->links.lock);
        conn_free(x);
        return;
    }
    atomic_store_explicit(&x->link->req, NULL, memory_order_relaxed);
    x->next_free = p->first;
    p->first = x;
    p->n++;
}

/* Of a request that was abandoned at a stop: the loop and the worker each hold one. */
static void conn_release(struct http_conn *x)
{
    if (atomic_fetch_sub(&x->refs, 1) == 1)
        conn_free(x);
}

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

static uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool id_sane(sv s)
{
    if (s.n == 0 || s.n >= ID_TEXT_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static void set_id(struct http_conn *x)
{
    sv given = req_header(&x->r, "X-Request-Id");
    if (id_sane(given)) {
        memcpy(x->id, given.p, given.n);
        x->id[given.n] = '\0';
        return;
    }
    static const char hex[] = "0123456789abcdef";
    struct pool *p = x->pool;
    uint64_t v[2] = {scramble(p->id_seed + ++p->id_n * UINT64_C(0x9e3779b97f4a7c15)),
                     scramble(p->id_n ^ (p->id_seed << 1))};
    memcpy(x->id, "req_", 4);
    char *to = x->id + 4;
    for (int i = 0; i < 24; i++)
        *to++ = hex[v[i / 16] >> (i % 16 * 4) & 15];
    *to = '\0';
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
    set_id(x);
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

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mc, const char *url,
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

static void on_completed(void *cls, struct MHD_Connection *mc, void **con,
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

static void on_connection(void *cls, struct MHD_Connection *mc, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context != NULL)
            link_close(&s->links, *context);
        *context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *at =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *context = link_open(&s->links, fd->connect_fd, at->client_addr);
    if (s->links.n + park_count(s->links.park) > s->conns)
        park_drop(s->links.park, 1);
}

/* The library closes what it does not take. */
static void on_back(void *cls, int fd, const struct park_note *note)
{
    struct http_server *s = cls;
    MHD_add_connection(s->daemon, fd, &note->as_address, sizeof *note);
}

/* The library keeps a query's parameters in the connection's memory and falls silent when they do
 * not fit: refused here, before it tries. Nothing else is being sent on the socket at this time. */
static void refuse_long_target(struct link *l, const char *uri)
{
    static const char answer[] = "HTTP/1.1 414 URI Too Long\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n";
    size_t n = 0, params = 1;
    for (; uri[n] != '\0'; n++)
        params += uri[n] == '&';
    if (n + params * PARAM_MEMORY <= TARGET_MAX)
        return;
    ssize_t sent = send(l->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
    l->linger = true;
    shutdown(l->fd, SHUT_RDWR);
}

/* The first line is there: the header's deadline runs. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *mc)
{
    (void)cls;
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct link *l = i->socket_context;
    if (l != NULL && l->state == LINK_IDLE)
        link_set(l, LINK_HEADER, clock_mono_us());
    if (l != NULL)
        refuse_long_target(l, uri);
    return NULL;
}

/* Decoding is ours: the library's takes bad encodings and NUL. */
static size_t keep_encoded(void *cls, struct MHD_Connection *mc, char *s)
{
    (void)cls, (void)mc;
    return strlen(s);
}

static void on_log(void *cls, const char *fmt, va_list ap)
{
    (void)cls;
    char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof text, fmt, ap);
#pragma GCC diagnostic pop
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "http.library", "text", text, NULL);
}

/* -------- start -------- */
static err listen_on(sv bind_text, uint16_t port, int *out)
{
    char host[64], service[8];
    if (bind_text.n >= sizeof host)
        return FAIL(ERR_CONFIG, "BIND is not an address");
    snprintf(host, sizeof host, "%.*s", SV_ARG(bind_text));
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *a;
    const char *name = bind_text.n == 0                 ? "0.0.0.0"
                       : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                                        : host;
    if (getaddrinfo(name, service, &hints, &a) != 0)
        return FAIL(ERR_CONFIG, "BIND=%s is not an address", host);
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    bool ok = fd >= 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 4096) == 0;
    int why = errno;
    freeaddrinfo(a);
    if (ok) {
        *out = fd;
        return OK;
    }
    if (fd >= 0)
        close(fd);
    char reason[128];
    const char *mend = why == EADDRINUSE      ? "; is it running already? PORT takes another"
                       : why == EADDRNOTAVAIL ? "; BIND has to be an address of this machine"
                       : why == EACCES        ? "; ports below 1024 are for root: PORT=3000"
                                              : "";
    return FAIL(ERR_CONFIG, "Port %u cannot be listened on: %s%s", port,
                strerror_r(why, reason, sizeof reason), mend);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&a)->sin6_port
                                         : ((struct sockaddr_in *)(void *)&a)->sin_port);
}

/* As many descriptors as the connections need, if the system lets us; half as many again for calls
 * to the outside, since each answer of an AI that is streamed is one. */
static unsigned allow_connections(unsigned want)
{
    struct rlimit l;
    const rlim_t need = (rlim_t)want + want / 2 + 512;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        return want;
    if (l.rlim_cur < need && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = need < l.rlim_max ? need : l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
    if (l.rlim_cur >= need)
        return want;
    return l.rlim_cur > 1024 ? (unsigned)(l.rlim_cur - 512) / 3 * 2 : (unsigned)l.rlim_cur / 2;
}

static struct MHD_Daemon *start_daemon(struct http_server *s, unsigned conns)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                     MHD_USE_ERROR_LOG | MHD_USE_TURBO;
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)s->loops, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (s->loops < 2)
        more[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONN_MEMORY, MHD_OPTION_CONNECTION_LIMIT, conns, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(s->links.header_us / 1000000), MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static struct http_server *server_new(const struct http_options *o)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->o = *o;
    s->mem = arena_new(4096);
    s->router = router_new(o->sets, o->nsets);
    s->limiter = limiter_new(o->rate_scale, o->dev && o->rate_scale <= 0);
    s->observer = observer_new(s->router);
    origins_init(&s->origins, s->mem, o->base_url, o->cors_origins);
    proxies_init(&s->proxies, s->mem, o->trusted_proxies);
    pthread_mutex_init(&s->pools_lock, NULL);
    s->sqlite = o->db == NULL || db_has_writer(o->db);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    s->loops = o->loops ? o->loops : cores > 0 ? (unsigned)cores : 1;
    s->listen_fd = -1;
    return s;
}

static void server_free(struct http_server *s)
{
    for (struct pool *p = s->pools, *next; p != NULL; p = next) {
        next = p->next;
        for (struct http_conn *x = p->first, *after; x != NULL; x = after) {
            after = x->next_free;
            conn_free(x);
        }
        free(p);
    }
    pthread_mutex_destroy(&s->pools_lock);
    observer_free(s->observer);
    limiter_free(s->limiter);
    router_free(s->router);
    arena_free(s->mem);
    free(s);
}

err http_start(const struct http_options *o, struct http_server **out)
{
    int fd;
    TRY(listen_on(o->bind, o->port, &fd));
    signal(SIGPIPE, SIG_IGN);
    struct http_server *s = server_new(o);
    s->listen_fd = fd;
    s->port = port_of(fd);
    s->workers = workers_start(o->workers ? o->workers : 16, 4096);
    s->health = workers_start(1, 64);
    s->links.observer = s->observer;
    links_start(&s->links, o->idle_s, o->header_s, o->request_s);
    unsigned conns = allow_connections(o->max_conns ? o->max_conns : 20000);
    s->conns = conns < s->loops ? s->loops : conns;
    s->links.park = park_start(s->links.idle_us, on_back, s);
    s->daemon = start_daemon(s, s->conns);
    if (s->daemon == NULL) {
        close(fd);
        links_stop(&s->links);
        park_stop(s->links.park);
        park_free(s->links.park);
        workers_stop(s->workers, 1);
        workers_stop(s->health, 1);
        server_free(s);
        return FAIL(ERR_CONFIG, "The HTTP server could not be started");
    }
    *out = s;
    return OK;
}

uint16_t http_port(const struct http_server *s)
{
    return s->port;
}

/* -------- stop -------- */
static bool wait_idle(struct http_server *s, int64_t ms)
{
    for (int64_t until = clock_mono_us() + ms * 1000; s->active > 0;) {
        if (clock_mono_us() > until)
            return false;
        usleep(5000);
    }
    return true;
}

/* What still runs goes on alone; its client hears 503. */
static void abandon_all(struct http_server *s)
{
    streams_end_all();
    pthread_mutex_lock(&s->links.lock);
    for (struct link *l = s->links.first; l != NULL; l = l->next) {
        int running = PHASE_RUNNING;
        struct http_conn *x = l->req;
        if (x != NULL && atomic_compare_exchange_strong(&x->phase, &running, PHASE_ABANDONED))
            MHD_resume_connection(x->mc);
        else if (x != NULL && x->phase == PHASE_RECEIVING)
            shutdown(l->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&s->links.lock);
}

void http_stop(struct http_server *s)
{
    int64_t grace = (s->o.stop_s ? s->o.stop_s : STOP_SECONDS) * TS_SECOND;
    atomic_store(&s->stopping, true);
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    for (int round = 0; !wait_idle(s, round == 0 ? grace : 1000) && round < 5; round++)
        abandon_all(s);
    if (s->active > 0) { /* the library may not be stopped with a suspended connection */
        log_event(LOG_WARN, "http.stop", "left", "requests", NULL);
        return;
    }
    park_stop(s->links.park);
    MHD_stop_daemon(s->daemon);
    links_stop(&s->links);
    park_free(s->links.park);
    if (!workers_stop(s->workers, 5) || !workers_stop(s->health, 5)) {
        log_event(LOG_WARN, "http.stop", "left", "workers", NULL);
        return;
    }
    server_free(s);
}
