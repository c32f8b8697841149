/* Signing in, and what follows from a used link. */
#include "account/account_inner.h"
#include "base/calendar.h"
#include "http/server.h"

/* -------- answers -------- */

void account_write(struct jw *w, const struct account *a)
{
    jw_obj(w);
    jw_kstr(w, "id", user_id_sv(&a->id));
    jw_kstr(w, "email", a->email);
    jw_kbool(w, "emailVerified", a->verified);
    jw_kstr(w, "name", a->name);
    jw_kstr(w, "locale", a->locale);
    jw_kstr(w, "timezone", a->timezone);
    jw_kstr(w, "role", a->admin ? SV("admin") : SV("member"));
    jw_kbool(w, "hasPassword", a->has_password);
    jw_kts(w, "createdAt", a->created);
    jw_obj_end(w);
}

void account_cookie(struct req *r, const struct session_made *s)
{
    reply_cookie(r, "mb_session", s->token, SESSION_LIFE / TS_SECOND);
}

void account_cookie_end(struct req *r)
{
    reply_cookie(r, "mb_session", SV(""), 0);
}

/* The visitor of this browser was claimed, or left: the next one is somebody else. */
void account_visitor_renew(struct req *r)
{
    visitor_id fresh = visitor_id_new(r->now);
    sv key = {(const char *)r->app->cookie_key, 32};
    reply_cookie(r, "mb_anon", visitor_cookie_make(r->mem, key, &fresh), 400 * TS_DAY / TS_SECOND);
}

err account_reply_sign_in(struct req *r, int status, const struct sign_in *s)
{
    account_cookie(r, &s->session);
    if (s->claimed)
        account_visitor_renew(r);
    struct jw *w = reply_json(r, status);
    jw_obj(w);
    jw_key(w, "user");
    account_write(w, &s->account);
    jw_kstr(w, "token", s->session.token);
    jw_kts(w, "expiresAt", s->session.expires);
    jw_kbool(w, "claimed", s->claimed);
    jw_key(w, "claimable");
    jw_raw(w, s->claimable.p ? s->claimable : SV("null"));
    jw_obj_end(w);
    return OK;
}

/* -------- signing in -------- */

err account_sign_in(struct db_tx *tx, struct arena *mem, struct req *r, const user_id *id,
                    const char *via, struct sign_in *out)
{
    struct sign_in s = {.id = *id};
    bool gone;
    if (r->via == VIA_COOKIE && r->session.p) /* rotated: the old token opens nothing any more */
        TRY(session_del(tx, mem, r->session, &r->member, &gone));
    TRY(account_session_open(tx, mem, id, via, req_header(r, "User-Agent"), &s.session));
    TRY(account_get(tx, mem, id, &s.account));
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    TRY(account_claimables(tx, mem, &r->visitor, &w));
    s.claimable = arena_sv(mem, buf_sv(&text));
    *out = s;
    return OK;
}

struct presence {
    struct req *r;
    sv hash, email_key;
    bool fresh, limited;
};

static err password_read(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct presence *a = arg;
    struct account account;
    struct session s;
    bool found = false;
    int64_t failures = 0;
    TRY(account_password_of(tx, mem, &a->r->member, &a->hash));
    if (a->hash.p) {
        TRY(account_get(tx, mem, &a->r->member, &account));
        a->email_key = account_email_key(mem, account.email);
        TRY(account_failure_add(tx, mem, a->email_key, a->r->now, &failures));
        a->limited = failures > LOGIN_FAILURES_MAX;
    }
    if (a->r->session.p)
        TRY(session_get(tx, mem, a->r->session, &a->r->member, &s, &found));
    a->fresh = found && clock_wall().ms - s.created.ms <= SESSION_FRESH;
    return OK;
}

static err failures_clear(struct db_tx *tx, struct arena *mem, void *arg)
{
    return account_failures_clear(tx, mem, *(sv *)arg);
}

err account_presence(struct req *r, sv password, const char *pointer)
{
    struct presence a = {.r = r};
    if (r->via == VIA_SECRET_KEY) /* the operator's server speaks for its member */
        return OK;
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(db_write(r->db, r->mem, password_read, &a));
    if (a.hash.p == NULL) {
        if (!a.fresh && !account_jwt_fresh(r))
            return FAIL(ERR_FORBIDDEN,
                        "Sign in again first: this needs a session of the last minutes");
        return OK;
    }
    if (a.limited) {
        reply_retry_after(r, account_login_wait(r->now));
        return FAIL(ERR_LIMITED, "Too many wrong passwords; try again later");
    }
    if (password.p == NULL)
        return field_error(r, pointer, "required", "is needed for this");
    if (!hash_matches(a.hash, password))
        return field_error(r, pointer, "wrong", "is not the current password");
    return db_write(r->db, r->mem, failures_clear, &a.email_key);
}

/* -------- proving an address -------- */

/* Whoever is not the owner of the address keeps no way in: no session, no password, no identity at
 * a provider, and no letter on its way that would move the account to another address. */
static err leftovers_end(struct db_tx *tx, struct arena *mem, const user_id *id, ts now)
{
    TRY(account_sessions_end(tx, mem, id, SV_NULL, NULL));
    TRY(account_password_put(tx, mem, id, SV_NULL, now));
    TRY(account_identities_end(tx, mem, id));
    return tokens_end(tx, mem, TOKEN_EMAIL, id, now);
}

/* Somebody else may have registered with this address before its owner came: what they set up ends,
 * unless it is the very session that now proves it. */
err account_prove(struct db_tx *tx, struct arena *mem, const user_id *id, sv keep, ts now)
{
    struct account a;
    TRY(account_get(tx, mem, id, &a));
    if (a.verified)
        return OK;
    if (keep.p == NULL)
        TRY(leftovers_end(tx, mem, id, now));
    TRY(account_verified_put(tx, mem, id, now));
    TRY(account_get(tx, mem, id, &a));
    TRY(account_mail_welcome(tx, mem, &a, now));
    return account_tell_verified(tx, mem, &a, now);
}

/* The caller's session if it is of this account; a token of the identity provider is one as well.
 */
static sv own_session(const struct req *r, const user_id *id)
{
    if (!user_id_eq(&r->member, id))
        return SV_NULL;
    return r->via == VIA_JWT ? SV("identity provider") : r->session;
}

/* The address a link was sent to must still be the account's. */
static err still_its_address(struct db_tx *tx, struct arena *mem, const struct token_used *t)
{
    struct account a;
    TRY(account_get(tx, mem, &t->account, &a));
    return sv_eq_nocase(a.email, t->email)
               ? OK
               : FAIL(ERR_LINK, "This link was sent to another address");
}

err account_magic_use(struct db_tx *tx, struct arena *mem, struct req *r,
                      const struct token_used *t, struct sign_in *out)
{
    TRY(still_its_address(tx, mem, t));
    TRY(account_prove(tx, mem, &t->account, own_session(r, &t->account), r->now));
    TRY(tokens_end(tx, mem, TOKEN_MAGIC, &t->account, r->now)); /* the other letters of this kind */
    TRY(account_guesses_clear(tx, mem, account_email_key(mem, t->email)));
    return account_sign_in(tx, mem, r, &t->account, "magic_link", out);
}

err account_reset_use(struct db_tx *tx, struct arena *mem, struct req *r, sv token, sv hash,
                      struct sign_in *out)
{
    struct token_used t;
    TRY(token_use(tx, mem, token, 1u << TOKEN_RESET, r->now, &t));
    TRY(still_its_address(tx, mem, &t));
    TRY(account_prove(tx, mem, &t.account, SV_NULL, r->now));
    TRY(account_password_put(tx, mem, &t.account, hash, r->now));
    TRY(account_sessions_end(tx, mem, &t.account, SV_NULL, NULL));
    TRY(tokens_end(tx, mem, TOKEN_RESET, &t.account, r->now));
    TRY(tokens_end(tx, mem, TOKEN_MAGIC, &t.account, r->now));
    TRY(tokens_end(tx, mem, TOKEN_EMAIL, &t.account, r->now)); /* wished by who may have been in */
    TRY(account_sign_in(tx, mem, r, &t.account, "reset", out));
    TRY(account_failures_clear(tx, mem, account_email_key(mem, out->account.email)));
    return account_mail_notice(tx, mem, &out->account, out->account.email,
                               "Your password was set anew, and all other sessions were ended.",
                               out->session.id, r->now);
}

err account_address_use(struct db_tx *tx, struct arena *mem, struct req *r, sv token,
                        struct address_proof *out)
{
    struct token_used t;
    struct account before;
    TRY(token_use(tx, mem, token, 1u << TOKEN_VERIFY | 1u << TOKEN_EMAIL, r->now, &t));
    TRY(account_get(tx, mem, &t.account, &before));
    sv keep = own_session(r, &t.account);
    if (t.kind == TOKEN_VERIFY)
        TRY(still_its_address(tx, mem, &t));
    else
        TRY(account_email_put(tx, mem, &t.account, t.email, r->now));
    if (t.kind == TOKEN_EMAIL) { /* letters to the old address */
        TRY(tokens_end(tx, mem, TOKEN_MAGIC, &t.account, r->now));
        TRY(tokens_end(tx, mem, TOKEN_RESET, &t.account, r->now));
    }
    if (!before.verified)
        TRY(account_prove(tx, mem, &t.account, keep, r->now));
    TRY(account_get(tx, mem, &t.account, &out->account));
    if (t.kind == TOKEN_EMAIL && before.verified) {
        TRY(account_mail_notice(
            tx, mem, &before, before.email, "The e-mail address of your account was changed.",
            arena_printf(mem, "email:%s:%lld", t.account.s, (long long)r->now.ms), r->now));
        TRY(account_tell_verified(tx, mem, &out->account, r->now));
    }
    out->kept_session = keep.p != NULL;
    return OK;
}

err account_magic_link(struct db_tx *tx, struct arena *mem, sv base_url, const struct account *a,
                       int64_t minutes, ts now, sv *url)
{
    struct token_made made;
    TRY(token_make(tx, mem, TOKEN_MAGIC, &a->id, a->email, SV(""), minutes * TS_MINUTE, now,
                   &made));
    *url = arena_printf(mem, "%.*s/auth/magic?token=%.*s", SV_ARG(base_url), SV_ARG(made.token));
    return OK;
}
