/* Tokens of the operator's identity provider: their subject becomes a member on first sight. SPEC
 * §5. */
#include "account/account_inner.h"
#include "account/jwt_keys.h"
#include "queries.h"

static err identity_find(struct db_tx *tx, struct arena *mem, sv issuer, sv subject, user_id *out,
                         bool *found)
{
    struct account_identity_get_in in = {.issuer = issuer, .subject = subject};
    struct account_identity_get_row row;
    bool got = false;
    TRY(q_account_identity_get(tx, mem, &in, &row, &got));
    if (got)
        *out = user_id_from(row.account_id);
    *found = got;
    return OK;
}

/* An account that is this person's already: moved here with the subject as its old id, or the owner
 * of the address, when the provider has verified it. */
static err account_of(struct db_tx *tx, struct arena *mem, const struct jwt_claims *c, ts now,
                      user_id *out, bool *found, bool *taken)
{
    struct account a;
    *found = *taken = false;
    err e = account_by_any_id(tx, mem, c->subject, &a);
    if (e == ERR_NOT_FOUND && c->email.p) {
        e = account_by_email(tx, mem, c->email, &a);
        *taken = e == OK;
        if (e == OK && !c->email_verified)
            return OK;
        if (e == OK)
            TRY(account_prove(tx, mem, &a.id, SV_NULL, now));
    }
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    *found = true;
    *out = a.id;
    return OK;
}

static err first_sight(struct db_tx *tx, struct arena *mem, sv issuer, const struct jwt_claims *c,
                       ts now, user_id *out)
{
    bool found = false, taken = false;
    user_id id;
    TRY(db_lock1(tx, arena_printf(mem, "identity:%.*s %.*s", SV_ARG(issuer), SV_ARG(c->subject))));
    TRY(identity_find(tx, mem, issuer, c->subject, out, &found));
    if (found)
        return OK; /* somebody was faster */
    TRY(account_of(tx, mem, c, now, &id, &found, &taken));
    if (!found) {
        struct account_new n = {.email = taken ? SV_NULL : c->email,
                                .name = c->name,
                                .verified = c->email.p && !taken && c->email_verified};
        TRY(account_create(tx, mem, &n, now, &id));
    }
    struct account_identity_insert_in in = {
        .issuer = issuer, .subject = c->subject, .account_id = user_id_sv(&id), .now = now};
    TRY(q_account_identity_insert(tx, mem, &in, NULL));
    *out = id;
    return OK;
}

static err recognise(struct req *r, struct db_tx *tx, sv token)
{
    const struct settings *set = &r->app->set;
    struct jwt t;
    struct jwt_claims c;
    struct account a;
    user_id id;
    bool found = false;
    if (set->auth_jwks_url.n == 0)
        return FAIL(ERR_UNAUTHENTICATED, "The token is not valid");
    TRY(jwt_parse(r->mem, token, &t));
    TRY(jwt_signature_check(&t));
    TRY(jwt_claims_check(r->mem, t.payload, set->auth_issuer, set->auth_audience, clock_wall(),
                         &c));
    TRY(identity_find(tx, r->mem, set->auth_issuer, c.subject, &id, &found));
    if (!found && !r->writable)
        return ERR_FIRST_SIGHT;
    if (!found)
        TRY(first_sight(tx, r->mem, set->auth_issuer, &c, r->now, &id));
    TRY(account_get(tx, r->mem, &id, &a));
    r->member = a.id;
    r->role = a.admin ? ROLE_ADMIN : ROLE_MEMBER;
    r->via = VIA_JWT;
    return OK;
}

err account_by_jwt(struct req *r, struct db_tx *tx, sv token)
{
    bool needed = r->route->auth == AUTH_MEMBER || r->route->auth == AUTH_ADMIN;
    err e = recognise(r, tx, token);
    if (e == ERR_UPSTREAM)
        reply_retry_after(r, 1);
    return e == ERR_UNAUTHENTICATED && !needed ? OK : e;
}

bool account_jwt_fresh(const struct req *r)
{
    struct jwt t;
    const json *claims = NULL;
    sv header =
        req_header(r, "Authorization"); /* "Bearer …": it was checked when it was recognised */
    if (r->via != VIA_JWT || header.n < 7 ||
        jwt_parse(r->mem, sv_trim((sv){header.p + 7, header.n - 7}), &t) != OK ||
        json_parse(r->mem, t.payload, &claims) != OK)
        return false;
    int64_t issued = json_get_int(claims, "iat", 0), now = ts_unix(clock_wall());
    return issued >= now - SESSION_FRESH / TS_SECOND && issued <= now + JWT_LEEWAY / TS_SECOND;
}

void account_keys_start(const struct app *app)
{
    jwt_keys_start(app->set.auth_jwks_url);
}

void account_keys_stop(void)
{
    jwt_keys_stop();
}
