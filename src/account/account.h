/* Accounts: members, sessions, visitors, secret keys. SPEC §5. */
#pragma once
#include "base/id.h"
#include "db/db.h"
#include "http/route.h"
#include "http/server.h"

struct account {
    user_id id;
    sv email; /* SV_NULL: a member of an outside identity provider that tells none */
    sv name, locale, timezone; /* timezone: IANA name or SV_NULL = UTC */
    bool verified;
    bool admin; /* by its flag, or a verified address of ADMIN_EMAILS */
    ts created;
    sv legacy_id;
    bool has_password;
};
/* ERR_NOT_FOUND if there is none. */
err account_get(struct db_tx *tx, struct arena *mem, const user_id *id,
                struct account *out) MUST_USE;
err account_by_email(struct db_tx *tx, struct arena *mem, sv email, struct account *out) MUST_USE;
/* By our id or a legacy id (Stripe's metadata.userId may hold either, SPEC §9). */
err account_by_any_id(struct db_tx *tx, struct arena *mem, sv id, struct account *out) MUST_USE;
/* What an operator types: an address or an id. ERR_NOT_FOUND. */
err account_by_name(struct db_tx *tx, struct arena *mem, sv address_or_id,
                    struct account *out) MUST_USE;
/* At most n accounts with an id behind `after` ("" = from the start), by id. */
err account_list(struct db_tx *tx, struct arena *mem, sv after, int64_t n, struct account **out,
                 size_t *count) MUST_USE;

struct account_new {
    sv email, name, locale, timezone, password_hash, legacy_id; /* each may be SV_NULL */
    bool verified, admin;
};
/* ERR_EMAIL_TAKEN if there is an account with this e-mail (in any case of letters). */
err account_create(struct db_tx *tx, struct arena *mem, const struct account_new *n, ts now,
                   user_id *out) MUST_USE;

/* http_options.auth */
err account_authenticate(struct req *r, struct db_tx *tx) MUST_USE;

/* -------- sessions: their times are clock_wall's -------- */
struct session_made {
    sv id, token; /* token "mb_st_…": cookie and bearer; only its hash is kept */
    ts expires;
};
/* via: "password", "magic_link", "reset", "register", "dev". user_agent may be SV_NULL. */
err account_session_open(struct db_tx *tx, struct arena *mem, const user_id *id, const char *via,
                         sv user_agent, struct session_made *out) MUST_USE;
/* Ends all sessions of an account but `keep` (SV_NULL: none is kept). */
err account_sessions_end(struct db_tx *tx, struct arena *mem, const user_id *id, sv keep,
                         int64_t *ended) MUST_USE;

/* A link that signs its owner in, as in a magic link's mail; at most `minutes` old when used. */
err account_magic_link(struct db_tx *tx, struct arena *mem, sv base_url, const struct account *a,
                       int64_t minutes, ts now, sv *url) MUST_USE;
/* The address was proved to be the member's: marks it, tells the listeners. Ends what an unverified
 * registration left (password, sessions, identities, a wished change of address), unless `keep` is
 * given: the very session that proves it. Nothing if it was verified already. */
err account_prove(struct db_tx *tx, struct arena *mem, const user_id *id, sv keep, ts now) MUST_USE;
err account_admin_set(struct db_tx *tx, struct arena *mem, const user_id *id, bool admin,
                      ts now) MUST_USE;

/* -------- visitors -------- */

/* What moves from a visitor to a member at a claim: each feature adds its part at start. Runs in
 * the claiming transaction, which holds the visitor's lock (db_lock key "visitor:" + id: take it
 * too where you write for a visitor) and has made sure that this is the one claim. */
typedef err (*account_claim_fn)(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                                const user_id *to, ts now);
void account_on_claim(account_claim_fn fn); /* at start, before threads; at most 8 */
/* "Is there something to claim?" answers of the features: counts are written to the sign-in answer.
 */
typedef err (*account_claimable_fn)(struct db_tx *tx, struct arena *mem, const visitor_id *from,
                                    int64_t *count);
void account_on_claimable(const char *name, account_claimable_fn fn);
/* Claims for `to` what belongs to the visitor. All or nothing, once, by exactly one account:
 * *claimed = false when the visitor was claimed before (by whom does not matter). SPEC §2 "Visitors
 * buy too". */
err account_claim(struct db_tx *tx, struct arena *mem, const visitor_id *from, const user_id *to,
                  ts now, bool *claimed) MUST_USE;

/* Runs when an address was proved to be the member's (purchase/ links receipts to it). */
typedef err (*account_verified_fn)(struct db_tx *tx, struct arena *mem, const struct account *a,
                                   ts now);
void account_on_verified(account_verified_fn fn);

/* Runs when an account was made (billing/ takes the facts that already name it). */
typedef err (*account_created_fn)(struct db_tx *tx, struct arena *mem, const user_id *id,
                                  sv legacy_id, ts now);
void account_on_created(account_created_fn fn);

/* Runs before an account is deleted: refuse with an error (ERR_CONFLICT and why), or let go of what
 * rows without a foreign key still say. */
typedef err (*account_delete_fn)(struct db_tx *tx, struct arena *mem, const struct account *a,
                                 ts now);
void account_on_delete(account_delete_fn fn);

/* -------- secret keys (mb_sk_…) -------- */
err account_key_create(struct db_tx *tx, struct arena *mem, sv name, ts now, sv *id,
                       sv *key) MUST_USE;
struct secret_key {
    sv id, name, hint;   /* hint: its last characters */
    ts created, revoked; /* revoked: TS_NONE = in use */
};
err account_key_list(struct db_tx *tx, struct arena *mem, struct secret_key **out,
                     size_t *n) MUST_USE;
err account_key_revoke(struct db_tx *tx, struct arena *mem, sv id, ts now, bool *revoked) MUST_USE;

struct app;
void account_init(struct app *app); /* at start, before threads */
/* For serve: the identity provider's keys are fetched from now on; after http_client_start. */
void account_keys_start(const struct app *app);
void account_keys_stop(void);
extern const struct route_set account_routes, account_link_routes, account_page_routes;
extern const struct job_kind_set account_jobs;
