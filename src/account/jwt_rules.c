#include "account/jwt_rules.h"
#include "base/crypto.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>

static err no(const char *why)
{
    return FAIL(ERR_UNAUTHENTICATED, "The token %s", why);
}

static bool alg_parse(sv name, enum jwt_alg *out)
{
    static const char *const names[] = {"RS256", "ES256", "EdDSA"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (sv_is(name, names[i])) {
            *out = (enum jwt_alg)i;
            return true;
        }
    }
    return false;
}

err jwt_parse(struct arena *mem, sv token, struct jwt *out)
{
    if (token.n == 0 || token.n > JWT_MAX)
        return no("is not a JSON Web Token");
    sv rest = token, head = sv_cut(&rest, '.'), payload = sv_cut(&rest, '.'), text;
    struct jwt t = {.kid = SV_NULL};
    const json *header = NULL;
    if (rest.p == NULL || memchr(rest.p, '.', rest.n) != NULL || payload.n == 0)
        return no("is not a JSON Web Token");
    t.signed_by = (sv){token.p, head.n + 1 + payload.n};
    if (!crypto_b64url_decode(mem, head, &text) || json_parse(mem, text, &header) != OK ||
        json_kind(header) != JK_OBJ || !crypto_b64url_decode(mem, payload, &t.payload) ||
        !crypto_b64url_decode(mem, rest, &t.signature))
        return no("is not a JSON Web Token");
    if (!alg_parse(json_get_str(header, "alg"), &t.alg))
        return no("has an algorithm that is not taken (RS256, ES256, EdDSA are)");
    if (json_get(header, "crit") != NULL)
        return no("has an extension that is not understood");
    t.kid = json_get_str(header, "kid");
    *out = t;
    return OK;
}

/* Seconds, whole or not (RFC 7519 NumericDate). */
static bool numeric_date(const json *j, ts *out)
{
    int64_t s = json_int(j, INT64_MIN);
    if (json_kind(j) == JK_REAL) {
        ARENA_AUTO mem = arena_new(0);
        double d = strtod(json_text(mem, j).p, NULL);
        s = isfinite(d) && fabs(d) < 1e12 ? (int64_t)d : INT64_MIN;
    }
    if (s < -1000000000000 || s > 1000000000000)
        return false;
    *out = ts_from_unix(s);
    return true;
}

static bool names_audience(const json *aud, sv audience)
{
    if (json_kind(aud) == JK_STR)
        return sv_eq(json_str(aud), audience);
    for (size_t i = 0; i < json_len(aud); i++)
        if (json_kind(json_at(aud, i)) == JK_STR && sv_eq(json_str(json_at(aud, i)), audience))
            return true;
    return false;
}

/* A text we may keep, or SV_NULL. */
static sv text_claim(const json *claims, const char *name, size_t max)
{
    sv v = json_get_str(claims, name);
    return v.n > 0 && v.n <= max && !sv_has_control(v) ? v : SV_NULL;
}

static sv email_claim(const json *claims)
{
    sv v = text_claim(claims, "email", 254);
    const char *at = v.n ? memchr(v.p, '@', v.n) : NULL;
    return at != NULL && at > v.p && at + 1 < v.p + v.n && memchr(v.p, ' ', v.n) == NULL ? v
                                                                                         : SV_NULL;
}

err jwt_claims_check(struct arena *mem, sv payload, sv issuer, sv audience, ts now,
                     struct jwt_claims *out)
{
    const json *c = NULL;
    ts exp, nbf;
    if (json_parse(mem, payload, &c) != OK || json_kind(c) != JK_OBJ)
        return no("is not a JSON Web Token");
    if (!sv_eq(json_get_str(c, "iss"), issuer))
        return no("is of another issuer");
    if (!names_audience(json_get(c, "aud"), audience))
        return no("is for another audience");
    if (!numeric_date(json_get(c, "exp"), &exp))
        return no("does not say when it expires");
    if (!ts_before(now, ts_add(exp, JWT_LEEWAY)))
        return no("has expired");
    if (json_get(c, "nbf") != NULL &&
        (!numeric_date(json_get(c, "nbf"), &nbf) || ts_before(ts_add(now, JWT_LEEWAY), nbf)))
        return no("is not valid yet");
    struct jwt_claims k = {.subject = text_claim(c, "sub", 255),
                           .email = email_claim(c),
                           .name = text_claim(c, "name", 200),
                           .email_verified = json_get_bool(c, "email_verified", false)};
    if (k.subject.p == NULL)
        return no("names nobody");
    *out = k;
    return OK;
}
