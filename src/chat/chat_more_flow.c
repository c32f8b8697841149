/* Search, export, and what the AI used, for the admin. */
#include "app/app.h"
#include "catalog/catalog.h"
#include "chat/chat_api.h"
#include "queries.h"

#define PAGE 200

/* Every message of the owner in pages, oldest conversation first. fn returns false to stop. */
typedef bool (*message_fn)(void *arg, const struct chat_message_all_row *row, sv content);

static err each_message(struct db_tx *tx, struct arena *mem, sv owner, message_fn fn, void *arg)
{
    struct chat_message_all_in in = {.owner = owner,
                                     .after_conversation = SV(""),
                                     .after_depth = -1,
                                     .after_id = SV(""),
                                     .n = PAGE};
    for (;;) {
        struct chat_message_all_row *rows;
        size_t n;
        TRY(q_chat_message_all(tx, mem, &in, &rows, &n));
        for (size_t i = 0; i < n; i++) {
            sv content;
            TRY(unseal(mem, rows[i].body, rows[i].id, rows[i].key_id, &content));
            if (!fn(arg, &rows[i], content))
                return OK;
        }
        if (n < PAGE)
            return OK;
        in.after_conversation = rows[n - 1].conversation_id;
        in.after_depth = rows[n - 1].depth;
        in.after_id = rows[n - 1].id;
    }
}

static sv lower(struct arena *mem, sv s)
{
    char *p = arena_cstr(mem, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + 32);
    return (sv){p, s.n};
}

struct search {
    struct arena *mem;
    struct jw *w;
    sv needle;
    int64_t left;
};

static bool match(void *arg, const struct chat_message_all_row *row, sv content)
{
    struct search *s = arg;
    struct arena_mark mark = arena_mark(s->mem);
    bool hit = sv_contains(lower(s->mem, content), s->needle);
    arena_rewind(s->mem, mark);
    if (!hit)
        return true;
    jw_obj(s->w);
    jw_kstr(s->w, "conversationId", row->conversation_id);
    jw_kstr(s->w, "messageId", row->id);
    jw_kstr(s->w, "role", row->role);
    jw_kstr(s->w, "content", content);
    jw_kts(s->w, "createdAt", row->created_at);
    jw_obj_end(s->w);
    return --s->left > 0;
}

/* GET /api/chat/search?q= - one's own messages that hold the words. Bodies may be sealed, so the
 * search reads them one after another; it ends at `limit` hits. */
err chat_search(struct req *r)
{
    sv q = SV_NULL;
    int64_t limit = 25;
    const struct field fields[] = {
        {"q", FIELD_STR, &q, .required = true, .min = 2, .max = 200},
        {"limit", FIELD_INT, &limit, .min = 1, .max = 100},
    };
    TRY(query_read(r, FIELDS(fields)));
    struct jw *w = reply_json(r, 200);
    struct search s = {.mem = arena_new(0), .w = w, .needle = lower(r->mem, q), .left = limit};
    jw_obj(w);
    jw_key(w, "data");
    jw_arr(w);
    err e = each_message(r->tx, r->mem, chat_owner_of(r).id, match, &s);
    arena_free(s.mem);
    TRY(e);
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

struct export
{
    struct jw *w;
    sv conversation;
};

static bool put_message(void *arg, const struct chat_message_all_row *row, sv content)
{
    struct export *e = arg;
    if (!sv_eq(e->conversation, row->conversation_id)) {
        if (e->conversation.p != NULL) {
            jw_arr_end(e->w);
            jw_obj_end(e->w);
        }
        e->conversation = row->conversation_id;
        jw_obj(e->w);
        jw_kstr(e->w, "id", row->conversation_id);
        jw_key(e->w, "messages");
        jw_arr(e->w);
    }
    struct chat_message m = {.id = row->id,
                             .parent = row->parent_id,
                             .role = row->role,
                             .content = content,
                             .status = row->status,
                             .stop = row->stop,
                             .created = row->created_at};
    chat_message_write(e->w, &m);
    return true;
}

/* GET /api/chat/export - all of one's conversations. */
err chat_export(struct req *r)
{
    struct jw *w = reply_json(r, 200);
    struct export e = {.w = w, .conversation = SV_NULL};
    jw_obj(w);
    jw_kts(w, "exportedAt", r->now);
    jw_key(w, "conversations");
    jw_arr(w);
    TRY(each_message(r->tx, r->mem, chat_owner_of(r).id, put_message, &e));
    if (e.conversation.p != NULL) {
        jw_arr_end(w);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

/* Cost in minor units by the catalogue's prices (a million tokens), rounded half up; -1 = no price
 * known. */
static int64_t cost(const struct catalog *c, sv model, int64_t input, int64_t output)
{
    for (struct json_iter it = json_iter(c->ai_models); json_next(&it);)
        if (sv_eq(it.key, model)) {
            int64_t in = json_get_int(it.value, "inputPerMillion", 0);
            int64_t out = json_get_int(it.value, "outputPerMillion", 0);
            return (input * in + output * out + 500000) / 1000000;
        }
    return -1;
}

/* GET /api/admin/ai/usage?from&until - tokens and cost a day and model. */
err chat_usage_get(struct req *r)
{
    ts from = {r->now.ms - 30 * TS_DAY}, until = r->now;
    struct chat_usage_days_row *rows;
    size_t n;
    const struct field fields[] = {
        {"from", FIELD_TIME, &from},
        {"until", FIELD_TIME, &until},
    };
    TRY(query_read(r, FIELDS(fields)));
    TRY(q_chat_usage_days(
        r->tx, r->mem,
        &(struct chat_usage_days_in){.from_day = {from.ms - from.ms % TS_DAY}, .until_day = until},
        &rows, &n));
    struct chat_crisis_count_row crisis;
    TRY(q_chat_crisis_count(r->tx, r->mem,
                            &(struct chat_crisis_count_in){.from_at = from, .until_at = until},
                            &crisis));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kint(w, "crises", crisis.n);
    jw_key(w, "data");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        int64_t minor =
            cost(r->app->catalog, rows[i].model, rows[i].input_tokens, rows[i].output_tokens);
        jw_obj(w);
        jw_kts(w, "day", rows[i].day);
        jw_kstr(w, "model", rows[i].model);
        jw_kint(w, "turns", rows[i].turns);
        jw_kint(w, "inputTokens", rows[i].input_tokens);
        jw_kint(w, "outputTokens", rows[i].output_tokens);
        jw_kint(w, "people", rows[i].owners);
        if (minor < 0)
            jw_knull(w, "cost");
        else
            jw_kint(w, "cost", minor);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}
