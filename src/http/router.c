#include "http/router.h"
#include "http/inner.h"

#include <assert.h>
#include <stdlib.h>

struct row {
    const char *path;
    sv segs[SEGMENTS_MAX];
    unsigned nsegs, nparams;
    const struct route *by_method[METHOD_COUNT];
    unsigned index[METHOD_COUNT];
};

struct router {
    struct row *rows;
    size_t nrows, nroutes;
    const struct route **routes;
    struct row **hash; /* plain paths */
    size_t mask;
    struct row **patterns; /* with parameters, the plainer first */
    size_t npatterns;
};

static const char *const method_names[METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

enum method method_parse(sv s)
{
    for (int m = 0; m < METHOD_COUNT; m++)
        if (sv_is(s, method_names[m]))
            return (enum method)m;
    return METHOD_COUNT;
}

const char *method_name(enum method m)
{
    return m < METHOD_COUNT ? method_names[m] : "?";
}

static uint64_t hash_of(sv s)
{
    uint64_t h = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
    return h ^ (h >> 29);
}

static bool is_param(sv seg)
{
    return seg.n > 2 && seg.p[0] == '{';
}

/* "/a/b" -> "a", "b"; false if there are too many. */
static bool split(sv path, sv *segs, unsigned *n)
{
    sv rest = {path.p + 1, path.n - 1};
    *n = 0;
    while (rest.p != NULL) {
        if (*n == SEGMENTS_MAX)
            return false;
        segs[(*n)++] = sv_cut(&rest, '/');
    }
    return true;
}

static struct row *row_for(struct router *t, const char *path)
{
    for (size_t i = 0; i < t->nrows; i++)
        if (strcmp(t->rows[i].path, path) == 0)
            return &t->rows[i];
    struct row *row = &t->rows[t->nrows++];
    row->path = path;
    bool ok = split(sv_from(path), row->segs, &row->nsegs);
    assert(ok);
    (void)ok;
    for (unsigned i = 0; i < row->nsegs; i++)
        row->nparams += is_param(row->segs[i]);
    assert(row->nparams <= PARAMS_MAX);
    return row;
}

static void add(struct router *t, const struct route *r)
{
    assert(r->path[0] == '/' && r->handler != NULL && r->method < METHOD_COUNT);
    assert(r->auth != AUTH_UNSET && "a route without a rule who may call it");
    bool no_caller = r->tx == TX_INLINE || r->tx == TX_HEALTH;
    assert((!no_caller || r->auth == AUTH_NONE) && "such a route looks at no caller");
    struct row *row = row_for(t, r->path);
    assert(row->by_method[r->method] == NULL && "a route twice");
    row->by_method[r->method] = r;
    row->index[r->method] = (unsigned)t->nroutes;
    t->routes[t->nroutes++] = r;
}

/* Rows whose first parameter comes later are tried first: a plain segment beats a parameter. */
static int plainer(const void *a, const void *b)
{
    const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
    unsigned i = 0, j = 0;
    while (i < x->nsegs && !is_param(x->segs[i]))
        i++;
    while (j < y->nsegs && !is_param(y->segs[j]))
        j++;
    return i != j ? (i > j ? -1 : 1) : (int)x->nparams - (int)y->nparams;
}

static void compile(struct router *t)
{
    size_t size = 64;
    while (size < t->nrows * 4)
        size *= 2;
    t->mask = size - 1;
    t->hash = calloc(size, sizeof *t->hash);
    t->patterns = calloc(t->nrows + 1, sizeof *t->patterns);
    if (t->hash == NULL || t->patterns == NULL)
        abort();
    for (size_t i = 0; i < t->nrows; i++) {
        struct row *row = &t->rows[i];
        if (row->nparams > 0) {
            t->patterns[t->npatterns++] = row;
            continue;
        }
        size_t at = hash_of(sv_from(row->path)) & t->mask;
        while (t->hash[at] != NULL)
            at = (at + 1) & t->mask;
        t->hash[at] = row;
    }
    qsort(t->patterns, t->npatterns, sizeof *t->patterns, plainer);
}

struct router *router_new(const struct route_set *sets, size_t n)
{
    struct router *t = calloc(1, sizeof *t);
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += sets[i].n;
    if (t == NULL || (t->rows = calloc(total + 1, sizeof *t->rows)) == NULL ||
        (t->routes = calloc(total + 1, sizeof *t->routes)) == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++)
            add(t, &sets[i].routes[k]);
    compile(t);
    return t;
}

void router_free(struct router *t)
{
    if (t == NULL)
        return;
    free(t->rows);
    free(t->routes);
    free(t->hash);
    free(t->patterns);
    free(t);
}

size_t router_count(const struct router *t)
{
    return t->nroutes;
}

const struct route *router_route(const struct router *t, size_t i)
{
    return t->routes[i];
}

static const struct row *plain_row(const struct router *t, sv path)
{
    for (size_t at = hash_of(path) & t->mask; t->hash[at] != NULL; at = (at + 1) & t->mask)
        if (sv_is(path, t->hash[at]->path))
            return t->hash[at];
    return NULL;
}

static void take(const struct row *row, enum method m, struct match *out)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (row->by_method[i] != NULL)
            out->allow |= 1u << i;
    if (m < METHOD_COUNT && row->by_method[m] != NULL && out->route == NULL) {
        out->route = row->by_method[m];
        out->index = row->index[m];
    }
}

static bool fits(const struct row *row, const sv *segs, unsigned n, struct match *out)
{
    if (row->nsegs != n)
        return false;
    sv params[PARAMS_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++) {
        if (is_param(row->segs[i])) {
            if (segs[i].n == 0)
                return false;
            params[k++] = segs[i];
        } else if (!sv_eq(row->segs[i], segs[i])) {
            return false;
        }
    }
    if (out->route == NULL) {
        memcpy(out->params, params, k * sizeof *params);
        out->nparams = k;
    }
    return true;
}

static void find_pattern(const struct router *t, struct arena *mem, sv path, enum method m,
                         struct match *out)
{
    sv segs[SEGMENTS_MAX];
    unsigned n;
    if (!split(path, segs, &n))
        return;
    bool coded = memchr(path.p, '%', path.n) != NULL;
    for (unsigned i = 0; coded && i < n; i++)
        if (!percent_decode(mem, segs[i], false, &segs[i]))
            return;
    for (size_t i = 0; i < t->npatterns && out->route == NULL; i++)
        if (fits(t->patterns[i], segs, n, out))
            take(t->patterns[i], m, out);
    if (!coded || out->route != NULL)
        return;
    for (size_t i = 0; i < t->nrows; i++) /* plain words that came encoded */
        if (t->rows[i].nparams == 0 && fits(&t->rows[i], segs, n, out))
            take(&t->rows[i], m, out);
}

void router_find(const struct router *t, struct arena *mem, sv path, enum method method,
                 struct match *out)
{
    out->route = NULL;
    out->allow = 0;
    out->nparams = 0;
    if (path.n == 0 || path.p[0] != '/')
        return;
    const struct row *row = plain_row(t, path);
    if (row != NULL)
        take(row, method, out);
    if (out->route == NULL)
        find_pattern(t, mem, path, method, out);
}
