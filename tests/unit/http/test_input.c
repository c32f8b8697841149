#include "base/crypto.h"
#include "http/inner.h"
#include "test.h"

#include <stdio.h>

static const char *const colours[] = {"red", "green", NULL};

/* A request that was not received. */
struct fake {
    struct http_server s;
    struct http_conn x;
    struct route route;
    struct arena *mem;
};

static struct fake *fake_new(bool lenient)
{
    static struct fake f;
    memset(&f, 0, sizeof f);
    f.mem = arena_new(0);
    f.route = (struct route){.lenient = lenient, .body = BODY_JSON};
    f.x.s = &f.s;
    f.x.r = (struct req){.mem = f.mem, .route = &f.route, .reply = &f.x.reply, .conn = &f.x};
    reply_reset(&f.x.reply);
    return &f;
}

static void fake_free(struct fake *f)
{
    arena_free(f->mem);
}

/* "pointer:code pointer:code" of the mistakes. */
static const char *mistakes(struct fake *f)
{
    BUF_AUTO b = {0};
    for (const struct problem_field *p = f->x.reply.fields; p != NULL; p = p->next)
        buf_printf(&b, "%s%.*s:%s", b.n ? " " : "", SV_ARG(p->pointer), p->code);
    return arena_cstr(f->mem, buf_sv(&b));
}

struct values {
    sv name, text, mail, url;
    int64_t n;
    bool yes;
    ts at;
    const json *obj, *arr;
    int colour;
};

static err read_all(struct fake *f, const char *body, struct values *v)
{
    *v = (struct values){.n = -7, .colour = -1};
    struct field t[] = {
        {"name", FIELD_STR, &v->name, .required = true, .max = 5},
        {"text", FIELD_TEXT, &v->text},
        {"mail", FIELD_EMAIL, &v->mail},
        {"url", FIELD_URL, &v->url},
        {"n", FIELD_INT, &v->n, .min = 1, .max = 5},
        {"yes", FIELD_BOOL, &v->yes},
        {"at", FIELD_TIME, &v->at},
        {"obj", FIELD_OBJ, &v->obj},
        {"arr", FIELD_ARR, &v->arr, .min = 1, .max = 2},
        {"colour", FIELD_ENUM, &v->colour, .values = colours},
    };
    assert_int_equal(json_parse(f->mem, sv_from(body), &f->x.r.json), OK);
    return body_read(&f->x.r, FIELDS(t));
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *body, *mistakes;
    } cases[] = {
        {"{\"name\":\"abc\"}", ""},
        {"{\"name\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"}", ""}, /* five characters */
        {"{\"name\":\"abcdef\"}", "/name:too_long"},
        {"{}", "/name:required"},
        {"{\"name\":null}", "/name:required"},
        {"{\"name\":1}", "/name:type"},
        {"{\"name\":\"a\\nb\"}", "/name:control"},
        {"{\"name\":\"a\\u0085\"}", "/name:control"},
        {"{\"name\":\"a\\u2028\"}", "/name:control"},
        {"{\"name\":\"a\",\"text\":\"a\\nb\\tc\"}", ""},
        {"{\"name\":\"a\",\"text\":\"a\\u0007\"}", "/text:control"},
        {"{\"name\":\"a\",\"x\":1}", "/x:unknown"},
        {"{\"name\":\"a\",\"a/b~\":1}", "/a~1b~0:unknown"},
        {"{\"name\":\"a\",\"userId\":\"usr_x\",\"email\":1}", ""},
        {"{\"name\":\"a\",\"n\":0}", "/n:too_small"},
        {"{\"name\":\"a\",\"n\":6}", "/n:too_large"},
        {"{\"name\":\"a\",\"n\":1.5}", "/n:type"},
        {"{\"name\":\"a\",\"n\":\"3\"}", "/n:type"},
        {"{\"name\":\"a\",\"yes\":\"true\"}", "/yes:type"},
        {"{\"name\":\"a\",\"at\":\"2026-13-01T00:00:00Z\"}", "/at:time"},
        {"{\"name\":\"a\",\"obj\":[]}", "/obj:type"},
        {"{\"name\":\"a\",\"arr\":[]}", "/arr:too_short"},
        {"{\"name\":\"a\",\"arr\":[1,2,3]}", "/arr:too_long"},
        {"{\"name\":\"a\",\"arr\":{}}", "/arr:type"},
        {"{\"name\":\"a\",\"colour\":\"blue\"}", "/colour:enum"},
        {"{\"name\":\"a\",\"colour\":1}", "/colour:type"},
        {"{\"name\":7,\"n\":9,\"zz\":1}", "/zz:unknown /name:type /n:too_large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake *f = fake_new(false);
        struct values v;
        err e = read_all(f, cases[i].body, &v);
        if (strcmp(mistakes(f), cases[i].mistakes) != 0)
            fail_msg("%s: '%s', not '%s'", cases[i].body, mistakes(f), cases[i].mistakes);
        assert_int_equal(e, cases[i].mistakes[0] ? ERR_VALIDATION : OK);
        fake_free(f);
    }
}

static void values(void **state)
{
    (void)state;
    struct fake *f = fake_new(true);
    struct values v;
    assert_int_equal(read_all(f,
                              "{\"name\":\"bo\",\"mail\":\"A@x.org\",\"url\":\"https://x.org/a\","
                              "\"n\":3,\"yes\":true,\"at\":\"2026-01-02T03:04:05Z\",\"obj\":{},"
                              "\"arr\":[1],\"colour\":\"green\",\"extra\":1}",
                              &v),
                     OK);
    assert_true(sv_is(v.name, "bo") && sv_is(v.mail, "A@x.org") && sv_is(v.url, "https://x.org/a"));
    assert_int_equal(v.n, 3);
    assert_true(v.yes && v.obj != NULL && json_len(v.arr) == 1);
    assert_int_equal(v.colour, 1);
    assert_int_equal(v.at.ms, INT64_C(1767323045000));
    assert_int_equal(read_all(f, "{\"name\":\"bo\",\"n\":null}", &v), OK);
    assert_int_equal(v.n, -7);
    fake_free(f);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool ok;
    } cases[] = {
        {"a@b.co", true},       {"first.last+tag@sub.example.com", true},
        {"a@b", false},         {"@b.co", false},
        {"a@", false},          {"a b@c.de", false},
        {"a@b@c.de", false},    {"a@-b.de", false},
        {"a@b..de", false},     {"a..b@c.de", false},
        {".a@b.de", false},     {"a.@b.de", false},
        {"a@b.de>", false},     {"a\\n@b.de", false},
        {"\\u00e4@b.de", true}, {"a@b_c.de", false},
        {"a,b@c.de", false},    {"a@b.de.", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake *f = fake_new(false);
        struct values v;
        char body[200];
        snprintf(body, sizeof body, "{\"name\":\"a\",\"mail\":\"%s\"}", cases[i].s);
        if ((read_all(f, body, &v) == OK) != cases[i].ok)
            fail_msg("%s", cases[i].s);
        fake_free(f);
    }
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool ok;
    } cases[] = {
        {"http://localhost:3000/x?y=1", true},
        {"https://x.org", true},
        {"ftp://x.org", false},
        {"javascript:alert(1)", false},
        {"//x.org", false},
        {"https://", false},
        {"https:///x", false},
        {"https://a b", false},
        {"https://a\\\\b", false},
        {"/relative", false},
        {"https://:80", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake *f = fake_new(false);
        struct values v;
        char body[200];
        snprintf(body, sizeof body, "{\"name\":\"a\",\"url\":\"%s\"}", cases[i].s);
        if ((read_all(f, body, &v) == OK) != cases[i].ok)
            fail_msg("%s", cases[i].s);
        fake_free(f);
    }
}

static void queries(void **state)
{
    (void)state;
    static const struct {
        const char *query, *mistakes;
        bool lenient;
    } cases[] = {
        {"", "", false},
        {"limit=25&cursor=YWJj", "", false},
        {"limit=0", "limit:too_small", false},
        {"limit=101", "limit:too_large", false},
        {"limit=ten", "limit:type", false},
        {"limit=5&limit=5", "limit:repeated", false},
        {"cursor=%21", "cursor:cursor", false},
        {"cursor=", "cursor:too_short", false},
        {"other=1", "other:unknown", false},
        {"other=1", "", true},
        {"more=1", "", false},
        {"more=2", "more:type", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake *f = fake_new(cases[i].lenient);
        assert_true(form_parse(f->mem, sv_from(cases[i].query), &f->x.query));
        bool more = false;
        struct field own[] = {{"more", FIELD_BOOL, &more}};
        struct page p;
        err e = page_query_read(&f->x.r, &p, own, 1);
        if (strcmp(mistakes(f), cases[i].mistakes) != 0)
            fail_msg("%s: '%s', not '%s'", cases[i].query, mistakes(f), cases[i].mistakes);
        assert_int_equal(e, cases[i].mistakes[0] ? ERR_VALIDATION : OK);
        if (i == 0)
            assert_true(p.limit == 25 && p.cursor.p == NULL);
        if (i == 1)
            assert_true(sv_is(p.cursor, "abc"));
        fake_free(f);
    }
}

static void problem(void **state)
{
    (void)state;
    struct fake *f = fake_new(false);
    memcpy(f->x.id, "req_1", 6);
    reply_problem_str(&f->x.r, "portalUrl", SV("https://p/\"x\""));
    (void)field_error(&f->x.r, "/a", "bad", "is %s", "bad");
    fault_capture(&f->x, ERR_VALIDATION);
    reply_problem(&f->x, ERR_VALIDATION);
    const json *j;
    assert_int_equal(json_parse(f->mem, buf_sv(&f->x.reply.body), &j), OK);
    assert_int_equal(json_get_int(j, "status", 0), 422);
    assert_true(sv_is(json_get_str(j, "code"), "validation_failed"));
    assert_true(sv_eq(json_get_str(j, "title"), json_get_str(j, "error")));
    assert_true(sv_is(json_get_str(j, "requestId"), "req_1"));
    assert_true(sv_is(json_get_str(j, "portalUrl"), "https://p/\"x\""));
    assert_true(sv_is(json_str(json_path(j, "errors.0.pointer")), "/a"));
    assert_true(sv_is(json_str(json_path(j, "errors.0.message")), "is bad"));
    /* what an internal error says of itself is not for the caller */
    reply_reset(&f->x.reply);
    (void)FAIL(ERR_DB, "disk /var/lib/x");
    fault_capture(&f->x, ERR_DB);
    reply_problem(&f->x, ERR_DB);
    assert_false(sv_contains(buf_sv(&f->x.reply.body), SV("/var/lib")));
    buf_free(&f->x.reply.body);
    fake_free(f);
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies), cmocka_unit_test(values),  cmocka_unit_test(addresses),
        cmocka_unit_test(urls),   cmocka_unit_test(queries), cmocka_unit_test(problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
