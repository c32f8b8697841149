#include "base/calendar.h"
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

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

static void quoted(struct buf *b, sv s)
{
    buf_char(b, '"');
    for (size_t i = 0; i < s.n;) {
        size_t run = i;
        while (run < s.n && plain((unsigned char)s.p[run]))
            run++;
        if (run > i)
            buf_add(b, (sv){s.p + i, run - i});
        i = run < s.n ? run + escape(b, s.p + run, s.n - run) : run;
    }
    buf_char(b, '"');
}

void jw_key_sv(struct jw *w, sv key)
{
    assert(w->depth > 0 && !w->key);
    if (w->comma)
        buf_char(w->out, ',');
    quoted(w->out, key);
    buf_char(w->out, ':');
    w->key = true;
    w->comma = true;
}

void jw_key(struct jw *w, const char *key)
{
    jw_key_sv(w, sv_from(key));
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
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    jw_raw(w, (sv){text, (size_t)n});
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
    char text[TS_TEXT];
    jw_str(w, ts_is_none(t) ? SV_NULL : ts_text(t, text));
}

void jw_kstr(struct jw *w, const char *key, sv v)
{
    jw_key(w, key);
    jw_str(w, v);
}

void jw_kint(struct jw *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_kopt(struct jw *w, const char *key, opt_int v)
{
    jw_key(w, key);
    if (v.has)
        jw_int(w, v.v);
    else
        jw_null(w);
}

void jw_knull(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kts(struct jw *w, const char *key, ts t)
{
    jw_key(w, key);
    jw_ts(w, t);
}

void jw_kmoney(struct jw *w, const char *key, money m)
{
    jw_key(w, key);
    jw_int(w, m.minor);
}
