-- What every part of the program may ask.

-- The program's clock in dev (mybeing dev clock): milliseconds ahead of the machine's.
-- name: clock_offset_get :opt
-- out: value text
SELECT value FROM setting WHERE name = 'clock_offset_ms';
