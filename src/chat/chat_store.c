#include "base/crypto.h"
#include "chat/chat_api.h"
#include "queries.h"

struct chat_owner chat_owner_of(const struct req *r)
{
    if (!user_id_none(&r->member))
        return (struct chat_owner){user_id_sv(&r->member), user_id_sv(&r->member)};
    return (struct chat_owner){visitor_id_sv(&r->visitor), SV_NULL};
}

err chat_conversation_get(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv id, struct chat_conversation *out)
{
    struct chat_conversation_get_row row;
    bool found;
    TRY(q_chat_conversation_get(
        tx, mem, &(struct chat_conversation_get_in){.id = id, .owner = owner->id}, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "There is no such conversation.");
    *out = (struct chat_conversation){
        .id = row.id,
        .title = row.title,
        .context = row.context,
        .active_leaf = row.active_leaf,
        .titled_by_member = sv_is(row.title_source, "member"),
        .created = row.created_at,
        .updated = row.updated_at,
        .notice_at = row.notice_at,
    };
    return OK;
}

err chat_conversation_new(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv title, bool by_member, sv context, ts now,
                          struct chat_conversation *out)
{
    bool visitor = owner->user_id.p == NULL;
    struct chat_conversation c = {
        .id = id_new(mem, "conv", now),
        .title = title,
        .context = context,
        .titled_by_member = by_member,
        .created = now,
        .updated = now,
        .notice_at = TS_NONE,
    };
    TRY(q_chat_conversation_put(
        tx, mem,
        &(struct chat_conversation_put_in){
            .id = c.id,
            .owner = owner->id,
            .user_id = owner->user_id,
            .title = title,
            .title_source = by_member ? SV("member") : SV("auto"),
            .context = context,
            .now = now,
            .expires_at = visitor ? ts_add(now, CHAT_VISITOR_DAYS * TS_DAY) : TS_NONE,
        },
        NULL));
    *out = c;
    return OK;
}

err chat_message_append(struct db_tx *tx, struct arena *mem, struct chat_conversation *c,
                        const struct chat_message *m, ts lease_until, ts now, sv *id)
{
    sv message_id = m->id.p != NULL ? m->id : id_new(mem, "msg", now);
    int64_t depth = 0, key_id;
    sv sealed;
    TRY(db_lock1(tx, arena_printf(mem, "chat:%.*s", SV_ARG(c->id))));
    if (m->parent.p != NULL) {
        struct chat_message_get_row parent;
        bool found;
        TRY(q_chat_message_get(
            tx, mem, &(struct chat_message_get_in){.id = m->parent, .conversation_id = c->id},
            &parent, &found));
        if (!found)
            return FAIL_FIELD(ERR_CONFLICT, "/parentId",
                              "There is no such message in this conversation.");
        depth = parent.depth + 1;
    }
    TRY(seal(mem, m->content, message_id, &key_id, &sealed));
    TRY(q_chat_message_put(tx, mem,
                           &(struct chat_message_put_in){
                               .id = message_id,
                               .conversation_id = c->id,
                               .parent_id = m->parent,
                               .depth = depth,
                               .role = m->role,
                               .body = sealed,
                               .key_id = key_id,
                               .status = m->status,
                               .stop = m->stop,
                               .model = m->model,
                               .now = now,
                               .lease_until = lease_until,
                           },
                           NULL));
    TRY(q_chat_conversation_touch(
        tx, mem,
        &(struct chat_conversation_touch_in){.id = c->id, .active_leaf = message_id, .now = now},
        NULL));
    c->active_leaf = message_id;
    c->updated = now;
    *id = message_id;
    return OK;
}

err chat_path_list(struct db_tx *tx, struct arena *mem, sv conversation, sv leaf, int64_t n,
                   struct chat_message **out, size_t *count)
{
    struct chat_message_path_row *rows;
    size_t got;
    TRY(q_chat_message_path(
        tx, mem,
        &(struct chat_message_path_in){.leaf = leaf, .conversation_id = conversation, .n = n},
        &rows, &got));
    if (got == 0)
        return FAIL(ERR_NOT_FOUND, "There is no such message.");
    struct chat_message *list = ARENA_ARRAY(mem, struct chat_message, got);
    for (size_t i = 0; i < got; i++) {
        const struct chat_message_path_row *row = &rows[i];
        list[i] = (struct chat_message){
            .id = row->id,
            .parent = row->parent_id,
            .depth = row->depth,
            .role = row->role,
            .status = row->status,
            .stop = row->stop,
            .model = row->model,
            .input_tokens = row->input_tokens,
            .output_tokens = row->output_tokens,
            .created = row->created_at,
        };
        TRY(unseal(mem, row->body, row->id, row->key_id, &list[i].content));
    }
    *out = list;
    *count = got;
    return OK;
}

err chat_conversation_list(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                           ts before_at, sv before_id, int64_t n, struct chat_conversation **out,
                           size_t *count)
{
    struct chat_conversation_list_row *rows;
    size_t got;
    TRY(q_chat_conversation_list(
        tx, mem,
        &(struct chat_conversation_list_in){
            .owner = owner->id, .before_at = before_at, .before_id = before_id, .n = n},
        &rows, &got));
    struct chat_conversation *list = ARENA_ARRAY(mem, struct chat_conversation, got);
    for (size_t i = 0; i < got; i++)
        list[i] = (struct chat_conversation){.id = rows[i].id,
                                             .title = rows[i].title,
                                             .created = rows[i].created_at,
                                             .updated = rows[i].updated_at};
    *out = list;
    *count = got;
    return OK;
}

err chat_conversation_retitle(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                              sv id, sv title, bool by_member)
{
    return q_chat_conversation_retitle(tx, mem,
                                       &(struct chat_conversation_retitle_in){
                                           .id = id,
                                           .owner = owner->id,
                                           .title = title,
                                           .title_source = by_member ? SV("member") : SV("job")},
                                       NULL);
}

err chat_context_put(struct db_tx *tx, struct arena *mem, sv id, sv context)
{
    return q_chat_conversation_context(
        tx, mem, &(struct chat_conversation_context_in){.id = id, .context = context}, NULL);
}

err chat_conversation_del(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv id, int64_t *deleted)
{
    if (id.p == NULL)
        return q_chat_conversation_del_all(
            tx, mem, &(struct chat_conversation_del_all_in){.owner = owner->id}, deleted);
    return q_chat_conversation_del(
        tx, mem, &(struct chat_conversation_del_in){.id = id, .owner = owner->id}, deleted);
}
