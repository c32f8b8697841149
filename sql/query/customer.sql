-- name: customer_by_user :opt
-- in: user_id text
-- out: id text, created_at ts
SELECT id, created_at FROM customer WHERE user_id = $user_id;

-- name: customer_owner :opt
-- in: id text
-- out: user_id text
SELECT user_id FROM customer WHERE id = $id;

-- name: customer_put :exec
-- in: user_id text, id text, created_at ts
INSERT INTO customer (user_id, id, created_at) VALUES ($user_id, $id, $created_at)
ON CONFLICT DO NOTHING;

-- name: customer_del :exec
-- in: id text
DELETE FROM customer WHERE id = $id;

-- name: idempotency_put :exec
-- in: scope text, key text, request text, created_at ts
INSERT INTO idempotency (scope, key, request, status, created_at)
VALUES ($scope, $key, $request, 0, $created_at)
ON CONFLICT (scope, key) DO NOTHING;

-- name: idempotency_get :one
-- in: scope text, key text
-- out: request text, status int, answer text?
SELECT request, status, answer FROM idempotency WHERE scope = $scope AND key = $key;

-- name: idempotency_answer :exec
-- in: scope text, key text, status int, answer text
UPDATE idempotency SET status = $status, answer = $answer
WHERE scope = $scope AND key = $key AND status = 0;

-- name: idempotency_clean :exec
-- in: before ts
DELETE FROM idempotency WHERE created_at < $before;

-- A customer that Stripe told us of before we made one (made by the old backend or by hand).
-- name: customer_by_fact :opt
-- in: user_id text
-- out: id text
SELECT id FROM fact_customer WHERE member = $user_id AND deleted = 0 ORDER BY as_of, id LIMIT 1;
