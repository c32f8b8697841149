/* Request objects, pooled by event loop, and the ids they get. */
#include "base/crypto.h"
#include "http/inner.h"

#include <stdlib.h>

#define POOL_KEEP 128
#define BUF_KEEP  (64 * 1024)

struct pool {
    struct http_server *s;
    struct http_conn *first;
    unsigned n;
    uint64_t id_seed, id_n;
    struct pool *next;
};
static _Thread_local struct pool *my_pool;

static struct pool *pool_get(struct http_server *s)
{
    if (my_pool != NULL && my_pool->s == s)
        return my_pool;
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        abort();
    p->s = s;
    crypto_random(&p->id_seed, sizeof p->id_seed);
    crypto_random(&p->id_n, sizeof p->id_n);
    pthread_mutex_lock(&s->pools_lock);
    p->next = s->pools;
    s->pools = p;
    pthread_mutex_unlock(&s->pools_lock);
    return my_pool = p;
}

static void conn_free(struct http_conn *x)
{
    reply_reset(&x->reply);
    arena_free(x->r.mem);
    buf_free(&x->body);
    buf_free(&x->reply.body);
    free(x);
}

struct http_conn *conn_take(struct http_server *s)
{
    struct pool *p = pool_get(s);
    struct http_conn *x = p->first;
    if (x != NULL) {
        p->first = x->next_free;
        p->n--;
        return x;
    }
    x = calloc(1, sizeof *x);
    if (x == NULL)
        abort();
    x->r.mem = arena_new(8192);
    x->s = s;
    x->pool = p;
    reply_reset(&x->reply);
    return x;
}

static void buf_trim(struct buf *b)
{
    if (b->cap > BUF_KEEP)
        buf_free(b);
    else
        buf_clear(b);
}

void conn_give(struct http_conn *x)
{
    struct pool *p = x->pool;
    reply_reset(&x->reply);
    buf_trim(&x->reply.body);
    buf_trim(&x->body);
    arena_reset(x->r.mem);
    if (p->n >= POOL_KEEP) {
        pthread_mutex_lock(&x->s->links.lock); /* the stopper may be looking */
        x->link->req = NULL;
        pthread_mutex_unlock(&x->s->links.lock);
        conn_free(x);
        return;
    }
    atomic_store_explicit(&x->link->req, NULL, memory_order_relaxed);
    x->next_free = p->first;
    p->first = x;
    p->n++;
}

void conn_release(struct http_conn *x)
{
    if (atomic_fetch_sub(&x->refs, 1) == 1)
        conn_free(x);
}
void pools_free(struct http_server *s)
{
    for (struct pool *p = s->pools, *next; p != NULL; p = next) {
        next = p->next;
        for (struct http_conn *x = p->first, *after; x != NULL; x = after) {
            after = x->next_free;
            conn_free(x);
        }
        free(p);
    }
    pthread_mutex_destroy(&s->pools_lock);
}

/* -------- ids -------- */
static uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool id_sane(sv s)
{
    if (s.n == 0 || s.n >= ID_TEXT_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

void conn_set_id(struct http_conn *x)
{
    sv given = req_header(&x->r, "X-Request-Id");
    if (id_sane(given)) {
        memcpy(x->id, given.p, given.n);
        x->id[given.n] = '\0';
        return;
    }
    static const char hex[] = "0123456789abcdef";
    struct pool *p = x->pool;
    uint64_t v[2] = {scramble(p->id_seed + ++p->id_n * UINT64_C(0x9e3779b97f4a7c15)),
                     scramble(p->id_n ^ (p->id_seed << 1))};
    memcpy(x->id, "req_", 4);
    char *to = x->id + 4;
    for (int i = 0; i < 24; i++)
        *to++ = hex[v[i / 16] >> (i % 16 * 4) & 15];
    *to = '\0';
}
