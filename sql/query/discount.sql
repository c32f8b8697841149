-- name: discount_of_member :many
-- in: member text, except text
-- out: id text, code text?, member text?, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, max_uses int?, max_per_member int?, used int, used_member int
SELECT d.id, d.code, d.member, d.percent, d.amount, d.currency, d.kind, d.item, d.valid_from,
       d.valid_until, d.max_uses, d.max_per_member,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.state <> 'released' AND u.purchase <> $except) AS used,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.member = $member AND u.state <> 'released'
          AND u.purchase <> $except) AS used_member
FROM manual_discount d
WHERE d.member = $member AND d.code IS NULL AND d.disabled_at IS NULL
ORDER BY d.id;

-- name: discount_by_code :opt
-- in: code text, member text, except text
-- out: id text, code text?, member text?, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, max_uses int?, max_per_member int?, used int, used_member int
SELECT d.id, d.code, d.member, d.percent, d.amount, d.currency, d.kind, d.item, d.valid_from,
       d.valid_until, d.max_uses, d.max_per_member,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.state <> 'released' AND u.purchase <> $except) AS used,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.member = $member AND u.state <> 'released'
          AND u.purchase <> $except) AS used_member
FROM manual_discount d
WHERE d.code = $code AND d.disabled_at IS NULL;

-- Numbers taken of a discount (limits in all).
-- name: discount_numbers :many
-- in: discount text
-- out: number int?
SELECT number FROM discount_use WHERE discount = $discount AND state <> 'released';

-- name: discount_member_numbers :many
-- in: discount text, member text
-- out: number int?
SELECT member_number AS number FROM discount_use
WHERE discount = $discount AND member = $member AND state <> 'released';

-- name: discount_use_put :exec
-- in: purchase text, discount text, member text?, number int?, member_number int?, state text, now ts
INSERT INTO discount_use (purchase, discount, member, number, member_number, state, changed_at)
VALUES ($purchase, $discount, $member, $number, $member_number, $state, $now)
ON CONFLICT DO NOTHING;

-- name: discount_use_get :opt
-- in: purchase text
-- out: discount text, member text?, number int?, member_number int?, state text
SELECT discount, member, number, member_number, state FROM discount_use WHERE purchase = $purchase;

-- A released use comes back only while nobody else has its numbers.
-- name: discount_use_set :exec
-- in: purchase text, state text, now ts
UPDATE discount_use SET state = $state, changed_at = $now
WHERE purchase = $purchase AND state <> $state
  AND (state <> 'released' OR NOT EXISTS (
      SELECT 1 FROM discount_use o
      WHERE o.discount = discount_use.discount AND o.state <> 'released'
        AND (o.number = discount_use.number
             OR (o.member = discount_use.member AND o.member_number = discount_use.member_number))));

-- name: discount_use_claim :exec
-- in: purchase text, member text
UPDATE discount_use SET member = $member WHERE purchase = $purchase AND member IS NULL;

-- name: discount_put :exec
-- in: id text, code text?, member text?, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, max_uses int?, max_per_member int?, note text?, created_by text, now ts
INSERT INTO manual_discount (id, code, member, percent, amount, currency, kind, item, valid_from,
                             valid_until, max_uses, max_per_member, note, created_by, created_at)
VALUES ($id, $code, $member, $percent, $amount, $currency, $kind, $item, $valid_from, $valid_until,
        $max_uses, $max_per_member, $note, $created_by, $now);

-- name: discount_del :exec
-- in: id text, now ts
UPDATE manual_discount SET disabled_at = $now WHERE id = $id AND disabled_at IS NULL;

-- name: discount_get :one
-- in: id text
-- out: id text, code text?, member text?, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, max_uses int?, max_per_member int?, note text?, created_by text, created_at ts, disabled_at ts?, used int
SELECT d.id, d.code, d.member, d.percent, d.amount, d.currency, d.kind, d.item, d.valid_from,
       d.valid_until, d.max_uses, d.max_per_member, d.note, d.created_by, d.created_at, d.disabled_at,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.state <> 'released') AS used
FROM manual_discount d WHERE d.id = $id;

-- name: discount_list :many
-- in: before text, n int
-- out: id text, code text?, member text?, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, max_uses int?, max_per_member int?, note text?, created_by text, created_at ts, disabled_at ts?, used int
SELECT d.id, d.code, d.member, d.percent, d.amount, d.currency, d.kind, d.item, d.valid_from,
       d.valid_until, d.max_uses, d.max_per_member, d.note, d.created_by, d.created_at, d.disabled_at,
       (SELECT count(*) FROM discount_use u
        WHERE u.discount = d.id AND u.state <> 'released') AS used
FROM manual_discount d WHERE d.id < $before ORDER BY d.id DESC LIMIT $n;

-- name: discount_code_taken :opt
-- in: code text
-- out: id text
SELECT id FROM manual_discount WHERE code = $code;

-- name: discount_forget :exec
-- in: member text, now ts
UPDATE manual_discount SET disabled_at = $now WHERE member = $member AND disabled_at IS NULL;
