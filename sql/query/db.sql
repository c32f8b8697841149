-- Schema versions and small settings of the whole database.

-- name: db_ping :one
-- out: one int
SELECT 1 AS one;

-- Is table $name there?
-- name: db_table_exists :one
-- in: name text
-- out: n int
SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = $name;
-- [pg]
SELECT COUNT(*) AS n FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $name;

-- name: migration_list :many
-- out: number int, name text, checksum text, applied_at ts
SELECT number, name, checksum, applied_at FROM schema_migration ORDER BY number;

-- name: migration_insert :exec
-- in: number int, name text, checksum text, applied_at ts
INSERT INTO schema_migration (number, name, checksum, applied_at) VALUES ($number, $name, $checksum, $applied_at);

-- name: migration_delete :exec
-- in: number int
DELETE FROM schema_migration WHERE number = $number;

-- name: setting_get :opt
-- in: name text
-- out: value text
SELECT value FROM setting WHERE name = $name;

-- name: setting_put :exec
-- in: name text, value text
INSERT INTO setting (name, value) VALUES ($name, $value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: setting_delete :exec
-- in: name text
DELETE FROM setting WHERE name = $name;

-- Differences of the live schema (mybeing migrate check): what each engine says of itself, in one form.
-- name: schema_columns :many
-- out: tbl text, col text, type text, not_null bool, dflt text?, pk int
SELECT m.name AS tbl, c.name AS col, lower(c.type) AS type, c."notnull" AS not_null, c.dflt_value AS dflt, c.pk AS pk
FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, c.name;
-- [pg]
SELECT c.relname::text AS tbl, a.attname::text AS col, format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attnotnull THEN 1 ELSE 0 END AS not_null, pg_get_expr(d.adbin, d.adrelid) AS dflt,
    COALESCE(array_position(k.conkey, a.attnum), 0)::bigint AS pk
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
    AND NOT a.attisdropped ORDER BY c.relname, a.attname;

-- Indexes, keys, checks, views and triggers with their definitions.
-- name: schema_objects :many
-- out: kind text, name text, tbl text, def text
SELECT m.type AS kind, m.name AS name, m.tbl_name AS tbl, m.sql AS def
FROM sqlite_master m
WHERE m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.sql IS NOT NULL ORDER BY m.type, m.name;
-- [pg]
SELECT 'index' AS kind, i.indexname::text AS name, i.tablename::text AS tbl,
    replace(i.indexdef, quote_ident(i.schemaname) || '.', '') AS def
FROM pg_catalog.pg_indexes i WHERE i.schemaname = current_schema()
UNION ALL SELECT 'constraint', k.conname::text, k.conrelid::regclass::text, pg_get_constraintdef(k.oid)
FROM pg_catalog.pg_constraint k WHERE k.connamespace = current_schema()::regnamespace
UNION ALL SELECT 'trigger', t.tgname::text, t.tgrelid::regclass::text, pg_get_triggerdef(t.oid)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
UNION ALL SELECT 'view', v.viewname::text, v.viewname::text, v.definition
FROM pg_catalog.pg_views v WHERE v.schemaname = current_schema()
ORDER BY 1, 2, 3;

-- What a backup holds, to be compared after it was read back: rows of the tables that matter.
-- name: backup_counts :many
-- out: name text, n int
SELECT 'account' AS name, count(*) AS n FROM account
UNION ALL SELECT 'subscription', count(*) FROM subscription
UNION ALL SELECT 'purchase', count(*) FROM purchase
UNION ALL SELECT 'purchase_history', count(*) FROM purchase_history
UNION ALL SELECT 'webhook_event', count(*) FROM webhook_event
UNION ALL SELECT 'fact_invoice', count(*) FROM fact_invoice
UNION ALL SELECT 'fact_payment', count(*) FROM fact_payment
UNION ALL SELECT 'fact_refund', count(*) FROM fact_refund
UNION ALL SELECT 'fact_dispute', count(*) FROM fact_dispute
UNION ALL SELECT 'manual_discount', count(*) FROM manual_discount
UNION ALL SELECT 'ai_conversation', count(*) FROM ai_conversation
UNION ALL SELECT 'ai_message', count(*) FROM ai_message
UNION ALL SELECT 'email_log', count(*) FROM email_log
UNION ALL SELECT 'audit', count(*) FROM audit;

-- name: backup_schema :one
-- out: number int
SELECT COALESCE(MAX(number), 0) AS number FROM schema_migration;

-- Other programs that are connected to this database. SQLite tells it by its locks.
-- name: backup_others :one
-- out: n int
SELECT 0 AS n;
-- [pg]
SELECT count(*) AS n FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';

-- The snapshot that pg_dump shall read, so that it holds exactly what was counted.
-- name: backup_snapshot :one
-- out: id text
SELECT '' AS id;
-- [pg]
SELECT pg_export_snapshot() AS id;
