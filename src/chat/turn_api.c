/* A turn: what the member says, and the answer as it comes. ai/CONTRACT §6, §7. */
#include "catalog/catalog.h"
#include "chat/chat_api.h"
#include "chat/safety_rules.h"
#include "chat/turn.h"
#include "chat/turn_admit.h"

/* ---- reading what the member says: {content, id?, parentId?}, or the AI SDK's {messages:[…]} */

static sv text_of_parts(struct arena *mem, const json *parts)
{
    BUF_AUTO text = {0};
    for (size_t i = 0; i < json_len(parts); i++)
        if (sv_is(json_get_str(json_at(parts, i), "type"), "text"))
            buf_add(&text, json_get_str(json_at(parts, i), "text"));
    return arena_sv(mem, buf_sv(&text));
}

static err read_sdk(struct req *r, const json *list, struct said *out)
{
    const json *last = json_at(list, json_len(list) - 1);
    const json *parts = json_get(last, "parts");
    sv content = parts != NULL ? text_of_parts(r->mem, parts) : json_get_str(last, "content");
    if (!sv_is(json_get_str(last, "role"), "user") || content.n == 0 ||
        sv_utf8_len(content) > CHAT_CONTENT_MAX)
        return field_error(r, "/messages", "invalid",
                           "The last message must be the user's, with 1 to %d characters of text.",
                           CHAT_CONTENT_MAX);
    const struct field fields[] = {{"id", FIELD_STR, &out->id, .min = 1, .max = 100}};
    out->content = content;
    out->again = sv_is(json_get_str(r->json, "trigger"), "regenerate-message");
    return object_read(r, last, "/messages/-", FIELDS(fields));
}

static err read_said(struct req *r, struct said *out)
{
    const json *list = NULL;
    *out = (struct said){.id = SV_NULL, .parent = SV_NULL, .content = SV_NULL};
    if (json_kind(json_get(r->json, "messages")) == JK_ARR) {
        const struct field fields[] = {
            {"messages", FIELD_ARR, &list, .required = true, .min = 1, .max = 1000},
        };
        TRY(body_read(r, FIELDS(fields)));
        return read_sdk(r, list, out);
    }
    const struct field fields[] = {
        {"content", FIELD_TEXT, &out->content, .required = true, .min = 1, .max = CHAT_CONTENT_MAX},
        {"id", FIELD_STR, &out->id, .min = 1, .max = 100},
        {"parentId", FIELD_STR, &out->parent, .min = 1, .max = 100},
        {"phq9Item9", FIELD_INT, &out->phq9_item9, .min = 0, .max = 3},
    };
    return body_read(r, FIELDS(fields));
}

/* ---- the answer */

static int64_t seconds_until(ts at, ts now)
{
    return at.ms > now.ms ? (at.ms - now.ms + 999) / 1000 : 0;
}

/* 429 with what the IETF draft wants; the form is from memory (ai/CONTRACT §9). */
static err quota_over(struct req *r, const struct admitted *a)
{
    const char *name = a->ceiling ? "ai-tokens" : "ai-chats";
    int64_t s = seconds_until(a->quota.reset_at, r->now);
    reply_retry_after(r, s);
    reply_header(r, "RateLimit-Policy",
                 arena_printf(r->mem, "\"%s\";q=%lld;w=86400", name, (long long)a->quota.limit));
    reply_header(r, "RateLimit", arena_printf(r->mem, "\"%s\";r=0;t=%lld", name, (long long)s));
    return ERR_QUOTA;
}

/* < 0: not told. */
static int64_t remaining(const struct chat_quota *q)
{
    if (q->unlimited)
        return -1;
    return q->limit > q->used ? q->limit - q->used : 0;
}

static struct turn_view view_of(const struct req *r, const struct admitted *a)
{
    return (struct turn_view){
        .message = a->answer,
        .conversation = a->conversation.id,
        .parent = a->user_message,
        .remaining = remaining(&a->quota),
        .reset_seconds = seconds_until(a->quota.reset_at, r->now),
        .notice = a->notice ? sv_from(safety_notice_text) : SV_NULL,
        .crisis = turn_crisis_json(r, r->mem, a->crisis, a->locale),
    };
}

static void stream_headers(struct req *r)
{
    reply_header(r, "x-accel-buffering", SV("no"));
    reply_header(r, "x-vercel-ai-ui-message-stream", SV("v1"));
}

static void follow(struct req *r, const struct turn_view *v, int64_t after)
{
    stream_headers(r);
    struct stream *s = reply_stream(r, "text/event-stream");
    if (!turn_follow_here(v->message, after, s))
        turn_follow_row(r->app, v, after, s);
    stream_unref(s);
}

static err begin(struct req *r, const struct admitted *a)
{
    const struct settings *set = &r->app->set;
    struct turn_view view = view_of(r, a);
    struct http_call call;
    struct ai_request q = {
        .dialect = set->ai_dialect == AI_ANTHROPIC ? AI_STREAM_ANTHROPIC : AI_STREAM_OPENAI,
        .base = set->ai_base_url,
        .key = set->ai_api_key,
        .model = set->ai_model,
        .max_tokens = set->ai_max_tokens,
        .max_tokens_old = set->ai_max_tokens_old,
        .connect_ms = (int)(set->ai_connect_s * 1000),
        .answer_ms = (int)(set->ai_answer_s * 1000),
        .system = safety_system_prompt(a->crisis),
        .said = a->history,
        .nsaid = a->nhistory,
        .user = a->conversation.id, /* opaque, and not the member */
    };
    ai_request_build(r->mem, &q, &call);
    stream_headers(r);
    struct stream *s = reply_stream(r, "text/event-stream");
    err e = turn_begin(&(struct turn_start){.app = r->app,
                                            .view = view,
                                            .owner = chat_owner_of(r).id,
                                            .fresh = a->ticket.fresh,
                                            .dialect = q.dialect,
                                            .model = set->ai_model,
                                            .call = &call,
                                            .wants_title = a->wants_title},
                       s);
    stream_unref(s);
    return e;
}

/* The stream of an answer that exists, from behind event number `after`. */
static err replay(struct req *r, struct one_message *m, int64_t after)
{
    TRY(db_read(r->db, r->mem, turn_look, m));
    struct turn_view view = {.message = m->answer,
                             .conversation = m->conversation.id,
                             .parent = m->parent,
                             .remaining = remaining(&m->quota),
                             .reset_seconds = seconds_until(m->quota.reset_at, r->now),
                             .notice = m->notice,
                             .crisis = m->crisis};
    follow(r, &view, after);
    return OK;
}

/* Help must not wait for an AI: what cannot be answered now carries the line in its problem. */
static err help_with_a_problem(struct req *r, struct ask *a)
{
    if (turn_crisis_of(&a->said) == NULL)
        return OK;
    TRY(db_read(r->db, r->mem, turn_locale, a));
    reply_problem_raw(r, "crisis", turn_crisis_json(r, r->mem, true, a->out.locale));
    return OK;
}

/* POST /api/chat/conversations/{id}/messages - says something and streams the answer; {id} may be
 * "new". */
err chat_turn_post(struct req *r)
{
    struct ask a = {.r = r};
    TRY(read_said(r, &a.said));
    TRY(help_with_a_problem(r, &a));
    if (r->app->set.ai_base_url.n == 0 || r->app->set.ai_model.n == 0)
        return FAIL(ERR_NOT_CONFIGURED, "No AI is set up on this server (AI_BASE_URL, AI_MODEL).");
    if (turn_paused())
        return FAIL(ERR_UPSTREAM, "The AI is not available at the moment.");
    err e = db_write(r->db, r->mem, turn_admit, &a);
    if (e == ERR_QUOTA)
        return quota_over(r, &a.out);
    TRY(e);
    if (!a.out.replay)
        return begin(r, &a.out);
    struct one_message m = {
        .r = r, .conversation_id = a.out.conversation.id, .message_id = a.out.answer};
    return replay(r, &m, 0);
}

/* ---- coming back, stopping */

static struct one_message message_of(struct req *r)
{
    return (struct one_message){
        .r = r, .conversation_id = req_param(r, "id"), .message_id = req_param(r, "messageId")};
}

/* GET /api/chat/conversations/{id}/messages/{messageId}/stream - goes on behind Last-Event-ID. */
err chat_turn_resume(struct req *r)
{
    struct one_message m = message_of(r);
    int64_t after = turn_event_number(req_header(r, "last-event-id"), m.message_id);
    return replay(r, &m, after < 0 ? 0 : after);
}

/* POST …/messages/{messageId}/stop - the member has enough; the part is kept. */
err chat_turn_stop(struct req *r)
{
    struct one_message m = message_of(r);
    TRY(body_read(r, NULL, 0));
    TRY(db_write(r->db, r->mem, turn_ask_stop, &m));
    turn_cancel(m.answer);
    struct jw *w = reply_json(r, 202);
    jw_obj(w);
    jw_kstr(w, "messageId", m.answer);
    jw_kbool(w, "stopping", m.streaming);
    jw_obj_end(w);
    return OK;
}

/* POST /api/chat/conversations - begins one. */
err chat_conversation_post(struct req *r)
{
    sv title = SV_NULL;
    const struct field fields[] = {
        {"title", FIELD_STR, &title, .min = 1, .max = CHAT_TITLE_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    struct chat_owner owner = chat_owner_of(r);
    struct chat_conversation c;
    TRY(chat_conversation_new(r->tx, r->mem, &owner, title.p ? title : SV("New conversation"),
                              title.p != NULL, SV_NULL, r->now, &c));
    struct jw *w = reply_json(r, 201);
    jw_obj(w);
    jw_kstr(w, "id", c.id);
    jw_kstr(w, "title", c.title);
    jw_kts(w, "createdAt", c.created);
    jw_kts(w, "updatedAt", c.updated);
    jw_obj_end(w);
    return OK;
}
