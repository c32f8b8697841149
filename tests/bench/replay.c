/* Replays ready-made HTTP requests over keep-alive connections and prints what it measured as JSON.
 *
 *     replay PORT CONNECTIONS SECONDS FILE RATE SECRET
 *
 * FILE: requests one after another, each behind a line with its length in bytes. Every request is
 * sent once; the run ends when the file or the time is at its end. Answers must carry
 * Content-Length. RATE: at most so many requests a second, evenly, 0: as fast as they are answered.
 * With a rate a latency counts from the moment the request was due, so a server that stalls is not
 * asked less for it.
 *
 * A request with UNSIGNED in its head gets the time and Stripe's signature with SECRET when it is
 * sent: a signature holds for five minutes, and files for longer can so be made before. */
#include "latency.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNSIGNED "Stripe-Signature: t=0000000000,v1="
#define FAR_MS   60000

struct conn {
    int fd;
    const char *out; /* what is left to send */
    size_t out_n;
    char in[65536];
    size_t in_n;
    char *copy; /* of a request that is signed */
    size_t copy_cap;
    int64_t started_us;
    bool idle;
};

static const char *file_at, *file_end;
static int64_t deadline;
static struct latencies took;
static size_t answers, failures;
static double rate; /* requests a second, 0: as fast as they are answered */
static int64_t run_start;
static size_t rate_given;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *secret;
static EVP_MAC_CTX *mac;

static void mac_open(const char *with)
{
    secret = with;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    if (!mac)
        die("HMAC");
}

/* Fills in the time and the signature of "TIME.BODY". */
static void sign(char *time_at, char *sig_at, const char *body, size_t body_n)
{
    char now[16];
    unsigned char sum[32];
    size_t sum_n = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string("digest", "SHA256", 0), OSSL_PARAM_END};
    snprintf(now, sizeof now, "%010lld.", (long long)time(NULL));
    if (!EVP_MAC_init(mac, (const unsigned char *)secret, strlen(secret), params) ||
        !EVP_MAC_update(mac, (const unsigned char *)now, 11) ||
        !EVP_MAC_update(mac, (const unsigned char *)body, body_n) ||
        !EVP_MAC_final(mac, sum, &sum_n, sizeof sum))
        die("HMAC");
    memcpy(time_at, now, 10);
    for (size_t i = 0; i < sizeof sum; i++) {
        sig_at[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        sig_at[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
}

/* What is sent of it: itself, or a signed copy. */
static void sign_if_wanted(struct conn *c)
{
    const char *body = memmem(c->out, c->out_n, "\r\n\r\n", 4);
    size_t head = body ? (size_t)(body - c->out) + 4 : 0;
    const char *mark = memmem(c->out, head, UNSIGNED, strlen(UNSIGNED));
    if (!mark)
        return;
    if (c->copy_cap < c->out_n) {
        free(c->copy);
        c->copy_cap = 2 * c->out_n;
        c->copy = malloc(c->copy_cap);
    }
    memcpy(c->copy, c->out, c->out_n);
    char *at = c->copy + (mark - c->out);
    sign(at + strlen("Stripe-Signature: t="), at + strlen(UNSIGNED), c->copy + head,
         c->out_n - head);
    c->out = c->copy;
}

static int64_t next_due(void)
{
    return run_start + (int64_t)((double)rate_given / rate * 1e6);
}

static bool next_request(struct conn *c)
{
    int64_t due = now_us();
    if (file_at >= file_end || due >= deadline)
        return false;
    if (rate > 0) {
        if (next_due() > due)
            return false;
        due = next_due();
        rate_given++;
    }
    char *end;
    unsigned long n = strtoul(file_at, &end, 10);
    c->out = end + 1;
    c->out_n = n;
    file_at = end + 1 + n;
    while (file_at < file_end && *file_at == '\n')
        file_at++;
    sign_if_wanted(c);
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
    latency_add(&took, c->started_us, run_start);
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
    took = latencies_new((size_t)st.st_size / 100 + 1);
}

static bool more(void)
{
    return file_at < file_end && now_us() < deadline;
}

/* What is due, to connections that have nothing to do, in turn: the server closes one that is
 * silent for long. */
static unsigned give_out(struct conn *conns, unsigned n)
{
    static unsigned at;
    unsigned begun = 0;
    for (unsigned i = 0; i < n; i++, at = (at + 1) % n) {
        if (!conns[at].idle)
            continue;
        if (!next_request(&conns[at]))
            break;
        conns[at].idle = false;
        begun++;
        push(&conns[at]);
    }
    return begun;
}

/* Until something comes or the next request is due, to the microsecond: a wait in whole
 * milliseconds would be a part of what is measured. */
static int wait_for(int ep, struct epoll_event *events, int n, bool sending)
{
    int64_t us = sending ? next_due() - now_us() : FAR_MS * INT64_C(1000);
    us = us < 0 ? 0 : us;
    return epoll_pwait2(ep, events, n, &(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: replay PORT CONNECTIONS SECONDS FILE RATE SECRET\n");
        return 2;
    }
    mac_open(argv[6]);
    prctl(PR_SET_TIMERSLACK, 1);
    unsigned n = (unsigned)atoi(argv[2]), busy = 0;
    map_file(argv[4]);
    struct conn *conns = calloc(n, sizeof *conns);
    int ep = epoll_create1(0);
    for (unsigned i = 0; i < n; i++) {
        conns[i].fd = dial((uint16_t)atoi(argv[1]));
        conns[i].idle = true;
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &conns[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
    }
    run_start = now_us();
    rate = atof(argv[5]);
    deadline = run_start + (int64_t)(atof(argv[3]) * 1e6);
    busy = give_out(conns, n);
    while (busy > 0 || (rate > 0 && more())) {
        struct epoll_event events[256];
        bool sending = rate > 0 && busy < n && more();
        int got = wait_for(ep, events, 256, sending);
        if (got < 0 || (got == 0 && !sending))
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
    double seconds = (double)(now_us() - run_start) / 1e6;
    if (answers == 0)
        return 1;
    printf("{\"answers\":%zu,\"failures\":%zu,\"seconds\":%.3f,\"per_second\":%.1f", answers,
           failures, seconds, (double)answers / seconds);
    if (rate > 0)
        latencies_print_seconds(&took);
    latencies_print(&took);
    printf("}\n");
    return failures > 0;
}
