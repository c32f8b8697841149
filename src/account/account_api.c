/* /api/auth/…: register, sign in and out, who am I, sessions, claim. SPEC §5. */
#include "account/account_inner.h"
#include "base/crypto.h"
#include "http/route.h"
#include "mail/mail.h"

#include <stdio.h>
#include <unistd.h>

/* -------- register -------- */

struct registration {
    struct req *r;
    struct account_new fields;
    struct sign_in in;
};

static err register_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct registration *g = arg;
    struct req *r = g->r;
    user_id id;
    bool claimed = false;
    TRY(account_create(tx, mem, &g->fields, r->now, &id));
    if (!visitor_id_none(&r->visitor))
        TRY(account_claim(tx, mem, &r->visitor, &id, r->now, &claimed));
    TRY(account_sign_in(tx, mem, r, &id, "register", &g->in));
    g->in.claimed = claimed;
    return account_mail_link(tx, mem, r->app, TOKEN_VERIFY, &g->in.account, g->in.account.email,
                             r->now);
}

static err profile_check(struct req *r, sv locale, sv timezone)
{
    err e = OK;
    if (locale.p && !account_locale_valid(locale))
        e = field_error(r, "/locale", "invalid", "is not a language like en or pt-BR");
    bool known = account_timezone_valid(timezone);
    char path[128];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", SV_ARG(timezone));
    if (known && access("/usr/share/zoneinfo/UTC", R_OK) == 0)
        known = access(path, R_OK) == 0;
    if (timezone.p && !known)
        e = field_error(r, "/timezone", "invalid", "is not a time zone like Europe/Berlin");
    return e;
}

/* POST /api/auth/register */
static err account_register(struct req *r)
{
    struct registration g = {.r = r};
    struct account_new *n = &g.fields;
    sv password = SV_NULL;
    const struct field fields[] = {
        {"email", FIELD_EMAIL, &n->email, .required = true},
        {"password", FIELD_STR, &password, .required = true, .min = 1, .max = PASSWORD_BYTES_MAX},
        {"name", FIELD_STR, &n->name, .max = 200, .min = 1},
        {"locale", FIELD_STR, &n->locale, .max = 35, .min = 1},
        {"timezone", FIELD_STR, &n->timezone, .max = 64, .min = 1},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(profile_check(r, n->locale, n->timezone));
    const char *problem = account_password_problem(password, n->email);
    if (problem)
        return field_error(r, "/password", "weak", "%s", problem);
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(password_hash(r->mem, password, &n->password_hash));
    hash_leave(&slot);
    TRY(db_write(r->db, r->mem, register_tx, &g));
    return account_reply_sign_in(r, 201, &g.in);
}

/* -------- login, logout -------- */

struct login {
    struct req *r;
    sv email_key, hash;
    user_id id;
    bool known, limited;
    struct sign_in in;
};

/* Counts the try before it is looked at, so that guesses at the same time count too; known or not.
 */
static err login_count_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct login *l = arg;
    int64_t failures = 0;
    TRY(account_failure_add(tx, mem, l->email_key, l->r->now, &failures));
    l->limited = failures > LOGIN_FAILURES_MAX;
    l->hash = SV_NULL;
    return account_password_find(tx, mem, l->email_key, &l->id, &l->hash, &l->known);
}

static err login_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct login *l = arg;
    sv hash = SV_NULL;
    err e = account_password_of(tx, mem, &l->id, &hash);
    if (e != ERR_NOT_FOUND)
        TRY(e);
    if (e != OK || !sv_eq(hash, l->hash)) /* changed, or gone, since it was compared */
        return FAIL(ERR_BAD_CREDENTIALS, "E-mail or password is wrong");
    TRY(account_failures_clear(tx, mem, l->email_key));
    return account_sign_in(tx, mem, l->r, &l->id, "password", &l->in);
}

/* POST /api/auth/login */
static err account_login(struct req *r)
{
    struct login l = {.r = r};
    sv email = SV_NULL, password = SV_NULL;
    const struct field fields[] = {
        {"email", FIELD_EMAIL, &email, .required = true},
        {"password", FIELD_STR, &password, .required = true, .min = 1, .max = PASSWORD_BYTES_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    l.email_key = account_email_key(r->mem, email);
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(db_write(r->db, r->mem, login_count_tx, &l));
    if (l.limited) {
        reply_retry_after(r, account_login_wait(r->now));
        return FAIL(ERR_LIMITED,
                    "Too many wrong passwords; try again later, or ask for a sign-in link");
    }
    bool right = hash_matches(l.known ? l.hash : SV_NULL, password);
    hash_leave(&slot);
    if (!right)
        return FAIL(ERR_BAD_CREDENTIALS, "E-mail or password is wrong");
    TRY(db_write(r->db, r->mem, login_tx, &l));
    return account_reply_sign_in(r, 200, &l.in);
}

/* POST /api/auth/logout */
static err account_logout(struct req *r)
{
    bool gone;
    TRY(body_read(r, NULL, 0));
    if (r->session.p)
        TRY(session_del(r->tx, r->mem, r->session, &r->member, &gone));
    account_cookie_end(r);
    return reply_empty(r, 204);
}

/* -------- me -------- */

/* GET /api/auth/me */
static err account_me(struct req *r)
{
    struct account a;
    TRY(account_get(r->tx, r->mem, &r->member, &a));
    account_write(reply_json(r, 200), &a);
    return OK;
}

static bool is_null(const struct req *r, const char *name)
{
    return json_kind(json_get(r->json, name)) == JK_NULL;
}

/* PATCH /api/auth/me: null clears a field. */
static err account_me_patch(struct req *r)
{
    struct account a;
    TRY(account_get(r->tx, r->mem, &r->member, &a));
    const struct field fields[] = {
        {"name", FIELD_STR, &a.name, .max = 200, .min = 1},
        {"locale", FIELD_STR, &a.locale, .max = 35, .min = 1},
        {"timezone", FIELD_STR, &a.timezone, .max = 64, .min = 1},
    };
    TRY(body_read(r, FIELDS(fields)));
    if (is_null(r, "name"))
        a.name = SV_NULL;
    if (is_null(r, "locale"))
        a.locale = SV_NULL;
    if (is_null(r, "timezone"))
        a.timezone = SV_NULL;
    TRY(profile_check(r, a.locale, a.timezone));
    TRY(account_profile_put(r->tx, r->mem, &a, r->now));
    account_write(reply_json(r, 200), &a);
    return OK;
}

static err delete_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct req *r = arg;
    struct account a;
    TRY(account_get(tx, mem, &r->member, &a));
    TRY(account_tell_delete(tx, mem, &a, r->now));
    TRY(mail_erase(tx, &r->member));
    return account_del(tx, mem, &r->member);
}

/* DELETE /api/auth/me: personal data go with the person, the books stay. */
static err account_me_delete(struct req *r)
{
    sv password = SV_NULL;
    const struct field fields[] = {
        {"password", FIELD_STR, &password, .min = 1, .max = PASSWORD_BYTES_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(account_presence(r, password, "/password"));
    TRY(db_write(r->db, r->mem, delete_tx, r));
    account_cookie_end(r);
    account_visitor_renew(r);
    return reply_empty(r, 204);
}

/* -------- password -------- */

struct password_change {
    struct req *r;
    sv hash;
};

static err password_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct password_change *c = arg;
    struct req *r = c->r;
    struct account a;
    TRY(account_get(tx, mem, &r->member, &a));
    TRY(account_password_put(tx, mem, &a.id, c->hash, r->now));
    TRY(account_sessions_end(tx, mem, &a.id, r->session, NULL));
    TRY(tokens_end(tx, mem, TOKEN_RESET, &a.id, r->now));
    TRY(tokens_end(tx, mem, TOKEN_EMAIL, &a.id, r->now)); /* wished by who may have been in */
    return account_mail_notice(tx, mem, &a, a.email, "Your password was changed.",
                               arena_printf(mem, "password:%s", r->id), r->now);
}

/* POST /api/auth/password: a new one; other sessions end. */
static err account_password(struct req *r)
{
    struct password_change c = {.r = r};
    sv current = SV_NULL, password = SV_NULL;
    const struct field fields[] = {
        {"currentPassword", FIELD_STR, &current, .min = 1, .max = PASSWORD_BYTES_MAX},
        {"password", FIELD_STR, &password, .required = true, .min = 1, .max = PASSWORD_BYTES_MAX},
    };
    TRY(body_read(r, FIELDS(fields)));
    const char *problem = account_password_problem(password, SV_NULL);
    if (problem)
        return field_error(r, "/password", "weak", "%s", problem);
    TRY(account_presence(r, current, "/currentPassword"));
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(password_hash(r->mem, password, &c.hash));
    hash_leave(&slot);
    TRY(db_write(r->db, r->mem, password_tx, &c));
    return reply_empty(r, 204);
}

/* -------- sessions -------- */

/* GET /api/auth/sessions */
static err account_sessions(struct req *r)
{
    struct page page;
    struct session *s = NULL;
    size_t n = 0;
    TRY(page_read(r, &page));
    if (page.cursor.p && !id_valid(page.cursor, "ses"))
        return field_error(r, "cursor", "invalid", "is not a cursor of this list");
    TRY(session_list(r->tx, r->mem, &r->member, clock_wall(), page.cursor, page.limit + 1, &s, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "id", s[i].id);
        jw_kstr(w, "via", s[i].via);
        jw_kstr(w, "userAgent", s[i].user_agent);
        jw_kts(w, "createdAt", s[i].created);
        jw_kts(w, "lastSeenAt", s[i].seen);
        jw_kts(w, "expiresAt", s[i].expires);
        jw_kbool(w, "current", sv_eq(s[i].id, r->session));
        jw_obj_end(w);
    }
    return page_end(r, w, more ? s[n - 1].id : SV_NULL);
}

/* DELETE /api/auth/sessions: all others; ?all=true: this one too. */
static err account_sessions_delete(struct req *r)
{
    bool all = false;
    int64_t ended = 0;
    const struct field fields[] = {{"all", FIELD_BOOL, &all}};
    TRY(query_read(r, FIELDS(fields)));
    TRY(account_sessions_end(r->tx, r->mem, &r->member, all ? SV_NULL : r->session, &ended));
    if (all)
        account_cookie_end(r);
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kint(w, "ended", ended);
    jw_obj_end(w);
    return OK;
}

/* DELETE /api/auth/sessions/{id} */
static err account_session_delete(struct req *r)
{
    sv id = req_param(r, "id");
    bool gone = false;
    TRY(session_del(r->tx, r->mem, id, &r->member, &gone));
    if (!gone)
        return FAIL(ERR_NOT_FOUND, "There is no such session");
    if (sv_eq(id, r->session))
        account_cookie_end(r);
    return reply_empty(r, 204);
}

/* -------- claim -------- */

/* POST /api/auth/claim: what the visitor of this browser bought or wrote becomes the member's. */
static err account_claim_post(struct req *r)
{
    bool claimed = false;
    TRY(body_read(r, NULL, 0));
    if (!visitor_id_none(&r->visitor)) {
        TRY(account_claim(r->tx, r->mem, &r->visitor, &r->member, r->now, &claimed));
        account_visitor_renew(r);
    }
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kbool(w, "claimed", claimed);
    jw_obj_end(w);
    return OK;
}

static const struct route rows[] = {
    ROUTE(POST, "/api/auth/register", account_register, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/login", account_login, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/logout", account_logout, .auth = AUTH_PUBLIC, .tx = TX_WRITE,
          .body = BODY_JSON),
    ROUTE(GET, "/api/auth/me", account_me, .auth = AUTH_MEMBER, .tx = TX_READ),
    ROUTE(PATCH, "/api/auth/me", account_me_patch, .auth = AUTH_MEMBER, .tx = TX_WRITE,
          .body = BODY_JSON),
    ROUTE(DELETE, "/api/auth/me", account_me_delete, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/api/auth/password", account_password, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_LOGIN),
    ROUTE(GET, "/api/auth/sessions", account_sessions, .auth = AUTH_MEMBER, .tx = TX_READ),
    ROUTE(DELETE, "/api/auth/sessions", account_sessions_delete, .auth = AUTH_MEMBER,
          .tx = TX_WRITE),
    ROUTE(DELETE, "/api/auth/sessions/{id}", account_session_delete, .auth = AUTH_MEMBER,
          .tx = TX_WRITE),
    ROUTE(POST, "/api/auth/claim", account_claim_post, .auth = AUTH_MEMBER, .tx = TX_WRITE,
          .body = BODY_JSON),
};
const struct route_set account_routes = {rows, sizeof rows / sizeof *rows};

void account_init(struct app *app)
{
    account_store_init(app->set.admin_emails);
}
