-- Whose the answer is now (a claim may have moved it), what it has, and what its turn took.
-- name: chat_turn_running :opt
-- in: conversation_id text
-- out: id text, conversation_id text, owner text, body blob, key_id int, lease_until ts, holder text?, ticket_end ts?, ticket_number int?, ticket_network text?, ticket_day ts?
SELECT m.id, c.id AS conversation_id, c.owner, m.body, m.key_id, m.lease_until, m.holder, m.ticket_end,
       m.ticket_number, m.ticket_network, m.ticket_day
FROM ai_conversation c JOIN ai_message m ON m.conversation = c.number
WHERE c.id = $conversation_id AND m.status = 'streaming';

-- The answer to a user message: its (newest) assistant child.
-- name: chat_turn_answer :opt
-- in: parent_id text, conversation_id text
-- out: id text
SELECT id FROM ai_message
WHERE conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id)
  AND parent_id = $parent_id AND role = 'assistant' ORDER BY id DESC LIMIT 1;

-- name: chat_turn_save :exec
-- in: id text, conversation_id text, body blob, key_id int
UPDATE ai_message SET body = $body, key_id = $key_id
WHERE id = $id
  AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id) AND status = 'streaming';

-- A sign of life of an answer that has not grown.
-- name: chat_turn_beat :exec
-- in: id text, conversation_id text, lease_until ts
UPDATE ai_message SET lease_until = $lease_until
WHERE id = $id
  AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id) AND status = 'streaming';

-- name: chat_turn_end :exec
-- in: id text, conversation_id text, body blob, key_id int, stop text, input_tokens int?, output_tokens int?, request_id text?
UPDATE ai_message SET body = $body, key_id = $key_id, status = $stop, stop = $stop, input_tokens = $input_tokens,
                      output_tokens = $output_tokens, request_id = $request_id, lease_until = NULL, holder = NULL, ticket_end = NULL,
                      ticket_number = NULL, ticket_network = NULL, ticket_day = NULL
WHERE id = $id
  AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id) AND status = 'streaming';

-- "Stop" pressed: the process that writes the answer sees it.
-- name: chat_turn_ask_stop :exec
-- in: id text, conversation_id text
UPDATE ai_message SET stop = 'cancelled'
WHERE id = $id
  AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id) AND status = 'streaming';

-- name: chat_turn_stopped :many
-- out: id text
SELECT id FROM ai_message WHERE status = 'streaming' AND stop = 'cancelled';

-- The answers that are being written, the least renewed first: among them those whose process died.
-- name: chat_turn_held :many
-- in: n int
-- out: conversation_id text, lease_until ts, holder text?
SELECT c.id AS conversation_id, m.lease_until, m.holder
FROM ai_message m JOIN ai_conversation c ON c.number = m.conversation
WHERE m.status = 'streaming' ORDER BY m.lease_until LIMIT $n;

-- name: chat_turn_interrupt :exec
-- in: id text, conversation_id text, seen ts
UPDATE ai_message SET status = 'interrupted', stop = 'interrupted', lease_until = NULL, holder = NULL, ticket_end = NULL,
                      ticket_number = NULL, ticket_network = NULL, ticket_day = NULL
WHERE id = $id AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id)
  AND status = 'streaming' AND lease_until <= $seen;

-- name: chat_turn_ticket :exec
-- in: id text, conversation_id text, ticket_end ts, ticket_number int, ticket_network text?, ticket_day ts?
UPDATE ai_message SET ticket_end = $ticket_end, ticket_number = $ticket_number, ticket_network = $ticket_network,
                      ticket_day = $ticket_day
WHERE id = $id AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id);

-- name: chat_turn_follow :opt
-- in: id text, conversation_id text
-- out: body blob, key_id int, status text, role text, lease_until ts?
SELECT body, key_id, status, role, lease_until FROM ai_message WHERE id = $id
  AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id);

-- name: chat_notice_put :exec
-- in: id text, now ts
UPDATE ai_conversation SET notice_at = $now WHERE id = $id;
