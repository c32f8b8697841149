-- name: operation_put :exec
-- in: id text, key text, subject text, seq int, method text, path text, form text, created_at ts
INSERT INTO operation (id, key, subject, seq, method, path, form, status, http_status, attempts,
                       lease_until, created_at)
VALUES ($id, $key, $subject, $seq, $method, $path, $form, 'pending', 0, 0, 0, $created_at)
ON CONFLICT DO NOTHING;

-- name: operation_by_key :opt
-- in: key text
-- out: id text, key text, subject text, seq int, method text, path text, form text, status text, http_status int, object_id text?, answer text?, first_sent_at ts?, created_at ts, done_at ts?
SELECT id, key, subject, seq, method, path, form, status, http_status, object_id, answer, first_sent_at,
       created_at, done_at
FROM operation WHERE key = $key;

-- name: operation_by_id :opt
-- in: id text
-- out: id text, key text, subject text, seq int, method text, path text, form text, status text, http_status int, object_id text?, answer text?, first_sent_at ts?, created_at ts, done_at ts?
SELECT id, key, subject, seq, method, path, form, status, http_status, object_id, answer, first_sent_at,
       created_at, done_at
FROM operation WHERE id = $id;

-- name: operation_last :opt
-- in: subject text
-- out: id text, key text, subject text, seq int, method text, path text, form text, status text, http_status int, object_id text?, answer text?, first_sent_at ts?, created_at ts, done_at ts?
SELECT id, key, subject, seq, method, path, form, status, http_status, object_id, answer, first_sent_at,
       created_at, done_at
FROM operation WHERE subject = $subject ORDER BY seq DESC LIMIT 1;

-- The one who changes the row may call Stripe; the others wait for the outcome.
-- name: operation_lease :exec
-- in: id text, now ts, lease_until ts, sent_at ts
UPDATE operation SET lease_until = $lease_until, attempts = attempts + 1,
                     first_sent_at = COALESCE(first_sent_at, $sent_at)
WHERE id = $id AND status = 'pending' AND lease_until <= $now;

-- name: operation_release :exec
-- in: id text, http_status int, error text
UPDATE operation SET lease_until = 0, http_status = $http_status, error = $error
WHERE id = $id AND status = 'pending';

-- name: operation_end :exec
-- in: id text, status text, http_status int, object_id text?, answer text?, error text?, done_at ts
UPDATE operation SET status = $status, http_status = $http_status, object_id = $object_id,
                     answer = $answer, error = $error, done_at = $done_at, lease_until = 0
WHERE id = $id AND status = 'pending';

-- name: operation_pending :many
-- in: before ts, n int
-- out: id text, key text, method text, path text, created_at ts, attempts int, error text?
SELECT id, key, method, path, created_at, attempts, error
FROM operation WHERE status = 'pending' AND created_at < $before ORDER BY created_at LIMIT $n;

-- Old answers and forms hold personal data and are of no use once the object is a fact.
-- name: operation_clean :exec
-- in: before ts
UPDATE operation SET answer = NULL, form = ''
WHERE status = 'done' AND created_at < $before AND answer IS NOT NULL;

-- SPEC §2: one open checkout a member.
-- name: check_one_open_checkout :many
-- in: now ts
-- out: ref text, detail text
SELECT member AS ref, 'has ' || CAST(COUNT(*) AS text) || ' open checkouts for the plan' AS detail
FROM fact_session
WHERE mode = 'subscription' AND status = 'open' AND member IS NOT NULL AND expires_at > $now
GROUP BY member HAVING COUNT(*) > 1;

-- name: check_operation_outcome :many
-- out: ref text, detail text
SELECT id AS ref, 'is ' || status || ' and has no time of its end' AS detail FROM operation
WHERE status <> 'pending' AND done_at IS NULL;

-- name: check_customer_unique :many
-- out: ref text, detail text
SELECT id AS ref, 'is the customer of ' || CAST(COUNT(*) AS text) || ' members' AS detail FROM customer
GROUP BY id HAVING COUNT(*) > 1;
