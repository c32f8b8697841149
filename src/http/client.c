/* Calls to the outside, from the caller's side. */
#include "http/client_inner.h"

#include <string.h>

#define FEED_BUFFER 4096L /* thousands of feeds run at once, and each brings little at a time */

static err make(const struct http_call *call, struct http_flow **out)
{
    bool allow_plain;
    TRY(loop_ready(&allow_plain));
    return flow_make(call, allow_plain, out);
}

static void answer_fill(struct arena *mem, const struct http_flow *f, struct http_answer *out)
{
    struct http_header *h = ARENA_ARRAY(mem, struct http_header, f->nheads + 1);
    struct http_header from[HEADS_MAX];
    size_t n = flow_headers(f, from);
    for (size_t i = 0; i < n; i++)
        h[i] = (struct http_header){arena_cstr(mem, sv_from(from[i].name)),
                                    arena_sv(mem, from[i].value)};
    bool answered = f->failure == NULL && f->status > 0;
    *out = (struct http_answer){
        .status = answered ? f->status : 0,
        .body = arena_sv(mem, buf_sv(&f->in)),
        .headers = h,
        .nheaders = n,
        .sent = f->sent,
        .failure =
            answered ? NULL : arena_cstr(mem, sv_from(f->failure ? f->failure : "no answer")),
    };
}

err http_fetch(struct arena *mem, const struct http_call *call, struct http_answer *out)
{
    struct http_flow *f;
    *out = (struct http_answer){.body = SV("")};
    err e = make(call, &f);
    if (e == OK)
        e = loop_take(f);
    if (e != OK) {
        out->failure = arena_cstr(mem, sv_from(err_detail(e)));
        return e;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->done)
        pthread_cond_wait(&f->done_cond, &f->lock);
    pthread_mutex_unlock(&f->lock);
    answer_fill(mem, f, out);
    flow_free(f);
    return out->status > 0 ? OK : FAIL(ERR_UPSTREAM, "%s", out->failure);
}

err http_feed_start(const struct http_call *call, const struct http_feed *feed, void *arg,
                    struct http_flow **out)
{
    struct http_flow *f;
    TRY(make(call, &f));
    f->feed = true;
    f->f = *feed;
    f->arg = arg;
    if (call->timeout_ms == 0)
        curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(f->easy, CURLOPT_BUFFERSIZE, FEED_BUFFER);
    *out = f; /* before the first callback can run */
    return loop_take(f);
}

void http_feed_cancel(struct http_flow *f)
{
    f->cancel = true;
    loop_wake();
}

sv http_answer_header(const struct http_answer *a, const char *lower_name)
{
    for (size_t i = 0; i < a->nheaders; i++)
        if (strcmp(a->headers[i].name, lower_name) == 0)
            return a->headers[i].value;
    return SV_NULL;
}
