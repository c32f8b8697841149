/* A turn's request to an AI provider, in either dialect. ai/CONTRACT §3, §4. No I/O. */
#pragma once
#include "base/arena.h"
#include "ext/ai_stream.h"
#include "http/client.h"

struct ai_said {
    bool assistant; /* else the user */
    sv text;
};
struct ai_request {
    enum ai_dialect_kind dialect;
    sv base, key, model; /* key "" = none (a server of one's own) */
    int64_t max_tokens;
    bool max_tokens_old; /* OpenAI dialect: by the older name of the field */
    int connect_ms, answer_ms;
    sv system;
    const struct ai_said
        *said; /* oldest first; consecutive same roles are merged where the dialect wants it */
    size_t nsaid;
    sv user; /* opaque reference, never a name or address; SV_NULL = none */
};
/* Everything in `out` lives in mem. */
void ai_request_build(struct arena *mem, const struct ai_request *q, struct http_call *out);

/* Before the first text, may the turn be tried again after this answer? status 0 = no connection.
 * *after_ms: what the provider asks to wait (retry-after-ms; retry-after in seconds or as a date
 * beside its own Date), else -1. Other 4xx are never tried again, whatever x-should-retry says.
 * ai/CONTRACT §5. */
bool ai_retryable(int status, const struct http_header *headers, size_t n, int64_t *after_ms);
