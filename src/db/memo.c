#include "db/memo.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#define PLACES    32768     /* a power of two */
#define TRIES     8         /* places looked at before giving up */
#define BYTES_MAX (8 << 20) /* of rows; more are not kept until the next snapshot */

#define TEXT        UINT_MAX /* in the place of a statement's number: what and key are its parameters */
#define TEXT_PARAMS 2

/* Parameters and rows lie one behind the other: values, then the bytes they point to. */
struct entry {
    uint64_t hash; /* 0: free */
    unsigned stmt;
    unsigned age;            /* memo.age when it was put: else free */
    const struct db_val *in; /* NULL: asked once, nothing is kept yet */
    const struct db_val *rows;
    uint32_t n, cols;
    uint32_t bytes; /* of the rows with their texts */
};

struct memo {
    struct entry *places; /* NULL: nothing was ever kept */
    struct arena *mem;
    unsigned age;
};

struct memo *memo_new(void)
{
    struct memo *m = calloc(1, sizeof *m);
    assert(m);
    return m;
}

void memo_empty(struct memo *m)
{
    if (!m->places)
        return;
    if (arena_used(m->mem) > 0)
        arena_reset(m->mem);
    if (++m->age == 0) /* old entries would seem new again */
        memset(m->places, 0, PLACES * sizeof *m->places);
}

void memo_drop(struct memo *m)
{
    if (m->mem)
        arena_free(m->mem);
    free(m->places);
    *m = (struct memo){0};
}

void memo_free(struct memo *m)
{
    if (!m)
        return;
    memo_drop(m);
    free(m);
}

/* -------- keys -------- */

static uint64_t mix(uint64_t h, uint64_t w)
{
    __uint128_t p = (__uint128_t)(h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash_val(uint64_t h, const struct db_val *v)
{
    h = mix(h, (uint64_t)v->type ^ (uint64_t)v->i << 2);
    size_t i = 0;
    for (; i + 8 <= v->s.n; i += 8) {
        uint64_t w;
        memcpy(&w, v->s.p + i, 8);
        h = mix(h, w);
    }
    uint64_t w = v->s.n;
    if (v->s.n > i)
        memcpy(&w, v->s.p + i, v->s.n - i);
    return mix(h, w);
}

static unsigned params_of(unsigned stmt)
{
    return stmt == TEXT ? TEXT_PARAMS : db_stmts[stmt].nparams;
}

static uint64_t hash_of(unsigned stmt, const struct db_val *in, unsigned n)
{
    uint64_t h = mix(UINT64_C(0x2545f4914f6cdd1d), stmt + 1);
    for (unsigned i = 0; i < n; i++)
        h = hash_val(h, &in[i]);
    return h ? h : 1;
}

static bool same(const struct db_val *a, const struct db_val *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (a[i].type != b[i].type || a[i].i != b[i].i || !sv_eq(a[i].s, b[i].s))
            return false;
    return true;
}

/* The entry, or (not *found) where it could be put; NULL: no room near its place. */
static struct entry *place_of(struct memo *m, uint64_t hash, unsigned stmt, const struct db_val *in,
                              bool *found)
{
    *found = false;
    for (unsigned i = 0; i < TRIES; i++) {
        struct entry *e = &m->places[(hash + i) & (PLACES - 1)];
        if (e->hash == 0 || e->age != m->age)
            return e;
        *found = e->hash == hash && e->stmt == stmt && (!e->in || same(e->in, in, params_of(stmt)));
        if (*found)
            return e;
    }
    return NULL;
}

/* -------- values -------- */

static size_t bytes_of(const struct db_val *v, size_t n)
{
    size_t bytes = n * sizeof *v;
    for (size_t i = 0; i < n; i++)
        if (v[i].s.p)
            bytes += v[i].s.n + 1;
    return bytes;
}

static struct db_val *copy(struct arena *mem, const struct db_val *v, size_t n, size_t bytes)
{
    struct db_val *to = arena_alloc(mem, bytes);
    char *text = (char *)(to + n);
    if (n > 0)
        memcpy(to, v, n * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        if (!v[i].s.p)
            continue;
        memcpy(text, v[i].s.p, v[i].s.n);
        text[v[i].s.n] = '\0';
        to[i].s.p = text;
        text += v[i].s.n + 1;
    }
    return to;
}

/* What `copy` made, once more: the texts lie behind the values, so only the pointers move. */
static struct db_val *copy_whole(struct arena *mem, const struct entry *e)
{
    size_t n = (size_t)e->n * e->cols;
    struct db_val *to = arena_alloc(mem, e->bytes);
    if (e->bytes > 0)
        memcpy(to, e->rows, e->bytes);
    for (size_t i = 0; i < n; i++)
        if (to[i].s.p)
            to[i].s.p = (const char *)to + (to[i].s.p - (const char *)e->rows);
    return to;
}

/* -------- asking and telling -------- */

/* The entry with what was kept; NULL: nothing is. */
static const struct entry *kept(struct memo *m, unsigned stmt, const struct db_val *in)
{
    bool found;
    if (!m->places)
        return NULL;
    const struct entry *e = place_of(m, hash_of(stmt, in, params_of(stmt)), stmt, in, &found);
    return found && e->in ? e : NULL;
}

/* `renew`: instead of what is kept there. */
static void keep(struct memo *m, unsigned stmt, const struct db_val *in, const struct db_rows *rows,
                 bool renew)
{
    bool found;
    unsigned nparams = params_of(stmt);
    size_t values = rows->n * rows->cols, bytes = bytes_of(rows->v, values);
    if (!m->places) {
        m->places = calloc(PLACES, sizeof *m->places);
        assert(m->places);
        m->mem = arena_new(16384);
    }
    uint64_t hash = hash_of(stmt, in, nparams);
    struct entry *e = place_of(m, hash, stmt, in, &found);
    if (!e || (found && e->in && !renew))
        return;
    if (!found) {
        *e = (struct entry){.hash = hash, .stmt = stmt, .age = m->age};
        return;
    }
    if (bytes > BYTES_MAX / 64 || arena_used(m->mem) > BYTES_MAX)
        return;
    *e = (struct entry){.hash = hash,
                        .stmt = stmt,
                        .age = m->age,
                        .in = e->in ? e->in : copy(m->mem, in, nparams, bytes_of(in, nparams)),
                        .rows = copy(m->mem, rows->v, values, bytes),
                        .n = (uint32_t)rows->n,
                        .cols = (uint32_t)rows->cols,
                        .bytes = (uint32_t)bytes};
}

bool memo_get(struct memo *m, unsigned stmt, const struct db_val *in, struct arena *mem,
              struct db_rows *out)
{
    const struct entry *e = kept(m, stmt, in);
    if (e)
        *out = (struct db_rows){e->n, e->cols, copy_whole(mem, e), 0};
    return e != NULL;
}

void memo_put(struct memo *m, unsigned stmt, const struct db_val *in, const struct db_rows *rows)
{
    keep(m, stmt, in, rows, false);
}

/* -------- texts: a row of from, until and the text -------- */

bool memo_text_get(struct memo *m, sv what, sv key, ts now, sv *out)
{
    struct db_val in[TEXT_PARAMS] = {{DB_TEXT, 0, what}, {DB_TEXT, 0, key}};
    const struct entry *e = kept(m, TEXT, in);
    if (!e || now.ms < e->rows[0].i || now.ms >= e->rows[1].i)
        return false;
    *out = e->rows[2].s;
    return true;
}

void memo_text_put(struct memo *m, sv what, sv key, ts from, ts until, sv text)
{
    struct db_val in[TEXT_PARAMS] = {{DB_TEXT, 0, what}, {DB_TEXT, 0, key}};
    struct db_val v[] = {{DB_INT, from.ms, SV_NULL},
                         {DB_INT, ts_is_none(until) ? INT64_MAX : until.ms, SV_NULL},
                         {DB_TEXT, 0, text}};
    keep(m, TEXT, in, &(struct db_rows){1, 3, v, 0}, true);
}
