-- up
-- How somebody says they are, on a scale that they answer again and again. What was answered is sealed like a
-- conversation (base/crypto), and goes with the person.
CREATE TABLE longitudinal_checkin (
    id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    scale text NOT NULL,
    score bigint,
    body bytea NOT NULL,
    key_id bigint NOT NULL,
    taken_at bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX longitudinal_checkin_user ON longitudinal_checkin (user_id, taken_at);

-- down
DROP TABLE longitudinal_checkin;
