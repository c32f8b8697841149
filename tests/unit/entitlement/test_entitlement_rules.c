/* Who may open what, and for how much: SPEC §2 as tables. */
#include "entitlement/entitlement_rules.h"
#include "test.h"
#include <stdio.h>

static const struct allowance quizzes = {
    .limit = 2, .max_price = {5000}, .discount_percent = 20, .discount_limit = 3};
static const struct allowance articles = {
    .limit = 3, .max_price = {-1}, .discount_percent = 30, .discount_limit = -1};

#define NOW ((ts){1000000})
static struct access member(bool new_slots)
{
    return (struct access){.premium = true,
                           .status = SUB_ACTIVE,
                           .until = {9000000},
                           .cycle_start = {500000},
                           .cycle_end = {2000000},
                           .new_slots = new_slots};
}
static struct access free_member(void)
{
    return (struct access){.until = TS_NONE, .cycle_start = TS_NONE, .cycle_end = TS_NONE};
}
static struct item quiz(int64_t price)
{
    return (struct item){.id = SV("quiz:x"), .kind = ITEM_QUIZ, .price = {price}, .currency = USD};
}
static struct item article(int64_t price)
{
    return (struct item){.id = SV("article:a"),
                         .kind = ITEM_ARTICLE,
                         .price = {price},
                         .currency = USD,
                         .premium = true};
}
static const struct holding nothing;
static const struct slot_count none;

static struct decision decide(struct access a, struct item it, struct holding h,
                              struct slot_count used, struct slot_count discounts)
{
    return entitlement_decide(&a, it.kind == ITEM_QUIZ ? &quizzes : &articles, &it, &h, used,
                              discounts, NULL, 0);
}

static void decisions(void **state)
{
    (void)state;
    struct holding owned = {.purchase = SV("pur_1")}, opened = {.opened = true};
    struct holding granted = {.grant = SV("grt_1"), .grant_until = {1500000}};
    struct item free_article = article(0), retired = quiz(1000), plain = article(400);
    free_article.premium = false;
    plain.premium = false;
    retired.retired = true;
    const struct {
        const char *what;
        struct access a;
        struct item it;
        struct holding h;
        int64_t used, discounts_used, discounts_held;
        enum decide_kind kind;
        int64_t price, left;
        bool slot;
    } t[] = {
        {"free member pays the list price", free_member(), quiz(1900), nothing, 0, 0, 0, DECIDE_PAY,
         1900, 0, 0},
        {"two quizzes free", member(true), quiz(1900), nothing, 0, 0, 0, DECIDE_ALLOWANCE, 1520, 2,
         1},
        {"the second", member(true), quiz(1900), nothing, 1, 0, 0, DECIDE_ALLOWANCE, 1520, 1, 1},
        {"the third costs, less 20 %", member(true), quiz(1900), nothing, 2, 0, 0, DECIDE_PAY, 1520,
         0, 1},
        {"two discounts used", member(true), quiz(1900), nothing, 2, 2, 0, DECIDE_PAY, 1520, 0, 1},
        {"three discounts used", member(true), quiz(1900), nothing, 2, 3, 0, DECIDE_PAY, 1900, 0,
         0},
        {"held ones count", member(true), quiz(1900), nothing, 2, 1, 2, DECIDE_PAY, 1900, 0, 0},
        {"exactly $50.00 is free", member(true), quiz(5000), nothing, 0, 0, 0, DECIDE_ALLOWANCE,
         4000, 2, 1},
        {"above $50.00 is not, but reduced", member(true), quiz(5001), nothing, 0, 0, 0, DECIDE_PAY,
         4001, 2, 1},
        {"articles: three free", member(true), article(900), nothing, 2, 0, 0, DECIDE_ALLOWANCE,
         630, 1, 0},
        {"then 30 %", member(true), article(900), nothing, 3, 0, 0, DECIDE_PAY, 630, 0, 0},
        {"without limit", member(true), article(900), nothing, 3, 900, 9, DECIDE_PAY, 630, 0, 0},
        {"articles have no price bound", member(true), article(90000), nothing, 0, 0, 0,
         DECIDE_ALLOWANCE, 63000, 3, 0},
        {"no new slots: pays", member(false), quiz(1900), nothing, 0, 0, 0, DECIDE_PAY, 1900, 0, 0},
        {"no new slots: what was opened stays", member(false), quiz(1900), opened, 0, 0, 0,
         DECIDE_OPENED, 1900, 0, 0},
        {"no new slots: articles keep 30 %", member(false), article(900), nothing, 0, 0, 0,
         DECIDE_PAY, 630, 0, 0},
        {"bought stays for good", free_member(), quiz(1900), owned, 0, 0, 0, DECIDE_OWNED, 0, 0, 0},
        {"opened closes with premium", free_member(), quiz(1900), opened, 0, 0, 0, DECIDE_PAY, 1900,
         0, 0},
        {"opened again costs no slot", member(true), quiz(1900), opened, 2, 0, 0, DECIDE_OPENED,
         1520, 0, 1},
        {"granted", free_member(), quiz(1900), granted, 0, 0, 0, DECIDE_GRANTED, 0, 0, 0},
        {"free article", free_member(), free_article, nothing, 0, 0, 0, DECIDE_FREE, 0, 0, 0},
        {"not a premium article", free_member(), plain, nothing, 0, 0, 0, DECIDE_FREE, 0, 0, 0},
        {"49 cents are free", free_member(), quiz(49), nothing, 0, 0, 0, DECIDE_FREE, 0, 0, 0},
        {"50 cents are not", free_member(), quiz(50), nothing, 0, 0, 0, DECIDE_PAY, 50, 0, 0},
        {"reduced under 50 cents becomes free", member(true), quiz(60), nothing, 2, 0, 0,
         DECIDE_PAY, 0, 0, 1},
        {"retired: not sold", member(true), retired, nothing, 0, 0, 0, DECIDE_GONE, 0, 0, 0},
        {"retired: owners keep it", free_member(), retired, owned, 0, 0, 0, DECIDE_OWNED, 0, 0, 0},
        {"retired: opened stays", member(true), retired, opened, 0, 0, 0, DECIDE_OPENED, 800, 2, 1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct decision d = decide(t[i].a, t[i].it, t[i].h, (struct slot_count){t[i].used, 0},
                                   (struct slot_count){t[i].discounts_used, t[i].discounts_held});
        if (d.kind != t[i].kind || d.quote.price.minor != t[i].price || d.left != t[i].left ||
            d.quote.takes_slot != t[i].slot)
            fail_msg("%s: kind %d price %lld left %lld slot %d", t[i].what, d.kind,
                     (long long)d.quote.price.minor, (long long)d.left, d.quote.takes_slot);
        assert_non_null(d.rule);
        assert_int_equal(decide_via(d.kind) == NULL, d.kind == DECIDE_PAY || d.kind == DECIDE_GONE);
    }
}

static void until_when(void **state)
{
    (void)state;
    struct holding granted = {.grant = SV("grt_1"), .grant_until = {1500000}},
                   opened = {.opened = true};
    assert_int_equal(decide(free_member(), quiz(100), granted, none, none).until.ms, 1500000);
    assert_int_equal(decide(member(true), quiz(100), opened, none, none).until.ms, 9000000);
    assert_true(ts_is_none(
        decide(member(true), quiz(100), (struct holding){.purchase = SV("p")}, none, none).until));
    /* The unused allowance is named in the quote of what it does not cover. */
    assert_int_equal(decide(member(true), quiz(6000), nothing, none, none).quote.allowance_left, 2);
}

static struct discount_offer offer(int percent, int64_t amount)
{
    return (struct discount_offer){.id = SV("dsc_1"),
                                   .percent = percent,
                                   .amount = {amount},
                                   .currency = USD,
                                   .kind = -1,
                                   .from = TS_NONE,
                                   .until = TS_NONE,
                                   .max_uses = -1,
                                   .max_per_member = -1};
}

static void the_lowest_price_wins(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct access a;
        int percent[2];
        int64_t amount[2], list, price;
        enum discount_kind kind;
        int offer;
    } t[] = {
        {"manual is lower", member(true), {25, -1}, {0, 100}, 1000, 750, DISCOUNT_MANUAL, 0},
        {"the second offer is lower",
         member(true),
         {25, -1},
         {0, 300},
         1000,
         700,
         DISCOUNT_MANUAL,
         1},
        {"tie: the subscription's own",
         member(true),
         {20, -1},
         {0, 200},
         1000,
         800,
         DISCOUNT_PREMIUM,
         -1},
        {"premium is lower", member(true), {10, -1}, {0, 100}, 1000, 800, DISCOUNT_PREMIUM, -1},
        {"never stacked", member(true), {50, 50}, {0, 0}, 1000, 500, DISCOUNT_MANUAL, 0},
        {"all off", member(true), {100, -1}, {0, 1}, 1000, 0, DISCOUNT_MANUAL, 0},
        {"more than all off", free_member(), {1, -1}, {0, 5000}, 1000, 0, DISCOUNT_MANUAL, 1},
        {"both free by the minimum: a tie",
         member(true),
         {90, -1},
         {0, 1},
         60,
         0,
         DISCOUNT_PREMIUM,
         -1},
        {"visitor with a code", free_member(), {10, -1}, {0, 50}, 1000, 900, DISCOUNT_MANUAL, 0},
        {"an offer that changes nothing is none",
         free_member(),
         {1, -1},
         {0, 0},
         50,
         0,
         DISCOUNT_MANUAL,
         0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct discount_offer o[2] = {offer(t[i].percent[0], t[i].amount[0]),
                                      offer(t[i].percent[1], t[i].amount[1])};
        o[0].id = SV("dsc_0");
        const struct discount_offer *p[2] = {&o[0], &o[1]};
        struct item it = quiz(t[i].list);
        struct quote q = quote_decide(&t[i].a, &quizzes, &it, none, 0, p, 2);
        if (q.price.minor != t[i].price || q.discount != t[i].kind ||
            (t[i].offer >= 0 && q.offer != p[t[i].offer]))
            fail_msg("%s: price %lld kind %d", t[i].what, (long long)q.price.minor, q.discount);
    }
}

static void offers_have_bounds(void **state)
{
    (void)state;
    struct item x = quiz(1000), a = article(1000);
    sv me = SV("usr_1");
    struct discount_offer o = offer(10, 0);
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OK);
    assert_int_equal(offer_usable(&o, &x, SV_NULL, NOW), OFFER_OK);
    o.from = ts_add(NOW, 1);
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_NOT_YET);
    o.from = NOW; /* the first moment counts, */
    o.until = ts_add(NOW, 1);
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OK);
    o.until = NOW; /* the last does not */
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OVER);
    o = offer(10, 0);
    o.max_uses = 2;
    o.used = 1;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OK);
    o.used = 2;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_USED_UP);
    o = offer(10, 0);
    o.max_per_member = 1;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OK);
    assert_int_equal(offer_usable(&o, &x, SV_NULL, NOW), OFFER_SIGN_IN);
    o.used_member = 1;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_USED_UP);
    o = offer(10, 0);
    o.kind = ITEM_QUIZ;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OK);
    assert_int_equal(offer_usable(&o, &a, me, NOW), OFFER_OTHER_ITEM);
    o.item = SV("quiz:y");
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OTHER_ITEM);
    o = offer(-1, 100);
    o.currency = (currency){"eur"};
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_OTHER_ITEM);
    o = offer(10, 0);
    o.member = SV("usr_2");
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_UNKNOWN);
    assert_int_equal(offer_usable(&o, &x, SV_NULL, NOW), OFFER_UNKNOWN);
    o = offer(10, 0);
    o.disabled = true;
    assert_int_equal(offer_usable(&o, &x, me, NOW), OFFER_UNKNOWN);
}

/* Written apart from base/money: by quotient and remainder in 128 bits. */
static int64_t oracle(int64_t list, int percent)
{
    unsigned __int128 part = (unsigned __int128)(uint64_t)list * (unsigned)percent;
    unsigned __int128 whole = part / 100, rest = part % 100;
    if (rest >= 50)
        whole++;
    int64_t price = list - (int64_t)whole;
    return price > 0 && price < 50 ? 0 : price;
}

static void every_price_to_the_cent(void **state)
{
    (void)state;
    struct access nobody = free_member(), m = member(true);
    for (int percent = 1; percent <= 100; percent++) {
        struct discount_offer o = offer(percent, 0);
        const struct discount_offer *p[1] = {&o};
        struct allowance own = {.discount_percent = percent, .discount_limit = 3};
        for (int64_t cents = 1; cents <= 100000; cents++) {
            struct item it = quiz(cents);
            int64_t want = oracle(cents, percent);
            if (quote_decide(&nobody, &quizzes, &it, none, 0, p, 1).price.minor != want ||
                quote_decide(&m, &own, &it, none, 0, NULL, 0).price.minor != want)
                fail_msg("%d %% off %lld", percent, (long long)cents);
        }
    }
    /* Large ones do not overflow. */
    struct item big = quiz(INT64_MAX / 2);
    struct discount_offer o = offer(99, 0);
    const struct discount_offer *p[1] = {&o};
    assert_true(quote_decide(&nobody, &quizzes, &big, none, 0, p, 1).price.minor ==
                oracle(INT64_MAX / 2, 99));
}

static void slots(void **state)
{
    (void)state;
    const int64_t a[] = {1}, b[] = {2}, c[] = {1, 2}, d[] = {1, 1}, e[] = {3, 1};
    assert_int_equal(slot_pick(NULL, 0, 2), 1);
    assert_int_equal(slot_pick(a, 1, 2), 2);
    assert_int_equal(slot_pick(b, 1, 2), 1);
    assert_int_equal(slot_pick(c, 2, 2), 0);
    assert_int_equal(slot_pick(d, 2, 2), 0); /* two cycles' first ones: two are used */
    assert_int_equal(slot_pick(e, 2, 3), 2);
    assert_int_equal(slot_pick(NULL, 0, 0), 0);
    /* Half-open: a cycle that begins where another ends does not overlap it. */
    assert_false(cycles_overlap((ts){0}, (ts){10}, (ts){10}, (ts){20}));
    assert_false(cycles_overlap((ts){10}, (ts){20}, (ts){0}, (ts){10}));
    assert_true(cycles_overlap((ts){0}, (ts){11}, (ts){10}, (ts){20}));
    assert_true(cycles_overlap((ts){12}, (ts){13}, (ts){10}, (ts){20}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions),
        cmocka_unit_test(until_when),
        cmocka_unit_test(the_lowest_price_wins),
        cmocka_unit_test(offers_have_bounds),
        cmocka_unit_test(every_price_to_the_cent),
        cmocka_unit_test(slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
