/* The event loops, on libmicrohttpd: connections, start and stop. */
#include "http/server.h"
#include "base/log.h"
#include "http/conn.h"
#include "http/inner.h"

#include <arpa/inet.h>
#include <errno.h>
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

/* -------- connections -------- */
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
        flags, 0, NULL, NULL, conn_on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONN_MEMORY, MHD_OPTION_CONNECTION_LIMIT, conns, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(s->links.header_us / 1000000), MHD_OPTION_NOTIFY_COMPLETED, conn_on_completed, s,
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
    pools_free(s);
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
    /* Who comes now is refused. It is closed when the loops are gone: until then one of them may be
     * taking it out of its epoll set, and the library aborts over a socket that is not there. */
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        shutdown(fd, SHUT_RDWR);
    for (int round = 0; !wait_idle(s, round == 0 ? grace : 1000) && round < 5; round++)
        abandon_all(s);
    if (s->active > 0) { /* the library may not be stopped with a suspended connection */
        log_event(LOG_WARN, "http.stop", "left", "requests", NULL);
        return;
    }
    park_stop(s->links.park);
    MHD_stop_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    links_stop(&s->links);
    park_free(s->links.park);
    if (!workers_stop(s->workers, 5) || !workers_stop(s->health, 5)) {
        log_event(LOG_WARN, "http.stop", "left", "workers", NULL);
        return;
    }
    server_free(s);
}
