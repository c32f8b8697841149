/* Saving, listing and deleting conversations: the kept routes, and one path a page at a time. */
#include "chat/chat_api.h"
#include "chat/turn.h"

static const char *const roles[] = {"user", "assistant", "system", NULL};

struct import {
    sv conversation, title, context;
    struct chat_message *messages;
    size_t n;
};

static err read_message(struct req *r, const json *j, size_t i, struct chat_message *out)
{
    int role = 0;
    sv content = SV_NULL;
    const struct field fields[] = {
        {"role", FIELD_ENUM, &role, .required = true, .values = roles},
        {"content", FIELD_TEXT, &content, .required = true, .min = 1, .max = CHAT_CONTENT_MAX},
    };
    sv prefix = arena_printf(r->mem, "/messages/%zu", i);
    TRY(object_read(r, j, prefix.p, FIELDS(fields)));
    *out = (struct chat_message){.role = sv_from(roles[role]),
                                 .content = content,
                                 .status = SV("complete"),
                                 .stop = SV_NULL};
    return OK;
}

/* `context` is the front end's own: text, or an object that is kept as its JSON. */
static err read_context(struct req *r, sv *out)
{
    const json *context = json_get(r->json, "context");
    enum json_kind kind = json_kind(context);
    if (kind == JK_NONE || kind == JK_NULL)
        return OK;
    if (kind != JK_STR && kind != JK_OBJ) {
        return field_error(r, "/context", "type", "Must be a text or an object.");
    }
    sv text = kind == JK_STR ? json_str(context) : json_text(r->mem, context);
    if (text.n > CHAT_CONTENT_MAX) {
        return field_error(r, "/context", "too_long", "At most %d bytes.", CHAT_CONTENT_MAX);
    }
    *out = text;
    return OK;
}

static err read_import(struct req *r, struct import *in)
{
    const json *list = NULL;
    const struct field fields[] = {
        {"conversationId", FIELD_STR, &in->conversation, .min = 1, .max = 100},
        {"title", FIELD_STR, &in->title, .min = 1, .max = CHAT_TITLE_MAX},
        {"messages", FIELD_ARR, &list, .required = true, .min = 1, .max = CHAT_SAVE_MESSAGES},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(read_context(r, &in->context));
    in->n = json_len(list);
    in->messages = ARENA_ARRAY(r->mem, struct chat_message, in->n);
    for (size_t i = 0; i < in->n; i++)
        TRY(read_message(r, json_at(list, i), i, &in->messages[i]));
    return OK;
}

static err open_conversation(struct req *r, const struct import *in, struct chat_conversation *c)
{
    struct chat_owner owner = chat_owner_of(r);
    if (in->conversation.p == NULL) {
        sv title = in->title.p ? in->title : chat_title_of(r->mem, in->messages[0].content);
        return chat_conversation_new(r->tx, r->mem, &owner, title, in->title.p != NULL, in->context,
                                     r->now, c);
    }
    TRY(chat_conversation_get(r->tx, r->mem, &owner, in->conversation, c));
    if (in->title.p != NULL)
        TRY(chat_conversation_retitle(r->tx, r->mem, &owner, c->id, in->title));
    if (in->context.p != NULL)
        TRY(chat_context_put(r->tx, r->mem, c->id, in->context));
    return OK;
}

/* POST /api/chat/save - import a finished exchange (kept). */
err chat_save(struct req *r)
{
    struct import in = {.conversation = SV_NULL, .title = SV_NULL, .context = SV_NULL};
    struct chat_conversation c;
    TRY(read_import(r, &in));
    TRY(open_conversation(r, &in, &c));
    sv *ids = ARENA_ARRAY(r->mem, sv, in.n);
    for (size_t i = 0; i < in.n; i++) {
        in.messages[i].parent = c.active_leaf;
        TRY(chat_message_append(r->tx, r->mem, &c, &in.messages[i], TS_NONE, r->now, &ids[i]));
    }
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "conversationId", c.id);
    jw_key(w, "messageIds");
    jw_arr(w);
    for (size_t i = 0; i < in.n; i++)
        jw_str(w, ids[i]);
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

void chat_message_write(struct jw *w, const struct chat_message *m)
{
    jw_obj(w);
    jw_kstr(w, "id", m->id);
    jw_kstr(w, "parentId", m->parent);
    jw_kstr(w, "role", m->role);
    jw_kstr(w, "content", m->content);
    jw_kstr(w, "status", m->status);
    jw_kstr(w, "stop", m->stop);
    jw_kts(w, "createdAt", m->created);
    jw_obj_end(w);
}

void chat_conversation_write(struct jw *w, const struct chat_conversation *c)
{
    jw_kstr(w, "id", c->id);
    jw_kstr(w, "title", c->title);
    jw_kstr(w, "context", c->context);
    jw_kstr(w, "activeLeaf", c->active_leaf);
    jw_kts(w, "createdAt", c->created);
    jw_kts(w, "updatedAt", c->updated);
}

/* A page of a path, oldest first, and the cursor of what is older. */
static err write_path(struct req *r, struct jw *w, sv conversation, sv leaf, int64_t limit)
{
    struct chat_message *list = NULL;
    size_t n = 0;
    if (leaf.p != NULL)
        TRY(chat_path_list(r->tx, r->mem, conversation, leaf, limit + 1, &list, &n));
    bool more = n > (size_t)limit;
    size_t shown = more ? (size_t)limit : n;
    jw_key(w, "messages");
    jw_arr(w);
    for (size_t i = shown; i-- > 0;)
        chat_message_write(w, &list[i]);
    jw_arr_end(w);
    jw_kstr(w, "before", more ? list[shown - 1].id : SV_NULL);
    return OK;
}

static err one_conversation(struct req *r, sv id)
{
    struct chat_owner owner = chat_owner_of(r);
    struct chat_conversation c;
    TRY(chat_conversation_get(r->tx, r->mem, &owner, id, &c));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    chat_conversation_write(w, &c);
    TRY(write_path(r, w, c.id, c.active_leaf, CHAT_HISTORY_MESSAGES));
    jw_obj_end(w);
    return OK;
}

/* GET /api/chat/history - conversations, newest first; ?conversationId= that one with its messages
 * (kept). */
err chat_history_get(struct req *r)
{
    sv one = SV_NULL, id;
    ts at;
    struct page page;
    const struct field fields[] = {{"conversationId", FIELD_STR, &one, .min = 1, .max = 100}};
    TRY(page_query_read(r, &page, FIELDS(fields)));
    if (one.p != NULL)
        return one_conversation(r, one);
    TRY(page_at(r, &page, &at, &id));
    struct chat_owner owner = chat_owner_of(r);
    struct chat_conversation *list;
    size_t n;
    TRY(chat_conversation_list(r->tx, r->mem, &owner, at, id, page.limit + 1, &list, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "id", list[i].id);
        jw_kstr(w, "title", list[i].title);
        jw_kts(w, "createdAt", list[i].created);
        jw_kts(w, "updatedAt", list[i].updated);
        jw_obj_end(w);
    }
    return page_end(r, w,
                    more ? page_at_text(r->mem, list[n - 1].updated, list[n - 1].id) : SV_NULL);
}

struct deletion {
    struct chat_owner owner;
    sv one; /* SV_NULL: all */
    int64_t deleted;
    struct chat_running *running;
    size_t nrunning;
};

static err delete (struct db_tx *tx, struct arena *mem, void *arg)
{
    struct deletion *d = arg;
    TRY(chat_running_list(tx, mem, &d->owner, &d->running, &d->nrunning));
    return chat_conversation_del(tx, mem, &d->owner, d->one, &d->deleted);
}

/* DELETE /api/chat/history?conversationId= or ?all=true (kept). What is being answered there is
 * stopped. */
err chat_history_delete(struct req *r)
{
    struct deletion d = {.owner = chat_owner_of(r), .one = SV_NULL};
    bool all = false;
    const struct field fields[] = {
        {"conversationId", FIELD_STR, &d.one, .min = 1, .max = 100},
        {"all", FIELD_BOOL, &all},
    };
    TRY(query_read(r, FIELDS(fields)));
    if ((d.one.p != NULL) == all)
        return field_error(r, "conversationId", "required",
                           "Name one conversation, or say all=true.");
    TRY(db_write(r->db, r->mem, delete, &d));
    for (size_t i = 0; i < d.nrunning; i++)
        if (all || sv_eq(d.running[i].conversation, d.one))
            turn_cancel(d.running[i].message);
    if (d.deleted == 0 && !all)
        return FAIL(ERR_NOT_FOUND, "There is no such conversation.");
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kint(w, "deleted", d.deleted);
    jw_obj_end(w);
    return OK;
}

/* GET /api/chat/conversations/{id}/messages?leaf&before&limit - one path, a page at a time. */
err chat_messages_get(struct req *r)
{
    sv leaf = SV_NULL, before = SV_NULL;
    int64_t limit = 50;
    const struct field fields[] = {
        {"leaf", FIELD_STR, &leaf, .min = 1, .max = 100},
        {"before", FIELD_STR, &before, .min = 1, .max = 100},
        {"limit", FIELD_INT, &limit, .min = 1, .max = 100},
    };
    TRY(query_read(r, FIELDS(fields)));
    struct chat_owner owner = chat_owner_of(r);
    struct chat_conversation c;
    TRY(chat_conversation_get(r->tx, r->mem, &owner, req_param(r, "id"), &c));
    if (before.p != NULL) {
        struct chat_message *m;
        size_t n;
        TRY(chat_path_list(r->tx, r->mem, c.id, before, 1, &m, &n));
        leaf = m[0].parent;
    } else if (leaf.p == NULL) {
        leaf = c.active_leaf;
    }
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "conversationId", c.id);
    TRY(write_path(r, w, c.id, leaf, limit));
    jw_obj_end(w);
    return OK;
}

/* PATCH /api/chat/conversations/{id} {title} - a member's own title always wins. */
err chat_conversation_patch(struct req *r)
{
    sv title = SV_NULL;
    const struct field fields[] = {
        {"title", FIELD_STR, &title, .required = true, .min = 1, .max = CHAT_TITLE_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    struct chat_owner owner = chat_owner_of(r);
    struct chat_conversation c;
    TRY(chat_conversation_get(r->tx, r->mem, &owner, req_param(r, "id"), &c));
    TRY(chat_conversation_retitle(r->tx, r->mem, &owner, c.id, title));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    c.title = title;
    chat_conversation_write(w, &c);
    jw_obj_end(w);
    return OK;
}
