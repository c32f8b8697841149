/* Answers while they are written: one transfer each, no thread each. ai/CONTRACT §5, §6, §7.
 *
 * The row of an answer exists before its turn begins. A thread of this file saves what came at
 * least every second, and writes the ending; a browser may leave and come back, here or on another
 * node. */
#pragma once
#include "chat/chat_quota.h"
#include "chat/turn_rules.h"
#include "ext/ai_request.h"

#define TURN_LEASE_MS                                                                              \
    (15 * TS_SECOND) /* a streaming row without a sign of life for longer is nobody's */

struct turn_start {
    struct app *app;
    struct turn_view view;
    sv owner;
    bool fresh; /* took a slot of the quota that is given back if no word comes */
    enum ai_dialect_kind dialect;
    sv model;
    const struct http_call *call; /* copied */
    bool wants_title; /* first answer of a conversation without a title of the member's own */
};
/* Begins; `s` gets everything (a reference of its own is taken). */
err turn_begin(const struct turn_start *start, struct stream *s) MUST_USE;
/* Sends `s` what is behind event number `after` of an answer that is written in this process, and
 * all that follows. False: it is not written here. */
bool turn_follow_here(sv message, int64_t after, struct stream *s);
/* The same out of the database: a finished answer at once, a running one as it grows elsewhere. */
void turn_follow_row(struct app *app, const struct turn_view *view, int64_t after,
                     struct stream *s);
/* Stops an answer written here: it keeps what it has. False: not here. */
bool turn_cancel(sv message);
/* The provider refused our key a moment ago: turns are not begun for some minutes. */
bool turn_paused(void);
/* Takes note of a status that says so; true if it does. */
bool turn_key_refused(int status);
/* The process stops: ends all turns as interrupted, saved, and closes their streams; none begins
 * afterwards. Before http_stop, which waits for the streams, and before the database is closed. */
void turn_stop_all(void);
