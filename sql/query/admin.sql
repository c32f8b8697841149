-- name: admin_subscriptions :many
-- json
-- in: after text, n int
-- out: id text, member text?, customer text?, status text, period_end ts?, cancel_at ts?, cancel_at_period_end bool, price text?
SELECT id, member, customer, status, period_end, cancel_at, cancel_at_period_end, price FROM subscription
WHERE id > $after ORDER BY id LIMIT $n;

-- name: admin_subscription_get :opt
-- in: id text
-- out: member text?, status text
SELECT member, status FROM subscription WHERE id = $id;

-- name: admin_invoice_payment :opt
-- in: invoice text
-- out: payment text
SELECT payment FROM payment_link WHERE invoice = $invoice ORDER BY payment LIMIT 1;

-- name: admin_count_members :one
-- out: n int
SELECT count(*) AS n FROM account;

-- name: admin_count_subscriptions :many
-- out: status text, n int
SELECT status, count(*) AS n FROM subscription GROUP BY status ORDER BY status;

-- name: admin_count_purchases :many
-- out: status text, currency text, n int, price int
SELECT status, currency, count(*) AS n, CAST(sum(price) AS bigint) AS price FROM purchase
GROUP BY status, currency ORDER BY status, currency;

-- name: admin_count_events :many
-- out: status text, n int
SELECT status, count(*) AS n FROM webhook_event GROUP BY status ORDER BY status;
