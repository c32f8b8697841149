/* Replies that come over time. A stream is a queue of bytes between any thread and the connection's
 * event loop; an empty queue suspends the connection, a byte resumes it. */
#include "http/inner.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG_MAX (4 << 20) /* a client that does not read is cut off */

struct stream {
    pthread_mutex_t lock;
    _Atomic int refs;
    struct buf queue;
    size_t at; /* read so far */
    void *mc;  /* NULL: not attached, or gone */
    int fd;
    bool events, suspended, closed;
    _Atomic bool gone;
    int64_t last_us;
    struct stream *prev, *next; /* of the attached ones */
    bool due;
    struct stream *next_due;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *list;
static _Atomic size_t open_n;

struct stream *stream_new(struct http_conn *x, bool events)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    pthread_mutex_init(&s->lock, NULL);
    s->refs = 1;
    s->events = events;
    s->fd = -1;
    s->mc = x->mc;
    return s;
}

struct stream *stream_ref(struct stream *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void stream_unref(struct stream *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    buf_free(&s->queue);
    free(s);
}

/* -------- waking --------
 * For each time that it is woken an event loop goes through all its suspended connections; with
 * thousands of answers, word by word, that was a third of all work. So one thread wakes whoever has
 * something new together, and at most every WAKE_MS; a lone word after a pause goes at once. */
#define WAKE_MS 10

static pthread_mutex_t due_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t due_cond = PTHREAD_COND_INITIALIZER;
static struct stream *due;
static pthread_once_t waker_once = PTHREAD_ONCE_INIT;

/* Under the lock. */
static void wake_now(struct stream *s)
{
    if (!s->suspended)
        return;
    s->suspended = false;
    conn_resume_raw(s->mc);
}

static void wake_all(struct stream *first)
{
    for (struct stream *s = first, *next; s != NULL; s = next) {
        pthread_mutex_lock(&s->lock);
        next = s->next_due;
        s->due = false;
        wake_now(s);
        pthread_mutex_unlock(&s->lock);
        stream_unref(s);
    }
}

static void *waker(void *arg)
{
    int64_t next_us = 0;
    (void)arg;
    pthread_mutex_lock(&due_lock);
    for (;;) {
        while (due == NULL)
            pthread_cond_wait(&due_cond, &due_lock);
        int64_t rest_us = next_us - clock_mono_us();
        if (rest_us > 0) {
            pthread_mutex_unlock(&due_lock);
            usleep((useconds_t)rest_us);
            pthread_mutex_lock(&due_lock);
        }
        struct stream *first = due;
        due = NULL;
        pthread_mutex_unlock(&due_lock);
        next_us = clock_mono_us() + WAKE_MS * 1000;
        wake_all(first);
        pthread_mutex_lock(&due_lock);
    }
    return NULL;
}

/* Of the process, not of a server: it holds nothing but references. */
static void waker_start(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, waker, NULL) != 0)
        abort();
    pthread_detach(thread);
}

/* Under the lock. */
static void wake(struct stream *s)
{
    if (!s->suspended || s->due)
        return;
    pthread_once(&waker_once, waker_start);
    s->due = true;
    stream_ref(s);
    pthread_mutex_lock(&due_lock);
    s->next_due = due;
    if (due == NULL)
        pthread_cond_signal(&due_cond);
    due = s;
    pthread_mutex_unlock(&due_lock);
}

static void put(struct stream *s, sv bytes)
{
    if (s->gone || s->closed)
        return;
    if (s->queue.n - s->at + bytes.n > BACKLOG_MAX)
        s->gone = true;
    else
        buf_add(&s->queue, bytes);
    s->last_us = clock_mono_us();
    wake(s);
}

void stream_send(struct stream *s, sv bytes)
{
    if (bytes.n == 0)
        return;
    pthread_mutex_lock(&s->lock);
    put(s, bytes);
    pthread_mutex_unlock(&s->lock);
}

void stream_close(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

bool stream_gone(const struct stream *s)
{
    return s->gone;
}

void stream_attach(struct stream *s, int fd)
{
    pthread_mutex_lock(&s->lock);
    s->fd = fd;
    s->last_us = clock_mono_us();
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&list_lock);
    s->next = list;
    if (list != NULL)
        list->prev = s;
    list = s;
    open_n++;
    pthread_mutex_unlock(&list_lock);
}

void stream_detach(struct stream *s)
{
    pthread_mutex_lock(&list_lock);
    if (s->fd >= 0) {
        *(s->prev != NULL ? &s->prev->next : &list) = s->next;
        if (s->next != NULL)
            s->next->prev = s->prev;
        s->prev = s->next = NULL;
        open_n--;
    }
    pthread_mutex_unlock(&list_lock);
    pthread_mutex_lock(&s->lock);
    s->gone = true;
    s->suspended = false;
    s->mc = NULL;
    s->fd = -1;
    pthread_mutex_unlock(&s->lock);
}

int64_t stream_pull(struct stream *s, char *out, size_t max)
{
    pthread_mutex_lock(&s->lock);
    int64_t r;
    size_t n = s->queue.n - s->at;
    if (s->gone) {
        r = -2;
    } else if (n > 0) {
        n = n < max ? n : max;
        memcpy(out, s->queue.p + s->at, n);
        s->at += n;
        if (s->at == s->queue.n) {
            s->at = 0;
            if (s->queue.cap > 65536)
                buf_free(&s->queue);
            else
                buf_clear(&s->queue);
        }
        r = (int64_t)n;
    } else if (s->closed) {
        r = -1;
    } else {
        s->suspended = true;
        conn_suspend_raw(s->mc);
        r = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* A suspended connection is not watched by the library; its end is seen by asking. */
static bool peer_left(int fd)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
           info.tcpi_state != TCP_ESTABLISHED;
}

void streams_tick(int64_t now_us)
{
    pthread_mutex_lock(&list_lock);
    for (struct stream *s = list; s != NULL; s = s->next) {
        pthread_mutex_lock(&s->lock);
        if (s->suspended && peer_left(s->fd)) {
            s->gone = true;
            wake_now(s);
        } else if (s->events && now_us - s->last_us >= STREAM_QUIET * 1000000) {
            put(s, SV(": keep-alive\n\n"));
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&list_lock);
}

void streams_end_all(void)
{
    pthread_mutex_lock(&list_lock);
    for (struct stream *s = list; s != NULL; s = s->next) {
        pthread_mutex_lock(&s->lock);
        s->gone = true;
        wake_now(s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&list_lock);
}

size_t streams_open(void)
{
    return open_n;
}
