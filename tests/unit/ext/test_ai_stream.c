/* Every stream of tests/data/ai, cut at every position and read byte by byte, ends as expected.json
 * says. */
#include "base/json.h"
#include "ext/ai_stream.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static sv slurp(struct arena *mem, const char *name)
{
    sv path = arena_printf(mem, "%s/%s", TEST_DATA "/ai", name);
    FILE *f = fopen(path.p, "rb");
    assert_non_null(f);
    char *p = arena_alloc(mem, 1 << 20);
    size_t n = fread(p, 1, 1 << 20, f);
    fclose(f);
    return (sv){p, n};
}

static void compare(const struct ai_stream *s, const json *want, const char *file, size_t cut)
{
    const json *in = json_get(want, "input_tokens"), *out = json_get(want, "output_tokens");
    bool same = sv_eq(buf_sv(&s->text), json_get_str(want, "text")) &&
                sv_is(json_get_str(want, "stop"), ai_stop_name(ai_stream_stop(s))) &&
                s->has_input == (json_kind(in) == JK_INT) &&
                s->has_output == (json_kind(out) == JK_INT) &&
                (!s->has_input || s->input_tokens == json_int(in, -1)) &&
                (!s->has_output || s->output_tokens == json_int(out, -1));
    if (!same)
        fail_msg("%s cut at %zu: text '%.*s', stop %s", file, cut, SV_ARG(buf_sv(&s->text)),
                 ai_stop_name(ai_stream_stop(s)));
}

static void every_stream_every_cut(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    const json *expected;
    assert_int_equal(json_parse(mem, slurp(mem, "expected.json"), &expected), OK);
    const json *cases = json_get(expected, "cases");
    assert_true(json_len(cases) >= 15);
    for (size_t c = 0; c < json_len(cases); c++) {
        const json *want = json_at(cases, c);
        sv file = json_get_str(want, "file");
        sv bytes = slurp(mem, file.p);
        enum ai_dialect_kind dialect =
            sv_is(json_get_str(want, "dialect"), "openai") ? AI_STREAM_OPENAI : AI_STREAM_ANTHROPIC;
        for (size_t cut = 0; cut <= bytes.n; cut++) {
            struct ai_stream s = {.dialect = dialect};
            ai_stream_feed(&s, (sv){bytes.p, cut});
            ai_stream_feed(&s, (sv){bytes.p + cut, bytes.n - cut});
            compare(&s, want, file.p, cut);
            ai_stream_free(&s);
        }
        struct ai_stream s = {.dialect = dialect};
        for (size_t i = 0; i < bytes.n; i++)
            ai_stream_feed(&s, (sv){bytes.p + i, 1});
        compare(&s, want, file.p, 1);
        ai_stream_free(&s);
    }
}

static void odd_input(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum ai_stop stop;
    } cases[] = {
        {"", AI_INTERRUPTED},
        {"data: not json\n\n", AI_ERROR},
        {"data: [1]\n\n", AI_ERROR},
        {"data: {\"error\":{\"type\":\"x\"}}\n\n", AI_ERROR},
        {"data: {\"choices\":[]}\r\rdata: [DONE]\r\r", AI_INTERRUPTED},
        {"data:{\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\r\n\r\n", AI_COMPLETE},
        {"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n", AI_INTERRUPTED /* never ended */},
        {"\n\n: only comments\n\n", AI_INTERRUPTED},
        {"data:\n\ndata\n\nevent: x\n\n", AI_INTERRUPTED /* events without data */},
        {"{\"error\":{\"message\":\"no stream at all\"}}", AI_ERROR},
        {"\r\n<html>a page</html>\n\n", AI_ERROR},
        {"\x1f\x8b packed", AI_ERROR},
        {"{\"a\":1}\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n", AI_COMPLETE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ai_stream s = {.dialect = AI_STREAM_OPENAI};
        ai_stream_feed(&s, sv_from(cases[i].bytes));
        if (ai_stream_stop(&s) != cases[i].stop)
            fail_msg("%s: %s", cases[i].bytes, ai_stop_name(ai_stream_stop(&s)));
        ai_stream_free(&s);
    }
}

/* Text that is cut inside a character, by a provider that counts in UTF-16, or that holds a NUL. */
static void halves_of_characters(void **state)
{
    (void)state;
    static const struct {
        const char *parts[3], *text;
    } cases[] = {
        {{"Gr\\u00fc\\u00df \\ud83c\\udf31", "", ""}, "Grüß 🌱"},
        {{"a \\ud83c", "\\udf31 b", ""}, "a 🌱 b"},
        {{"a \\uD83C", "\\uDF31\\ud83c", "\\udf31"}, "a 🌱🌱"},
        {{"a \\ud83c b", "c", ""}, "a \xef\xbf\xbd bc"},
        {{"a", "\\udf31 b", ""}, "a\xef\xbf\xbd b"},
        {{"a\\u0000b", "", ""},
         "a\xef\xbf\xbd"
         "b"},
        {{"\\\\ud83c", "\\\\u0000", ""}, "\\ud83c\\u0000"}, /* no escapes at all */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ai_stream s = {.dialect = AI_STREAM_OPENAI};
        for (size_t k = 0; k < 3; k++) {
            BUF_AUTO event = {0};
            buf_printf(&event, "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n",
                       cases[i].parts[k]);
            ai_stream_feed(&s, buf_sv(&event));
        }
        if (!sv_is(buf_sv(&s.text), cases[i].text) || s.failed)
            fail_msg("%s: %.*s", cases[i].text, SV_ARG(buf_sv(&s.text)));
        ai_stream_free(&s);
    }
}

/* Errors behind a 200 that will pass. */
static void errors_that_pass(void **state)
{
    (void)state;
    static const struct {
        const char *error;
        bool passes;
    } cases[] = {
        {"{\"type\":\"overloaded_error\"}", true},
        {"{\"type\":\"rate_limit_error\"}", true},
        {"{\"type\":\"api_error\"}", true},
        {"{\"type\":\"server_error\"}", true},
        {"{\"type\":\"timeout_error\"}", true},
        {"{\"code\":429}", true},
        {"{\"code\":502}", true},
        {"{\"code\":\"rate_limit_exceeded\"}", true},
        {"{\"code\":400}", false},
        {"{\"type\":\"invalid_request_error\"}", false},
        {"\"words\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ai_stream s = {.dialect = AI_STREAM_OPENAI};
        BUF_AUTO event = {0};
        buf_printf(&event, "data: {\"error\":%s}\n\n", cases[i].error);
        ai_stream_feed(&s, buf_sv(&event));
        assert_true(s.failed);
        if (s.overloaded != cases[i].passes)
            fail_msg("%s", cases[i].error);
        ai_stream_free(&s);
    }
}

static void an_endless_event_fails(void **state)
{
    (void)state;
    struct ai_stream s = {.dialect = AI_STREAM_ANTHROPIC};
    ai_stream_feed(&s, SV("data: "));
    for (size_t i = 0; i < SSE_EVENT_MAX / 16 + 1; i++)
        ai_stream_feed(&s, SV("aaaaaaaaaaaaaaaa"));
    assert_int_equal(ai_stream_stop(&s), AI_ERROR);
    ai_stream_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stream_every_cut), cmocka_unit_test(odd_input),
        cmocka_unit_test(halves_of_characters),   cmocka_unit_test(errors_that_pass),
        cmocka_unit_test(an_endless_event_fails),
    };
    return cmocka_run_group_tests_name("ai_stream", tests, NULL, NULL);
}
