/* Pure decisions about a member's subscription at Stripe. SPEC §2, stripe/CONTRACT §3, §6. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "billing/access_rules.h"

/* Does a subscription in this state stand in the way of a new one? SPEC §2: any state but canceled
 * and incomplete_expired (states we do not know stand in the way, too). */
bool subscription_blocks(enum sub_status status);

/* What we know of a subscription that is to be ended or kept. */
struct subscription_end {
    bool cancel_at_period_end;
    ts cancel_at; /* TS_NONE: not set */
    ts period_end;
};
/* The one parameter to send: never cancel_at and cancel_at_period_end in one request. "" = nothing
 * to do. */
const char *subscription_cancel_form(const struct subscription_end *s);
const char *subscription_resume_form(const struct subscription_end *s);

/* Is `url` an absolute http(s) URL whose origin is that of `base_url` or one of `origins` (a comma
 * list)? No user part, no backslash, no control characters; "*" allows nothing. */
bool subscription_url_ok(sv url, sv base_url, sv origins);
/* Where the success page may send people: an URL that subscription_url_ok takes, or a path of ours.
 */
bool subscription_target_ok(sv to, sv base_url, sv origins);
