#include "base/crypto.h"
#include "http/client.h"
#include "http/inner.h"
#include "test.h"

static void visitors(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    sv key = SV("0123456789abcdef0123456789abcdef"), other = SV("1123456789abcdef0123456789abcdef");
    visitor_id id = visitor_id_new((ts){1700000000000}), got = {{0}};
    sv cookie = visitor_cookie_make(mem, key, &id);
    assert_true(visitor_cookie_read(key, cookie, &got));
    assert_string_equal(got.s, id.s);
    assert_false(visitor_cookie_read(other, cookie, &got));
    assert_false(visitor_cookie_read(key, SV(""), &got));
    assert_false(visitor_cookie_read(key, SV("anon_x.y"), &got));
    assert_false(visitor_cookie_read(key, (sv){cookie.p, cookie.n - 1}, &got));
    for (size_t i = 0; i < cookie.n; i++) { /* no byte may be changed */
        char *copy = arena_cstr(mem, cookie);
        copy[i] = copy[i] == 'b' ? 'c' : 'b';
        assert_false(visitor_cookie_read(key, (sv){copy, cookie.n}, &got));
    }
}

static void header(void **state)
{
    (void)state;
    static struct http_server s;
    static struct http_conn x;
    ARENA_AUTO mem = arena_new(0);
    x.s = &s;
    x.r = (struct req){.conn = &x, .mem = mem, .reply = &x.reply};
    pairs_add(&x.heads, mem, SV("cookie"), SV("a=1; mb_session=t1; b=\"q\""));
    pairs_add(&x.heads, mem, SV("Cookie"), SV("__Host-mb_session=t2;c="));
    assert_true(sv_is(req_cookie(&x.r, "a"), "1"));
    assert_true(sv_is(req_cookie(&x.r, "b"), "q"));
    assert_true(sv_is(req_cookie(&x.r, "c"), ""));
    assert_null(req_cookie(&x.r, "d").p);
    assert_true(sv_is(req_cookie(&x.r, "mb_session"), "t1"));
    s.origins.secure = true; /* then the bare name is somebody else's */
    assert_true(sv_is(req_cookie(&x.r, "mb_session"), "t2"));
    assert_true(sv_is(req_cookie(&x.r, "__Host-mb_session"), "t2"));
    assert_null(req_cookie(&x.r, "a").p);
    reply_reset(&x.reply);
    reply_cookie(&x.r, "mb_session", SV("v"), 60);
    assert_string_equal(x.reply.heads[0].value,
                        "__Host-mb_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    s.origins.secure = false;
    reply_cookie(&x.r, "mb_session", SV(""), 0);
    assert_string_equal(x.reply.heads[1].value,
                        "mb_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}

static void origins(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct origins o;
    origins_init(&o, mem, SV("https://my.example/app"),
                 SV("https://a.example, https://b.example/"));
    assert_true(o.secure);
    struct route plain = {0}, exempt = {.same_origin_exempt = true};
    static const struct {
        enum method m;
        enum auth_via via;
        bool exempt;
        const char *origin; /* NULL: none */
        bool ok;
    } cases[] = {
        {POST, VIA_COOKIE, false, "https://my.example", true},
        {POST, VIA_COOKIE, false, "https://a.example", true},
        {POST, VIA_COOKIE, false, "https://b.example", true},
        {POST, VIA_COOKIE, false, "http://my.example", false},
        {POST, VIA_COOKIE, false, "https://my.example.evil", false},
        {POST, VIA_COOKIE, false, "null", false},
        {POST, VIA_COOKIE, false, "", false},
        {POST, VIA_COOKIE, false, NULL, false},
        {DELETE, VIA_COOKIE, false, NULL, false},
        {GET, VIA_COOKIE, false, "https://evil.example", true},
        {GET, VIA_COOKIE, false, NULL, true},
        {POST, VIA_NONE, false, NULL, true},
        {POST, VIA_NONE, false, "https://evil.example", false},
        {POST, VIA_NONE, true, "https://evil.example", true},
        {POST, VIA_BEARER, false, "https://evil.example", true},
        {POST, VIA_SECRET_KEY, false, NULL, true},
        {POST, VIA_JWT, false, "null", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct req r = {
            .method = cases[i].m, .via = cases[i].via, .route = cases[i].exempt ? &exempt : &plain};
        err e = origin_check(&o, &r, sv_from(cases[i].origin));
        if (e != (cases[i].ok ? OK : ERR_ORIGIN))
            fail_msg("case %zu", i);
    }
    origins_init(&o, mem, SV("http://127.0.0.1:3000"), SV_NULL);
    assert_false(o.secure);
    assert_true(origin_own(&o, SV("http://127.0.0.1:3000")));
    assert_false(origin_own(&o, SV("http://127.0.0.1:3001")));
    assert_true(origin_own(&o, SV("http://localhost:3000")));
    assert_true(origin_own(&o, SV("http://[::1]:3000")));
    assert_false(origin_own(&o, SV("http://localhost:30000")));
    assert_false(origin_own(&o, SV("http://localhost.evil:3000")));
    assert_false(origin_own(&o, SV("https://localhost:3000")));
}

static void proxies(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct proxies p;
    proxies_init(&p, mem, SV("10.0.0.0/8, 127.0.0.1, fd00::/8"));
    static const struct {
        const char *peer, *forwarded, *client;
    } cases[] = {
        {"8.8.8.8", "1.2.3.4", "8.8.8.8"}, /* not trusted: not believed */
        {"127.0.0.1", NULL, "127.0.0.1"},
        {"127.0.0.1", "1.2.3.4", "1.2.3.4"},
        {"10.9.8.7", "6.6.6.6, 1.2.3.4", "1.2.3.4"}, /* what the client made up is further left */
        {"10.9.8.7", "1.2.3.4, 10.1.1.1", "1.2.3.4"},
        {"127.0.0.2", "1.2.3.4", "127.0.0.2"},
        {"fd00::1", "2001:DB8::1", "2001:db8::1"},
        {"127.0.0.1", "[2001:db8::1]:55", "2001:db8::1"},
        {"127.0.0.1", "1.2.3.4:99", "1.2.3.4"},
        {"127.0.0.1", "1.2.3.4, nonsense", "127.0.0.1"},
        {"127.0.0.1", "", "127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pairs h = {0};
        char out[ADDRESS_MAX];
        if (cases[i].forwarded != NULL)
            pairs_add(&h, mem, SV("x-forwarded-for"), sv_from(cases[i].forwarded));
        proxies_client(&p, cases[i].peer, &h, out);
        if (strcmp(out, cases[i].client) != 0)
            fail_msg("case %zu: %s", i, out);
    }
}

static void forms(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO b = {0};
    form_add(&b, "metadata[userId]", SV("usr a&b=ä"));
    form_add_int(&b, "n", -5);
    form_add(&b, "empty", SV(""));
    assert_string_equal(b.p, "metadata[userId]=usr%20a%26b%3D%C3%A4&n=-5&empty=");
    assert_true(sv_is(url_encode(mem, SV("a/b c~")), "a%2Fb%20c~"));
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(visitors), cmocka_unit_test(header), cmocka_unit_test(origins),
        cmocka_unit_test(proxies),  cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
