-- name: purchase_put :exec
-- in: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, open_key text?, expires_at ts?, paid_at ts?, now ts
INSERT INTO purchase (id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
                      discount_percent, status, open_key, never_opened, mismatch, late, revision,
                      expires_at, created_at, changed_at, paid_at)
VALUES ($id, $member, $visitor, $item, $list_price, $price, $currency, $discount_kind, $discount_id,
        $discount_percent, $status, $open_key, 0, 0, 0, 0, $expires_at, $now, $now, $paid_at)
ON CONFLICT DO NOTHING;

-- name: purchase_get :opt
-- in: id text
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE id = $id;

-- name: purchase_by_open_key :opt
-- in: open_key text
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE open_key = $open_key;

-- name: purchase_by_session :opt
-- in: session text
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE session = $session;

-- name: purchase_by_payment :opt
-- in: payment text
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE payment_intent = $payment;

-- name: purchase_of_member :many
-- in: member text, before text, n int
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE member = $member AND id < $before ORDER BY id DESC LIMIT $n;

-- name: purchase_of_visitor :many
-- in: visitor text, before text, n int
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE visitor = $visitor AND member IS NULL AND id < $before ORDER BY id DESC LIMIT $n;

-- For admins: all, newest first.
-- name: purchase_list :many
-- in: before text, n int
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
SELECT id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
       discount_percent, status, session, session_url, payment_intent, email, never_opened,
       mismatch, late, revision, expires_at, created_at, changed_at, paid_at, claimed_at
FROM purchase WHERE id < $before ORDER BY id DESC LIMIT $n;

-- Locks the row and tells its present content: what follows sees the facts of everybody who held it.
-- name: purchase_lock :opt
-- in: id text
-- out: id text, member text?, visitor text?, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, discount_percent int?, status text, session text?, session_url text?, payment_intent text?, email text?, never_opened bool, mismatch bool, late bool, revision int, expires_at ts?, created_at ts, changed_at ts, paid_at ts?, claimed_at ts?
UPDATE purchase SET revision = revision + 1 WHERE id = $id
RETURNING id, member, visitor, item, list_price, price, currency, discount_kind, discount_id,
          discount_percent, status, session, session_url, payment_intent, email,
          never_opened, mismatch, late, revision, expires_at, created_at, changed_at,
          paid_at, claimed_at;

-- name: purchase_bind_session :exec
-- in: id text, session text
UPDATE purchase SET session = $session
WHERE id = $id AND session IS NULL AND NOT EXISTS (SELECT 1 FROM purchase o WHERE o.session = $session);

-- name: purchase_bind_payment :exec
-- in: id text, payment text
UPDATE purchase SET payment_intent = $payment
WHERE id = $id AND NOT EXISTS (SELECT 1 FROM purchase o WHERE o.payment_intent = $payment);

-- name: purchase_set_url :exec
-- in: id text, url text
UPDATE purchase SET session_url = $url WHERE id = $id AND status = 'pending';

-- name: purchase_set_email :exec
-- in: id text, email text
UPDATE purchase SET email = $email
WHERE id = $id AND email IS NULL
  AND (member IS NULL OR EXISTS (SELECT 1 FROM account a WHERE a.id = purchase.member));

-- name: purchase_set_gone :exec
-- in: id text
UPDATE purchase SET never_opened = 1 WHERE id = $id;

-- A purchase that closes gives its key back; one that stays pending keeps it; one that is pending again
-- takes it only if nothing else is open.
-- name: purchase_set_status :exec
-- in: id text, status text, keep_open bool, open_key text?, session_url text?, mismatch bool, late bool, paid_at ts?, now ts
UPDATE purchase SET status = $status, session_url = $session_url, mismatch = $mismatch, late = $late,
                    paid_at = $paid_at, changed_at = $now,
                    open_key = CASE WHEN $keep_open = 0 THEN NULL
                                    WHEN open_key IS NOT NULL THEN open_key
                                    WHEN EXISTS (SELECT 1 FROM purchase o WHERE o.open_key = $open_key)
                                    THEN NULL ELSE $open_key END
WHERE id = $id;

-- name: purchase_move_open :exec
-- in: id text, open_key text
UPDATE purchase SET open_key = $open_key
WHERE id = $id AND open_key IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM purchase o WHERE o.open_key = $open_key);

-- The payment that a charge belongs to, for refunds and disputes that name the charge alone.
-- name: purchase_charge_payment :opt
-- in: charge text
-- out: payment text?
SELECT payment FROM fact_charge WHERE id = $charge;

-- name: purchase_history_put :exec
-- in: purchase text, at ts, status text, what text, actor text, event text?, detail text?
INSERT INTO purchase_history (purchase, seq, at, status, what, actor, event, detail)
SELECT $purchase, COALESCE(MAX(seq), 0) + 1, $at, $status, $what, $actor, $event, $detail
FROM purchase_history WHERE purchase = $purchase;

-- name: purchase_history_list :many
-- in: purchase text
-- out: seq int, at ts, status text, what text, actor text, event text?, detail text?
SELECT seq, at, status, what, actor, event, detail
FROM purchase_history WHERE purchase = $purchase ORDER BY seq;

-- The event behind a purchase's present state.
-- name: purchase_last_event :opt
-- in: purchase text
-- out: event text?, at ts, what text
SELECT event, at, what FROM purchase_history WHERE purchase = $purchase ORDER BY seq DESC LIMIT 1;

-- Exactly one claim wins: whoever changes the row.
-- name: purchase_claim_one :exec
-- in: id text, member text, now ts
UPDATE purchase SET member = $member, claimed_at = $now WHERE id = $id AND member IS NULL;

-- name: purchase_visitor_count :one
-- in: visitor text
-- out: n int
SELECT count(*) AS n FROM purchase
WHERE visitor = $visitor AND member IS NULL AND status NOT IN ('failed', 'expired');

-- name: purchase_claim_put :exec
-- in: purchase text, member text, now ts
INSERT INTO purchase_claim (purchase, member, created_at) VALUES ($purchase, $member, $now)
ON CONFLICT DO NOTHING;

-- name: purchase_claim_of :many
-- in: member text
-- out: purchase text
SELECT purchase FROM purchase_claim WHERE member = $member ORDER BY created_at, purchase;

-- name: purchase_claim_del :exec
-- in: member text
DELETE FROM purchase_claim WHERE member = $member;

-- Pending ones whose session's end was never reported.
-- name: purchase_overdue :many
-- in: before ts, n int
-- out: id text
SELECT id FROM purchase WHERE open_key > '' AND expires_at < $before ORDER BY open_key LIMIT $n;

-- For `dev state`: without ids and times. member '' = those of visitors.
-- name: purchase_state :many
-- in: member text
-- out: item text, status text, list_price int, price int, currency text, discount_kind text, mismatch bool, late bool, slot text?, use_state text?
SELECT p.item, p.status, p.list_price, p.price, p.currency, p.discount_kind, p.mismatch, p.late,
       s.state AS slot, u.state AS use_state
FROM purchase p
LEFT JOIN discount_slot s ON s.purchase = p.id
LEFT JOIN discount_use u ON u.purchase = p.id
WHERE p.member = $member OR ($member = '' AND p.member IS NULL)
ORDER BY p.item, p.status, p.price;

-- The person goes, the books stay.
-- name: purchase_forget :exec
-- in: member text
UPDATE purchase SET email = NULL WHERE member = $member AND email IS NOT NULL;

-- Another one that gives its owner the same item.
-- name: purchase_granting_twin :opt
-- in: id text, member text, item text
-- out: id text
SELECT id FROM purchase
WHERE member = $member AND item = $item AND id <> $id AND price > 0
  AND status IN ('paid', 'partially_refunded')
ORDER BY id LIMIT 1;
