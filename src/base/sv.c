#include "base/sv.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool sv_eq_nocase(sv a, sv b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool sv_starts(sv a, sv prefix)
{
    return a.n >= prefix.n && sv_eq((sv){a.p, prefix.n}, prefix);
}

bool sv_ends(sv a, sv suffix)
{
    return a.n >= suffix.n && sv_eq((sv){a.p + (a.n - suffix.n), suffix.n}, suffix);
}

bool sv_contains(sv a, sv needle)
{
    return needle.n == 0 || (a.n >= needle.n && memmem(a.p, a.n, needle.p, needle.n) != NULL);
}

int sv_cmp(sv a, sv b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

sv sv_trim(sv a)
{
    while (a.n > 0 && is_space(a.p[0]))
        a = (sv){a.p + 1, a.n - 1};
    while (a.n > 0 && is_space(a.p[a.n - 1]))
        a.n--;
    return a;
}

sv sv_cut(sv *rest, char sep)
{
    sv all = *rest;
    const char *at = all.n ? memchr(all.p, sep, all.n) : NULL;
    if (at == NULL) {
        *rest = SV_NULL;
        return all;
    }
    size_t before = (size_t)(at - all.p);
    *rest = (sv){at + 1, all.n - before - 1};
    return (sv){all.p, before};
}

bool sv_to_i64(sv a, int64_t *out)
{
    bool negative = a.n > 0 && a.p[0] == '-';
    size_t i = negative;
    if (i == a.n || a.n - i > 19)
        return false;
    uint64_t v = 0;
    for (; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(a.p[i] - '0');
    }
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* Length of the sequence at p (RFC 3629), or 0 if it is not valid. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool beyond = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

sv sv_from_i64(int64_t v, char out[INT_TEXT])
{
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    char *p = out + INT_TEXT;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (v < 0)
        *--p = '-';
    return (sv){p, (size_t)(out + INT_TEXT - p)};
}

/* Do 32 bytes hold ASCII alone? */
static bool ascii32(const char *p)
{
    uint64_t w[4];
    memcpy(w, p, sizeof w);
    return ((w[0] | w[1] | w[2] | w[3]) & UINT64_C(0x8080808080808080)) == 0;
}

bool sv_valid_utf8(sv a)
{
    for (size_t i = 0; i < a.n;) {
        if (a.n - i >= 32 && ascii32(a.p + i)) { /* as nearly always */
            i += 32;
            continue;
        }
        size_t end = a.n - i > 32 ? i + 32 : a.n;
        while (i < end) {
            size_t step = utf8_step((const unsigned char *)a.p + i, a.n - i);
            if (step == 0)
                return false;
            i += step;
        }
    }
    return true;
}

bool sv_has_control(sv a)
{
    for (size_t i = 0; i < a.n; i++)
        if ((unsigned char)a.p[i] < 0x20 || a.p[i] == 0x7f)
            return true;
    return false;
}

size_t sv_utf8_len(sv a)
{
    size_t n = 0;
    for (size_t i = 0; i < a.n; i++)
        n += ((unsigned char)a.p[i] & 0xc0) != 0x80;
    return n;
}
