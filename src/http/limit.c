#include "http/limit.h"
#include "base/crypto.h"

#include <pthread.h>
#include <stdlib.h>

/* A bucket is one number (GCRA): the moment at which it would be full again. Full buckets say
 * nothing and may be forgotten, so a bounded table loses nothing but the oldest of very many
 * attackers. */
#define SHARDS 32
#define SETS   512 /* of 4, a shard: 65,536 callers in all */
#define WAYS   4

struct bucket {
    uint64_t key; /* 0: free */
    int64_t full_us;
};
struct shard {
    pthread_mutex_t lock;
    struct bucket b[SETS][WAYS];
};
struct limiter {
    uint64_t seed[2];
    double scale;
    bool login_only;
    struct shard shards[SHARDS];
};

static const struct {
    const char *name;
    int64_t limit, window_s;
} policies[] = {
    [LIMIT_DEFAULT] = {"default", 600, 60}, [LIMIT_NONE] = {"none", 0, 0},
    [LIMIT_LOGIN] = {"login", 10, 60},      [LIMIT_MAIL] = {"mail", 5, 3600},
    [LIMIT_MONEY] = {"money", 60, 60},
};

struct limiter *limiter_new(double scale, bool login_only)
{
    struct limiter *l = calloc(1, sizeof *l);
    if (l == NULL)
        abort();
    crypto_random(l->seed, sizeof l->seed);
    l->scale = scale > 0 ? scale : 1;
    l->login_only = login_only;
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&l->shards[i].lock, NULL);
    return l;
}

void limiter_free(struct limiter *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&l->shards[i].lock);
    free(l);
}

static uint64_t mix(uint64_t x, uint64_t k)
{
    __uint128_t m = (__uint128_t)(x ^ k) * (UINT64_C(0x9e3779b97f4a7c15) ^ k);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_key(const struct limiter *l, enum route_limit kind, sv key)
{
    uint64_t h = mix(l->seed[0], (uint64_t)kind + 1);
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        uint64_t w;
        memcpy(&w, key.p + i, 8);
        h = mix(h ^ w, l->seed[1]);
    }
    uint64_t w = 0;
    if (key.n > i)
        memcpy(&w, key.p + i, key.n - i);
    h = mix(h ^ w, l->seed[1] + key.n);
    return h ? h : 1;
}

/* The caller's bucket, or the one that says least: free, or full soonest. */
static struct bucket *find(struct shard *s, uint64_t key)
{
    struct bucket *set = s->b[(key >> 8) % SETS], *least = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].key == 0 || (least->key != 0 && set[i].full_us < least->full_us))
            least = &set[i];
    }
    *least = (struct bucket){.key = key};
    return least;
}

bool limiter_take(struct limiter *l, enum route_limit kind, sv key, int64_t now_us,
                  struct limit_state *out)
{
    if (kind == LIMIT_NONE || (l->login_only && kind != LIMIT_LOGIN))
        return true;
    int64_t limit = (int64_t)((double)policies[kind].limit * l->scale);
    limit = limit < 1 ? 1 : limit;
    int64_t window = policies[kind].window_s * 1000000, step = window / limit;
    step = step < 1 ? 1 : step;
    uint64_t h = hash_key(l, kind, key);
    struct shard *s = &l->shards[h % SHARDS];
    pthread_mutex_lock(&s->lock);
    struct bucket *b = find(s, h);
    int64_t owed = b->full_us > now_us ? b->full_us - now_us : 0;
    bool ok = owed + step <= step * limit;
    if (ok)
        b->full_us = now_us + (owed += step);
    pthread_mutex_unlock(&s->lock);
    int64_t left = (step * limit - owed) / step;
    *out = (struct limit_state){limit, policies[kind].window_s, left < 0 ? 0 : left, 0,
                                policies[kind].name};
    if (!ok)
        out->reset_s = (owed + step - step * limit + 999999) / 1000000;
    return ok;
}
