/* AI conversations of members and visitors. ai/CONTRACT §7, §8; SPEC §5. */
#pragma once
#include "base/id.h"
#include "chat/chat_rules.h"
#include "db/db.h"
#include "http/route.h"
#include "job/job.h"

/* Whose conversations: a member's, else the visitor's. `id` is what rows are looked up by. */
struct chat_owner {
    sv id;
    sv user_id; /* SV_NULL for visitors */
};
struct chat_owner chat_owner_of(const struct req *r);

struct chat_conversation {
    sv id, title, context;          /* context: SV_NULL = none */
    sv active_leaf;                 /* SV_NULL = no message yet */
    bool titled_by_member, titled;  /* titled: by the member or by the job */
    ts created, updated, notice_at; /* notice_at: when the member last heard that this is an AI */
};
struct chat_message {
    sv id, parent; /* parent: SV_NULL = root */
    int64_t depth;
    sv role, content, status, stop, model;
    opt_int input_tokens, output_tokens;
    ts created;
};
/* What people wrote is sealed, bound to where it stands. The only ways in and out. */
err chat_body_seal(struct arena *mem, sv conversation, sv message, sv plain, int64_t *key_id,
                   sv *sealed) MUST_USE;
err chat_body_unseal(struct arena *mem, sv conversation, sv message, sv sealed, int64_t key_id,
                     sv *plain) MUST_USE;

/* ERR_NOT_FOUND for a missing one and for somebody else's alike. */
err chat_conversation_get(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv id, struct chat_conversation *out) MUST_USE;
err chat_conversation_new(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv title, bool by_member, sv context, ts now,
                          struct chat_conversation *out) MUST_USE;
/* Appends a message below `parent` (SV_NULL: the root) and makes it the active leaf. Takes the
 * conversation's lock. `message` gives role, content, status, and may give an id. */
err chat_message_append(struct db_tx *tx, struct arena *mem, struct chat_conversation *c,
                        const struct chat_message *message, ts lease_until, ts now,
                        sv *id) MUST_USE;
/* The path that ends in `leaf`, at most n messages, nearest first. ERR_NOT_FOUND if there is no
 * such leaf. */
err chat_path_list(struct db_tx *tx, struct arena *mem, sv conversation, sv leaf, int64_t n,
                   struct chat_message **out, size_t *count) MUST_USE;
void chat_message_write(struct jw *w, const struct chat_message *m);
/* The members of the object: the caller opens and closes it. */
void chat_conversation_write(struct jw *w, const struct chat_conversation *c);

extern const struct route_set chat_routes;
extern const struct job_kind_set chat_jobs;
void chat_init(void); /* registers the claim of a visitor's conversations */
