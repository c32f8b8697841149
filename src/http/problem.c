/* Errors as application/problem+json (RFC 9457), SPEC §5. */
#include "base/log.h"
#include "http/inner.h"

#include <stdio.h>

/* Details of these are for the log, not for the caller. */
static bool detail_private(err e)
{
    return e == ERR_INTERNAL || e == ERR_DB || e == ERR_DB_FULL || e == ERR_WRITE_UNCERTAIN ||
           e == ERR_CONFIG;
}

static void write_fields(struct jw *w, const struct problem_field *f)
{
    jw_key(w, "errors");
    jw_arr(w);
    for (; f != NULL; f = f->next) {
        jw_obj(w);
        jw_kstr(w, "pointer", f->pointer);
        jw_kstr(w, "code", sv_from(f->code));
        jw_kstr(w, "message", f->message);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

void problem_write(struct buf *out, err e, const char *detail, const char *request_id,
                   const struct problem_field *fields, const struct problem_member *members)
{
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_key(&w, "type");
    BUF_AUTO type = {0};
    buf_printf(&type, "urn:mybeing:problem:%s", err_name(e));
    jw_str(&w, buf_sv(&type));
    jw_kstr(&w, "title", sv_from(err_title(e)));
    jw_kint(&w, "status", err_status(e));
    jw_kstr(&w, "detail", sv_from(detail));
    jw_kstr(&w, "code", sv_from(err_name(e)));
    jw_kstr(&w, "requestId", sv_from(request_id));
    jw_kstr(&w, "error", sv_from(err_title(e)));
    if (fields != NULL)
        write_fields(&w, fields);
    for (; members != NULL; members = members->next) {
        jw_key(&w, members->key);
        jw_raw(&w, members->json);
    }
    jw_obj_end(&w);
}

void fault_capture(struct http_conn *x, err e)
{
    const struct err_info *last = err_last();
    x->fault.code = e;
    x->fault.detail[0] = x->fault.pointer[0] = '\0';
    x->fault.file = NULL;
    if (last->code != e)
        return;
    memcpy(x->fault.detail, last->detail, strnlen(last->detail, sizeof last->detail - 1) + 1);
    memcpy(x->fault.pointer, last->pointer, strnlen(last->pointer, sizeof last->pointer - 1) + 1);
    x->fault.file = last->file;
    x->fault.line = last->line;
}

static void log_fault(const struct http_conn *x, err e)
{
    char where[160] = "-";
    if (x->fault.file != NULL)
        snprintf(where, sizeof where, "%s:%d", x->fault.file, x->fault.line);
    log_event(err_status(e) == 500 ? LOG_ERROR : LOG_WARN, "http.error", "id", x->id, "route",
              x->r.route ? x->r.route->path : "-", "code", err_name(e), "detail", x->fault.detail,
              "where", where, NULL);
}

void reply_problem(struct http_conn *x, err e)
{
    struct reply *p = &x->reply;
    struct problem_field one = {.pointer = sv_from(x->fault.pointer),
                                .message = sv_from(x->fault.detail),
                                .code = "invalid"};
    const struct problem_field *fields = p->fields;
    if (fields == NULL && x->fault.code == e && x->fault.pointer[0] != '\0')
        fields = &one;
    bool said = x->fault.code == e && x->fault.detail[0] != '\0' && !detail_private(e);
    buf_clear(&p->body);
    p->fixed = SV_NULL;
    if (p->stream != NULL) {
        stream_unref(p->stream);
        p->stream = NULL;
    }
    const char *detail = said ? x->fault.detail : err_title(e);
    p->status = err_status(e);
    p->cache = "no-store";
    if (problem_wants_page(x)) {
        problem_page(&p->body, p->status, detail, x->id, fields);
        p->type = "text/html; charset=utf-8";
        reply_page_headers(&x->r);
    } else {
        problem_write(&p->body, e, detail, x->id, fields, p->members);
        p->type = "application/problem+json";
    }
    if (p->status == 401)
        reply_header(&x->r, "WWW-Authenticate", SV("Bearer"));
    if (p->status == 503 && err_retryable(e))
        reply_retry_after(&x->r, 1);
    if (p->status >= 500)
        log_fault(x, e);
}
