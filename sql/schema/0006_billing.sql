-- Billing: events as they came and the facts read from them. Access is computed from these rows and the
-- clock. Nothing here refers to account: the books stay when a person goes.
-- Every fact carries its order (as_of, source, rank, digest): the greatest seen wins, whatever arrives first.
-- up
CREATE TABLE webhook_event (
    id text PRIMARY KEY,
    type text NOT NULL,
    object text,
    api_version text,
    created_at bigint NOT NULL,
    received_at bigint NOT NULL,
    status text NOT NULL,
    error text,
    attempts bigint NOT NULL,
    dict bigint NOT NULL,
    size bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX webhook_event_received ON webhook_event (received_at, id);
CREATE INDEX webhook_event_failed ON webhook_event (received_at, id) WHERE status = 'failed';
CREATE INDEX webhook_event_object ON webhook_event (object, created_at);
CREATE INDEX webhook_event_created ON webhook_event (created_at, id);

CREATE TABLE webhook_dict (
    id bigint PRIMARY KEY,
    created_at bigint NOT NULL,
    dict bytea NOT NULL
);

CREATE TABLE fact_customer (
    id text PRIMARY KEY,
    member text,
    claim_rank bigint,
    user_ref text,
    payment_method text,
    deleted bigint NOT NULL,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_customer_member ON fact_customer (member);
CREATE INDEX fact_customer_unclaimed ON fact_customer (user_ref) WHERE member IS NULL;

CREATE TABLE subscription (
    id text PRIMARY KEY,
    member text,
    customer text,
    status text NOT NULL,
    created_at bigint,
    period_start bigint,
    period_end bigint,
    trial_start bigint,
    trial_end bigint,
    cancel_at bigint,
    cancel_at_period_end bigint NOT NULL,
    canceled_at bigint,
    ended_at bigint,
    collection_paused bigint NOT NULL,
    anchor bigint,
    item text,
    price text,
    payment_method text,
    user_ref text,
    -- derived from other facts in the transaction that brings them
    invoice_known bigint NOT NULL,
    paid_through bigint,
    barred text,
    first_failure bigint,
    clear_at bigint,
    gone_at bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
-- The hottest read of the program is answered from this index alone.
CREATE INDEX subscription_access ON subscription (member, id, status, created_at, period_start, period_end,
    trial_start, trial_end, cancel_at, cancel_at_period_end, ended_at, collection_paused, anchor,
    invoice_known, paid_through, barred, first_failure, gone_at);
CREATE INDEX subscription_customer ON subscription (customer);

CREATE TABLE subscription_past_due (
    subscription text NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (subscription, seen_at)
);

CREATE TABLE fact_invoice (
    id text PRIMARY KEY,
    subscription text,
    customer text,
    member text,
    status text NOT NULL,
    billing_reason text,
    amount_due bigint NOT NULL,
    amount_paid bigint NOT NULL,
    currency text,
    period_start bigint,
    period_end bigint,
    attempt_count bigint NOT NULL,
    created_at bigint,
    paid_at bigint,
    next_attempt_at bigint,
    hosted_url text,
    first_failed bigint,
    refunded bigint NOT NULL,
    cover bigint NOT NULL,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_invoice_subscription ON fact_invoice (subscription, period_end);
CREATE INDEX fact_invoice_customer ON fact_invoice (customer);
CREATE INDEX fact_invoice_member ON fact_invoice (member);

CREATE TABLE payment_link (
    payment text NOT NULL,
    invoice text NOT NULL,
    PRIMARY KEY (payment, invoice)
);
CREATE INDEX payment_link_invoice ON payment_link (invoice);

CREATE TABLE fact_payment (
    id text PRIMARY KEY,
    customer text,
    member text,
    status text NOT NULL,
    amount bigint NOT NULL,
    received bigint NOT NULL,
    currency text,
    failed bigint NOT NULL,
    created_at bigint,
    paid_at bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_payment_customer ON fact_payment (customer);

CREATE TABLE fact_charge (
    id text PRIMARY KEY,
    payment text,
    customer text,
    status text NOT NULL,
    amount bigint NOT NULL,
    refunded bigint NOT NULL,
    currency text,
    created_at bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_charge_payment ON fact_charge (payment);

CREATE TABLE fact_refund (
    id text PRIMARY KEY,
    charge text,
    payment text,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text,
    created_at bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_refund_payment ON fact_refund (payment);
CREATE INDEX fact_refund_unlinked ON fact_refund (charge) WHERE payment IS NULL;

CREATE TABLE fact_dispute (
    id text PRIMARY KEY,
    charge text,
    payment text,
    status text NOT NULL,
    reason text,
    amount bigint NOT NULL,
    currency text,
    created_at bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_dispute_payment ON fact_dispute (payment);
CREATE INDEX fact_dispute_unlinked ON fact_dispute (charge) WHERE payment IS NULL;

CREATE TABLE fact_session (
    id text PRIMARY KEY,
    mode text,
    status text,
    payment_status text,
    customer text,
    member text,
    subscription text,
    payment text,
    amount_total bigint NOT NULL,
    currency text,
    email text,
    purchase_id text,
    item_id text,
    user_ref text,
    expires_at bigint,
    created_at bigint,
    async_failed bigint NOT NULL,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_session_payment ON fact_session (payment) WHERE payment IS NOT NULL;
CREATE INDEX fact_session_customer ON fact_session (customer);

CREATE TABLE fact_invoice_payment (
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

CREATE TABLE fact_payment_method (
    id text PRIMARY KEY,
    customer text,
    kind text,
    brand text,
    last4 text,
    exp_month bigint,
    exp_year bigint,
    as_of bigint NOT NULL,
    source bigint NOT NULL,
    rank bigint NOT NULL,
    digest bigint NOT NULL
);
CREATE INDEX fact_payment_method_customer ON fact_payment_method (customer);

CREATE TABLE billing_flag (
    kind text NOT NULL,
    ref text NOT NULL,
    detail text,
    created_at bigint NOT NULL,
    PRIMARY KEY (kind, ref)
);

CREATE TABLE billing_cursor (
    name text PRIMARY KEY,
    created_at bigint NOT NULL,
    event text NOT NULL
);

CREATE TABLE billing_drift (
    object text NOT NULL,
    field text NOT NULL,
    ours text,
    theirs text,
    found_at bigint NOT NULL,
    PRIMARY KEY (object, field)
);
-- down
DROP TABLE billing_drift;
DROP TABLE billing_cursor;
DROP TABLE billing_flag;
DROP TABLE fact_payment_method;
DROP TABLE fact_invoice_payment;
DROP TABLE fact_session;
DROP TABLE fact_dispute;
DROP TABLE fact_refund;
DROP TABLE fact_charge;
DROP TABLE fact_payment;
DROP TABLE payment_link;
DROP TABLE fact_invoice;
DROP TABLE subscription_past_due;
DROP TABLE subscription;
DROP TABLE fact_customer;
DROP TABLE webhook_dict;
DROP TABLE webhook_event;
