/* Search and export of one's own messages; what the AI used, for the admin. */
#include "app/app.h"
#include "base/calendar.h"
#include "catalog/catalog.h"
#include "chat/chat_api.h"

/* Reading everything somebody has takes a while, so it runs on a worker. What is written is begun
 * anew if the read is run again. */
struct reading {
    struct req *r;
    struct chat_owner owner;
    struct buf out;
    struct jw w;
    struct chat_place from;
    sv needle; /* search: folded */
    int64_t limit, left;
    struct arena *mem; /* search: for one message */
    sv next;           /* search: the cursor, SV_NULL = nothing is left */
    struct buf last;   /* search: place of the last hit */
    bool open;         /* export: a conversation's messages are being written */
};

static void begin(struct reading *s)
{
    buf_clear(&s->out);
    buf_clear(&s->last);
    s->left = s->limit;
    s->next = SV_NULL;
    s->open = false;
    s->w = (struct jw){.out = &s->out};
    jw_obj(&s->w);
}

static err answer(struct reading *s, db_fn fn)
{
    struct req *r = s->r;
    s->mem = arena_new(0);
    err e = db_read(r->db, r->mem, fn, s);
    if (e == OK)
        jw_raw(reply_json(r, 200), buf_sv(&s->out));
    arena_free(s->mem);
    buf_free(&s->out);
    buf_free(&s->last);
    return e;
}

static bool match(void *arg, const struct chat_conversation *c, const struct chat_message *m)
{
    struct reading *s = arg;
    arena_reset(s->mem);
    if (!sv_contains(chat_fold(s->mem, m->content), s->needle))
        return true;
    if (s->left-- == 0) { /* one more than is shown: there is another page */
        s->next = arena_sv(s->r->mem, buf_sv(&s->last));
        return false;
    }
    buf_clear(&s->last);
    buf_printf(&s->last, "%lld %.*s %lld %.*s", (long long)c->updated.ms, SV_ARG(c->id),
               (long long)m->depth, SV_ARG(m->id));
    jw_obj(&s->w);
    jw_kstr(&s->w, "conversationId", c->id);
    jw_kstr(&s->w, "messageId", m->id);
    jw_kstr(&s->w, "role", m->role);
    jw_kstr(&s->w, "content", m->content);
    jw_kts(&s->w, "createdAt", m->created);
    jw_obj_end(&s->w);
    return true;
}

static err search(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reading *s = arg;
    struct chat_reader reader = {.message = match, .arg = s, .from = s->from};
    begin(s);
    jw_key(&s->w, "data");
    jw_arr(&s->w);
    TRY(chat_read_all(tx, mem, &s->owner, &reader));
    jw_arr_end(&s->w);
    jw_kstr(&s->w, "nextCursor", s->next.p == NULL ? SV_NULL : crypto_b64url(mem, s->next));
    jw_obj_end(&s->w);
    return OK;
}

/* "<ms> <conversation> <depth> <message>": the place of the last hit that was shown. */
static err read_place(struct req *r, const struct page *page, struct chat_place *out)
{
    sv rest = page->cursor;
    if (rest.p == NULL)
        return OK;
    sv ms = sv_cut(&rest, ' ');
    out->conversation = sv_cut(&rest, ' ');
    sv depth = sv_cut(&rest, ' ');
    out->message = rest;
    if (rest.p == NULL || !sv_to_i64(ms, &out->updated.ms) || !sv_to_i64(depth, &out->depth))
        return field_error(r, "cursor", "cursor", "is not a cursor of this list");
    return OK;
}

/* GET /api/chat/search?q= - one's own messages that hold the words, a page at a time. Bodies may be
 * sealed, so the search reads them one after another. */
err chat_search(struct req *r)
{
    sv q = SV_NULL;
    struct page page;
    struct reading s = {.r = r, .owner = chat_owner_of(r), .from = {.conversation = SV_NULL}};
    const struct field fields[] = {
        {"q", FIELD_STR, &q, .required = true, .min = 2, .max = 200},
    };
    TRY(page_query_read(r, &page, FIELDS(fields)));
    TRY(read_place(r, &page, &s.from));
    s.limit = page.limit;
    s.needle = chat_fold(r->mem, q);
    return answer(&s, search);
}

static void close_conversation(struct reading *e)
{
    if (!e->open)
        return;
    jw_arr_end(&e->w);
    jw_obj_end(&e->w);
    e->open = false;
}

static bool put_conversation(void *arg, const struct chat_conversation *c)
{
    struct reading *e = arg;
    close_conversation(e);
    jw_obj(&e->w);
    chat_conversation_write(&e->w, c);
    jw_key(&e->w, "messages");
    jw_arr(&e->w);
    e->open = true;
    return true;
}

static bool put_message(void *arg, const struct chat_conversation *c, const struct chat_message *m)
{
    struct reading *e = arg;
    (void)c;
    chat_message_write(&e->w, m);
    return true;
}

static err export(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reading *e = arg;
    struct chat_reader reader = {.conversation = put_conversation,
                                 .message = put_message,
                                 .arg = e,
                                 .from = {.conversation = SV_NULL}};
    begin(e);
    jw_kts(&e->w, "exportedAt", e->r->now);
    jw_key(&e->w, "conversations");
    jw_arr(&e->w);
    TRY(chat_read_all(tx, mem, &e->owner, &reader));
    close_conversation(e);
    jw_arr_end(&e->w);
    jw_obj_end(&e->w);
    return OK;
}

/* GET /api/chat/export - all of one's conversations. */
err chat_export(struct req *r)
{
    struct reading e = {.r = r, .owner = chat_owner_of(r)};
    return answer(&e, export);
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

/* GET /api/admin/ai/usage?from&until - tokens and cost a day and model. Where a provider told no
 * tokens they are estimated: four bytes each. */
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
