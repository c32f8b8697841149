-- up
-- The member's customer at Stripe: one for each member.
CREATE TABLE customer (
    user_id text NOT NULL PRIMARY KEY,
    id text NOT NULL,
    created_at bigint NOT NULL
);
CREATE UNIQUE INDEX customer_id ON customer (id);

-- Calls to Stripe that move money or open checkouts. `id` is the Idempotency-Key. Operations about one
-- subject are numbered, so that the next one can be made only once.
CREATE TABLE operation (
    id text NOT NULL PRIMARY KEY,
    key text NOT NULL,
    subject text NOT NULL,
    seq bigint NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    form text NOT NULL,
    status text NOT NULL,
    http_status bigint NOT NULL,
    object_id text,
    answer text,
    error text,
    attempts bigint NOT NULL,
    lease_until bigint NOT NULL,
    first_sent_at bigint,
    created_at bigint NOT NULL,
    done_at bigint
);
CREATE UNIQUE INDEX operation_key ON operation (key);
CREATE UNIQUE INDEX operation_subject ON operation (subject, seq);
CREATE INDEX operation_status ON operation (status, created_at);

-- Answers kept for the caller's own Idempotency-Key.
CREATE TABLE idempotency (
    scope text NOT NULL,
    key text NOT NULL,
    request text NOT NULL,
    status bigint NOT NULL,
    answer text,
    created_at bigint NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- down
DROP TABLE idempotency;
DROP TABLE operation;
DROP TABLE customer;
