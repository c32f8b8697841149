/* A better title than the first words: asked of the AI after the first answer. */
#include "app/app.h"
#include "chat/chat_api.h"
#include "chat/turn.h"
#include "ext/ai_request.h"
#include "queries.h"

struct title {
    struct job *j;
    sv conversation, question, title;
    int64_t input, output; /* tokens */
};

static err load(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct title *t = arg;
    struct chat_message *list;
    size_t n;
    TRY(chat_path_list(tx, mem, t->conversation, json_get_str(t->j->payload, "message"), 2, &list,
                       &n));
    t->question = list[n - 1].content;
    return OK;
}

static err store(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct title *t = arg;
    ts now = t->j->now;
    sv owner = json_get_str(t->j->payload, "owner");
    if (owner.n > 0 && t->input + t->output > 0)
        TRY(q_chat_usage_add(tx, mem,
                             &(struct chat_usage_add_in){.owner = owner,
                                                         .day = ts_day(now),
                                                         .model = t->j->app->set.ai_model,
                                                         .turns = 0,
                                                         .input_tokens = t->input,
                                                         .output_tokens = t->output},
                             NULL));
    if (t->title.n == 0)
        return OK;
    return chat_conversation_suggest(tx, mem, t->conversation, t->title, true);
}

static err ask(struct job *j, struct title *t)
{
    const struct settings *set = &j->app->set;
    struct ai_said said = {false, t->question};
    struct http_call call;
    struct http_answer answer;
    struct ai_request q = {
        .dialect = set->ai_dialect == AI_ANTHROPIC ? AI_STREAM_ANTHROPIC : AI_STREAM_OPENAI,
        .base = set->ai_base_url,
        .key = set->ai_api_key,
        .model = set->ai_model,
        .max_tokens = 40,
        .max_tokens_old = set->ai_max_tokens_old,
        .connect_ms = (int)(set->ai_connect_s * 1000),
        .answer_ms = 30000,
        .system = SV("Give this message a title of at most six words, in its own language. Answer "
                     "with the title alone."),
        .said = &said,
        .nsaid = 1,
        .user = t->conversation,
    };
    ai_request_build(j->mem, &q, &call);
    TRY(http_fetch(j->mem, &call, &answer));
    turn_key_refused(answer.status);
    if (answer.status < 200 || answer.status > 299)
        return FAIL(ERR_UPSTREAM, "the AI answered %d", answer.status);
    struct ai_stream s = {.dialect = q.dialect};
    ai_stream_feed(&s, answer.body);
    if (ai_stream_stop(&s) == AI_COMPLETE)
        t->title = arena_sv(j->mem, chat_title_of(j->mem, buf_sv(&s.text)));
    t->input = s.has_input ? s.input_tokens : 0;
    t->output = s.has_output ? s.output_tokens : 0;
    ai_stream_free(&s);
    return OK;
}

err chat_title_run(struct job *j)
{
    struct title t = {
        .j = j, .conversation = json_get_str(j->payload, "conversation"), .title = SV("")};
    err e = db_read(j->db, j->mem, load, &t);
    if (e == ERR_NOT_FOUND || j->app->set.ai_base_url.n == 0)
        return OK; /* deleted meanwhile */
    TRY(e);
    if (turn_paused())
        return FAIL(ERR_UPSTREAM, "the AI refused our key a moment ago");
    TRY(ask(j, &t));
    return job_finish(j, store, &t);
}
