-- Invariants (SPEC §8): `mybeing check` runs every query named check_…; nothing may come back. Parameters are
-- given by name (see src/cmd/check.c). Other features add theirs to their own files.

-- No cycle, with those it overlaps, holds more free uses than the plan gives.
-- name: check_allowance_within_limit :many
-- in: now ts, quiz_limit int, article_limit int
-- out: ref text, detail text
SELECT u.member AS ref, u.kind || ' ' || u.item AS detail
FROM allowance_use u
WHERE u.cycle_end > $now
  AND (SELECT count(*) FROM allowance_use o
       WHERE o.member = u.member AND o.kind = u.kind AND o.cycle_start < u.cycle_end
         AND o.cycle_end > u.cycle_start
         AND (o.used_at < u.used_at OR (o.used_at = u.used_at AND o.item <= u.item)))
      > CASE WHEN u.kind = 'quiz' THEN $quiz_limit ELSE $article_limit END;

-- name: check_allowance_numbers_from_one :many
-- out: ref text, detail text
SELECT member AS ref, kind || ' ' || item AS detail
FROM allowance_use WHERE number < 1 OR cycle_start >= cycle_end;

-- name: check_allowance_has_member :many
-- out: ref text, detail text
SELECT u.member AS ref, u.item AS detail
FROM allowance_use u WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = u.member);

-- name: check_discount_slots_within_limit :many
-- in: now ts, quiz_discounts int
-- out: ref text, detail text
SELECT s.member AS ref, s.purchase AS detail
FROM discount_slot s JOIN purchase p ON p.id = s.purchase
WHERE s.cycle_end > $now AND s.state <> 'released' AND s.kind = 'quiz' AND $quiz_discounts >= 0
  AND (SELECT count(*) FROM discount_slot o JOIN purchase q ON q.id = o.purchase
       WHERE o.member = s.member AND o.kind = s.kind AND o.state <> 'released'
         AND o.cycle_start < s.cycle_end AND o.cycle_end > s.cycle_start
         AND (q.created_at < p.created_at OR (q.created_at = p.created_at AND q.id <= p.id)))
      > $quiz_discounts;

-- name: check_discount_slot_has_purchase :many
-- out: ref text, detail text
SELECT s.purchase AS ref, s.state AS detail
FROM discount_slot s WHERE NOT EXISTS (SELECT 1 FROM purchase p WHERE p.id = s.purchase);

-- A slot follows its purchase: held while pending, consumed when paid, else free.
-- name: check_discount_slot_follows_purchase :many
-- out: ref text, detail text
SELECT s.purchase AS ref, s.state || ' but ' || p.status AS detail
FROM discount_slot s JOIN purchase p ON p.id = s.purchase
WHERE (s.state = 'held' AND p.status <> 'pending')
   OR (s.state = 'consumed' AND p.status IN ('pending', 'failed', 'expired'))
   OR (s.state = 'released' AND p.late = 0 AND p.status IN ('pending', 'paid', 'partially_refunded')
       AND NOT EXISTS (SELECT 1 FROM billing_flag f
                       WHERE f.kind = 'discount_reused' AND f.ref = s.purchase))
   OR s.state NOT IN ('held', 'consumed', 'released');

-- name: check_discount_slot_is_the_buyers :many
-- out: ref text, detail text
SELECT s.purchase AS ref, s.member AS detail
FROM discount_slot s JOIN purchase p ON p.id = s.purchase
WHERE p.member IS NULL OR p.member <> s.member OR p.discount_kind <> 'premium';

-- name: check_discount_uses_within_limit :many
-- out: ref text, detail text
SELECT d.id AS ref, CAST(count(*) AS text) AS detail
FROM manual_discount d JOIN discount_use u ON u.discount = d.id AND u.state <> 'released'
WHERE d.max_uses IS NOT NULL
GROUP BY d.id, d.max_uses HAVING count(*) > d.max_uses;

-- name: check_discount_uses_within_member_limit :many
-- out: ref text, detail text
SELECT d.id AS ref, u.member AS detail
FROM manual_discount d JOIN discount_use u ON u.discount = d.id AND u.state <> 'released'
WHERE d.max_per_member IS NOT NULL AND u.member IS NOT NULL
GROUP BY d.id, d.max_per_member, u.member HAVING count(*) > d.max_per_member;

-- name: check_discount_use_follows_purchase :many
-- out: ref text, detail text
SELECT u.purchase AS ref, u.state || ' but ' || COALESCE(p.status, 'no purchase') AS detail
FROM discount_use u LEFT JOIN purchase p ON p.id = u.purchase
WHERE p.id IS NULL OR p.discount_id IS NULL OR p.discount_id <> u.discount
   OR (u.state = 'held' AND p.status <> 'pending')
   OR (u.state = 'consumed' AND p.status IN ('pending', 'failed', 'expired'));

-- name: check_discount_is_percent_or_amount :many
-- out: ref text, detail text
SELECT id AS ref, COALESCE(code, member) AS detail
FROM manual_discount
WHERE (percent IS NULL) = (amount IS NULL) OR percent NOT BETWEEN 1 AND 100 OR amount < 1
   OR (code IS NULL AND member IS NULL) OR code <> upper(code);

-- name: check_discounted_purchase_has_its_use :many
-- out: ref text, detail text
SELECT p.id AS ref, p.discount_id AS detail
FROM purchase p
WHERE p.discount_kind = 'manual'
  AND NOT EXISTS (SELECT 1 FROM discount_use u WHERE u.purchase = p.id AND u.discount = p.discount_id);

-- name: check_purchase_price :many
-- out: ref text, detail text
SELECT id AS ref, CAST(price AS text) AS detail
FROM purchase
WHERE price < 0 OR price > list_price OR price BETWEEN 1 AND 49
   OR (discount_kind = 'none' AND price <> list_price AND list_price >= 50)
   OR discount_kind NOT IN ('none', 'premium', 'manual');

-- name: check_purchase_has_buyer :many
-- out: ref text, detail text
SELECT id AS ref, item AS detail FROM purchase
WHERE (member IS NULL AND visitor IS NULL) OR (claimed_at IS NOT NULL AND member IS NULL);

-- name: check_purchase_open_only_while_pending :many
-- out: ref text, detail text
SELECT id AS ref, status AS detail FROM purchase
WHERE (open_key IS NOT NULL AND status <> 'pending') OR (session_url IS NOT NULL AND status <> 'pending');

-- name: check_purchase_status_known :many
-- out: ref text, detail text
SELECT id AS ref, status AS detail FROM purchase
WHERE status NOT IN ('pending', 'paid', 'failed', 'expired', 'partially_refunded', 'refunded', 'disputed',
                     'lost')
   OR (price = 0 AND status <> 'paid') OR (status = 'paid' AND paid_at IS NULL);

-- What disagrees with what we asked for grants nothing.
-- name: check_mismatch_grants_nothing :many
-- out: ref text, detail text
SELECT id AS ref, status AS detail FROM purchase
WHERE mismatch <> 0 AND status IN ('paid', 'partially_refunded');

-- name: check_history_ends_in_status :many
-- out: ref text, detail text
SELECT p.id AS ref, p.status AS detail
FROM purchase p
WHERE COALESCE((SELECT h.status FROM purchase_history h WHERE h.purchase = p.id
                ORDER BY h.seq DESC LIMIT 1), '') <> p.status;

-- Rows of history are appended, never taken away.
-- name: check_history_without_gaps :many
-- out: ref text, detail text
SELECT purchase AS ref, CAST(count(*) AS text) AS detail
FROM purchase_history GROUP BY purchase HAVING count(*) <> MAX(seq) OR MIN(seq) <> 1;

-- A paid purchase was paid: to the cent, in its currency.
-- name: check_purchase_money :many
-- out: ref text, detail text
SELECT p.id AS ref, p.status AS detail
FROM purchase p
LEFT JOIN fact_payment f ON f.id = p.payment_intent
LEFT JOIN fact_session s ON s.id = p.session
WHERE p.price > 0 AND p.status IN ('paid', 'partially_refunded', 'refunded', 'disputed', 'lost')
  AND NOT (COALESCE(f.received, 0) = p.price AND f.currency = p.currency)
  AND NOT (COALESCE(s.payment_status, '') IN ('paid', 'no_payment_required')
           AND s.amount_total = p.price AND s.currency = p.currency);

-- name: check_paid_session_is_fulfilled :many
-- out: ref text, detail text
SELECT p.id AS ref, s.id AS detail
FROM purchase p JOIN fact_session s ON s.id = p.session
WHERE p.status IN ('pending', 'failed', 'expired') AND p.mismatch = 0 AND s.payment_status = 'paid';

-- name: check_refund_within_payment :many
-- out: ref text, detail text
SELECT f.id AS ref, CAST(SUM(r.amount) AS text) AS detail
FROM fact_payment f JOIN fact_refund r ON r.payment = f.id
WHERE r.status IN ('pending', 'succeeded') AND f.received > 0
GROUP BY f.id, f.received HAVING SUM(r.amount) > f.received;

-- name: check_payment_buys_one_thing :many
-- out: ref text, detail text
SELECT p.id AS ref, l.invoice AS detail
FROM purchase p JOIN payment_link l ON l.payment = p.payment_intent;

-- name: check_full_refund_revokes :many
-- out: ref text, detail text
SELECT p.id AS ref, p.status AS detail
FROM purchase p
WHERE p.payment_intent IS NOT NULL AND p.price > 0 AND p.mismatch = 0
  AND p.status IN ('paid', 'partially_refunded')
  AND (SELECT COALESCE(SUM(r.amount), 0) FROM fact_refund r
       WHERE r.payment = p.payment_intent AND r.status IN ('pending', 'succeeded')) >= p.price;

-- name: check_grant_has_member :many
-- out: ref text, detail text
SELECT g.id AS ref, g.item AS detail
FROM item_grant g WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = g.member);

-- Allowances belong to a paid period: a slot's subscription is known.
-- name: check_allowance_has_subscription :many
-- out: ref text, detail text
SELECT u.member AS ref, u.item AS detail
FROM allowance_use u
WHERE u.subscription IS NULL
   OR NOT EXISTS (SELECT 1 FROM subscription s WHERE s.id = u.subscription);
