#include "db/memo.h"
#include "db/touch.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#define PLACES    32768     /* a power of two */
#define TRIES     8         /* places looked at before giving up */
#define BYTES_MAX (8 << 20) /* of rows; when it is full, nothing more is kept */
#define REFUSED   PLACES    /* so often no room: it starts over with those who ask now */

/* In the place of a statement's number: a text's, whose parameters are `what` and `owner`. */
#define TEXT        UINT_MAX
#define TEXT_PARAMS 2
#define NOBODY      UINT32_MAX /* in the place of an owner's bucket: good within its snapshot alone */

/* Parameters and rows lie one behind the other: values, then the bytes they point to. */
struct entry {
    uint64_t hash; /* 0: free */
    unsigned stmt;
    unsigned age;            /* memo.age when it was put: else free */
    uint32_t at;             /* the number of the snapshot of its rows */
    uint32_t owner;          /* touch_bucket */
    const struct db_val *in; /* NULL: asked once, nothing is kept yet */
    const struct db_val *rows;
    uint32_t n, cols;
    uint32_t bytes; /* of the rows with their texts */
    uint32_t room;  /* for them: rows that replace them often fit there */
};

struct memo {
    struct entry *places; /* NULL: nothing was ever kept */
    struct arena *mem;
    unsigned age;
    const struct touch *touch;
    bool blind;      /* the snapshot's number is not known: nothing is taken or kept */
    uint64_t commit; /* the snapshot's (sq_commit) */
    uint32_t count;  /* its number */
    uint32_t since;  /* the number when it was emptied: those it compares are no further apart */
    bool accounted;  /* touch_accounted, of it */
    unsigned generation; /* of touch, of what is kept */
    unsigned before;     /* the same, before the snapshot */
    size_t dead;         /* bytes that rows had which were replaced by others elsewhere */
    unsigned refused;
};

struct memo *memo_new(const struct touch *touch)
{
    struct memo *m = calloc(1, sizeof *m);
    assert(m);
    m->touch = touch;
    return m;
}

void memo_empty(struct memo *m)
{
    m->dead = 0;
    m->refused = 0;
    m->since = m->count;
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
    m->mem = NULL;
    m->places = NULL;
    memo_empty(m);
}

void memo_free(struct memo *m)
{
    if (!m)
        return;
    memo_drop(m);
    free(m);
}

void memo_snapshot(struct memo *m, uint64_t commit, bool exact, unsigned generation)
{
    m->blind = !exact;
    if (m->blind)
        return;
    uint32_t count = (uint32_t)commit;
    bool anew = (int32_t)(count - m->count) < 0 || (count == m->count && commit != m->commit);
    m->commit = commit;
    m->count = count;
    m->accounted = false;
    m->before = generation;
    if (anew || (int32_t)(count - m->since) < 0) /* counted anew, or too far to compare */
        memo_empty(m);
}

/* A commit is counted a moment before it is accounted for. */
static void look_at_touches(struct memo *m)
{
    if (m->accounted || !m->touch || !touch_accounted(m->touch, m->commit, m->before))
        return;
    if (m->before != m->generation)
        memo_empty(m);
    m->generation = m->before;
    m->accounted = true;
}

/* Are its rows those of the snapshot? */
static bool fresh(const struct memo *m, const struct entry *e)
{
    if (e->at == m->count)
        return true;
    return m->accounted && e->owner != NOBODY && (int32_t)(m->count - e->at) > 0 &&
           !touch_since(m->touch, e->owner, e->at, m->before);
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

/* The entry, or (not *found) where it could be put: a free place, one whose rows are no longer
 * good, or one that keeps none yet; NULL: no room near its place. */
static struct entry *place_of(struct memo *m, uint64_t hash, unsigned stmt, const struct db_val *in,
                              bool *found)
{
    struct entry *room = NULL, *mark = NULL;
    *found = false;
    for (unsigned i = 0; i < TRIES; i++) {
        struct entry *e = &m->places[(hash + i) & (PLACES - 1)];
        if (e->hash == 0 || e->age != m->age)
            return room ? room : e;
        *found = e->hash == hash && e->stmt == stmt && (!e->in || same(e->in, in, params_of(stmt)));
        if (*found)
            return e;
        if (!e->in)
            mark = mark ? mark : e;
        else if (!room && !fresh(m, e))
            room = e;
    }
    return room ? room : mark;
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

/* To where bytes_of fit. */
static const struct db_val *copy(void *at, const struct db_val *v, size_t n)
{
    struct db_val *to = at;
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

static uint32_t owner_of(unsigned stmt, const struct db_val *in, const struct db_rows *rows)
{
    sv owner = SV_NULL;
    if (stmt == TEXT)
        owner = in[1].s;
    else if (db_stmts[stmt].owner_param >= 0)
        owner = in[db_stmts[stmt].owner_param].s;
    else if (db_stmts[stmt].owner_col >= 0 && rows->n > 0)
        owner = rows->v[db_stmts[stmt].owner_col].s;
    return owner.p ? touch_bucket(owner) : NOBODY;
}

/* The entry with what was kept; NULL: nothing is. */
static const struct entry *kept(struct memo *m, unsigned stmt, const struct db_val *in)
{
    bool found;
    if (!m->places || m->blind)
        return NULL;
    look_at_touches(m);
    const struct entry *e = place_of(m, hash_of(stmt, in, params_of(stmt)), stmt, in, &found);
    return found && e->in && fresh(m, e) ? e : NULL;
}

/* Starts over when what fills it is no longer good, or when others than those who fill it ask now.
 */
static bool has_room(struct memo *m)
{
    if (arena_used(m->mem) <= BYTES_MAX)
        return true;
    if (m->dead > BYTES_MAX / 2 || ++m->refused > REFUSED)
        memo_empty(m);
    return false;
}

/* `renew`: instead of what is kept there. */
static void keep(struct memo *m, unsigned stmt, const struct db_val *in, const struct db_rows *rows,
                 bool renew)
{
    bool found;
    unsigned nparams = params_of(stmt);
    size_t values = rows->n * rows->cols, bytes = bytes_of(rows->v, values);
    if (m->blind)
        return;
    if (!m->places) {
        m->places = calloc(PLACES, sizeof *m->places);
        assert(m->places);
        m->mem = arena_new(16384);
    }
    look_at_touches(m);
    uint64_t hash = hash_of(stmt, in, nparams);
    struct entry *e = place_of(m, hash, stmt, in, &found);
    if (!e || (found && e->in && !renew && fresh(m, e)))
        return;
    size_t dead = e->hash != 0 && e->age == m->age && e->in ? e->room : 0;
    if (!found) {
        m->dead += dead;
        *e = (struct entry){.hash = hash, .stmt = stmt, .age = m->age};
        return;
    }
    bool fits = e->in && bytes <= e->room;
    if (bytes > BYTES_MAX / 64 || (!fits && !has_room(m)))
        return;
    if (!e->in)
        e->in = copy(arena_alloc(m->mem, bytes_of(in, nparams)), in, nparams);
    if (!fits) {
        m->dead += dead;
        e->room = (uint32_t)(bytes + bytes / 8);
        e->rows = arena_alloc(m->mem, e->room);
    }
    copy((void *)(uintptr_t)e->rows, rows->v, values);
    e->at = m->count;
    e->owner = owner_of(stmt, in, rows);
    e->n = (uint32_t)rows->n;
    e->cols = (uint32_t)rows->cols;
    e->bytes = (uint32_t)bytes;
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

bool memo_text_get(struct memo *m, sv what, sv owner, ts now, sv *out)
{
    struct db_val in[TEXT_PARAMS] = {{DB_TEXT, 0, what}, {DB_TEXT, 0, owner}};
    const struct entry *e = kept(m, TEXT, in);
    if (!e || now.ms < e->rows[0].i || now.ms >= e->rows[1].i)
        return false;
    *out = e->rows[2].s;
    return true;
}

void memo_text_put(struct memo *m, sv what, sv owner, ts from, ts until, sv text)
{
    struct db_val in[TEXT_PARAMS] = {{DB_TEXT, 0, what}, {DB_TEXT, 0, owner}};
    struct db_val v[] = {{DB_INT, from.ms, SV_NULL},
                         {DB_INT, ts_is_none(until) ? INT64_MAX : until.ms, SV_NULL},
                         {DB_TEXT, 0, text}};
    keep(m, TEXT, in, &(struct db_rows){1, 3, v, 0}, true);
}
