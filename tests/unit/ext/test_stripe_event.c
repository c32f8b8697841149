/* Signatures, envelopes and both shapes of objects. stripe/CONTRACT §2, §3. */
#include "base/crypto.h"
#include "ext/stripe_event.h"
#include "test.h"
#include <string.h>

static struct arena *mem;

static int setup(void **state)
{
    (void)state;
    crypto_init();
    mem = arena_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(mem);
    return 0;
}

/* Made with Python's hmac and hashlib. */
#define BODY "{\"id\":\"evt_1\",\"object\":\"event\"}"
#define MAC  "4c15fb2a43f93ef61eaa3e0893866d57cad9cad4223242cfb96f362480cb4021"
static const ts at = {INT64_C(1700000000000)};

static err check(const char *header, const char *secrets, ts now)
{
    return stripe_signature_check(sv_from(header), SV(BODY), sv_from(secrets), now, now);
}

static void vectors(void **state)
{
    (void)state;
    const char *good = "t=1700000000,v1=" MAC;
    assert_int_equal(check(good, "whsec_test", at), OK);
    assert_int_equal(check(good, "whsec_other,whsec_test", at), OK);
    assert_int_equal(check(good, " whsec_test , ", at), OK);
    assert_int_equal(check("t=1700000000,v0=00,v1=00,v1=" MAC, "whsec_test", at), OK);
    assert_int_equal(check("v1=" MAC ",t=1700000000", "whsec_test", at), OK);
    sv made = stripe_signature_make(mem, SV("whsec_test"), SV(BODY), at);
    assert_true(sv_is(made, good));
}

static void refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "t=1700000000",
        "v1=" MAC,
        "t=1700000000,v0=" MAC,
        "t=1700000000,v1=" MAC "0",
        "t=1700000000,v1=",
        "t=1700000000,t=1700000000,v1=" MAC,
        "t=+1700000000,v1=" MAC,
        "t=1700000000.0,v1=" MAC,
        "t=-1,v1=" MAC,
        "t=99999999999999999999,v1=" MAC,
        "t=1700000001,v1=" MAC,
        "nonsense",
        ",,,=,=",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_int_equal(check(headers[i], "whsec_test", at), ERR_SIGNATURE);
    assert_int_equal(stripe_signature_check(SV_NULL, SV(BODY), SV("whsec_test"), at, at),
                     ERR_SIGNATURE);
    const char *good = "t=1700000000,v1=" MAC;
    assert_int_equal(check(good, "whsec_other", at), ERR_SIGNATURE);
    assert_int_equal(check(good, "", at), ERR_SIGNATURE);
    assert_int_equal(check(good, " , ,", at), ERR_SIGNATURE);
    assert_int_equal(stripe_signature_check(sv_from(good), SV(BODY " "), SV("whsec_test"), at, at),
                     ERR_SIGNATURE);
    /* an empty secret signs too, and must not verify */
    sv empty = stripe_signature_make(mem, SV(""), SV(BODY), at);
    assert_int_equal(stripe_signature_check(empty, SV(BODY), SV(""), at, at), ERR_SIGNATURE);
    assert_int_equal(stripe_signature_check(empty, SV(BODY), SV_NULL, at, at), ERR_SIGNATURE);
}

static void tolerance(void **state)
{
    (void)state;
    const char *good = "t=1700000000,v1=" MAC;
    for (int s = -302; s <= 302; s++) {
        bool ok = s >= -300 && s <= 300;
        assert_int_equal(check(good, "whsec_test", ts_add(at, s * TS_SECOND)),
                         ok ? OK : ERR_SIGNATURE);
    }
    ts far = ts_add(at, 40 * TS_DAY); /* either clock may agree */
    assert_int_equal(stripe_signature_check(sv_from(good), SV(BODY), SV("whsec_test"), far, at),
                     OK);
    assert_int_equal(stripe_signature_check(sv_from(good), SV(BODY), SV("whsec_test"), at, far),
                     OK);
}

static const json *parse(const char *text)
{
    const json *j;
    assert_int_equal(json_parse(mem, sv_from(text), &j), OK);
    return j;
}

static void envelopes(void **state)
{
    (void)state;
    struct stripe_event e;
    assert_int_equal(
        stripe_event_read(parse("{\"object\":\"event\",\"id\":\"evt_1\",\"type\":\"a.b\","
                                "\"created\":5,\"livemode\":true,\"request\":\"req_1\","
                                "\"data\":{\"object\":{\"id\":\"x\"}}}"),
                          &e),
        OK);
    assert_int_equal(e.created.ms, 5000);
    assert_true(e.livemode && e.livemode_known && e.object && !e.thin);
    assert_int_equal(
        stripe_event_read(
            parse("{\"object\":\"v2.core.event\",\"id\":\"evt_1\",\"type\":\"v1.x\"}"), &e),
        OK);
    assert_true(e.thin && !e.object);
    static const char *const bad[] = {"[]",
                                      "1",
                                      "null",
                                      "{}",
                                      "{\"object\":\"event\"}",
                                      "{\"object\":\"event\",\"id\":\"\",\"type\":\"x\"}",
                                      "{\"object\":\"event\",\"id\":7,\"type\":\"x\"}",
                                      "{\"object\":\"charge\",\"id\":\"ch_1\",\"type\":\"x\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(stripe_event_read(parse(bad[i]), &e), ERR_BAD_REQUEST);
}

static void scanning(void **state)
{
    (void)state;
    struct stripe_event e;
    assert_true(
        stripe_event_scan(mem,
                          SV(" { \"object\" : \"event\" , \"data\":{\"id\":\"wrong\",\"n\":[1e999,"
                             "\"}\\\"\"]}, \"created\": 12 , \"id\":\"evt_9\",\"big\":"
                             "99999999999999999999,\"type\":\"x.y\"}"),
                          &e));
    assert_true(sv_is(e.id, "evt_9"));
    assert_true(sv_is(e.type, "x.y"));
    assert_int_equal(e.created.ms, 12000);
    assert_false(stripe_event_scan(mem, SV("[1]"), &e));
    assert_false(stripe_event_scan(mem, SV("{}"), &e));
    assert_false(stripe_event_scan(mem, SV("{\"id\":\"evt_1\",\"type\":\"x\"}"), &e));
    assert_false(stripe_event_scan(
        mem, SV("{\"object\":\"event\",\"id\":\"a\\u0000\",\"type\":\"x\"}"), &e));
    assert_false(stripe_event_scan(mem, SV("{\"id\":\"evt"), &e));
    assert_false(stripe_event_scan(mem, SV(""), &e));
}

static void subscriptions_of_both_shapes(void **state)
{
    (void)state;
    struct wire_subscription old, new;
    stripe_read_subscription(
        parse("{\"id\":\"sub_1\",\"customer\":{\"id\":\"cus_1\"},\"status\":\"active\","
              "\"current_period_start\":10,\"current_period_end\":20,"
              "\"items\":{\"data\":[{\"id\":\"si_1\",\"price\":{\"id\":\"p\"}}]}}"),
        &old);
    stripe_read_subscription(
        parse("{\"id\":\"sub_1\",\"customer\":\"cus_1\",\"status\":\"active\",\"items\":{\"data\":["
              "{\"id\":\"si_1\",\"price\":{\"id\":\"p\"},\"current_period_start\":12,"
              "\"current_period_end\":18},{\"current_period_start\":10,\"current_period_end\":20}]}"
              "}"),
        &new);
    assert_int_equal(old.period_start.ms, 10000);
    assert_int_equal(new.period_start.ms, 10000);
    assert_int_equal(new.period_end.ms, old.period_end.ms);
    assert_true(sv_eq(old.customer, new.customer));
    assert_false(old.collection_paused);
    stripe_read_subscription(parse("{\"pause_collection\":{\"behavior\":\"void\"},\"items\":7}"),
                             &old);
    assert_true(old.collection_paused);
    stripe_read_subscription(NULL, &old);
    assert_true(old.id.p == NULL && ts_is_none(old.period_end));
}

static void invoices_of_both_shapes(void **state)
{
    (void)state;
    struct wire_invoice v;
    stripe_read_invoice(
        parse("{\"id\":\"in_1\",\"subscription\":\"sub_1\",\"status\":\"paid\","
              "\"period_start\":10,\"period_end\":10,\"payment_intent\":\"pi_1\","
              "\"charge\":\"ch_1\",\"lines\":{\"data\":[{\"amount\":3200,\"period\":"
              "{\"start\":10,\"end\":40}}]}}"),
        &v);
    assert_int_equal(v.period_end.ms, 40000);
    assert_int_equal(v.npayments, 1);
    assert_true(sv_is(v.payments[0], "pi_1"));
    stripe_read_invoice(
        parse(
            "{\"id\":\"in_1\",\"status\":\"paid\",\"parent\":{\"subscription_details\":{"
            "\"subscription\":"
            "\"sub_1\",\"metadata\":{\"userId\":\"7\"}}},\"payments\":{\"data\":[{\"payment\":{"
            "\"type\":"
            "\"payment_intent\",\"payment_intent\":\"pi_2\"}},{\"payment\":{\"charge\":\"ch_2\"}}]}"
            ","
            "\"lines\":{\"data\":[{\"amount\":-500,\"period\":{\"start\":5,\"end\":90},\"parent\":"
            "{\"subscription_item_details\":{\"proration\":true}}},{\"amount\":700,\"period\":"
            "{\"start\":15,\"end\":30},\"parent\":{\"subscription_item_details\":{\"proration\":"
            "true}}},"
            "{\"amount\":3200,\"period\":{\"start\":30,\"end\":60}}]}}"),
        &v);
    assert_true(sv_is(v.subscription, "sub_1"));
    assert_true(sv_is(v.user_ref, "7"));
    assert_int_equal(v.npayments, 2);
    assert_int_equal(v.period_start.ms, 30000); /* the new period, not what was credited */
    assert_int_equal(v.period_end.ms, 60000);
    assert_false(v.lines_cut);
}

static void lines_on_several_pages(void **state)
{
    (void)state;
    const json *o = parse("{\"id\":\"in_1\",\"lines\":{\"has_more\":true,\"data\":[{\"amount\":7,"
                          "\"proration\":true,\"period\":{\"start\":5,\"end\":90}}]}}");
    const json *pages[] = {
        parse(
            "{\"has_more\":true,\"data\":[{\"amount\":32,\"period\":{\"start\":30,\"end\":60}}]}"),
        parse("{\"has_more\":false,\"data\":[{\"amount\":32,\"period\":{\"start\":60,\"end\":70}}]"
              "}")};
    struct wire_invoice v;
    stripe_read_invoice(o, &v);
    assert_true(v.lines_cut);
    assert_int_equal(v.period_end.ms, 90000);
    stripe_read_invoice_pages(o, pages, 1, &v);
    assert_true(v.lines_cut);
    assert_int_equal(v.period_end.ms, 60000);
    stripe_read_invoice_pages(o, pages, 2, &v);
    assert_false(v.lines_cut);
    assert_int_equal(v.period_start.ms, 30000);
    assert_int_equal(v.period_end.ms, 70000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(refused),
        cmocka_unit_test(tolerance),
        cmocka_unit_test(envelopes),
        cmocka_unit_test(scanning),
        cmocka_unit_test(subscriptions_of_both_shapes),
        cmocka_unit_test(invoices_of_both_shapes),
        cmocka_unit_test(lines_on_several_pages),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
