/* Reading all that an owner has, and what the AI used. */
#include "base/crypto.h"
#include "chat/chat_api.h"
#include "queries.h"

#define PAGE 200

static struct chat_message message_of(const struct chat_message_all_row *row)
{
    return (struct chat_message){.id = row->id,
                                 .parent = row->parent_id,
                                 .depth = row->depth,
                                 .role = row->role,
                                 .status = row->status,
                                 .stop = row->stop,
                                 .created = row->created_at};
}

err chat_message_each(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                      chat_message_fn fn, void *arg)
{
    struct chat_message_all_in in = {.owner = owner->id,
                                     .after_conversation = SV(""),
                                     .after_depth = -1,
                                     .after_id = SV(""),
                                     .n = PAGE};
    for (;;) {
        ARENA_AUTO page = arena_new(0); /* years of talk do not gather in memory */
        struct chat_message_all_row *rows;
        size_t n;
        TRY(q_chat_message_all(tx, page, &in, &rows, &n));
        for (size_t i = 0; i < n; i++) {
            struct chat_message m = message_of(&rows[i]);
            chat_message_mind_lease(&m, rows[i].lease_until);
            TRY(chat_body_unseal(page, rows[i].conversation_id, rows[i].id, rows[i].body,
                                 rows[i].key_id, &m.content));
            if (!fn(arg, rows[i].conversation_id, &m))
                return OK;
        }
        if (n < PAGE)
            return OK;
        in.after_conversation = arena_sv(mem, rows[n - 1].conversation_id);
        in.after_depth = rows[n - 1].depth;
        in.after_id = arena_sv(mem, rows[n - 1].id);
    }
}

err chat_usage_list(struct db_tx *tx, struct arena *mem, ts from, ts until, struct chat_usage **out,
                    size_t *count, int64_t *crises)
{
    struct chat_usage_days_row *rows;
    struct chat_crisis_count_row crisis;
    size_t n;
    TRY(q_chat_usage_days(
        tx, mem,
        &(struct chat_usage_days_in){.from_day = {from.ms - from.ms % TS_DAY}, .until_day = until},
        &rows, &n));
    TRY(q_chat_crisis_count(
        tx, mem, &(struct chat_crisis_count_in){.from_at = from, .until_at = until}, &crisis));
    struct chat_usage *list = ARENA_ARRAY(mem, struct chat_usage, n);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct chat_usage){rows[i].day,          rows[i].model,         rows[i].turns,
                                      rows[i].input_tokens, rows[i].output_tokens, rows[i].owners};
    *out = list;
    *count = n;
    *crises = crisis.n;
    return OK;
}
