#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define REDZONE        16
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define REDZONE        0
#endif

struct block {
    struct block *prev;
    size_t size, used;
    _Alignas(16) char data[];
};

struct arena {
    struct block *top;
    size_t before; /* bytes used in all blocks below the top */
};

static struct block *block_new(size_t size, struct block *prev)
{
    struct block *b = malloc(sizeof *b + size);
    if (b == NULL)
        abort();
    *b = (struct block){.prev = prev, .size = size};
    POISON(b->data, size);
    return b;
}

static void block_free(struct block *b)
{
    UNPOISON(b->data, b->size);
    free(b);
}

struct arena *arena_new(size_t block)
{
    struct arena *a = malloc(sizeof *a);
    if (a == NULL)
        abort();
    *a = (struct arena){.top = block_new(block ? block : 8192, NULL)};
    return a;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    for (struct block *b = a->top, *prev; b != NULL; b = prev) {
        prev = b->prev;
        block_free(b);
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
    assert(n < SIZE_MAX / 4);
    size_t need = ((n ? n : 1) + 15) / 16 * 16 + REDZONE;
    struct block *b = a->top;
    if (b->size - b->used < need) {
        size_t size = b->size * 2 < 1 << 20 ? b->size * 2 : 1 << 20;
        a->before += b->used;
        b = a->top = block_new(need > size ? need : size, b);
    }
    char *p = b->data + b->used;
    b->used += need;
    UNPOISON(p, n);
    return p;
}

void *arena_zero(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

char *arena_cstr(struct arena *a, sv s)
{
    if (s.p == NULL)
        return NULL;
    char *p = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

sv arena_sv(struct arena *a, sv s)
{
    return (sv){arena_cstr(a, s), s.n};
}

sv arena_join(struct arena *a, sv first, sv second, sv third)
{
    const sv parts[] = {first, second, third};
    char *p = arena_alloc(a, first.n + second.n + third.n + 1), *to = p;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n > 0)
            memcpy(to, parts[i].p, parts[i].n);
        to += parts[i].n;
    }
    *to = '\0';
    return (sv){p, (size_t)(to - p)};
}

sv arena_printf(struct arena *a, const char *fmt, ...)
{
    char text[256]; /* most fit: formatted once */
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof text)
        memcpy(p, text, (size_t)n + 1);
    else
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (sv){p, (size_t)n};
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->top, a->top->used};
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
    while (a->top != m.block) {
        struct block *b = a->top;
        a->top = b->prev;
        a->before -= a->top->used;
        block_free(b);
    }
    assert(m.used <= a->top->used);
    POISON(a->top->data + m.used, a->top->used - m.used);
    a->top->used = m.used;
}

void arena_reset(struct arena *a)
{
    struct block *first = a->top;
    while (first->prev != NULL)
        first = first->prev;
    arena_rewind(a, (struct arena_mark){first, 0});
}

size_t arena_used(const struct arena *a)
{
    return a->before + a->top->used;
}
