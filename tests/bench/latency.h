/* Latencies of a run, by the second in which each was due: for the tools beside this file. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct latencies {
    uint32_t *us;
    uint16_t *second; /* of the run */
    size_t n, cap;    /* what finds no room is not kept */
};

static inline int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline struct latencies latencies_new(size_t cap)
{
    return (struct latencies){calloc(cap, sizeof(uint32_t)), calloc(cap, sizeof(uint16_t)), 0, cap};
}

/* Ended now; due so long ago, in a run that began then (both of now_us). */
static inline void latency_add(struct latencies *l, int64_t due, int64_t began)
{
    if (l->n == l->cap)
        return;
    l->us[l->n] = (uint32_t)(now_us() - due);
    l->second[l->n++] = (uint16_t)((due - began) / 1000000);
}

static inline int latency_by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The 99th percentile of every second, for those who look for the worst: a member of a JSON object.
 * Before latencies_print, which sorts. */
static inline void latencies_print_seconds(const struct latencies *l)
{
    uint32_t *of = calloc(l->n + 1, sizeof *of);
    const char *comma = "";
    unsigned last = 0;
    for (size_t i = 0; i < l->n; i++)
        last = l->second[i] > last ? l->second[i] : last;
    printf(",\"p99_by_second\":[");
    for (unsigned s = 0; s <= last; s++) {
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++)
            if (l->second[i] == s)
                of[n++] = l->us[i];
        qsort(of, n, sizeof *of, latency_by_value);
        if (n > 0) {
            printf("%s%.3f", comma, of[n * 99 / 100] / 1e3);
            comma = ",";
        }
    }
    printf("]");
    free(of);
}

/* Of all, at least one: further members. */
static inline void latencies_print(struct latencies *l)
{
    qsort(l->us, l->n, sizeof *l->us, latency_by_value);
    printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f",
           l->us[l->n / 2] / 1e3, l->us[l->n * 99 / 100] / 1e3, l->us[l->n * 999 / 1000] / 1e3,
           l->us[l->n - 1] / 1e3);
}
