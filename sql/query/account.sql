-- Accounts, sessions, one-time links, secret keys, claims.

-- name: account_by_id :opt
-- in: id text
-- out: id text, email text?, verified bool, name text?, locale text?, timezone text?, has_password bool, admin bool, legacy_id text?, created_at ts
SELECT id, email, CASE WHEN email_verified_at IS NULL THEN 0 ELSE 1 END AS verified, name, locale, timezone,
    CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS has_password, admin, legacy_id, created_at
FROM account WHERE id = $id;

-- name: account_by_email_key :opt
-- in: email_key text
-- out: id text, email text?, verified bool, name text?, locale text?, timezone text?, has_password bool, admin bool, legacy_id text?, created_at ts
SELECT id, email, CASE WHEN email_verified_at IS NULL THEN 0 ELSE 1 END AS verified, name, locale, timezone,
    CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS has_password, admin, legacy_id, created_at
FROM account WHERE email_key = $email_key;

-- name: account_by_legacy_id :opt
-- in: legacy_id text
-- out: id text, email text?, verified bool, name text?, locale text?, timezone text?, has_password bool, admin bool, legacy_id text?, created_at ts
SELECT id, email, CASE WHEN email_verified_at IS NULL THEN 0 ELSE 1 END AS verified, name, locale, timezone,
    CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS has_password, admin, legacy_id, created_at
FROM account WHERE legacy_id = $legacy_id;

-- name: account_page :many
-- in: after text, n int
-- out: id text, email text?, verified bool, name text?, locale text?, timezone text?, has_password bool, admin bool, legacy_id text?, created_at ts
SELECT id, email, CASE WHEN email_verified_at IS NULL THEN 0 ELSE 1 END AS verified, name, locale, timezone,
    CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS has_password, admin, legacy_id, created_at
FROM account WHERE id > $after ORDER BY id LIMIT $n;

-- name: account_insert :exec
-- in: id text, email text?, email_key text?, verified_at ts?, name text?, locale text?, timezone text?, password_hash text?, password_at ts?, admin bool, legacy_id text?, now ts
INSERT INTO account (id, email, email_key, email_verified_at, name, locale, timezone, password_hash, password_at,
    admin, legacy_id, created_at, updated_at)
VALUES ($id, $email, $email_key, $verified_at, $name, $locale, $timezone, $password_hash, $password_at,
    $admin, $legacy_id, $now, $now)
ON CONFLICT (email_key) DO NOTHING;

-- name: account_password_get :opt
-- in: email_key text
-- out: id text, password_hash text?
SELECT id, password_hash FROM account WHERE email_key = $email_key;

-- name: account_password_by_id :opt
-- in: id text
-- out: password_hash text?
SELECT password_hash FROM account WHERE id = $id;

-- name: account_password_set :exec
-- in: id text, password_hash text?, now ts
UPDATE account SET password_hash = $password_hash, password_at = $now, updated_at = $now WHERE id = $id;

-- name: account_verify :exec
-- in: id text, now ts
UPDATE account SET email_verified_at = $now, updated_at = $now WHERE id = $id AND email_verified_at IS NULL;

-- Proved already if the address before was.
-- name: account_email_set :exec
-- in: id text, email text, email_key text, now ts
UPDATE account SET email = $email, email_key = $email_key, updated_at = $now,
    email_verified_at = CASE WHEN email_verified_at IS NULL THEN NULL ELSE $now END
WHERE id = $id AND NOT EXISTS (SELECT 1 FROM account AS other WHERE other.email_key = $email_key AND other.id <> $id);

-- name: account_profile_set :exec
-- in: id text, name text?, locale text?, timezone text?, now ts
UPDATE account SET name = $name, locale = $locale, timezone = $timezone, updated_at = $now WHERE id = $id;

-- name: account_admin_set :exec
-- in: id text, admin bool, now ts
UPDATE account SET admin = $admin, updated_at = $now WHERE id = $id;

-- name: account_delete :exec
-- in: id text
DELETE FROM account WHERE id = $id;

-- name: account_identity_get :opt
-- in: issuer text, subject text
-- out: account_id text
SELECT account_id FROM account_identity WHERE issuer = $issuer AND subject = $subject;

-- name: account_identity_insert :exec
-- in: issuer text, subject text, account_id text, now ts
INSERT INTO account_identity (issuer, subject, account_id, created_at)
VALUES ($issuer, $subject, $account_id, $now) ON CONFLICT (issuer, subject) DO NOTHING;

-- name: account_identities_del :exec
-- in: account_id text
DELETE FROM account_identity WHERE account_id = $account_id;

-- name: account_identities_of :many
-- in: account_id text
-- out: issuer text, subject text
SELECT issuer, subject FROM account_identity WHERE account_id = $account_id ORDER BY issuer, subject;

-- name: session_auth :opt
-- kept: account_id
-- of: session.account_id, account.id
-- in: token_hash blob
-- out: id text, account_id text, email text?, verified bool, admin bool, last_seen_at ts, expires_at ts
SELECT s.id, s.account_id, a.email, CASE WHEN a.email_verified_at IS NULL THEN 0 ELSE 1 END AS verified, a.admin,
    s.last_seen_at, s.expires_at
FROM session AS s JOIN account AS a ON a.id = s.account_id
WHERE s.token_hash = $token_hash;

-- name: session_insert :exec
-- in: id text, token_hash blob, account_id text, via text, user_agent text?, now ts, expires_at ts
INSERT INTO session (id, token_hash, account_id, via, user_agent, created_at, last_seen_at, expires_at)
VALUES ($id, $token_hash, $account_id, $via, $user_agent, $now, $now, $expires_at);

-- name: session_seen :exec
-- in: id text, account_id text, now ts
UPDATE session SET last_seen_at = $now WHERE id = $id AND account_id = $account_id AND last_seen_at < $now;

-- name: session_get :opt
-- in: id text, account_id text
-- out: id text, via text, created_at ts, expires_at ts
SELECT id, via, created_at, expires_at FROM session WHERE id = $id AND account_id = $account_id;

-- Newest first: ids are ordered by time.
-- name: session_list :many
-- in: account_id text, now ts, before text, n int
-- out: id text, via text, user_agent text?, created_at ts, last_seen_at ts, expires_at ts
SELECT id, via, user_agent, created_at, last_seen_at, expires_at FROM session
WHERE account_id = $account_id AND expires_at > $now AND id < $before ORDER BY id DESC LIMIT $n;

-- name: session_del :exec
-- in: id text, account_id text
DELETE FROM session WHERE id = $id AND account_id = $account_id;

-- All of an account but one ('' keeps none).
-- name: session_del_others :exec
-- in: account_id text, keep text
DELETE FROM session WHERE account_id = $account_id AND id <> $keep;

-- name: session_del_old :exec
-- in: now ts
DELETE FROM session WHERE expires_at <= $now;

-- name: secret_key_insert :exec
-- in: id text, name text, key_hash blob, hint text, now ts
INSERT INTO secret_key (id, name, key_hash, hint, created_at) VALUES ($id, $name, $key_hash, $hint, $now);

-- name: secret_key_auth :opt
-- in: key_hash blob
-- out: id text
SELECT id FROM secret_key WHERE key_hash = $key_hash AND revoked_at IS NULL;

-- name: secret_key_list :many
-- out: id text, name text, hint text, created_at ts, revoked_at ts?
SELECT id, name, hint, created_at, revoked_at FROM secret_key ORDER BY created_at, id;

-- name: secret_key_revoke :exec
-- in: id text, now ts
UPDATE secret_key SET revoked_at = $now WHERE id = $id AND revoked_at IS NULL;

-- name: login_token_insert :exec
-- in: id text, token_hash blob, code_hash blob?, kind text, account_id text, email text, now ts, expires_at ts
INSERT INTO login_token (id, token_hash, code_hash, kind, account_id, email, attempts, created_at, expires_at)
VALUES ($id, $token_hash, $code_hash, $kind, $account_id, $email, 0, $now, $expires_at);

-- name: login_token_count :one
-- in: account_id text, kind text, since ts
-- out: n int
SELECT COUNT(*) AS n FROM login_token WHERE account_id = $account_id AND kind = $kind AND created_at > $since;

-- name: login_token_get :opt
-- in: token_hash blob, now ts
-- out: id text, kind text, account_id text, email text
SELECT id, kind, account_id, email FROM login_token
WHERE token_hash = $token_hash AND used_at IS NULL AND expires_at > $now;

-- One use: whoever changes the row has it.
-- name: login_token_use :opt
-- in: token_hash blob, now ts
-- out: id text, kind text, account_id text, email text
UPDATE login_token SET used_at = $now
WHERE token_hash = $token_hash AND used_at IS NULL AND expires_at > $now
RETURNING id, kind, account_id, email;

-- name: login_token_use_id :opt
-- in: id text, now ts
-- out: kind text, account_id text, email text
UPDATE login_token SET used_at = $now WHERE id = $id AND used_at IS NULL AND expires_at > $now
RETURNING kind, account_id, email;

-- A guess at the digits of the newest link's code: counted before it is compared.
-- name: login_code_try :opt
-- in: account_id text, now ts, max int
-- out: id text, code_hash blob?
UPDATE login_token SET attempts = attempts + 1
WHERE id = (SELECT id FROM login_token WHERE account_id = $account_id AND kind = 'magic'
                ORDER BY created_at DESC, id DESC LIMIT 1)
    AND attempts < $max AND used_at IS NULL AND expires_at > $now
RETURNING id, code_hash;

-- name: login_tokens_end :exec
-- in: account_id text, kind text, now ts
UPDATE login_token SET used_at = $now WHERE account_id = $account_id AND kind = $kind AND used_at IS NULL;

-- name: login_token_del_old :exec
-- in: before ts
DELETE FROM login_token WHERE expires_at < $before;

-- name: login_failure_add :one
-- in: email_key text, window_start ts
-- out: failures int
INSERT INTO login_failure (email_key, window_start, failures) VALUES ($email_key, $window_start, 1)
ON CONFLICT (email_key, window_start) DO UPDATE SET failures = login_failure.failures + 1
RETURNING failures;

-- name: login_failure_clear :exec
-- in: email_key text
DELETE FROM login_failure WHERE email_key = $email_key;

-- name: login_failure_del_old :exec
-- in: before ts
DELETE FROM login_failure WHERE window_start < $before;

-- name: visitor_claim_insert :exec
-- in: visitor_id text, account_id text, now ts
INSERT INTO visitor_claim (visitor_id, account_id, claimed_at) VALUES ($visitor_id, $account_id, $now)
ON CONFLICT (visitor_id) DO NOTHING;

-- name: visitor_claim_get :opt
-- in: visitor_id text
-- out: account_id text
SELECT account_id FROM visitor_claim WHERE visitor_id = $visitor_id;
