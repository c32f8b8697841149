-- up
CREATE TABLE schema_migration (
    number bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at bigint NOT NULL
);
CREATE TABLE setting (
    name text PRIMARY KEY NOT NULL,
    value text NOT NULL
);

-- down
DROP TABLE setting;
DROP TABLE schema_migration;
