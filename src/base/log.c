#include "base/log.h"
#include "base/calendar.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool as_json = true;
static enum log_level threshold = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(enum log_format format, enum log_level least)
{
    as_json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDERR_FILENO));
    threshold = least;
}

/* One write a line: lines of several threads do not mix. */
static void emit(struct buf *b)
{
    buf_char(b, '\n');
    ssize_t n = write(STDERR_FILENO, b->p, b->n);
    (void)n; /* nobody to tell */
}

static void json_pairs(struct buf *b, enum log_level level, const char *event, va_list ap)
{
    struct jw w = {.out = b};
    jw_obj(&w);
    jw_kts(&w, "time", clock_wall());
    jw_kstr(&w, "level", sv_from(level_names[level]));
    jw_kstr(&w, "event", sv_from(event));
    for (const char *key; (key = va_arg(ap, const char *)) != NULL;)
        jw_kstr(&w, key, sv_from(va_arg(ap, const char *)));
    jw_obj_end(&w);
}

static void text_pairs(struct buf *b, enum log_level level, const char *event, va_list ap)
{
    char t[TS_TEXT];
    buf_printf(b, "%.*s %-5s %s", SV_ARG(ts_text(clock_wall(), t)), level_names[level], event);
    for (const char *key; (key = va_arg(ap, const char *)) != NULL;) {
        const char *value = va_arg(ap, const char *);
        buf_printf(b, " %s=", key);
        for (const char *c = value ? value : "-"; *c; c++)
            buf_char(b, (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    }
}

void log_event(enum log_level level, const char *event, ...)
{
    if (level < threshold)
        return;
    BUF_AUTO b = {0};
    va_list ap;
    va_start(ap, event);
    if (as_json)
        json_pairs(&b, level, event, ap);
    else
        text_pairs(&b, level, event, ap);
    va_end(ap);
    emit(&b);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level < threshold)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_event(level, "message", "text", text, NULL);
}

bool log_wanted(enum log_level level)
{
    return level >= threshold;
}

bool log_is_json(void)
{
    return as_json;
}

void log_raw(sv lines)
{
    for (size_t at = 0; at < lines.n;) {
        ssize_t n = write(STDERR_FILENO, lines.p + at, lines.n - at);
        if (n <= 0)
            return; /* nobody to tell */
        at += (size_t)n;
    }
}
