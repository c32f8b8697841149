-- Billing: events, facts, access. Order columns of facts: as_of, source, rank, digest.

-- ======== access ========

-- name: billing_access :many
-- kept: member
-- of: subscription.member
-- in: member text
-- out: id text, status text, created_at ts?, period_start ts?, period_end ts?, trial_start ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, ended_at ts?, collection_paused bool, anchor ts?, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, gone_at ts?
SELECT id, status, created_at, period_start, period_end, trial_start, trial_end, cancel_at,
       cancel_at_period_end, ended_at, collection_paused, anchor, invoice_known, paid_through, barred,
       first_failure, gone_at
FROM subscription WHERE member = $member ORDER BY id;

-- ======== events ========

-- The type is stored as its code, if it has one: webhook_type.
-- name: event_insert :exec
-- in: id text, type text, object text?, created_at ts, received_at ts, status text, error text?, dict int, size int, payload blob
INSERT INTO webhook_event (id, type, object, created_at, received_at, status, error, attempts, dict, size, payload)
VALUES ($id, COALESCE((SELECT code FROM webhook_type WHERE name = $type), $type), $object, $created_at, $received_at,
        $status, $error, 1, $dict, $size, $payload)
ON CONFLICT (id) DO NOTHING;

-- name: event_mark :exec
-- in: id text, status text, error text?
UPDATE webhook_event SET status = $status, error = $error, attempts = attempts + 1 WHERE id = $id;

-- name: event_status_set :exec
-- in: id text, status text, error text?
UPDATE webhook_event SET status = $status, error = $error WHERE id = $id;

-- name: event_get :opt
-- in: id text
-- out: id text, type text, object text?, created_at ts, received_at ts, status text, error text?, attempts int, dict int, size int, payload blob
SELECT id, COALESCE((SELECT name FROM webhook_type WHERE code = webhook_event.type), webhook_event.type) AS type,
       object, created_at, received_at, status, error, attempts, dict, size, payload
FROM webhook_event WHERE id = $id;

-- name: event_list :many
-- in: before_at ts, before_id text, n int
-- out: id text, type text, object text?, created_at ts, received_at ts, status text, error text?, attempts int, size int
SELECT id, COALESCE((SELECT name FROM webhook_type WHERE code = webhook_event.type), webhook_event.type) AS type,
       object, created_at, received_at, status, error, attempts, size
FROM webhook_event WHERE (received_at, id) < ($before_at, $before_id)
ORDER BY received_at DESC, id DESC LIMIT $n;

-- name: event_list_failed :many
-- in: before_at ts, before_id text, n int
-- out: id text, type text, object text?, created_at ts, received_at ts, status text, error text?, attempts int, size int
SELECT id, COALESCE((SELECT name FROM webhook_type WHERE code = webhook_event.type), webhook_event.type) AS type,
       object, created_at, received_at, status, error, attempts, size
FROM webhook_event WHERE status = 'failed' AND (received_at, id) < ($before_at, $before_id)
ORDER BY received_at DESC, id DESC LIMIT $n;

-- name: event_list_object :many
-- in: object text, n int
-- out: id text, type text, object text?, created_at ts, received_at ts, status text, error text?, attempts int, size int
SELECT id, COALESCE((SELECT name FROM webhook_type WHERE code = webhook_event.type), webhook_event.type) AS type,
       object, created_at, received_at, status, error, attempts, size
FROM webhook_event WHERE object = $object ORDER BY created_at DESC, id DESC LIMIT $n;

-- What came about one member's own objects, newest first.
-- name: event_list_member :many
-- in: member text, before_at ts, before_id text, n int
-- out: id text, type text, object text?, created_at ts, received_at ts, status text
WITH customers AS (SELECT id FROM fact_customer WHERE member = $member),
payments AS (SELECT p.id FROM fact_payment p JOIN customers c ON p.customer = c.id),
mine AS (
    SELECT id FROM customers
    UNION SELECT id FROM subscription WHERE member = $member
    UNION SELECT id FROM fact_invoice WHERE member = $member
    UNION SELECT s.id FROM fact_session s JOIN customers c ON s.customer = c.id
    UNION SELECT id FROM payments
    UNION SELECT h.id FROM fact_charge h JOIN payments p ON h.payment = p.id
    UNION SELECT f.id FROM fact_refund f JOIN payments p ON f.payment = p.id
    UNION SELECT d.id FROM fact_dispute d JOIN payments p ON d.payment = p.id
)
SELECT e.id, COALESCE((SELECT name FROM webhook_type WHERE code = e.type), e.type) AS type, e.object, e.created_at,
       e.received_at, e.status
FROM mine JOIN webhook_event e ON e.object = mine.id
WHERE (e.created_at, e.id) < ($before_at, $before_id)
ORDER BY e.created_at DESC, e.id DESC LIMIT $n;

-- name: event_walk :many
-- in: after_at ts, after_id text, n int
-- out: id text, received_at ts, dict int, size int, payload blob
SELECT id, received_at, dict, size, payload
FROM webhook_event WHERE (received_at, id) > ($after_at, $after_id)
ORDER BY received_at, id LIMIT $n;

-- name: event_count :one
-- out: total int, failed int
SELECT (SELECT COUNT(*) FROM webhook_event) AS total,
       (SELECT COUNT(*) FROM webhook_event WHERE status = 'failed') AS failed;

-- name: event_newest_second :one
-- in: object text
-- out: n int
-- How many events tell of the newest second of an object; 0: none tells of it at all.
SELECT COUNT(*) AS n FROM webhook_event WHERE object = $object AND created_at =
    (SELECT MAX(created_at) FROM webhook_event WHERE object = $object);

-- name: event_of_object :opt
-- in: object text
-- out: id text, type text, created_at ts, dict int, size int, payload blob
SELECT id, COALESCE((SELECT name FROM webhook_type WHERE code = webhook_event.type), webhook_event.type) AS type,
       created_at, dict, size, payload
FROM webhook_event WHERE object = $object AND status = 'applied'
ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: dict_get :opt
-- in: id int
-- out: dict blob
SELECT dict FROM webhook_dict WHERE id = $id;

-- name: dict_newest :opt
-- out: id int, dict blob, created_at ts
SELECT id, dict, created_at FROM webhook_dict ORDER BY id DESC LIMIT 1;

-- name: dict_insert :exec
-- in: id int, created_at ts, dict blob
INSERT INTO webhook_dict (id, created_at, dict) VALUES ($id, $created_at, $dict) ON CONFLICT (id) DO NOTHING;

-- name: event_sample :many
-- in: n int
-- out: dict int, size int, payload blob
SELECT dict, size, payload FROM webhook_event ORDER BY received_at DESC, id DESC LIMIT $n;

-- ======== customers and owners ========

-- name: fact_customer_get :opt
-- in: id text
-- out: member text?, claim_rank int?, user_ref text?, payment_method text?, deleted bool, as_of ts, source int, rank int, digest int
SELECT member, claim_rank, user_ref, payment_method, deleted, as_of, source, rank, digest
FROM fact_customer WHERE id = $id;

-- name: fact_customer_put :exec
-- in: id text, user_ref text?, payment_method text?, deleted bool, as_of ts, source int, rank int, digest int
INSERT INTO fact_customer (id, user_ref, payment_method, deleted, as_of, source, rank, digest)
VALUES ($id, $user_ref, $payment_method, $deleted, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET user_ref = excluded.user_ref,
    payment_method = excluded.payment_method, deleted = excluded.deleted, as_of = excluded.as_of,
    source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- Who a customer belongs to by what was told (member, claim_rank), and whose it is because we made it (ours).
-- name: fact_customer_owner :one
-- in: id text
-- out: member text?, claim_rank int?, ours text?
SELECT f.member, f.claim_rank, (SELECT user_id FROM customer WHERE id = $id) AS ours
FROM (SELECT 1) AS one LEFT JOIN fact_customer f ON f.id = $id;

-- name: fact_customer_claim :exec
-- in: id text, member text, claim_rank int
INSERT INTO fact_customer (id, member, claim_rank, deleted, as_of, source, rank, digest)
VALUES ($id, $member, $claim_rank, 0, 0, 0, -1, 0)
ON CONFLICT (id) DO UPDATE SET member = excluded.member, claim_rank = excluded.claim_rank
WHERE fact_customer.member IS NULL OR fact_customer.claim_rank > excluded.claim_rank
   OR (fact_customer.claim_rank = excluded.claim_rank AND fact_customer.member > excluded.member);

-- name: customer_unclaimed :many
-- in: user_ref text
-- out: id text
SELECT id FROM fact_customer WHERE user_ref = $user_ref AND member IS NULL ORDER BY id;

-- name: subscription_unclaimed :many
-- in: user_ref text
-- out: id text, customer text?
SELECT id, customer FROM subscription WHERE user_ref = $user_ref AND member IS NULL ORDER BY id;

-- name: customers_of_member :many
-- in: member text
-- out: id text, deleted bool, payment_method text?
SELECT id, deleted, payment_method FROM fact_customer WHERE member = $member ORDER BY id;

-- name: subscription_own :many
-- in: customer text, member text
-- out: id text
UPDATE subscription SET member = $member
WHERE customer = $customer AND (member IS NULL OR member <> $member) RETURNING id;

-- name: subscription_own_one :exec
-- in: id text, member text
UPDATE subscription SET member = $member WHERE id = $id AND member IS NULL;

-- name: invoice_own :many
-- in: customer text, member text
-- out: id text
UPDATE fact_invoice SET member = $member
WHERE customer = $customer AND (member IS NULL OR member <> $member) RETURNING id;

-- name: payment_own :many
-- in: customer text, member text
-- out: id text
UPDATE fact_payment SET member = $member
WHERE customer = $customer AND (member IS NULL OR member <> $member) RETURNING id;

-- name: fact_session_own :many
-- in: customer text, member text
-- out: id text
UPDATE fact_session SET member = $member
WHERE customer = $customer AND (member IS NULL OR member <> $member) RETURNING id;

-- ======== subscriptions ========

-- name: subscription_get :opt
-- in: id text
-- out: id text, member text?, customer text?, status text, created_at ts?, period_start ts?, period_end ts?, trial_start ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, canceled_at ts?, ended_at ts?, collection_paused bool, anchor ts?, item text?, price text?, payment_method text?, user_ref text?, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, clear_at ts?, gone_at ts?, as_of ts, source int, rank int, digest int
SELECT id, member, customer, status, created_at, period_start, period_end, trial_start, trial_end, cancel_at,
       cancel_at_period_end, canceled_at, ended_at, collection_paused, anchor, item, price, payment_method,
       user_ref, invoice_known, paid_through, barred, first_failure, clear_at, gone_at, as_of, source, rank,
       digest
FROM subscription WHERE id = $id;

-- name: subscription_list :many
-- in: member text
-- out: id text, customer text?, status text, created_at ts?, period_start ts?, period_end ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, canceled_at ts?, ended_at ts?, collection_paused bool, item text?, price text?, payment_method text?, gone_at ts?
SELECT id, customer, status, created_at, period_start, period_end, trial_end, cancel_at, cancel_at_period_end,
       canceled_at, ended_at, collection_paused, item, price, payment_method, gone_at
FROM subscription WHERE member = $member ORDER BY created_at DESC, id DESC;

-- name: subscription_put :exec
-- in: id text, member text?, customer text?, status text, created_at ts?, period_start ts?, period_end ts?, trial_start ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, canceled_at ts?, ended_at ts?, collection_paused bool, anchor ts?, item text?, price text?, payment_method text?, user_ref text?, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, clear_at ts?, gone_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO subscription (id, member, customer, status, created_at, period_start, period_end, trial_start,
    trial_end, cancel_at, cancel_at_period_end, canceled_at, ended_at, collection_paused, anchor, item, price,
    payment_method, user_ref, invoice_known, paid_through, barred, first_failure, clear_at, gone_at, as_of,
    source, rank, digest)
VALUES ($id, $member, $customer, $status, $created_at, $period_start, $period_end, $trial_start, $trial_end,
    $cancel_at, $cancel_at_period_end, $canceled_at, $ended_at, $collection_paused, $anchor, $item, $price,
    $payment_method, $user_ref, $invoice_known, $paid_through, $barred, $first_failure, $clear_at, $gone_at,
    $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET member = COALESCE(excluded.member, subscription.member),
    customer = excluded.customer, status = excluded.status,
    created_at = excluded.created_at, period_start = excluded.period_start, period_end = excluded.period_end,
    trial_start = excluded.trial_start, trial_end = excluded.trial_end, cancel_at = excluded.cancel_at,
    cancel_at_period_end = excluded.cancel_at_period_end, canceled_at = excluded.canceled_at,
    ended_at = excluded.ended_at, collection_paused = excluded.collection_paused, anchor = excluded.anchor,
    item = excluded.item, price = excluded.price, payment_method = excluded.payment_method,
    user_ref = excluded.user_ref, invoice_known = excluded.invoice_known,
    paid_through = excluded.paid_through, barred = excluded.barred, first_failure = excluded.first_failure,
    clear_at = excluded.clear_at, gone_at = excluded.gone_at, as_of = excluded.as_of,
    source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- News that say what is stored already: the row's order alone, and none of its indexes.
-- name: subscription_seen :exec
-- in: id text, clear_at ts?, as_of ts, source int, rank int, digest int
UPDATE subscription SET clear_at = $clear_at, as_of = $as_of, source = $source, rank = $rank, digest = $digest
WHERE id = $id;

-- name: subscription_clear :exec
-- in: id text, at ts
UPDATE subscription SET clear_at = $at WHERE id = $id AND (clear_at IS NULL OR clear_at < $at);

-- name: past_due_seen :exec
-- in: subscription text, at ts
INSERT INTO subscription_past_due (subscription, seen_at) VALUES ($subscription, $at)
ON CONFLICT (subscription, seen_at) DO NOTHING;

-- name: past_due_since :one
-- in: subscription text, clear_at ts
-- out: at ts?
SELECT MIN(seen_at) AS at FROM subscription_past_due WHERE subscription = $subscription AND seen_at >= $clear_at;

-- What of a subscription follows from other rows, and what it follows from.
-- name: subscription_derived :opt
-- in: id text
-- out: customer text?, status text, clear_at ts?, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, gone_at ts?
SELECT customer, status, clear_at, invoice_known, paid_through, barred, first_failure, gone_at
FROM subscription WHERE id = $id;

-- name: subscription_derive :exec
-- in: id text, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, gone_at ts?
UPDATE subscription SET invoice_known = $invoice_known, paid_through = $paid_through, barred = $barred,
    first_failure = $first_failure, gone_at = $gone_at
WHERE id = $id;

-- What its invoices and its customer say of a subscription, in the usual case that none of them is suspended or
-- revoked (spoiled): a few rows of an index, however many invoices there are.
-- name: subscription_cover :one
-- in: id text, customer text?
-- out: paid_through ts?, spoiled bool, gone_at ts?
SELECT (SELECT MAX(period_end) FROM fact_invoice WHERE subscription = $id AND cover = 1) AS paid_through,
       CASE WHEN EXISTS (SELECT 1 FROM fact_invoice WHERE subscription = $id AND cover > 1)
            THEN 1 ELSE 0 END AS spoiled,
       (SELECT as_of FROM fact_customer WHERE id = $customer AND deleted = 1) AS gone_at;

-- name: subscription_invoice_known :one
-- in: id text
-- out: known bool
SELECT CASE WHEN EXISTS (SELECT 1 FROM fact_invoice WHERE subscription = $id AND status <> 'deleted')
            THEN 1 ELSE 0 END AS known;

-- name: subscriptions_of_customer :many
-- in: customer text
-- out: id text
SELECT id FROM subscription WHERE customer = $customer ORDER BY id;

-- Its period is over and nothing was heard: a renewal, a failure or the end may have been missed.
-- name: subscription_overdue :many
-- in: since ts, until ts, n int
-- out: id text
SELECT id FROM subscription
WHERE status IN ('active', 'trialing') AND gone_at IS NULL AND period_end > $since AND period_end <= $until
ORDER BY period_end, id LIMIT $n;

-- Subscriptions that give access, and whether the member is flagged for having two. (Of a list of three SQLite makes
-- a table each time.)
-- name: subscription_active_count :one
-- in: member text, flag text
-- out: n int, flagged int
SELECT (SELECT COUNT(*) FROM subscription
        WHERE member = $member AND (status = 'active' OR status = 'trialing' OR status = 'past_due')
          AND gone_at IS NULL) AS n,
       (SELECT COUNT(*) FROM billing_flag WHERE kind = $flag AND ref = $member) AS flagged;

-- ======== invoices ========

-- name: invoice_get :opt
-- in: id text
-- out: id text, subscription text?, customer text?, member text?, status text, billing_reason text?, amount_due int, amount_paid int, currency text?, period_start ts?, period_end ts?, attempt_count int, created_at ts?, paid_at ts?, next_attempt_at ts?, hosted_url text?, first_failed ts?, refunded int, cover int, as_of ts, source int, rank int, digest int
SELECT id, subscription, customer, member, status, billing_reason, amount_due, amount_paid, currency,
       period_start, period_end, attempt_count, created_at, paid_at, next_attempt_at, hosted_url,
       first_failed, refunded, cover, as_of, source, rank, digest
FROM fact_invoice WHERE id = $id;

-- name: invoice_put :exec
-- in: id text, subscription text?, customer text?, member text?, status text, billing_reason text?, amount_due int, amount_paid int, currency text?, period_start ts?, period_end ts?, attempt_count int, created_at ts?, paid_at ts?, next_attempt_at ts?, hosted_url text?, refunded int, cover int, as_of ts, source int, rank int, digest int
INSERT INTO fact_invoice (id, subscription, customer, member, status, billing_reason, amount_due, amount_paid,
    currency, period_start, period_end, attempt_count, created_at, paid_at, next_attempt_at, hosted_url,
    refunded, cover, as_of, source, rank, digest)
VALUES ($id, $subscription, $customer, $member, $status, $billing_reason, $amount_due, $amount_paid, $currency,
    $period_start, $period_end, $attempt_count, $created_at, $paid_at, $next_attempt_at, $hosted_url, $refunded,
    $cover, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET subscription = excluded.subscription,
    customer = excluded.customer,
    member = COALESCE(excluded.member, fact_invoice.member), status = excluded.status,
    billing_reason = excluded.billing_reason, amount_due = excluded.amount_due,
    amount_paid = excluded.amount_paid, currency = excluded.currency, period_start = excluded.period_start,
    period_end = excluded.period_end, attempt_count = excluded.attempt_count,
    created_at = excluded.created_at, paid_at = excluded.paid_at, next_attempt_at = excluded.next_attempt_at,
    hosted_url = excluded.hosted_url, refunded = excluded.refunded, cover = excluded.cover,
    as_of = excluded.as_of, source = excluded.source, rank = excluded.rank,
    digest = excluded.digest;

-- name: invoice_failed :exec
-- in: id text, at ts
UPDATE fact_invoice SET first_failed = $at WHERE id = $id AND (first_failed IS NULL OR first_failed > $at);

-- name: invoice_derive :exec
-- in: id text, refunded int, cover int
UPDATE fact_invoice SET refunded = $refunded, cover = $cover
WHERE id = $id AND (refunded <> $refunded OR cover <> $cover);

-- name: invoices_of_subscription :many
-- in: subscription text
-- out: id text, status text, period_start ts?, period_end ts?, cover int, first_failed ts?
SELECT id, status, period_start, period_end, cover, first_failed
FROM fact_invoice WHERE subscription = $subscription ORDER BY period_end, id;

-- name: invoice_list :many
-- in: member text
-- out: id text, subscription text?, status text, billing_reason text?, amount_due int, amount_paid int, currency text?, period_start ts?, period_end ts?, created_at ts?, paid_at ts?, hosted_url text?, refunded int, cover int
SELECT id, subscription, status, billing_reason, amount_due, amount_paid, currency, period_start, period_end,
       created_at, paid_at, hosted_url, refunded, cover
FROM fact_invoice WHERE member = $member ORDER BY created_at DESC, id DESC;

-- name: invoice_open :opt
-- in: subscription text
-- out: id text, hosted_url text?
SELECT id, hosted_url FROM fact_invoice WHERE subscription = $subscription AND status = 'open'
ORDER BY period_end DESC, id DESC LIMIT 1;

-- name: link_put :exec
-- in: payment text, invoice text
INSERT INTO payment_link (payment, invoice) VALUES ($payment, $invoice) ON CONFLICT (payment, invoice) DO NOTHING;

-- name: invoices_of_payment :many
-- in: payment text
-- out: invoice text
SELECT invoice FROM payment_link WHERE payment = $payment ORDER BY invoice;

-- The money of each payment of an invoice, as payment_money has it.
-- name: invoice_payments :many
-- in: invoice text
-- out: counting int, succeeded int, failed int, by_charge int, dispute_open int, dispute_lost int
SELECT CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = l.payment AND status IN ('pending', 'succeeded')), 0) AS bigint) AS counting,
       CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = l.payment AND status = 'succeeded'), 0) AS bigint) AS succeeded,
       CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = l.payment AND status NOT IN ('pending', 'succeeded')), 0) AS bigint) AS failed,
       CAST(COALESCE((SELECT SUM(refunded) FROM fact_charge WHERE payment = l.payment), 0) AS bigint) AS by_charge,
       (SELECT COUNT(*) FROM fact_dispute
        WHERE payment = l.payment AND status IN ('needs_response', 'under_review')) AS dispute_open,
       (SELECT COUNT(*) FROM fact_dispute WHERE payment = l.payment AND status = 'lost') AS dispute_lost
FROM payment_link l WHERE l.invoice = $invoice ORDER BY l.payment;

-- ======== payments, charges, refunds, disputes ========

-- name: payment_get :opt
-- in: id text
-- out: customer text?, member text?, status text, amount int, received int, currency text?, failed bool, created_at ts?, paid_at ts?, as_of ts, source int, rank int, digest int
SELECT customer, member, status, amount, received, currency, failed, created_at, paid_at, as_of, source, rank,
       digest
FROM fact_payment WHERE id = $id;

-- name: payment_put :exec
-- in: id text, customer text?, member text?, status text, amount int, received int, currency text?, failed bool, created_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO fact_payment (id, customer, member, status, amount, received, currency, failed, created_at, as_of,
    source, rank, digest)
VALUES ($id, $customer, $member, $status, $amount, $received, $currency, $failed, $created_at, $as_of, $source,
    $rank, $digest)
ON CONFLICT (id) DO UPDATE SET customer = excluded.customer,
    member = COALESCE(excluded.member, fact_payment.member), status = excluded.status,
    amount = excluded.amount, received = excluded.received, currency = excluded.currency,
    failed = excluded.failed, created_at = excluded.created_at, as_of = excluded.as_of,
    source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- name: payment_paid :exec
-- in: id text, at ts
UPDATE fact_payment SET paid_at = $at WHERE id = $id AND (paid_at IS NULL OR paid_at > $at);

-- name: payment_own_one :exec
-- in: id text, member text
UPDATE fact_payment SET member = $member WHERE id = $id AND member IS NULL;

-- name: payment_money :one
-- in: payment text
-- out: counting int, succeeded int, failed int, by_charge int, dispute_open int, dispute_lost int, dispute_inquiry int
SELECT CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = $payment AND status IN ('pending', 'succeeded')), 0) AS bigint) AS counting,
       CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = $payment AND status = 'succeeded'), 0) AS bigint) AS succeeded,
       CAST(COALESCE((SELECT SUM(amount) FROM fact_refund
                      WHERE payment = $payment AND status NOT IN ('pending', 'succeeded')), 0) AS bigint) AS failed,
       CAST(COALESCE((SELECT SUM(refunded) FROM fact_charge WHERE payment = $payment), 0) AS bigint) AS by_charge,
       (SELECT COUNT(*) FROM fact_dispute
        WHERE payment = $payment AND status IN ('needs_response', 'under_review')) AS dispute_open,
       (SELECT COUNT(*) FROM fact_dispute WHERE payment = $payment AND status = 'lost') AS dispute_lost,
       (SELECT COUNT(*) FROM fact_dispute
        WHERE payment = $payment AND status IN ('warning_needs_response', 'warning_under_review')) AS dispute_inquiry;

-- name: charge_get :opt
-- in: id text
-- out: payment text?, status text, refunded int, as_of ts, source int, rank int, digest int
SELECT payment, status, refunded, as_of, source, rank, digest FROM fact_charge WHERE id = $id;

-- name: charge_put :exec
-- in: id text, payment text?, customer text?, status text, amount int, currency text?, created_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO fact_charge (id, payment, customer, status, amount, refunded, currency, created_at, as_of, source,
    rank, digest)
VALUES ($id, $payment, $customer, $status, $amount, 0, $currency, $created_at, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET payment = excluded.payment,
    customer = excluded.customer, status = excluded.status,
    amount = excluded.amount, currency = excluded.currency, created_at = excluded.created_at,
    as_of = excluded.as_of, source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- name: charge_refunded :exec
-- in: id text, refunded int
UPDATE fact_charge SET refunded = $refunded WHERE id = $id AND refunded < $refunded;

-- name: refund_get :opt
-- in: id text
-- out: charge text?, payment text?, status text, amount int, currency text?, as_of ts, source int, rank int, digest int
SELECT charge, payment, status, amount, currency, as_of, source, rank, digest FROM fact_refund WHERE id = $id;

-- name: refund_put :exec
-- in: id text, charge text?, payment text?, status text, amount int, currency text?, created_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO fact_refund (id, charge, payment, status, amount, currency, created_at, as_of, source, rank, digest)
VALUES ($id, $charge, $payment, $status, $amount, $currency, $created_at, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET charge = excluded.charge,
    payment = excluded.payment, status = excluded.status,
    amount = excluded.amount, currency = excluded.currency, created_at = excluded.created_at,
    as_of = excluded.as_of, source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- name: refund_link :many
-- in: charge text, payment text
-- out: id text
UPDATE fact_refund SET payment = $payment WHERE charge = $charge AND payment IS NULL RETURNING id;

-- name: refunds_of_payment :many
-- in: payment text
-- out: id text, status text, amount int, created_at ts?
SELECT id, status, amount, created_at FROM fact_refund WHERE payment = $payment ORDER BY created_at, id;

-- name: dispute_get :opt
-- in: id text
-- out: charge text?, payment text?, status text, reason text?, amount int, currency text?, as_of ts, source int, rank int, digest int
SELECT charge, payment, status, reason, amount, currency, as_of, source, rank, digest
FROM fact_dispute WHERE id = $id;

-- name: dispute_put :exec
-- in: id text, charge text?, payment text?, status text, reason text?, amount int, currency text?, created_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO fact_dispute (id, charge, payment, status, reason, amount, currency, created_at, as_of, source,
    rank, digest)
VALUES ($id, $charge, $payment, $status, $reason, $amount, $currency, $created_at, $as_of, $source, $rank,
    $digest)
ON CONFLICT (id) DO UPDATE SET charge = excluded.charge,
    payment = excluded.payment, status = excluded.status,
    reason = excluded.reason, amount = excluded.amount, currency = excluded.currency,
    created_at = excluded.created_at, as_of = excluded.as_of, source = excluded.source, rank = excluded.rank,
    digest = excluded.digest;

-- name: dispute_link :many
-- in: charge text, payment text
-- out: id text
UPDATE fact_dispute SET payment = $payment WHERE charge = $charge AND payment IS NULL RETURNING id;

-- name: disputes_of_payment :many
-- in: payment text
-- out: id text, status text, amount int, created_at ts?
SELECT id, status, amount, created_at FROM fact_dispute WHERE payment = $payment ORDER BY created_at, id;

-- ======== sessions, invoice payments, payment methods ========

-- name: fact_session_get :opt
-- in: id text
-- out: mode text?, status text?, payment_status text?, customer text?, member text?, subscription text?, payment text?, amount_total int, currency text?, email text?, purchase_id text?, item_id text?, user_ref text?, expires_at ts?, async_failed bool, as_of ts, source int, rank int, digest int
SELECT mode, status, payment_status, customer, member, subscription, payment, amount_total, currency, email,
       purchase_id, item_id, user_ref, expires_at, async_failed, as_of, source, rank, digest
FROM fact_session WHERE id = $id;

-- name: fact_session_put :exec
-- in: id text, mode text?, status text?, payment_status text?, customer text?, member text?, subscription text?, payment text?, amount_total int, currency text?, email text?, purchase_id text?, item_id text?, user_ref text?, expires_at ts?, created_at ts?, as_of ts, source int, rank int, digest int
INSERT INTO fact_session (id, mode, status, payment_status, customer, member, subscription, payment,
    amount_total, currency, email, purchase_id, item_id, user_ref, expires_at, created_at, async_failed, as_of,
    source, rank, digest)
VALUES ($id, $mode, $status, $payment_status, $customer, $member, $subscription, $payment, $amount_total,
    $currency, $email, $purchase_id, $item_id, $user_ref, $expires_at, $created_at, 0, $as_of, $source, $rank,
    $digest)
ON CONFLICT (id) DO UPDATE SET mode = excluded.mode, status = excluded.status,
    payment_status = excluded.payment_status, customer = excluded.customer,
    member = COALESCE(excluded.member, fact_session.member),
    subscription = excluded.subscription,
    payment = excluded.payment, amount_total = excluded.amount_total,
    currency = excluded.currency, email = excluded.email,
    purchase_id = excluded.purchase_id,
    item_id = excluded.item_id,
    user_ref = excluded.user_ref, expires_at = excluded.expires_at,
    created_at = excluded.created_at, as_of = excluded.as_of, source = excluded.source, rank = excluded.rank,
    digest = excluded.digest;

-- name: fact_session_failed :exec
-- in: id text
UPDATE fact_session SET async_failed = 1 WHERE id = $id AND async_failed = 0;

-- name: fact_session_of_payment :opt
-- in: payment text
-- out: id text, member text?, mode text?
SELECT id, member, mode FROM fact_session WHERE payment = $payment ORDER BY id LIMIT 1;

-- name: invoice_payment_get :opt
-- in: id text
-- out: invoice text?, payment text?, status text, as_of ts, source int, rank int, digest int
SELECT invoice, payment, status, as_of, source, rank, digest FROM fact_invoice_payment WHERE id = $id;

-- name: invoice_payment_put :exec
-- in: id text, invoice text?, payment text?, status text, amount_paid int, as_of ts, source int, rank int, digest int
INSERT INTO fact_invoice_payment (id, invoice, payment, status, amount_paid, as_of, source, rank, digest)
VALUES ($id, $invoice, $payment, $status, $amount_paid, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET invoice = excluded.invoice,
    payment = excluded.payment, status = excluded.status,
    amount_paid = excluded.amount_paid, as_of = excluded.as_of, source = excluded.source,
    rank = excluded.rank, digest = excluded.digest;

-- name: payment_method_get :opt
-- in: id text
-- out: customer text?, kind text?, brand text?, last4 text?, exp_month int, exp_year int, as_of ts, source int, rank int, digest int
SELECT customer, kind, brand, last4, COALESCE(exp_month, 0) AS exp_month, COALESCE(exp_year, 0) AS exp_year,
       as_of, source, rank, digest
FROM fact_payment_method WHERE id = $id;

-- name: payment_method_put :exec
-- in: id text, customer text?, kind text?, brand text?, last4 text?, exp_month int, exp_year int, as_of ts, source int, rank int, digest int
INSERT INTO fact_payment_method (id, customer, kind, brand, last4, exp_month, exp_year, as_of, source, rank,
    digest)
VALUES ($id, $customer, $kind, $brand, $last4, $exp_month, $exp_year, $as_of, $source, $rank, $digest)
ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, kind = excluded.kind, brand = excluded.brand,
    last4 = excluded.last4, exp_month = excluded.exp_month, exp_year = excluded.exp_year,
    as_of = excluded.as_of, source = excluded.source, rank = excluded.rank, digest = excluded.digest;

-- name: payment_methods_of_customer :many
-- in: customer text
-- out: id text, kind text?, brand text?, last4 text?, exp_month int, exp_year int
SELECT id, kind, brand, last4, COALESCE(exp_month, 0) AS exp_month, COALESCE(exp_year, 0) AS exp_year
FROM fact_payment_method WHERE customer = $customer ORDER BY id;

-- ======== flags, cursor, drift ========

-- name: flag_put :exec
-- in: kind text, ref text, detail text?, now ts
INSERT INTO billing_flag (kind, ref, detail, created_at) VALUES ($kind, $ref, $detail, $now)
ON CONFLICT (kind, ref) DO NOTHING;

-- name: flag_del :exec
-- in: kind text, ref text
DELETE FROM billing_flag WHERE kind = $kind AND ref = $ref;

-- name: flag_list :many
-- in: n int
-- out: kind text, ref text, detail text?, created_at ts
SELECT kind, ref, detail, created_at FROM billing_flag ORDER BY created_at DESC, kind, ref LIMIT $n;

-- name: cursor_get :opt
-- in: name text
-- out: created_at ts, event text
SELECT created_at, event FROM billing_cursor WHERE name = $name;

-- name: cursor_put :exec
-- in: name text, created_at ts, event text
INSERT INTO billing_cursor (name, created_at, event) VALUES ($name, $created_at, $event)
ON CONFLICT (name) DO UPDATE SET created_at = excluded.created_at, event = excluded.event;

-- name: drift_put :exec
-- in: object text, field text, ours text?, theirs text?, now ts
INSERT INTO billing_drift (object, field, ours, theirs, found_at) VALUES ($object, $field, $ours, $theirs, $now)
ON CONFLICT (object, field) DO UPDATE SET ours = excluded.ours, theirs = excluded.theirs,
    found_at = excluded.found_at;

-- name: drift_del :exec
-- in: object text
DELETE FROM billing_drift WHERE object = $object;

-- name: drift_list :many
-- out: object text, field text, ours text?, theirs text?, found_at ts
SELECT object, field, ours, theirs, found_at FROM billing_drift ORDER BY object, field;

-- ======== the whole state, for comparing two runs: of one member, '' = of nobody ========

-- name: state_subscriptions :many
-- json
-- in: member text
-- out: status text, period_start ts?, period_end ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, ended_at ts?, collection_paused bool, anchor ts?, invoice_known bool, paid_through ts?, barred text?, first_failure ts?, gone_at ts?
SELECT status, period_start, period_end, trial_end, cancel_at, cancel_at_period_end, ended_at,
       collection_paused, anchor, invoice_known, paid_through, barred, first_failure, gone_at
FROM subscription WHERE COALESCE(member, '') = $member;

-- name: state_invoices :many
-- json
-- in: member text
-- out: status text, billing_reason text?, amount_due int, amount_paid int, currency text?, period_start ts?, period_end ts?, attempt_count int, first_failed ts?, refunded int, cover int, payments int
SELECT i.status, i.billing_reason, i.amount_due, i.amount_paid, i.currency, i.period_start, i.period_end,
       i.attempt_count, i.first_failed, i.refunded, i.cover,
       (SELECT COUNT(*) FROM payment_link l WHERE l.invoice = i.id) AS payments
FROM fact_invoice i WHERE COALESCE(i.member, '') = $member;

-- name: state_payments :many
-- json
-- in: member text
-- out: status text, amount int, received int, currency text?, failed bool, paid_at ts?, refunds int, disputes int
SELECT p.status, p.amount, p.received, p.currency, p.failed, p.paid_at,
       (SELECT COUNT(*) FROM fact_refund r WHERE r.payment = p.id) AS refunds,
       (SELECT COUNT(*) FROM fact_dispute d WHERE d.payment = p.id) AS disputes
FROM fact_payment p WHERE COALESCE(p.member, '') = $member;

-- name: state_refunds :many
-- json
-- in: member text
-- out: status text, amount int, linked bool
SELECT r.status, r.amount, CASE WHEN r.payment IS NULL THEN 0 ELSE 1 END AS linked
FROM fact_refund r LEFT JOIN fact_payment p ON p.id = r.payment WHERE COALESCE(p.member, '') = $member;

-- name: state_disputes :many
-- json
-- in: member text
-- out: status text, amount int, linked bool
SELECT d.status, d.amount, CASE WHEN d.payment IS NULL THEN 0 ELSE 1 END AS linked
FROM fact_dispute d LEFT JOIN fact_payment p ON p.id = d.payment WHERE COALESCE(p.member, '') = $member;

-- name: state_charges :many
-- json
-- in: member text
-- out: status text, amount int, refunded int
SELECT c.status, c.amount, c.refunded
FROM fact_charge c LEFT JOIN fact_payment p ON p.id = c.payment WHERE COALESCE(p.member, '') = $member;

-- name: state_sessions :many
-- json
-- in: member text
-- out: mode text?, status text?, payment_status text?, amount_total int, async_failed bool
SELECT mode, status, payment_status, amount_total, async_failed
FROM fact_session WHERE COALESCE(member, '') = $member;

-- name: state_customers :many
-- json
-- in: member text
-- out: deleted bool, methods int
SELECT c.deleted, (SELECT COUNT(*) FROM fact_payment_method m WHERE m.customer = c.id) AS methods
FROM fact_customer c WHERE COALESCE(c.member, '') = $member;

-- name: state_flags :many
-- in: ref text
-- out: kind text
SELECT kind FROM billing_flag WHERE ref = $ref;

-- name: member_money :many
-- in: member text
-- out: currency text, paid int, refunded int
SELECT COALESCE(currency, '') AS currency, CAST(COALESCE(SUM(amount_paid), 0) AS bigint) AS paid,
       CAST(COALESCE(SUM(refunded), 0) AS bigint) AS refunded
FROM fact_invoice WHERE member = $member AND status = 'paid' GROUP BY COALESCE(currency, '');

-- ======== comparing with Stripe, and with a rebuild ========

-- name: drift_clear :exec
DELETE FROM billing_drift;

-- name: subscription_living :many
-- out: id text, status text, as_of ts
SELECT id, status, as_of FROM subscription
WHERE status NOT IN ('canceled', 'incomplete_expired') AND gone_at IS NULL ORDER BY id;

-- name: shadow_facts :many
-- out: kind text, id text, content text, fetched bool
SELECT 'subscription' AS kind, id, 'status ' || status || ', paid through ' || COALESCE(CAST(paid_through AS text), '-')
       || ', barred ' || COALESCE(barred, '-') || ', first failure ' || COALESCE(CAST(first_failure AS text), '-')
       || ', gone ' || COALESCE(CAST(gone_at AS text), '-') || ', digest ' || CAST(digest AS text) AS content,
       source AS fetched
FROM subscription
UNION ALL
SELECT 'invoice', id, 'status ' || status || ', refunded ' || CAST(refunded AS text) || ', cover '
       || CAST(cover AS text) || ', first failed ' || COALESCE(CAST(first_failed AS text), '-') || ', digest '
       || CAST(digest AS text), source
FROM fact_invoice
UNION ALL
SELECT 'payment_intent', id, 'status ' || status || ', paid at ' || COALESCE(CAST(paid_at AS text), '-')
       || ', digest ' || CAST(digest AS text), source
FROM fact_payment
UNION ALL
SELECT 'charge', id, 'status ' || status || ', refunded ' || CAST(refunded AS text) || ', digest '
       || CAST(digest AS text), source
FROM fact_charge
UNION ALL
SELECT 'refund', id, 'status ' || status || ', payment ' || COALESCE(payment, '-') || ', digest '
       || CAST(digest AS text), source
FROM fact_refund
UNION ALL
SELECT 'dispute', id, 'status ' || status || ', payment ' || COALESCE(payment, '-') || ', digest '
       || CAST(digest AS text), source
FROM fact_dispute
UNION ALL
SELECT 'checkout.session', id, 'status ' || COALESCE(status, '-') || ', failed ' || CAST(async_failed AS text)
       || ', digest ' || CAST(digest AS text), source
FROM fact_session
UNION ALL
SELECT 'customer', id, 'deleted ' || CAST(deleted AS text) || ', digest ' || CAST(digest AS text), source
FROM fact_customer WHERE rank >= 0
UNION ALL
SELECT 'invoice_payment', id, 'status ' || status || ', digest ' || CAST(digest AS text), source
FROM fact_invoice_payment
UNION ALL
SELECT 'payment_method', id, 'digest ' || CAST(digest AS text), source
FROM fact_payment_method
ORDER BY kind, id;

-- ======== what must hold (mybeing check) ========

-- name: check_event_status :many
-- out: ref text, detail text
SELECT id AS ref, 'has the status ' || status AS detail FROM webhook_event
WHERE status NOT IN ('applied', 'ignored', 'failed') OR (status = 'failed' AND error IS NULL);

-- name: check_invoice_cover :many
-- out: ref text, detail text
SELECT id AS ref, 'is ' || status || ', ' || CAST(refunded AS text) || ' of ' || CAST(amount_paid AS text)
       || ' refunded, and covers as ' || CAST(cover AS text) AS detail
FROM fact_invoice
WHERE (status = 'paid') <> (cover <> 0) OR (cover IN (1, 2) AND amount_paid > 0 AND refunded >= amount_paid);

-- name: check_invoice_refunded :many
-- out: ref text, detail text
SELECT i.id AS ref, 'says ' || CAST(i.refunded AS text) || ' refunded, its refunds are more' AS detail
FROM fact_invoice i
WHERE i.refunded < (SELECT COALESCE(SUM(r.amount), 0) FROM payment_link l JOIN fact_refund r ON r.payment = l.payment
                    WHERE l.invoice = i.id AND r.status IN ('pending', 'succeeded'));

-- name: check_paid_through :many
-- out: ref text, detail text
SELECT s.id AS ref, 'is said to be paid to another time than its invoices' AS detail
FROM subscription s
WHERE COALESCE(s.paid_through, 0) <> COALESCE((SELECT MAX(i.period_end) FROM fact_invoice i
                                               WHERE i.subscription = s.id AND i.cover = 1), 0);

-- name: check_one_owner :many
-- out: ref text, detail text
SELECT f.id AS ref, 'belongs to another member than its customer ' || c.id AS detail
FROM (SELECT id, customer, member FROM subscription
      UNION ALL SELECT id, customer, member FROM fact_invoice
      UNION ALL SELECT id, customer, member FROM fact_payment
      UNION ALL SELECT id, customer, member FROM fact_session) f
JOIN fact_customer c ON c.id = f.customer
WHERE c.member IS NOT NULL AND (f.member IS NULL OR f.member <> c.member);

-- name: check_refund_linked :many
-- out: ref text, detail text
SELECT r.id AS ref, 'is not tied to the payment of its charge ' || c.id AS detail
FROM fact_refund r JOIN fact_charge c ON c.id = r.charge WHERE r.payment IS NULL;
