-- up
-- One-time purchases. No foreign key: the books stay when a person's data goes. A visitor's purchase has
-- no member until it is claimed. What was fixed at checkout is never changed; status and flags follow the
-- facts. open_key is set while the purchase is pending: one open checkout per buyer and item.
CREATE TABLE purchase (
    id text NOT NULL PRIMARY KEY,
    member text,
    visitor text,
    item text NOT NULL,
    list_price bigint NOT NULL,
    price bigint NOT NULL,
    currency text NOT NULL,
    discount_kind text NOT NULL,
    discount_id text,
    discount_percent bigint,
    status text NOT NULL,
    open_key text,
    session text,
    session_url text,
    payment_intent text,
    email text,
    never_opened bigint NOT NULL,
    mismatch bigint NOT NULL,
    late bigint NOT NULL,
    revision bigint NOT NULL,
    expires_at bigint,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    paid_at bigint,
    claimed_at bigint
);
CREATE INDEX purchase_member ON purchase (member, id);
CREATE INDEX purchase_visitor ON purchase (visitor, id);
CREATE UNIQUE INDEX purchase_open ON purchase (open_key);
CREATE UNIQUE INDEX purchase_session ON purchase (session);
CREATE UNIQUE INDEX purchase_payment ON purchase (payment_intent);

-- What happened to it: appended, never updated.
CREATE TABLE purchase_history (
    purchase text NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    status text NOT NULL,
    what text NOT NULL,
    actor text NOT NULL,
    event text,
    detail text,
    PRIMARY KEY (purchase, seq)
);

-- Receipts whose link was opened by a member before the address was proved.
CREATE TABLE purchase_claim (
    purchase text NOT NULL,
    member text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    PRIMARY KEY (purchase, member)
);
CREATE INDEX purchase_claim_member ON purchase_claim (member);

-- down
DROP TABLE purchase_claim;
DROP TABLE purchase_history;
DROP TABLE purchase;
