/* Form encoding, with brackets left readable: metadata[userId]=usr_… as Stripe's own clients write
 * it. */
#include "base/buf.h"
#include "http/client.h"

#include <stdio.h>

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void encode(struct buf *b, sv s, bool brackets)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (unreserved(c) || (brackets && (c == '[' || c == ']'))) {
            buf_char(b, (char)c);
            continue;
        }
        buf_add(b, (sv){(char[]){'%', hex[c >> 4], hex[c & 15]}, 3});
    }
}

void form_add(struct buf *b, const char *name, sv value)
{
    if (b->n > 0)
        buf_char(b, '&');
    encode(b, sv_from(name), true);
    buf_char(b, '=');
    encode(b, value, false);
}

void form_add_int(struct buf *b, const char *name, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    form_add(b, name, sv_from(text));
}

sv url_encode(struct arena *mem, sv s)
{
    BUF_AUTO b = {0};
    encode(&b, s, false);
    return arena_sv(mem, buf_sv(&b));
}
