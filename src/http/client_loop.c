/* The client's thread: one curl multi handle driven by epoll. Other threads only hand over flows
 * and cancels, through a queue and an eventfd. */
#include "http/client_inner.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KEPT_MAX 256 /* idle connections */
#define TICK_MS  100 /* of the feeds' deadlines */

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

/* -------- life of a flow -------- */
static void flow_end(struct http_flow *f, CURLcode code)
{
    if (f->started) {
        long bytes = 0;
        curl_off_t up = 0;
        curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &bytes);
        curl_easy_getinfo(f->easy, CURLINFO_SIZE_UPLOAD_T, &up);
        f->sent = bytes > 0 || up > 0;
        flow_tell_status(f);
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

err loop_ready(bool *allow_plain)
{
    pthread_mutex_lock(&c.lock);
    *allow_plain = c.allow_plain;
    err e = c.running ? curl_load() : FAIL(ERR_UPSTREAM, "the HTTP client is not running");
    if (e == OK && !c.looping)
        loop_start();
    pthread_mutex_unlock(&c.lock);
    return e;
}

void loop_wake(void)
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
    loop_wake();
    pthread_join(c.thread, NULL);
    curl_multi_cleanup(c.multi);
    close(c.epoll);
    close(c.wake);
}

err loop_take(struct http_flow *f)
{
    pthread_mutex_lock(&c.lock);
    bool ok = c.running;
    if (ok) {
        f->next = NULL;
        *c.last = f;
        c.last = &f->next;
        loop_wake();
    }
    pthread_mutex_unlock(&c.lock);
    if (ok)
        return OK;
    curl_easy_cleanup(f->easy);
    flow_free(f);
    return FAIL(ERR_UPSTREAM, "the HTTP client is not running");
}
