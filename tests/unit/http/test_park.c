/* Connections that are silent for longer than a header may take leave the library, and come back.
 */
#include "base/crypto.h"
#include "base/log.h"
#include "http/health.h"
#include "http/server.h"
#include "raw_client.h"

#include <stdio.h>
#include <stdlib.h>

#define GET_IT "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
#define SILENT 2500000 /* us: longer than the header's deadline of these servers */

static struct http_server *server;

static err echo(struct req *r)
{
    return reply_body(r, 200, "text/plain", r->body);
}

static err big(struct req *r)
{
    sv all = {arena_zero(r->mem, 8 << 20), 8 << 20};
    return reply_body(r, 200, "application/octet-stream", all);
}

static err whoami(struct req *r)
{
    return reply_body(r, 200, "text/plain", r->address);
}

static const struct route routes[] = {
    ROUTE(POST, "/echo", echo, .auth = AUTH_NONE, .tx = TX_INLINE, .body = BODY_RAW),
    ROUTE(GET, "/big", big, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/address", whoami, .auth = AUTH_NONE, .tx = TX_INLINE),
};

static err nobody(struct req *r, struct db_tx *tx)
{
    (void)r, (void)tx;
    return OK;
}

static void start(struct http_options o)
{
    o.auth = nobody;
    o.header_s = 1;
    o.idle_s = o.idle_s ? o.idle_s : 600;
    server = serve(o, ROUTE_SET(routes));
}

static int dial(void)
{
    return dial_port(http_port(server));
}

static void asks(int fd, const char *request, const char *want)
{
    BUF_AUTO b = {0};
    say(fd, request);
    if (!hear(fd, &b, want))
        fail_msg("'%s' did not come: %s", want, b.p ? b.p : "");
}

static bool ended(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};
    char c;
    return poll(&p, 1, ms) == 1 && recv(fd, &c, 1, MSG_PEEK) <= 0;
}

/* Waits until so many are parked; who asks for it is not. */
static void parked(int n)
{
    char line[64];
    snprintf(line, sizeof line, "\nmb_http_connections_parked %d\n", n);
    BUF_AUTO b = {0};
    for (int i = 0; i < WAIT_MS / 20; i++) {
        buf_clear(&b);
        int fd = dial();
        say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        hear(fd, &b, NULL);
        close(fd);
        if (strstr(b.p, line) != NULL)
            return;
        usleep(20000);
    }
    fail_msg("%s", b.p);
}

static void there_and_back(void **state)
{
    (void)state;
    start((struct http_options){0});
    int used = dial(), fresh = dial(), posted = dial(), leaver = dial();
    asks(used, GET_IT, "\"ok\"");
    asks(posted, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", "abcde");
    parked(4);
    close(leaver); /* is seen at once */
    parked(3);
    asks(used, "GET /address HTTP/1.1\r\nHost: x\r\n\r\n", "127.0.0.1");
    asks(fresh, GET_IT, "\"ok\"");
    asks(posted, GET_IT GET_IT, "\"ok\"");
    parked(3); /* and once more, from where they are now */
    asks(used, GET_IT, "\"ok\"");
    asks(fresh, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "hi");
    parked(3);
    say(used, "GET /hea"); /* wakes it, and then has its time like everybody */
    assert_true(ended(used, WAIT_MS));
    http_stop(server); /* with two parked */
    BUF_AUTO b = {0};
    hear(fresh, &b, NULL);
    hear(posted, &b, NULL);
    close(used);
    close(fresh);
    close(posted);
}

/* What the library has read of half a request would be lost: that connection ends. */
static void half_a_request(void **state)
{
    (void)state;
    start((struct http_options){0});
    const char *halves[] = {"G", GET_IT "G", GET_IT "GET /healthz HTT",
                            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGE",
                            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi\r\n"};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        int fd = dial();
        BUF_AUTO b = {0};
        say(fd, halves[i]);
        hear(fd, &b, NULL); /* the end; WAIT_MS is long before idle_s */
        close(fd);
    }
    http_stop(server);
}

/* Who pauses in the middle of a body or of a long answer is not silent between requests. */
static void pauses(void **state)
{
    (void)state;
    start((struct http_options){0});
    int up = dial(), down = dial(), small = 65536;
    setsockopt(down, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(up, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    say(down, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    usleep(SILENT);
    asks(up, "cde", "abcde");
    size_t got = 0;
    static char part[65536];
    for (ssize_t n; got < (8 << 20) && (n = recv(down, part, sizeof part, 0)) > 0;)
        got += (size_t)n;
    assert_true(got >= 8 << 20);
    parked(2);
    close(up);
    close(down);
    http_stop(server);
}

/* Parked ones count: the longest silent one makes room for a new one, and nobody else. */
static void room(void **state)
{
    (void)state;
    start((struct http_options){.max_conns = 4});
    int fd[4];
    for (int i = 0; i < 3; i++) {
        asks(fd[i] = dial(), GET_IT, "\"ok\"");
        parked(i + 1);
    }
    asks(fd[3] = dial(), GET_IT, "\"ok\"");
    assert_false(ended(fd[1], 0));
    int fifth = dial();
    asks(fifth, GET_IT, "\"ok\"");
    assert_true(ended(fd[0], WAIT_MS));
    asks(fd[1], GET_IT, "\"ok\"");
    asks(fd[2], GET_IT, "\"ok\"");
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    close(fifth);
    http_stop(server);
}

static void idle_ends(void **state)
{
    (void)state;
    start((struct http_options){.idle_s = 3});
    int fd = dial();
    asks(fd, GET_IT, "\"ok\"");
    parked(1);
    assert_true(ended(fd, WAIT_MS));
    close(fd);
    http_stop(server);
}

static int once_up(void **state)
{
    (void)state;
    crypto_init();
    log_init(LOG_JSON, LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(half_a_request),
        cmocka_unit_test(pauses),         cmocka_unit_test(room),
        cmocka_unit_test(idle_ends),
    };
    return cmocka_run_group_tests(tests, once_up, NULL);
}
