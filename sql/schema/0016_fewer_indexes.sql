-- What a subscription is paid to is the end of one row of this index, however many invoices it has.
-- Nobody asks for events in the order in which Stripe made them: an index less for each to write.
-- up
DROP INDEX fact_invoice_subscription;
CREATE INDEX fact_invoice_subscription ON fact_invoice (subscription, cover, period_end);
DROP INDEX webhook_event_created;

-- down
CREATE INDEX webhook_event_created ON webhook_event (created_at, id);
DROP INDEX fact_invoice_subscription;
CREATE INDEX fact_invoice_subscription ON fact_invoice (subscription, period_end);
