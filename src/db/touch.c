#include "db/touch.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>

#define BUCKETS 16384 /* a power of two; two owners in one: a touch too many */

struct touch {
    const uint32_t *count;
    _Atomic uint64_t accounted; /* the last commit (sq_commit) whose touches are in `at` */
    atomic_uint generation;
    _Atomic uint32_t *at; /* by bucket: the last commit that touched it */
    /* the writer's own */
    uint64_t begun;         /* the last commit when its transaction began */
    bool missed;            /* a row whose owner could not be read */
    uint16_t rows[BUCKETS]; /* buckets touched in it, each once */
    uint64_t known[BUCKETS / 64];
    unsigned n;
};

struct touch *touch_new(const uint32_t *count)
{
    struct touch *t = calloc(1, sizeof *t);
    assert(t);
    t->at = calloc(BUCKETS, sizeof *t->at);
    assert(t->at);
    t->count = count;
    atomic_store(&t->accounted, count ? sq_commit(count) : 0);
    return t;
}

void touch_free(struct touch *t)
{
    if (!t)
        return;
    free(t->at);
    free(t);
}

uint32_t touch_bucket(sv owner)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a; ids end in random digits */
    for (size_t i = 0; i < owner.n; i++)
        h = (h ^ (unsigned char)owner.p[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32) & (BUCKETS - 1);
}

/* -------- the writer -------- */

/* All that was kept is lost: first the new generation, then what it accounts for. */
static void touch_all(struct touch *t, uint64_t commit)
{
    atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
    atomic_store_explicit(&t->accounted, commit, memory_order_release);
}

static void forget_rows(struct touch *t)
{
    while (t->n > 0)
        t->known[t->rows[--t->n] / 64] = 0;
}

void touch_begin(struct touch *t)
{
    forget_rows(t);
    t->missed = false;
    if (!t->count)
        return;
    t->begun = sq_commit(t->count);
    if (t->begun != atomic_load_explicit(&t->accounted, memory_order_relaxed))
        touch_all(t, t->begun); /* somebody else's commit */
}

void touch_row(struct touch *t, sv owner)
{
    uint32_t bucket = touch_bucket(owner);
    uint64_t bit = UINT64_C(1) << bucket % 64;
    if (t->known[bucket / 64] & bit)
        return;
    t->known[bucket / 64] |= bit;
    t->rows[t->n++] = (uint16_t)bucket;
}

void touch_end(struct touch *t, bool wrote, bool unknown)
{
    if (!t->count)
        return;
    uint64_t now = sq_commit(t->count);
    uint32_t number = (uint32_t)t->begun + 1; /* nobody else could commit in between */
    if (unknown || (wrote && (t->missed || (uint32_t)now != number))) {
        touch_all(t, now); /* or somebody else was as quick */
    } else if (wrote) {
        for (size_t i = 0; i < t->n; i++)
            atomic_store_explicit(&t->at[t->rows[i]], number, memory_order_release);
        atomic_store_explicit(&t->accounted, now, memory_order_release);
    }
    forget_rows(t);
}

static const struct db_owned *owned(const char *table)
{
    for (unsigned i = 0; i < db_owned_n; i++)
        if (strcmp(db_owned[i].table, table) == 0)
            return &db_owned[i];
    return NULL;
}

/* One version of the row, as it was or will be. */
static void row_version(struct touch *t, sqlite3 *h, unsigned column,
                        int (*version)(sqlite3 *, int, sqlite3_value **))
{
    sqlite3_value *v = NULL;
    if (version(h, (int)column, &v) != SQLITE_OK || !v) {
        t->missed = true;
        return;
    }
    const char *p = (const char *)sqlite3_value_text(v);
    if (p)
        touch_row(t, (sv){p, (size_t)sqlite3_value_bytes(v)});
    else if (sqlite3_value_type(v) != SQLITE_NULL)
        t->missed = true;
}

/* Before a row is inserted, changed or deleted, by a foreign key as well. */
static void on_row(void *arg, sqlite3 *h, int op, const char *schema, const char *table,
                   sqlite3_int64 old_rowid, sqlite3_int64 new_rowid)
{
    (void)schema, (void)old_rowid, (void)new_rowid;
    struct touch *t = arg;
    const struct db_owned *o = owned(table);
    if (o && op != SQLITE_INSERT)
        row_version(t, h, o->column, sqlite3_preupdate_old);
    if (o && op != SQLITE_DELETE)
        row_version(t, h, o->column, sqlite3_preupdate_new);
}

void touch_listen(struct touch *t, struct sqlite3 *h)
{
    (void)sqlite3_preupdate_hook(h, on_row, t);
}

/* -------- readers: counts go around, so they are compared by their difference -------- */

uint32_t touch_last(const struct touch *t)
{
    return (uint32_t)atomic_load_explicit(&t->accounted, memory_order_acquire);
}

unsigned touch_generation(const struct touch *t)
{
    return atomic_load_explicit(&t->generation, memory_order_acquire);
}

bool touch_accounted(const struct touch *t, uint64_t commit, unsigned generation)
{
    uint64_t accounted = atomic_load_explicit(&t->accounted, memory_order_acquire);
    return t->count && touch_generation(t) == generation &&
           (accounted == commit || (int32_t)((uint32_t)accounted - (uint32_t)commit) > 0);
}

bool touch_since(const struct touch *t, uint32_t bucket, uint32_t count, unsigned generation)
{
    uint32_t at = atomic_load_explicit(&t->at[bucket], memory_order_acquire);
    return (int32_t)(at - count) > 0 || touch_generation(t) != generation;
}
