/* JSON Web Tokens (RFC 7519, 8725): form and claims; signatures are in jwt_keys.c. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

#define JWT_MAX    8192             /* bytes of a token */
#define JWT_LEEWAY (60 * TS_SECOND) /* between our clock and the provider's */

enum jwt_alg { JWT_RS256, JWT_ES256, JWT_EDDSA };

struct jwt {
    enum jwt_alg alg;
    sv kid;       /* SV_NULL if there is none */
    sv signed_by; /* "header.payload": what the signature is over */
    sv signature; /* bytes */
    sv payload;   /* JSON text */
};
/* Three parts, a known algorithm ("none" and HMAC are not), no critical extensions.
 * ERR_UNAUTHENTICATED. */
err jwt_parse(struct arena *mem, sv token, struct jwt *out) MUST_USE;

struct jwt_claims {
    sv subject, email, name; /* email, name: SV_NULL if there is none */
    bool email_verified;
};
/* Issuer, audience (a string or a list), expiry and not-before at `now`. ERR_UNAUTHENTICATED, with
 * why. */
err jwt_claims_check(struct arena *mem, sv payload, sv issuer, sv audience, ts now,
                     struct jwt_claims *out) MUST_USE;
