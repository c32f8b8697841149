-- up
-- What a member's read and a payment's event look up by key lies in the key's own tree: SQLite keeps another table
-- in the order of arrival and its primary key beside it, which is two descents and the key twice. Tables with
-- long rows (more than 1,000 bytes spill) or several more indexes (each would hold the key) stay as they were.
-- [sqlite]
CREATE TABLE rebuilt (
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
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM account ORDER BY id;
DROP TABLE account;
ALTER TABLE rebuilt RENAME TO account;
CREATE UNIQUE INDEX account_email_key ON account (email_key);
CREATE UNIQUE INDEX account_legacy_id ON account (legacy_id) WHERE legacy_id IS NOT NULL;
CREATE TABLE rebuilt (
    member text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    cycle_start bigint NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL,
    cycle_end bigint NOT NULL,
    item text NOT NULL,
    subscription text,
    used_at bigint NOT NULL,
    PRIMARY KEY (member, cycle_start, kind, number)
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM allowance_use ORDER BY member, cycle_start, kind, number;
DROP TABLE allowance_use;
ALTER TABLE rebuilt RENAME TO allowance_use;
CREATE UNIQUE INDEX allowance_use_item ON allowance_use (member, item);
CREATE TABLE rebuilt (
    owner text PRIMARY KEY,
    ends_at bigint NOT NULL
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM ai_quota_period ORDER BY owner;
DROP TABLE ai_quota_period;
ALTER TABLE rebuilt RENAME TO ai_quota_period;
CREATE TABLE rebuilt (
    owner text NOT NULL,
    period_end bigint NOT NULL,
    number bigint NOT NULL,
    conversation_id text NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (owner, period_end, number)
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM ai_quota_slot ORDER BY owner, period_end, number;
DROP TABLE ai_quota_slot;
ALTER TABLE rebuilt RENAME TO ai_quota_slot;
CREATE INDEX ai_quota_slot_end ON ai_quota_slot (period_end);
CREATE TABLE rebuilt (
    payment text NOT NULL,
    invoice text NOT NULL,
    PRIMARY KEY (payment, invoice)
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM payment_link ORDER BY payment, invoice;
DROP TABLE payment_link;
ALTER TABLE rebuilt RENAME TO payment_link;
CREATE INDEX payment_link_invoice ON payment_link (invoice);
CREATE TABLE rebuilt (
    id text PRIMARY KEY,
    invoice text,
    payment text,
    status text NOT NULL,
    amount_paid bigint NOT NULL,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
) WITHOUT ROWID;
INSERT INTO rebuilt SELECT * FROM fact_invoice_payment ORDER BY id;
DROP TABLE fact_invoice_payment;
ALTER TABLE rebuilt RENAME TO fact_invoice_payment;
-- [all]
-- A person has few sessions and letters: they are sorted when asked for, and need no id in the index.
DROP INDEX session_account;
CREATE INDEX session_account ON session (account_id);
DROP INDEX email_log_member;
CREATE INDEX email_log_member ON email_log (member_id) WHERE member_id IS NOT NULL;

-- down
DROP INDEX email_log_member;
CREATE INDEX email_log_member ON email_log (member_id, id) WHERE member_id IS NOT NULL;
DROP INDEX session_account;
CREATE INDEX session_account ON session (account_id, id);
-- [sqlite]
CREATE TABLE rebuilt (
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
INSERT INTO rebuilt SELECT * FROM account ORDER BY id;
DROP TABLE account;
ALTER TABLE rebuilt RENAME TO account;
CREATE UNIQUE INDEX account_email_key ON account (email_key);
CREATE UNIQUE INDEX account_legacy_id ON account (legacy_id) WHERE legacy_id IS NOT NULL;
CREATE TABLE rebuilt (
    member text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    cycle_start bigint NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL,
    cycle_end bigint NOT NULL,
    item text NOT NULL,
    subscription text,
    used_at bigint NOT NULL,
    PRIMARY KEY (member, cycle_start, kind, number)
);
INSERT INTO rebuilt SELECT * FROM allowance_use ORDER BY member, cycle_start, kind, number;
DROP TABLE allowance_use;
ALTER TABLE rebuilt RENAME TO allowance_use;
CREATE UNIQUE INDEX allowance_use_item ON allowance_use (member, item);
CREATE TABLE rebuilt (
    owner text PRIMARY KEY,
    ends_at bigint NOT NULL
);
INSERT INTO rebuilt SELECT * FROM ai_quota_period ORDER BY owner;
DROP TABLE ai_quota_period;
ALTER TABLE rebuilt RENAME TO ai_quota_period;
CREATE TABLE rebuilt (
    owner text NOT NULL,
    period_end bigint NOT NULL,
    number bigint NOT NULL,
    conversation_id text NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (owner, period_end, number)
);
INSERT INTO rebuilt SELECT * FROM ai_quota_slot ORDER BY owner, period_end, number;
DROP TABLE ai_quota_slot;
ALTER TABLE rebuilt RENAME TO ai_quota_slot;
CREATE INDEX ai_quota_slot_end ON ai_quota_slot (period_end);
CREATE TABLE rebuilt (
    payment text NOT NULL,
    invoice text NOT NULL,
    PRIMARY KEY (payment, invoice)
);
INSERT INTO rebuilt SELECT * FROM payment_link ORDER BY payment, invoice;
DROP TABLE payment_link;
ALTER TABLE rebuilt RENAME TO payment_link;
CREATE INDEX payment_link_invoice ON payment_link (invoice);
CREATE TABLE rebuilt (
    id text PRIMARY KEY,
    invoice text,
    payment text,
    status text NOT NULL,
    amount_paid bigint NOT NULL,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
INSERT INTO rebuilt SELECT * FROM fact_invoice_payment ORDER BY id;
DROP TABLE fact_invoice_payment;
ALTER TABLE rebuilt RENAME TO fact_invoice_payment;
