-- up
-- `owner` is a member's or a visitor's id: what every query looks by. `user_id` is there so that a person's
-- conversations go with the person.
CREATE TABLE ai_conversation (
    id text PRIMARY KEY,
    owner text NOT NULL,
    user_id text REFERENCES account (id) ON DELETE CASCADE,
    title text NOT NULL,
    title_source text NOT NULL,
    context text,
    active_leaf text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    notice_at bigint
);
CREATE INDEX ai_conversation_owner ON ai_conversation (owner, updated_at DESC, id DESC);
CREATE INDEX ai_conversation_user ON ai_conversation (user_id);
CREATE INDEX ai_conversation_expires ON ai_conversation (expires_at) WHERE expires_at IS NOT NULL;

-- A tree: the answer to a message is its child, an edited question its sibling. `depth` is 0 at the root.
CREATE TABLE ai_message (
    id text PRIMARY KEY,
    conversation_id text NOT NULL REFERENCES ai_conversation (id) ON DELETE CASCADE,
    parent_id text,
    depth bigint NOT NULL,
    role text NOT NULL,
    body bytea NOT NULL,
    key_id bigint NOT NULL,
    status text NOT NULL,
    stop text,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    created_at bigint NOT NULL,
    lease_until bigint
);
CREATE INDEX ai_message_conversation ON ai_message (conversation_id, depth, id);
CREATE UNIQUE INDEX ai_message_root ON ai_message (conversation_id) WHERE parent_id IS NULL;
-- One answer at a time in a conversation.
CREATE UNIQUE INDEX ai_message_running ON ai_message (conversation_id) WHERE status = 'streaming';
CREATE INDEX ai_message_lease ON ai_message (lease_until) WHERE status = 'streaming';

-- down
DROP TABLE ai_message;
DROP TABLE ai_conversation;
