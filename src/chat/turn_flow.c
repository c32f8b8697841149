/* A turn: what the member says, and the answer as it comes. ai/CONTRACT §6, §7. */
#include "account/account.h"
#include "catalog/catalog.h"
#include "chat/chat_api.h"
#include "chat/safety_rules.h"
#include "chat/turn.h"
#include "queries.h"

#include <stdio.h>

#define PROMPT_MESSAGES 60
#define PROMPT_BYTES    60000

struct said {
    sv id, parent, content; /* id, parent: SV_NULL = ours to choose */
};

/* What the transaction decided. */
struct admitted {
    struct chat_conversation conversation;
    sv user_message, answer;
    bool replay; /* the answer exists already */
    bool member, wants_title, notice, crisis;
    struct chat_quota quota;
    struct chat_ticket ticket;
    struct ai_said *history;
    size_t nhistory;
    sv locale;
};

struct ask {
    struct req *r;
    struct said said;
    struct admitted out;
};

/* ---- reading what the member says: {content, id?, parentId?}, or the AI SDK's {messages:[…]} */

static sv text_of_parts(struct arena *mem, const json *parts)
{
    sv text = SV("");
    for (size_t i = 0; i < json_len(parts); i++)
        if (sv_is(json_get_str(json_at(parts, i), "type"), "text"))
            text = arena_printf(mem, "%.*s%.*s", SV_ARG(text),
                                SV_ARG(json_get_str(json_at(parts, i), "text")));
    return text;
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
    sv id = json_get_str(last, "id");
    *out = (struct said){
        .id = id.n > 0 && id.n <= 100 ? id : SV_NULL, .parent = SV_NULL, .content = content};
    return OK;
}

static err read_said(struct req *r, struct said *out)
{
    const json *list = NULL;
    *out = (struct said){SV_NULL, SV_NULL, SV_NULL};
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
    };
    return body_read(r, FIELDS(fields));
}

/* ---- the transaction: everything that must hold before the provider is called */

static err open_conversation(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct req *r = a->r;
    struct chat_owner owner = chat_owner_of(r);
    sv id = req_param(r, "id");
    if (!sv_is(id, "new"))
        return chat_conversation_get(tx, mem, &owner, id, &a->out.conversation);
    return chat_conversation_new(tx, mem, &owner, chat_title_of(mem, a->said.content), false,
                                 SV_NULL, r->now, &a->out.conversation);
}

/* The member's own message id again: the same body hears the same answer, another one 409. */
static err find_repeat(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_message_get_row row;
    struct chat_turn_answer_row answer;
    bool found;
    sv conversation = a->out.conversation.id, content;
    if (a->said.id.p == NULL)
        return OK;
    TRY(q_chat_message_get(
        tx, mem, &(struct chat_message_get_in){.id = a->said.id, .conversation_id = conversation},
        &row, &found));
    if (!found)
        return OK;
    TRY(unseal(mem, row.body, row.id, row.key_id, &content));
    TRY(q_chat_turn_answer(
        tx, mem,
        &(struct chat_turn_answer_in){.parent_id = row.id, .conversation_id = conversation},
        &answer, &found));
    if (!sv_eq(content, a->said.content) || !sv_is(row.role, "user") || !found)
        return FAIL_FIELD(ERR_CONFLICT, "/id", "There is another message with this id.");
    a->out.replay = true;
    a->out.user_message = row.id;
    a->out.answer = answer.id;
    return OK;
}

static err refuse_second(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_turn_running_row row;
    bool found;
    ts now = clock_wall();
    TRY(q_chat_turn_rescue(tx, mem, &(struct chat_turn_rescue_in){.before = now}, NULL));
    TRY(q_chat_turn_running(
        tx, mem, &(struct chat_turn_running_in){.conversation_id = a->out.conversation.id}, &row,
        &found));
    if (!found)
        return OK;
    reply_problem_str(a->r, "messageId", row.id);
    return FAIL(ERR_TURN_RUNNING, "The assistant is still answering.");
}

static err load_history(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_message *list;
    size_t n, bytes = 0, used = 0;
    TRY(chat_path_list(tx, mem, a->out.conversation.id, a->out.user_message, PROMPT_MESSAGES, &list,
                       &n));
    struct ai_said *said = ARENA_ARRAY(mem, struct ai_said, n);
    for (; used < n; used++) {
        bytes += list[used].content.n;
        if (bytes > PROMPT_BYTES && used > 0)
            break;
    }
    for (size_t i = used; i-- > 0;) {
        bool assistant = sv_is(list[i].role, "assistant");
        if (list[i].content.n > 0 && (assistant || sv_is(list[i].role, "user")))
            said[a->out.nhistory++] = (struct ai_said){assistant, list[i].content};
    }
    a->out.history = said;
    return OK;
}

static err under_ceiling(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_usage_of_row row;
    int64_t ceiling = a->r->app->set.ai_daily_tokens;
    ts now = a->r->now;
    if (ceiling == 0)
        return OK;
    TRY(q_chat_usage_of(tx, mem,
                        &(struct chat_usage_of_in){.owner = chat_owner_of(a->r).id,
                                                   .day = {now.ms - now.ms % TS_DAY}},
                        &row));
    if (row.tokens < ceiling)
        return OK;
    a->out.quota.reset_at = (ts){now.ms - now.ms % TS_DAY + TS_DAY};
    return FAIL(ERR_QUOTA, "The AI's ceiling for one member and day is reached.");
}

static err append_both(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_conversation *c = &a->out.conversation;
    sv parent = a->said.parent.p != NULL ? a->said.parent : c->active_leaf;
    struct chat_message user = {.id = a->said.id,
                                .parent = parent,
                                .role = SV("user"),
                                .content = a->said.content,
                                .status = SV("complete"),
                                .stop = SV_NULL};
    TRY(chat_message_append(tx, mem, c, &user, TS_NONE, a->r->now, &a->out.user_message));
    struct chat_message answer = {.id = SV_NULL,
                                  .parent = a->out.user_message,
                                  .role = SV("assistant"),
                                  .content = SV(""),
                                  .status = SV("streaming"),
                                  .stop = SV_NULL,
                                  .model = a->r->app->set.ai_model};
    return chat_message_append(tx, mem, c, &answer, ts_add(clock_wall(), TURN_LEASE_MS), a->r->now,
                               &a->out.answer);
}

static err mind_safety(struct db_tx *tx, struct arena *mem, struct ask *a, const char *language)
{
    ts now = a->r->now;
    if (safety_notice_due(a->out.conversation.notice_at, now)) {
        a->out.notice = true;
        TRY(q_chat_notice_put(
            tx, mem, &(struct chat_notice_put_in){.id = a->out.conversation.id, .now = now}, NULL));
    }
    if (language == NULL)
        return OK;
    return q_chat_crisis_put(tx, mem,
                             &(struct chat_crisis_put_in){.id = id_new(mem, "cri", now),
                                                          .language = sv_from(language),
                                                          .at = now},
                             NULL);
}

static err load_locale(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct account account;
    a->out.locale = req_header(a->r, "accept-language");
    if (!a->out.member)
        return OK;
    TRY(account_get(tx, mem, &a->r->member, &account));
    if (account.locale.n > 0)
        a->out.locale = account.locale;
    return OK;
}

static err admit(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    struct req *r = a->r;
    const char *language = safety_crisis(a->said.content);
    a->out = (struct admitted){.member = !user_id_none(&r->member), .crisis = language != NULL};
    TRY(open_conversation(tx, mem, a));
    TRY(db_lock1(tx, arena_printf(mem, "chat:%.*s", SV_ARG(a->out.conversation.id))));
    TRY(find_repeat(tx, mem, a));
    if (a->out.replay)
        return OK;
    TRY(refuse_second(tx, mem, a));
    if (!a->out.crisis)
        TRY(under_ceiling(tx, mem, a));
    a->out.wants_title =
        a->out.conversation.active_leaf.p == NULL && !a->out.conversation.titled_by_member;
    struct chat_quota_ask quota = {.owner = chat_owner_of(r),
                                   .conversation = a->out.conversation.id,
                                   .address = r->address,
                                   .crisis = a->out.crisis,
                                   .now = r->now};
    TRY(chat_quota_take(tx, mem, r->app, &quota, &a->out.quota, &a->out.ticket));
    TRY(append_both(tx, mem, a));
    TRY(mind_safety(tx, mem, a, language));
    TRY(load_locale(tx, mem, a));
    return load_history(tx, mem, a);
}

/* ---- the answer */

static int64_t seconds_until(ts at, ts now)
{
    return at.ms > now.ms ? (at.ms - now.ms + 999) / 1000 : 0;
}

/* 429 with what the IETF draft wants; the form is from memory (ai/CONTRACT §9). */
static err quota_over(struct req *r, const struct chat_quota *q)
{
    int64_t s = seconds_until(q->reset_at, r->now);
    reply_retry_after(r, s);
    reply_header(r, "RateLimit-Policy",
                 arena_printf(r->mem, "\"ai-chats\";q=%lld;w=86400", (long long)q->limit));
    reply_header(r, "RateLimit", arena_printf(r->mem, "\"ai-chats\";r=0;t=%lld", (long long)s));
    return ERR_QUOTA;
}

static struct turn_view view_of(const struct req *r, const struct admitted *a)
{
    return (struct turn_view){
        .message = a->answer,
        .conversation = a->conversation.id,
        .parent = a->user_message,
        .remaining = a->quota.unlimited || a->replay ? -1 : a->quota.limit - a->quota.used,
        .reset_seconds = seconds_until(a->quota.reset_at, r->now),
    };
}

static void write_opening(struct buf *out, const struct turn_view *v, const struct admitted *a)
{
    turn_write_opening(out, v, 0);
    if (a->notice) {
        BUF_AUTO data = {0};
        struct jw w = {.out = &data};
        jw_obj(&w);
        jw_kstr(&w, "text", sv_from(safety_notice_text));
        jw_obj_end(&w);
        turn_write_data(out, v, TURN_TEXT_AT, "data-notice", buf_sv(&data));
    }
    if (a->crisis) {
        const struct help_line *line = safety_help_line(a->locale);
        BUF_AUTO data = {0};
        struct jw w = {.out = &data};
        jw_obj(&w);
        jw_kstr(&w, "country", sv_from(line->country));
        jw_kstr(&w, "name", sv_from(line->name));
        jw_kstr(&w, "phone", sv_from(line->phone));
        jw_kstr(&w, "url", sv_from(line->url));
        jw_obj_end(&w);
        turn_write_data(out, v, TURN_TEXT_AT, "data-crisis", buf_sv(&data));
    }
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
        .system = safety_system_prompt(a->crisis),
        .said = a->history,
        .nsaid = a->nhistory,
        .user = a->conversation.id, /* opaque, and not the member */
    };
    BUF_AUTO opening = {0};
    ai_request_build(r->mem, &q, &call);
    write_opening(&opening, &view, a);
    stream_headers(r);
    struct stream *s = reply_stream(r, "text/event-stream");
    err e = turn_begin(&(struct turn_start){.app = r->app,
                                            .view = view,
                                            .owner = chat_owner_of(r).id,
                                            .member = a->member,
                                            .ticket = a->ticket,
                                            .dialect = q.dialect,
                                            .model = set->ai_model,
                                            .call = &call,
                                            .opening = buf_sv(&opening),
                                            .wants_title = a->wants_title},
                       s);
    stream_unref(s);
    return e;
}

/* POST /api/chat/conversations/{id}/messages - says something and streams the answer; {id} may be
 * "new". */
err chat_turn_post(struct req *r)
{
    struct ask a = {.r = r};
    TRY(read_said(r, &a.said));
    if (r->app->set.ai_base_url.n == 0 || r->app->set.ai_model.n == 0)
        return FAIL(ERR_NOT_CONFIGURED, "No AI is set up on this server (AI_BASE_URL, AI_MODEL).");
    if (turn_paused())
        return FAIL(ERR_UPSTREAM, "The AI is not available at the moment.");
    err e = db_write(r->db, r->mem, admit, &a);
    if (e == ERR_QUOTA)
        return quota_over(r, &a.out.quota);
    TRY(e);
    if (!a.out.replay)
        return begin(r, &a.out);
    struct turn_view view = view_of(r, &a.out);
    follow(r, &view, 0);
    return OK;
}

/* ---- coming back, stopping */

struct one_message {
    struct req *r;
    struct chat_conversation conversation;
    struct chat_message_get_row row;
};

static err find_message(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct one_message *m = arg;
    struct chat_owner owner = chat_owner_of(m->r);
    bool found;
    TRY(chat_conversation_get(tx, mem, &owner, req_param(m->r, "id"), &m->conversation));
    TRY(q_chat_message_get(tx, mem,
                           &(struct chat_message_get_in){.id = req_param(m->r, "messageId"),
                                                         .conversation_id = m->conversation.id},
                           &m->row, &found));
    if (!found || !sv_is(m->row.role, "assistant"))
        return FAIL(ERR_NOT_FOUND, "There is no such answer.");
    return OK;
}

/* GET /api/chat/conversations/{id}/messages/{messageId}/stream - goes on behind Last-Event-ID. */
err chat_turn_resume(struct req *r)
{
    struct one_message m = {.r = r};
    TRY(db_read(r->db, r->mem, find_message, &m));
    struct turn_view view = {.message = m.row.id,
                             .conversation = m.conversation.id,
                             .parent = m.row.parent_id,
                             .remaining = -1};
    int64_t after = turn_event_number(req_header(r, "last-event-id"), m.row.id);
    follow(r, &view, after < 0 ? 0 : after);
    return OK;
}

static err ask_stop(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct one_message *m = arg;
    TRY(find_message(tx, mem, arg));
    return q_chat_turn_ask_stop(
        tx, mem,
        &(struct chat_turn_ask_stop_in){.id = m->row.id, .conversation_id = m->conversation.id},
        NULL);
}

/* POST …/messages/{messageId}/stop - the member has enough; the part is kept. */
err chat_turn_stop(struct req *r)
{
    struct one_message m = {.r = r};
    TRY(db_write(r->db, r->mem, ask_stop, &m));
    turn_cancel(m.row.id);
    struct jw *w = reply_json(r, 202);
    jw_obj(w);
    jw_kstr(w, "messageId", m.row.id);
    jw_kbool(w, "stopping", sv_is(m.row.status, "streaming"));
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
