/* Where people may be sent after paying; what is sent to end or keep a subscription. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "billing/subscription_rules.h"

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool ok;
    } cases[] = {
        {"https://mybeing.example/done", true},
        {"https://mybeing.example", true},
        {"https://MyBeing.example/?a=b#c", true},
        {"https://app.example/x", true},
        {"http://localhost:5173/x", true},
        {"https://mybeing.example/?u=https://evil.example", true},
        {"http://mybeing.example/done", false},
        {"https://mybeing.example:444/", false},
        {"https://mybeing.example.evil.example/", false},
        {"https://evil.example/", false},
        {"https://mybeing.example@evil.example/", false},
        {"https://evil.example/https://mybeing.example/", false},
        {"https://mybeing.example\\@evil.example/", false},
        {"https://evil.example\\.mybeing.example/", false},
        {"//mybeing.example/x", false},
        {"/x", false},
        {"javascript:alert(1)", false},
        {"https:///x", false},
        {"https://", false},
        {"", false},
        {"https://mybeing.example/a b", false},
        {"https://mybeing.example/\n", false},
        {" https://mybeing.example/", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (subscription_url_ok(sv_from(cases[i].url), SV("https://mybeing.example/"),
                                SV("https://app.example, http://localhost:5173")) != cases[i].ok)
            fail_msg("%s", cases[i].url);
    assert_false(
        subscription_url_ok(SV("https://evil.example/"), SV("https://a.example"), SV("*")));
    assert_false(subscription_url_ok(SV("https://a.example/"), SV_NULL, SV_NULL));
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *to;
        bool ok;
    } cases[] = {
        {"/", true},
        {"/account?x=1", true},
        {"//evil.example", false},
        {"/\\evil.example", false},
        {"/a\nb", false},
        {"https://a.example/ok", true},
        {"https://evil.example/", false},
        {"evil", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (subscription_target_ok(sv_from(cases[i].to), SV("https://a.example"), SV_NULL) !=
            cases[i].ok)
            fail_msg("%s", cases[i].to);
}

static void test_blocks(void **state)
{
    (void)state;
    static const enum sub_status in_the_way[] = {SUB_TRIALING, SUB_ACTIVE, SUB_PAST_DUE,
                                                 SUB_UNPAID,   SUB_PAUSED, SUB_INCOMPLETE,
                                                 SUB_UNKNOWN};
    for (size_t i = 0; i < sizeof in_the_way / sizeof *in_the_way; i++)
        assert_true(subscription_blocks(in_the_way[i]));
    assert_false(subscription_blocks(SUB_NONE));
    assert_false(subscription_blocks(SUB_CANCELED));
    assert_false(subscription_blocks(SUB_INCOMPLETE_EXPIRED));
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        struct subscription_end s;
        const char *cancel, *resume;
    } cases[] = {
        {{false, {INT64_MIN}, {1000}}, "cancel_at_period_end=true", ""},
        {{true, {INT64_MIN}, {1000}}, "", "cancel_at_period_end=false"},
        {{true, {1000}, {1000}}, "", "cancel_at_period_end=false"}, /* Stripe sets both */
        {{false, {1000}, {1000}}, "", "cancel_at="},                /* flexible billing */
        {{false, {900}, {1000}}, "", "cancel_at="},
        {{false, {5000}, {1000}}, "cancel_at_period_end=true", "cancel_at="},
        {{false, {5000}, {INT64_MIN}}, "cancel_at_period_end=true", "cancel_at="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(subscription_cancel_form(&cases[i].s), cases[i].cancel);
        assert_string_equal(subscription_resume_form(&cases[i].s), cases[i].resume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
