#include "chat/chat_rules.h"

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
