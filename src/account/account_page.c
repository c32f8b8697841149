/* The pages behind the links in mail. GET shows a button and changes nothing (mail scanners follow
 * links); the button's POST uses the link. No script is needed. */
#include "account/account_inner.h"
#include "base/crypto.h"
#include "base/html.h"
#include "http/route.h"

static err sentence(struct req *r, int status, const char *title, const char *text)
{
    BUF_AUTO b = {0};
    buf_printf(&b, "<p>%s</p><p><a class=\"button\" href=\"/\">On to MyBeing</a></p>", text);
    return reply_page(r, status, title, buf_sv(&b));
}

/* A form that sends the token of the query back, with `fields` (HTML) before its button. */
static err form(struct req *r, const char *title, const char *action, const char *fields,
                const char *button)
{
    BUF_AUTO b = {0};
    sv token = req_query(r, "token");
    if (token.n == 0 || token.n > 200)
        return sentence(r, 400, "This link is not whole", "Copy the whole link from the letter.");
    buf_printf(&b,
               "<form method=\"post\" action=\"%s\"><input type=\"hidden\" name=\"token\" value=\"",
               action);
    buf_html(&b, token);
    buf_printf(&b, "\">%s<div class=\"row\"><button>%s</button></div></form>", fields, button);
    return reply_page(r, 200, title, buf_sv(&b));
}

/* GET /auth/magic */
static err page_magic(struct req *r)
{
    return form(r, "Sign in", "/auth/magic",
                "<p>One click, and you are signed in on this device.</p>", "Sign in");
}

/* GET /auth/verify */
static err page_verify(struct req *r)
{
    return form(r, "Confirm your address", "/auth/verify", "<p>Is this e-mail address yours?</p>",
                "Yes, confirm it");
}

#define RESET_FIELDS                                                                               \
    "<label for=\"password\">New password</label><input id=\"password\" name=\"password\" "        \
    "type=\"password\" autocomplete=\"new-password\" minlength=\"8\" required "                    \
    "aria-describedby=\"hint\"><p id=\"hint\" class=\"hint\">At least 8 characters.</p>"

/* GET /auth/reset */
static err page_reset(struct req *r)
{
    return form(r, "Choose a new password", "/auth/reset", RESET_FIELDS, "Save it");
}

static err used_up(struct req *r)
{
    return sentence(r, 410, "This link does not work any more",
                    "It was used already, or it is too old. Ask for a new one.");
}

static err signed_in(struct req *r, const struct sign_in *s)
{
    account_cookie(r, &s->session);
    return reply_redirect(r, 303, SV("/"));
}

struct use {
    struct req *r;
    sv token, hash;
    struct token_used used;
    struct sign_in in;
    struct address_proof proof;
};

static err magic_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct use *u = arg;
    TRY(token_use(tx, mem, u->token, 1u << TOKEN_MAGIC, u->r->now, &u->used));
    return account_magic_use(tx, mem, u->r, &u->used, &u->in);
}

static err token_read(struct req *r, struct use *u)
{
    *u = (struct use){.r = r, .token = req_form(r, "token")};
    return u->token.n > 0 && u->token.n <= 200 ? OK : FAIL(ERR_LINK, "There is no token");
}

/* POST /auth/magic */
static err page_magic_post(struct req *r)
{
    struct use u;
    err e = token_read(r, &u);
    if (e == OK)
        e = db_write(r->db, r->mem, magic_tx, &u);
    return e == OK ? signed_in(r, &u.in) : e == ERR_LINK ? used_up(r) : e;
}

static err verify_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct use *u = arg;
    return account_address_use(tx, mem, u->r, u->token, &u->proof);
}

/* POST /auth/verify */
static err page_verify_post(struct req *r)
{
    struct use u;
    err e = token_read(r, &u);
    if (e == OK)
        e = db_write(r->db, r->mem, verify_tx, &u);
    if (e == ERR_LINK)
        return used_up(r);
    if (e == ERR_EMAIL_TAKEN)
        return sentence(r, 409, "This address is taken", "Another account has it already.");
    TRY(e);
    if (u.proof.account.has_password || u.proof.kept_session)
        return sentence(r, 200, "Confirmed", "Thank you: this address is yours.");
    return sentence(
        r, 200, "Confirmed",
        "Thank you: this address is yours. As it was confirmed in another browser than the "
        "account was made in, sign in with a link by mail, or choose a new password.");
}

static err peek_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct use *u = arg;
    return token_peek(tx, mem, u->token, 1u << TOKEN_RESET, u->r->now, &u->used);
}

static err reset_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct use *u = arg;
    return account_reset_use(tx, mem, u->r, u->token, u->hash, &u->in);
}

static err weak(struct req *r, sv token, const char *problem)
{
    BUF_AUTO b = {0};
    buf_printf(
        &b,
        "<p class=\"notice bad\">The password %s.</p><form method=\"post\" action=\"/auth/reset\">"
        "<input type=\"hidden\" name=\"token\" value=\"",
        problem);
    buf_html(&b, token);
    buf_add(&b, SV("\">" RESET_FIELDS "<div class=\"row\"><button>Save it</button></div></form>"));
    return reply_page(r, 422, "Choose another password", buf_sv(&b));
}

/* POST /auth/reset */
static err page_reset_post(struct req *r)
{
    struct use u;
    sv password = req_form(r, "password");
    err e = token_read(r, &u);
    if (e == OK)
        e = db_read(r->db, r->mem, peek_tx, &u);
    if (e == ERR_LINK)
        return used_up(r);
    TRY(e);
    const char *problem = account_password_problem(password, u.used.email);
    if (problem)
        return weak(r, u.token, problem);
    HASH_SLOT_AUTO slot = {0};
    TRY(hash_enter(&slot));
    TRY(password_hash(r->mem, password, &u.hash));
    hash_leave(&slot);
    e = db_write(r->db, r->mem, reset_tx, &u);
    return e == OK ? signed_in(r, &u.in) : e == ERR_LINK ? used_up(r) : e;
}

static const struct route rows[] = {
    ROUTE(GET, "/auth/magic", page_magic, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/auth/verify", page_verify, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/auth/reset", page_reset, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(POST, "/auth/magic", page_magic_post, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_FORM, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/auth/verify", page_verify_post, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_FORM, .limit = LIMIT_LOGIN),
    ROUTE(POST, "/auth/reset", page_reset_post, .auth = AUTH_PUBLIC, .tx = TX_NONE,
          .body = BODY_FORM, .limit = LIMIT_LOGIN),
};
const struct route_set account_page_routes = {rows, sizeof rows / sizeof *rows};
