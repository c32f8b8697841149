/* What an AI provider streams, in either dialect, as text and an ending. ai/CONTRACT §2 to §5. No
 * I/O. */
#pragma once
#include "base/arena.h"
#include "ext/sse.h"

enum ai_dialect_kind { AI_STREAM_OPENAI, AI_STREAM_ANTHROPIC };

/* How a turn ended (ai/CONTRACT §5); RUNNING while it has not. */
enum ai_stop {
    AI_RUNNING,
    AI_COMPLETE,
    AI_LENGTH,
    AI_REFUSED,
    AI_ERROR,
    AI_INTERRUPTED,
    AI_CANCELLED
};
const char *ai_stop_name(enum ai_stop s); /* "complete" … "running" */
enum ai_stop ai_stop_parse(sv s);         /* unknown words: AI_INTERRUPTED */

#define AI_TEXT_MAX ((size_t)1 << 20) /* an answer that goes on is cut here: AI_LENGTH */

/* Zero value + .dialect = a fresh stream. ai_stream_free at the end. */
struct ai_stream {
    enum ai_dialect_kind dialect;
    struct sse sse;
    struct buf text;                     /* all text so far; grows only, to AI_TEXT_MAX */
    unsigned events;                     /* seen so far: signs of life */
    unsigned half;                       /* of a character, whose other half is to come; 0 = none */
    int64_t input_tokens, output_tokens; /* valid when has_… */
    bool has_input, has_output;
    bool begun;          /* a byte came that is not white space: */
    char first;          /* this one */
    bool ended;          /* the dialect's own end was seen: [DONE], message_stop */
    bool refusal;        /* refusal text came */
    bool failed;         /* an error event or bad data */
    bool overloaded;     /* the error says that it will pass: may be retried before text */
    enum ai_stop reason; /* by finish_reason/stop_reason; RUNNING = none was said */
};
/* Feeds bytes as they come. Never fails: what is wrong ends in .failed. After .failed or .ended the
 * rest is ignored. */
void ai_stream_feed(struct ai_stream *s, sv bytes);
/* The ending, once the connection is over. */
enum ai_stop ai_stream_stop(const struct ai_stream *s);
void ai_stream_free(struct ai_stream *s);
