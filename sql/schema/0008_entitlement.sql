-- up
-- Free uses of a cycle. The primary key is what no race can exceed; one item costs one slot, ever.
CREATE TABLE allowance_use (
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
CREATE UNIQUE INDEX allowance_use_item ON allowance_use (member, item);

-- Limited discounts of a cycle: held by an open checkout, consumed by its payment, else released.
CREATE TABLE discount_slot (
    purchase text NOT NULL PRIMARY KEY,
    member text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    cycle_start bigint NOT NULL,
    cycle_end bigint NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL,
    state text NOT NULL,
    changed_at bigint NOT NULL
);
CREATE UNIQUE INDEX discount_slot_number ON discount_slot (member, cycle_start, kind, number)
    WHERE state <> 'released';

-- Items given by an admin.
CREATE TABLE item_grant (
    id text NOT NULL PRIMARY KEY,
    member text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    item text NOT NULL,
    until bigint,
    note text,
    granted_by text NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX item_grant_member ON item_grant (member, item);

-- Discounts made by an admin: for one member, or as a code (kept in upper case).
CREATE TABLE manual_discount (
    id text NOT NULL PRIMARY KEY,
    code text,
    member text,
    percent bigint,
    amount bigint,
    currency text,
    kind text,
    item text,
    valid_from bigint,
    valid_until bigint,
    max_uses bigint,
    max_per_member bigint,
    note text,
    created_by text NOT NULL,
    created_at bigint NOT NULL,
    disabled_at bigint
);
CREATE UNIQUE INDEX manual_discount_code ON manual_discount (code);
CREATE INDEX manual_discount_member ON manual_discount (member, code);

-- Their uses. Numbers are given only where there is a limit, and only once.
CREATE TABLE discount_use (
    purchase text NOT NULL PRIMARY KEY,
    discount text NOT NULL,
    member text,
    number bigint,
    member_number bigint,
    state text NOT NULL,
    changed_at bigint NOT NULL
);
CREATE UNIQUE INDEX discount_use_number ON discount_use (discount, number) WHERE state <> 'released';
CREATE UNIQUE INDEX discount_use_member ON discount_use (discount, member, member_number)
    WHERE state <> 'released';

-- down
DROP TABLE discount_use;
DROP TABLE manual_discount;
DROP TABLE item_grant;
DROP TABLE discount_slot;
DROP TABLE allowance_use;
