/* Borrowed strings: pointer and length, never owned, not NUL-terminated unless said. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct sv {
    const char *p; /* NULL only for "absent" (SQL NULL, a missing field) */
    size_t n;
} sv;

/* A number that may be absent (SQL NULL). */
typedef struct opt_int {
    bool has;
    int64_t v;
} opt_int;
#define SOME_INT(x) ((opt_int){true, (x)})

#define SV(lit) ((sv){(lit), sizeof(lit) - 1})
#define SV_NULL ((sv){NULL, 0})
/* printf("%.*s", SV_ARG(s)) */
#define SV_ARG(s) (int)(s).n, ((s).p ? (s).p : "")

static inline sv sv_from(const char *cstr)
{
    return (sv){cstr, cstr ? strlen(cstr) : 0};
}
static inline bool sv_eq(sv a, sv b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool sv_is(sv a, const char *cstr)
{
    return sv_eq(a, sv_from(cstr));
}
static inline bool sv_empty(sv a)
{
    return a.n == 0;
}
/* 0 to 15; -1: no hexadecimal digit. */
static inline int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
bool sv_eq_nocase(sv a, sv b); /* ASCII */
bool sv_starts(sv a, sv prefix);
bool sv_ends(sv a, sv suffix);
bool sv_contains(sv a, sv needle);
int sv_cmp(sv a, sv b); /* memcmp order, shorter first */
sv sv_trim(sv a);       /* ASCII space, tab, CR, LF */
/* Cuts `rest` at the first `sep`: returns what is before it, leaves what is after it (p == NULL at
 * the end). */
sv sv_cut(sv *rest, char sep);
/* Whole of `a` as a decimal int64, an optional '-' first. False if it is anything else. */
bool sv_to_i64(sv a, int64_t *out);
/* The other way: decimal text in `out`. */
#define INT_TEXT 21
sv sv_from_i64(int64_t v, char out[INT_TEXT]);
bool sv_valid_utf8(sv a);
bool sv_has_control(sv a); /* a byte below 0x20, or 0x7f */
size_t sv_utf8_len(sv a);  /* code points of valid UTF-8 */
