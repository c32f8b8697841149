-- name: notice_purchase_of_payment :opt
-- in: payment text
-- out: id text
SELECT id FROM purchase WHERE payment_intent = $payment;
