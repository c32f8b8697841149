/* Who is calling: session (cookie or bearer), secret key, visitor. SPEC §5. */
#include "account/account_inner.h"
#include "http/server.h"

static sv bearer(const struct req *r)
{
    sv v = req_header(r, "Authorization");
    if (v.n < 7 || !sv_eq_nocase((sv){v.p, 7}, SV("Bearer ")))
        return SV_NULL;
    return sv_trim((sv){v.p + 7, v.n - 7});
}

/* A credential that is no good counts only where one is needed. */
static err refused(const struct req *r, const char *why)
{
    if (r->route->auth == AUTH_MEMBER || r->route->auth == AUTH_ADMIN)
        return FAIL(ERR_UNAUTHENTICATED, "%s", why);
    return OK;
}

static err by_session(struct req *r, struct db_tx *tx, sv token, enum auth_via via)
{
    ts wall = clock_wall();
    struct session_owner s;
    bool found = false;
    TRY(session_find(tx, r->mem, token, wall, &s, &found));
    if (!found)
        return refused(r, "The session has ended; sign in again");
    r->member = s.account;
    r->role = s.admin ? ROLE_ADMIN : ROLE_MEMBER;
    r->via = via;
    r->session = s.id;
    if (r->writable && ts_before(ts_add(s.seen, SEEN_STEP), wall))
        TRY(session_seen_put(tx, r->mem, s.id, &s.account, wall));
    return OK;
}

/* A server acts for the member it names in MyBeing-User. */
static err by_secret_key(struct req *r, struct db_tx *tx, sv key)
{
    bool found = false;
    struct account a;
    TRY(secret_key_find(tx, r->mem, key, &found));
    if (!found)
        return refused(r, "The secret key is not known, or was revoked");
    sv user = req_header(r, "MyBeing-User");
    if (user.p == NULL)
        return refused(r, "Name the member in the header MyBeing-User");
    err e = account_by_any_id(tx, r->mem, user, &a);
    if (e == ERR_NOT_FOUND)
        return refused(r, "MyBeing-User names no member");
    TRY(e);
    r->member = a.id;
    r->role = a.admin ? ROLE_ADMIN : ROLE_MEMBER;
    r->via = VIA_SECRET_KEY;
    return OK;
}

static err visitor(struct req *r, struct db_tx *tx)
{
    sv cookie = req_cookie(r, "mb_anon"), key = {(const char *)r->app->cookie_key, 32};
    bool claimed = false;
    if (cookie.p == NULL || !visitor_cookie_read(key, cookie, &r->visitor))
        return OK;
    if (user_id_none(&r->member))
        TRY(visitor_claimed(tx, r->mem, &r->visitor, &claimed));
    if (claimed)
        r->visitor.s[0] = '\0'; /* it became a member's: a new one is made */
    return OK;
}

err account_authenticate(struct req *r, struct db_tx *tx)
{
    sv token = bearer(r), cookie = req_cookie(r, "mb_session");
    if (sv_starts(token, SV("mb_st_")))
        TRY(by_session(r, tx, token, VIA_BEARER));
    else if (sv_starts(token, SV("mb_sk_")))
        TRY(by_secret_key(r, tx, token));
    else if (token.p != NULL)
        TRY(account_by_jwt(r, tx, token));
    else if (cookie.n > 0)
        TRY(by_session(r, tx, cookie, VIA_COOKIE));
    return visitor(r, tx);
}
