/* A better title than the first words: asked of the AI after the first answer. */
#include "app/app.h"
#include "chat/chat_api.h"
#include "ext/ai_request.h"
#include "queries.h"

struct title {
    struct job *j;
    sv conversation, question, title;
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
    if (t->title.n == 0)
        return OK;
    return q_chat_conversation_suggest(
        tx, mem, &(struct chat_conversation_suggest_in){.id = t->conversation, .title = t->title},
        NULL);
}

static err ask(struct job *j, const struct title *t, sv *out)
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
        .system = SV("Give this message a title of at most six words, in its own language. Answer "
                     "with the title alone."),
        .said = &said,
        .nsaid = 1,
        .user = t->conversation,
    };
    ai_request_build(j->mem, &q, &call);
    call.timeout_ms = 30000;
    TRY(http_fetch(j->mem, &call, &answer));
    if (answer.status < 200 || answer.status > 299)
        return FAIL(ERR_UPSTREAM, "the AI answered %d", answer.status);
    struct ai_stream s = {.dialect = q.dialect};
    ai_stream_feed(&s, answer.body);
    if (ai_stream_stop(&s) == AI_COMPLETE)
        *out = arena_sv(j->mem, chat_title_of(j->mem, buf_sv(&s.text)));
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
    TRY(ask(j, &t, &t.title));
    return job_finish(j, store, &t);
}
