#include "base/crypto.h"
#include "chat/chat_api.h"
#include "job/job.h"
#include "queries.h"

struct chat_owner chat_owner_of(const struct req *r)
{
    if (!user_id_none(&r->member))
        return (struct chat_owner){user_id_sv(&r->member), user_id_sv(&r->member)};
    return (struct chat_owner){visitor_id_sv(&r->visitor), SV_NULL};
}

static sv body_place(struct arena *mem, sv conversation, sv message)
{
    return arena_join(mem, conversation, SV("/"), message);
}

err chat_body_seal(struct arena *mem, sv conversation, sv message, sv plain, int64_t *key_id,
                   sv *sealed)
{
    return seal(mem, plain, body_place(mem, conversation, message), key_id, sealed);
}

err chat_body_unseal(struct arena *mem, sv conversation, sv message, sv sealed, int64_t key_id,
                     sv *plain)
{
    return unseal(mem, sealed, body_place(mem, conversation, message), key_id, plain);
}

/* Title and context of a conversation. */
static sv part_place(struct arena *mem, sv conversation, const char *part)
{
    return arena_join(mem, conversation, SV("#"), sv_from(part));
}

err chat_conversation_get(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                          sv id, struct chat_conversation *out)
{
    struct chat_conversation_get_row row;
    sv title, context = SV_NULL;
    bool found;
    TRY(q_chat_conversation_get(
        tx, mem, &(struct chat_conversation_get_in){.id = id, .owner = owner->id}, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "There is no such conversation.");
    TRY(unseal(mem, row.title, part_place(mem, row.id, "title"), row.title_key, &title));
    if (row.context.p != NULL)
        TRY(unseal(mem, row.context, part_place(mem, row.id, "context"), row.context_key.v,
                   &context));
    *out = (struct chat_conversation){
        .id = row.id,
        .title = title,
        .context = context,
        .active_leaf = row.active_leaf,
        .titled_by_member = sv_is(row.title_source, "member"),
        .titled = !sv_is(row.title_source, "auto"),
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
        .titled = by_member,
        .created = now,
        .updated = now,
        .notice_at = TS_NONE,
    };
    sv sealed, sealed_context = SV_NULL;
    int64_t title_key;
    opt_int context_key = {.has = false};
    TRY(seal(mem, title, part_place(mem, c.id, "title"), &title_key, &sealed));
    if (context.p != NULL) {
        TRY(seal(mem, context, part_place(mem, c.id, "context"), &context_key.v, &sealed_context));
        context_key.has = true;
    }
    TRY(q_chat_conversation_put(
        tx, mem,
        &(struct chat_conversation_put_in){
            .id = c.id,
            .owner = owner->id,
            .user_id = owner->user_id,
            .title = sealed,
            .title_key = title_key,
            .title_source = by_member ? SV("member") : SV("auto"),
            .context = sealed_context,
            .context_key = context_key,
            .now = now,
            .expires_at = visitor ? ts_add(now, CHAT_VISITOR_DAYS * TS_DAY) : TS_NONE,
        },
        NULL));
    *out = c;
    return OK;
}

void chat_message_mind_lease(struct chat_message *m, ts lease_until)
{
    if (!sv_is(m->status, "streaming") || lease_until.ms >= clock_wall().ms)
        return;
    m->status = SV("interrupted"); /* its process died; the row will say so in a moment */
    m->stop = SV("interrupted");
}

/* A conversation that was begun without words is titled by its first. */
static err title_by_first(struct db_tx *tx, struct arena *mem, struct chat_conversation *c,
                          const struct chat_message *m)
{
    if (c->active_leaf.p != NULL || c->titled)
        return OK;
    c->title = chat_title_of(mem, m->content);
    return chat_conversation_suggest(tx, mem, c->id, c->title, false);
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
    TRY(chat_body_seal(mem, c->id, message_id, m->content, &key_id, &sealed));
    int64_t put;
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
                               .holder = ts_is_none(lease_until) ? SV_NULL : job_process_name(),
                           },
                           &put));
    if (put == 0)
        return FAIL(ERR_FOREIGN_KEY, "the conversation is gone");
    TRY(title_by_first(tx, mem, c, m));
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
        chat_message_mind_lease(&list[i], row->lease_until);
        TRY(chat_body_unseal(mem, conversation, row->id, row->body, row->key_id, &list[i].content));
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
    for (size_t i = 0; i < got; i++) {
        list[i] = (struct chat_conversation){
            .id = rows[i].id, .created = rows[i].created_at, .updated = rows[i].updated_at};
        TRY(unseal(mem, rows[i].title, part_place(mem, rows[i].id, "title"), rows[i].title_key,
                   &list[i].title));
    }
    *out = list;
    *count = got;
    return OK;
}

err chat_conversation_retitle(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                              sv id, sv title)
{
    sv sealed;
    int64_t key_id;
    TRY(seal(mem, title, part_place(mem, id, "title"), &key_id, &sealed));
    return q_chat_conversation_retitle(
        tx, mem,
        &(struct chat_conversation_retitle_in){
            .id = id, .owner = owner->id, .title = sealed, .title_key = key_id},
        NULL);
}

err chat_conversation_suggest(struct db_tx *tx, struct arena *mem, sv id, sv title, bool job)
{
    sv sealed;
    int64_t key_id;
    TRY(seal(mem, title, part_place(mem, id, "title"), &key_id, &sealed));
    return q_chat_conversation_suggest(
        tx, mem,
        &(struct chat_conversation_suggest_in){.id = id,
                                               .title = sealed,
                                               .title_key = key_id,
                                               .title_source = job ? SV("job") : SV("auto")},
        NULL);
}

err chat_context_put(struct db_tx *tx, struct arena *mem, sv id, sv context)
{
    sv sealed;
    int64_t key_id;
    TRY(seal(mem, context, part_place(mem, id, "context"), &key_id, &sealed));
    return q_chat_conversation_context(
        tx, mem,
        &(struct chat_conversation_context_in){.id = id, .context = sealed, .context_key = key_id},
        NULL);
}

err chat_running_list(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                      struct chat_running **out, size_t *count)
{
    struct chat_running_of_row *rows;
    size_t n;
    TRY(q_chat_running_of(tx, mem, &(struct chat_running_of_in){.owner = owner->id}, &rows, &n));
    struct chat_running *list = ARENA_ARRAY(mem, struct chat_running, n);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct chat_running){rows[i].conversation_id, rows[i].id};
    *out = list;
    *count = n;
    return OK;
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
