/* One call to the outside: what is sent, made on the caller's thread, and what comes in, on the
 * client's. */
#include "http/client_inner.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX (8 << 20)

/* -------- what comes in -------- */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    (void)size;
    struct http_flow *f = arg;
    sv line = sv_trim((sv){p, n}), rest = line;
    if (sv_starts(line, SV("HTTP/"))) { /* the last answer counts: 100 Continue comes before it */
        f->nheads = 0;
        buf_clear(&f->head_text);
        return n;
    }
    sv name = sv_trim(sv_cut(&rest, ':'));
    if (rest.p == NULL || name.n == 0 || f->nheads == HEADS_MAX || f->head_text.n + n > 65536)
        return n;
    sv value = sv_trim(rest);
    size_t at = f->head_text.n;
    for (size_t i = 0; i < name.n; i++)
        buf_char(&f->head_text,
                 name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    buf_char(&f->head_text, '\0');
    size_t v = f->head_text.n;
    buf_add(&f->head_text, value);
    buf_char(&f->head_text, '\0');
    f->head[f->nheads].name = at;
    f->head[f->nheads].nname = name.n;
    f->head[f->nheads].value = v;
    f->head[f->nheads++].nvalue = value.n;
    return n;
}

size_t flow_headers(const struct http_flow *f, struct http_header *out)
{
    for (size_t i = 0; i < f->nheads; i++)
        out[i] = (struct http_header){f->head_text.p + f->head[i].name,
                                      {f->head_text.p + f->head[i].value, f->head[i].nvalue}};
    return f->nheads;
}

void flow_tell_status(struct http_flow *f)
{
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    f->status = (int)status;
    if (!f->feed || f->told_status || status < 200)
        return;
    f->told_status = true;
    struct http_header h[HEADS_MAX];
    if (f->f.status != NULL)
        f->f.status(f->arg, f->status, h, flow_headers(f, h));
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    (void)size;
    struct http_flow *f = arg;
    flow_tell_status(f);
    if (f->cancel) {
        f->failure = "cancelled";
        return 0;
    }
    if (f->feed) {
        enum http_more more = f->f.data(f->arg, (sv){p, n});
        if (more == HTTP_ALIVE)
            f->last_us = clock_mono_us();
        if (more != HTTP_STOP)
            return n;
        f->failure = "stopped";
        return 0;
    }
    if (f->in.n + n > f->answer_max) {
        f->failure = "the answer is too large";
        return 0;
    }
    buf_add(&f->in, (sv){p, n});
    return n;
}

/* -------- making a flow, on the caller's thread -------- */
struct target {
    bool loopback, plain;
};

static err look_at_url(const char *url, struct target *out)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    if (ok) {
        out->plain = strcmp(scheme, "http") == 0;
        ok = out->plain || strcmp(scheme, "https") == 0;
        int a, b, d, end = 0;
        bool v4 = sscanf(host, "127.%d.%d.%d%n", &a, &b, &d, &end) == 3 && host[end] == '\0';
        out->loopback = v4 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return ok ? OK : FAIL(ERR_UPSTREAM, "not an http or https URL");
}

static void add_header(struct http_flow *f, const char *name, sv value)
{
    BUF_AUTO b = {0};
    /* curl writes an empty value only with ";" */
    buf_printf(&b, value.n ? "%s: %.*s" : "%s;%.*s", name, SV_ARG(value));
    for (size_t i = 0; i < b.n; i++) /* no caller's value may end a header */
        if (b.p[i] == '\r' || b.p[i] == '\n')
            b.p[i] = ' ';
    struct curl_slist *l = curl_slist_append(f->heads, b.p);
    if (l == NULL)
        abort();
    f->heads = l;
}

static void set_body(struct http_flow *f, const struct http_call *call)
{
    bool get = strcmp(call->method, "GET") == 0;
    if (get && call->body.n == 0) {
        curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
        return;
    }
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (call->body.n > 0 || strcmp(call->method, "DELETE") != 0) {
        f->body = malloc(call->body.n + 1);
        if (f->body == NULL)
            abort();
        if (call->body.n > 0)
            memcpy(f->body, call->body.p, call->body.n);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, f->body);
    }
    if (strcmp(call->method, "POST") != 0)
        curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_options(struct http_flow *f, const struct http_call *call, const char *url,
                        const struct target *t)
{
    CURL *e = f->easy;
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_error);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "MyBeing/" MYBEING_VERSION);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(call->connect_timeout_ms ? call->connect_timeout_ms : 5000));
    long all = call->timeout_ms ? call->timeout_ms : f->feed ? 0 : 30000;
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, all);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (t->loopback)
        curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (call->user_pwd != NULL) {
        curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(e, CURLOPT_USERPWD, call->user_pwd);
    }
    if (call->once) { /* curl repeats on a kept connection that was dead; on a fresh one never */
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    }
    set_body(f, call);
    add_header(f, "Expect", SV(""));
    for (size_t i = 0; i < call->nheaders; i++)
        add_header(f, call->headers[i].name, call->headers[i].value);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->heads);
}

err flow_make(const struct http_call *call, bool allow_plain, struct http_flow **out)
{
    char *url = strndup(call->url.p ? call->url.p : "", call->url.n);
    if (url == NULL)
        abort();
    struct target t = {0};
    err e = look_at_url(url, &t);
    if (e == OK && t.plain && !t.loopback && !allow_plain)
        e = FAIL(ERR_UPSTREAM, "plain http is for loopback only");
    if (e != OK) {
        free(url);
        return e;
    }
    struct http_flow *f = calloc(1, sizeof *f);
    if (f == NULL || (f->easy = curl_easy_init()) == NULL)
        abort();
    f->answer_max = call->answer_max ? call->answer_max : ANSWER_MAX;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->done_cond, NULL);
    set_options(f, call, url, &t); /* curl copies the URL */
    free(url);
    *out = f;
    return OK;
}

void flow_free(struct http_flow *f)
{
    curl_slist_free_all(f->heads);
    free(f->body);
    buf_free(&f->in);
    buf_free(&f->head_text);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->done_cond);
    free(f);
}
