-- up
-- Who did what to whom, and why: appended, never changed.
CREATE TABLE audit (
    id text PRIMARY KEY,
    at bigint NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text,
    before text,
    after text
);
CREATE INDEX audit_at ON audit (at DESC, id DESC);
CREATE INDEX audit_target ON audit (target, at DESC);

-- down
DROP TABLE audit;
