/* The table of TCP connections: deadlines that the library has not (header, whole request, slow
 * reader), and an end that lets the client read our answer while it is still sending. */
#include "base/log.h"
#include "http/inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h> /* newer than netinet's: tcpi_bytes_received */
#include <malloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MAX     256
#define LINGER_SECONDS 3
#define TICK_MS        250
#define TRIM_STEP      512 /* connections fewer than there were */

/* -------- lingering ends -------- */
struct lingerer {
    int fd;
    int64_t until_us;
};

/* Not inlined: tests/tsan.supp names it. */
__attribute__((noinline)) static void linger_start(struct links *t, int fd)
{
    int n = atomic_fetch_add(&t->lingering, 1);
    int own = n < LINGER_MAX ? dup(fd) : -1;
    /* Writable at once: so the watcher hears of it even if the client never says anything again. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = own};
    if (own >= 0)
        shutdown(own, SHUT_WR); /* our end: the client sees it while we still read */
    if (own >= 0 && epoll_ctl(t->epoll, EPOLL_CTL_ADD, own, &ev) == 0)
        return;
    if (own >= 0)
        close(own);
    atomic_fetch_sub(&t->lingering, 1);
}

/* Reads and forgets; false at the end. */
static bool drain(int fd)
{
    static char scrap[65536];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(fd, scrap, sizeof scrap, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0)
            return true;
    }
    return true;
}

static void linger_end(struct links *t, struct lingerer *l)
{
    /* Taken out first: the library may still hold the connection, and while it does, closing our
     * number of it leaves it in the epoll, whose events would then name somebody else's number. */
    epoll_ctl(t->epoll, EPOLL_CTL_DEL, l->fd, NULL);
    close(l->fd);
    l->fd = -1;
    atomic_fetch_sub(&t->lingering, 1);
}

static struct lingerer *lingerer_of(struct lingerer *all, int fd, int64_t now_us)
{
    struct lingerer *free_one = NULL;
    for (int i = 0; i < LINGER_MAX; i++) {
        if (all[i].fd == fd)
            return &all[i];
        if (all[i].fd < 0 && free_one == NULL)
            free_one = &all[i];
    }
    if (free_one != NULL)
        *free_one = (struct lingerer){fd, now_us + LINGER_SECONDS * 1000000};
    return free_one;
}

/* -------- deadlines -------- */
static uint64_t bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_bytes_received : 0;
}

/* The library tells of a request when its first line is whole; a slower one is seen by its bytes.
 */
static void look_idle(struct link *l, int64_t now_us)
{
    uint64_t n = bytes_received(l->fd);
    bool grew = l->looked || l->fresh ? n > l->seen_bytes : false;
    l->seen_bytes = n;
    l->looked = true;
    int idle = LINK_IDLE;
    if (grew && atomic_compare_exchange_strong(&l->state, &idle, LINK_HEADER))
        atomic_store(&l->since_us, now_us);
}

static bool overdue(const struct links *t, const struct link *l, int64_t now_us)
{
    int64_t age = now_us - l->since_us;
    switch (atomic_load(&l->state)) {
    case LINK_IDLE:
        return age > t->idle_us;
    case LINK_HEADER:
        return age > t->header_us;
    case LINK_BODY:
    case LINK_REPLY:
        return age > t->request_us;
    default:
        return false;
    }
}

static void cut(const struct link *l)
{
    struct linger now = {.l_onoff = 1}; /* a reader that does not read is owed nothing more */
    if (l->state == LINK_REPLY)
        setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    shutdown(l->fd, SHUT_RDWR);
}

/* What so many connections had goes back to the system once they are gone or parked: the allocator
 * keeps it otherwise, since something small lies above. */
static void give_memory_back(struct links *t)
{
    size_t n = t->n;
    bool falling = n + TRIM_STEP / 8 < t->before;
    t->before = n;
    if (n > t->most)
        t->most = n;
    if (falling || t->most - n < TRIM_STEP)
        return;
    t->most = n;
    malloc_trim(0);
}

static void sweep(struct links *t)
{
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&t->lock);
    for (struct link *l = t->first; l != NULL; l = l->next) {
        if (l->state == LINK_IDLE && now - l->since_us > 2000000)
            look_idle(l, now);
        if (overdue(t, l, now))
            cut(l);
    }
    pthread_mutex_unlock(&t->lock);
    give_memory_back(t);
    streams_tick(now);
    observer_flush(t->observer);
}

static void *watch(void *arg)
{
    struct links *t = arg;
    struct lingerer all[LINGER_MAX];
    for (int i = 0; i < LINGER_MAX; i++)
        all[i].fd = -1;
    int64_t next = 0;
    while (!t->stop) {
        struct epoll_event ev[32];
        int n = epoll_wait(t->epoll, ev, 32, TICK_MS);
        int64_t now = clock_mono_us();
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == t->wake)
                continue;
            struct lingerer *l = lingerer_of(all, ev[i].data.fd, now);
            struct epoll_event reading = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = ev[i].data.fd};
            if (ev[i].events & EPOLLOUT)
                epoll_ctl(t->epoll, EPOLL_CTL_MOD, ev[i].data.fd, &reading);
            if (l != NULL && (!drain(l->fd) || now > l->until_us))
                linger_end(t, l);
        }
        if (now < next)
            continue;
        next = now + TICK_MS * 1000;
        sweep(t);
        for (int i = 0; i < LINGER_MAX; i++)
            if (all[i].fd >= 0 && now > all[i].until_us)
                linger_end(t, &all[i]);
    }
    for (int i = 0; i < LINGER_MAX; i++)
        if (all[i].fd >= 0)
            linger_end(t, &all[i]);
    return NULL;
}

void links_start(struct links *t, int idle_s, int header_s, int request_s)
{
    pthread_mutex_init(&t->lock, NULL);
    t->idle_us = (idle_s ? idle_s : 75) * TS_SECOND * 1000;
    t->header_us = (header_s ? header_s : 10) * TS_SECOND * 1000;
    t->request_us = (request_s ? request_s : 60) * TS_SECOND * 1000;
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = t->wake};
    if (t->epoll < 0 || t->wake < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->wake, &ev) != 0 ||
        pthread_create(&t->thread, NULL, watch, t) != 0)
        abort();
}

void links_stop(struct links *t)
{
    t->stop = true;
    uint64_t one = 1;
    ssize_t n = write(t->wake, &one, sizeof one);
    (void)n;
    pthread_join(t->thread, NULL);
    close(t->wake);
    close(t->epoll);
    pthread_mutex_destroy(&t->lock);
}

/* -------- the table -------- */
static void peer_text(const struct sockaddr *sa, char out[ADDRESS_MAX])
{
    out[0] = '\0';
    if (sa->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, out,
                  ADDRESS_MAX);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a))
            inet_ntop(AF_INET, &a->s6_addr[12], out, ADDRESS_MAX);
        else
            inet_ntop(AF_INET6, a, out, ADDRESS_MAX);
    }
}

struct link *link_open(struct links *t, int fd, const struct sockaddr *peer)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        abort();
    l->fd = fd;
    l->fresh = true;
    l->since_us = clock_mono_us();
    if (peer != NULL && peer->sa_family == PARK_FAMILY) {
        const struct park_note *note = (const void *)peer;
        l->taken = l->seen_bytes = note->taken;
        memcpy(l->address, note->address, sizeof l->address);
    } else if (peer != NULL) {
        peer_text(peer, l->address);
    }
    pthread_mutex_lock(&t->lock);
    l->next = t->first;
    if (t->first != NULL)
        t->first->prev = l;
    t->first = l;
    t->n++;
    pthread_mutex_unlock(&t->lock);
    return l;
}

/* Bytes that were read of the socket: those that came, less those that still lie there. */
static bool bytes_taken(int fd, uint64_t *out)
{
    for (int i = 0; i < 3; i++) {
        int unread = 0;
        uint64_t came = bytes_received(fd);
        if (ioctl(fd, SIOCINQ, &unread) != 0)
            return false;
        if (bytes_received(fd) != came)
            continue; /* some came in between */
        *out = came - (uint64_t)unread;
        return true;
    }
    return false;
}

/* The library ends a connection that was silent for header_us. One that is between two requests is
 * not overdue yet: a duplicate of its socket keeps it open. One that has said half a request has
 * had its time; half a request is what was read and is not of a whole one. A client that is gone
 * has sent its end, which counts as a byte. */
static bool may_park(const struct links *t, const struct link *l, int64_t now_us)
{
    uint64_t taken;
    return t->park != NULL && l->state == LINK_IDLE && !l->linger && !l->uncounted &&
           now_us - l->since_us > t->header_us / 2 && now_us - l->since_us < t->idle_us &&
           bytes_taken(l->fd, &taken) && taken == l->taken;
}

void link_close(struct links *t, struct link *l)
{
    pthread_mutex_lock(&t->lock);
    *(l->prev != NULL ? &l->prev->next : &t->first) = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    t->n--;
    pthread_mutex_unlock(&t->lock);
    if (l->linger) {
        linger_start(t, l->fd);
    } else if (may_park(t, l, clock_mono_us())) {
        struct park_note note = {{.sa_family = PARK_FAMILY}, l->since_us, l->taken, ""};
        memcpy(note.address, l->address, sizeof note.address);
        park_put(t->park, l->fd, &note);
    }
    free(l);
}
