/* Memory with one lifetime: freed or rewound as a whole. Not thread-safe. Out of memory aborts. */
#pragma once
#include "base/sv.h"

struct arena;

/* `block` = first block's size in bytes (0: 8 KiB). Owned by the caller: arena_free. */
struct arena *arena_new(size_t block);
void arena_free(struct arena *a);
static inline void arena_cleanup(struct arena **a)
{
    arena_free(*a);
}
#define ARENA_AUTO __attribute__((cleanup(arena_cleanup))) struct arena *

/* 16-byte aligned; arena_alloc is not zeroed, arena_zero is. n == 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
void *arena_zero(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
#define ARENA_NEW(a, type)      ((type *)arena_zero((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zero((a), sizeof(type) * (size_t)(n)))

/* Copies; all are NUL-terminated behind their last byte. A NULL sv stays NULL. */
sv arena_sv(struct arena *a, sv s);
char *arena_cstr(struct arena *a, sv s); /* NULL for SV_NULL */
/* The three one behind the other; SV_NULL counts as empty. (A tenth of arena_printf's work.) */
sv arena_join(struct arena *a, sv first, sv second, sv third);
sv arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Everything allocated after the mark is given back by arena_rewind (poisoned under ASan). */
struct arena_mark {
    void *block;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
void arena_reset(struct arena *a); /* to empty; keeps its first block */
size_t arena_used(const struct arena *a);
