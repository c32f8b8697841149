-- up
CREATE TABLE account (
    id text PRIMARY KEY,
    email text,
    email_key text,
    email_verified_at bigint,
    name text,
    locale text,
    timezone text,
    password_hash text,
    password_at bigint,
    admin bigint NOT NULL,
    legacy_id text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE UNIQUE INDEX account_email_key ON account (email_key);
CREATE UNIQUE INDEX account_legacy_id ON account (legacy_id) WHERE legacy_id IS NOT NULL;

-- Who an outside identity provider says it is.
CREATE TABLE account_identity (
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX account_identity_account ON account_identity (account_id);

-- Times of sessions are the machine's, not the program's movable clock.
CREATE TABLE session (
    id text PRIMARY KEY,
    token_hash bytea NOT NULL,
    account_id text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    via text NOT NULL,
    user_agent text,
    created_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE UNIQUE INDEX session_token_hash ON session (token_hash);
CREATE INDEX session_account ON session (account_id, id);
CREATE INDEX session_expires ON session (expires_at);

CREATE TABLE secret_key (
    id text PRIMARY KEY,
    name text NOT NULL,
    key_hash bytea NOT NULL,
    hint text NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);
CREATE UNIQUE INDEX secret_key_hash ON secret_key (key_hash);

-- One-time links and codes: kind verify, magic, reset, email.
CREATE TABLE login_token (
    id text PRIMARY KEY,
    token_hash bytea NOT NULL,
    code_hash bytea,
    kind text NOT NULL,
    account_id text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    email text NOT NULL,
    attempts bigint NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
);
CREATE UNIQUE INDEX login_token_hash ON login_token (token_hash);
CREATE INDEX login_token_account ON login_token (account_id, kind, created_at);
CREATE INDEX login_token_expires ON login_token (expires_at);

-- Wrong passwords by e-mail (known or not) and quarter of an hour.
CREATE TABLE login_failure (
    email_key text NOT NULL,
    window_start bigint NOT NULL,
    failures bigint NOT NULL,
    PRIMARY KEY (email_key, window_start)
);
CREATE INDEX login_failure_window ON login_failure (window_start);

-- Visitors whose things went to an account: once, whoever it was (no foreign key on purpose).
CREATE TABLE visitor_claim (
    visitor_id text PRIMARY KEY,
    account_id text NOT NULL,
    claimed_at bigint NOT NULL
);

-- down
DROP TABLE visitor_claim;
DROP TABLE login_failure;
DROP TABLE login_token;
DROP TABLE secret_key;
DROP TABLE session;
DROP TABLE account_identity;
DROP TABLE account;
