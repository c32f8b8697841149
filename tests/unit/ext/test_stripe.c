/* The Stripe client against a scripted server on loopback: headers, retries, errors, the key kept
 * secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/calendar.h"
#include "base/crypto.h"
#include "ext/stripe.h"
#include "fake_stripe.h"
#include "http/client.h"

static err post(struct arena *mem, struct stripe_answer *a)
{
    BUF_AUTO form = {0};
    form_add(&form, "metadata[userId]", SV("usr 1&2"));
    return stripe_post(mem, SV("/v1/customers"), &form, SV("op_1"), STRIPE_PERSON, a);
}

static void test_request(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    start((const char *[]){OKAY}, 1);
    assert_int_equal(post(mem, &a), OK);
    stop();
    const char *seen = script.seen[0];
    assert_non_null(strstr(seen, "POST /v1/customers HTTP/1.1\r\n"));
    assert_non_null(strcasestr(seen, "Authorization: Bearer " KEY "\r\n"));
    assert_non_null(strcasestr(seen, "Stripe-Version: 2026-10-28.endive\r\n"));
    assert_non_null(strcasestr(seen, "Idempotency-Key: op_1\r\n"));
    assert_non_null(strcasestr(seen, "Content-Type: application/x-www-form-urlencoded\r\n"));
    assert_null(strstr(seen, "usr 1&2"));
    assert_true(strstr(seen, "usr+1%262") != NULL || strstr(seen, "usr%201%262") != NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.attempts, 1);
    assert_true(a.sent);
    assert_true(sv_is(a.request_id, "req_1"));
    assert_true(sv_is(json_get_str(a.body, "id"), "cus_1"));
    assert_int_equal(ts_unix(a.date), 784111777);
}

static void test_get_and_delete(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    start((const char *[]){OKAY, OKAY}, 2);
    assert_int_equal(stripe_get(mem, SV("/v1/prices"), SV("active=true"), STRIPE_PERSON, &a), OK);
    assert_int_equal(stripe_delete(mem, SV("/v1/subscriptions/sub_1"), SV_NULL, STRIPE_JOB, &a),
                     OK);
    stop();
    assert_non_null(strstr(script.seen[0], "GET /v1/prices?active=true HTTP/1.1\r\n"));
    assert_null(strcasestr(script.seen[0], "Idempotency-Key"));
    assert_non_null(strstr(script.seen[1], "DELETE /v1/subscriptions/sub_1 HTTP/1.1\r\n"));
}

/* Answers that are tried again with the same key, until it works. */
static void test_retries(void **state)
{
    (void)state;
    static const char *const first[] = {
        ERROR_OF("500", "", "api_error", ""),
        ERROR_OF("429", "Retry-After: 1\r\n", "invalid_request_error", "rate_limit"),
        ERROR_OF("409", "", "invalid_request_error", "lock_timeout"),
        ERROR_OF("400", "Stripe-Should-Retry: true\r\n", "invalid_request_error", ""),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id\":", /* cut off: outcome unknown */
        NULL,                                                   /* the answer is lost */
    };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        ARENA_AUTO mem = arena_new(0);
        struct stripe_answer a;
        start((const char *[]){first[i], OKAY}, 2);
        int64_t began = clock_mono_us();
        err e = post(mem, &a);
        stop();
        if (e != OK || script.served != 2)
            fail_msg("case %zu: %s after %d", i, err_name(e), script.served);
        assert_true(clock_mono_us() - began >= (i == 1 ? 1000000 : 500000));
        assert_non_null(strcasestr(script.seen[1], "Idempotency-Key: op_1\r\n"));
        assert_int_equal(a.attempts, 2);
    }
}

static void test_gives_up(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    const char *down = ERROR_OF("503", "", "api_error", "");
    start((const char *[]){down, down, down, OKAY}, 4);
    assert_int_equal(post(mem, &a), ERR_UPSTREAM);
    stop();
    assert_int_equal(script.served, 3);
    assert_true(a.sent);
    start((const char *[]){ERROR_OF("429", "Retry-After: 100\r\n", "x", ""), OKAY}, 2);
    assert_int_equal(post(mem, &a), ERR_UPSTREAM);
    stop();
    assert_int_equal(script.served, 1);
    assert_int_equal(a.retry_after_s, 100);
    start((const char *[]){ERROR_OF("500", "Stripe-Should-Retry: false\r\n", "x", ""), OKAY}, 2);
    assert_int_equal(post(mem, &a), ERR_UPSTREAM);
    stop();
    assert_int_equal(script.served, 1);
}

/* Each refusal has its own error, none is tried again, and no word of it holds the key. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        err e;
    } cases[] = {
        {ERROR_OF("400", "", "invalid_request_error", "parameter_unknown"), ERR_UPSTREAM_REFUSED},
        {ERROR_OF("400", "", "idempotency_error", ""), ERR_UPSTREAM_REFUSED},
        {ERROR_OF("401", "", "invalid_request_error", ""), ERR_NOT_CONFIGURED},
        {ERROR_OF("403", "", "invalid_request_error", ""), ERR_NOT_CONFIGURED},
        {ERROR_OF("404", "", "invalid_request_error", "resource_missing"), ERR_NOT_FOUND},
        {ERROR_OF("404", "", "invalid_request_error", ""), ERR_UPSTREAM_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ARENA_AUTO mem = arena_new(0);
        struct stripe_answer a;
        start((const char *[]){cases[i].answer, OKAY}, 2);
        err e = post(mem, &a);
        stop();
        if (e != cases[i].e || script.served != 1)
            fail_msg("case %zu: %s after %d", i, err_name(e), script.served);
        assert_null(strstr(err_last()->detail, "secret"));
        assert_true(sv_is(a.error_param, "customer"));
    }
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    start((const char *[]){"HTTP/1.1 402 X\r\nConnection: close\r\n\r\n{\"error\":{\"type\":"
                           "\"card_error\",\"message\":\"Your card was declined.\"}}"},
          1);
    assert_int_equal(post(mem, &a), ERR_CARD);
    stop();
    assert_string_equal(err_last()->detail, "Your card was declined.");
}

static void test_not_configured(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    struct stripe_config none = {SV_NULL, SV_NULL, SV_NULL, 0};
    stripe_configure(&none);
    assert_false(stripe_configured());
    assert_int_equal(post(mem, &a), ERR_NOT_CONFIGURED);
    struct stripe_config live = {SV("rk_live_1"), SV_NULL, SV("2024-06-20"), 0};
    stripe_configure(&live);
    assert_true(stripe_live_mode());
    assert_true(sv_is(stripe_version(), "2024-06-20"));
}

/* Twenty a second: sixty calls cannot take under two seconds (a burst of ten is free). */
static void test_limiter(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct stripe_answer a;
    struct stripe_config c = {SV(KEY), SV("http://127.0.0.1:1"), SV_NULL, 20};
    stripe_configure(&c);
    int64_t began = clock_mono_us();
    for (int i = 0; i < 5; i++) /* three attempts each */
        assert_int_equal(stripe_get(mem, SV("/v1/x"), SV_NULL, STRIPE_PERSON, &a), ERR_UPSTREAM);
    assert_true(clock_mono_us() - began >= 5 * 1000000);
    assert_false(a.sent);
}

int main(void)
{
    crypto_init();
    http_client_start(false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),        cmocka_unit_test(test_get_and_delete),
        cmocka_unit_test(test_retries),        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_limiter),
        cmocka_unit_test(test_not_configured),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_client_stop();
    return failed;
}
