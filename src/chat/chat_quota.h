/* Free use of the AI: conversation-days. ai/CONTRACT §9. */
#pragma once
#include "app/app.h"
#include "chat/chat.h"

#define CHAT_SLOT_MESSAGES 30 /* messages that one slot of a conversation-day covers */
#define CHAT_NETWORK_SLOTS 20 /* a day, all visitors of an address prefix together */

/* What was taken, so that it can be given back. Zero value: nothing (premium). */
struct chat_ticket {
    ts period_end;
    int64_t number; /* 0 = none */
    sv network;     /* SV_NULL = none taken */
    ts network_day;
    bool fresh; /* a slot of its own, not one that the conversation had already */
};
struct chat_quota {
    bool unlimited;
    int64_t limit, used;
    ts reset_at;
};
struct chat_quota_ask {
    struct chat_owner owner;
    sv conversation, address;
    bool crisis; /* never refused: takes a slot only if one is free */
    ts now;
};
/* One after another decides about an owner's use, from here to the end of the transaction. Several
 * owners: all their keys in one db_lock. */
err chat_quota_lock(struct db_tx *tx, struct arena *mem, sv owner) MUST_USE;
sv chat_quota_key(struct arena *mem, sv owner);
/* Where the owner stands: changes nothing. */
err chat_quota_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                   const struct chat_owner *owner, ts now, struct chat_quota *out) MUST_USE;
/* The same without asking for premium: slots used of the running day, and its end. */
err chat_quota_standing(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner, ts now,
                        int64_t *used, ts *reset_at) MUST_USE;
/* Admits one user message, in the caller's writing transaction. ERR_QUOTA when it is used up
 * (`quota` is filled all the same). Takes the owner's lock. */
err chat_quota_take(struct db_tx *tx, struct arena *mem, const struct app *app,
                    const struct chat_quota_ask *ask, struct chat_quota *quota,
                    struct chat_ticket *ticket) MUST_USE;
/* Of a turn in `conversation`, whose owner is `owner` now. */
err chat_quota_return(struct db_tx *tx, struct arena *mem, sv owner, sv conversation,
                      const struct chat_ticket *t) MUST_USE;
/* What a visitor used goes to the member: the larger of both counts stays. What answers that are
 * being written took goes with it. */
err chat_quota_merge(struct db_tx *tx, struct arena *mem, sv visitor, sv member, ts now) MUST_USE;

/* The network of an address: IPv4 /24, IPv6 /56, as text. */
sv chat_network_of(struct arena *mem, sv address);
