-- The outbox and what became of it. States by rank: queued 0, sending 1, in_doubt 2, failed 3, expired 3, accepted 4,
-- deferred 5, delivered 6, suppressed 7, bounced 8, complained 9. News from a provider only raises the rank.
-- vars are dropped once the mail has left: they hold sign-in links.

-- name: mail_insert :opt
-- in: id text, cause text, template text, recipient text, recipient_name text?, member_id text?, vars text?, state text, rank int, optional bool, urgent bool, error text?, expires_at ts?, now ts
-- out: id text
INSERT INTO email_log (id, cause, template, recipient, recipient_name, member_id, vars, state, rank, optional, urgent,
    attempts, error, expires_at, created_at, updated_at)
VALUES ($id, $cause, $template, $recipient, $recipient_name, $member_id, $vars, $state, $rank, $optional, $urgent,
    0, $error, $expires_at, $now, $now)
ON CONFLICT (cause) DO NOTHING
RETURNING id;

-- name: mail_get :one
-- in: id text
-- out: id text, cause text, template text, recipient text, recipient_name text?, member_id text?, vars text?, state text, rank int, optional bool, urgent bool, attempts int, provider text?, provider_id text?, error text?, doubt_until ts?, expires_at ts?, created_at ts, updated_at ts
SELECT id, cause, template, recipient, recipient_name, member_id, vars, state, rank, optional, urgent, attempts,
    provider, provider_id, error, doubt_until, expires_at, created_at, updated_at
FROM email_log WHERE id = $id;

-- name: mail_by_provider_id :opt
-- in: provider_id text
-- out: id text
SELECT id FROM email_log WHERE provider_id = $provider_id ORDER BY id DESC LIMIT 1;

-- Of the admin; the recipient's index or the key's order.
-- name: mail_list :many
-- in: state text?, template text?, before text?, n int
-- out: id text, cause text, template text, recipient text, recipient_name text?, member_id text?, vars text?, state text, rank int, optional bool, urgent bool, attempts int, provider text?, provider_id text?, error text?, doubt_until ts?, expires_at ts?, created_at ts, updated_at ts
SELECT id, cause, template, recipient, recipient_name, member_id, vars, state, rank, optional, urgent, attempts,
    provider, provider_id, error, doubt_until, expires_at, created_at, updated_at
FROM email_log WHERE ($state IS NULL OR state = $state) AND ($template IS NULL OR template = $template)
    AND ($before IS NULL OR id < $before)
ORDER BY id DESC LIMIT $n;

-- name: mail_list_recipient :many
-- in: recipient text, before text?, n int
-- out: id text, cause text, template text, recipient text, recipient_name text?, member_id text?, vars text?, state text, rank int, optional bool, urgent bool, attempts int, provider text?, provider_id text?, error text?, doubt_until ts?, expires_at ts?, created_at ts, updated_at ts
SELECT id, cause, template, recipient, recipient_name, member_id, vars, state, rank, optional, urgent, attempts,
    provider, provider_id, error, doubt_until, expires_at, created_at, updated_at
FROM email_log WHERE recipient = $recipient AND ($before IS NULL OR id < $before)
ORDER BY id DESC LIMIT $n;

-- name: mail_list_member :many
-- in: member_id text, before text?, n int
-- out: id text, cause text, template text, recipient text, recipient_name text?, member_id text?, vars text?, state text, rank int, optional bool, urgent bool, attempts int, provider text?, provider_id text?, error text?, doubt_until ts?, expires_at ts?, created_at ts, updated_at ts
SELECT id, cause, template, recipient, recipient_name, member_id, vars, state, rank, optional, urgent, attempts,
    provider, provider_id, error, doubt_until, expires_at, created_at, updated_at
FROM email_log WHERE member_id = $member_id AND ($before IS NULL OR id < $before)
ORDER BY id DESC LIMIT $n;

-- An attempt begins; committed before the first byte leaves. The number of attempts is its fence.
-- name: mail_begin :exec
-- in: id text, attempts int, provider text, now ts
UPDATE email_log SET state = 'sending', rank = 1, attempts = attempts + 1, provider = $provider, doubt_until = NULL,
    updated_at = $now
WHERE id = $id AND attempts = $attempts AND state IN ('queued', 'sending', 'in_doubt');

-- How the attempt ended, unless a provider's event told more meanwhile.
-- name: mail_result :exec
-- in: id text, attempts int, state text, rank int, provider_id text?, error text?, doubt_until ts?, left bool, now ts
UPDATE email_log SET
    state = CASE WHEN state = 'sending' THEN $state ELSE state END,
    rank = CASE WHEN state = 'sending' THEN $rank ELSE rank END,
    provider_id = COALESCE($provider_id, provider_id), error = $error, doubt_until = $doubt_until,
    vars = CASE WHEN $left = 1 OR rank >= 4 THEN NULL ELSE vars END, updated_at = $now
WHERE id = $id AND attempts = $attempts;

-- A state without an attempt: expired, suppressed, failed, in_doubt after a crash.
-- name: mail_state_set :exec
-- in: id text, attempts int, state text, rank int, error text?, doubt_until ts?, now ts
UPDATE email_log SET state = $state, rank = $rank, error = $error, doubt_until = $doubt_until, updated_at = $now,
    vars = CASE WHEN $state = 'expired' THEN NULL ELSE vars END
WHERE id = $id AND attempts = $attempts AND state IN ('queued', 'sending', 'in_doubt');

-- name: mail_requeue :exec
-- in: id text, now ts
UPDATE email_log SET state = 'queued', rank = 0, error = NULL, doubt_until = NULL, updated_at = $now
WHERE id = $id AND state IN ('failed', 'in_doubt', 'suppressed') AND vars IS NOT NULL;

-- name: mail_rank_up :exec
-- in: id text, state text, rank int, error text?, now ts
UPDATE email_log SET state = $state, rank = $rank, error = COALESCE($error, error), doubt_until = NULL,
    vars = CASE WHEN $rank >= 4 THEN NULL ELSE vars END, updated_at = $now
WHERE id = $id AND rank < $rank;

-- name: mail_event_insert :exec
-- in: key text, email_id text?, provider text, type text, address text?, detail text?, at ts?, now ts
INSERT INTO email_event (key, email_id, provider, type, address, detail, at, received_at)
VALUES ($key, $email_id, $provider, $type, $address, $detail, $at, $now)
ON CONFLICT (key) DO NOTHING;

-- name: mail_events :many
-- in: email_id text
-- out: provider text, type text, address text?, detail text?, at ts?, received_at ts
SELECT provider, type, address, detail, at, received_at FROM email_event WHERE email_id = $email_id ORDER BY at;

-- name: mail_suppress :exec
-- in: address text, scope text, reason text, provider text?, now ts
INSERT INTO email_suppression (address, scope, reason, provider, created_at)
VALUES ($address, $scope, $reason, $provider, $now)
ON CONFLICT (address, scope) DO UPDATE SET created_at = excluded.created_at, reason = excluded.reason
WHERE excluded.created_at > email_suppression.created_at AND excluded.provider = email_suppression.provider;

-- By the provider that said it, unless it said so after `at`: news come in any order.
-- name: mail_lift :exec
-- in: address text, scope text, provider text, at ts
DELETE FROM email_suppression
WHERE address = $address AND scope = $scope AND provider = $provider AND created_at <= $at;

-- name: mail_unsuppress :exec
-- in: address text, scope text?
DELETE FROM email_suppression WHERE address = $address AND ($scope IS NULL OR scope = $scope);

-- name: mail_suppressed :opt
-- in: address text, optional bool, template text
-- out: reason text
SELECT reason FROM email_suppression
WHERE address = $address AND (scope = 'all' OR ($optional = 1 AND scope IN ('optional', $template)))
LIMIT 1;

-- name: mail_suppression_list :many
-- in: after text?, n int
-- out: address text, scope text, reason text, provider text?, created_at ts
SELECT address, scope, reason, provider, created_at FROM email_suppression
WHERE $after IS NULL OR address > $after
ORDER BY address, scope LIMIT $n;

-- name: mail_provider_pause :exec
-- in: name text, fingerprint text, until ts, reason text, now ts
INSERT INTO email_provider (name, fingerprint, paused_until, reason, paused_at)
VALUES ($name, $fingerprint, $until, $reason, $now)
ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, paused_until = excluded.paused_until,
    reason = excluded.reason, paused_at = excluded.paused_at;

-- name: mail_provider_list :many
-- out: name text, fingerprint text, paused_until ts, reason text, paused_at ts
SELECT name, fingerprint, paused_until, reason, paused_at FROM email_provider ORDER BY name;

-- name: mail_provider_resume :exec
-- in: name text
DELETE FROM email_provider WHERE name = $name;

-- name: mail_counts :many
-- out: state text, n int
SELECT state, COUNT(*) AS n FROM email_log GROUP BY state ORDER BY state;

-- What happened to mail long ago.
-- name: mail_prune_events :exec
-- in: before ts, n int
DELETE FROM email_event WHERE key IN (SELECT key FROM email_event WHERE received_at < $before LIMIT $n);

-- The words of mail that was not sent and that nobody had sent again.
-- name: mail_prune_vars :exec
-- in: before ts
UPDATE email_log SET vars = NULL
WHERE vars IS NOT NULL AND updated_at < $before AND state IN ('failed', 'suppressed', 'in_doubt');

-- Erasure of a person.
-- name: mail_erase_member :exec
-- in: member_id text
DELETE FROM email_log WHERE member_id = $member_id;
