/* A server on loopback that says what the test wrote down: one answer a connection, in order. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ext/stripe.h"

#define KEY "sk_test_very_secret_key"

/* What the server says to each connection, in order; NULL = hangs up without a word. */
static struct {
    const char *answers[8];
    int n, served, fd;
    char seen[8][4096];
    pthread_t thread;
} script;

static size_t read_request(int fd, char *to, size_t size)
{
    size_t n = 0, want = SIZE_MAX;
    while (n < size - 1 && n < want) {
        ssize_t got = read(fd, to + n, size - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        to[n] = '\0';
        const char *end = strstr(to, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(to, "content-length:");
            want = (size_t)(end + 4 - to) + (length ? (size_t)atoi(length + 15) : 0);
        }
    }
    return n;
}

static void *serve(void *arg)
{
    (void)arg;
    for (int i = 0; i < script.n; i++) {
        int fd = accept(script.fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        read_request(fd, script.seen[i], sizeof script.seen[i]);
        script.served++;
        if (script.answers[i] != NULL) {
            ssize_t sent = write(fd, script.answers[i], strlen(script.answers[i]));
            (void)sent;
        }
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }
    return NULL;
}

static inline void start(const char *const *answers, int n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    memset(&script, 0, sizeof script);
    script.n = n;
    for (int i = 0; i < n; i++)
        script.answers[i] = answers[i];
    script.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(script.fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(script.fd, 8), 0);
    assert_int_equal(getsockname(script.fd, (struct sockaddr *)&a, &size), 0);
    char base[64];
    snprintf(base, sizeof base, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    struct stripe_config c = {SV(KEY), sv_from(base), SV_NULL, 0};
    stripe_configure(&c);
    assert_int_equal(pthread_create(&script.thread, NULL, serve, NULL), 0);
}

static inline void stop(void)
{
    shutdown(script.fd, SHUT_RDWR);
    pthread_join(script.thread, NULL);
    close(script.fd);
}

#define OKAY                                                                                       \
    "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"              \
    "Request-Id: req_1\r\nContent-Type: application/json\r\n\r\n{\"id\":\"cus_1\"}"
#define ERROR_OF(status, more, type, code)                                                         \
    "HTTP/1.1 " status " X\r\nConnection: close\r\nRequest-Id: req_9\r\n" more                     \
    "Content-Type: application/json\r\n\r\n{\"error\":{\"type\":\"" type "\",\"code\":\"" code     \
    "\",\"message\":\"Invalid API Key provided: " KEY "\",\"param\":\"customer\"}}"
