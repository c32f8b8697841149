#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *code;
    bool retryable;
    const char *title;
} registry[ERR_COUNT] = {
    [OK] = {200, "ok", false, "OK"},
#define ERR(name, status, code, retryable, title) [name] = {status, code, retryable, title},
#include "base/errors.def"
#undef ERR
};

static _Thread_local struct err_info last;

int err_status(err e)
{
    return registry[e].status;
}

const char *err_name(err e)
{
    return registry[e].code;
}

const char *err_title(err e)
{
    return registry[e].title;
}

bool err_retryable(err e)
{
    return registry[e].retryable;
}

__attribute__((format(printf, 5, 0))) static void
record(err e, const char *file, int line, const char *pointer, const char *fmt, va_list ap)
{
    /* The text may quote the record itself, so it is made aside first. */
    char text[sizeof last.detail];
    vsnprintf(text, sizeof text, fmt, ap);
    last.code = e;
    last.file = file;
    last.line = line;
    memcpy(last.detail, text, sizeof text);
    snprintf(last.pointer, sizeof last.pointer, "%s", pointer);
}

err err_fail(err e, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    record(e, file, line, "", fmt, ap);
    va_end(ap);
    return e;
}

err err_fail_field(err e, const char *file, int line, const char *pointer, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    record(e, file, line, pointer, fmt, ap);
    va_end(ap);
    return e;
}

const struct err_info *err_last(void)
{
    return &last;
}

void err_clear(void)
{
    last.code = OK;
    last.detail[0] = '\0';
    last.pointer[0] = '\0';
}

void err_restore(const struct err_info *why)
{
    if (why)
        last = *why;
    else
        err_clear();
}

const char *err_detail(err e)
{
    return last.code == e && last.detail[0] != '\0' ? last.detail : err_title(e);
}
