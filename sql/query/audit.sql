-- What administrators did; rows are never changed.

-- name: audit_put :exec
-- in: id text, at ts, actor text, via text, action text, target text, reason text?, before text?, after text?
INSERT INTO audit (id, at, actor, via, action, target, reason, before, after)
VALUES ($id, $at, $actor, $via, $action, $target, $reason, $before, $after);

-- name: audit_list :many
-- in: before_at ts, before_id text, n int
-- out: id text, at ts, actor text, via text, action text, target text, reason text?, before text?, after text?
SELECT id, at, actor, via, action, target, reason, before, after FROM audit
WHERE (at, id) < ($before_at, $before_id) ORDER BY at DESC, id DESC LIMIT $n;

-- name: audit_list_target :many
-- in: target text, n int
-- out: id text, at ts, actor text, via text, action text, target text, reason text?, before text?, after text?
SELECT id, at, actor, via, action, target, reason, before, after FROM audit
WHERE target = $target ORDER BY at DESC LIMIT $n;
