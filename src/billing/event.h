/* Events as they came: stored compressed, applied once, kept when they could not be applied. SPEC
 * §3. */
#pragma once
#include "billing/billing.h"
#include "ext/stripe_event.h"

/* Payload as stored: zstd with the dictionary `dict` (0: none). */
struct payload {
    int64_t dict, size; /* size in bytes before compression */
    sv packed;
};
/* No database: on the event loop. Uses the newest dictionary that payload_dict_load has loaded. */
struct payload payload_pack(struct arena *mem, sv text);
err payload_unpack(struct db_tx *tx, struct arena *mem, int64_t dict, int64_t size, sv packed,
                   sv *out) MUST_USE;
/* At start and by the training job: the newest dictionary of the database is used from now on. */
err payload_dict_load(struct db_tx *tx, struct arena *mem) MUST_USE;
/* Trains a dictionary from stored events and stores it, if there are enough and it helps. Once it
 * was made, or would not have helped, this process tries again only when new events take a quarter
 * more. */
err payload_dict_train(struct db *db, struct arena *mem, ts now, bool *made) MUST_USE;

enum event_result { EVENT_APPLIED, EVENT_DUPLICATE, EVENT_IGNORED, EVENT_FAILED };
const char *event_result_name(enum event_result r);

/* An event that arrived, by whatever way. */
struct event_in {
    struct stripe_event e;
    sv body;                /* the raw text */
    struct payload payload; /* of it */
    err unreadable;         /* our reader could not take it (OK: it could) */
    sv why;                 /* then: its words */
};
/* Checks and reads a body. Errors: ERR_JSON_… and ERR_BAD_REQUEST (400) when it is not an event at
 * all. */
err event_read(struct arena *mem, sv body, struct event_in *out) MUST_USE;
/* In one transaction: stores it (once) and applies it. An error means that it could not be stored;
 * what cannot be applied is stored as failed, with a job that tries again. */
err event_take(struct db_tx *tx, struct arena *mem, struct app *app, const struct event_in *in,
               ts now, enum event_result *out) MUST_USE;
/* Applies a stored event again (retry job, replay). ERR_NOT_FOUND if there is none. */
err event_again(struct db_tx *tx, struct arena *mem, struct app *app, sv id, ts now,
                enum event_result *out, sv *why) MUST_USE;
/* Applies one event's text without storing it (shadow). */
err event_apply(struct db_tx *tx, struct arena *mem, struct app *app, const struct stripe_event *e,
                ts now, bool *handled) MUST_USE;
/* Why an event of another mode or account, or without an object of ours, is passed over; NULL: it
 * is not. */
const char *event_ignored(const struct stripe_event *e);
