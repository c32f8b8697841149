/* Reading all that an owner has, and what the AI used. */
#include "base/crypto.h"
#include "chat/chat_api.h"
#include "queries.h"

#define PAGE 200

static struct chat_message message_of(const struct chat_message_of_row *row)
{
    return (struct chat_message){.id = row->id,
                                 .parent = row->parent_id,
                                 .depth = row->depth,
                                 .role = row->role,
                                 .status = row->status,
                                 .stop = row->stop,
                                 .created = row->created_at};
}

/* Years of talk do not gather in memory: a page at a time. */
static err read_messages(struct db_tx *tx, const struct chat_conversation *c, int64_t depth, sv id,
                         const struct chat_reader *reader, bool *go_on)
{
    struct arena *last = arena_new(256), *page = arena_new(0);
    size_t n = PAGE;
    err e = OK;
    while (e == OK && *go_on && n == PAGE) {
        struct chat_message_of_row *rows;
        arena_reset(page);
        struct chat_message_of_in in = {
            .conversation_id = c->id, .after_depth = depth, .after_id = id, .n = PAGE};
        e = q_chat_message_of(tx, page, &in, &rows, &n);
        for (size_t i = 0; i < n && e == OK && *go_on; i++) {
            struct chat_message m = message_of(&rows[i]);
            chat_message_mind_lease(&m, rows[i].lease_until);
            e = chat_body_unseal(page, c->id, m.id, rows[i].body, rows[i].key_id, &m.content);
            *go_on = e == OK && reader->message(reader->arg, c, &m);
        }
        if (e == OK && n > 0) {
            arena_reset(last);
            depth = rows[n - 1].depth;
            id = arena_sv(last, rows[n - 1].id);
        }
    }
    arena_free(page);
    arena_free(last);
    return e;
}

/* The rest of the conversation where an earlier reading stopped; it may be gone, or another's. */
static err read_rest(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                     const struct chat_reader *reader, bool *go_on)
{
    struct chat_conversation c;
    const struct chat_place *from = &reader->from;
    err e = chat_conversation_get(tx, mem, owner, from->conversation, &c);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    return read_messages(tx, &c, from->depth, from->message, reader, go_on);
}

static err read_one(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                    struct chat_conversation *c, const struct chat_reader *reader, bool *go_on)
{
    if (reader->conversation != NULL) {
        TRY(chat_conversation_get(tx, mem, owner, c->id, c)); /* with all that belongs to it */
        *go_on = reader->conversation(reader->arg, c);
    }
    return *go_on ? read_messages(tx, c, -1, SV(""), reader, go_on) : OK;
}

err chat_read_all(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                  const struct chat_reader *reader)
{
    ts at = {INT64_MAX};
    sv id = SV("~");
    bool go_on = true;
    size_t n = PAGE;
    if (reader->from.conversation.p != NULL) {
        at = reader->from.updated;
        id = reader->from.conversation;
        TRY(read_rest(tx, mem, owner, reader, &go_on));
    }
    while (go_on && n == PAGE) {
        ARENA_AUTO page = arena_new(0);
        struct chat_conversation *list;
        TRY(chat_conversation_list(tx, page, owner, at, id, PAGE, &list, &n));
        for (size_t i = 0; i < n && go_on; i++)
            TRY(read_one(tx, page, owner, &list[i], reader, &go_on));
        if (n > 0) {
            at = list[n - 1].updated;
            id = arena_sv(mem, list[n - 1].id);
        }
    }
    return OK;
}

err chat_usage_list(struct db_tx *tx, struct arena *mem, ts from, ts until, struct chat_usage **out,
                    size_t *count, int64_t *crises)
{
    struct chat_usage_days_row *rows;
    struct chat_crisis_count_row crisis;
    size_t n;
    TRY(q_chat_usage_days(
        tx, mem, &(struct chat_usage_days_in){.from_day = ts_day(from), .until_day = until}, &rows,
        &n));
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
