#include "ext/sse.h"

/* A field line of an event. Only `data` matters to us. */
static void field(struct sse *s, sv line)
{
    sv rest = line;
    sv name = sv_cut(&rest, ':');
    if (!sv_is(name, "data"))
        return; /* comments (an empty name), event, id, retry, unknown fields */
    if (rest.n > 0 && rest.p[0] == ' ')
        rest = (sv){rest.p + 1, rest.n - 1};
    if (s->has_data)
        buf_char(&s->data, '\n');
    s->has_data = true;
    buf_add(&s->data, (sv){rest.p ? rest.p : "", rest.n});
}

static bool line_end(struct sse *s, sse_event_fn fn, void *arg)
{
    sv line = buf_sv(&s->line);
    if (!s->bom_done) {
        s->bom_done = true;
        if (sv_starts(line, SV("\xef\xbb\xbf")))
            line = (sv){line.p + 3, line.n - 3};
    }
    bool go_on = true;
    if (line.n > 0) {
        field(s, line);
    } else {
        if (s->data.n > 0)
            go_on = fn(arg, buf_sv(&s->data));
        buf_clear(&s->data);
        s->has_data = false;
    }
    buf_clear(&s->line);
    return go_on;
}

err sse_feed(struct sse *s, sv bytes, sse_event_fn fn, void *arg)
{
    for (size_t i = 0; i < bytes.n;) {
        bool lf_of_crlf = bytes.p[i] == '\n' && s->after_cr;
        size_t end = i;
        s->after_cr = false;
        if (lf_of_crlf) {
            i++;
            continue;
        }
        while (end < bytes.n && bytes.p[end] != '\r' && bytes.p[end] != '\n')
            end++;
        if (s->line.n + s->data.n + (end - i) > SSE_EVENT_MAX)
            return FAIL(ERR_TOO_LARGE, "an event is larger than %zu bytes", SSE_EVENT_MAX);
        buf_add(&s->line, (sv){bytes.p + i, end - i});
        if (end == bytes.n)
            return OK;
        s->after_cr = bytes.p[end] == '\r';
        i = end + 1;
        if (!line_end(s, fn, arg))
            return OK;
    }
    return OK;
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
}
