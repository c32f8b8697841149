-- name: chat_turn_running :opt
-- in: conversation_id text
-- out: id text, lease_until ts
SELECT id, lease_until FROM ai_message WHERE conversation_id = $conversation_id AND status = 'streaming';

-- The answer to a user message: its assistant child.
-- name: chat_turn_answer :opt
-- in: parent_id text, conversation_id text
-- out: id text
SELECT id FROM ai_message
WHERE conversation_id = $conversation_id AND parent_id = $parent_id AND role = 'assistant' ORDER BY id LIMIT 1;

-- name: chat_turn_save :exec
-- in: id text, body blob, key_id int, lease_until ts
UPDATE ai_message SET body = $body, key_id = $key_id, lease_until = $lease_until
WHERE id = $id AND status = 'streaming';

-- name: chat_turn_end :exec
-- in: id text, body blob, key_id int, stop text, input_tokens int?, output_tokens int?
UPDATE ai_message SET body = $body, key_id = $key_id, status = $stop, stop = $stop, input_tokens = $input_tokens,
                      output_tokens = $output_tokens, lease_until = NULL
WHERE id = $id AND status = 'streaming';

-- "Stop" pressed: the process that writes the answer sees it.
-- name: chat_turn_ask_stop :exec
-- in: id text, conversation_id text
UPDATE ai_message SET stop = 'cancelled'
WHERE id = $id AND conversation_id = $conversation_id AND status = 'streaming';

-- name: chat_turn_stopped :many
-- out: id text
SELECT id FROM ai_message WHERE status = 'streaming' AND stop = 'cancelled';

-- Answers whose process died keep what they have.
-- name: chat_turn_rescue :exec
-- in: before ts
UPDATE ai_message SET status = 'interrupted', stop = 'interrupted', lease_until = NULL
WHERE status = 'streaming' AND lease_until < $before;

-- name: chat_turn_follow :opt
-- in: id text, conversation_id text
-- out: body blob, key_id int, status text, role text, lease_until ts?
SELECT body, key_id, status, role, lease_until FROM ai_message WHERE id = $id AND conversation_id = $conversation_id;

-- name: chat_notice_put :exec
-- in: id text, now ts
UPDATE ai_conversation SET notice_at = $now WHERE id = $id;
