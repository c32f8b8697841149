/* Calls to the outside by libcurl: one multi handle on a thread of its own, many transfers,
 * connection reuse; certificates verified; http only to loopback unless allowed.
 */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

struct http_header {
    const char *name;
    sv value;
};
struct http_call {
    const char *method;
    sv url;
    const struct http_header *headers;
    size_t nheaders;
    sv body;
    const char *user_pwd;   /* Basic, or NULL */
    int connect_timeout_ms; /* 0: 5000 */
    int timeout_ms;         /* 0: 30000 */
    size_t answer_max;      /* 0: 8 MiB */
    bool once; /* never repeated on a kept connection that turned out dead (mail without
                  idempotency) */
};
struct http_answer {
    int status; /* 0: no answer */
    sv body;
    const struct http_header *headers; /* names in lower case */
    size_t nheaders;
    bool sent; /* the request may have reached the other side (in doubt when there is no answer) */
    const char *failure; /* words, when there is no answer */
};
/* Blocks the calling thread (a worker). ERR_UPSTREAM when there is no answer at all (out is filled:
 * status 0, sent, failure), ERR_CONFIG when libcurl is not there; any HTTP status is OK. Never
 * inside a transaction. */
err http_fetch(struct arena *mem, const struct http_call *c, struct http_answer *out) MUST_USE;
sv http_answer_header(const struct http_answer *a, const char *lower_name);

/* A streamed answer (AI). Callbacks run on the client's thread and must not block. What `data`
 * makes of the bytes: no more of them; nothing yet (the deadline runs on); a sign of life. */
enum http_more { HTTP_STOP, HTTP_QUIET, HTTP_ALIVE };
struct http_feed {
    void (*status)(void *arg, int status, const struct http_header *headers, size_t n);
    enum http_more (*data)(void *arg, sv bytes);
    void (*end)(void *arg, const char *failure,
                bool timed_out);    /* failure NULL: clean end; last call */
    int first_event_ms, silence_ms; /* deadlines between signs of life; 0: none */
};
struct http_flow;
/* Starts; everything is copied. Returns a handle to cancel with (valid until end was called). */
err http_feed_start(const struct http_call *c, const struct http_feed *f, void *arg,
                    struct http_flow **out) MUST_USE;
void http_feed_cancel(struct http_flow *f); /* end follows, with failure "cancelled" */

/* Takes calls from now on; the thread and libcurl come with the first of them. */
void http_client_start(bool allow_plain_http);
void http_client_stop(void);
/* Form encoding (application/x-www-form-urlencoded) with brackets: form_add(&b, "metadata[userId]",
 * v) */
struct buf;
void form_add(struct buf *b, const char *name, sv value);
void form_add_int(struct buf *b, const char *name, int64_t v);
sv url_encode(struct arena *mem, sv s);
