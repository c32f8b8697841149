/* A growing byte buffer that owns its memory (malloc). Zero value = empty. */
#pragma once
#include "base/sv.h"

struct buf {
    char *p; /* NUL-terminated whenever it is not NULL */
    size_t n, cap;
};

void buf_grow(struct buf *b, size_t more); /* what buf_room calls when there is too little */
/* Room for `more` bytes and a NUL behind what is there; the caller writes them, sets `n` and the
 * NUL. */
static inline char *buf_room(struct buf *b, size_t more)
{
    if (b->cap - b->n <= more)
        buf_grow(b, more);
    return b->p + b->n;
}
static inline void buf_add(struct buf *b, sv s)
{
    char *to = buf_room(b, s.n);
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    b->n += s.n;
    to[s.n] = '\0';
}
static inline void buf_char(struct buf *b, char c)
{
    char *to = buf_room(b, 1);
    to[0] = c;
    to[1] = '\0';
    b->n++;
}
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b); /* keeps the memory */
void buf_free(struct buf *b);
static inline sv buf_sv(const struct buf *b)
{
    return (sv){b->p ? b->p : "", b->n};
}
#define BUF_AUTO __attribute__((cleanup(buf_free))) struct buf
