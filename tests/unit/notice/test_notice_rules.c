/* Which news of Stripe are worth a mail. */
#include "notice/notice_rules.h"
#include "test.h"

#define NOW 1790000000
static struct arena *mem;

static const json *parse(const char *text)
{
    const json *j = NULL;
    assert_int_equal(json_parse(mem, sv_from(text), &j), OK);
    return j;
}

static void subscriptions(void **state)
{
    (void)state;
#define S "{\"id\":\"sub_1\",\"created\":1789999000,"
    static const struct {
        const char *json, *want; /* s started, t trial ending, e ending, x ended */
    } rows[] = {
        {S "\"status\":\"active\"}", "s"},
        {S "\"status\":\"incomplete\"}", ""},
        {S "\"status\":\"past_due\"}", ""},
        {S "\"status\":\"trialing\",\"trial_end\":1791000000}", "s"},
        {S "\"status\":\"trialing\",\"trial_end\":1790259200}", "st"},
        {S "\"status\":\"trialing\",\"trial_end\":1790259200,\"cancel_at\":1790259200}", "se"},
        {S "\"status\":\"trialing\",\"trial_end\":1789999999}", "s"},
        {S "\"status\":\"active\",\"cancel_at_period_end\":true,\"current_period_end\":1792000000}",
         "se"},
        {S "\"status\":\"active\",\"cancel_at_period_end\":true,\"items\":{\"data\":[{\"current_"
           "period_end\":"
           "1792000000}]}}",
         "se"},
        {S "\"status\":\"past_due\",\"cancel_at\":1792000000}", "e"},
        {S "\"status\":\"active\",\"cancel_at\":1789999999}", "s"},
        {S "\"status\":\"canceled\",\"ended_at\":1789999999,\"cancel_at_period_end\":true}", "x"},
        {S "\"status\":\"canceled\",\"canceled_at\":1780000000}", ""},
        {"{\"id\":\"sub_1\",\"created\":1780000000,\"status\":\"active\"}", ""},
        {"{}", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sub_news s;
        sub_news_read(parse(rows[i].json), &s);
        struct sub_notices n = sub_notices_decide(&s, ts_from_unix(NOW));
        char got[8] = "";
        strcat(got, n.started ? "s" : "");
        strcat(got, n.trial_ending ? "t" : "");
        strcat(got, n.ending ? "e" : "");
        strcat(got, n.ended ? "x" : "");
        assert_string_equal(got, rows[i].want);
    }
}

static void invoices(void **state)
{
    (void)state;
#define I                                                                                          \
    "{\"id\":\"in_1\",\"created\":1789999000,\"amount_paid\":0,\"amount_due\":3200,\"amount_"      \
    "remaining\":3200,"
    static const struct {
        const char *json, *type, *want; /* r receipt, f failed, a action */
    } rows[] = {
        {"{\"id\":\"in_1\",\"created\":1789999000,\"status\":\"paid\",\"amount_paid\":3200}", NULL,
         "r"},
        {"{\"id\":\"in_1\",\"created\":1789999000,\"status\":\"paid\",\"amount_paid\":0}", NULL,
         ""},
        {"{\"id\":\"in_1\",\"created\":1780000000,\"status\":\"paid\",\"amount_paid\":3200}", NULL,
         ""},
        {"{\"id\":\"in_1\",\"created\":1780000000,\"status\":\"paid\",\"amount_paid\":3200,"
         "\"status_transitions\":{"
         "\"paid_at\":1789999999}}",
         NULL, "r"},
        {I "\"status\":\"open\",\"attempt_count\":0,\"attempted\":false}", "invoice.finalized", ""},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true}", "invoice.payment_failed",
         "f"},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true}", "invoice.updated", ""},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true,\"next_payment_attempt\":"
           "1790100000}",
         "invoice.updated", "f"},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true,\"next_payment_attempt\":"
           "1790100000}",
         NULL, "f"},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true}",
         "invoice.payment_action_required", "a"},
        {I "\"status\":\"open\",\"attempt_count\":1,\"attempted\":true,\"billing_reason\":"
           "\"subscription_create\"}",
         "invoice.payment_failed", ""},
        {I "\"status\":\"void\",\"attempt_count\":1}", "invoice.payment_failed", ""},
        {I "\"status\":\"draft\"}", "invoice.created", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct invoice_news v;
        invoice_news_read(parse(rows[i].json), &v);
        struct invoice_notices n = invoice_notices_decide(
            &v, rows[i].type ? sv_from(rows[i].type) : SV_NULL, ts_from_unix(NOW));
        char got[8] = "";
        strcat(got, n.receipt ? "r" : "");
        strcat(got, n.failed ? "f" : "");
        strcat(got, n.action ? "a" : "");
        assert_string_equal(got, rows[i].want);
    }
    assert_true(sv_is(notice_date(mem, ts_from_unix(NOW)), "21 September 2026"));
}

int main(void)
{
    mem = arena_new(0);
    const struct CMUnitTest tests[] = {cmocka_unit_test(subscriptions), cmocka_unit_test(invoices)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(mem);
    return failed;
}
