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
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ai_stream s = {.dialect = AI_STREAM_OPENAI};
        ai_stream_feed(&s, sv_from(cases[i].bytes));
        if (ai_stream_stop(&s) != cases[i].stop)
            fail_msg("%s: %s", cases[i].bytes, ai_stop_name(ai_stream_stop(&s)));
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
        cmocka_unit_test(every_stream_every_cut),
        cmocka_unit_test(odd_input),
        cmocka_unit_test(an_endless_event_fails),
    };
    return cmocka_run_group_tests_name("ai_stream", tests, NULL, NULL);
}
