#include "http/inner.h"
#include "test.h"

static err h(struct req *r)
{
    (void)r;
    return OK;
}

static const struct route table[] = {
    ROUTE(GET, "/", h, .auth = AUTH_NONE),
    ROUTE(GET, "/api/purchases", h, .auth = AUTH_NONE),
    ROUTE(POST, "/api/purchases/checkout", h, .auth = AUTH_NONE),
    ROUTE(GET, "/api/purchases/{id}", h, .auth = AUTH_NONE),
    ROUTE(DELETE, "/api/purchases/{id}", h, .auth = AUTH_NONE),
    ROUTE(GET, "/api/{a}/x/{b}", h, .auth = AUTH_NONE),
};

struct fixture {
    struct router *t;
    struct arena *mem;
};

static int up(void **state)
{
    static struct fixture f;
    struct route_set set = ROUTE_SET(table);
    f = (struct fixture){router_new(&set, 1), arena_new(0)};
    *state = &f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;
    router_free(f->t);
    arena_free(f->mem);
    return 0;
}

static void finds(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *path;
        enum method m;
        int row;        /* -1: none */
        unsigned allow; /* when there is none */
        const char *p0, *p1;
    } cases[] = {
        {"/", GET, 0, 0, NULL, NULL},
        {"/api/purchases", GET, 1, 0, NULL, NULL},
        {"/api/purchases", PUT, -1, 1u << GET, NULL, NULL},
        {"/api/purchases", METHOD_COUNT, -1, 1u << GET, NULL, NULL},
        {"/api/purchases/", GET, -1, 0, NULL, NULL},
        {"/api/purchases/checkout", POST, 2, 0, NULL, NULL},
        {"/api/purchases/checkout", GET, 3, 0, "checkout", NULL},
        {"/api/purchases/checkout", PATCH, -1, 1u << GET | 1u << POST | 1u << DELETE, NULL, NULL},
        {"/api/purchases/pur_1", GET, 3, 0, "pur_1", NULL},
        {"/api/purchases/pur_1", DELETE, 4, 0, "pur_1", NULL},
        {"/api/purchases/a%2Fb", GET, 3, 0, "a/b", NULL},
        {"/api/purchases/quiz%3Ax", GET, 3, 0, "quiz:x", NULL},
        {"/api/p%75rchases", GET, 1, 0, NULL, NULL},
        {"/api%2Fpurchases", GET, -1, 0, NULL, NULL},
        {"/api/1/x/2", GET, 5, 0, "1", "2"},
        {"/api/1/y/2", GET, -1, 0, NULL, NULL},
        {"/api//x/2", GET, -1, 0, NULL, NULL},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14", GET, -1, 0, NULL, NULL},
        {"api/purchases", GET, -1, 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct match m = {0};
        router_find(f->t, f->mem, sv_from(cases[i].path), cases[i].m, &m);
        int row = m.route ? (int)(m.route - table) : -1;
        if (row != cases[i].row)
            fail_msg("%s: row %d, not %d", cases[i].path, row, cases[i].row);
        if (row < 0)
            assert_int_equal(m.allow, cases[i].allow);
        if (row >= 0)
            assert_int_equal(m.index, row);
        if (cases[i].p0 != NULL)
            assert_true(sv_is(m.params[0], cases[i].p0));
        if (cases[i].p1 != NULL)
            assert_true(sv_is(m.params[1], cases[i].p1));
    }
}

static void methods(void **state)
{
    (void)state;
    assert_int_equal(method_parse(SV("PATCH")), PATCH);
    assert_int_equal(method_parse(SV("get")), METHOD_COUNT);
    assert_int_equal(method_parse(SV("TRACE")), METHOD_COUNT);
    assert_string_equal(method_name(DELETE), "DELETE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds, up, down),
        cmocka_unit_test(methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
