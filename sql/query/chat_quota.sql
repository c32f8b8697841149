-- name: chat_period_get :opt
-- in: owner text
-- out: ends_at ts
SELECT ends_at FROM ai_quota_period WHERE owner = $owner;

-- Where a member stands, in one read; whether that day still runs is the caller's to say. The zone is that of the
-- day after.
-- name: chat_member_standing :opt
-- kept: member
-- of: account.id, ai_quota_period.owner, ai_quota_slot.owner
-- in: member text
-- out: ends_at ts?, used int, timezone text?
SELECT p.ends_at, CASE WHEN p.ends_at IS NULL THEN 0 ELSE (SELECT count(*) FROM ai_quota_slot AS s
    WHERE s.owner = $member AND s.period_end = p.ends_at) END AS used, a.timezone
FROM account AS a LEFT JOIN ai_quota_period AS p ON p.owner = a.id
WHERE a.id = $member;

-- name: chat_period_put :exec
-- in: owner text, ends_at ts, now ts
INSERT INTO ai_quota_period (owner, ends_at) VALUES ($owner, $ends_at)
ON CONFLICT (owner) DO UPDATE SET ends_at = excluded.ends_at WHERE ai_quota_period.ends_at <= $now;

-- name: chat_slot_list :many
-- in: owner text, period_end ts
-- out: number int, conversation_id text, messages int
SELECT number, conversation_id, messages FROM ai_quota_slot
WHERE owner = $owner AND period_end = $period_end ORDER BY number;

-- name: chat_slot_take :exec
-- in: owner text, period_end ts, number int, conversation_id text, messages int
INSERT INTO ai_quota_slot (owner, period_end, number, conversation_id, messages)
VALUES ($owner, $period_end, $number, $conversation_id, $messages);

-- name: chat_slot_join :exec
-- in: owner text, period_end ts, number int, most int
UPDATE ai_quota_slot SET messages = messages + 1
WHERE owner = $owner AND period_end = $period_end AND number = $number AND messages < $most;

-- A fault that was not the member's: the message does not count, and an empty slot is free again. The conversation is
-- asked for as well: after a claim the number may be another one's.
-- name: chat_slot_return :exec
-- in: owner text, period_end ts, number int, conversation_id text
UPDATE ai_quota_slot SET messages = messages - 1
WHERE owner = $owner AND period_end = $period_end AND number = $number AND conversation_id = $conversation_id
    AND messages > 0;

-- name: chat_slot_free :exec
-- in: owner text, period_end ts, number int
DELETE FROM ai_quota_slot WHERE owner = $owner AND period_end = $period_end AND number = $number AND messages = 0;

-- A slot went to another owner with its conversation: the answer that is being written there names it anew.
-- name: chat_slot_renamed :exec
-- in: conversation_id text, from_end ts, from_number int, to_end ts, to_number int
UPDATE ai_message SET ticket_end = $to_end, ticket_number = $to_number
WHERE conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id)
  AND status = 'streaming' AND ticket_end = $from_end
    AND ticket_number = $from_number;

-- name: chat_network_take :exec
-- in: network text, day ts, most int
INSERT INTO ai_quota_network (network, day, used) VALUES ($network, $day, 1)
ON CONFLICT (network, day) DO UPDATE SET used = ai_quota_network.used + 1 WHERE ai_quota_network.used < $most;

-- name: chat_network_return :exec
-- in: network text, day ts
UPDATE ai_quota_network SET used = used - 1 WHERE network = $network AND day = $day AND used > 0;

-- name: chat_quota_prune :exec
-- in: before ts
DELETE FROM ai_quota_slot WHERE period_end < $before;

-- name: chat_period_prune :exec
-- in: before ts
DELETE FROM ai_quota_period WHERE ends_at < $before;

-- name: chat_network_prune :exec
-- in: before ts
DELETE FROM ai_quota_network WHERE day < $before;

-- name: chat_usage_add :exec
-- in: owner text, day ts, model text, turns int, input_tokens int, output_tokens int
INSERT INTO ai_usage (owner, day, model, turns, input_tokens, output_tokens)
VALUES ($owner, $day, $model, $turns, $input_tokens, $output_tokens)
ON CONFLICT (owner, day, model) DO UPDATE SET turns = ai_usage.turns + excluded.turns,
    input_tokens = ai_usage.input_tokens + excluded.input_tokens,
    output_tokens = ai_usage.output_tokens + excluded.output_tokens;

-- name: chat_usage_of :one
-- in: owner text, day ts
-- out: tokens int
SELECT CAST(COALESCE(sum(input_tokens + output_tokens), 0) AS bigint) AS tokens
FROM ai_usage WHERE owner = $owner AND day = $day;

-- name: chat_usage_days :many
-- in: from_day ts, until_day ts
-- out: day ts, model text, turns int, input_tokens int, output_tokens int, owners int
SELECT day, model, CAST(sum(turns) AS bigint) AS turns, CAST(sum(input_tokens) AS bigint) AS input_tokens,
       CAST(sum(output_tokens) AS bigint) AS output_tokens, count(*) AS owners
FROM ai_usage WHERE day >= $from_day AND day <= $until_day GROUP BY day, model ORDER BY day DESC, model;

-- name: chat_crisis_put :exec
-- in: id text, language text, at ts
INSERT INTO ai_crisis (id, language, at) VALUES ($id, $language, $at);

-- name: chat_crisis_count :one
-- in: from_at ts, until_at ts
-- out: n int
SELECT count(*) AS n FROM ai_crisis WHERE at >= $from_at AND at < $until_at;
