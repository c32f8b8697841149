/* Two thousand answers at once, for the bench. Three programs in one, each a single epoll loop:
 *
 *   streams provider PORT GAP_MS EVENTS   an AI provider (OpenAI dialect): EVENTS words, one every
 * GAP_MS, to each streams readers PORT N TOKENS         N browsers that each say something new and
 * read the answer to its end streams steady PORT RATE SECONDS TOKENS PATH...   RATE requests a
 * second, evenly spaced, paths in turn
 *
 * TOKENS is a file with a session token a line. A word of the provider is the microsecond in which
 * it was sent, so that a reader knows how long it took through the server. Results are one JSON
 * line. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct peer {
    int fd;
    bool busy, done, failed;
    int left;      /* provider: words still to send */
    int64_t at_us; /* provider: of the next word; else: of the request */
    int64_t first_us;
    size_t n;
    char in[16384];
};

static int ep;
static char **tokens;
static size_t ntokens;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- samples */
struct samples {
    float *ms;
    size_t n, cap;
};

static void sample(struct samples *s, int64_t us)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4096;
        s->ms = realloc(s->ms, s->cap * sizeof *s->ms);
        if (s->ms == NULL)
            fail("memory");
    }
    s->ms[s->n++] = (float)us / 1000;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float percentile(struct samples *s, double p)
{
    if (s->n == 0)
        return 0;
    qsort(s->ms, s->n, sizeof *s->ms, by_value);
    size_t i = (size_t)(p * (double)s->n);
    return s->ms[i < s->n ? i : s->n - 1];
}

/* ---- sockets */
static void watch(struct peer *p, int op)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(ep, op, p->fd, &ev) != 0)
        fail("epoll");
}

static void set_up(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void connect_to(struct peer *p, int port)
{
    struct sockaddr_in a = loopback(port);
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&a, sizeof a) != 0)
        fail("connect");
    set_up(p->fd);
    watch(p, EPOLL_CTL_ADD);
}

static void put(struct peer *p, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t w = write(p->fd, text + at, n - at);
        if (w > 0) {
            at += (size_t)w;
        } else if (w < 0 && errno != EAGAIN && errno != EINTR) {
            p->failed = true;
            return;
        }
    }
}

static void read_tokens(const char *file)
{
    char line[256];
    FILE *f = fopen(file, "r");
    if (f == NULL)
        fail(file);
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        tokens = realloc(tokens, (ntokens + 1) * sizeof *tokens);
        tokens[ntokens++] = strdup(line);
    }
    fclose(f);
}

static void most_files(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* ---- the provider */
static bool whole_request(struct peer *p)
{
    p->in[p->n] = '\0';
    const char *end = strstr(p->in, "\r\n\r\n"), *length = strcasestr(p->in, "content-length:");
    if (end == NULL || length == NULL)
        return false;
    return p->n >= (size_t)(end + 4 - p->in) + strtoul(length + 15, NULL, 10);
}

static void say(struct peer *p, int64_t gap_us)
{
    char text[256];
    int64_t now = now_us();
    if (p->left-- > 0) {
        int n = snprintf(text, sizeof text,
                         "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t%lld "
                         "\"},\"finish_reason\":null}]}\n\n",
                         (long long)now);
        put(p, text, (size_t)n);
        p->at_us += gap_us;
        return;
    }
    static const char last[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
        "[DONE]\n\n";
    put(p, last, sizeof last - 1);
    p->done = true;
}

static void hear(struct peer *p, int64_t gap_us, int events)
{
    ssize_t n = read(p->fd, p->in + p->n, sizeof p->in - 1 - p->n);
    if (n <= 0 && !(n < 0 && errno == EAGAIN)) {
        p->done = true;
        return;
    }
    p->n += n > 0 ? (size_t)n : 0;
    if (p->busy || !whole_request(p)) {
        if (p->n == sizeof p->in - 1)
            p->done = true;
        return;
    }
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    put(p, head, sizeof head - 1);
    p->busy = true;
    p->left = strstr(p->in, "\"max_completion_tokens\":40,") != NULL ? 1 : events; /* a title */
    /* not all at the same moment */
    p->at_us = now_us() + (int64_t)(random() % (gap_us + 1));
}

static int provider(int port, int64_t gap_us, int events)
{
    static struct peer *all[16384];
    size_t n = 0;
    struct sockaddr_in a = loopback(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0)
        fail("listen");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event ev[256] = {{.events = EPOLLIN, .data.ptr = NULL}};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, ev);
    printf("ready\n");
    fflush(stdout);
    while (getppid() != 1) {
        int got = epoll_wait(ep, ev, 256, 5);
        for (int i = 0; i < got; i++) {
            if (ev[i].data.ptr != NULL) {
                hear(ev[i].data.ptr, gap_us, events);
                continue;
            }
            for (int c; n < 16384 && (c = accept(fd, NULL, NULL)) >= 0;) {
                struct peer *p = calloc(1, sizeof *p);
                p->fd = c;
                set_up(c);
                watch(p, EPOLL_CTL_ADD);
                all[n++] = p;
            }
        }
        int64_t now = now_us();
        for (size_t i = 0; i < n; i++) {
            struct peer *p = all[i];
            while (p->busy && !p->done && !p->failed && p->at_us <= now)
                say(p, gap_us);
            if (p->done || p->failed) {
                close(p->fd);
                free(p);
                all[i--] = all[--n];
            }
        }
    }
    return 0;
}

/* ---- the readers */
static struct samples first, word;
static size_t whole, wrong;

static void ask(struct peer *p, size_t i)
{
    static const char body[] = "{\"content\":\"I sleep badly, since weeks. What could I do?\"}";
    char text[1024];
    int n = snprintf(
        text, sizeof text,
        "POST /api/chat/conversations/new/messages HTTP/1.1\r\nHost: bench.mybeing.example\r\n"
        "Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: "
        "%zu\r\n\r\n%s",
        tokens[i % ntokens], sizeof body - 1, body);
    p->at_us = now_us();
    put(p, text, (size_t)n);
}

static void take_words(struct peer *p)
{
    int64_t now = now_us();
    p->in[p->n] = '\0';
    char *at = p->in;
    for (char *t; (t = strstr(at, "\"delta\":\"t")) != NULL;) {
        char *end = strchr(t + 9, '"');
        if (end == NULL)
            break;
        if (p->first_us == 0) {
            p->first_us = now;
            sample(&first, now - p->at_us);
        }
        for (char *w = t + 9; (w = memchr(w, 't', (size_t)(end - w))) != NULL; w++)
            sample(&word, now - strtoll(w + 1, NULL, 10));
        at = end;
    }
    if (strstr(at, "\"type\":\"finish\"") != NULL || strstr(at, "\"type\":\"error\"") != NULL ||
        (p->first_us == 0 && strstr(at, "HTTP/1.1 4") != NULL) ||
        strstr(at, "HTTP/1.1 5") != NULL) {
        p->done = true;
        strstr(at, "\"type\":\"finish\"") != NULL ? whole++ : wrong++;
    }
    size_t keep = p->n - (size_t)(at - p->in), most = 1024;
    if (keep > most && strstr(at, "\"delta\":\"t") == NULL) {
        at += keep - most;
        keep = most;
    }
    memmove(p->in, at, keep);
    p->n = keep;
}

static int readers(int port, size_t n)
{
    struct peer *all = calloc(n, sizeof *all);
    struct epoll_event ev[256];
    size_t ended = 0, opened = 0;
    int64_t began = now_us(), all_open = 0, until = began + 180 * 1000000LL;
    while (ended < n && now_us() < until) {
        for (int k = 0; opened < n && k < 8; k++, opened++) {
            connect_to(&all[opened], port);
            ask(&all[opened], opened);
        }
        int got = epoll_wait(ep, ev, 256, opened < n ? 2 : 1000);
        for (int i = 0; i < got; i++) {
            struct peer *p = ev[i].data.ptr;
            ssize_t r = read(p->fd, p->in + p->n, sizeof p->in - 1 - p->n);
            if (r > 0) {
                p->n += (size_t)r;
                take_words(p);
            } else if (r == 0 || errno != EAGAIN) {
                p->failed = true;
                wrong += !p->done;
            }
            if (p->done || p->failed) {
                close(p->fd);
                ended++;
            }
        }
        if (all_open == 0 && first.n == n) { /* tell the bench that all of them run */
            all_open = now_us() - began;
            printf("all\n");
            fflush(stdout);
        }
    }
    printf("{\"streams\":%zu,\"whole\":%zu,\"wrong\":%zu,\"all_open_ms\":%.0f,\"words\":%zu,"
           "\"first_p50_ms\":%.1f,"
           "\"first_p99_ms\":%.1f,\"word_p50_ms\":%.2f,\"word_p99_ms\":%.2f}\n",
           n, whole, wrong, (double)all_open / 1000, word.n, percentile(&first, .5),
           percentile(&first, .99), percentile(&word, .5), percentile(&word, .99));
    return 0;
}

/* ---- steady requests */
#define STEADY 32

static int steady(int port, int rate, int seconds, char **paths, int npaths)
{
    static struct peer all[STEADY];
    static struct samples took;
    struct epoll_event ev[STEADY];
    size_t bad = 0, asked = 0, late = 0;
    for (int i = 0; i < STEADY; i++)
        connect_to(&all[i], port);
    int64_t gap = 1000000 / rate, next = now_us(), until = next + seconds * 1000000LL;
    for (int64_t now; (now = now_us()) < until;) {
        while (next <= now) {
            struct peer *p = NULL;
            for (int i = 0; i < STEADY && p == NULL; i++)
                p = all[i].busy ? NULL : &all[i];
            if (p == NULL) { /* none is free: it waits, and its wait counts */
                late++;
                break;
            }
            char text[512];
            int n = snprintf(text, sizeof text,
                             "GET %s HTTP/1.1\r\nHost: bench.mybeing.example\r\nAuthorization: "
                             "Bearer %s\r\n\r\n",
                             paths[asked % (size_t)npaths], tokens[asked % ntokens]);
            p->busy = true;
            p->n = 0;
            p->at_us = next; /* when it was due */
            asked++;
            next += gap;
            put(p, text, (size_t)n);
        }
        int64_t wait = (next - now_us()) / 1000; /* none free: until one is */
        int got = epoll_wait(ep, ev, STEADY, next < now_us() ? 100 : (int)wait);
        for (int i = 0; i < got; i++) {
            struct peer *p = ev[i].data.ptr;
            ssize_t r = read(p->fd, p->in + p->n, sizeof p->in - 1 - p->n);
            if (r <= 0)
                fail("the server hung up");
            p->n += (size_t)r;
            if (!whole_request(p))
                continue;
            bad += strncmp(p->in, "HTTP/1.1 200", 12) != 0;
            p->busy = false;
            sample(&took, now_us() - p->at_us);
        }
    }
    printf("{\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"failures\":%zu,"
           "\"late\":%zu}\n",
           (double)took.n / seconds, percentile(&took, .5), percentile(&took, .99),
           percentile(&took, .999), bad, late);
    return 0;
}

int main(int argc, char **argv)
{
    ep = epoll_create1(0);
    most_files();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 5 && strcmp(argv[1], "provider") == 0)
        return provider(atoi(argv[2]), atoll(argv[3]) * 1000, atoi(argv[4]));
    if (argc == 5 && strcmp(argv[1], "readers") == 0) {
        read_tokens(argv[4]);
        return readers(atoi(argv[2]), strtoul(argv[3], NULL, 10));
    }
    if (argc > 6 && strcmp(argv[1], "steady") == 0) {
        read_tokens(argv[5]);
        return steady(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), argv + 6, argc - 6);
    }
    fprintf(stderr, "see the top of streams.c\n");
    return 2;
}
