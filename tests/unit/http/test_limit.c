#include "base/crypto.h"
#include "http/limit.h"
#include "test.h"

#include <stdio.h>

static void windows(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(1, false);
    struct limit_state st;
    int64_t now = 1000000;
    for (int i = 0; i < 10; i++) {
        assert_true(limiter_take(l, LIMIT_LOGIN, SV("a"), now, &st));
        assert_int_equal(st.remaining, 9 - i);
    }
    assert_false(limiter_take(l, LIMIT_LOGIN, SV("a"), now, &st));
    assert_int_equal(st.limit, 10);
    assert_int_equal(st.window_s, 60);
    assert_int_equal(st.remaining, 0);
    assert_int_equal(st.reset_s, 6);
    assert_string_equal(st.name, "login");
    assert_true(limiter_take(l, LIMIT_LOGIN, SV("b"), now, &st)); /* another caller */
    assert_true(limiter_take(l, LIMIT_MAIL, SV("a"), now, &st));  /* another limit */
    assert_false(limiter_take(l, LIMIT_LOGIN, SV("a"), now + 5999999, &st));
    assert_true(limiter_take(l, LIMIT_LOGIN, SV("a"), now + 6000000, &st));
    assert_false(limiter_take(l, LIMIT_LOGIN, SV("a"), now + 6000000, &st));
    for (int i = 0; i < 10; i++)
        assert_true(limiter_take(l, LIMIT_LOGIN, SV("a"), now + 70000000, &st));
    limiter_free(l);
}

static void kinds(void **state)
{
    (void)state;
    static const struct {
        enum route_limit kind;
        int n;
    } cases[] = {{LIMIT_DEFAULT, 600}, {LIMIT_MONEY, 60}, {LIMIT_MAIL, 5}, {LIMIT_LOGIN, 10}};
    struct limiter *l = limiter_new(1, false), *dev = limiter_new(0, true),
                   *wide = limiter_new(3, false);
    struct limit_state st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = 0;
        while (n < 5000 && limiter_take(l, cases[i].kind, SV("k"), 5, &st))
            n++;
        assert_int_equal(n, cases[i].n);
        for (n = 0; n < 5000 && limiter_take(wide, cases[i].kind, SV("k"), 5, &st);)
            n++;
        assert_int_equal(n, 3 * cases[i].n);
        for (n = 0; n < 2000 && limiter_take(dev, cases[i].kind, SV("k"), 5, &st);)
            n++;
        assert_int_equal(n, cases[i].kind == LIMIT_LOGIN ? 10 : 2000);
    }
    for (int i = 0; i < 10000; i++)
        assert_true(limiter_take(l, LIMIT_NONE, SV("k"), 5, &st));
    limiter_free(l);
    limiter_free(dev);
    limiter_free(wide);
}

/* Many callers push out the emptiest memory, not the one that is being limited hardest. */
static void bounded(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(1, false);
    struct limit_state st;
    for (int i = 0; i < 700; i++)
        (void)!limiter_take(l, LIMIT_DEFAULT, SV("loud"), 1, &st);
    for (int i = 0; i < 200000; i++) {
        char key[24];
        sv k = {key, (size_t)snprintf(key, sizeof key, "quiet %d", i)};
        assert_true(limiter_take(l, LIMIT_DEFAULT, k, 2, &st));
    }
    assert_false(limiter_take(l, LIMIT_DEFAULT, SV("loud"), 3, &st));
    limiter_free(l);
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(kinds),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
