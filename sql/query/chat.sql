-- name: chat_conversation_put :exec
-- in: id text, owner text, user_id text?, title blob, title_key int, title_source text, context blob?, context_key int?, now ts, expires_at ts?
INSERT INTO ai_conversation (id, owner, user_id, title, title_key, title_source, context, context_key, created_at,
                             updated_at, expires_at)
VALUES ($id, $owner, $user_id, $title, $title_key, $title_source, $context, $context_key, $now, $now, $expires_at);

-- name: chat_conversation_get :opt
-- in: id text, owner text
-- out: id text, title blob, title_key int, title_source text, context blob?, context_key int?, active_leaf text?, created_at ts, updated_at ts, expires_at ts?, notice_at ts?
SELECT id, title, title_key, title_source, context, context_key, active_leaf, created_at, updated_at, expires_at,
       notice_at
FROM ai_conversation WHERE id = $id AND owner = $owner;

-- Newest first, from behind (updated_at, id); the first page passes the largest values.
-- name: chat_conversation_list :many
-- in: owner text, before_at ts, before_id text, n int
-- out: id text, title blob, title_key int, created_at ts, updated_at ts
SELECT id, title, title_key, created_at, updated_at FROM ai_conversation
WHERE owner = $owner AND (updated_at, id) < ($before_at, $before_id)
ORDER BY updated_at DESC, id DESC LIMIT $n;

-- A title that the member wrote wins over all others.
-- name: chat_conversation_retitle :exec
-- in: id text, owner text, title blob, title_key int
UPDATE ai_conversation SET title = $title, title_key = $title_key, title_source = 'member'
WHERE id = $id AND owner = $owner;

-- name: chat_conversation_touch :exec
-- in: id text, active_leaf text, now ts
UPDATE ai_conversation SET active_leaf = $active_leaf, updated_at = $now WHERE id = $id;

-- name: chat_conversation_context :exec
-- in: id text, context blob, context_key int
UPDATE ai_conversation SET context = $context, context_key = $context_key WHERE id = $id;

-- Answers that are being written in what is about to be deleted.
-- name: chat_running_of :many
-- in: owner text
-- out: id text, conversation_id text
SELECT m.id, c.id AS conversation_id FROM ai_conversation c JOIN ai_message m ON m.conversation = c.number
WHERE c.owner = $owner AND m.status = 'streaming';

-- name: chat_conversation_del :exec
-- in: id text, owner text
DELETE FROM ai_conversation WHERE id = $id AND owner = $owner;

-- name: chat_conversation_del_all :exec
-- in: owner text
DELETE FROM ai_conversation WHERE owner = $owner;

-- name: chat_conversation_claim :exec
-- in: visitor text, user_id text
UPDATE ai_conversation SET owner = $user_id, user_id = $user_id, expires_at = NULL WHERE owner = $visitor;

-- name: chat_conversation_count :one
-- in: owner text
-- out: n int
SELECT count(*) AS n FROM ai_conversation WHERE owner = $owner;

-- name: chat_conversation_prune :exec
-- in: now ts
DELETE FROM ai_conversation WHERE expires_at IS NOT NULL AND expires_at <= $now;

-- No row if there is no such conversation.
-- name: chat_message_put :exec
-- in: id text, conversation_id text, parent_id text?, depth int, role text, body blob, key_id int, status text, stop text?, model text?, now ts, lease_until ts?, holder text?
INSERT INTO ai_message (conversation, id, parent_id, depth, role, body, key_id, status, stop, model, created_at,
                        lease_until, holder)
SELECT number, $id, $parent_id, $depth, $role, $body, $key_id, $status, $stop, $model, $now, $lease_until, $holder
FROM ai_conversation WHERE id = $conversation_id;

-- The owner's first message of a conversation by the id that the client chose: a repeat of "new" is found by it.
-- name: chat_message_first :opt
-- in: id text, owner text
-- out: conversation_id text
SELECT c.id AS conversation_id FROM ai_message m JOIN ai_conversation c ON c.number = m.conversation
WHERE m.id = $id AND m.parent_id IS NULL AND m.role = 'user' AND c.owner = $owner
ORDER BY m.created_at DESC LIMIT 1;

-- name: chat_message_get :opt
-- in: id text, conversation_id text
-- out: id text, parent_id text?, depth int, role text, body blob, key_id int, status text, stop text?, model text?, input_tokens int?, output_tokens int?, created_at ts
SELECT id, parent_id, depth, role, body, key_id, status, stop, model, input_tokens, output_tokens, created_at
FROM ai_message WHERE id = $id AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id);

-- The path from a message up towards the root, nearest first: each step one look-up by primary key.
-- name: chat_message_path :many
-- in: leaf text, conversation_id text, n int
-- out: id text, parent_id text?, depth int, role text, body blob, key_id int, status text, stop text?, model text?, input_tokens int?, output_tokens int?, created_at ts, lease_until ts?
WITH RECURSIVE path (conversation, id, step) AS (
    SELECT conversation, id, 1 FROM ai_message WHERE id = $leaf
      AND conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id)
    UNION ALL
    SELECT m.conversation, m.parent_id, path.step + 1
    FROM path JOIN ai_message m ON m.conversation = path.conversation AND m.id = path.id
    WHERE m.parent_id IS NOT NULL AND path.step < $n
)
SELECT m.id, m.parent_id, m.depth, m.role, m.body, m.key_id, m.status, m.stop, m.model, m.input_tokens, m.output_tokens,
       m.created_at, m.lease_until
FROM path JOIN ai_message m ON m.conversation = path.conversation AND m.id = path.id
ORDER BY m.depth DESC;

-- Every message of a conversation, in pages, roots first: export and search go from one conversation to the next.
-- name: chat_message_of :many
-- in: conversation_id text, after_depth int, after_id text, n int
-- out: id text, parent_id text?, depth int, role text, body blob, key_id int, status text, stop text?, created_at ts, lease_until ts?
SELECT id, parent_id, depth, role, body, key_id, status, stop, created_at, lease_until FROM ai_message
WHERE conversation = (SELECT number FROM ai_conversation WHERE id = $conversation_id)
  AND (depth, id) > ($after_depth, $after_id) ORDER BY depth, id LIMIT $n;

-- name: chat_conversation_suggest :exec
-- in: id text, title blob, title_key int, title_source text
UPDATE ai_conversation SET title = $title, title_key = $title_key, title_source = $title_source
WHERE id = $id AND title_source = 'auto';
