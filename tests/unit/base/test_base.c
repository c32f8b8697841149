/* Arena, strings, money, ids, cryptography. */
#include "base/crypto.h"
#include "base/id.h"
#include "base/money.h"
#include "test.h"

static void arena_rewinds(void **state)
{
    (void)state;
    ARENA_AUTO a = arena_new(64);
    sv first = arena_printf(a, "kept %d", 7);
    struct arena_mark m = arena_mark(a);
    for (int i = 0; i < 1000; i++)
        arena_zero(a, (size_t)i);
    arena_rewind(a, m);
    assert_true(sv_is(first, "kept 7"));
    sv joined = arena_join(a, SV("con_1"), SV("/"), SV("msg_2"));
    assert_true(sv_is(joined, "con_1/msg_2") && joined.p[joined.n] == '\0');
    assert_true(sv_is(arena_join(a, SV_NULL, SV(""), SV_NULL), ""));
    sv again = arena_sv(a, SV("again"));
    assert_true(sv_is(again, "again"));
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
}

static void strings(void **state)
{
    (void)state;
    sv rest = SV("a,b,,c");
    assert_true(sv_is(sv_cut(&rest, ','), "a"));
    assert_true(sv_is(sv_cut(&rest, ','), "b"));
    assert_true(sv_is(sv_cut(&rest, ','), ""));
    assert_true(sv_is(sv_cut(&rest, ','), "c"));
    assert_null(rest.p);
    int64_t v;
    assert_true(sv_to_i64(SV("-9223372036854775808"), &v) && v == INT64_MIN);
    assert_false(sv_to_i64(SV("9223372036854775808"), &v));
    assert_false(sv_to_i64(SV("1x"), &v));
    assert_false(sv_to_i64(SV(""), &v));
    assert_false(sv_to_i64(SV("-"), &v));
    char text[INT_TEXT];
    assert_true(sv_eq(sv_from_i64(INT64_MIN, text), SV("-9223372036854775808")));
    assert_true(sv_eq(sv_from_i64(INT64_MAX, text), SV("9223372036854775807")));
    assert_true(sv_eq(sv_from_i64(0, text), SV("0")));
    assert_true(sv_eq(sv_from_i64(-10, text), SV("-10")));
    assert_true(sv_eq_nocase(SV("AbC"), SV("aBc")));
    assert_true(sv_is(sv_trim(SV(" \t x \r\n")), "x"));
    assert_true(sv_valid_utf8(SV("\xf0\x9f\x98\x80")));
    assert_false(sv_valid_utf8(SV("\xc0\x80")));
    assert_false(sv_valid_utf8(SV("\xed\xa0\x80")));
    assert_false(sv_valid_utf8(SV("\xf4\x90\x80\x80")));
    for (size_t at = 0; at < 24; at++) { /* wherever it stands among eights of ASCII */
        char among[24];
        memset(among, 'a', sizeof among);
        among[at] = '\xff';
        assert_false(sv_valid_utf8((sv){among, sizeof among}));
        memcpy(among + at, "\xc3\xa9", at < 23 ? 2 : 1);
        assert_int_equal(sv_valid_utf8((sv){among, sizeof among}), at < 23);
    }
    assert_int_equal(sv_utf8_len(SV("\xc3\xa9x")), 2);
}

/* An oracle that does not share the program's arithmetic: long division in floats is exact here. */
static void percentages_round_half_up(void **state)
{
    (void)state;
    for (int64_t cents = 1; cents <= 100000; cents++)
        for (int percent = 0; percent <= 100; percent += 5) {
            long double exact = (long double)cents * percent / 100.0L;
            int64_t floor_ = (int64_t)exact;
            int64_t twice = cents * percent - floor_ * 100;
            int64_t want = floor_ + (twice * 2 >= 100);
            assert_int_equal(money_percent((money){cents}, percent).minor, want);
        }
    assert_int_equal(money_discounted((money){100}, 51).minor, 0);
    assert_int_equal(money_discounted((money){100}, 50).minor, 50);
    assert_int_equal(money_percent((money){INT64_MAX / 2}, 100).minor, INT64_MAX / 2);
    assert_int_equal(money_discounted_amount((money){1000}, (money){951}).minor, 0);
    assert_int_equal(money_discounted_amount((money){1000}, (money){950}).minor, 50);
    assert_int_equal(money_discounted_amount((money){1000}, (money){2000}).minor, 0);
    ARENA_AUTO mem = arena_new(0);
    currency jpy = USD, chf = USD, bad;
    assert_true(currency_parse(SV("JPY"), &jpy) && currency_parse(SV("chf"), &chf));
    assert_false(currency_parse(SV("us1"), &bad) || currency_parse(SV("us"), &bad));
    assert_true(sv_is(money_text(mem, (money){3200}, USD), "$32.00"));
    assert_true(sv_is(money_text(mem, (money){-5}, USD), "-$0.05"));
    assert_true(sv_is(money_text(mem, (money){500}, jpy), "\xc2\xa5"
                                                          "500"));
    assert_true(sv_is(money_text(mem, (money){300}, chf), "CHF 3.00"));
}

static void ids_are_ordered(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    sv a = id_new(mem, "pur", (ts){1700000000000}), b = id_new(mem, "pur", (ts){1700000000001});
    assert_true(id_valid(a, "pur") && !id_valid(a, "usr") && !id_valid(SV("pur_x"), "pur"));
    assert_true(sv_cmp(a, b) < 0);
    user_id u = user_id_new((ts){1});
    assert_true(id_valid(user_id_sv(&u), "usr"));
    assert_true(a.p[4 + 14] == '7');
}

static void cryptography(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    /* RFC 4231, test case 2; FIPS 180-2 "abc" */
    sv parts[] = {SV("what do ya want "), SV("for nothing?")};
    struct digest d = crypto_hmac(SV("Jefe"), parts, 2);
    assert_string_equal(crypto_hex(mem, digest_sv(&d)).p,
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    d = crypto_sha256(SV("abc"));
    assert_string_equal(crypto_hex(mem, digest_sv(&d)).p,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /* Short texts are libsodium's until there was a long one: the same digests before and after. */
    struct digest before = crypto_sha256(SV("a token")),
                  mac_before = crypto_hmac(SV("key"), parts, 2);
    char long_key[100];
    memset(long_key, 'k', sizeof long_key);
    const sv keys[] = {SV("key"), SV_NULL, {long_key, sizeof long_key}, SV("k"), SV("")};
    struct digest by_key[5];
    for (size_t i = 0; i < 5; i++)
        by_key[i] = crypto_hmac(keys[i], parts, 2);
    static char million[1000000];
    memset(million, 'a', sizeof million);
    d = crypto_sha256((sv){million, sizeof million}); /* FIPS 180-2 */
    assert_string_equal(crypto_hex(mem, digest_sv(&d)).p,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sv longer = {million, 300};
    d = crypto_hmac(SV("key"), &longer, 1);
    assert_string_equal(crypto_hex(mem, digest_sv(&d)).p,
                        "5cfd7bcac2071d13ef5354fbaafb92c890a4e9d259bb5536ff7b659af32f1f95");
    struct digest after = crypto_sha256(SV("a token")),
                  mac_after = crypto_hmac(SV("key"), parts, 2);
    assert_memory_equal(before.b, after.b, sizeof after.b);
    assert_memory_equal(mac_before.b, mac_after.b, sizeof mac_after.b);
    for (size_t i = 0; i < 10; i++) { /* nothing of a key is left for the next one */
        d = crypto_hmac(keys[i % 5], parts, 2);
        assert_memory_equal(d.b, by_key[i % 5].b, sizeof d.b);
    }
    sv out;
    assert_true(crypto_unhex(mem, SV("00ff"), &out) && out.n == 2);
    assert_false(crypto_unhex(mem, SV("0g"), &out) || crypto_unhex(mem, SV("0"), &out));
    assert_true(sv_is(crypto_b64url(mem, SV("\xfb\xff")), "-_8"));
    assert_true(crypto_b64url_decode(mem, SV("-_8"), &out) && sv_eq(out, SV("\xfb\xff")));
    assert_false(crypto_b64url_decode(mem, SV("+/8="), &out));
    assert_true(crypto_b64_decode(mem, SV("+/8="), &out) && out.n == 2);
    assert_true(crypto_eq(SV("a"), SV("a")) && !crypto_eq(SV("a"), SV("b")) &&
                !crypto_eq(SV("a"), SV("ab")));
    password_set_cost(PASSWORD_CHEAP);
    sv hash;
    assert_int_equal(password_hash(mem, SV("secret"), &hash), OK);
    assert_true(password_verify(hash, SV("secret")) && !password_verify(hash, SV("Secret")));
    assert_false(password_verify(SV("nonsense"), SV("secret")));
    int64_t key;
    sv sealed, plain;
    assert_int_equal(seal(mem, SV("hello"), SV("ctx"), &key, &sealed), OK);
    assert_int_equal(unseal(mem, sealed, SV("ctx"), key, &plain), OK);
    assert_true(sv_is(plain, "hello"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_rewinds),
        cmocka_unit_test(strings),
        cmocka_unit_test(percentages_round_half_up),
        cmocka_unit_test(ids_are_ordered),
        cmocka_unit_test(cryptography),
    };
    crypto_init();
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
