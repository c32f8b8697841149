-- Small values that the program keeps for itself.

-- name: setting_init :exec
-- in: name text, value text
INSERT INTO setting (name, value) VALUES ($name, $value) ON CONFLICT (name) DO NOTHING;
