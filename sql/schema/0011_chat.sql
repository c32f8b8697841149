-- up
-- `owner` is a member's or a visitor's id: what every query looks by. `user_id` is there so that a person's
-- conversations go with the person. What people wrote (title, context, body) is sealed; its key id stands beside it.
CREATE TABLE ai_conversation (
    id text PRIMARY KEY,
    owner text NOT NULL,
    user_id text REFERENCES account (id) ON DELETE CASCADE,
    title bytea NOT NULL,
    title_key bigint NOT NULL,
    title_source text NOT NULL,
    context bytea,
    context_key bigint,
    active_leaf text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    notice_at bigint
);
CREATE INDEX ai_conversation_owner ON ai_conversation (owner, updated_at DESC, id DESC);
CREATE INDEX ai_conversation_user ON ai_conversation (user_id);
CREATE INDEX ai_conversation_expires ON ai_conversation (expires_at) WHERE expires_at IS NOT NULL;

-- A tree: the answer to a message is its child, an edited question its sibling. `depth` is 0 at the root. The client
-- may choose the id of what a person says, so an id is unique within its conversation alone. ticket_…: what a running
-- answer took of the quota, to be given back should its process die; empty once it has ended.
CREATE TABLE ai_message (
    id text NOT NULL,
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
    request_id text,
    created_at bigint NOT NULL,
    lease_until bigint,
    ticket_end bigint,
    ticket_number bigint,
    ticket_network text,
    ticket_day bigint,
    PRIMARY KEY (id, conversation_id)
);
CREATE INDEX ai_message_conversation ON ai_message (conversation_id, depth, id);
CREATE UNIQUE INDEX ai_message_root ON ai_message (conversation_id) WHERE parent_id IS NULL;
-- One answer at a time in a conversation.
CREATE UNIQUE INDEX ai_message_running ON ai_message (conversation_id) WHERE status = 'streaming';
CREATE INDEX ai_message_lease ON ai_message (lease_until) WHERE status = 'streaming';
CREATE INDEX ai_message_stop ON ai_message (stop) WHERE status = 'streaming';

-- The running day of an owner: its end is stored, so that a new time zone takes effect after it.
CREATE TABLE ai_quota_period (
    owner text PRIMARY KEY,
    ends_at bigint NOT NULL
);

-- What was used of it: a conversation's day (or a message), numbered, so that no race can take more.
CREATE TABLE ai_quota_slot (
    owner text NOT NULL,
    period_end bigint NOT NULL,
    number bigint NOT NULL,
    conversation_id text NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (owner, period_end, number)
);
CREATE INDEX ai_quota_slot_end ON ai_quota_slot (period_end);

-- The wider bucket of visitors' networks.
CREATE TABLE ai_quota_network (
    network text NOT NULL,
    day bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (network, day)
);
CREATE INDEX ai_quota_network_day ON ai_quota_network (day);

CREATE TABLE ai_usage (
    owner text NOT NULL,
    day bigint NOT NULL,
    model text NOT NULL,
    turns bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    PRIMARY KEY (owner, day, model)
);
CREATE INDEX ai_usage_day ON ai_usage (day, model);

-- That a message sounded like a crisis, and when; never the words, never who.
CREATE TABLE ai_crisis (
    id text PRIMARY KEY,
    language text NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX ai_crisis_at ON ai_crisis (at);

-- down
DROP TABLE ai_crisis;
DROP TABLE ai_usage;
DROP TABLE ai_quota_network;
DROP TABLE ai_quota_slot;
DROP TABLE ai_quota_period;
DROP TABLE ai_message;
DROP TABLE ai_conversation;
