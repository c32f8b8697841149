#include "ext/ai_request.h"
#include "base/calendar.h"
#include "base/json.h"

static const char *role(const struct ai_said *s)
{
    return s->assistant ? "assistant" : "user";
}

static void message(struct jw *w, const char *who, sv text)
{
    jw_obj(w);
    jw_kstr(w, "role", sv_from(who));
    jw_kstr(w, "content", text);
    jw_obj_end(w);
}

/* Consecutive messages of one role become one, joined by a blank line. */
static void merged(struct arena *mem, struct jw *w, const struct ai_request *q)
{
    for (size_t i = 0; i < q->nsaid;) {
        sv text = q->said[i].text;
        size_t next = i + 1;
        for (; next < q->nsaid && q->said[next].assistant == q->said[i].assistant; next++)
            text = arena_printf(mem, "%.*s\n\n%.*s", SV_ARG(text), SV_ARG(q->said[next].text));
        message(w, role(&q->said[i]), text);
        i = next;
    }
}

static void openai_body(struct arena *mem, struct jw *w, const struct ai_request *q)
{
    jw_kint(w, q->max_tokens_old ? "max_tokens" : "max_completion_tokens", q->max_tokens);
    jw_key(w, "stream_options");
    jw_obj(w);
    jw_kbool(w, "include_usage", true);
    jw_obj_end(w);
    jw_key(w, "messages");
    jw_arr(w);
    if (q->system.n > 0)
        message(w, "system", q->system);
    merged(mem, w, q);
    jw_arr_end(w);
}

static void anthropic_body(struct arena *mem, struct jw *w, const struct ai_request *q)
{
    jw_kint(w, "max_tokens", q->max_tokens);
    if (q->system.n > 0)
        jw_kstr(w, "system", q->system);
    if (q->user.n > 0) {
        jw_key(w, "metadata");
        jw_obj(w);
        jw_kstr(w, "user_id", q->user);
        jw_obj_end(w);
    }
    jw_key(w, "messages");
    jw_arr(w);
    merged(mem, w, q);
    jw_arr_end(w);
}

void ai_request_build(struct arena *mem, const struct ai_request *q, struct http_call *out)
{
    bool openai = q->dialect == AI_STREAM_OPENAI;
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_obj(&w);
    jw_kstr(&w, "model", q->model);
    jw_kbool(&w, "stream", true);
    if (openai)
        openai_body(mem, &w, q);
    else
        anthropic_body(mem, &w, q);
    jw_obj_end(&w);
    struct http_header *h = ARENA_ARRAY(mem, struct http_header, 4);
    size_t n = 0;
    h[n++] = (struct http_header){"Content-Type", SV("application/json")};
    h[n++] = (struct http_header){"Accept", SV("text/event-stream")};
    if (openai && q->key.n > 0)
        h[n++] =
            (struct http_header){"Authorization", arena_printf(mem, "Bearer %.*s", SV_ARG(q->key))};
    if (!openai) {
        h[n++] = (struct http_header){"anthropic-version", SV("2023-06-01")};
        if (q->key.n > 0)
            h[n++] = (struct http_header){"x-api-key", q->key};
    }
    sv base = q->base;
    while (sv_ends(base, SV("/")))
        base.n--;
    *out = (struct http_call){
        .method = "POST",
        .url =
            arena_printf(mem, "%.*s/%s", SV_ARG(base), openai ? "chat/completions" : "v1/messages"),
        .headers = h,
        .nheaders = n,
        .body = arena_sv(mem, buf_sv(&b)),
        .connect_timeout_ms = q->connect_ms,
        .timeout_ms = q->answer_ms,
    };
}

static sv header(const struct http_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq_nocase(sv_from(headers[i].name), sv_from(name)))
            return headers[i].value;
    return SV_NULL;
}

/* Milliseconds from the answer's Date to an HTTP date in retry-after. */
static bool until_date(sv at, sv date, int64_t *ms)
{
    ts then, now;
    if (!ts_parse_http(at, &then) || !ts_parse_http(date, &now))
        return false;
    *ms = then.ms > now.ms ? then.ms - now.ms : 0;
    return true;
}

#define WAIT_MAX_MS (INT64_C(366) * 86400 * 1000)

static int64_t asked_wait(const struct http_header *headers, size_t n)
{
    int64_t v;
    sv after = header(headers, n, "retry-after");
    if (sv_to_i64(header(headers, n, "retry-after-ms"), &v) && v >= 0)
        return v < WAIT_MAX_MS ? v : WAIT_MAX_MS;
    if (sv_to_i64(after, &v) && v >= 0)
        return v < WAIT_MAX_MS / 1000 ? v * 1000 : WAIT_MAX_MS;
    return until_date(after, header(headers, n, "date"), &v) ? v : -1;
}

bool ai_retryable(int status, const struct http_header *headers, size_t n, int64_t *after_ms)
{
    sv should = header(headers, n, "x-should-retry");
    bool passing = status == 0 || status == 408 || status == 409 || status == 429 || status >= 500;
    *after_ms = asked_wait(headers, n);
    if (sv_is(should, "false"))
        return false;
    return passing || (sv_is(should, "true") && (status < 400 || status > 499));
}
