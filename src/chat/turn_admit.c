#include "chat/turn_admit.h"
#include "account/account.h"
#include "catalog/catalog.h"
#include "chat/chat_api.h"
#include "chat/safety_rules.h"
#include "chat/turn.h"
#include "chat/turn_lost.h"
#include "queries.h"

#define PROMPT_MESSAGES 60
#define PROMPT_BYTES    60000

/* "new" again with the id of the member's own first message: the conversation that it began. */
static err find_first(struct db_tx *tx, struct arena *mem, const struct ask *a,
                      const struct chat_owner *owner, sv *conversation)
{
    struct chat_message_first_row row;
    bool found;
    sv id = a->said.id;
    if (id.p == NULL)
        return OK;
    TRY(db_lock1(tx, arena_printf(mem, "chat-first:%.*s:%.*s", SV_ARG(owner->id), SV_ARG(id))));
    TRY(q_chat_message_first(tx, mem, &(struct chat_message_first_in){.id = id, .owner = owner->id},
                             &row, &found));
    if (found)
        *conversation = row.conversation_id;
    return OK;
}

static err open_conversation(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct req *r = a->r;
    struct chat_owner owner = chat_owner_of(r);
    sv id = req_param(r, "id");
    if (sv_is(id, "new"))
        TRY(find_first(tx, mem, a, &owner, &id));
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
    TRY(chat_body_unseal(mem, conversation, row.id, row.body, row.key_id, &content));
    TRY(q_chat_turn_answer(
        tx, mem,
        &(struct chat_turn_answer_in){.parent_id = row.id, .conversation_id = conversation},
        &answer, &found));
    bool moved = a->said.parent.p != NULL && !sv_eq(a->said.parent, row.parent_id);
    if (moved || !sv_eq(content, a->said.content) || !sv_is(row.role, "user") || !found)
        return FAIL_FIELD(ERR_CONFLICT, "/id", "There is another message with this id.");
    a->out.user_message = row.id;
    a->out.again = a->said.again;
    a->out.replay = !a->said.again;
    a->out.answer = answer.id;
    return OK;
}

static err refuse_second(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    sv running;
    TRY(turn_running(tx, mem, a->out.conversation.id, &running));
    if (running.p == NULL)
        return OK;
    reply_problem_str(a->r, "messageId", running);
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
        if (assistant && a->out.nhistory == 0)
            continue; /* a provider wants the person to begin */
        if (list[i].content.n > 0 && (assistant || sv_is(list[i].role, "user")))
            said[a->out.nhistory++] = (struct ai_said){assistant, list[i].content};
    }
    a->out.history = said;
    return OK;
}

/* What is being answered counts with the most it may take: else whoever asks a hundred things at
 * once is under the ceiling with each. */
static err under_ceiling(struct db_tx *tx, struct arena *mem, struct ask *a)
{
    struct chat_usage_of_row row;
    struct chat_running *running;
    size_t n;
    const struct settings *set = &a->r->app->set;
    struct chat_owner owner = chat_owner_of(a->r);
    int64_t ceiling = set->ai_daily_tokens;
    ts now = a->r->now;
    if (ceiling == 0)
        return OK;
    TRY(chat_quota_lock(tx, mem, owner.id));
    TRY(chat_running_list(tx, mem, &owner, &running, &n));
    TRY(q_chat_usage_of(tx, mem, &(struct chat_usage_of_in){.owner = owner.id, .day = ts_day(now)},
                        &row));
    if (row.tokens + (int64_t)n * set->ai_max_tokens < ceiling)
        return OK;
    a->out.ceiling = true;
    a->out.quota.limit = ceiling;
    a->out.quota.reset_at = row.tokens < ceiling ? ts_add(now, set->ai_answer_s * TS_SECOND)
                                                 : ts_add(ts_day(now), TS_DAY);
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
    if (!a->out.again)
        TRY(chat_message_append(tx, mem, c, &user, TS_NONE, a->r->now, &a->out.user_message));
    struct chat_message answer = {.id = SV_NULL,
                                  .parent = a->out.user_message,
                                  .role = SV("assistant"),
                                  .content = SV(""),
                                  .status = SV("streaming"),
                                  .stop = SV_NULL,
                                  .model = a->r->app->set.ai_model};
    TRY(chat_message_append(tx, mem, c, &answer, ts_add(clock_wall(), TURN_LEASE_MS), a->r->now,
                            &a->out.answer));
    return turn_ticket_keep(tx, mem, c->id, a->out.answer, &a->out.ticket);
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

static err load_locale(struct db_tx *tx, struct arena *mem, const struct req *r, sv *locale)
{
    struct account account;
    *locale = req_header(r, "accept-language");
    if (user_id_none(&r->member))
        return OK;
    TRY(account_get(tx, mem, &r->member, &account));
    if (account.locale.n > 0)
        *locale = account.locale;
    return OK;
}

sv turn_crisis_json(const struct req *r, struct arena *mem, bool crisis, sv locale)
{
    if (!crisis)
        return SV_NULL;
    struct help_line line = safety_help_line(r->app->catalog->help_lines, locale);
    BUF_AUTO data = {0};
    struct jw w = {.out = &data};
    jw_obj(&w);
    jw_kstr(&w, "country", line.country);
    jw_kstr(&w, "name", line.name);
    jw_kstr(&w, "phone", line.phone);
    jw_kstr(&w, "url", line.url);
    jw_obj_end(&w);
    return arena_sv(mem, buf_sv(&data));
}

const char *turn_crisis_of(const struct said *said)
{
    const char *language = safety_crisis(said->content);
    return language == NULL && safety_phq9_item9(said->phq9_item9) ? "phq9" : language;
}

err turn_locale(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return load_locale(tx, mem, a->r, &a->out.locale);
}

err turn_admit(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    struct req *r = a->r;
    const char *language = turn_crisis_of(&a->said);
    a->out = (struct admitted){.crisis = language != NULL};
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
    TRY(load_locale(tx, mem, r, &a->out.locale));
    return load_history(tx, mem, a);
}

err turn_find(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct one_message *m = arg;
    struct chat_owner owner = chat_owner_of(m->r);
    struct chat_message_get_row row;
    bool found;
    TRY(chat_conversation_get(tx, mem, &owner, m->conversation_id, &m->conversation));
    TRY(q_chat_message_get(
        tx, mem,
        &(struct chat_message_get_in){.id = m->message_id, .conversation_id = m->conversation.id},
        &row, &found));
    if (!found || !sv_is(row.role, "assistant"))
        return FAIL(ERR_NOT_FOUND, "There is no such answer.");
    m->answer = row.id;
    m->parent = row.parent_id;
    m->streaming = sv_is(row.status, "streaming");
    m->crisis = SV_NULL;
    m->notice = SV_NULL;
    if (m->conversation.notice_at.ms == row.created_at.ms)
        m->notice = sv_from(safety_notice_text);
    return OK;
}

/* What the person said raised the help line: it is shown again. */
static err find_crisis(struct db_tx *tx, struct arena *mem, struct one_message *m)
{
    struct chat_message_get_row said;
    sv content, locale;
    bool found;
    if (m->parent.p == NULL)
        return OK;
    TRY(q_chat_message_get(
        tx, mem,
        &(struct chat_message_get_in){.id = m->parent, .conversation_id = m->conversation.id},
        &said, &found));
    if (!found)
        return OK;
    TRY(chat_body_unseal(mem, m->conversation.id, said.id, said.body, said.key_id, &content));
    TRY(load_locale(tx, mem, m->r, &locale));
    m->crisis = turn_crisis_json(m->r, mem, safety_crisis(content) != NULL, locale);
    return OK;
}

err turn_look(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct one_message *m = arg;
    struct chat_owner owner = chat_owner_of(m->r);
    TRY(turn_find(tx, mem, m));
    TRY(find_crisis(tx, mem, m));
    return chat_quota_get(tx, mem, m->r->app, &owner, m->r->now, &m->quota);
}

err turn_ask_stop(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct one_message *m = arg;
    TRY(turn_find(tx, mem, arg));
    return q_chat_turn_ask_stop(
        tx, mem,
        &(struct chat_turn_ask_stop_in){.id = m->answer, .conversation_id = m->conversation.id},
        NULL);
}
