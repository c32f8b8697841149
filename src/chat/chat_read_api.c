/* Search and export of one's own messages; what the AI used, for the admin. */
#include "app/app.h"
#include "base/calendar.h"
#include "catalog/catalog.h"
#include "chat/chat_api.h"

/* Reading everything somebody has takes a while, so it runs on a worker. What is written is begun
 * anew if the read is run again. */
struct reading {
    struct chat_owner owner;
    struct buf out;
    struct jw w;
    sv needle; /* search: lower case */
    int64_t limit, left;
    struct arena *mem;       /* search: for one message */
    struct buf conversation; /* export: id of the open one, "" = none */
    ts now;
};

static sv lower(struct arena *mem, sv s)
{
    char *p = arena_cstr(mem, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + 32);
    return (sv){p, s.n};
}

static bool match(void *arg, sv conversation, const struct chat_message *m)
{
    struct reading *s = arg;
    arena_reset(s->mem);
    if (!sv_contains(lower(s->mem, m->content), s->needle))
        return true;
    jw_obj(&s->w);
    jw_kstr(&s->w, "conversationId", conversation);
    jw_kstr(&s->w, "messageId", m->id);
    jw_kstr(&s->w, "role", m->role);
    jw_kstr(&s->w, "content", m->content);
    jw_kts(&s->w, "createdAt", m->created);
    jw_obj_end(&s->w);
    return --s->left > 0;
}

static void begin(struct reading *s)
{
    buf_clear(&s->out);
    buf_clear(&s->conversation);
    s->left = s->limit;
    s->w = (struct jw){.out = &s->out};
    jw_obj(&s->w);
}

static err search(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reading *s = arg;
    begin(s);
    jw_key(&s->w, "data");
    jw_arr(&s->w);
    TRY(chat_message_each(tx, mem, &s->owner, match, s));
    jw_arr_end(&s->w);
    jw_obj_end(&s->w);
    return OK;
}

static err answer(struct req *r, struct reading *s, db_fn fn)
{
    s->mem = arena_new(0);
    err e = db_read(r->db, r->mem, fn, s);
    if (e == OK)
        jw_raw(reply_json(r, 200), buf_sv(&s->out));
    arena_free(s->mem);
    buf_free(&s->out);
    buf_free(&s->conversation);
    return e;
}

/* GET /api/chat/search?q= - one's own messages that hold the words. Bodies may be sealed, so the
 * search reads them one after another; it ends at `limit` hits. */
err chat_search(struct req *r)
{
    sv q = SV_NULL;
    struct reading s = {.owner = chat_owner_of(r), .limit = 25};
    const struct field fields[] = {
        {"q", FIELD_STR, &q, .required = true, .min = 2, .max = 200},
        {"limit", FIELD_INT, &s.limit, .min = 1, .max = 100},
    };
    TRY(query_read(r, FIELDS(fields)));
    s.needle = lower(r->mem, q);
    return answer(r, &s, search);
}

static void close_conversation(struct reading *e)
{
    if (e->conversation.n == 0)
        return;
    jw_arr_end(&e->w);
    jw_obj_end(&e->w);
}

static bool put_message(void *arg, sv conversation, const struct chat_message *m)
{
    struct reading *e = arg;
    if (!sv_eq(buf_sv(&e->conversation), conversation)) {
        close_conversation(e);
        buf_clear(&e->conversation);
        buf_add(&e->conversation, conversation);
        jw_obj(&e->w);
        jw_kstr(&e->w, "id", conversation);
        jw_key(&e->w, "messages");
        jw_arr(&e->w);
    }
    chat_message_write(&e->w, m);
    return true;
}

static err export(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reading *e = arg;
    begin(e);
    jw_kts(&e->w, "exportedAt", e->now);
    jw_key(&e->w, "conversations");
    jw_arr(&e->w);
    TRY(chat_message_each(tx, mem, &e->owner, put_message, e));
    close_conversation(e);
    jw_arr_end(&e->w);
    jw_obj_end(&e->w);
    return OK;
}

/* GET /api/chat/export - all of one's conversations. */
err chat_export(struct req *r)
{
    struct reading e = {.owner = chat_owner_of(r), .now = r->now};
    return answer(r, &e, export);
}

/* Cost in minor units by the catalogue's prices of that day, rounded half up; -1 = no price known.
 */
static int64_t cost(const struct catalog *c, const struct chat_usage *u)
{
    char text[TS_TEXT];
    int64_t in, out;
    sv day = ts_text(u->day, text);
    day.n = strlen("2026-11-29");
    if (!catalog_ai_price(c, u->model, day, &in, &out))
        return -1;
    /* Tokens times price can pass 64 bits: 10^12 tokens at 10^8. */
    __extension__ typedef __int128 wide;
    wide sum = (wide)u->input_tokens * in + (wide)u->output_tokens * out + 500000;
    return (int64_t)(sum / 1000000);
}

/* GET /api/admin/ai/usage?from&until - tokens and cost a day and model. */
err chat_usage_get(struct req *r)
{
    ts from = {r->now.ms - 30 * TS_DAY}, until = r->now;
    struct chat_usage *list;
    size_t n;
    int64_t crises;
    const struct field fields[] = {
        {"from", FIELD_TIME, &from},
        {"until", FIELD_TIME, &until},
    };
    TRY(query_read(r, FIELDS(fields)));
    TRY(chat_usage_list(r->tx, r->mem, from, until, &list, &n, &crises));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "currency", sv_from(r->app->catalog->plan_currency.code));
    jw_kint(w, "crises", crises);
    jw_key(w, "data");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        int64_t minor = cost(r->app->catalog, &list[i]);
        jw_obj(w);
        jw_kts(w, "day", list[i].day);
        jw_kstr(w, "model", list[i].model);
        jw_kint(w, "turns", list[i].turns);
        jw_kint(w, "inputTokens", list[i].input_tokens);
        jw_kint(w, "outputTokens", list[i].output_tokens);
        jw_kint(w, "people", list[i].people);
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
