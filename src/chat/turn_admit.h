/* What must hold before the provider is called, in one transaction; and finding an answer again.
 * Inside chat/ only. */
#pragma once
#include "chat/chat_quota.h"
#include "chat/turn_rules.h"
#include "ext/ai_request.h"

struct said {
    sv id, parent, content; /* id, parent: SV_NULL = ours to choose */
    bool again;             /* another answer to what was said under this id already */
    int64_t phq9_item9;     /* of a questionnaire that the message belongs to; 0 = none */
};

/* What the transaction decided. */
struct admitted {
    struct chat_conversation conversation;
    sv user_message, answer;
    bool replay;  /* the answer exists already */
    bool again;   /* the user's message does: only an answer is added */
    bool ceiling; /* ERR_QUOTA is about tokens, not about conversations */
    bool wants_title, notice, crisis;
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

/* In: whose, and which. Out: the rest. */
struct one_message {
    struct req *r;
    sv conversation_id, message_id;
    struct chat_conversation conversation;
    sv answer, parent; /* ids */
    struct chat_quota quota;
    sv notice, crisis; /* as in struct turn_view */
    bool streaming;    /* still being written, by anybody */
};

/* What in a message sounds like a crisis: a language, "phq9", or NULL. */
const char *turn_crisis_of(const struct said *said);
/* db_fn of `struct ask`: out.locale alone. */
err turn_locale(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
/* The help line of a message that raised it, as JSON; SV_NULL if it did not. */
sv turn_crisis_json(const struct req *r, struct arena *mem, bool crisis, sv locale);
/* db_fn of `struct ask`: quota, both rows, safety, history; or the answer that a repeated id has
 * already. ERR_NOT_FOUND, ERR_CONFLICT, ERR_TURN_RUNNING, ERR_QUOTA (out.quota is filled). */
err turn_admit(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
/* db_fns of `struct one_message`: an answer of the caller's, ERR_NOT_FOUND otherwise; and asking
 * whoever writes it, on whatever node, to stop. */
err turn_find(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
/* The same, with what its stream says beside the text. */
err turn_look(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
err turn_ask_stop(struct db_tx *tx, struct arena *mem, void *arg) MUST_USE;
