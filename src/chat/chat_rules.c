#include "chat/chat_rules.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

const char *chat_role_name(enum chat_role r)
{
    static const char *const names[] = {"user", "assistant", "system"};
    return names[r];
}

/* Bytes of the first `chars` characters of valid UTF-8. */
static size_t bytes_of(sv s, size_t chars)
{
    size_t i = 0, n = 0;
    while (i < s.n) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80 && n++ == chars)
            break;
        i++;
    }
    return i;
}

sv chat_title_of(struct arena *mem, sv content)
{
    char *line = arena_alloc(mem, content.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < content.n; i++) {
        unsigned char c = (unsigned char)content.p[i];
        bool space = c <= ' ' || c == 0x7f;
        if (space && (n == 0 || line[n - 1] == ' '))
            continue;
        line[n++] = space ? ' ' : (char)c;
    }
    sv all = sv_trim((sv){line, n});
    if (all.n == 0)
        return SV("New conversation");
    return sv_trim((sv){all.p, bytes_of(all, CHAT_TITLE_CHARS)});
}

static locale_t unicode; /* the C library's table of letters; 0 where the system has none: ASCII */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load_unicode(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static unsigned lower(unsigned code)
{
    if (code < 0x80 || unicode == (locale_t)0)
        return code >= 'A' && code <= 'Z' ? code + 32 : code;
    return (unsigned)towlower_l((wint_t)code, unicode);
}

/* The character at p, and its bytes: valid UTF-8. */
static unsigned decode(const char *p, size_t *bytes)
{
    static const unsigned char lead[] = {0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)*p;
    *bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    c &= lead[*bytes - 1];
    for (size_t i = 1; i < *bytes; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3fU);
    return c;
}

static size_t encode(unsigned code, char *out)
{
    static const unsigned char lead[] = {0x00, 0xc0, 0xe0, 0xf0};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n - 1] | code);
    return n;
}

sv chat_fold(struct arena *mem, sv text)
{
    pthread_once(&once, load_unicode);
    char *out = arena_alloc(mem, 2 * text.n + 1); /* two bytes may become three */
    size_t n = 0;
    for (size_t i = 0, bytes; i < text.n; i += bytes)
        n += encode(lower(decode(text.p + i, &bytes)), out + n);
    return (sv){out, n};
}
