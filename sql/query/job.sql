-- The background queue. States: ready, running, done, dead, cancelled. live_key is the unique key while
-- the job is ready or running, NULL afterwards. A put with the key of a running job makes it run again
-- (rerun_at): what it reads may be older than what the put announces.

-- name: job_insert :one
-- in: id text, kind text, key text?, payload text, priority int, run_at ts, now ts
-- out: id text
INSERT INTO job (id, kind, key, live_key, payload, state, priority, run_at, attempt, crashes, token, cancel, created_at)
VALUES ($id, $kind, $key, $key, $payload, 'ready', $priority, $run_at, 0, 0, 0, 0, $now)
ON CONFLICT (kind, live_key) DO UPDATE SET
    run_at = CASE WHEN job.state = 'ready' AND excluded.run_at < job.run_at THEN excluded.run_at ELSE job.run_at END,
    rerun_at = CASE WHEN job.state = 'running' AND (job.rerun_at IS NULL OR excluded.run_at < job.rerun_at)
                    THEN excluded.run_at ELSE job.rerun_at END
RETURNING id;

-- LIMIT and not MIN: PostgreSQL may read all that are ready for a MIN.
-- name: job_next_due :one
-- out: urgent ts?, normal ts?, late ts?
SELECT (SELECT run_at FROM job WHERE state = 'ready' AND priority = -1 ORDER BY run_at LIMIT 1) AS urgent,
    (SELECT run_at FROM job WHERE state = 'ready' AND priority = 0 ORDER BY run_at LIMIT 1) AS normal,
    (SELECT run_at FROM job WHERE state = 'ready' AND priority = 1 ORDER BY run_at LIMIT 1) AS late;

-- Suspects (two crashes) are claimed alone: the third is then surely theirs.
-- name: job_claim :many
-- in: lane int, now ts, n int, kinds text, worker text, until ts, alone bool
-- out: id text, kind text, key text?, payload text, attempt int, token int, run_at ts
UPDATE job SET state = 'running', token = token + 1, attempt = attempt + 1, worker = $worker, leased_until = $until
WHERE id IN (SELECT id FROM job WHERE state = 'ready' AND priority = $lane AND run_at <= $now
                 AND (crashes >= 2) = $alone AND $kinds LIKE '%,' || kind || ',%' ORDER BY run_at LIMIT $n)
RETURNING id, kind, key, payload, attempt, token, run_at;
-- [pg]
WITH due AS MATERIALIZED (
    SELECT id FROM job WHERE state = 'ready' AND priority = $lane AND run_at <= $now
        AND CASE WHEN crashes >= 2 THEN 1 ELSE 0 END = $alone AND $kinds LIKE '%,' || kind || ',%'
    ORDER BY run_at LIMIT $n FOR UPDATE SKIP LOCKED)
UPDATE job SET state = 'running', token = token + 1, attempt = attempt + 1, worker = $worker, leased_until = $until
FROM due WHERE job.id = due.id
RETURNING job.id, job.kind, job.key, job.payload, job.attempt, job.token, job.run_at;

-- name: job_done :exec
-- each
-- in: id text, token int, now ts
UPDATE job SET state = CASE WHEN rerun_at IS NULL THEN 'done' ELSE 'ready' END,
    live_key = CASE WHEN rerun_at IS NULL THEN NULL ELSE live_key END,
    finished_at = CASE WHEN rerun_at IS NULL THEN $now ELSE NULL END,
    attempt = CASE WHEN rerun_at IS NULL THEN attempt ELSE 0 END,
    run_at = COALESCE(rerun_at, run_at), rerun_at = NULL, crashes = 0, worker = NULL, leased_until = NULL, error = NULL
WHERE id = $id AND token = $token AND state = 'running';

-- name: job_retry :opt
-- in: id text, token int, run_at ts, uncount int, error text?, now ts
-- out: kind text, payload text, state text
UPDATE job SET state = CASE WHEN cancel = 1 THEN 'cancelled' ELSE 'ready' END,
    live_key = CASE WHEN cancel = 1 THEN NULL ELSE live_key END,
    finished_at = CASE WHEN cancel = 1 THEN $now ELSE NULL END,
    run_at = CASE WHEN rerun_at < $run_at THEN rerun_at ELSE $run_at END,
    attempt = attempt - $uncount, rerun_at = NULL, crashes = 0, worker = NULL, leased_until = NULL, error = $error
WHERE id = $id AND token = $token AND state = 'running'
RETURNING kind, payload, state;

-- Claimed, not begun: as if it had not been claimed.
-- name: job_put_back :opt
-- in: id text, token int, run_at ts, now ts
-- out: kind text, payload text, state text
UPDATE job SET state = CASE WHEN cancel = 1 THEN 'cancelled' ELSE 'ready' END,
    live_key = CASE WHEN cancel = 1 THEN NULL ELSE live_key END,
    finished_at = CASE WHEN cancel = 1 THEN $now ELSE NULL END,
    run_at = CASE WHEN rerun_at < $run_at THEN rerun_at ELSE $run_at END,
    attempt = attempt - 1, rerun_at = NULL, worker = NULL, leased_until = NULL
WHERE id = $id AND token = $token AND state = 'running'
RETURNING kind, payload, state;

-- name: job_kill :opt
-- in: id text, token int, error text?, now ts
-- out: kind text, payload text, state text
UPDATE job SET state = CASE WHEN rerun_at IS NOT NULL THEN 'ready' WHEN cancel = 1 THEN 'cancelled' ELSE 'dead' END,
    live_key = CASE WHEN rerun_at IS NULL THEN NULL ELSE live_key END,
    finished_at = CASE WHEN rerun_at IS NULL THEN $now ELSE NULL END,
    attempt = CASE WHEN rerun_at IS NULL THEN attempt ELSE 0 END,
    run_at = COALESCE(rerun_at, run_at), rerun_at = NULL, worker = NULL, leased_until = NULL, error = $error
WHERE id = $id AND token = $token AND state = 'running'
RETURNING kind, payload, state;

-- name: job_beat :exec
-- in: worker text, until ts
UPDATE job SET leased_until = $until WHERE state = 'running' AND worker = $worker;

-- name: job_release :exec
-- in: worker text
UPDATE job SET state = 'ready', attempt = attempt - 1, worker = NULL, leased_until = NULL
WHERE state = 'running' AND worker = $worker;

-- name: job_mine :many
-- in: worker text
-- out: id text, token int
SELECT id, token FROM job WHERE state = 'running' AND worker = $worker;

-- name: job_workers :many
-- out: worker text
SELECT DISTINCT worker FROM job WHERE state = 'running' AND worker IS NOT NULL;

-- name: job_overdue :many
-- in: wall ts
-- out: worker text, n int
SELECT worker, COUNT(*) AS n FROM job WHERE state = 'running' AND leased_until < $wall GROUP BY worker;

-- The worker of these jobs died. Three crashes: dead.
-- name: job_rescue :many
-- in: worker text, wall ts, now ts
-- out: id text, kind text, payload text, state text, crashes int
UPDATE job SET crashes = crashes + 1,
    state = CASE WHEN cancel = 1 THEN 'cancelled' WHEN crashes >= 2 THEN 'dead' ELSE 'ready' END,
    live_key = CASE WHEN crashes >= 2 OR cancel = 1 THEN NULL ELSE live_key END,
    finished_at = CASE WHEN crashes >= 2 OR cancel = 1 THEN $now ELSE NULL END,
    run_at = CASE WHEN run_at < $now THEN run_at ELSE $now END, rerun_at = NULL,
    error = 'the worker died while it ran', worker = NULL, leased_until = NULL
WHERE state = 'running' AND worker = $worker AND leased_until < $wall
RETURNING id, kind, payload, state, crashes;

-- name: job_progress_set :opt
-- in: id text, token int, done int, total int, unit text
-- out: cancel bool
UPDATE job SET progress_done = $done, progress_total = $total, progress_unit = $unit
WHERE id = $id AND token = $token AND state = 'running'
RETURNING cancel;

-- name: job_prune :exec
-- in: state text, before ts, n int
DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state = $state AND finished_at < $before LIMIT $n);

-- name: job_busy :one
-- in: now ts
-- out: busy bool
SELECT CASE WHEN EXISTS (SELECT 1 FROM job WHERE state = 'running')
              OR EXISTS (SELECT 1 FROM job WHERE state = 'ready' AND priority IN (-1, 0, 1) AND run_at <= $now)
              OR EXISTS (SELECT 1 FROM job_cron WHERE next_at <= $now) THEN 1 ELSE 0 END AS busy;

-- name: job_cron_list :many
-- out: kind text, every text, next_at ts
SELECT kind, every, next_at FROM job_cron;

-- name: job_cron_insert :exec
-- in: kind text, every text, next_at ts
INSERT INTO job_cron (kind, every, next_at) VALUES ($kind, $every, $next_at)
ON CONFLICT (kind) DO NOTHING;

-- name: job_cron_change :exec
-- in: kind text, every text, next_at ts
UPDATE job_cron SET every = $every, next_at = $next_at WHERE kind = $kind AND every <> $every;

-- One of several processes wins the tick.
-- name: job_cron_step :exec
-- in: kind text, next_at ts, old_at ts
UPDATE job_cron SET next_at = $next_at WHERE kind = $kind AND next_at = $old_at;

-- name: job_cron_drop :exec
-- in: kind text
DELETE FROM job_cron WHERE kind = $kind;

-- name: job_get :one
-- in: id text
-- out: id text, kind text, key text?, payload text, state text, priority int, run_at ts, attempt int, crashes int, cancel bool, worker text?, progress_done int?, progress_total int?, progress_unit text?, error text?, created_at ts, finished_at ts?
SELECT id, kind, key, payload, state, priority, run_at, attempt, crashes, cancel, worker, progress_done, progress_total,
    progress_unit, error, created_at, finished_at
FROM job WHERE id = $id;

-- name: job_list :many
-- in: state text?, kind text?, before text?, n int
-- out: id text, kind text, key text?, payload text, state text, priority int, run_at ts, attempt int, crashes int, cancel bool, worker text?, progress_done int?, progress_total int?, progress_unit text?, error text?, created_at ts, finished_at ts?
SELECT id, kind, key, payload, state, priority, run_at, attempt, crashes, cancel, worker, progress_done, progress_total,
    progress_unit, error, created_at, finished_at
FROM job WHERE ($state IS NULL OR state = $state) AND ($kind IS NULL OR kind = $kind)
    AND ($before IS NULL OR id < $before)
ORDER BY id DESC LIMIT $n;

-- name: job_counts :many
-- out: kind text, state text, n int
SELECT kind, state, COUNT(*) AS n FROM job GROUP BY kind, state ORDER BY kind, state;

-- name: job_health :one
-- in: now ts
-- out: oldest ts?, ready int, running int, dead int, suspects int
SELECT (SELECT MIN(run_at) FROM job WHERE state = 'ready' AND priority IN (-1, 0, 1) AND run_at <= $now) AS oldest,
    (SELECT COUNT(*) FROM job WHERE state = 'ready' AND priority IN (-1, 0, 1) AND run_at <= $now) AS ready,
    (SELECT COUNT(*) FROM job WHERE state = 'running') AS running,
    (SELECT COUNT(*) FROM job WHERE state = 'dead') AS dead,
    (SELECT COUNT(*) FROM job WHERE state = 'ready' AND priority IN (-1, 0, 1) AND run_at <= $now AND crashes >= 2)
        AS suspects;

-- name: job_redrive :exec
-- in: id text, now ts
UPDATE job SET state = 'ready', live_key = key, attempt = 0, crashes = 0, cancel = 0, run_at = $now, finished_at = NULL
WHERE id = $id AND state IN ('dead', 'cancelled');

-- Dead jobs of a kind whose key is not taken by a newer one.
-- name: job_redrive_kind :exec
-- in: kind text, now ts
UPDATE job SET state = 'ready', live_key = key, attempt = 0, crashes = 0, cancel = 0, run_at = $now, finished_at = NULL
WHERE id IN (SELECT MAX(d.id) FROM job d WHERE d.kind = $kind AND d.state = 'dead'
        AND NOT EXISTS (SELECT 1 FROM job l WHERE l.kind = d.kind AND l.live_key = d.key)
    GROUP BY COALESCE(d.key, d.id));

-- name: job_cancel :opt
-- in: id text, now ts
-- out: kind text, payload text, state text
UPDATE job SET cancel = 1, state = CASE WHEN state = 'ready' THEN 'cancelled' ELSE state END,
    live_key = CASE WHEN state = 'ready' THEN NULL ELSE live_key END,
    finished_at = CASE WHEN state = 'ready' THEN $now ELSE finished_at END
WHERE id = $id AND state IN ('ready', 'running')
RETURNING kind, payload, state;

-- The program's clock of a development server may be moved while it runs.
-- name: job_clock_offset :opt
-- out: value text
SELECT value FROM setting WHERE name = 'clock_offset_ms';
