-- Everything that is kept of one person (`mybeing export`): each query named export_… is a list of that name in the
-- answer. No secret (hashes of passwords and tokens), and nothing of anybody else.

-- name: export_identities :many
-- json
-- in: member text
-- out: issuer text, subject text, created_at ts
SELECT issuer, subject, created_at FROM account_identity WHERE account_id = $member ORDER BY created_at, issuer, subject;

-- name: export_sessions :many
-- json
-- in: member text
-- out: id text, via text, user_agent text?, created_at ts, last_seen_at ts, expires_at ts
SELECT id, via, user_agent, created_at, last_seen_at, expires_at FROM session WHERE account_id = $member
ORDER BY created_at, id;

-- name: export_customers :many
-- json
-- in: member text
-- out: id text, deleted bool, payment_method text?
SELECT id, deleted, payment_method FROM fact_customer WHERE member = $member ORDER BY id;

-- name: export_payment_methods :many
-- json
-- in: member text
-- out: id text, customer text?, kind text?, brand text?, last4 text?, exp_month int?, exp_year int?
SELECT m.id, m.customer, m.kind, m.brand, m.last4, m.exp_month, m.exp_year
FROM fact_payment_method m JOIN fact_customer c ON c.id = m.customer WHERE c.member = $member ORDER BY m.id;

-- name: export_subscriptions :many
-- json
-- in: member text
-- out: id text, customer text?, status text, price text?, created_at ts?, period_start ts?, period_end ts?, trial_start ts?, trial_end ts?, cancel_at ts?, cancel_at_period_end bool, canceled_at ts?, ended_at ts?, collection_paused bool, paid_through ts?
SELECT id, customer, status, price, created_at, period_start, period_end, trial_start, trial_end, cancel_at,
       cancel_at_period_end, canceled_at, ended_at, collection_paused, paid_through
FROM subscription WHERE member = $member ORDER BY created_at, id;

-- name: export_invoices :many
-- json
-- in: member text
-- out: id text, subscription text?, customer text?, status text, billing_reason text?, amount_due int, amount_paid int, refunded int, currency text?, period_start ts?, period_end ts?, created_at ts?, paid_at ts?
SELECT id, subscription, customer, status, billing_reason, amount_due, amount_paid, refunded, currency, period_start,
       period_end, created_at, paid_at
FROM fact_invoice WHERE member = $member ORDER BY created_at, id;

-- name: export_payments :many
-- json
-- in: member text
-- out: id text, customer text?, status text, amount int, received int, currency text?, created_at ts?, paid_at ts?
SELECT id, customer, status, amount, received, currency, created_at, paid_at
FROM fact_payment WHERE member = $member ORDER BY created_at, id;

-- Tied to the person by the payment, the invoice that it paid, or the purchase that it bought.
-- name: export_refunds :many
-- json
-- in: member text
-- out: id text, payment text?, charge text?, status text, amount int, currency text?, created_at ts?
SELECT id, payment, charge, status, amount, currency, created_at FROM fact_refund
WHERE payment IN (SELECT id FROM fact_payment WHERE member = $member
                  UNION SELECT l.payment FROM payment_link l JOIN fact_invoice i ON i.id = l.invoice
                        WHERE i.member = $member
                  UNION SELECT payment_intent FROM purchase WHERE member = $member AND payment_intent IS NOT NULL)
ORDER BY created_at, id;

-- name: export_disputes :many
-- json
-- in: member text
-- out: id text, payment text?, charge text?, status text, reason text?, amount int, currency text?, created_at ts?
SELECT id, payment, charge, status, reason, amount, currency, created_at FROM fact_dispute
WHERE payment IN (SELECT id FROM fact_payment WHERE member = $member
                  UNION SELECT l.payment FROM payment_link l JOIN fact_invoice i ON i.id = l.invoice
                        WHERE i.member = $member
                  UNION SELECT payment_intent FROM purchase WHERE member = $member AND payment_intent IS NOT NULL)
ORDER BY created_at, id;

-- name: export_checkout_sessions :many
-- json
-- in: member text
-- out: id text, mode text?, status text?, payment_status text?, customer text?, subscription text?, payment text?, amount_total int, currency text?, email text?, purchase_id text?, item_id text?, created_at ts?
SELECT id, mode, status, payment_status, customer, subscription, payment, amount_total, currency, email, purchase_id,
       item_id, created_at
FROM fact_session WHERE member = $member ORDER BY created_at, id;

-- name: export_purchases :many
-- json
-- in: member text
-- out: id text, item text, list_price int, price int, currency text, discount_kind text, discount_id text?, status text, session text?, payment_intent text?, email text?, created_at ts, paid_at ts?, claimed_at ts?
SELECT id, item, list_price, price, currency, discount_kind, discount_id, status, session, payment_intent, email,
       created_at, paid_at, claimed_at
FROM purchase WHERE member = $member ORDER BY created_at, id;

-- name: export_purchase_history :many
-- json
-- in: member text
-- out: purchase text, seq int, at ts, status text, what text, actor text, event text?, detail text?
SELECT h.purchase, h.seq, h.at, h.status, h.what, h.actor, h.event, h.detail
FROM purchase_history h JOIN purchase p ON p.id = h.purchase WHERE p.member = $member ORDER BY h.purchase, h.seq;

-- name: export_allowance_uses :many
-- json
-- in: member text
-- out: cycle_start ts, cycle_end ts, kind text, number int, item text, subscription text?, used_at ts
SELECT cycle_start, cycle_end, kind, number, item, subscription, used_at
FROM allowance_use WHERE member = $member ORDER BY cycle_start, kind, number;

-- name: export_discount_slots :many
-- json
-- in: member text
-- out: purchase text, cycle_start ts, cycle_end ts, kind text, number int, state text, changed_at ts
SELECT purchase, cycle_start, cycle_end, kind, number, state, changed_at
FROM discount_slot WHERE member = $member ORDER BY cycle_start, kind, number, purchase;

-- name: export_discounts :many
-- json
-- in: member text
-- out: id text, percent int?, amount int?, currency text?, kind text?, item text?, valid_from ts?, valid_until ts?, created_at ts, disabled_at ts?
SELECT id, percent, amount, currency, kind, item, valid_from, valid_until, created_at, disabled_at
FROM manual_discount WHERE member = $member ORDER BY created_at, id;

-- name: export_discount_uses :many
-- json
-- in: member text
-- out: purchase text, discount text, state text, changed_at ts
SELECT purchase, discount, state, changed_at FROM discount_use WHERE member = $member ORDER BY changed_at, purchase;

-- name: export_grants :many
-- json
-- in: member text
-- out: id text, item text, until ts?, note text?, created_at ts, revoked_at ts?
SELECT id, item, until, note, created_at, revoked_at FROM item_grant WHERE member = $member ORDER BY created_at, id;

-- What a mail said is made anew from its template; the words kept for it may hold links that sign in.
-- name: export_mails :many
-- json
-- in: member text
-- out: id text, template text, recipient text, state text, provider text?, created_at ts, updated_at ts
SELECT id, template, recipient, state, provider, created_at, updated_at
FROM email_log WHERE member_id = $member ORDER BY created_at, id;

-- name: export_ai_usage :many
-- json
-- in: member text
-- out: day ts, model text, turns int, input_tokens int, output_tokens int
SELECT day, model, turns, input_tokens, output_tokens FROM ai_usage WHERE owner = $member ORDER BY day, model;

-- name: export_audit :many
-- json
-- in: member text
-- out: id text, at ts, actor text, via text, action text, target text, reason text?
SELECT id, at, actor, via, action, target, reason FROM audit WHERE target = $member ORDER BY at, id;
