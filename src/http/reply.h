/* Replies. */
#pragma once
#include "base/buf.h"
#include "http/request.h"

/* Starts a JSON reply; write one value into the returned writer, then return OK from the handler.
 */
struct jw *reply_json(struct req *r, int status);
err reply_empty(struct req *r, int status);                           /* 204 etc. */
err reply_body(struct req *r, int status, const char *type, sv body); /* body copied */
err reply_static(struct req *r, const char *type, sv body,
                 const char *etag); /* embedded; not copied */
/* A page for people in the frame that all share: `title` is plain text without < and &, `inner` is
 * HTML after its h1. */
err reply_page(struct req *r, int status, const char *title, sv inner);
err reply_redirect(struct req *r, int status, sv location);
/* Adds a header to whatever is replied, errors too. Refuses (assert) CR and LF. */
void reply_header(struct req *r, const char *name, sv value);
/* Set-Cookie: HttpOnly; SameSite=Lax; Path=/; Secure and the __Host- prefix unless on http
 * loopback. name without prefix ("mb_session"); max_age in seconds, 0 deletes. */
void reply_cookie(struct req *r, const char *name, sv value, int64_t max_age);
/* Extra members of the problem+json if the handler then returns an error: written inside the object
 * (e.g. "portalUrl"). */
void reply_problem_str(struct req *r, const char *key, sv value);
void reply_problem_raw(struct req *r, const char *key, sv json_text);
/* Retry-After and RateLimit fields with a 429/503. */
void reply_retry_after(struct req *r, int64_t seconds);

/* -------- replies that come over time (server-sent events) -------- */
struct stream; /* reference-counted, thread-safe */
/* The reply becomes a chunked stream; TX_NONE handlers only. The caller owns one reference. */
struct stream *reply_stream(struct req *r, const char *type);
struct stream *stream_ref(struct stream *s);
void stream_unref(struct stream *s);
void stream_send(struct stream *s, sv bytes); /* queued; dropped if the client is gone */
void stream_close(struct stream *s);          /* end of the body, after what is queued */
bool stream_gone(const struct stream *s);     /* the client left */
/* A comment line (": keep-alive") is sent by the server every 15 s of silence. */
