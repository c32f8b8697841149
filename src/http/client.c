/* Calls to the outside: one curl multi handle on a thread of its own, driven by epoll. Other
 * threads only hand over flows and cancels, through a queue and an eventfd. */
#include "http/client.h"
#include "base/buf.h"
#include "http/curl.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ANSWER_MAX  (8 << 20)
#define KEPT_MAX    256 /* idle connections */
#define HEADS_MAX   64
#define TICK_MS     100   /* of the feeds' deadlines */
#define FEED_BUFFER 4096L /* thousands of feeds run at once, and each brings little at a time */

struct http_flow {
    CURL *easy;
    struct curl_slist *heads;
    char *body;
    size_t answer_max;
    bool feed, started, told_status, over;
    _Atomic bool cancel;
    struct http_feed f;
    void *arg;
    int64_t begun_us, last_us; /* last_us 0: no sign of life yet */
    const char *failure;       /* ours; else curl's */
    bool timed_out;
    char curl_error[CURL_ERROR_SIZE];
    /* the answer */
    struct buf in, head_text;
    size_t nheads;
    struct {
        size_t name, nname, value, nvalue;
    } head[HEADS_MAX];
    int status;
    bool sent;
    CURLcode code;
    /* a caller that waits */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
    struct http_flow *next;       /* handed over */
    struct http_flow *fore, *aft; /* running */
};

static struct {
    pthread_mutex_t lock;
    pthread_t thread;
    bool running, allow_plain; /* calls are taken */
    bool looping;              /* the thread is there: from the first call on */
    _Atomic bool stop;
    struct http_flow *queued, **last;
    int epoll, wake;
    CURLM *multi;
    int64_t timer_us; /* -1: none */
    struct http_flow *flows;
} c = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* -------- what comes in -------- */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    (void)size;
    struct http_flow *f = arg;
    sv line = sv_trim((sv){p, n}), rest = line;
    if (sv_starts(line, SV("HTTP/"))) { /* the last answer counts: 100 Continue comes before it */
        f->nheads = 0;
        buf_clear(&f->head_text);
        return n;
    }
    sv name = sv_trim(sv_cut(&rest, ':'));
    if (rest.p == NULL || name.n == 0 || f->nheads == HEADS_MAX || f->head_text.n + n > 65536)
        return n;
    sv value = sv_trim(rest);
    size_t at = f->head_text.n;
    for (size_t i = 0; i < name.n; i++)
        buf_char(&f->head_text,
                 name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    buf_char(&f->head_text, '\0');
    size_t v = f->head_text.n;
    buf_add(&f->head_text, value);
    buf_char(&f->head_text, '\0');
    f->head[f->nheads].name = at;
    f->head[f->nheads].nname = name.n;
    f->head[f->nheads].value = v;
    f->head[f->nheads++].nvalue = value.n;
    return n;
}

static size_t headers_of(const struct http_flow *f, struct http_header *out)
{
    for (size_t i = 0; i < f->nheads; i++)
        out[i] = (struct http_header){f->head_text.p + f->head[i].name,
                                      {f->head_text.p + f->head[i].value, f->head[i].nvalue}};
    return f->nheads;
}

static void tell_status(struct http_flow *f)
{
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    f->status = (int)status;
    if (!f->feed || f->told_status || status < 200)
        return;
    f->told_status = true;
    struct http_header h[HEADS_MAX];
    if (f->f.status != NULL)
        f->f.status(f->arg, f->status, h, headers_of(f, h));
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    (void)size;
    struct http_flow *f = arg;
    tell_status(f);
    if (f->cancel) {
        f->failure = "cancelled";
        return 0;
    }
    if (f->feed) {
        enum http_more more = f->f.data(f->arg, (sv){p, n});
        if (more == HTTP_ALIVE)
            f->last_us = clock_mono_us();
        if (more != HTTP_STOP)
            return n;
        f->failure = "stopped";
        return 0;
    }
    if (f->in.n + n > f->answer_max) {
        f->failure = "the answer is too large";
        return 0;
    }
    buf_add(&f->in, (sv){p, n});
    return n;
}

/* -------- epoll under curl -------- */
static int on_socket(CURL *easy, curl_socket_t s, int what, void *arg, void *sock)
{
    (void)easy, (void)arg;
    struct epoll_event ev = {.data.fd = s};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(c.epoll, EPOLL_CTL_DEL, s, &ev);
        curl_multi_assign(c.multi, s, NULL);
        return 0;
    }
    ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0U) | (what & CURL_POLL_OUT ? EPOLLOUT : 0U);
    if (sock != NULL && epoll_ctl(c.epoll, EPOLL_CTL_MOD, s, &ev) == 0)
        return 0;
    if (epoll_ctl(c.epoll, EPOLL_CTL_ADD, s, &ev) != 0 && errno == EEXIST)
        epoll_ctl(c.epoll, EPOLL_CTL_MOD, s, &ev);
    curl_multi_assign(c.multi, s, &c);
    return 0;
}

static int on_timer(CURLM *m, long ms, void *arg)
{
    (void)m, (void)arg;
    c.timer_us = ms < 0 ? -1 : clock_mono_us() + ms * 1000;
    return 0;
}

/* -------- life of a flow, on the client's thread -------- */
static void flow_free(struct http_flow *f)
{
    curl_slist_free_all(f->heads);
    free(f->body);
    buf_free(&f->in);
    buf_free(&f->head_text);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->done_cond);
    free(f);
}

static void flow_end(struct http_flow *f, CURLcode code)
{
    if (f->started) {
        long bytes = 0;
        curl_off_t up = 0;
        curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &bytes);
        curl_easy_getinfo(f->easy, CURLINFO_SIZE_UPLOAD_T, &up);
        f->sent = bytes > 0 || up > 0;
        tell_status(f);
        curl_multi_remove_handle(c.multi, f->easy);
        *(f->fore != NULL ? &f->fore->aft : &c.flows) = f->aft;
        if (f->aft != NULL)
            f->aft->fore = f->fore;
    }
    curl_easy_cleanup(f->easy);
    f->easy = NULL;
    f->code = code;
    f->timed_out = f->timed_out || code == CURLE_OPERATION_TIMEDOUT;
    if (f->failure == NULL && code != CURLE_OK)
        f->failure = f->curl_error[0] ? f->curl_error : curl_easy_strerror(code);
    if (f->feed) {
        f->f.end(f->arg, f->failure, f->timed_out);
        flow_free(f);
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->done = true;
    pthread_cond_signal(&f->done_cond);
    pthread_mutex_unlock(&f->lock);
}

static void take_queued(void)
{
    pthread_mutex_lock(&c.lock);
    struct http_flow *f = c.queued;
    c.queued = NULL;
    c.last = &c.queued;
    pthread_mutex_unlock(&c.lock);
    for (struct http_flow *next; f != NULL; f = next) {
        next = f->next;
        f->begun_us = clock_mono_us();
        if (f->cancel) {
            f->failure = "cancelled";
            flow_end(f, CURLE_ABORTED_BY_CALLBACK);
        } else if (curl_multi_add_handle(c.multi, f->easy) != CURLM_OK) {
            f->failure = "the client has no room";
            flow_end(f, CURLE_FAILED_INIT);
        } else {
            f->started = true;
            f->aft = c.flows;
            if (c.flows != NULL)
                c.flows->fore = f;
            c.flows = f;
        }
    }
}

static void take_finished(void)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c.multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_flow *f;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        flow_end(f, code);
    }
}

/* Deadlines of feeds, and cancels. */
static void look_over(void)
{
    int64_t now = clock_mono_us();
    for (struct http_flow *f = c.flows, *next; f != NULL; f = next) {
        next = f->aft;
        if (f->cancel) {
            f->failure = "cancelled";
            flow_end(f, CURLE_ABORTED_BY_CALLBACK);
            continue;
        }
        if (!f->feed)
            continue;
        int ms = f->last_us == 0 ? f->f.first_event_ms : f->f.silence_ms;
        if (ms == 0 || now - (f->last_us ? f->last_us : f->begun_us) < ms * INT64_C(1000))
            continue;
        f->failure = f->last_us == 0 ? "no answer in time" : "the answer stopped coming";
        f->timed_out = true;
        flow_end(f, CURLE_OPERATION_TIMEDOUT);
    }
}

static void *loop(void *arg)
{
    (void)arg;
    int64_t look = 0;
    while (!c.stop) {
        int64_t now = clock_mono_us();
        int64_t wait = c.timer_us < 0 ? 1000 : (c.timer_us - now + 999) / 1000;
        if (c.flows != NULL && wait > TICK_MS)
            wait = TICK_MS;
        struct epoll_event ev[64];
        int n = epoll_wait(c.epoll, ev, 64, wait < 0 ? 0 : (int)wait), running;
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == c.wake) {
                uint64_t v;
                ssize_t got = read(c.wake, &v, sizeof v);
                (void)got;
                look = 0;
                continue;
            }
            int how = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                      (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                      (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(c.multi, ev[i].data.fd, how, &running);
        }
        take_queued();
        now = clock_mono_us();
        if (c.timer_us >= 0 && now >= c.timer_us) {
            c.timer_us = -1;
            curl_multi_socket_action(c.multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        take_finished();
        if (now >= look) {
            look_over();
            look = now + TICK_MS * 1000;
        }
    }
    take_queued();
    while (c.flows != NULL) {
        c.flows->failure = "cancelled";
        flow_end(c.flows, CURLE_ABORTED_BY_CALLBACK);
    }
    return NULL;
}

/* With the lock. */
static void loop_start(void)
{
    c.stop = false;
    c.last = &c.queued;
    c.timer_us = -1;
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    c.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c.multi = curl_multi_init();
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = c.wake};
    if (c.multi == NULL || c.epoll < 0 || c.wake < 0 ||
        epoll_ctl(c.epoll, EPOLL_CTL_ADD, c.wake, &ev) != 0)
        abort();
    curl_multi_setopt(c.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(c.multi, CURLMOPT_MAXCONNECTS, (long)KEPT_MAX);
    if (pthread_create(&c.thread, NULL, loop, NULL) != 0)
        abort();
    c.looping = true;
}

void http_client_start(bool allow_plain_http)
{
    pthread_mutex_lock(&c.lock);
    c.allow_plain = allow_plain_http;
    c.running = true;
    pthread_mutex_unlock(&c.lock);
}

/* The first call loads libcurl and starts the thread. */
static err client_ready(void)
{
    pthread_mutex_lock(&c.lock);
    err e = c.running ? curl_load() : FAIL(ERR_UPSTREAM, "the HTTP client is not running");
    if (e == OK && !c.looping)
        loop_start();
    pthread_mutex_unlock(&c.lock);
    return e;
}

static void wake(void)
{
    uint64_t one = 1;
    ssize_t n = write(c.wake, &one, sizeof one);
    (void)n;
}

void http_client_stop(void)
{
    pthread_mutex_lock(&c.lock);
    bool was = c.looping;
    c.running = c.looping = false;
    pthread_mutex_unlock(&c.lock);
    if (!was)
        return;
    c.stop = true;
    wake();
    pthread_join(c.thread, NULL);
    curl_multi_cleanup(c.multi);
    close(c.epoll);
    close(c.wake);
}

/* -------- making a flow, on the caller's thread -------- */
struct target {
    bool loopback, plain;
};

static err look_at_url(const char *url, struct target *out)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    if (ok) {
        out->plain = strcmp(scheme, "http") == 0;
        ok = out->plain || strcmp(scheme, "https") == 0;
        int a, b, d, end = 0;
        bool v4 = sscanf(host, "127.%d.%d.%d%n", &a, &b, &d, &end) == 3 && host[end] == '\0';
        out->loopback = v4 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return ok ? OK : FAIL(ERR_UPSTREAM, "not an http or https URL");
}

static void add_header(struct http_flow *f, const char *name, sv value)
{
    BUF_AUTO b = {0};
    /* curl writes an empty value only with ";" */
    buf_printf(&b, value.n ? "%s: %.*s" : "%s;%.*s", name, SV_ARG(value));
    for (size_t i = 0; i < b.n; i++) /* no caller's value may end a header */
        if (b.p[i] == '\r' || b.p[i] == '\n')
            b.p[i] = ' ';
    struct curl_slist *l = curl_slist_append(f->heads, b.p);
    if (l == NULL)
        abort();
    f->heads = l;
}

static void set_body(struct http_flow *f, const struct http_call *call)
{
    bool get = strcmp(call->method, "GET") == 0;
    if (get && call->body.n == 0) {
        curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
        return;
    }
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (call->body.n > 0 || strcmp(call->method, "DELETE") != 0) {
        f->body = malloc(call->body.n + 1);
        if (f->body == NULL)
            abort();
        if (call->body.n > 0)
            memcpy(f->body, call->body.p, call->body.n);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, f->body);
    }
    if (strcmp(call->method, "POST") != 0)
        curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_options(struct http_flow *f, const struct http_call *call, const char *url,
                        const struct target *t)
{
    CURL *e = f->easy;
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_error);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "MyBeing/" MYBEING_VERSION);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(call->connect_timeout_ms ? call->connect_timeout_ms : 5000));
    long all = call->timeout_ms ? call->timeout_ms : f->feed ? 0 : 30000;
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, all);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (t->loopback)
        curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (call->user_pwd != NULL) {
        curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(e, CURLOPT_USERPWD, call->user_pwd);
    }
    if (call->once) { /* curl repeats on a kept connection that was dead; on a fresh one never */
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    }
    set_body(f, call);
    add_header(f, "Expect", SV(""));
    for (size_t i = 0; i < call->nheaders; i++)
        add_header(f, call->headers[i].name, call->headers[i].value);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->heads);
}

static err flow_make(const struct http_call *call, struct http_flow **out)
{
    TRY(client_ready());
    char *url = strndup(call->url.p ? call->url.p : "", call->url.n);
    if (url == NULL)
        abort();
    struct target t = {0};
    err e = look_at_url(url, &t);
    if (e == OK && t.plain && !t.loopback && !c.allow_plain)
        e = FAIL(ERR_UPSTREAM, "plain http is for loopback only");
    if (e != OK) {
        free(url);
        return e;
    }
    struct http_flow *f = calloc(1, sizeof *f);
    if (f == NULL || (f->easy = curl_easy_init()) == NULL)
        abort();
    f->answer_max = call->answer_max ? call->answer_max : ANSWER_MAX;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->done_cond, NULL);
    set_options(f, call, url, &t); /* curl copies the URL */
    free(url);
    *out = f;
    return OK;
}

static err hand_over(struct http_flow *f)
{
    pthread_mutex_lock(&c.lock);
    bool ok = c.running;
    if (ok) {
        f->next = NULL;
        *c.last = f;
        c.last = &f->next;
        wake();
    }
    pthread_mutex_unlock(&c.lock);
    if (ok)
        return OK;
    curl_easy_cleanup(f->easy);
    flow_free(f);
    return FAIL(ERR_UPSTREAM, "the HTTP client is not running");
}

static void answer_fill(struct arena *mem, const struct http_flow *f, struct http_answer *out)
{
    struct http_header *h = ARENA_ARRAY(mem, struct http_header, f->nheads + 1);
    struct http_header from[HEADS_MAX];
    size_t n = headers_of(f, from);
    for (size_t i = 0; i < n; i++)
        h[i] = (struct http_header){arena_cstr(mem, sv_from(from[i].name)),
                                    arena_sv(mem, from[i].value)};
    bool answered = f->failure == NULL && f->status > 0;
    *out = (struct http_answer){
        .status = answered ? f->status : 0,
        .body = arena_sv(mem, buf_sv(&f->in)),
        .headers = h,
        .nheaders = n,
        .sent = f->sent,
        .failure =
            answered ? NULL : arena_cstr(mem, sv_from(f->failure ? f->failure : "no answer")),
    };
}

err http_fetch(struct arena *mem, const struct http_call *call, struct http_answer *out)
{
    struct http_flow *f;
    *out = (struct http_answer){.body = SV("")};
    err e = flow_make(call, &f);
    if (e == OK)
        e = hand_over(f);
    if (e != OK) {
        out->failure = arena_cstr(mem, sv_from(err_detail(e)));
        return e;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->done)
        pthread_cond_wait(&f->done_cond, &f->lock);
    pthread_mutex_unlock(&f->lock);
    answer_fill(mem, f, out);
    flow_free(f);
    return out->status > 0 ? OK : FAIL(ERR_UPSTREAM, "%s", out->failure);
}

err http_feed_start(const struct http_call *call, const struct http_feed *feed, void *arg,
                    struct http_flow **out)
{
    struct http_flow *f;
    TRY(flow_make(call, &f));
    f->feed = true;
    f->f = *feed;
    f->arg = arg;
    if (call->timeout_ms == 0)
        curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(f->easy, CURLOPT_BUFFERSIZE, FEED_BUFFER);
    *out = f; /* before the first callback can run */
    return hand_over(f);
}

void http_feed_cancel(struct http_flow *f)
{
    f->cancel = true;
    wake();
}

sv http_answer_header(const struct http_answer *a, const char *lower_name)
{
    for (size_t i = 0; i < a->nheaders; i++)
        if (strcmp(a->headers[i].name, lower_name) == 0)
            return a->headers[i].value;
    return SV_NULL;
}
