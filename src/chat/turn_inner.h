/* What turn.c and turn_saver.c share. */
#pragma once
#include "chat/turn.h"
#include "http/metrics.h"

#include <pthread.h>

struct turn {
    struct turn *next;
    struct arena *mem;
    struct turn_view view;
    sv owner, model;
    bool fresh, wants_title; /* as in struct turn_start */
    enum ai_dialect_kind dialect;
    struct http_call call;
    char *body; /* of the call; NULL once no other try can be */

    struct http_flow *flow; /* while a transfer runs */
    int tries, status;
    char request_id[128]; /* the provider's, for its support */
    size_t refused_bytes; /* of an answer that is none */
    int64_t until_us;     /* the whole answer's deadline */
    bool retryable;
    int64_t after_ms, retry_at_us; /* retry_at_us: 0 = no try is waiting */
    struct ai_stream ai;
    size_t asked;       /* bytes of the question, with all that goes with it */
    size_t sent, saved; /* bytes of text */
    int64_t saved_at_us, beat_at_us;
    bool cancelled, over; /* over: nothing more will come; `stop` says how */
    enum ai_stop stop;
    struct stream **subs;
    size_t nsubs;
};

/* Somebody who follows an answer that another process writes. */
struct follower {
    struct follower *next;
    struct arena *mem;
    struct turn_view view;
    struct stream *s;
    int64_t after;
};

struct turns {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct turn *list;
    struct follower *followers;
    struct app *app;
    pthread_t thread;
    bool started, stopping;
    bool more;   /* the last batch was full: others are due as well */
    bool failed; /* the last save did: not again before the next tick */
};
extern struct turns turns;

/* Did the provider take the question? */
static inline bool turn_answered(const struct turn *t)
{
    return t->status >= 200 && t->status < 300;
}

/* With the lock held. */
void turn_thread_start(struct app *app);
void turn_try(struct turn *t);
void turn_finish(struct turn *t); /* sends the ending, removes, frees */
void turn_cancel_locked(struct turn *t);
