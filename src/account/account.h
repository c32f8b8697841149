/* Accounts: members, sessions, visitors, secret keys. SPEC §5. (lead's contract) */
#pragma once
#include "http/route.h"
#include "http/server.h"
#include "base/id.h"
#include "db/db.h"

struct account {
    user_id id;
    sv email, name, locale, timezone; /* timezone: IANA name or SV_NULL = UTC */
    bool verified, admin;
    ts created;
    sv legacy_id;
};
/* ERR_NOT_FOUND if there is none. */
err account_get(struct db_tx *tx, struct arena *mem, const user_id *id, struct account *out) MUST_USE;
err account_by_email(struct db_tx *tx, struct arena *mem, sv email, struct account *out) MUST_USE;
/* By our id or a legacy id (Stripe's metadata.userId may hold either, SPEC §9). */
err account_by_any_id(struct db_tx *tx, struct arena *mem, sv id, struct account *out) MUST_USE;

/* http_options.auth */
err account_authenticate(struct req *r, struct db_tx *tx) MUST_USE;

/* What moves from a visitor to a member at a claim: each feature adds its part at start. Runs in the
 * claiming transaction, which holds the visitor's lock and has made sure that this is the one claim. */
typedef err (*account_claim_fn)(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                                const user_id *to, ts now);
void account_on_claim(account_claim_fn fn); /* at start, before threads; at most 8 */
/* "Is there something to claim?" answers of the features: counts are written to the sign-in answer. */
typedef err (*account_claimable_fn)(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                                    int64_t *count);
void account_on_claimable(const char *name, account_claimable_fn fn);
/* Claims for `to` what belongs to the visitor. All or nothing, once, by exactly one account: *claimed =
 * false when the visitor was claimed before (by whom does not matter). SPEC §2 "Visitors buy too". */
err account_claim(struct db_tx *tx, struct arena *mem, const visitor_id *from, const user_id *to, ts now,
                  bool *claimed) MUST_USE;

/* Runs when an address was proved to be the member's (purchase/ links receipts to it). */
typedef err (*account_verified_fn)(struct db_tx *tx, struct arena *mem, const struct account *a, ts now);
void account_on_verified(account_verified_fn fn);

extern const struct route_set account_routes;
extern const struct job_kind_set account_jobs;
