#include "http/inner.h"
#include "test.h"

struct head {
    const char *name, *value;
};

static err gate(const char *method, const char *path, const char *version, const struct head *h,
                size_t n, struct gate_out *out)
{
    ARENA_AUTO mem = arena_new(0);
    struct pairs heads = {0};
    for (size_t i = 0; i < n; i++)
        pairs_add(&heads, mem, sv_from(h[i].name), sv_from(h[i].value));
    struct gate_in in = {sv_from(method), sv_from(path), sv_from(version), &heads};
    return gate_check(&in, out);
}
#define GATE(m, p, v, out, ...)                                                                    \
    gate(m, p, v, (const struct head[]){__VA_ARGS__},                                              \
         sizeof((const struct head[]){__VA_ARGS__}) / sizeof(struct head), out)
#define HOST                                                                                       \
    {                                                                                              \
        "Host", "example.com"                                                                      \
    }

static void good(void **state)
{
    (void)state;
    struct gate_out o;
    assert_int_equal(GATE("GET", "/a/b%20c", "HTTP/1.1", &o, HOST), OK);
    assert_int_equal(o.content_length, -1);
    assert_false(o.chunked);
    assert_int_equal(GATE("POST", "/", "HTTP/1.1", &o, HOST, {"content-length", "12"}), OK);
    assert_int_equal(o.content_length, 12);
    assert_int_equal(GATE("POST", "/", "HTTP/1.1", &o, HOST, {"Transfer-Encoding", "Chunked"}), OK);
    assert_true(o.chunked);
    assert_int_equal(GATE("GET", "/", "HTTP/1.0", &o, {"Accept", "*/*"}), OK);
    assert_int_equal(GATE("OPTIONS", "*", "HTTP/1.1", &o, HOST), OK);
    assert_int_equal(GATE("GET", "/", "HTTP/1.1", &o, {"Host", "[::1]:3000"}, {"X", "\xc3\xa4\t"}),
                     OK);
    assert_int_equal(GATE("GET", "/", "HTTP/1.1", &o, HOST, {"Cookie", "a=1"}, {"Cookie", "b=2"}),
                     OK);
}

static void bad(void **state)
{
    (void)state;
    struct gate_out o;
#define BAD(...) assert_int_equal(GATE(__VA_ARGS__), ERR_BAD_REQUEST)
    BAD("GET", "/", "HTTP/1.1", &o, {"Accept", "x"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, HOST);
    BAD("GET", "/", "HTTP/1.0", &o, HOST, HOST);
    BAD("GET", "/", "HTTP/1.1", &o, {"Host", ""});
    BAD("GET", "/", "HTTP/1.1", &o, {"Host", "a b"});
    BAD("GET", "/", "HTTP/1.1", &o, {"Host", "a,b"});
    BAD("GET", "/", "HTTP/1.1", &o, {"Host", "u@b"});
    BAD("GET", "/", "HTTP/2.0", &o, HOST);
    BAD("GET", "/", "", &o, HOST);
    BAD("G ET", "/", "HTTP/1.1", &o, HOST);
    BAD("GET", "http://example.com/", "HTTP/1.1", &o, HOST);
    BAD("CONNECT", "example.com:80", "HTTP/1.1", &o, HOST);
    BAD("GET", "*", "HTTP/1.1", &o, HOST);
    BAD("GET", "", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a#b", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a%", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a%2", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a%zz", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a%00b", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a\x01", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a\x80", "HTTP/1.1", &o, HOST);
    BAD("GET", "/a\\b", "HTTP/1.1", &o, HOST);
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"Bad Name", "x"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"", "x"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"Host ", "x"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"X", "a\rb"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"X", "a\x7f"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "1"}, {"Content-Length", "1"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "1, 1"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "-1"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "+1"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "0x1"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", ""});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "99999999999999999999"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Content-Length", "1"},
        {"Transfer-Encoding", "chunked"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Transfer-Encoding", "gzip, chunked"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Transfer-Encoding", "identity"});
    BAD("POST", "/", "HTTP/1.1", &o, HOST, {"Transfer-Encoding", "chunked"},
        {"Transfer-Encoding", "chunked"});
    BAD("POST", "/", "HTTP/1.0", &o, HOST, {"Transfer-Encoding", "chunked"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"Authorization", "Bearer a"}, {"authorization", "b"});
    BAD("GET", "/", "HTTP/1.1", &o, HOST, {"Origin", "http://a"}, {"Origin", "http://b"});
#undef BAD
}

static void decoding(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    sv out;
    assert_true(percent_decode(mem, SV("a%2fb+c"), false, &out));
    assert_true(sv_is(out, "a/b+c"));
    assert_true(percent_decode(mem, SV("a+c%2B"), true, &out));
    assert_true(sv_is(out, "a c+"));
    assert_false(percent_decode(mem, SV("%"), true, &out));
    assert_false(percent_decode(mem, SV("%0"), true, &out));
    assert_false(percent_decode(mem, SV("%g0"), true, &out));
    assert_false(percent_decode(mem, SV("a%00"), true, &out));
    struct pairs p = {0};
    assert_true(form_parse(mem, SV("List-Unsubscribe=One-Click&&a=%20&b&c=x=y"), &p));
    assert_int_equal(p.n, 4);
    assert_true(sv_is(p.v[0].value, "One-Click"));
    assert_true(sv_is(p.v[1].value, " "));
    assert_true(sv_is(p.v[2].name, "b") && p.v[2].value.n == 0);
    assert_true(sv_is(p.v[3].value, "x=y"));
    struct pairs none = {0};
    assert_true(form_parse(mem, SV(""), &none));
    assert_int_equal(none.n, 0);
    assert_false(form_parse(mem, SV("a=%zz"), &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
