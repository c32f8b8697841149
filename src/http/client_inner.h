/* What client.c, client_flow.c and client_loop.c share; nobody else includes it. */
#pragma once
#include "base/buf.h"
#include "http/client.h"
#include "http/curl.h"

#include <curl/curl.h>
#include <pthread.h>

#define HEADS_MAX 64

/* One call and its answer. The caller makes it and hands it over; from then on it is the loop's,
 * until `done` (a waiting caller's, who frees it) or the feed's `end` (freed by the loop). */
struct http_flow {
    CURL *easy;
    struct curl_slist *heads;
    char *body;
    size_t answer_max;
    bool feed, started, told_status, over;
    _Atomic bool cancel;
    struct http_feed f;
    void *arg;
    int64_t begun_us, last_us; /* last_us 0: no sign of life yet */
    const char *failure;       /* ours; else curl's */
    bool timed_out;
    char curl_error[CURL_ERROR_SIZE];
    /* the answer */
    struct buf in, head_text;
    size_t nheads;
    struct {
        size_t name, nname, value, nvalue;
    } head[HEADS_MAX];
    int status;
    bool sent;
    CURLcode code;
    /* a caller that waits */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
    struct http_flow *next;       /* handed over */
    struct http_flow *fore, *aft; /* running */
};

/* Makes a flow of a call, everything copied; `allow_plain`: http beyond loopback. ERR_UPSTREAM: not
 * a URL that may be called. */
err flow_make(const struct http_call *call, bool allow_plain, struct http_flow **out) MUST_USE;
void flow_free(struct http_flow *f); /* after its easy handle was cleaned up */
void flow_tell_status(struct http_flow *f);
/* At most HEADS_MAX, borrowed from f. */
size_t flow_headers(const struct http_flow *f, struct http_header *out);

/* Loads libcurl and starts the thread, if this is the first call. ERR_UPSTREAM before
 * http_client_start and after http_client_stop. */
err loop_ready(bool *allow_plain) MUST_USE;
/* Takes f, also when it fails. */
err loop_take(struct http_flow *f) MUST_USE;
void loop_wake(void);
