/* Facts in order: any order of arrival, with duplicates, ends in the same content; what invoices
 * cover. */
#include "billing/fact_rules.h"
#include "test.h"
#include <string.h>

static uint32_t seed = 1;
static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static ts sec(int64_t s)
{
    return ts_from_unix(s);
}

/* Few times, ranks and digests, so that ties of every kind occur. */
static struct fact_order any_order(void)
{
    int64_t rank = rnd(4) == 0 ? FACT_TERMINAL + rnd(2) : rnd(4);
    int64_t digest = rnd(3);
    if (rnd(3) == 0)
        return fact_order_fetched(sec(1000 + rnd(12)), TS_NONE, rank, digest);
    return fact_order_event(sec(1000 + rnd(12)), rank, digest);
}

static struct fact_order winner(const struct fact_order *o, const size_t *order, size_t n)
{
    struct fact_order stored = {0};
    for (size_t i = 0; i < n; i++)
        if (fact_decide(&stored, &o[order[i]]).newer)
            stored = o[order[i]];
    return stored;
}

static bool equal(struct fact_order a, struct fact_order b)
{
    return a.as_of.ms == b.as_of.ms && a.source == b.source && a.rank == b.rank &&
           a.digest == b.digest;
}

static void any_order_ends_in_the_same_content(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct fact_order o[6];
        size_t order[12], n = 2 + rnd(5);
        for (size_t i = 0; i < n; i++)
            o[i] = any_order();
        for (size_t i = 0; i < 12; i++)
            order[i] = i % n; /* duplicates */
        struct fact_order first = winner(o, order, n);
        for (int shuffle = 0; shuffle < 6; shuffle++) {
            for (size_t i = 11; i > 0; i--) {
                size_t j = rnd((uint32_t)i + 1), t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
            bool all[6] = {false};
            for (size_t i = 0; i < 12; i++)
                all[order[i]] = true;
            for (size_t i = 0; i < n; i++)
                assert_true(all[i]);
            assert_true(equal(winner(o, order, 12), first));
        }
    }
}

static void newest_wins_and_final_stays(void **state)
{
    (void)state;
    struct fact_order old = fact_order_event(sec(100), 4, 1),
                      new = fact_order_event(sec(101), 2, 2);
    assert_true(fact_decide(&old, &new).newer);
    assert_false(fact_decide(&new, &old).newer);
    assert_false(fact_decide(&old, &new).ask);
    assert_false(fact_decide(&old, &old).newer);
    struct fact_order final = fact_order_event(sec(90), FACT_TERMINAL, 3);
    assert_true(fact_decide(&new, &final).newer);
    assert_false(fact_decide(&final, &new).newer);
    assert_true(fact_decide(&(struct fact_order){0}, &old).newer);
}

static void ties_go_by_rank_and_ask(void **state)
{
    (void)state;
    struct fact_order active = fact_order_event(sec(100), 4, 7),
                      due = fact_order_event(sec(100), 5, 2);
    assert_true(fact_decide(&active, &due).newer);
    assert_true(fact_decide(&active, &due).ask);
    assert_false(fact_decide(&due, &active).newer);
    assert_true(fact_decide(&due, &active).ask);
    struct fact_order same = fact_order_event(sec(100), 4, 7);
    assert_false(fact_decide(&active, &same).ask);
    struct fact_order final = fact_order_event(sec(100), FACT_TERMINAL, 9);
    assert_false(fact_decide(&active, &final).ask); /* nothing can follow it */
}

static void fetched_answers(void **state)
{
    (void)state;
    struct fact_order answer = fact_order_fetched(sec(100), TS_NONE, 1, 1);
    for (int64_t t = 90; t <= 110; t++) {
        struct fact_order event = fact_order_event(sec(t), 5, 2);
        assert_int_equal(fact_decide(&answer, &event).newer, t > 105);
        assert_int_equal(fact_decide(&event, &answer).newer, t <= 105);
        assert_int_equal(fact_decide(&answer, &event).ask, t >= 95 && t <= 105);
        assert_false(fact_decide(&event, &answer).ask);
    }
    /* Our clocks differ: it is not older than what was known before asking. */
    struct fact_order known = fact_order_event(sec(500), 5, 2);
    struct fact_order late = fact_order_fetched(sec(100), known.as_of, 1, 1);
    assert_true(fact_decide(&known, &late).newer);
    struct fact_order second = fact_order_fetched(sec(101), TS_NONE, 1, 3);
    assert_true(fact_decide(&answer, &second).newer);
    /* Two answers of one second: the one asked for when the other was known is the newer. */
    for (int64_t digest = 0; digest < 3; digest++) {
        struct fact_order then = fact_order_fetched(sec(100), answer.as_of, 1, digest);
        assert_true(fact_decide(&answer, &then).newer);
        assert_false(fact_decide(&then, &answer).newer);
    }
}

static void money_given_back(void **state)
{
    (void)state;
    assert_int_equal(refunded_sum(0, 0, 0), 0);
    assert_int_equal(refunded_sum(500, 0, 500), 500);
    assert_int_equal(refunded_sum(0, 0, 3200), 3200);       /* refunds not seen yet */
    assert_int_equal(refunded_sum(0, 3200, 3200), 0);       /* it failed */
    assert_int_equal(refunded_sum(3200, 3200, 3200), 3200); /* it failed and was made again */
    assert_int_equal(refunded_sum(500, 2700, 3200), 500);
    assert_int_equal(refunded_sum(0, 3200, 0), 0);
    struct invoice_money m = {.paid = true, .amount_paid = 3200, .refunded = 3199};
    assert_int_equal(cover_decide(&m), COVER_PAID);
    m.dispute_open = true;
    assert_int_equal(cover_decide(&m), COVER_SUSPENDED);
    m.refunded = 3200;
    assert_int_equal(cover_decide(&m), COVER_REVOKED);
    m = (struct invoice_money){.paid = true, .amount_paid = 0};
    assert_int_equal(cover_decide(&m), COVER_PAID); /* a trial's */
    m = (struct invoice_money){.paid = true, .amount_paid = 3200, .dispute_lost = true};
    assert_int_equal(cover_decide(&m), COVER_REVOKED);
    m.paid = false;
    assert_int_equal(cover_decide(&m), COVER_NONE);
}

static void periods(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct covered c[] = {
        {{3000}, {4000}, COVER_REVOKED},   {{1000}, {2000}, COVER_PAID},
        {{2000}, {3000}, COVER_SUSPENDED}, {{2500}, {2700}, COVER_PAID},
        {TS_NONE, TS_NONE, COVER_REVOKED},
    };
    assert_int_equal(cover_paid_through(c, 5).ms, 2700);
    sv text = cover_barred(mem, c, 5);
    assert_true(sv_is(text, "s2000-2500;s2700-3000;r3000-4000"));
    struct sub_facts s = {.revoked_until = TS_NONE, .barred_from = TS_NONE, .barred_next = TS_NONE};
    cover_barred_read(text, (ts){1999}, &s);
    assert_false(s.suspended);
    assert_int_equal(s.barred_from.ms, 2000);
    s = (struct sub_facts){
        .revoked_until = TS_NONE, .barred_from = TS_NONE, .barred_next = TS_NONE};
    cover_barred_read(text, (ts){2499}, &s);
    assert_true(s.suspended);
    s = (struct sub_facts){
        .revoked_until = TS_NONE, .barred_from = TS_NONE, .barred_next = TS_NONE};
    cover_barred_read(text, (ts){2500}, &s);
    assert_false(s.suspended);
    s = (struct sub_facts){
        .revoked_until = TS_NONE, .barred_from = TS_NONE, .barred_next = TS_NONE};
    cover_barred_read(text, (ts){3000}, &s);
    assert_int_equal(s.revoked_until.ms, 4000);
    assert_true(cover_revoked(text, (ts){3999}));
    assert_false(cover_revoked(text, (ts){4000}));
    assert_true(cover_barred(mem, c, 0).p == NULL);
}

/* Oracle: every moment is looked at by itself. */
static void windows_agree_with_a_walk(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        ARENA_AUTO mem = arena_new(0);
        struct covered c[6], given[6];
        size_t n = 1 + rnd(6);
        for (size_t i = 0; i < n; i++) {
            int64_t start = rnd(20);
            c[i] = (struct covered){{start}, {start + 1 + rnd(8)}, (enum cover)rnd(4)};
        }
        memcpy(given, c, sizeof c);
        sv text = cover_barred(mem, c, n);
        struct sub_facts last = {.barred_next = {0}};
        for (int64_t t = 0; t < 30; t++) {
            bool paid = false, suspended = false, revoked = false;
            for (size_t i = 0; i < n; i++)
                if (given[i].start.ms <= t && t < given[i].end.ms) {
                    paid |= given[i].cover == COVER_PAID;
                    suspended |= given[i].cover == COVER_SUSPENDED;
                    revoked |= given[i].cover == COVER_REVOKED;
                }
            struct sub_facts s = {
                .revoked_until = TS_NONE, .barred_from = TS_NONE, .barred_next = TS_NONE};
            cover_barred_read(text, (ts){t}, &s);
            assert_int_equal(s.suspended, suspended && !paid);
            assert_int_equal(!ts_is_none(s.revoked_until), revoked && !paid);
            if (t < last.barred_next.ms || ts_is_none(last.barred_next)) {
                assert_int_equal(s.suspended, last.suspended);
                assert_int_equal(s.revoked_until.ms, last.revoked_until.ms);
                assert_int_equal(s.barred_from.ms, last.barred_from.ms);
                assert_int_equal(s.barred_next.ms, last.barred_next.ms);
            } else {
                assert_true(ts_is_none(s.barred_next) || s.barred_next.ms > t);
            }
            last = s;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_ends_in_the_same_content),
        cmocka_unit_test(newest_wins_and_final_stays),
        cmocka_unit_test(ties_go_by_rank_and_ask),
        cmocka_unit_test(fetched_answers),
        cmocka_unit_test(money_given_back),
        cmocka_unit_test(periods),
        cmocka_unit_test(windows_agree_with_a_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
