/* /api/auth/…: magic links, forgotten passwords, proving and changing an address. What mails links
 * says the same for known and unknown addresses; links are used by POST alone. SPEC §5. */
#include "account/account_inner.h"
#include "base/crypto.h"
#include "http/route.h"

static err reply_sent(struct req *r)
{
    struct jw *w = reply_json(r, 202);
    jw_obj(w);
    jw_kbool(w, "sent", true);
    jw_obj_end(w);
    return OK;
}

static err mail_to(struct req *r, enum token_kind kind)
{
    sv email = SV_NULL;
    const struct field fields[] = {{"email", FIELD_EMAIL, &email, .required = true}};
    TRY(body_read(r, FIELDS(fields)));
    TRY(account_mail_later(r->tx, r->mem, kind, email, r->now));
    return reply_sent(r);
}

/* POST /api/auth/magic-link */
static err account_magic_link_post(struct req *r)
{
    return mail_to(r, TOKEN_MAGIC);
}

/* POST /api/auth/password/forgot */
static err account_forgot(struct req *r)
{
    return mail_to(r, TOKEN_RESET);
}

/* -------- magic-link/verify -------- */

struct magic {
    struct req *r;
    sv token, email, code, id;
    bool limited;
    struct sign_in in;
};

static err magic_token_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct magic *m = arg;
    struct token_used t;
    TRY(token_use(tx, mem, m->token, 1u << TOKEN_MAGIC, m->r->now, &t));
    return account_magic_use(tx, mem, m->r, &t, &m->in);
}

/* Commits the guess, right or wrong, at a known address or not. */
static err magic_guess_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct magic *m = arg;
    struct account a = {0};
    bool good = false;
    int64_t guesses = 0;
    sv key = {(const char *)m->r->app->code_key, 32}, id = SV_NULL;
    m->id = SV_NULL;
    TRY(account_guess_add(tx, mem, account_email_key(mem, m->email), m->r->now, &guesses));
    m->limited = guesses > CODE_DAY_MAX;
    if (m->limited)
        return OK;
    err e = account_by_email(tx, mem, m->email, &a);
    if (e != ERR_NOT_FOUND)
        TRY(e);
    TRY(code_try(tx, mem, &a.id, m->code, key, m->r->now, &id, &good));
    if (good)
        m->id = id;
    return OK;
}

static err magic_code_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct magic *m = arg;
    struct token_used t;
    TRY(token_use_id(tx, mem, m->id, m->r->now, &t));
    return account_magic_use(tx, mem, m->r, &t, &m->in);
}

/* POST /api/auth/magic-link/verify: the link's token, or the address and the six digits. */
static err account_magic_verify(struct req *r)
{
    struct magic m = {.r = r};
    const struct field fields[] = {
        {"token", FIELD_STR, &m.token, .min = 1, .max = 200},
        {"email", FIELD_EMAIL, &m.email},
        {"code", FIELD_STR, &m.code, .min = 6, .max = 6},
    };
    TRY(body_read(r, FIELDS(fields)));
    if (m.token.p) {
        TRY(db_write(r->db, r->mem, magic_token_tx, &m));
        return account_reply_sign_in(r, 200, &m.in);
    }
    if (m.email.p == NULL || m.code.p == NULL)
        return field_error(r, "/token", "required", "is missing (or email and code)");
    TRY(db_write(r->db, r->mem, magic_guess_tx, &m));
    if (m.limited) {
        reply_retry_after(r, account_guess_wait(r->now));
        return FAIL(ERR_LIMITED, "Too many codes were tried today; use the link of the letter");
    }
    if (m.id.p == NULL)
        return FAIL(ERR_LINK, "The code is wrong, was used already, or has expired");
    TRY(db_write(r->db, r->mem, magic_code_tx, &m));
    return account_reply_sign_in(r, 200, &m.in);
}

/* -------- password/reset -------- */

struct reset {
    struct req *r;
    sv token, hash;
    struct token_used peeked;
    struct sign_in in;
};

static err reset_peek_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reset *x = arg;
    return token_peek(tx, mem, x->token, 1u << TOKEN_RESET, x->r->now, &x->peeked);
}

static err reset_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct reset *x = arg;
    return account_reset_use(tx, mem, x->r, x->token, x->hash, &x->in);
}

/* POST /api/auth/password/reset */
static err account_reset(struct req *r)
{
    struct reset x = {.r = r};
    sv password = SV_NULL;
    const struct field fields[] = {
        {"token", FIELD_STR, &x.token, .required = true, .min = 1, .max = 200},
        {"password", FIELD_STR, &password, .required = true, .min = 1, .max = PASSWORD_BYTES_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(db_read(r->db, r->mem, reset_peek_tx, &x)); /* before the work of hashing */
    const char *problem = account_password_problem(password, x.peeked.email);
    if (problem)
        return field_error(r, "/password", "weak", "%s", problem);
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(password_hash(r->mem, password, &x.hash));
    hash_leave(&slot);
    TRY(db_write(r->db, r->mem, reset_tx, &x));
    return account_reply_sign_in(r, 200, &x.in);
}

/* -------- addresses -------- */

/* POST /api/auth/email/verify */
static err account_email_verify(struct req *r)
{
    sv token = SV_NULL;
    struct address_proof p;
    const struct field fields[] = {
        {"token", FIELD_STR, &token, .required = true, .min = 1, .max = 200},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(account_address_use(r->tx, r->mem, r, token, &p));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "email", p.account.email);
    jw_kbool(w, "emailVerified", true);
    jw_obj_end(w);
    return OK;
}

/* POST /api/auth/email/resend */
static err account_email_resend(struct req *r)
{
    struct account a;
    int64_t recent = 0;
    TRY(body_read(r, NULL, 0));
    TRY(account_get(r->tx, r->mem, &r->member, &a));
    if (a.verified || a.email.p == NULL)
        return FAIL(ERR_CONFLICT, "The address is verified already");
    TRY(token_count(r->tx, r->mem, TOKEN_VERIFY, &a.id, ts_add(r->now, -LOGIN_WINDOW), &recent));
    if (recent >= MAILS_MAX) {
        reply_retry_after(r, LOGIN_WINDOW / TS_SECOND);
        return FAIL(ERR_LIMITED, "There are several letters on their way already");
    }
    TRY(account_mail_link(r->tx, r->mem, r->app, TOKEN_VERIFY, &a, a.email, r->now));
    return reply_sent(r);
}

struct email_change {
    struct req *r;
    sv email;
};

static err email_change_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct email_change *c = arg;
    struct req *r = c->r;
    struct account a;
    int64_t recent = 0;
    TRY(account_get(tx, mem, &r->member, &a));
    /* Whether the address is another account's, only its owner learns: by the link in the letter.
     */
    TRY(token_count(tx, mem, TOKEN_EMAIL, &a.id, ts_add(r->now, -LOGIN_WINDOW), &recent));
    if (recent >= MAILS_MAX) {
        reply_retry_after(r, LOGIN_WINDOW / TS_SECOND);
        return FAIL(ERR_LIMITED, "There are several letters on their way already");
    }
    TRY(tokens_end(tx, mem, TOKEN_EMAIL, &a.id, r->now)); /* the last wish counts */
    TRY(account_mail_link(tx, mem, r->app, TOKEN_EMAIL, &a, c->email, r->now));
    if (!a.verified)
        return OK;
    return account_mail_notice(
        tx, mem, &a, a.email,
        "Somebody signed in to your account asked to change its e-mail address.",
        arena_printf(mem, "email_asked:%s", r->id), r->now);
}

/* POST /api/auth/email: the change happens when the new address is proved. */
static err account_email_change(struct req *r)
{
    struct email_change c = {.r = r};
    sv password = SV_NULL;
    const struct field fields[] = {
        {"email", FIELD_EMAIL, &c.email, .required = true},
        {"password", FIELD_STR, &password, .min = 1, .max = PASSWORD_BYTES_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(account_presence(r, password, "/password"));
    TRY(db_write(r->db, r->mem, email_change_tx, &c));
    return reply_sent(r);
}

static const struct route rows[] = {
    ROUTE(POST, "/api/auth/magic-link", account_magic_link_post, .auth = AUTH_PUBLIC,
          .tx = TX_WRITE, .body = BODY_JSON, .limit = LIMIT_MAIL),
    ROUTE(POST, "/api/auth/magic-link/verify", account_magic_verify, .auth = AUTH_PUBLIC,
          .tx = TX_NONE, .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/password/forgot", account_forgot, .auth = AUTH_PUBLIC, .tx = TX_WRITE,
          .body = BODY_JSON, .limit = LIMIT_MAIL),
    ROUTE(POST, "/api/auth/password/reset", account_reset, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/email", account_email_change, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_MAIL),
    ROUTE(POST, "/api/auth/email/verify", account_email_verify, .auth = AUTH_PUBLIC, .tx = TX_WRITE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/email/resend", account_email_resend, .auth = AUTH_MEMBER, .tx = TX_WRITE,
          .body = BODY_JSON, .limit = LIMIT_MAIL),
};
const struct route_set account_link_routes = {rows, sizeof rows / sizeof *rows};
