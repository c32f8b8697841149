/* What the browser gets of a turn: the AI SDK's UI message stream v1. Pure. ai/CONTRACT §6.
 *
 * Events are numbered so that a browser that comes back with Last-Event-ID can go on from the row
 * alone, on any node: 1 start, 2 start-step, 3 data-notice, 4 data-crisis (where there is one), 5
 * text-start, then 5 + bytes of text sent so far; behind the whole text T = 5 + its length: T+1
 * text-end, T+2 data-quota, T+3 finish-step, T+4
 * finish, error or abort. */
#pragma once
#include "base/buf.h"
#include "ext/ai_stream.h"

struct turn_view {
    sv message, conversation, parent; /* ids */
    int64_t remaining;                /* of the quota; < 0: not told */
    int64_t reset_seconds;
    sv notice; /* "you are talking to an AI", when it is due; else SV_NULL */
    sv crisis; /* the help line as JSON, when the message raised it; else SV_NULL */
};

#define TURN_TEXT_AT 5

/* start … text-start, as far as they are behind `after`. */
void turn_write_opening(struct buf *out, const struct turn_view *v, int64_t after);
/* Text from byte `from` (or from the start of the character there) to the end of `text` as one
 * delta; nothing if there is none. */
void turn_write_text(struct buf *out, const struct turn_view *v, sv text, size_t from);
/* text-end … [DONE], as far as they are behind `after`; total = length of the whole text. */
void turn_write_ending(struct buf *out, const struct turn_view *v, size_t total, enum ai_stop stop,
                       int64_t after);
/* A fault that was not the member's, and not a word came: what the turn took of the quota is given
 * back. ai/CONTRACT §9. */
bool turn_gives_back(enum ai_stop stop, size_t text);
/* "msg_…:17" -> 17 when it is of this message; -1 otherwise. */
int64_t turn_event_number(sv last_event_id, sv message);
