-- up
CREATE TABLE email_log (
    id text PRIMARY KEY,
    cause text NOT NULL,
    template text NOT NULL,
    recipient text NOT NULL,
    recipient_name text,
    member_id text,
    vars text,
    state text NOT NULL,
    rank bigint NOT NULL,
    optional bigint NOT NULL,
    urgent bigint NOT NULL,
    attempts bigint NOT NULL,
    provider text,
    provider_id text,
    error text,
    doubt_until bigint,
    expires_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE UNIQUE INDEX email_log_cause ON email_log (cause);
CREATE INDEX email_log_member ON email_log (member_id, id) WHERE member_id IS NOT NULL;
CREATE INDEX email_log_recipient ON email_log (recipient, id);
CREATE INDEX email_log_provider_id ON email_log (provider_id) WHERE provider_id IS NOT NULL;
CREATE TABLE email_event (
    key text PRIMARY KEY,
    email_id text REFERENCES email_log (id) ON DELETE CASCADE,
    provider text NOT NULL,
    type text NOT NULL,
    address text,
    detail text,
    at bigint,
    received_at bigint NOT NULL
);
CREATE INDEX email_event_email ON email_event (email_id, at) WHERE email_id IS NOT NULL;
CREATE TABLE email_suppression (
    address text NOT NULL,
    scope text NOT NULL,
    reason text NOT NULL,
    provider text,
    created_at bigint NOT NULL,
    PRIMARY KEY (address, scope)
);
CREATE TABLE email_provider (
    name text PRIMARY KEY,
    fingerprint text NOT NULL,
    paused_until bigint NOT NULL,
    reason text NOT NULL,
    paused_at bigint NOT NULL
);

-- down
DROP TABLE email_provider;
DROP TABLE email_suppression;
DROP TABLE email_event;
DROP TABLE email_log;
