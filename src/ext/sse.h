/* Reading server-sent events from bytes as they come, cut anywhere. ai/CONTRACT §2. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define SSE_EVENT_MAX ((size_t)1 << 20) /* bytes of one event's data */

/* Zero value = a fresh stream. */
struct sse {
    struct buf line, data;
    bool bom_done, after_cr, has_data;
};

/* One event: its data lines joined by LF. Borrowed until the callback returns. false = stop
 * reading. */
typedef bool (*sse_event_fn)(void *arg, sv data);

/* Feeds bytes; calls fn for every whole event with data. ERR_TOO_LARGE for an event beyond the
 * bound. */
err sse_feed(struct sse *s, sv bytes, sse_event_fn fn, void *arg) MUST_USE;
void sse_free(struct sse *s);
