/* A growing byte buffer that owns its memory (malloc). Zero value = empty. */
#pragma once
#include "base/sv.h"

struct buf {
    char *p; /* NUL-terminated whenever it is not NULL */
    size_t n, cap;
};

void buf_add(struct buf *b, sv s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b); /* keeps the memory */
void buf_free(struct buf *b);
static inline sv buf_sv(const struct buf *b)
{
    return (sv){b->p ? b->p : "", b->n};
}
#define BUF_AUTO __attribute__((cleanup(buf_free))) struct buf
