/* Accounts: addresses, passwords, languages and time zones, windows of guessing. */
#include "account/account_rules.h"
#include "test.h"

static void addresses(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    assert_true(sv_is(account_email_key(mem, SV(" Ada@Example.COM ")), "ada@example.com"));
    assert_true(sv_is(account_email_key(mem, SV("\xc3\x84@x.example")), "\xc3\x84@x.example"));
    static const struct {
        const char *list, *email;
        bool in;
    } rows[] = {
        {"a@x.example", "A@X.example", true},
        {"b@x.example, a@x.example", "a@x.example", true},
        {"a@x.example", "aa@x.example", false},
        {"a@x.example,", "", false},
        {"", "a@x.example", false},
        {"xa@x.example", "a@x.example", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (account_email_listed(sv_from(rows[i].list), sv_from(rows[i].email)) != rows[i].in)
            fail_msg("%s in %s", rows[i].email, rows[i].list);
    assert_false(account_email_listed(SV_NULL, SV("a@x.example")));
    assert_false(account_email_listed(SV("a@x.example"), SV_NULL));
}

static void passwords(void **state)
{
    (void)state;
    static const struct {
        const char *password;
        bool fine;
    } rows[] = {
        {"", false},
        {"1234567", false},
        {"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xb6", false}, /* four characters, eight bytes */
        {"abcdefg8", true},
        {"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", true},
        {"password", false},
        {"PASSWORD", false},
        {"qwertyuiop", false},
        {"zzzzzzzzzz", false},
        {"somebody", false},
        {"Somebody@x.example", false},
        {"somebody@x.example1", true},
        {"correct horse", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((account_password_problem(sv_from(rows[i].password), SV("somebody@x.example")) ==
             NULL) != rows[i].fine)
            fail_msg("%s", rows[i].password);
    char longest[1002];
    memset(longest, 'x', sizeof longest);
    longest[0] = 'a';
    assert_null(account_password_problem((sv){longest, 1000}, SV_NULL));
    assert_non_null(account_password_problem((sv){longest, 1001}, SV_NULL));
}

static void locales_and_zones(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool locale, zone;
    } rows[] = {
        {"en", true, true},
        {"pt-BR", true, true},
        {"zh-Hant-TW", true, true},
        {"e", false, true},
        {"english", false, true},
        {"en_US", false, true},
        {"en-", false, true},
        {"", false, false},
        {"1a", false, false},
        {"UTC", true, true},
        {"Europe/Berlin", false, true},
        {"Etc/GMT+5", false, true},
        {"../etc", false, false},
        {"/etc/passwd", false, false},
        {"Europe//Berlin", false, false},
        {"Europe/", false, false},
        {"A b", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (account_locale_valid(sv_from(rows[i].text)) != rows[i].locale)
            fail_msg("locale %s", rows[i].text);
        if (account_timezone_valid(sv_from(rows[i].text)) != rows[i].zone)
            fail_msg("zone %s", rows[i].text);
    }
}

static void windows(void **state)
{
    (void)state;
    static const struct {
        int64_t now, start, wait;
    } rows[] = {
        {0, 0, 900},    {1, 0, 900},           {1000, 0, 899},
        {899999, 0, 1}, {900000, 900000, 900}, {-1, -900000, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(account_login_window((ts){rows[i].now}).ms, rows[i].start);
        assert_int_equal(account_login_wait((ts){rows[i].now}), rows[i].wait);
    }
    ts noon = {3 * TS_DAY + TS_DAY / 2};
    assert_int_equal(account_guess_day(noon).ms, 3 * TS_DAY);
    assert_int_equal(account_guess_wait(noon), 12 * 3600);
    assert_int_equal(account_guess_wait((ts){4 * TS_DAY - 1}), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(passwords),
        cmocka_unit_test(locales_and_zones),
        cmocka_unit_test(windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
