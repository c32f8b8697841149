/* The server over real sockets, with short deadlines: what a unit cannot show. Waits are for
 * events, with wide limits; nothing here depends on being fast. */
#include "base/crypto.h"
#include "base/log.h"
#include "db/migrate.h"
#include "http/client.h"
#include "http/health.h"
#include "http/metrics.h"
#include "http/reply.h"
#include "http/server.h"
#include "queries.h"
#include "raw_client.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static sem_t entered, leave;        /* of the handler that waits */
static struct stream *_Atomic held; /* the stream a test feeds */

/* -------- handlers -------- */
static err put(struct req *r)
{
    sv value = SV_NULL;
    struct field f[] = {{"value", FIELD_STR, &value, .required = true}};
    TRY(body_read(r, FIELDS(f)));
    struct setting_put_in in = {SV("test"), value};
    TRY(q_setting_put(r->tx, NULL, &in, NULL));
    if (sv_is(value, "refuse")) /* what was written has to be undone */
        return FAIL(ERR_CONFLICT, "refused on purpose");
    return reply_empty(r, 204);
}

static err get(struct req *r)
{
    struct setting_get_in in = {SV("test")};
    struct setting_get_row row;
    bool found;
    TRY(q_setting_get(r->tx, r->mem, &in, &row, &found));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "value", found ? row.value : SV_NULL);
    jw_obj_end(w);
    return OK;
}

/* Fails after it wrote: the writer runs it once more. */
static err write_and_fail(struct req *r)
{
    struct setting_put_in in = {SV("test"), SV("gone")};
    TRY(q_setting_put(r->tx, NULL, &in, NULL));
    return FAIL(ERR_CONFLICT, "refused on purpose");
}

static err wait_here(struct req *r)
{
    sem_post(&entered);
    sem_wait(&leave);
    return reply_body(r, 200, "text/plain", SV("late"));
}

static err echo(struct req *r)
{
    return reply_body(r, 200, "text/plain", r->body);
}

static err big(struct req *r)
{
    sv all = {arena_zero(r->mem, 8 << 20), 8 << 20};
    return reply_body(r, 200, "application/octet-stream", all);
}

static err page(struct req *r)
{
    return reply_static(r, "text/html; charset=utf-8", SV("<p>x"), "abc");
}

static err stream(struct req *r)
{
    held = reply_stream(r, "text/event-stream");
    sem_post(&entered);
    return OK;
}

static const struct route routes[] = {
    ROUTE(POST, "/put", put, .auth = AUTH_PUBLIC, .tx = TX_WRITE, .body = BODY_JSON),
    ROUTE(GET, "/get", get, .auth = AUTH_PUBLIC, .tx = TX_READ),
    ROUTE(GET, "/sight", write_and_fail, .auth = AUTH_PUBLIC, .tx = TX_READ),
    ROUTE(GET, "/wait", wait_here, .auth = AUTH_NONE, .tx = TX_NONE),
    ROUTE(POST, "/echo", echo, .auth = AUTH_NONE, .tx = TX_INLINE, .body = BODY_RAW),
    ROUTE(POST, "/small", echo, .auth = AUTH_NONE, .tx = TX_INLINE, .body = BODY_RAW,
          .body_max = 1000),
    ROUTE(GET, "/big", big, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/page", page, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/stream", stream, .auth = AUTH_NONE, .tx = TX_NONE),
    ROUTE(GET, "/member", get, .auth = AUTH_MEMBER, .tx = TX_READ),
    ROUTE(GET, "/visitor", get, .auth = AUTH_VISITOR, .tx = TX_READ),
};

static err nobody(struct req *r, struct db_tx *tx)
{
    (void)tx;
    if (req_header(r, "X-Stranger").p != NULL && !r->writable) { /* not for nothing */
        (void)arena_zero(r->mem, 6000);
        return ERR_FIRST_SIGHT;
    }
    (void)visitor_cookie_read(SV("k"), req_cookie(r, "mb_anon"), &r->visitor);
    return OK;
}

/* -------- a server for a test -------- */
static struct db *db;
static struct http_server *server;
static char dir[] = "/tmp/mybeing-http-XXXXXX";

static void start(struct http_options o)
{
    o.auth = nobody;
    o.db = db;
    server = serve(o, ROUTE_SET(routes));
}

static int once_up(void **state)
{
    (void)state;
    crypto_init();
    log_init(LOG_JSON, LOG_ERROR);
    sem_init(&entered, 0, 0);
    sem_init(&leave, 0, 0);
    if (mkdtemp(dir) == NULL)
        return -1;
    char url[64];
    snprintf(url, sizeof url, "sqlite:%s/t.db", dir);
    struct db_options o = {.url = sv_from(url), .create = true};
    unsigned done;
    return db_open(&o, &db) == OK && migrate_up(db, &done) == OK ? 0 : -1;
}

static int once_down(void **state)
{
    (void)state;
    db_close(db);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

/* -------- a raw client -------- */
static int dial(void)
{
    return dial_port(http_port(server));
}

static char *ask(const char *request, const char *want)
{
    static struct buf b;
    buf_clear(&b);
    int fd = dial();
    say(fd, request);
    if (!hear(fd, &b, want))
        fail_msg("'%s' did not come for '%.60s': %s", want, request, b.p ? b.p : "");
    close(fd);
    return b.p;
}

static void wait_for(bool (*there)(void))
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (there())
            return;
        usleep(10000);
    }
    fail_msg("it did not happen");
}

/* -------- tests -------- */
static void transactions(void **state)
{
    (void)state;
    start((struct http_options){0});
    ask("POST /put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        "15\r\n\r\n{\"value\":\"one\"}",
        "204 No Content");
    ask("GET /get HTTP/1.1\r\nHost: x\r\n\r\n", "{\"value\":\"one\"}");
    ask("POST /put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        "18\r\n\r\n{\"value\":\"refuse\"}",
        "refused on purpose");
    ask("GET /get HTTP/1.1\r\nHost: x\r\n\r\n", "{\"value\":\"one\"}");
    ask("POST /put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        "1\r\n\r\n{",
        "invalid_json");
    ask("POST /put HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 415 ");
    ask("POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "\"/value\"");
    ask("GET /member HTTP/1.1\r\nHost: x\r\n\r\n", "WWW-Authenticate: Bearer");
    char *answer = ask("GET /visitor HTTP/1.1\r\nHost: x\r\n\r\n", "{\"value\"");
    char *cookie = strstr(answer, "Set-Cookie: ");
    assert_non_null(cookie);
    char again[512];
    snprintf(again, sizeof again, "GET /visitor HTTP/1.1\r\nHost: x\r\nCookie: %.*s\r\n\r\n",
             (int)strcspn(cookie + 12, ";"), cookie + 12);
    assert_null(strstr(ask(again, "{\"value\""), "Set-Cookie"));
    http_stop(server);
}

/* Run reading, then writing, then again after the writer had to undo it: each from the same point.
 */
static void runs_anew(void **state)
{
    (void)state;
    start((struct http_options){0});
    for (int i = 0; i < 40; i++) /* a while after a failure it is not run twice */
        ask("GET /sight HTTP/1.1\r\nHost: x\r\nX-Stranger: yes\r\n\r\n", "refused on purpose");
    ask("GET /get HTTP/1.1\r\nHost: x\r\n\r\n", "{\"value\":\"one\"}");
    http_stop(server);
}

static void keep_alive(void **state)
{
    (void)state;
    start((struct http_options){0});
    BUF_AUTO b = {0};
    int fd = dial();
    say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: one\r\n\r\n"
            "HEAD /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: two\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            "GET /get HTTP/1.1\r\nHost: x\r\nX-Request-Id: bad id\r\nConnection: close\r\n\r\n");
    hear(fd, &b, NULL);
    char *one = strstr(b.p, "X-Request-Id: one"), *two = strstr(b.p, "X-Request-Id: two");
    char *three = strstr(b.p, "abcde"), *four = strstr(b.p, "{\"value\"");
    assert_true(one && two && three && four && one < two && two < three && three < four);
    assert_null(strstr(two, "\"status\"")); /* HEAD has no body */
    assert_null(strstr(b.p, "bad id"));
    close(fd);
    http_stop(server);
}

static void refusals(void **state)
{
    (void)state;
    start((struct http_options){0});
    ask("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "HTTP/1.1 400 ");
    ask("GET /healthz HTTP/1.1\r\n\r\n", "400 ");
    ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 400 ");
    ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 400 ");
    ask("GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    ask("GET /get?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    ask("GET /h%00 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ");
    ask("PUT /get HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "Allow: GET, HEAD, OPTIONS");
    ask("TRACE /get HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ");
    ask("OPTIONS /put HTTP/1.1\r\nHost: x\r\n\r\n", "Allow: POST, OPTIONS");
    ask("POST /put HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\nContent-Length: 0\r\n\r\n",
        "bad_origin");
    http_stop(server);
}

static void sizes(void **state)
{
    (void)state;
    start((struct http_options){0});
    /* by its Content-Length, before any of it came */
    ask("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413 ");
    /* all of it under way: the answer has to be readable although nobody took the body */
    BUF_AUTO b = {0};
    static char body[4 << 20];
    memset(body, 'x', sizeof body);
    int fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n");
    for (size_t sent = 0; sent < sizeof body;) {
        ssize_t n = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    assert_true(hear(fd, &b, "HTTP/1.1 413 "));
    close(fd);
    /* chunked: found out on the way */
    buf_clear(&b);
    fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        say(fd, "64\r\n");
        assert_int_equal(send(fd, body, 100, MSG_NOSIGNAL), 100);
        say(fd, "\r\n");
    }
    say(fd, "0\r\n\r\n");
    assert_true(hear(fd, &b, "HTTP/1.1 413 "));
    close(fd);
    /* a header beyond 16 KiB is the library's to refuse */
    buf_clear(&b);
    fd = dial();
    say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: ");
    for (int i = 0; i < 40; i++)
        if (send(fd, body, 1000, MSG_NOSIGNAL) < 0)
            break;
    (void)!send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL);
    hear(fd, &b, "HTTP/1.1 431 ");
    close(fd);
    char *page_answer = ask("GET /page HTTP/1.1\r\nHost: x\r\n\r\n", "<p>x");
    assert_non_null(strstr(page_answer, "Content-Security-Policy: default-src 'self'"));
    ask("GET /page HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"abc\"\r\n\r\n", "HTTP/1.1 304 ");
    http_stop(server);
}

/* The connection has to be ended by the server. */
static void ends(const char *start_of_request)
{
    BUF_AUTO b = {0};
    int fd = dial();
    if (start_of_request != NULL)
        say(fd, start_of_request);
    hear(fd, &b, NULL);
    close(fd);
}

static void deadlines(void **state)
{
    (void)state;
    start((struct http_options){.idle_s = 2, .header_s = 1, .request_s = 1});
    ends("GET /healthz HTTP/1.1\r\nHost: x\r\n");                          /* the header */
    ends("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); /* the body */
    ends("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); /* idle after a request */
    ends(NULL);                                       /* idle from the start */
    /* a reader that does not read */
    BUF_AUTO b = {0};
    int fd = dial(), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    close(fd);
    /* slow work is not a slow client */
    fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    usleep(2500000);
    sem_post(&leave);
    assert_true(hear(fd, &b, "late"));
    close(fd);
    http_stop(server);
}

/* Bytes of a header that come one by one keep nothing open. */
static void slow_header(void **state)
{
    (void)state;
    start((struct http_options){.idle_s = 600, .header_s = 1});
    int fd = dial();
    const char drip[] = "GET /healthz HTTP/1.1";
    bool cut = false;
    for (int i = 0; i < 1000 && !cut; i++) {
        cut = send(fd, &drip[i % 5], 1, MSG_NOSIGNAL) < 0;
        usleep(50000);
    }
    assert_true(cut);
    close(fd);
    http_stop(server);
}

static void cap(void **state)
{
    (void)state;
    start((struct http_options){.max_conns = 4});
    int fd[4];
    BUF_AUTO b = {0};
    for (int i = 0; i < 4; i++) {
        fd[i] = dial();
        say(fd[i], "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        sem_wait(&entered);
    }
    int fifth = dial(); /* the system takes it, nobody serves it */
    say(fifth, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    struct pollfd p = {.fd = fifth, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 300), 0);
    for (int i = 0; i < 4; i++)
        sem_post(&leave);
    for (int i = 0; i < 4; i++) {
        buf_clear(&b);
        assert_true(hear(fd[i], &b, "late"));
        close(fd[i]);
    }
    buf_clear(&b);
    assert_true(hear(fifth, &b, "\"ok\""));
    close(fifth);
    http_stop(server);
}

static void *stopper(void *arg)
{
    http_stop(arg);
    return NULL;
}

static void stops(void **state)
{
    (void)state;
    start((struct http_options){.stop_s = 20});
    BUF_AUTO b = {0};
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    pthread_t t;
    pthread_create(&t, NULL, stopper, server);
    usleep(200000);
    sem_post(&leave); /* what runs is finished */
    assert_true(hear(fd, &b, "late"));
    pthread_join(t, NULL);
    close(fd);
}

static void stops_anyway(void **state)
{
    (void)state;
    start((struct http_options){.stop_s = 1});
    BUF_AUTO b = {0};
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    pthread_t t;
    pthread_create(&t, NULL, stopper, server);
    assert_true(hear(fd, &b, "\"stopping\"")); /* 503, while the handler still runs */
    sem_post(&leave);
    pthread_join(t, NULL);
    close(fd);
}

static bool client_seen_gone(void)
{
    return stream_gone(held);
}

static void streams(void **state)
{
    (void)state;
    start((struct http_options){.stop_s = 1});
    BUF_AUTO b = {0};
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    stream_send(held, SV("data: 1\n\n"));
    assert_true(hear(fd, &b, "data: 1"));
    stream_send(held, SV("data: 2\n\n"));
    assert_true(hear(fd, &b, "data: 2"));
    assert_non_null(strstr(b.p, "Content-Type: text/event-stream"));
    stream_close(held);
    assert_true(hear(fd, &b, "\r\n0\r\n\r\n"));
    stream_unref(held);
    /* the connection goes on */
    buf_clear(&b);
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    stream_send(held, SV("data: 3\n\n"));
    assert_true(hear(fd, &b, "data: 3"));
    close(fd); /* nothing is sent, and still it is seen */
    wait_for(client_seen_gone);
    stream_send(held, SV("data: nobody\n\n"));
    stream_close(held);
    stream_unref(held);
    /* a stop ends a stream that its feature does not end */
    buf_clear(&b);
    fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&entered);
    http_stop(server);
    assert_true(stream_gone(held));
    stream_unref(held);
    close(fd);
}

static void metrics(void **state)
{
    (void)state;
    start((struct http_options){0});
    metric_add("mb_test_total{kind=\"a\"}", 2);
    metric_add("mb_test_total{kind=\"a\"}", 3);
    metric_set("mb_test_depth", 7);
    ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404");
    char *m =
        ask("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "mb_test_total{");
    assert_non_null(strstr(m, "mb_test_total{kind=\"a\"} 5\n"));
    assert_non_null(strstr(m, "# TYPE mb_test_depth gauge\nmb_test_depth 7\n"));
    assert_non_null(strstr(m, "mb_http_requests_total{method=\"\",route=\"\",class=\"4xx\"} 1\n"));
    http_stop(server);
}

/* -------- the client, against the server -------- */
static void fetches(void **state)
{
    (void)state;
    start((struct http_options){0});
    http_client_start(false);
    ARENA_AUTO mem = arena_new(0);
    char url[64];
    struct http_answer a;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", http_port(server));
    struct http_header h[] = {{"X-Request-Id", SV("mine")}};
    struct http_call c = {.method = "POST",
                          .url = sv_from(url),
                          .headers = h,
                          .nheaders = 1,
                          .body = SV("some bytes")};
    for (int i = 0; i < 3; i++) {
        c.once = i == 2;
        assert_int_equal(http_fetch(mem, &c, &a), OK);
        assert_int_equal(a.status, 200);
        assert_true(a.sent && sv_is(a.body, "some bytes"));
        assert_true(sv_is(http_answer_header(&a, "x-request-id"), "mine"));
    }
    c.answer_max = 4;
    assert_int_equal(http_fetch(mem, &c, &a), ERR_UPSTREAM);
    assert_true(a.status == 0 && a.sent);
    assert_string_equal(a.failure, "the answer is too large");
    struct http_call plain = {.method = "GET", .url = SV("http://example.com/")};
    assert_int_equal(http_fetch(mem, &plain, &a), ERR_UPSTREAM);
    assert_false(a.sent);
    struct http_call odd = {.method = "GET", .url = SV("file:///etc/passwd")};
    assert_int_equal(http_fetch(mem, &odd, &a), ERR_UPSTREAM);
    /* an answer that does not come: in doubt */
    snprintf(url, sizeof url, "http://localhost:%u/wait", http_port(server));
    struct http_call slow = {.method = "GET", .url = sv_from(url), .timeout_ms = 1000};
    assert_int_equal(http_fetch(mem, &slow, &a), ERR_UPSTREAM);
    assert_true(a.status == 0 && a.sent);
    sem_wait(&entered);
    sem_post(&leave);
    uint16_t port = http_port(server);
    http_stop(server);
    /* nobody there: surely not sent */
    snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", port);
    c.url = sv_from(url);
    assert_int_equal(http_fetch(mem, &c, &a), ERR_UPSTREAM);
    assert_false(a.sent);
    http_client_stop();
}

struct feed_log {
    pthread_mutex_t lock;
    struct buf text;
    bool ended, timed_out;
    char failure[64];
    sem_t some;
};

static void feed_status(void *arg, int status, const struct http_header *h, size_t n)
{
    (void)h, (void)n;
    struct feed_log *l = arg;
    buf_printf(&l->text, "[%d]", status);
}

static enum http_more feed_data(void *arg, sv bytes)
{
    struct feed_log *l = arg;
    buf_add(&l->text, bytes);
    sem_post(&l->some);
    return HTTP_ALIVE;
}

static void feed_end(void *arg, const char *failure, bool timed_out)
{
    struct feed_log *l = arg;
    snprintf(l->failure, sizeof l->failure, "%s", failure ? failure : "");
    l->timed_out = timed_out;
    l->ended = true;
    sem_post(&l->some);
}

static void feeds(void **state)
{
    (void)state;
    start((struct http_options){0});
    http_client_start(false);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/stream", http_port(server));
    struct http_call c = {.method = "GET", .url = sv_from(url)};
    struct http_feed f = {.status = feed_status, .data = feed_data, .end = feed_end};
    struct feed_log log = {0};
    sem_init(&log.some, 0, 0);
    struct http_flow *flow;
    /* to its end */
    assert_int_equal(http_feed_start(&c, &f, &log, &flow), OK);
    sem_wait(&entered);
    stream_send(held, SV("data: 1\n\n"));
    sem_wait(&log.some);
    stream_close(held);
    stream_unref(held);
    sem_wait(&log.some);
    assert_true(log.ended && log.failure[0] == '\0');
    assert_string_equal(log.text.p, "[200]data: 1\n\n");
    /* cancelled */
    log.ended = false;
    assert_int_equal(http_feed_start(&c, &f, &log, &flow), OK);
    sem_wait(&entered);
    http_feed_cancel(flow);
    sem_wait(&log.some);
    assert_true(log.ended && !log.timed_out);
    assert_string_equal(log.failure, "cancelled");
    wait_for(client_seen_gone);
    stream_unref(held);
    /* silent from the start, then in the middle */
    log.ended = false;
    f.first_event_ms = 300;
    assert_int_equal(http_feed_start(&c, &f, &log, &flow), OK);
    sem_wait(&entered);
    sem_wait(&log.some);
    assert_true(log.ended && log.timed_out);
    stream_unref(held);
    log.ended = false;
    f.first_event_ms = WAIT_MS;
    f.silence_ms = 300;
    assert_int_equal(http_feed_start(&c, &f, &log, &flow), OK);
    sem_wait(&entered);
    stream_send(held, SV("data: 2\n\n"));
    sem_wait(&log.some);
    sem_wait(&log.some);
    assert_true(log.ended && log.timed_out);
    stream_unref(held);
    buf_free(&log.text);
    http_client_stop();
    http_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions), cmocka_unit_test(runs_anew), cmocka_unit_test(keep_alive),
        cmocka_unit_test(refusals),     cmocka_unit_test(sizes),     cmocka_unit_test(deadlines),
        cmocka_unit_test(slow_header),  cmocka_unit_test(cap),       cmocka_unit_test(stops),
        cmocka_unit_test(stops_anyway), cmocka_unit_test(streams),   cmocka_unit_test(metrics),
        cmocka_unit_test(fetches),      cmocka_unit_test(feeds),
    };
    return cmocka_run_group_tests(tests, once_up, once_down);
}
