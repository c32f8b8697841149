#include "http/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Names are few and fixed: an open table that only grows, its slots claimed by compare-and-swap. */
#define SLOTS 1024

struct metric {
    _Atomic(const char *) name;
    _Atomic int64_t value;
    _Atomic bool gauge;
};
static struct metric table[SLOTS];

static struct metric *metric_of(const char *name)
{
    uint64_t h = 1469598103934665603U;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211U;
    for (size_t i = 0; i < SLOTS; i++) {
        struct metric *m = &table[(h + i) % SLOTS];
        const char *there = atomic_load_explicit(&m->name, memory_order_acquire);
        if (there == NULL) {
            char *own = strdup(name);
            if (own == NULL)
                abort();
            if (atomic_compare_exchange_strong(&m->name, &there, own))
                return m;
            free(own);
        }
        if (strcmp(there, name) == 0)
            return m;
    }
    return NULL; /* full: the metric is lost, nothing else */
}

void metric_add(const char *name, int64_t n)
{
    struct metric *m = metric_of(name);
    if (m != NULL)
        atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(const char *name, int64_t v)
{
    struct metric *m = metric_of(name);
    if (m == NULL)
        return;
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
    atomic_store_explicit(&m->gauge, true, memory_order_relaxed);
}

static int by_name(const void *a, const void *b)
{
    const struct metric *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static sv family(const char *name)
{
    return (sv){name, strcspn(name, "{")};
}

void metric_write(struct buf *out)
{
    const struct metric *all[SLOTS] = {0};
    size_t n = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if (atomic_load_explicit(&table[i].name, memory_order_acquire) != NULL)
            all[n++] = &table[i];
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        sv f = family(all[i]->name);
        if (i == 0 || !sv_eq(f, family(all[i - 1]->name)))
            buf_printf(out, "# HELP %.*s MyBeing\n# TYPE %.*s %s\n", SV_ARG(f), SV_ARG(f),
                       all[i]->gauge || !sv_ends(f, SV("_total")) ? "gauge" : "counter");
        buf_printf(out, "%s %lld\n", all[i]->name, (long long)all[i]->value);
    }
}
