#include "base/id.h"
#include "base/crypto.h"

#include <stdio.h>

/* RFC 9562 UUIDv7: 48 bits of milliseconds, then random bits with version and variant. */
static void uuid7(ts now, char out[37])
{
    unsigned char b[16];
    crypto_random(b, sizeof b);
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)((uint64_t)now.ms >> (40 - 8 * i));
    b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}

sv id_new(struct arena *mem, const char *prefix, ts now)
{
    char uuid[37];
    uuid7(now, uuid);
    return arena_printf(mem, "%s_%s", prefix, uuid);
}

user_id user_id_new(ts now)
{
    user_id id;
    char uuid[37];
    uuid7(now, uuid);
    snprintf(id.s, sizeof id.s, "usr_%s", uuid);
    return id;
}

visitor_id visitor_id_new(ts now)
{
    visitor_id id;
    char uuid[37];
    uuid7(now, uuid);
    snprintf(id.s, sizeof id.s, "anon_%s", uuid);
    return id;
}

user_id user_id_from(sv s)
{
    user_id id = {{0}};
    if (s.n > 0)
        memcpy(id.s, s.p, s.n < ID_MAX ? s.n : ID_MAX - 1);
    return id;
}

visitor_id visitor_id_from(sv s)
{
    visitor_id id = {{0}};
    if (s.n > 0)
        memcpy(id.s, s.p, s.n < ID_MAX ? s.n : ID_MAX - 1);
    return id;
}

bool id_valid(sv s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s.n != n + 37 || memcmp(s.p, prefix, n) != 0 || s.p[n] != '_')
        return false;
    for (size_t i = 0; i < 36; i++) {
        char c = s.p[n + 1 + i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return true;
}
