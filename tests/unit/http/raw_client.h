/* A server with a test's own routes, and bytes over a socket to it. Waits have wide limits: nothing
 * depends on being fast. */
#pragma once
#include "base/buf.h"
#include "http/health.h"
#include "http/server.h"
#include "test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 30000

/* `routes` beside those of health; o.auth and what a test is about are the caller's. One at a time.
 */
static inline struct http_server *serve(struct http_options o, struct route_set routes)
{
    static struct route_set sets[2];
    struct http_server *server;
    sets[0] = routes;
    sets[1] = health_routes;
    o.bind = SV("127.0.0.1");
    o.loops = 2;
    o.workers = 4;
    o.rate_scale = 1000;
    o.base_url = SV("http://127.0.0.1:1");
    o.cookie_key = SV("k");
    o.sets = sets;
    o.nsets = 2;
    assert_int_equal(http_start(&o, &server), OK);
    return server;
}

static inline int dial_port(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Appends what comes until `want` is there (true) or the end (false; want == NULL: the end is
 * fine). */
static inline bool hear(int fd, struct buf *b, const char *want)
{
    for (;;) {
        if (want != NULL && b->p != NULL && strstr(b->p, want) != NULL)
            return true;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, WAIT_MS) != 1)
            fail_msg("nothing came; so far: %s", b->p ? b->p : "");
        char part[16384];
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        buf_add(b, (sv){part, (size_t)n});
    }
}
