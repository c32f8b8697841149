/* What the files of account/ share; nobody else includes it. */
#pragma once
#include "account/account.h"
#include "account/account_rules.h"
#include "app/app.h"

/* -------- account_store.c -------- */
void account_store_init(sv admin_emails);
bool account_is_admin(bool flag, bool verified, sv email);
err account_profile_put(struct db_tx *tx, struct arena *mem, const struct account *a,
                        ts now) MUST_USE;
/* Password: hash SV_NULL = none. *found = false: no such account. */
err account_password_find(struct db_tx *tx, struct arena *mem, sv email_key, user_id *id, sv *hash,
                          bool *found) MUST_USE;
err account_password_of(struct db_tx *tx, struct arena *mem, const user_id *id, sv *hash) MUST_USE;
err account_password_put(struct db_tx *tx, struct arena *mem, const user_id *id, sv hash,
                         ts now) MUST_USE;
err account_verified_put(struct db_tx *tx, struct arena *mem, const user_id *id, ts now) MUST_USE;
/* A new address, proved like the one before it (else account_prove). ERR_EMAIL_TAKEN */
err account_email_put(struct db_tx *tx, struct arena *mem, const user_id *id, sv email,
                      ts now) MUST_USE;
err account_del(struct db_tx *tx, struct arena *mem, const user_id *id) MUST_USE;
/* Counts one more wrong (or not yet right) password of the address in this window. */
err account_failure_add(struct db_tx *tx, struct arena *mem, sv email_key, ts now,
                        int64_t *failures) MUST_USE;
err account_failures_clear(struct db_tx *tx, struct arena *mem, sv email_key) MUST_USE;
/* The same for guesses at the digits of sign-in letters, by the day. */
err account_guess_add(struct db_tx *tx, struct arena *mem, sv email_key, ts now,
                      int64_t *guesses) MUST_USE;
err account_guesses_clear(struct db_tx *tx, struct arena *mem, sv email_key) MUST_USE;
/* Lets go of the accounts of an identity provider that sign in to this one. */
err account_identities_end(struct db_tx *tx, struct arena *mem, const user_id *id) MUST_USE;

/* -------- session_store.c -------- */
struct session {
    sv id, via, user_agent;
    ts created, seen, expires;
};
struct session_owner {
    sv id, email;
    user_id account;
    bool admin;
    ts seen;
};
err session_find(struct db_tx *tx, struct arena *mem, sv token, ts wall, struct session_owner *out,
                 bool *found) MUST_USE;
err session_seen_put(struct db_tx *tx, struct arena *mem, sv id, const user_id *of,
                     ts wall) MUST_USE;
err session_get(struct db_tx *tx, struct arena *mem, sv id, const user_id *of, struct session *out,
                bool *found) MUST_USE;
/* Newest first; `before` SV_NULL = from the newest. */
err session_list(struct db_tx *tx, struct arena *mem, const user_id *of, ts wall, sv before,
                 int64_t n, struct session **out, size_t *count) MUST_USE;
err session_del(struct db_tx *tx, struct arena *mem, sv id, const user_id *of, bool *gone) MUST_USE;
err secret_key_find(struct db_tx *tx, struct arena *mem, sv key, bool *found) MUST_USE;
/* Removes what has expired. */
err account_clean(struct db_tx *tx, struct arena *mem, ts now, ts wall) MUST_USE;

/* -------- token_store.c: one-time links -------- */
enum token_kind { TOKEN_VERIFY, TOKEN_MAGIC, TOKEN_RESET, TOKEN_EMAIL };
struct token_made {
    sv id, token, code; /* code: six digits, of TOKEN_MAGIC only */
};
struct token_used {
    enum token_kind kind;
    user_id account;
    sv email;
};
err token_make(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of,
               sv email, sv code_key, int64_t life_ms, ts now, struct token_made *out) MUST_USE;
err token_count(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of,
                ts since, int64_t *n) MUST_USE;
/* Uses it up; ERR_LINK if it is unknown, used, expired, or of another kind than the mask (1 <<
 * kind). */
err token_use(struct db_tx *tx, struct arena *mem, sv token, unsigned kinds, ts now,
              struct token_used *out) MUST_USE;
err token_peek(struct db_tx *tx, struct arena *mem, sv token, unsigned kinds, ts now,
               struct token_used *out) MUST_USE;
/* Counts a guess at the newest magic link's digits: commit it whatever comes out. *good: they are
 * right (then token_use_id). An account without an id takes as long and has no link. */
err code_try(struct db_tx *tx, struct arena *mem, const user_id *of, sv code, sv code_key, ts now,
             sv *id, bool *good) MUST_USE;
err token_use_id(struct db_tx *tx, struct arena *mem, sv id, ts now,
                 struct token_used *out) MUST_USE;
err tokens_end(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of,
               ts now) MUST_USE;

/* -------- account_hash.c: argon2id, a few at a time -------- */
struct hash_slot {
    bool held;
};
/* Waits for a turn; ERR_BUSY when too many wait already. On worker threads only. */
err hash_enter(struct hash_slot *s) MUST_USE;
void hash_leave(struct hash_slot *s);
#define HASH_SLOT_AUTO __attribute__((cleanup(hash_leave))) struct hash_slot
/* The same time whether there is an account, or a password, or not: hash SV_NULL never matches. */
bool hash_matches(sv hash, sv password);

/* -------- account_claim.c -------- */
err visitor_claimed(struct db_tx *tx, struct arena *mem, const visitor_id *v,
                    bool *claimed) MUST_USE;
err account_claimables(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                       struct jw *w) MUST_USE;
err account_tell_verified(struct db_tx *tx, struct arena *mem, const struct account *a,
                          ts now) MUST_USE;
err account_tell_created(struct db_tx *tx, struct arena *mem, const user_id *id, sv legacy_id,
                         ts now) MUST_USE;
err account_tell_delete(struct db_tx *tx, struct arena *mem, const struct account *a,
                        ts now) MUST_USE;

/* -------- account_mail.c: letters in the caller's transaction -------- */
err account_mail_link(struct db_tx *tx, struct arena *mem, struct app *app, enum token_kind kind,
                      const struct account *a, sv to, ts now) MUST_USE;
err account_mail_notice(struct db_tx *tx, struct arena *mem, const struct account *a, sv to,
                        const char *what, sv cause, ts now) MUST_USE;
err account_mail_welcome(struct db_tx *tx, struct arena *mem, const struct account *a,
                         ts now) MUST_USE;
/* Queues the job that looks the address up and writes to it: what a caller sees is the same whether
 * there is an account or not. */
err account_mail_later(struct db_tx *tx, struct arena *mem, enum token_kind kind, sv email,
                       ts now) MUST_USE;

/* -------- account_flow.c -------- */
struct sign_in {
    user_id id;
    struct session_made session;
    struct account account;
    sv claimable; /* JSON text, or SV_NULL */
    bool claimed;
};
/* Opens a session in place of the caller's old one and looks for what the visitor may claim. */
err account_sign_in(struct db_tx *tx, struct arena *mem, struct req *r, const user_id *id,
                    const char *via, struct sign_in *out) MUST_USE;
/* Cookie and answer. */
err account_reply_sign_in(struct req *r, int status, const struct sign_in *s) MUST_USE;
void account_cookie(struct req *r, const struct session_made *s);
void account_cookie_end(struct req *r);
void account_visitor_renew(struct req *r);
void account_write(struct jw *w, const struct account *a);
/* Is the caller there in person: the password is right, or (no password set) the session is young?
 * On a worker thread, outside any transaction. Errors name the field `pointer`. */
err account_presence(struct req *r, sv password, const char *pointer) MUST_USE;
err account_magic_use(struct db_tx *tx, struct arena *mem, struct req *r,
                      const struct token_used *t, struct sign_in *out) MUST_USE;
struct address_proof {
    struct account account;
    bool kept_session; /* proved in a browser where the member is signed in */
};
/* Uses a verify or e-mail change link. */
err account_address_use(struct db_tx *tx, struct arena *mem, struct req *r, sv token,
                        struct address_proof *out) MUST_USE;
/* Sets a new password by a reset link: the hash is made already. */
err account_reset_use(struct db_tx *tx, struct arena *mem, struct req *r, sv token, sv hash,
                      struct sign_in *out) MUST_USE;

/* -------- account_jwt.c: tokens of the operator's identity provider -------- */
/* Was the caller's token issued in the last minutes (its iat)? */
bool account_jwt_fresh(const struct req *r);
err account_by_jwt(struct req *r, struct db_tx *tx, sv token) MUST_USE;
