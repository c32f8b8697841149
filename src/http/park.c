/* Connections that have been silent for a while, outside of the library: it keeps 20 KB for each,
 * this a hundred bytes. Whoever speaks again is given back. */
#include "http/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct parked {
    struct parked *prev, *next;
    int fd;
    struct park_note note;
};

/* Parked connections are added by the event loops and freed by the thread alone. */
struct park {
    pthread_mutex_t lock;
    struct parked *first, *last; /* the longest silent one first */
    _Atomic size_t n;
    _Atomic size_t unwanted; /* so many of the longest silent have to go */
    _Atomic bool stop;
    pthread_t thread;
    int epoll, wake;
    int64_t idle_us;
    park_back_fn back;
    void *cls;
};

static void wake(struct park *p)
{
    uint64_t one = 1;
    ssize_t n = write(p->wake, &one, sizeof one);
    (void)n;
}

/* Out of the list and the epoll; its socket is still open. */
static void take_out(struct park *p, struct parked *x)
{
    pthread_mutex_lock(&p->lock);
    *(x->prev != NULL ? &x->prev->next : &p->first) = x->next;
    *(x->next != NULL ? &x->next->prev : &p->last) = x->prev;
    p->n--;
    pthread_mutex_unlock(&p->lock);
    epoll_ctl(p->epoll, EPOLL_CTL_DEL, x->fd, NULL);
}

static void end(struct park *p, struct parked *x)
{
    take_out(p, x);
    close(x->fd);
    free(x);
}

static bool gone(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void spoke(struct park *p, struct parked *x)
{
    if (gone(x->fd)) {
        end(p, x);
        return;
    }
    take_out(p, x);
    p->back(p->cls, x->fd, &x->note);
    free(x);
}

static struct parked *oldest(struct park *p)
{
    pthread_mutex_lock(&p->lock);
    struct parked *x = p->first;
    pthread_mutex_unlock(&p->lock);
    return x;
}

/* Ends those that nobody wants any more; milliseconds until the next one, -1: nobody is there. */
static int sweep(struct park *p)
{
    for (size_t n = atomic_exchange(&p->unwanted, 0); n > 0 && p->n > 0; n--)
        end(p, oldest(p));
    int64_t now = clock_mono_us();
    struct parked *x;
    while ((x = oldest(p)) != NULL && now - x->note.since_us > p->idle_us)
        end(p, x);
    return x == NULL ? -1 : (int)((x->note.since_us + p->idle_us - now) / 1000) + 1;
}

static void *watch(void *arg)
{
    struct park *p = arg;
    struct epoll_event ev[64];
    int wait = -1;
    while (!p->stop) {
        int n = epoll_wait(p->epoll, ev, 64, wait);
        for (int i = 0; i < n; i++) {
            uint64_t count;
            if (ev[i].data.ptr != NULL)
                spoke(p, ev[i].data.ptr);
            else if (read(p->wake, &count, sizeof count) < 0)
                continue;
        }
        wait = sweep(p);
    }
    for (struct parked *x; (x = oldest(p)) != NULL;)
        end(p, x);
    return NULL;
}

struct park *park_start(int64_t idle_us, park_back_fn back, void *cls)
{
    struct park *p = calloc(1, sizeof *p);
    if (p == NULL)
        abort();
    pthread_mutex_init(&p->lock, NULL);
    p->idle_us = idle_us;
    p->back = back;
    p->cls = cls;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (p->epoll < 0 || p->wake < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev) != 0 ||
        pthread_create(&p->thread, NULL, watch, p) != 0)
        abort();
    return p;
}

void park_put(struct park *p, int fd, const struct park_note *note)
{
    struct parked *x = malloc(sizeof *x);
    if (x == NULL)
        abort();
    *x = (struct parked){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .note = *note};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = x};
    pthread_mutex_lock(&p->lock); /* the thread may hear of it at once, but waits for the lock */
    if (x->fd < 0 || p->stop || epoll_ctl(p->epoll, EPOLL_CTL_ADD, x->fd, &ev) != 0) {
        pthread_mutex_unlock(&p->lock);
        if (x->fd >= 0)
            close(x->fd);
        free(x);
        return;
    }
    x->prev = p->last;
    *(p->last != NULL ? &p->last->next : &p->first) = x;
    p->last = x;
    bool first = p->n++ == 0;
    pthread_mutex_unlock(&p->lock);
    if (first) /* it sleeps without a limit */
        wake(p);
}

void park_drop(struct park *p, size_t n)
{
    atomic_fetch_add(&p->unwanted, n);
    wake(p);
}

size_t park_count(const struct park *p)
{
    return p->n;
}

void park_stop(struct park *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    wake(p);
    pthread_join(p->thread, NULL);
}

void park_free(struct park *p)
{
    close(p->wake);
    close(p->epoll);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
