-- All that a member has, in one read: free uses, discount slots, purchases that grant, grants; and whether
-- there are personal discounts, which few have, to be read.
-- name: entitlement_member :many
-- kept: member
-- of: allowance_use.member, discount_slot.member, purchase.member, item_grant.member, manual_discount.member
-- in: member text
-- out: what text, kind text?, item text, start_at ts?, end_at ts?, number int, ref text?
SELECT 'use' AS what, kind, item, cycle_start AS start_at, cycle_end AS end_at, number,
       CAST(NULL AS text) AS ref
FROM allowance_use WHERE member = $member
UNION ALL
SELECT 'slot', kind, state, cycle_start, cycle_end, number, purchase
FROM discount_slot WHERE member = $member AND state <> 'released'
UNION ALL
SELECT 'own', status, item, created_at, CAST(NULL AS bigint), price, id
FROM purchase WHERE member = $member AND status IN ('paid', 'partially_refunded')
UNION ALL
SELECT 'grant', CAST(NULL AS text), item, created_at, until, 0, id
FROM item_grant WHERE member = $member AND revoked_at IS NULL
UNION ALL
SELECT 'offer', CAST(NULL AS text), id, created_at, CAST(NULL AS bigint), 0, id
FROM manual_discount WHERE member = $member AND code IS NULL AND disabled_at IS NULL;

-- What a visitor has: purchases not claimed yet.
-- name: entitlement_visitor :many
-- in: visitor text
-- out: what text, kind text?, item text, start_at ts?, end_at ts?, number int, ref text?
SELECT 'own' AS what, status AS kind, item, created_at AS start_at, CAST(NULL AS bigint) AS end_at,
       price AS number, id AS ref
FROM purchase
WHERE visitor = $visitor AND member IS NULL AND status IN ('paid', 'partially_refunded');

-- name: allowance_use_put :exec
-- in: member text, cycle_start ts, kind text, number int, cycle_end ts, item text, subscription text?, now ts
INSERT INTO allowance_use (member, cycle_start, kind, number, cycle_end, item, subscription, used_at)
VALUES ($member, $cycle_start, $kind, $number, $cycle_end, $item, $subscription, $now)
ON CONFLICT DO NOTHING;

-- name: discount_slot_put :exec
-- in: purchase text, member text, cycle_start ts, cycle_end ts, kind text, number int, state text, now ts
INSERT INTO discount_slot (purchase, member, cycle_start, cycle_end, kind, number, state, changed_at)
VALUES ($purchase, $member, $cycle_start, $cycle_end, $kind, $number, $state, $now)
ON CONFLICT DO NOTHING;

-- name: discount_slot_get :opt
-- in: purchase text
-- out: member text, cycle_start ts, cycle_end ts, kind text, number int, state text
SELECT member, cycle_start, cycle_end, kind, number, state FROM discount_slot WHERE purchase = $purchase;

-- A released slot comes back only while nobody else has its number.
-- name: discount_slot_set :exec
-- in: purchase text, state text, now ts
UPDATE discount_slot SET state = $state, changed_at = $now
WHERE purchase = $purchase AND state <> $state
  AND (state <> 'released' OR NOT EXISTS (
      SELECT 1 FROM discount_slot o
      WHERE o.member = discount_slot.member AND o.cycle_start = discount_slot.cycle_start
        AND o.kind = discount_slot.kind AND o.number = discount_slot.number
        AND o.state <> 'released'));

-- name: item_grant_put :exec
-- in: id text, member text, item text, until ts?, note text?, granted_by text, now ts
INSERT INTO item_grant (id, member, item, until, note, granted_by, created_at)
VALUES ($id, $member, $item, $until, $note, $granted_by, $now);

-- name: item_grant_del :exec
-- in: id text, now ts
UPDATE item_grant SET revoked_at = $now WHERE id = $id AND revoked_at IS NULL;

-- name: item_grant_list :many
-- in: member text
-- out: id text, member text, item text, until ts?, note text?, granted_by text, created_at ts, revoked_at ts?
SELECT id, member, item, until, note, granted_by, created_at, revoked_at
FROM item_grant WHERE member = $member ORDER BY id;

-- The newest event about an object of Stripe's: what explain=1 names.
-- name: entitlement_event :opt
-- in: object text
-- out: id text, created_at ts
SELECT id, created_at FROM webhook_event WHERE object = $object
ORDER BY created_at DESC, id DESC LIMIT 1;
