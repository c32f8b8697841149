/* HTTP in: /v1 to api.c, /_sandbox to control.c, the rest to pages.c. A thread a connection: people
 * and tests are few. */
#include "sandbox.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_MAX (4u << 20)

static struct MHD_Daemon *http_server;

struct request {
    char *body;
    size_t len;
};

static const char *header(struct MHD_Connection *x, const char *name)
{
    const char *v = MHD_lookup_connection_value(x, MHD_HEADER_KIND, name);
    return v ? v : "";
}

/* The query as it came: api.c decodes it itself. */
static enum MHD_Result keep_raw(void *to, enum MHD_ValueKind kind, const char *key,
                                const char *value)
{
    (void)kind;
    struct request *q = to;
    size_t need = q->len + 3 * strlen(key) + 3 * (value ? strlen(value) : 0) + 3;
    q->body = realloc(q->body, need + 1);
    if (!q->body)
        abort();
    if (q->len)
        q->body[q->len++] = '&';
    for (int part = 0; part < 2; part++) {
        for (const char *p = part ? (value ? value : "") : key; *p; p++)
            q->len += (size_t)sprintf(q->body + q->len, "%%%02X", (unsigned char)*p);
        if (!part)
            q->body[q->len++] = '=';
    }
    q->body[q->len] = 0;
    return MHD_YES;
}

static enum MHD_Result send_text(struct MHD_Connection *x, int status, char *text, const char *type,
                                 const char *const *headers)
{
    char date[64];
    struct MHD_Response *r = MHD_create_response_from_buffer(
        text ? strlen(text) : 0, text ? text : strdup(""), MHD_RESPMEM_MUST_FREE);
    pthread_mutex_lock(&sb_lock);
    sb_http_date(date);
    pthread_mutex_unlock(&sb_lock);
    /* The date of the whole system is the sandbox's clock: whoever asks stamps what he hears by it.
     */
    MHD_add_response_header(r, "Date", date);
    if (type)
        MHD_add_response_header(r, "Content-Type", type);
    for (size_t i = 0; headers && headers[i]; i += 2)
        if (headers[i + 1] && *headers[i + 1])
            MHD_add_response_header(r, headers[i], headers[i + 1]);
    enum MHD_Result done = MHD_queue_response(x, (unsigned)status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result api(struct MHD_Connection *x, const char *path, const char *method,
                           const struct request *q)
{
    struct request query = {0};
    MHD_get_connection_values(x, MHD_GET_ARGUMENT_KIND, keep_raw, &query);
    struct sb_call c = {
        .method = method,
        .path = path,
        .authorization = header(x, "Authorization"),
        .version = header(x, "Stripe-Version"),
        .idempotency_key = header(x, "Idempotency-Key"),
        .query = query.body ? query.body : "",
        .body = q->body ? q->body : "",
        .body_len = q->len,
    };
    pthread_mutex_lock(&sb_lock);
    sb_timeline_run();
    sb_api(&c);
    pthread_mutex_unlock(&sb_lock);
    free(query.body);
    if (c.slow_ms) {
        struct timespec t = {.tv_sec = c.slow_ms / 1000, .tv_nsec = c.slow_ms % 1000 * 1000000L};
        nanosleep(&t, NULL);
    }
    if (c.close) { /* the answer is lost, the work is done */
        free(c.answer);
        return MHD_NO;
    }
    const char *const headers[] = {"Request-Id",
                                   c.request_id,
                                   "Idempotent-Replayed",
                                   c.replayed ? "true" : NULL,
                                   "Idempotency-Key",
                                   c.idempotency_key,
                                   "Retry-After",
                                   c.retry_after,
                                   "Stripe-Version",
                                   *c.version ? c.version : SB_VERSION,
                                   NULL};
    return send_text(x, c.status, c.answer, "application/json", headers);
}

static enum MHD_Result page(struct MHD_Connection *x, const char *path, const char *method,
                            const struct request *q)
{
    struct sb_page out = {.status = 200, .type = "application/json"};
    bool control = !strncmp(path, "/_sandbox", 9);
    pthread_mutex_lock(&sb_lock);
    sb_timeline_run();
    (control ? sb_control : sb_pages)(method, path, q->body ? q->body : "", q->len, &out);
    pthread_mutex_unlock(&sb_lock);
    const char *const headers[] = {"Location", out.location, "Cache-Control", "no-store", NULL};
    return send_text(x, out.status, out.body, out.type, headers);
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *x, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)cls;
    (void)version;
    struct request *q = *state;
    if (!q) {
        *state = calloc(1, sizeof *q);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size) {
        if (q->len + *size > BODY_MAX)
            return MHD_NO;
        q->body = realloc(q->body, q->len + *size + 1);
        if (!q->body)
            abort();
        memcpy(q->body + q->len, data, *size);
        q->len += *size;
        q->body[q->len] = 0;
        *size = 0;
        return MHD_YES;
    }
    return strncmp(path, "/v1/", 4) ? page(x, path, method, q) : api(x, path, method, q);
}

static void completed(void *cls, struct MHD_Connection *x, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)x;
    (void)why;
    struct request *q = *state;
    if (q)
        free(q->body);
    free(q);
    *state = NULL;
}

bool sb_http_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)sb_config.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    http_server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                                       MHD_USE_POLL | MHD_USE_SUPPRESS_DATE_NO_CLOCK,
                                   0, NULL, NULL, answer, NULL, MHD_OPTION_SOCK_ADDR, &at,
                                   MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                                   MHD_OPTION_CONNECTION_TIMEOUT, 120u, MHD_OPTION_END);
    if (!http_server)
        return false;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http_server, MHD_DAEMON_INFO_BIND_PORT);
    sb_config.port = info ? info->port : sb_config.port;
    snprintf(sb_config.base, sizeof sb_config.base, "http://127.0.0.1:%d", sb_config.port);
    return true;
}

void sb_http_stop(void)
{
    MHD_stop_daemon(http_server);
}
