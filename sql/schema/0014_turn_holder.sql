-- up
-- The process that writes an answer: if it is gone, nobody waits for the answer's lease to end.
ALTER TABLE ai_message ADD COLUMN holder text;

-- down
ALTER TABLE ai_message DROP COLUMN holder;
