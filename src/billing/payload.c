/* Bodies of events, compressed. A dictionary trained from stored events makes them a tenth as
 * large; it is kept in the database under a number that each row names. DESIGN §4. */
#include "billing/event.h"
#include "queries.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>

#define LEVEL        3
#define DICT_BYTES   (32 * 1024)
#define SAMPLES      400
#define SAMPLES_MIN  100
#define PAYLOAD_MAX  (2 << 20) /* twice the largest body that is taken */
#define DICTS_CACHED 8

/* Dictionaries live as long as the process: loops may be compressing with one that was replaced. */
struct dict {
    int64_t id;
    ZSTD_CDict *c;
    ZSTD_DDict *d;
};
static struct dict cache[DICTS_CACHED];
static unsigned cached;
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const struct dict *) newest;

/* A compressor for each thread: making one costs more than using it. */
static pthread_key_t ctx_key;
static pthread_once_t ctx_once = PTHREAD_ONCE_INIT;

static void free_ctx(void *p)
{
    ZSTD_freeCCtx(p);
}

static void make_key(void)
{
    if (pthread_key_create(&ctx_key, free_ctx) != 0)
        abort();
}

static ZSTD_CCtx *thread_ctx(void)
{
    pthread_once(&ctx_once, make_key);
    ZSTD_CCtx *ctx = pthread_getspecific(ctx_key);
    if (!ctx) {
        ctx = ZSTD_createCCtx();
        /* The dictionary's own number stays in the frame, beside ours in the row: should ours have
         * been given out twice (a database that was put back under a running server), reading fails
         * instead of giving other bytes. */
        if (!ctx || pthread_setspecific(ctx_key, ctx) != 0 ||
            ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LEVEL)))
            abort();
    }
    return ctx;
}

/* `text` into `out`, which has room for the worst; `c` may be NULL. The bytes that it takes. */
static size_t compress(char *out, size_t room, sv text, const ZSTD_CDict *c)
{
    ZSTD_CCtx *ctx = thread_ctx();
    size_t n = ZSTD_CCtx_refCDict(ctx, c);
    if (!ZSTD_isError(n))
        n = ZSTD_compress2(ctx, out, room, text.p, text.n);
    if (ZSTD_isError(n)) /* only memory can be the cause */
        abort();
    return n;
}

struct payload payload_pack(struct arena *mem, sv text)
{
    const struct dict *d = atomic_load(&newest);
    size_t bound = ZSTD_compressBound(text.n);
    char *out = arena_alloc(mem, bound);
    size_t n = compress(out, bound, text, d ? d->c : NULL);
    return (struct payload){d ? d->id : 0, (int64_t)text.n, {out, n}};
}

static const struct dict *find(int64_t id)
{
    const struct dict *found = NULL;
    pthread_mutex_lock(&cache_lock);
    for (unsigned i = 0; i < cached; i++)
        if (cache[i].id == id)
            found = &cache[i];
    pthread_mutex_unlock(&cache_lock);
    return found;
}

/* NULL when the cache is full: the caller then decompresses with the bytes themselves. */
static const struct dict *remember(int64_t id, sv bytes)
{
    const struct dict *known = find(id);
    if (known)
        return known;
    pthread_mutex_lock(&cache_lock);
    struct dict *d = cached < DICTS_CACHED ? &cache[cached] : NULL;
    if (d) {
        *d = (struct dict){id, ZSTD_createCDict(bytes.p, bytes.n, LEVEL),
                           ZSTD_createDDict(bytes.p, bytes.n)};
        if (!d->c || !d->d)
            abort();
        cached++;
    }
    pthread_mutex_unlock(&cache_lock);
    return d;
}

static err unpack(struct arena *mem, const struct dict *d, sv dict_bytes, int64_t size, sv packed,
                  sv *out)
{
    if (size < 0 || size > PAYLOAD_MAX)
        return FAIL(ERR_INTERNAL, "a stored event has an impossible size");
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (!ctx)
        abort();
    char *text = arena_alloc(mem, (size_t)size + 1);
    size_t n = d ? ZSTD_decompress_usingDDict(ctx, text, (size_t)size, packed.p, packed.n, d->d)
                 : ZSTD_decompress_usingDict(ctx, text, (size_t)size, packed.p, packed.n,
                                             dict_bytes.p, dict_bytes.n);
    ZSTD_freeDCtx(ctx);
    if (ZSTD_isError(n) || n != (size_t)size)
        return FAIL(ERR_INTERNAL, "a stored event cannot be decompressed");
    text[n] = '\0';
    *out = (sv){text, n};
    return OK;
}

err payload_unpack(struct db_tx *tx, struct arena *mem, int64_t dict, int64_t size, sv packed,
                   sv *out)
{
    if (dict == 0)
        return unpack(mem, NULL, SV_NULL, size, packed, out);
    const struct dict *d = find(dict);
    struct dict_get_row row = {.dict = SV_NULL};
    if (!d) {
        bool found;
        TRY(q_dict_get(tx, mem, &(struct dict_get_in){dict}, &row, &found));
        if (!found)
            return FAIL(ERR_INTERNAL, "the dictionary of a stored event is missing");
        d = remember(dict, row.dict);
    }
    return unpack(mem, d, row.dict, size, packed, out);
}

err payload_dict_load(struct db_tx *tx, struct arena *mem)
{
    struct dict_newest_row row;
    bool found;
    TRY(q_dict_newest(tx, mem, &row, &found));
    if (!found)
        return OK;
    const struct dict *d = remember(row.id, row.dict);
    if (d)
        atomic_store(&newest, d);
    return OK;
}

/* -------- training --------
 * The trainer weighs a dictionary's own bytes against those it saves in a quarter of the samples:
 * of a few hundred it makes a bad one when asked for 64 KB, which would pack no better than 32
 * anyway.
 */

/* What a million bytes of the newest events took when a dictionary was last made, or found to help
 * too little: as long as it is hardly more, another would help as little, and trying costs a tenth
 * of a second of a processor. 0: this process has not looked yet. */
static atomic_llong settled;

struct training {
    ts now;
    struct buf samples;
    size_t sizes[SAMPLES];
    unsigned n;
    int64_t packed_now, text; /* bytes that the samples take as they are stored, and unpacked */
    int64_t id;
    sv dict;
};

static long long per_million(int64_t packed, int64_t text)
{
    return packed * 1000000 / (text > 0 ? text : 1);
}

static bool as_settled(const struct training *t)
{
    return per_million(t->packed_now, t->text) * 4 <= atomic_load(&settled) * 5;
}

static err collect(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct training *t = arg;
    struct event_sample_row *rows;
    struct dict_newest_row last;
    size_t n;
    bool found;
    buf_clear(&t->samples);
    t->n = 0;
    t->packed_now = t->text = 0;
    TRY(q_event_sample(tx, mem, &(struct event_sample_in){SAMPLES}, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        t->packed_now += (int64_t)rows[i].payload.n;
        t->text += rows[i].size;
    }
    if (as_settled(t))
        return OK;
    for (size_t i = 0; i < n; i++) {
        sv text;
        TRY(payload_unpack(tx, mem, rows[i].dict, rows[i].size, rows[i].payload, &text));
        buf_add(&t->samples, text);
        t->sizes[t->n++] = text.n;
    }
    TRY(q_dict_newest(tx, mem, &last, &found));
    t->id = found ? last.id + 1 : 1;
    return OK;
}

static int64_t packed_with(const struct training *t, sv dict)
{
    ZSTD_CDict *c = ZSTD_createCDict(dict.p, dict.n, LEVEL);
    size_t at = 0, bound = ZSTD_compressBound(PAYLOAD_MAX);
    char *out = malloc(bound);
    if (!c || !out)
        abort();
    int64_t sum = 0;
    for (unsigned i = 0; i < t->n; at += t->sizes[i], i++)
        sum += (int64_t)compress(out, bound, (sv){t->samples.p + at, t->sizes[i]}, c);
    free(out);
    ZSTD_freeCDict(c);
    return sum;
}

static err keep(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct training *t = arg;
    TRY(q_dict_insert(tx, mem, &(struct dict_insert_in){t->id, t->now, t->dict}, NULL));
    return OK;
}

static err load(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    return payload_dict_load(tx, mem);
}

static err train(struct db *db, struct arena *mem, struct training *t, bool *made)
{
    TRY(db_read(db, mem, collect, t));
    if (t->n < SAMPLES_MIN || t->id > DICTS_CACHED)
        return OK;
    char *bytes = arena_alloc(mem, DICT_BYTES);
    size_t n = ZDICT_trainFromBuffer(bytes, DICT_BYTES, t->samples.p, t->sizes, t->n);
    atomic_store(&settled, per_million(t->packed_now, t->text));
    if (ZDICT_isError(n))
        return OK; /* too few or too uniform: stays as it is */
    t->dict = (sv){bytes, n};
    /* A new one costs its own bytes, so it has to help a good deal. */
    int64_t packed = packed_with(t, t->dict);
    if (packed * 4 > t->packed_now * 3)
        return OK;
    TRY(db_write(db, mem, keep, t));
    TRY(db_read(db, mem, load, NULL));
    atomic_store(&settled, per_million(packed, t->text));
    *made = true;
    return OK;
}

err payload_dict_train(struct db *db, struct arena *mem, ts now, bool *made)
{
    struct training t = {.now = now};
    *made = false;
    err e = train(db, mem, &t, made);
    buf_free(&t.samples);
    malloc_trim(0); /* the trainer's megabytes would stay with this thread's heap */
    return e;
}
