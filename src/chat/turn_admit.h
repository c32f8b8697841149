/* What must hold before the provider is called, in one transaction; and finding an answer again.
 * Inside chat/ only. */
#pragma once
#include "chat/chat_quota.h"
#include "ext/ai_request.h"

struct said {
    sv id, parent, content; /* id, parent: SV_NULL = ours to choose */
};

/* What the transaction decided. */
struct admitted {
    struct chat_conversation conversation;
    sv user_message, answer;
    bool replay; /* the answer exists already */
    bool member, wants_title, notice, crisis;
    struct chat_quota quota;
    struct chat_ticket ticket;
    struct ai_said *history;
    size_t nhistory;
    sv locale;
};

struct ask {
    struct req *r;
    struct said said;
    struct admitted out;
};

/* In: r, whose path names conversation and message. Out: the rest. */
struct one_message {
    struct req *r;
    struct chat_conversation conversation;
    sv answer, parent; /* ids */
    bool streaming;    /* still being written, by anybody */
};

/* db_fn of `struct ask`: quota, both rows, safety, history; or the answer that a repeated id has
 * already. ERR_NOT_FOUND, ERR_CONFLICT, ERR_TURN_RUNNING, ERR_QUOTA (out.quota is filled). */
err turn_admit(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
/* db_fns of `struct one_message`: an answer of the caller's, ERR_NOT_FOUND otherwise; and asking
 * whoever writes it, on whatever node, to stop. */
err turn_find(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
err turn_ask_stop(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
