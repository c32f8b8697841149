/* Replays ready-made HTTP requests over keep-alive connections and prints what it measured as JSON.
 *
 *     replay PORT CONNECTIONS SECONDS FILE [RATE]
 *
 * FILE: requests one after another, each behind a line with its length in bytes. Every request is
 * sent once; the run ends when the file or the time is at its end. Answers must carry
 * Content-Length. RATE: at most so many requests a second, evenly; a latency then counts from the
 * moment the request was due, so a server that stalls is not asked less for it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct conn {
    int fd;
    const char *out; /* what is left to send */
    size_t out_n;
    char in[65536];
    size_t in_n;
    int64_t started_us;
    bool idle;
};

static const char *file_at, *file_end;
static int64_t deadline;
static uint32_t *latency_us;
static uint16_t *latency_second; /* of the run, in which it was due */
static size_t answers, failures;
static size_t latency_cap;
static double rate; /* requests a second, 0: as fast as they are answered */
static int64_t run_start;
static size_t rate_given;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static bool next_request(struct conn *c)
{
    int64_t due = now_us();
    if (file_at >= file_end || due >= deadline)
        return false;
    if (rate > 0) {
        int64_t at = run_start + (int64_t)((double)rate_given / rate * 1e6);
        if (at > due)
            return false;
        due = at;
        rate_given++;
    }
    char *end;
    unsigned long n = strtoul(file_at, &end, 10);
    c->out = end + 1;
    c->out_n = n;
    file_at = end + 1 + n;
    while (file_at < file_end && *file_at == '\n')
        file_at++;
    c->started_us = due;
    return true;
}

static void push(struct conn *c)
{
    while (c->out_n > 0) {
        ssize_t n = send(c->fd, c->out, c->out_n, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            die("send");
        c->out += n;
        c->out_n -= (size_t)n;
    }
}

/* Length of a whole answer at the start of the buffer, or 0. */
static size_t whole(const struct conn *c)
{
    const char *head_end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
    if (head_end == NULL)
        return 0;
    size_t head = (size_t)(head_end - c->in) + 4, body = 0;
    for (const char *p = c->in; p < head_end; p++)
        if (strncasecmp(p, "\ncontent-length:", 16) == 0)
            body = strtoul(p + 16, NULL, 10);
    return c->in_n >= head + body ? head + body : 0;
}

static void record(struct conn *c, size_t n)
{
    if (answers < latency_cap) {
        latency_us[answers] = (uint32_t)(now_us() - c->started_us);
        latency_second[answers] = (uint16_t)((c->started_us - run_start) / 1000000);
    }
    answers++;
    if (strncmp(c->in + 9, "200", 3) != 0 && failures++ < 3)
        fprintf(stderr, "%.*s\n", (int)(n > 400 ? 400 : n), c->in);
    memmove(c->in, c->in + n, c->in_n - n);
    c->in_n -= n;
}

static unsigned pull(struct conn *c)
{
    unsigned done = 0;
    for (;;) {
        ssize_t n = recv(c->fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return done;
        if (n <= 0)
            die("the server closed a connection");
        c->in_n += (size_t)n;
        for (size_t got; (got = whole(c)) > 0; done++) {
            record(c, got);
            c->idle = !next_request(c);
            if (c->idle)
                return done + 1;
            push(c);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void map_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    char *p = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        die("mmap");
    file_at = p;
    file_end = p + st.st_size;
    latency_cap = (size_t)st.st_size / 100 + 1;
    latency_us = calloc(latency_cap, sizeof *latency_us);
    latency_second = calloc(latency_cap, sizeof *latency_second);
}

static bool more(void)
{
    return file_at < file_end && now_us() < deadline;
}

/* What is due, to connections that have nothing to do. */
static unsigned give_out(struct conn *conns, unsigned n)
{
    unsigned begun = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!conns[i].idle)
            continue;
        if (!next_request(&conns[i]))
            break;
        conns[i].idle = false;
        begun++;
        push(&conns[i]);
    }
    return begun;
}

/* The 99th percentile of every second, for those who look for the worst. Before latencies are
 * sorted. */
static void print_seconds(size_t k)
{
    uint32_t *of = calloc(k + 1, sizeof *of);
    const char *comma = "";
    unsigned last = 0;
    for (size_t i = 0; i < k; i++)
        last = latency_second[i] > last ? latency_second[i] : last;
    printf(",\"p99_by_second\":[");
    for (unsigned s = 0; s <= last; s++) {
        size_t n = 0;
        for (size_t i = 0; i < k; i++)
            if (latency_second[i] == s)
                of[n++] = latency_us[i];
        qsort(of, n, sizeof *of, by_value);
        if (n > 0) {
            printf("%s%.3f", comma, of[n * 99 / 100] / 1e3);
            comma = ",";
        }
    }
    printf("]");
    free(of);
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: replay PORT CONNECTIONS SECONDS FILE [RATE]\n");
        return 2;
    }
    unsigned n = (unsigned)atoi(argv[2]), busy = 0;
    map_file(argv[4]);
    struct conn *conns = calloc(n, sizeof *conns);
    int ep = epoll_create1(0);
    int64_t start = now_us();
    run_start = start;
    rate = argc == 6 ? atof(argv[5]) : 0;
    deadline = start + (int64_t)(atof(argv[3]) * 1e6);
    for (unsigned i = 0; i < n; i++) {
        conns[i].fd = dial((uint16_t)atoi(argv[1]));
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &conns[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
        conns[i].idle = !next_request(&conns[i]);
        busy += !conns[i].idle;
        push(&conns[i]);
    }
    while (busy > 0 || (rate > 0 && more())) {
        struct epoll_event events[256];
        int got = epoll_wait(ep, events, 256, rate > 0 ? 1 : 60000);
        if (got < 0 || (got == 0 && rate <= 0))
            die("no answer for a minute");
        for (int i = 0; i < got; i++) {
            struct conn *c = events[i].data.ptr;
            push(c);
            bool was = !c->idle;
            pull(c);
            busy -= was && c->idle;
        }
        if (rate > 0)
            busy += give_out(conns, n);
    }
    double seconds = (double)(now_us() - start) / 1e6;
    size_t k = answers < latency_cap ? answers : latency_cap;
    if (k == 0)
        return 1;
    printf("{\"answers\":%zu,\"failures\":%zu,\"seconds\":%.3f,\"per_second\":%.1f", answers,
           failures, seconds, (double)answers / seconds);
    if (rate > 0)
        print_seconds(k);
    qsort(latency_us, k, sizeof *latency_us, by_value);
    printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}\n",
           latency_us[k / 2] / 1e3, latency_us[k * 99 / 100] / 1e3,
           latency_us[k * 999 / 1000] / 1e3, latency_us[k - 1] / 1e3);
    return failures > 0;
}
