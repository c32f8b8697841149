/* Settings: every mistake at once, typos, files, what must fit together. SPEC §6. */
#include "app/env.h"
#include "app/settings.h"
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct buf problems;

/* A process environment of just these lines ("A=b\nC=d"). */
static err load(const char *lines, struct settings *out)
{
    clearenv();
    buf_clear(&problems);
    for (sv rest = sv_from(lines); rest.p != NULL;) {
        sv value = sv_cut(&rest, '\n'), key = sv_cut(&value, '=');
        char name[64], text[512];
        snprintf(name, sizeof name, "%.*s", SV_ARG(key));
        snprintf(text, sizeof text, "%.*s", SV_ARG(value));
        if (name[0])
            setenv(name, text, 1);
    }
    return settings_load(out, &problems);
}

static void dotenv(const char *text)
{
    FILE *f = fopen(".env", "w");
    fputs(text, f);
    fclose(f);
}

static void says(const char *words)
{
    if (!sv_contains(buf_sv(&problems), sv_from(words)))
        fail_msg("no \"%s\" in:\n%s", words, problems.p ? problems.p : "");
}

static void bad(const char *lines, const char *words)
{
    struct settings s = {.port = 77};
    assert_int_equal(load(lines, &s), ERR_CONFIG);
    assert_int_equal(s.port, 77); /* untouched */
    says(words);
}

static void test_dev_defaults(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(load("MYBEING_ENV=dev\nPORT=8080", &s), OK);
    assert_true(s.dev);
    assert_true(sv_is(s.bind, "127.0.0.1"));
    assert_true(sv_is(s.base_url, "http://localhost:8080"));
    assert_false(s.base_url_set);
    assert_true(sv_is(s.database_url, "sqlite:mybeing.db"));
    assert_int_equal(s.email_provider, EMAIL_CONSOLE);
    assert_int_equal(s.renewal_grace_hours, 72);
    assert_int_equal(s.past_due_grace_days, 14);
    assert_true(sv_is(s.stripe_api_base, "https://api.stripe.com"));
    assert_true(sv_is(s.stripe_api_version, "2026-10-28.endive"));
    assert_false(s.stripe_api_loopback);
    assert_null(s.stripe_secret_key.p);
}

static void test_production(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(load("BASE_URL=https://x.example/", &s), OK);
    assert_false(s.dev);
    assert_true(sv_is(s.bind, "0.0.0.0"));
    assert_true(sv_is(s.base_url, "https://x.example"));
    assert_int_equal(s.email_provider, EMAIL_NONE);
    assert_int_equal(load("BASE_URL=http://127.0.0.1:3000", &s), OK);
    assert_int_equal(load("BASE_URL=http://localhost\nEMAIL_PROVIDER=console\n"
                          "EMAIL_CONSOLE_IN_PRODUCTION=1",
                          &s),
                     OK);
    bad("", "BASE_URL is not set");
    bad("BASE_URL=http://x.example", "BASE_URL must be https");
    bad("BASE_URL=http://127.0.0.1.evil.example", "BASE_URL must be https");
    bad("BASE_URL=https://x.example/shop", "must not have a path");
    bad("BASE_URL=https://x.example\nEMAIL_PROVIDER=console", "EMAIL_CONSOLE_IN_PRODUCTION=1");
    bad("BASE_URL=https://x.example\nPASSWORD_COST=cheap", "PASSWORD_COST");
}

static void test_every_mistake_at_once(void **state)
{
    (void)state;
    bad("MYBEING_ENV=dev\nPORT=x\nRENEWAL_GRACE_HOURS=-1\nSTRIPE_WEBHOOK_SECRET=abc\n"
        "EMAIL_PROVIDER=pigeon\nTRUSTED_PROXIES=10.0.0.0/8,nonsense",
        "PORT must be a whole number");
    says("RENEWAL_GRACE_HOURS must be");
    says("STRIPE_WEBHOOK_SECRET must begin with whsec_");
    says("EMAIL_PROVIDER must be one of none, console, sendgrid, postmark, smtp");
    says("\"nonsense\" is not");
}

static void test_single_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *words;
    } rows[] = {
        {"PORT=65536", "PORT"},
        {"MYBEING_ENV=prod", "MYBEING_ENV must be one of production, dev"},
        {"MYBEING_ENV=dev\nDATABASE_URL=mysql://x", "DATABASE_URL must begin with sqlite:"},
        {"MYBEING_ENV=dev\nSTRIPE_API_BASE=http://stripe.example", "STRIPE_API_BASE must be https"},
        {"MYBEING_ENV=dev\nSTRIPE_SECRET_KEY=pk_test_123", "STRIPE_SECRET_KEY must begin with sk_"},
        {"MYBEING_ENV=dev\nSTRIPE_SECRET_KEY=sk_live_123", "is a live key"},
        {"MYBEING_ENV=dev\nSTRIPE_WEBHOOK_SECRET=whsec_aaaaaaaa,oops", "STRIPE_WEBHOOK_SECRET"},
        {"MYBEING_ENV=dev\nEMAIL_PROVIDER=postmark", "POSTMARK_SERVER_TOKEN is not set"},
        {"MYBEING_ENV=dev\nEMAIL_PROVIDER=smtp\nSMTP_URL=smtp://x", "EMAIL_FROM is not set"},
        {"MYBEING_ENV=dev\nEMAIL_FROM=nobody", "EMAIL_FROM must be an address"},
        {"MYBEING_ENV=dev\nAUTH_JWKS_URL=https://x.example/jwks", "AUTH_ISSUER is not set"},
        {"MYBEING_ENV=dev\nAUTH_SECRET=short", "AUTH_SECRET is too short"},
        {"MYBEING_ENV=dev\nADMIN_EMAILS=a@b.example,root", "\"root\" is not an e-mail"},
        {"MYBEING_ENV=dev\nCORS_ORIGINS=https://a.example/x", "CORS_ORIGINS"},
        {"MYBEING_ENV=dev\nBIND=everywhere", "BIND must be an IP address"},
        {"MYBEING_ENV=dev\nRATE_LIMIT_SCALE=nan", "RATE_LIMIT_SCALE must be a number"},
        {"MYBEING_ENV=dev\nTRUSTED_PROXIES=10.0.0.0/33", "TRUSTED_PROXIES"},
        {"MYBEING_ENV=dev\nSTRIPE_SECRTE_KEY=sk_test_1", "did you mean STRIPE_SECRET_KEY?"},
        {"MYBEING_ENV=dev\nSTRIPE_SECRET_KY_FILE=/x", "did you mean STRIPE_SECRET_KEY_FILE?"},
        {"MYBEING_ENV=dev\nAUTH_SECRET_FILE=/nowhere/at/all",
         "AUTH_SECRET_FILE=/nowhere/at/all: No such"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bad(rows[i].lines, rows[i].words);
}

static void test_others_names(void **state)
{
    (void)state;
    struct settings s;
    /* Somebody else's variables are none of our business. */
    assert_int_equal(
        load("MYBEING_ENV=dev\nPART=1\nHOME=/x\nSTRIPE_API_KEY=sk_live_1\nAI_GATEWAY=1\n"
             "AUTH_TRUST_HOST=1\nEMPTY=\nSTRIPE_SECRET_KEY=",
             &s),
        OK);
}

static void test_secrets_are_not_told(void **state)
{
    (void)state;
    bad("MYBEING_ENV=dev\nSTRIPE_SECRET_KEY=topsecretvalue\nSENDGRID_API_BASE=topsecretvalue\n"
        "DATABASE_URL=topsecretvalue\nSTRIPE_WEBHOOK_SECRET=topsecretvalue\nSMTP_URL="
        "topsecretvalue",
        "STRIPE_SECRET_KEY");
    assert_false(sv_contains(buf_sv(&problems), SV("topsecretvalue")));
}

static void test_dotenv(void **state)
{
    (void)state;
    struct settings s;
    dotenv("# a comment\nexport MYBEING_ENV=dev\nPORT = 4000 # here\nNEXT_PUBLIC_X=1\n"
           "EMAIL_FROM=\"MyBeing <a@b.example>\"\nAI_MODEL='a # b'\n");
    assert_int_equal(load("PORT=5000", &s), OK); /* the environment wins */
    assert_int_equal(s.port, 5000);
    assert_true(sv_is(s.email_from, "MyBeing <a@b.example>"));
    assert_true(sv_is(s.ai_model, "a # b"));
    assert_int_equal(load("", &s), OK);
    assert_int_equal(s.port, 4000);
    dotenv("MYBEING_ENV=dev\n\nSTIRPE_SECRET_KEY=sk_test_1\nwhat is this\nAUTH_SECRET='open\n");
    bad("", ".env line 3: STIRPE_SECRET_KEY is not a setting; did you mean STRIPE_SECRET_KEY?");
    says(".env line 4 is not NAME=value");
    says(".env line 5 is not NAME=value");
    unlink(".env");
}

static void test_files(void **state)
{
    (void)state;
    struct settings s;
    FILE *f = fopen("secret", "w");
    fputs("whsec_0123456789\n", f);
    fclose(f);
    assert_int_equal(load("MYBEING_ENV=dev\nSTRIPE_WEBHOOK_SECRET_FILE=secret", &s), OK);
    assert_true(sv_is(s.stripe_webhook_secret, "whsec_0123456789"));
    bad("MYBEING_ENV=dev\nSTRIPE_WEBHOOK_SECRET_FILE=secret\nSTRIPE_WEBHOOK_SECRET=whsec_"
        "9876543210",
        "are both set");
    unlink("secret");
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t d;
    } rows[] = {{"", "", 0},       {"a", "", 1},       {"abc", "abc", 0},       {"abc", "acb", 1},
                {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(text_distance(sv_from(rows[i].a), sv_from(rows[i].b)), rows[i].d);
    static const char *const names[] = {"serve", "work", "migrate"};
    assert_string_equal(text_nearest(SV("sreve"), names, 3), "serve");
    assert_string_equal(text_nearest(SV("migarte"), names, 3), "migrate");
    assert_null(text_nearest(SV("banana"), names, 3));
}

static void test_loopback(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool yes;
    } rows[] = {{"http://localhost:1", true},
                {"http://127.0.0.1", true},
                {"http://[::1]:80/x", true},
                {"https://api.stripe.com", false},
                {"http://localhost.evil.example", false},
                {"http://evil.example/localhost", false},
                {"http://127.evil.example", false},
                {"http://evil.example?127.0.0.1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (url_is_loopback(sv_from(rows[i].url)) != rows[i].yes)
            fail_msg("%s", rows[i].url);
}

int main(void)
{
    char dir[] = "/tmp/settingsXXXXXX";
    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dev_defaults),
        cmocka_unit_test(test_production),
        cmocka_unit_test(test_every_mistake_at_once),
        cmocka_unit_test(test_single_mistakes),
        cmocka_unit_test(test_others_names),
        cmocka_unit_test(test_secrets_are_not_told),
        cmocka_unit_test(test_dotenv),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_loopback),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&problems);
    if (chdir("/") != 0 || rmdir(dir) != 0)
        failed++;
    return failed;
}
