#include "base/calendar.h"
#include "base/json_tree.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What stands before a value: a comma between elements, nothing behind a key. */
static void before_value(struct jw *w)
{
    if (w->key)
        w->key = false;
    else if (w->comma)
        buf_char(w->out, ',');
    w->comma = true;
}

static void open_(struct jw *w, char c)
{
    before_value(w);
    buf_char(w->out, c);
    w->depth++;
    w->comma = false;
}

static void close_(struct jw *w, char c)
{
    assert(w->depth > 0 && !w->key);
    buf_char(w->out, c);
    w->depth--;
    w->comma = true;
}

void jw_obj(struct jw *w)
{
    open_(w, '{');
}

void jw_obj_end(struct jw *w)
{
    close_(w, '}');
}

void jw_arr(struct jw *w)
{
    open_(w, '[');
}

void jw_arr_end(struct jw *w)
{
    close_(w, ']');
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Are all eight bytes plain? Borrows between bytes can only say no where a byte below had said no.
 */
static bool plain8(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
    return ((w | (w - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones)) & highs) == 0;
}

/* One character that is not plain; returns its bytes. */
static size_t escape(struct buf *b, const char *p, size_t n)
{
    unsigned char c = (unsigned char)*p;
    static const char shorts[] = "\b\f\n\r\t\"\\";
    static const char letters[] = "bfnrt\"\\";
    const char *at = c != '\0' ? strchr(shorts, c) : NULL;
    if (at != NULL) {
        buf_char(b, '\\');
        buf_char(b, letters[at - shorts]);
        return 1;
    }
    if (c < 0x20 || c == 0x7f) {
        buf_printf(b, "\\u%04x", c);
        return 1;
    }
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (len <= n && sv_valid_utf8((sv){p, len})) {
        buf_add(b, (sv){p, len});
        return len;
    }
    buf_add(b, SV("\xef\xbf\xbd"));
    return 1;
}

/* Text is copied while it is plain; room is made for all of it at once, and again after each
 * escape, which may be longer than what it stands for. */
static void quoted(struct buf *b, sv s)
{
    char *to = buf_room(b, s.n + 2);
    *to++ = '"';
    for (size_t i = 0; i < s.n;) {
        uint64_t w;
        if (s.n - i >= sizeof w) {
            memcpy(&w, s.p + i, sizeof w);
            if (plain8(w)) {
                memcpy(to, &w, sizeof w);
                to += sizeof w;
                i += sizeof w;
                continue;
            }
        }
        if (plain((unsigned char)s.p[i])) {
            *to++ = s.p[i++];
            continue;
        }
        b->n = (size_t)(to - b->p);
        i += escape(b, s.p + i, s.n - i);
        to = buf_room(b, s.n - i + 2);
    }
    *to++ = '"';
    *to = '\0';
    b->n = (size_t)(to - b->p);
}

static void before_key(struct jw *w)
{
    assert(w->depth > 0 && !w->key);
    if (w->comma)
        buf_char(w->out, ',');
    w->key = true;
    w->comma = true;
}

void jw_key_sv(struct jw *w, sv key)
{
    before_key(w);
    quoted(w->out, key);
    buf_char(w->out, ':');
}

void jw_key_plain(struct jw *w, sv key)
{
    before_key(w);
    char *to = buf_room(w->out, key.n + 3);
    *to++ = '"';
    memcpy(to, key.p, key.n);
    to += key.n;
    memcpy(to, "\":", 3);
    w->out->n += key.n + 3;
}

void jw_raw(struct jw *w, sv text)
{
    before_value(w);
    buf_add(w->out, text);
}

void jw_null(struct jw *w)
{
    jw_raw(w, SV("null"));
}

void jw_str(struct jw *w, sv s)
{
    if (s.p == NULL) {
        jw_null(w);
        return;
    }
    before_value(w);
    quoted(w->out, s);
}

void jw_int(struct jw *w, int64_t v)
{
    char text[INT_TEXT];
    jw_raw(w, sv_from_i64(v, text));
}

void jw_real(struct jw *w, double v)
{
    char text[32];
    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    int n = snprintf(text, sizeof text, "%.15g", v);
    jw_raw(w, (sv){text, (size_t)n});
}

void jw_bool(struct jw *w, bool v)
{
    jw_raw(w, v ? SV("true") : SV("false"));
}

void jw_ts(struct jw *w, ts t)
{
    if (ts_is_none(t)) {
        jw_null(w);
        return;
    }
    before_value(w);
    char *to = buf_room(w->out, TS_TEXT + 2), *text = to + 1;
    size_t n = ts_text(t, text).n;
    *to = '"';
    memcpy(text + n, "\"", 2);
    w->out->n += n + 2;
}

static void object(struct jw *w, const json *j)
{
    const struct json_member **sorted = malloc((j->n + 1) * sizeof *sorted);
    if (sorted == NULL)
        abort();
    for (uint32_t i = 0; i < j->n; i++)
        sorted[i] = &j->members[i];
    qsort(sorted, j->n, sizeof *sorted, json_by_key);
    jw_obj(w);
    for (uint32_t i = 0; i < j->n; i++) {
        jw_key_sv(w, sorted[i]->key);
        jw_json(w, &sorted[i]->value);
    }
    jw_obj_end(w);
    free(sorted);
}

/* Nests no deeper than JSON_DEPTH, as what was parsed. */
void jw_json(struct jw *w, const json *j)
{
    switch (json_kind(j)) {
    case JK_NONE:
    case JK_NULL:
        jw_null(w);
        break;
    case JK_BOOL:
        jw_bool(w, j->b);
        break;
    case JK_INT:
        jw_int(w, j->i);
        break;
    case JK_REAL:
        jw_raw(w, (sv){j->s, j->n});
        break;
    case JK_STR:
        jw_str(w, json_str(j));
        break;
    case JK_ARR:
        jw_arr(w);
        for (uint32_t i = 0; i < j->n; i++)
            jw_json(w, &j->items[i]);
        jw_arr_end(w);
        break;
    case JK_OBJ:
        object(w, j);
        break;
    }
}
