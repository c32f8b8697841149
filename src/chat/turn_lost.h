/* Answers whose process died: they keep what they have and end as interrupted; the quota that one
 * without a word took is given back. ai/CONTRACT §5, §9. Inside chat/ only. */
#pragma once
#include "chat/chat_quota.h"

struct chat_turn_running_row;

/* The row keeps what its turn took, until it ends. */
err turn_ticket_keep(struct db_tx *tx, struct arena *mem, sv conversation, sv message,
                     const struct chat_ticket *t) MUST_USE;
/* What the turn of this row took goes back to whoever has the conversation now. */
err turn_give_back(struct db_tx *tx, struct arena *mem,
                   const struct chat_turn_running_row *row) MUST_USE;
/* The answer that is being written in a conversation; SV_NULL if there is none, or if there was one
 * and its process died: then it is ended first. */
err turn_running(struct db_tx *tx, struct arena *mem, sv conversation, sv *message) MUST_USE;
/* Ends all lost ones, at most `most`; *ended = how many there were. */
err turn_rescue(struct db_tx *tx, struct arena *mem, int64_t most, size_t *ended) MUST_USE;
