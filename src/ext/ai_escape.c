#include "ext/ai_escape.h"

#define ESCAPE 6 /* bytes: backslash, u, four digits */

/* The code of an escape that begins at p[i]; -1 if none does. */
static int code_at(sv s, size_t i)
{
    int code = 0;
    if (i + ESCAPE > s.n || s.p[i] != '\\' || s.p[i + 1] != 'u')
        return -1;
    for (size_t k = i + 2; k < i + ESCAPE; k++) {
        int digit = hex_value(s.p[k]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static bool is_high(int code)
{
    return code >= 0xd800 && code <= 0xdbff;
}

static bool is_low(int code)
{
    return code >= 0xdc00 && code <= 0xdfff;
}

/* One escape that stands alone. */
static void mend_one(struct buf *out, int code, bool ends_string, unsigned *half)
{
    if (is_high(code) && ends_string) {
        *half = (unsigned)code;
    } else if (is_low(code) && *half != 0) {
        buf_printf(out, "\\u%04x\\u%04x", *half, (unsigned)code);
        *half = 0;
    } else {
        buf_add(out, SV("\\ufffd"));
    }
}

void ai_escape_mend(struct buf *out, sv json, unsigned *half)
{
    for (size_t i = 0; i < json.n;) {
        int code = code_at(json, i);
        if (is_high(code) && is_low(code_at(json, i + ESCAPE))) {
            buf_add(out, (sv){json.p + i, (size_t)2 * ESCAPE});
            i += (size_t)2 * ESCAPE;
        } else if (code == 0 || is_high(code) || is_low(code)) {
            mend_one(out, code, i + ESCAPE < json.n && json.p[i + ESCAPE] == '"', half);
            i += ESCAPE;
        } else {
            size_t n = json.p[i] == '\\' && i + 1 < json.n ? 2 : 1; /* no "\\u" is an escape */
            buf_add(out, (sv){json.p + i, n});
            i += n;
        }
    }
}
