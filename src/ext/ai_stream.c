#include "ext/ai_stream.h"
#include "base/json.h"
#include "ext/ai_escape.h"

static const char *const stop_names[] = {
    [AI_RUNNING] = "running",     [AI_COMPLETE] = "complete", [AI_LENGTH] = "length",
    [AI_REFUSED] = "refused",     [AI_ERROR] = "error",       [AI_INTERRUPTED] = "interrupted",
    [AI_CANCELLED] = "cancelled",
};

const char *ai_stop_name(enum ai_stop s)
{
    return stop_names[s];
}

enum ai_stop ai_stop_parse(sv s)
{
    for (int i = AI_RUNNING; i <= AI_CANCELLED; i++)
        if (sv_is(s, stop_names[i]))
            return (enum ai_stop)i;
    return AI_INTERRUPTED;
}

/* Reasons of both dialects: their words do not overlap with other meanings. */
static enum ai_stop reason(sv word)
{
    static const struct {
        const char *word;
        enum ai_stop stop;
    } table[] = {
        {"stop", AI_COMPLETE},          {"end_turn", AI_COMPLETE},
        {"stop_sequence", AI_COMPLETE}, {"length", AI_LENGTH},
        {"max_tokens", AI_LENGTH},      {"model_context_window_exceeded", AI_LENGTH},
        {"content_filter", AI_REFUSED}, {"refusal", AI_REFUSED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (sv_is(word, table[i].word))
            return table[i].stop;
    /* tool_use, pause_turn and words to come: it ended by itself. */
    return AI_COMPLETE;
}

static void tokens(const json *usage, const char *in, const char *out, struct ai_stream *s)
{
    int64_t i = json_get_int(usage, in, -1), o = json_get_int(usage, out, -1);
    if (i >= 0) {
        s->input_tokens = i;
        s->has_input = true;
    }
    if (o >= 0) {
        s->output_tokens = o;
        s->has_output = true;
    }
}

/* Behind a 200 an error has no status, but a type or a code that means one. ai/CONTRACT §5 */
static bool passes(const json *error)
{
    static const char *const words[] = {"overloaded", "rate_limit", "api_error", "server_error",
                                        "timeout"};
    sv type = json_get_str(error, "type"), code = json_get_str(error, "code");
    int64_t status = json_get_int(error, "code", 0);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sv_contains(type, sv_from(words[i])) || sv_contains(code, sv_from(words[i])))
            return true;
    return status == 408 || status == 409 || status == 429 || (status >= 500 && status <= 599);
}

static void fail(struct ai_stream *s, const json *error)
{
    s->failed = true;
    s->overloaded = passes(error);
}

/* What would go beyond the bound is left out, and the rest of the stream with it. */
static void add_text(struct ai_stream *s, sv text)
{
    if (s->text.n + text.n <= AI_TEXT_MAX) {
        buf_add(&s->text, text);
        return;
    }
    s->reason = AI_LENGTH;
    s->ended = true;
}

static void openai_event(struct ai_stream *s, const json *chunk)
{
    const json *error = json_get(chunk, "error");
    if (json_kind(error) == JK_OBJ || json_kind(error) == JK_STR) {
        fail(s, error);
        return;
    }
    tokens(json_get(chunk, "usage"), "prompt_tokens", "completion_tokens", s);
    const json *choice = json_at(json_get(chunk, "choices"), 0);
    const json *delta = json_get(choice, "delta");
    sv content = json_get_str(delta, "content"), refusal = json_get_str(delta, "refusal");
    if (content.n > 0)
        add_text(s, content);
    if (refusal.n > 0) {
        s->refusal = true;
        add_text(s, refusal);
    }
    sv finish = json_get_str(choice, "finish_reason");
    if (finish.n > 0 && !s->ended)
        s->reason = reason(finish);
}

static void anthropic_event(struct ai_stream *s, const json *event)
{
    sv type = json_get_str(event, "type");
    if (sv_is(type, "error")) {
        fail(s, json_get(event, "error"));
    } else if (sv_is(type, "message_start")) {
        tokens(json_path(event, "message.usage"), "input_tokens", "output_tokens", s);
    } else if (sv_is(type, "content_block_start")) {
        sv text = json_str(json_path(event, "content_block.text"));
        if (text.n > 0)
            add_text(s, text);
    } else if (sv_is(type, "content_block_delta")) {
        sv text = json_str(json_path(event, "delta.text"));
        if (text.n > 0 && sv_is(json_str(json_path(event, "delta.type")), "text_delta"))
            add_text(s, text);
    } else if (sv_is(type, "message_delta")) {
        tokens(json_get(event, "usage"), "input_tokens", "output_tokens", s);
        sv stop = json_str(json_path(event, "delta.stop_reason"));
        if (stop.n > 0)
            s->reason = reason(stop);
    } else if (sv_is(type, "message_stop")) {
        s->ended = true;
    }
}

static bool parse(struct ai_stream *s, struct arena *mem, sv data, const json **out)
{
    bool good = json_parse(mem, data, out) == OK;
    if (!good) {
        BUF_AUTO mended = {0};
        ai_escape_mend(&mended, data, &s->half);
        good = json_parse(mem, buf_sv(&mended), out) == OK;
    }
    return good && json_kind(*out) == JK_OBJ;
}

static bool one_event(void *arg, sv data)
{
    struct ai_stream *s = arg;
    if (s->dialect == AI_STREAM_OPENAI && sv_is(sv_trim(data), "[DONE]")) {
        s->ended = true;
        return false;
    }
    s->events++;
    if (data.p[0] == ':') /* a gateway's keep-alive that was framed as data */
        return true;
    ARENA_AUTO mem = arena_new(4096);
    const json *event;
    if (!parse(s, mem, data, &event)) {
        s->failed = true;
        return false;
    }
    if (s->dialect == AI_STREAM_OPENAI)
        openai_event(s, event);
    else
        anthropic_event(s, event);
    return !s->failed && !s->ended;
}

/* A whole answer that is no event stream: JSON (an error, most of the time), a page, packed bytes.
 */
static bool foreign(const struct ai_stream *s)
{
    return s->events == 0 && s->begun && memchr("{[<\"\x1f", s->first, 5) != NULL;
}

void ai_stream_feed(struct ai_stream *s, sv bytes)
{
    if (s->failed || s->ended)
        return;
    if (!s->begun) {
        sv rest = sv_trim(bytes);
        s->begun = rest.n > 0;
        s->first = rest.n > 0 ? rest.p[0] : '\0';
    }
    if (sse_feed(&s->sse, bytes, one_event, s) != OK)
        s->failed = true;
}

enum ai_stop ai_stream_stop(const struct ai_stream *s)
{
    if (s->failed || foreign(s))
        return AI_ERROR;
    if (s->refusal)
        return AI_REFUSED;
    if (s->reason != AI_RUNNING)
        return s->reason;
    return AI_INTERRUPTED;
}

void ai_stream_free(struct ai_stream *s)
{
    sse_free(&s->sse);
    buf_free(&s->text);
}
