/* What every target shares. A target is one function: given bytes of a stranger's, it may not
 * crash, read outside of them, leak, or break what the comment above it promises. */
#pragma once
#include "base/arena.h"
#include "base/crypto.h"
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv); /* what main does before threads */

#define PROMISE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static inline sv fuzz_text(const uint8_t *data, size_t n)
{
    return (sv){(const char *)data, n};
}

/* The first byte chooses among `ways`; the rest is the text. */
static inline unsigned fuzz_way(sv *text, unsigned ways)
{
    if (text->n == 0)
        return 0;
    unsigned way = (uint8_t)text->p[0] % ways;
    text->p++;
    text->n--;
    return way;
}
