#include "base/calendar.h"
#include "base/json.h"
#include "test.h"

#include <stdio.h>

static void strictness(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        err want;
    } cases[] = {
        {"{\"a\":1}", OK},
        {"{\"a\":1,\"a\":2}", ERR_JSON_DUPLICATE},
        {"{\"a\":9223372036854775807}", OK},
        {"{\"a\":9223372036854775808}", ERR_JSON_NUMBER},
        {"{\"a\":1e999}", ERR_JSON_NUMBER},
        {"{\"a\":\"\\u0000\"}", ERR_JSON_NUL},
        {"{\"a\":\"\xff\"}", ERR_JSON_UTF8},
        {"{\"a\":\"\\ud800\"}", ERR_JSON_SYNTAX},
        {"\xef\xbb\xbf{}", ERR_JSON_SYNTAX},
        {"{\"a\":\"\\ude00\"}", ERR_JSON_SYNTAX},
        {"{\"a\":\"\\ud83d\\u0041\"}", ERR_JSON_SYNTAX},
        {"{\"a\":\"\\ud83d\\ude00 \\\\ud83d\"}", OK},
        {"{}x", ERR_JSON_SYNTAX},
        {"{}\"x", ERR_JSON_SYNTAX}, /* a string that never ends behind the value */
        {"[]\"", ERR_JSON_SYNTAX},
        {"1 \"x", ERR_JSON_SYNTAX},
        {"1 2", ERR_JSON_SYNTAX},
        {"{} []", ERR_JSON_SYNTAX},
        {" [1] \t\r\n", OK},
        {"[1,\v2]", ERR_JSON_SYNTAX},
        {"[\"\v\"]", ERR_JSON_SYNTAX},
        {"[1\f]", ERR_JSON_SYNTAX},
        {"[1]/**/", ERR_JSON_SYNTAX},
        {"[01]", ERR_JSON_SYNTAX},
        {"[1.]", ERR_JSON_SYNTAX},
        {"[-]", ERR_JSON_SYNTAX},
        {"[-0]", OK},
        {"", ERR_JSON_SYNTAX},
        {"[1,]", ERR_JSON_SYNTAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ARENA_AUTO mem = arena_new(0);
        const json *j;
        err got = json_parse(mem, sv_from(cases[i].text), &j);
        if (got != cases[i].want)
            fail_msg("%s: %s", cases[i].text, err_name(got));
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    for (int depth = JSON_DEPTH - 1; depth <= JSON_DEPTH + 1; depth++) {
        ARENA_AUTO mem = arena_new(0);
        BUF_AUTO b = {0};
        const json *j;
        for (int i = 0; i < depth; i++)
            buf_char(&b, '[');
        buf_add(&b, SV("\"]]]\\\"[[[\""));
        for (int i = 0; i < depth; i++)
            buf_char(&b, ']');
        assert_int_equal(json_parse(mem, buf_sv(&b), &j), depth > JSON_DEPTH ? ERR_JSON_DEPTH : OK);
    }
}

/* A bracket counts or not by where its string ends: after any number of backslashes. */
static void depth_knows_strings(void **state)
{
    (void)state;
    for (int slashes = 0; slashes < 6; slashes++) {
        ARENA_AUTO mem = arena_new(0);
        BUF_AUTO b = {0};
        const json *j;
        for (int i = 0; i < JSON_DEPTH; i++)
            buf_char(&b, '[');
        buf_char(&b, '"');
        for (int i = 0; i < slashes; i++)
            buf_char(&b, '\\');
        buf_add(&b, slashes % 2 ? SV("\",[0],\"") : SV("\",[0],\"\""));
        for (int i = 0; i < JSON_DEPTH; i++)
            buf_char(&b, ']');
        assert_int_equal(json_parse(mem, buf_sv(&b), &j), slashes % 2 ? OK : ERR_JSON_DEPTH);
    }
}

static void reading(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    const json *j;
    assert_int_equal(
        json_parse(mem,
                   SV("{\"s\":\"x\",\"n\":null,\"i\":7,\"r\":8.0,\"h\":1.5,\"b\":true,"
                      "\"o\":{\"id\":\"sub_1\"},\"l\":[{\"p\":{\"q\":5}}],\"t\":1700000000}"),
                   &j),
        OK);
    assert_true(sv_is(json_get_str(j, "s"), "x"));
    assert_null(json_get_str(j, "i").p);
    assert_int_equal(json_get_int(j, "i", -1), 7);
    assert_int_equal(json_get_int(j, "r", -1), 8);
    assert_int_equal(json_get_int(j, "h", -1), -1);
    assert_true(json_get_bool(j, "b", false));
    assert_true(sv_is(json_id(json_get(j, "o")), "sub_1"));
    assert_true(sv_is(json_id(json_get(j, "s")), "x"));
    assert_int_equal(json_int(json_path(j, "l.0.p.q"), 0), 5);
    assert_null(json_path(j, "l.1.p.q"));
    assert_null(json_path(j, "s.x"));
    assert_int_equal(json_kind(json_get(j, "n")), JK_NULL);
    assert_int_equal(json_kind(json_get(j, "none")), JK_NONE);
    assert_int_equal(json_get_unix(j, "t").ms, 1700000000000);
    assert_true(ts_is_none(json_get_unix(j, "n")));
    size_t n = 0;
    for (struct json_iter it = json_iter(j); json_next(&it);)
        n += it.key.n;
    assert_int_equal(n, 9);
    n = 0;
    for (struct json_iter it = json_iter(json_get(j, "l")); json_next(&it);)
        n++;
    assert_int_equal(n, 1);
    assert_true(sv_is(json_text(mem, json_get(j, "o")), "{\"id\":\"sub_1\"}"));
}

/* More members than are looked up in a table, more values than lie on the stack, and a key that
 * stands twice among few and among many, wherever it stands. */
static void many_members(void **state)
{
    (void)state;
    static const int sizes[] = {2, 63, 64, 65, 126, 127, 128, 129, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int twice = -1; twice < sizes[s]; twice += 1 + sizes[s] / 7) {
            ARENA_AUTO mem = arena_new(0);
            BUF_AUTO b = {0};
            const json *j;
            for (int i = 0; i < sizes[s]; i++)
                buf_printf(&b, "%c\"k%d\":[%d,\"\\n\",%d.5]", i ? ',' : '{', i, i, i);
            if (twice >= 0)
                buf_printf(&b, ",\"\\u006b%d\":1", twice);
            buf_char(&b, '}');
            err e = json_parse(mem, buf_sv(&b), &j);
            assert_int_equal(e, twice >= 0 ? ERR_JSON_DUPLICATE : OK);
            if (e != OK)
                continue;
            assert_int_equal(json_len(j), sizes[s]);
            int i = 0;
            for (struct json_iter it = json_iter(j); json_next(&it); i++) {
                assert_true(sv_eq(it.key, arena_printf(mem, "k%d", i)));
                assert_int_equal(json_int(json_at(it.value, 0), -1), i);
                assert_true(sv_is(json_str(json_at(it.value, 1)), "\n"));
                assert_null(json_at(it.value, 3));
            }
            assert_int_equal(json_int(json_path(j, "k1.0"), -1), 1);
        }
    }
}

/* Keys that begin, end and are as long as each other are told apart, and found when they repeat. */
static void keys_alike(void **state)
{
    (void)state;
    for (size_t middle = 0; middle < 40; middle++) {
        ARENA_AUTO mem = arena_new(0);
        sv fill = {"........................................", middle};
        sv key[2];
        for (int i = 0; i < 2; i++)
            key[i] = arena_printf(mem, "beginning%.*s%dthe end!", SV_ARG(fill), i);
        for (int twice = 0; twice < 2; twice++) {
            const json *j;
            sv text = arena_printf(mem, "{\"%.*s\":0,\"\":1,\"%.*s\":2,\"x\":3}", SV_ARG(key[0]),
                                   SV_ARG(key[!twice]));
            err e = json_parse(mem, text, &j);
            assert_int_equal(e, twice ? ERR_JSON_DUPLICATE : OK);
            if (e == OK)
                assert_int_equal(json_get_int(j, key[1].p, -1), 2);
        }
    }
}

/* UTF-8 is looked over 32 bytes at a time: whole and cut sequences at every place of them. */
static void utf8_everywhere(void **state)
{
    (void)state;
    static const char *const sequences[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t s = 0; s < 3; s++) {
        sv seq = sv_from(sequences[s]);
        for (size_t before = 0; before < 70; before++) {
            char text[160];
            size_t n = 0;
            for (; n < before; n++)
                text[n] = 'a';
            memcpy(text + n, seq.p, seq.n);
            assert_true(sv_valid_utf8((sv){text, n + seq.n}));
            for (size_t cut = 1; cut < seq.n; cut++) {
                assert_false(sv_valid_utf8((sv){text, n + cut}));
                memset(text + n + cut, 'a', 64);
                assert_false(sv_valid_utf8((sv){text, n + cut + 64}));
                memcpy(text + n, seq.p, seq.n);
            }
            memset(text + n + seq.n, 'a', 64);
            assert_true(sv_valid_utf8((sv){text, n + seq.n + 64}));
        }
    }
}

/* The string never ends where the pool of strings does: what the text ends with is kept whole. */
static void alone(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    const json *j;
    assert_int_equal(json_parse(mem, SV("1.5"), &j), OK);
    assert_true(sv_is(json_text(mem, j), "1.5"));
    assert_int_equal(json_parse(mem, SV("\"\""), &j), OK);
    assert_int_equal(json_str(j).n, 0);
    assert_int_equal(json_parse(mem, (sv){"123", 4}, &j), ERR_JSON_SYNTAX); /* with its NUL */
    assert_int_equal(json_parse(mem, SV(" {\"b\":1e2,\"a\":[true,null]} "), &j), OK);
    assert_true(sv_is(json_text(mem, j), "{\"a\":[true,null],\"b\":1e2}"));
    assert_int_equal(json_get_int(j, "b", 0), 100);
}

static void writing(void **state)
{
    (void)state;
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_obj(&w);
    jw_kstr(&w, "s", SV("a\"\\\n\x01\xc3\xa9\xff\x7f"));
    jw_key(&w, "l");
    jw_arr(&w);
    jw_int(&w, INT64_MIN);
    jw_bool(&w, false);
    jw_null(&w);
    jw_obj(&w);
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_kts(&w, "t", (ts){0});
    jw_kstr(&w, "n", SV_NULL);
    jw_obj_end(&w);
    assert_string_equal(b.p, "{\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\\u007f\","
                             "\"l\":[-9223372036854775808,false,null,{}],"
                             "\"t\":\"1970-01-01T00:00:00Z\",\"n\":null}");
    ARENA_AUTO mem = arena_new(0);
    const json *j;
    assert_int_equal(json_parse(mem, buf_sv(&b), &j), OK);
}

/* Every byte at every place among plain ones: what is written is read back, and nothing but what
 * must be escaped. */
static void every_byte_everywhere(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x80; c++)
        for (size_t n = 1; n <= 24; n++)
            for (size_t at = 0; at < n; at++) {
                ARENA_AUTO mem = arena_new(0);
                BUF_AUTO b = {0};
                struct jw w = {.out = &b};
                char text[24];
                for (size_t i = 0; i < n; i++)
                    text[i] = (char)("~ !#[]^_`az09"[(i + at) % 13]);
                text[at] = (char)c;
                jw_str(&w, (sv){text, n});
                bool escaped = c < 0x20 || c == 0x7f || c == '"' || c == '\\';
                assert_int_equal(b.n > n + 2, escaped);
                assert_int_equal(strlen(b.p), b.n);
                if (c == 0)
                    continue; /* we do not read it: PostgreSQL could not keep it */
                BUF_AUTO list = {0};
                buf_printf(&list, "{\"k\":%s}", b.p);
                const json *j;
                assert_int_equal(json_parse(mem, buf_sv(&list), &j), OK);
                assert_true(sv_eq(json_get_str(j, "k"), (sv){text, n}));
            }
}

/* Oracle: printf. */
static void times(void **state)
{
    (void)state;
    for (int i = 0; i < 15000; i++) {
        BUF_AUTO b = {0};
        struct jw w = {.out = &b};
        char want[64];
        ts t = {(int64_t)i * 15778800037 + (i % 3 ? 0 : -(int64_t)i * 15778800037 % 1000)};
        struct civil c = civil_from_ts(t);
        int n = snprintf(want, sizeof want, "[\"%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month,
                         c.day, c.hour, c.minute, c.second);
        if (c.ms)
            n += snprintf(want + n, sizeof want - (size_t)n, ".%03d", c.ms);
        snprintf(want + n, sizeof want - (size_t)n, "Z\",null]");
        jw_arr(&w);
        jw_ts(&w, t);
        jw_ts(&w, TS_NONE);
        jw_arr_end(&w);
        assert_string_equal(b.p, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strictness),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(depth_knows_strings),
        cmocka_unit_test(reading),
        cmocka_unit_test(many_members),
        cmocka_unit_test(keys_alike),
        cmocka_unit_test(utf8_everywhere),
        cmocka_unit_test(alone),
        cmocka_unit_test(writing),
        cmocka_unit_test(every_byte_everywhere),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
