#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t offset_ms;

ts clock_wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (ts){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

ts clock_now(void)
{
    return (ts){clock_wall().ms + atomic_load_explicit(&offset_ms, memory_order_relaxed)};
}

int64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void clock_set_offset(int64_t ms)
{
    atomic_store_explicit(&offset_ms, ms, memory_order_relaxed);
}

int64_t clock_offset(void)
{
    return atomic_load_explicit(&offset_ms, memory_order_relaxed);
}
