#include "account/jwt_keys.h"
#include "account/jwt_rules.h"
#include "fuzz.h"

/* Nobody signs a token for us here: what is taken is its form alone. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    sv text = fuzz_text(data, n);
    struct jwt jwt;
    struct jwt_claims claims;
    switch (fuzz_way(&text, 3)) {
    case 0:
        if (jwt_parse(mem, text, &jwt) == OK)
            PROMISE(jwt.signed_by.n < text.n && jwt.signature.p != NULL);
        break;
    case 1:
        if (jwt_claims_check(mem, text, SV("https://issuer.example"), SV("aud"), (ts){0},
                             &claims) == OK)
            PROMISE(claims.subject.n > 0);
        break;
    default:
        jwt_key_set_free(jwt_key_set_parse(text));
    }
    return 0;
}
