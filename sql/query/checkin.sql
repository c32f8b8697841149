-- Check-ins of one person.

-- name: checkin_list :many
-- in: member text
-- out: id text, scale text, score int?, body blob, key_id int, taken_at ts, created_at ts
SELECT id, scale, score, body, key_id, taken_at, created_at FROM longitudinal_checkin
WHERE user_id = $member ORDER BY taken_at, id;
