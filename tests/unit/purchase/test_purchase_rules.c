/* A purchase's status from its facts: SPEC §2 as a table. */
#include "base/arena.h"
#include "purchase/purchase_rules.h"
#include "test.h"

static const struct purchase_terms terms = {
    .price = {1520}, .currency = {"usd"}, .item = SV("quiz:x")};

static struct purchase_facts session(bool paid, bool expired, bool failed)
{
    return (struct purchase_facts){.session_known = true,
                                   .session_paid = paid,
                                   .session_expired = expired,
                                   .session_failed = failed,
                                   .session_total = {1520},
                                   .session_currency = USD,
                                   .session_item = SV("quiz:x")};
}
static struct purchase_facts paid(int64_t refunded, bool open, bool lost)
{
    struct purchase_facts f = session(true, false, false);
    f.payment_succeeded = true;
    f.received = (money){1520};
    f.payment_currency = USD;
    f.refunded = (money){refunded};
    f.dispute_open = open;
    f.dispute_lost = lost;
    return f;
}

static void statuses(void **state)
{
    (void)state;
    struct purchase_facts payment_only = paid(0, false, false), late = paid(0, false, false);
    payment_only.session_known = false;
    payment_only.session_paid = false;
    late.session_expired = true;
    struct purchase_facts late_refunded = late, never = {.never_opened = true};
    late_refunded.refunded = (money){1520};
    struct purchase_facts amount = paid(0, false, false), currency_ = amount, item = amount,
                          got = amount;
    amount.session_total = (money){1};
    currency_.session_currency = (currency){"eur"};
    item.session_item = SV("quiz:y");
    got.received = (money){1519};
    const struct {
        const char *what;
        struct purchase_facts f;
        enum purchase_status status;
        enum slot_target slot;
        bool mismatch, late;
    } t[] = {
        {"nothing known", {0}, PURCHASE_PENDING, SLOT_HELD, 0, 0},
        {"session open", session(0, 0, 0), PURCHASE_PENDING, SLOT_HELD, 0, 0},
        {"session paid", session(1, 0, 0), PURCHASE_PAID, SLOT_CONSUMED, 0, 0},
        {"payment first", payment_only, PURCHASE_PAID, SLOT_CONSUMED, 0, 0},
        {"session expired", session(0, 1, 0), PURCHASE_EXPIRED, SLOT_RELEASED, 0, 0},
        {"async payment failed", session(0, 0, 1), PURCHASE_FAILED, SLOT_RELEASED, 0, 0},
        {"never opened", never, PURCHASE_FAILED, SLOT_RELEASED, 0, 0},
        {"late", late, PURCHASE_PAID, SLOT_RELEASED, 0, 1},
        {"late and refunded", late_refunded, PURCHASE_REFUNDED, SLOT_RELEASED, 0, 1},
        {"partly refunded", paid(1519, 0, 0), PURCHASE_PARTIALLY_REFUNDED, SLOT_CONSUMED, 0, 0},
        {"refunded", paid(1520, 0, 0), PURCHASE_REFUNDED, SLOT_RESTORED, 0, 0},
        {"the refund failed", paid(0, 0, 0), PURCHASE_PAID, SLOT_CONSUMED, 0, 0},
        {"disputed", paid(0, 1, 0), PURCHASE_DISPUTED, SLOT_CONSUMED, 0, 0},
        {"disputed after a part was refunded", paid(20, 1, 0), PURCHASE_DISPUTED, SLOT_CONSUMED, 0,
         0},
        {"lost", paid(0, 0, 1), PURCHASE_LOST, SLOT_CONSUMED, 0, 0},
        {"lost, another open", paid(0, 1, 1), PURCHASE_LOST, SLOT_CONSUMED, 0, 0},
        {"won, then refunded", paid(1520, 0, 0), PURCHASE_REFUNDED, SLOT_RESTORED, 0, 0},
        {"another amount", amount, PURCHASE_FAILED, SLOT_RELEASED, 1, 0},
        {"another currency", currency_, PURCHASE_FAILED, SLOT_RELEASED, 1, 0},
        {"another item", item, PURCHASE_FAILED, SLOT_RELEASED, 1, 0},
        {"a cent too little", got, PURCHASE_FAILED, SLOT_RELEASED, 1, 0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct purchase_outcome o = purchase_decide(&terms, &t[i].f);
        if (o.status != t[i].status || o.slot != t[i].slot || o.mismatch != t[i].mismatch ||
            o.late != t[i].late)
            fail_msg("%s: %s slot %d mismatch %d late %d", t[i].what,
                     purchase_status_name(o.status), o.slot, o.mismatch, o.late);
        assert_true(!o.mismatch || !purchase_grants(o.status));
    }
}

static void given_away(void **state)
{
    (void)state;
    struct purchase_terms t = {.currency = USD, .item = SV("quiz:x")};
    struct purchase_outcome o = purchase_decide(&t, &(struct purchase_facts){0});
    assert_int_equal(o.status, PURCHASE_PAID);
    assert_int_equal(o.slot, SLOT_CONSUMED);
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < PURCHASE_STATUSES; i++) {
        enum purchase_status s = PURCHASE_STATUSES;
        assert_true(
            purchase_status_parse(sv_from(purchase_status_name((enum purchase_status)i)), &s));
        assert_int_equal(s, i);
    }
    enum purchase_status s;
    assert_false(purchase_status_parse(SV("completed"), &s));
}

static void one_of_several_payments(void **state)
{
    (void)state;
    /* In their order: each counts more than all below it. */
    static const struct purchase_attempt order[] = {
        {SV("pi_5"), true, true},  {SV("pi_4"), true, false},  {SV("pi_2"), false, true},
        {SV("pi_3"), false, true}, {SV("pi_1"), false, false}, {SV("pi_6"), false, false},
    };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t j = 0; j < sizeof order / sizeof *order; j++)
            assert_int_equal(purchase_attempt_outranks(&order[i], &order[j]), i < j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(given_away),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(one_of_several_payments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
