/* Handlers of chat/, for its route table only. */
#pragma once
#include "base/crypto.h"
#include "chat/chat.h"

#define CHAT_HISTORY_MESSAGES                                                                      \
    1000 /* newest messages of a conversation in GET /api/chat/history?conversationId= */

err chat_save(struct req *r);
err chat_history_get(struct req *r);
err chat_history_delete(struct req *r);
err chat_messages_get(struct req *r);
err chat_conversation_patch(struct req *r);
err chat_conversation_post(struct req *r);
err chat_turn_post(struct req *r);
err chat_turn_resume(struct req *r);
err chat_turn_stop(struct req *r);
err chat_search(struct req *r);
err chat_export(struct req *r);
err chat_usage_get(struct req *r);

/* The job chat.title: a better title by the AI; a member's own always wins. */
err chat_title_run(struct job *j);

/* What they need of the store. */
/* A streaming message whose lease is over is shown as what it is: interrupted. */
void chat_message_mind_lease(struct chat_message *m, ts lease_until);
err chat_conversation_list(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                           ts before_at, sv before_id, int64_t n, struct chat_conversation **out,
                           size_t *count) MUST_USE;
/* The member's own title: it wins over all others. */
err chat_conversation_retitle(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                              sv id, sv title) MUST_USE;
/* A title that is not the member's: the first words, or (job) the AI's. Changes nothing once the
 * member or the job has given one. */
err chat_conversation_suggest(struct db_tx *tx, struct arena *mem, sv id, sv title,
                              bool job) MUST_USE;
err chat_context_put(struct db_tx *tx, struct arena *mem, sv id, sv context) MUST_USE;
/* Reading all that somebody has: conversations newest first, the messages of each from its root on.
 * What is told is borrowed until the call returns, which is false to stop. */
struct chat_place { /* behind this message; conversation SV_NULL: from the start */
    ts updated;     /* of the conversation */
    sv conversation;
    int64_t depth;
    sv message;
};
struct chat_reader {
    bool (*conversation)(void *arg, const struct chat_conversation *c); /* NULL: not told */
    bool (*message)(void *arg, const struct chat_conversation *c, const struct chat_message *m);
    void *arg;
    struct chat_place from;
};
err chat_read_all(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                  const struct chat_reader *reader) MUST_USE;
struct chat_usage {
    ts day;
    sv model;
    int64_t turns, input_tokens, output_tokens, people;
};
/* A day and model a row, newest first; how often a message sounded like a crisis meanwhile. */
err chat_usage_list(struct db_tx *tx, struct arena *mem, ts from, ts until, struct chat_usage **out,
                    size_t *count, int64_t *crises) MUST_USE;
/* Answers of the owner that are being written, anywhere. */
struct chat_running {
    sv conversation, message;
};
err chat_running_list(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                      struct chat_running **out, size_t *count) MUST_USE;
/* id = SV_NULL: all of the owner's. */
err chat_conversation_del(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv id, int64_t *deleted) MUST_USE;
