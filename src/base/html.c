#include "base/html.h"

void buf_html(struct buf *b, sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '&':
            buf_add(b, SV("&amp;"));
            break;
        case '<':
            buf_add(b, SV("&lt;"));
            break;
        case '>':
            buf_add(b, SV("&gt;"));
            break;
        case '"':
            buf_add(b, SV("&quot;"));
            break;
        case '\'':
            buf_add(b, SV("&#39;"));
            break;
        default:
            buf_char(b, s.p[i]);
        }
    }
}
