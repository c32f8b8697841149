#include "base/crypto.h"
#include "ext/stripe_event.h"

#define TOLERANCE_S 300

/* Digits only, exactly as Stripe writes it. */
static bool read_time(sv s, int64_t *out)
{
    if (s.n == 0 || s.n > 18)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return sv_to_i64(s, out);
}

static bool near(int64_t t, ts clock)
{
    int64_t diff = ts_unix(clock) - t;
    return diff <= TOLERANCE_S && diff >= -TOLERANCE_S;
}

static void hex(const struct digest *d, char out[64])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof d->b; i++) {
        out[2 * i] = digits[d->b[i] >> 4];
        out[2 * i + 1] = digits[d->b[i] & 15];
    }
}

static void sign(sv secret, sv time, sv body, char out[64])
{
    sv parts[] = {time, SV("."), body};
    struct digest d = crypto_hmac(secret, parts, 3);
    hex(&d, out);
}

static bool any_v1(sv header, sv expected)
{
    bool match = false;
    while (header.p) {
        sv item = sv_cut(&header, ',');
        sv name = sv_cut(&item, '=');
        if (sv_is(sv_trim(name), "v1") && item.p && crypto_eq(sv_trim(item), expected))
            match = true;
    }
    return match;
}

/* The one t of the header; false if there is none, two, or another form. */
static bool time_of(sv header, sv *text, int64_t *value)
{
    bool found = false;
    while (header.p) {
        sv item = sv_cut(&header, ',');
        sv name = sv_cut(&item, '=');
        if (!sv_is(sv_trim(name), "t"))
            continue;
        if (found || !item.p || !read_time(sv_trim(item), value))
            return false;
        *text = sv_trim(item);
        found = true;
    }
    return found;
}

err stripe_signature_check(sv header, sv body, sv secrets, ts wall, ts now)
{
    sv time = SV_NULL;
    int64_t t = 0;
    if (!header.p)
        return FAIL(ERR_SIGNATURE, "the header Stripe-Signature is missing");
    if (!time_of(header, &time, &t))
        return FAIL(ERR_SIGNATURE, "the header Stripe-Signature is malformed");
    if (!near(t, wall) && !near(t, now))
        return FAIL(ERR_SIGNATURE, "the signature's time is more than %d s away", TOLERANCE_S);
    while (secrets.p) {
        sv secret = sv_trim(sv_cut(&secrets, ','));
        if (sv_empty(secret))
            continue;
        char expected[64];
        sign(secret, time, body, expected);
        if (any_v1(header, (sv){expected, sizeof expected}))
            return OK;
    }
    return FAIL(ERR_SIGNATURE, "no signature matches");
}

sv stripe_signature_make(struct arena *mem, sv secret, sv body, ts at)
{
    sv time = arena_printf(mem, "%lld", (long long)ts_unix(at));
    char text[64];
    sign(secret, time, body, text);
    return arena_printf(mem, "t=%.*s,v1=%.64s", SV_ARG(time), text);
}
