-- name: subscription_of_member :many
-- in: member text
-- out: id text, customer text?, status text, created_at ts?, period_start ts?, period_end ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, canceled_at ts?, ended_at ts?, collection_paused bool, price text?, brand text?, last4 text?, exp_month int?, exp_year int?
SELECT s.id, s.customer, s.status, s.created_at, s.period_start, s.period_end, s.trial_end, s.cancel_at,
       s.cancel_at_period_end, s.canceled_at, s.ended_at, s.collection_paused, s.price,
       p.brand, p.last4, p.exp_month, p.exp_year
FROM subscription s
LEFT JOIN fact_customer c ON c.id = s.customer
LEFT JOIN fact_payment_method p ON p.id = COALESCE(s.payment_method, c.payment_method)
WHERE s.member = $member
ORDER BY s.created_at DESC, s.id;

-- name: subscription_open_invoice :opt
-- in: subscription text
-- out: id text, hosted_url text, amount_due int, currency text?, next_attempt_at ts?
SELECT id, hosted_url, amount_due, currency, next_attempt_at
FROM fact_invoice
WHERE subscription = $subscription AND status = 'open' AND hosted_url IS NOT NULL
ORDER BY period_end DESC LIMIT 1;
