/* JSON Web Tokens: form, claims, keys and signatures. The vectors are RFC 7515 A.2, A.3 and RFC
 * 8037 A.4. */
#include "account/jwt_keys.h"
#include "base/crypto.h"
#include "test.h"

#include <stdio.h>

static sv token(struct arena *mem, const char *header, const char *payload)
{
    sv h = crypto_b64url(mem, sv_from(header)), p = crypto_b64url(mem, sv_from(payload));
    return arena_printf(mem, "%.*s.%.*s.AAAA", SV_ARG(h), SV_ARG(p));
}

static void forms(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool good;
    } rows[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"a\"}", true},
        {"{\"alg\":\"ES256\"}", true},
        {"{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", true},
        {"{\"alg\":\"none\"}", false},
        {"{\"alg\":\"HS256\"}", false},
        {"{\"alg\":\"rs256\"}", false},
        {"{\"alg\":\"RS256\",\"alg\":\"none\"}", false},
        {"{\"alg\":[\"RS256\"]}", false},
        {"{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", false},
        {"{}", false},
        {"[]", false},
        {"nothing", false},
    };
    ARENA_AUTO mem = arena_new(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt t;
        if ((jwt_parse(mem, token(mem, rows[i].header, "{}"), &t) == OK) != rows[i].good)
            fail_msg("%s", rows[i].header);
    }
    static const char *const broken[] = {"",        ".",        "..",    "a.b",
                                         "a.b.c.d", "e30.e30.", "!.!.!", "e30..AAAA"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct jwt t;
        if (jwt_parse(mem, sv_from(broken[i]), &t) != ERR_UNAUTHENTICATED)
            fail_msg("%s", broken[i]);
    }
}

static void claims(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        const char *why; /* NULL: good */
    } rows[] = {
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"sub\":\"s\"}", NULL},
        {"{\"iss\":\"I\",\"aud\":[\"B\",\"A\"],\"exp\":1001,\"sub\":\"s\"}", NULL},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":941,\"sub\":\"s\"}", NULL}, /* within a minute */
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001.5,\"sub\":\"s\"}", NULL},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"nbf\":1059,\"sub\":\"s\"}", NULL},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":940,\"sub\":\"s\"}", "expired"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"nbf\":1061,\"sub\":\"s\"}", "not valid yet"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"nbf\":\"x\",\"sub\":\"s\"}", "not valid yet"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"sub\":\"s\"}", "when it expires"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":\"1001\",\"sub\":\"s\"}", "when it expires"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1e300,\"sub\":\"s\"}", "when it expires"},
        {"{\"iss\":\"J\",\"aud\":\"A\",\"exp\":1001,\"sub\":\"s\"}", "issuer"},
        {"{\"aud\":\"A\",\"exp\":1001,\"sub\":\"s\"}", "issuer"},
        {"{\"iss\":\"I\",\"aud\":\"B\",\"exp\":1001,\"sub\":\"s\"}", "audience"},
        {"{\"iss\":\"I\",\"aud\":[],\"exp\":1001,\"sub\":\"s\"}", "audience"},
        {"{\"iss\":\"I\",\"exp\":1001,\"sub\":\"s\"}", "audience"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001}", "nobody"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"sub\":\"\"}", "nobody"},
        {"{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"sub\":7}", "nobody"},
        {"[]", "not a JSON Web Token"},
    };
    ARENA_AUTO mem = arena_new(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt_claims c;
        err e =
            jwt_claims_check(mem, sv_from(rows[i].payload), SV("I"), SV("A"), (ts){1000000}, &c);
        if ((e == OK) != (rows[i].why == NULL) ||
            (rows[i].why && strstr(err_detail(e), rows[i].why) == NULL))
            fail_msg("%s: %s", rows[i].payload, e == OK ? "taken" : err_detail(e));
    }
    struct jwt_claims c;
    assert_int_equal(
        jwt_claims_check(mem,
                         SV("{\"iss\":\"I\",\"aud\":\"A\",\"exp\":1001,\"sub\":\"s\",\"email\":"
                            "\"a@b.example\",\"email_verified\":true,\"name\":\"N\"}"),
                         SV("I"), SV("A"), (ts){1000000}, &c),
        OK);
    assert_true(sv_is(c.email, "a@b.example") && c.email_verified && sv_is(c.name, "N"));
}

static const char rs_key[] = "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
                             "wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1P"
                             "t0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
                             "7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"
                             "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"
                             "I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2P"
                             "AcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}";
static const char rs_token[] =
    "eyJhbGciOiJSUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    "."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
    "O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZc"
    "AcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
    "eSN9383LcOLn6_dO--xi12jzDwusC-eOk"
    "HWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
    "IoypGlUPQGe77Rw";
static const char es_key[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
static const char es_token[] =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    "."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char ed_key[] =
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
static const char ed_token[] =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

static int check(const char *keys, const char *text)
{
    ARENA_AUTO mem = arena_new(0);
    struct jwt t;
    assert_int_equal(jwt_parse(mem, sv_from(text), &t), OK);
    struct jwt_key_set *s = jwt_key_set_parse(arena_printf(mem, "{\"keys\":[%s]}", keys));
    assert_non_null(s);
    int got = jwt_key_set_verify(s, &t);
    jwt_key_set_free(s);
    return got;
}

static void signatures(void **state)
{
    (void)state;
    static const char *const keys[] = {rs_key, es_key, ed_key};
    static const char *const tokens[] = {rs_token, es_token, ed_token};
    char all[2048];
    snprintf(all, sizeof all, "%s,%s,%s", rs_key, es_key, ed_key);
    for (int i = 0; i < 3; i++) {
        char bad[1024];
        assert_int_equal(check(keys[i], tokens[i]), 1);
        assert_int_equal(check(all, tokens[i]), 1);
        assert_int_equal(check(keys[(i + 1) % 3], tokens[i]), -1);
        snprintf(bad, sizeof bad, "%s", tokens[i]);
        char *dot = strrchr(bad, '.');
        dot[5] = dot[5] == 'A' ? 'B' : 'A'; /* in the signature */
        assert_int_equal(check(keys[i], bad), 0);
        snprintf(bad, sizeof bad, "%s", tokens[i]);
        dot = strchr(bad, '.');
        dot[9] = dot[9] == 'A' ? 'B' : 'A'; /* in the payload */
        assert_int_equal(check(keys[i], bad), 0);
        snprintf(bad, sizeof bad, "%.*sAAAA", (int)(strrchr(tokens[i], '.') + 1 - tokens[i]),
                 tokens[i]);
        assert_int_equal(check(keys[i], bad), 0);
    }
}

static void which_key(void **state)
{
    (void)state;
    /* Two of a kind and no kid: not told which. */
    char two[1024];
    snprintf(two, sizeof two, "%s,%s", es_key, es_key);
    assert_int_equal(check(two, es_token), 0);
    /* Keys for something else do not count. */
    static const char *const other[] = {",\"use\":\"enc\"}", ",\"alg\":\"ES384\"}",
                                        ",\"use\":7,\"alg\":\"RS256\"}"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char key[1024];
        snprintf(key, sizeof key, "%.*s%s", (int)strlen(es_key) - 1, es_key, other[i]);
        assert_int_equal(check(key, es_token), -1);
    }
    /* A point that is not on the curve, a short RSA key, nonsense: left out. */
    assert_int_equal(check("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                           "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                           "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
                           es_token),
                     -1);
    assert_int_equal(
        check("{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0t\",\"e\":\"AQAB\"},7,null,{}", rs_token),
        -1);
    assert_null(jwt_key_set_parse(SV("{}")));
    assert_null(jwt_key_set_parse(SV("<html>")));
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(claims),
        cmocka_unit_test(signatures),
        cmocka_unit_test(which_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
