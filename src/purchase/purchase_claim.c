/* What a visitor bought becomes a member's: by the cookie, or by the receipt's link and a proved
 * address. SPEC §2 "Visitors buy too". */
#include "purchase/purchase_store.h"

#include "account/account.h"
#include "base/crypto.h"

#define BATCH 200

/* -------- by the cookie -------- */

err purchase_on_claim(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                      const user_id *to, ts now)
{
    struct caller visitor = {.visitor = *from}, member = {.member = *to};
    TRY(entitlement_lock(tx, mem, &member, NULL, 0));
    for (;;) { /* each round claims what it lists */
        struct purchase *p;
        size_t n;
        TRY(purchase_list_of(tx, mem, &visitor, SV_NULL, BATCH, &p, &n));
        for (size_t i = 0; i < n; i++) {
            bool won;
            TRY(purchase_claim_one(tx, mem, &p[i], to, "claimed", now, &won));
        }
        if (n < BATCH)
            return OK;
    }
}

err purchase_on_claimable(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                          int64_t *count)
{
    return purchase_visitor_count(tx, mem, from, count);
}

/* -------- by the receipt -------- */

static sv token_mac(struct arena *mem, const struct app *app, sv id)
{
    sv parts[] = {SV("purchase-claim:"), id};
    struct digest d =
        crypto_hmac((sv){(const char *)app->cookie_key, sizeof app->cookie_key}, parts, 2);
    return crypto_b64url(mem, digest_sv(&d));
}

sv purchase_claim_token(struct arena *mem, const struct app *app, sv id)
{
    sv mac = token_mac(mem, app, id);
    return arena_printf(mem, "%.*s.%.*s", SV_ARG(id), SV_ARG(mac));
}

sv purchase_claim_url(struct arena *mem, const struct app *app, sv id)
{
    sv token = purchase_claim_token(mem, app, id);
    return arena_printf(mem, "%.*s/?claim=%.*s", SV_ARG(app->set.base_url), SV_ARG(token));
}

static err token_purchase(struct db_tx *tx, struct arena *mem, const struct app *app, sv token,
                          struct purchase *p)
{
    sv mac = token, id = sv_cut(&mac, '.');
    bool found = false;
    if (mac.p && crypto_eq(mac, token_mac(mem, app, id)))
        TRY(purchase_by_id(tx, mem, id, p, &found));
    return found ? OK : FAIL_FIELD(ERR_VALIDATION, "/token", "is not a claim link of ours");
}

/* The link and the address together: neither alone proves anything. */
static err claim_checked(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                         const struct account *a, ts now, enum claim_outcome *out)
{
    bool won;
    if (!user_id_none(&p->member)) {
        *out = user_id_eq(&p->member, &a->id) ? CLAIM_MINE : CLAIM_TAKEN;
        return OK;
    }
    if (!p->email.p || !sv_eq_nocase(p->email, a->email)) {
        *out = CLAIM_OTHER_ADDRESS;
        return OK;
    }
    if (!a->verified) {
        *out = CLAIM_UNVERIFIED;
        return OK;
    }
    TRY(purchase_claim_one(tx, mem, p, &a->id, "claimed_by_receipt", now, &won));
    *out = won ? CLAIM_WON : CLAIM_TAKEN;
    return OK;
}

err purchase_claim_receipt(struct db_tx *tx, struct arena *mem, const struct app *app, sv token,
                           const user_id *member, ts now, struct purchase *p,
                           enum claim_outcome *out)
{
    struct account a;
    struct caller c = {.member = *member};
    TRY(token_purchase(tx, mem, app, token, p));
    TRY(entitlement_lock(tx, mem, &c, NULL, 0));
    TRY(account_get(tx, mem, member, &a));
    TRY(claim_checked(tx, mem, p, &a, now, out));
    if (*out == CLAIM_UNVERIFIED)
        TRY(purchase_claim_wait(tx, p->id, member, now));
    return purchase_get(tx, mem, p->id, p);
}

/* Links opened before the address was proved come true now. */
err purchase_on_verified(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    sv *ids;
    size_t n;
    TRY(purchase_claims_waiting(tx, mem, &a->id, &ids, &n));
    if (n == 0)
        return OK;
    struct caller c = {.member = a->id};
    struct account proved = *a;
    proved.verified = true;
    TRY(entitlement_lock(tx, mem, &c, NULL, 0));
    for (size_t i = 0; i < n; i++) {
        struct purchase p;
        enum claim_outcome outcome;
        TRY(purchase_get(tx, mem, ids[i], &p));
        TRY(claim_checked(tx, mem, &p, &proved, now, &outcome));
    }
    return purchase_claims_done(tx, &a->id);
}

void purchase_init(void)
{
    billing_listen(purchase_on_fact);
    account_on_claim(purchase_on_claim);
    account_on_claimable("purchases", purchase_on_claimable);
    account_on_verified(purchase_on_verified);
    account_on_delete(purchase_on_delete);
    purchase_state_init();
}
