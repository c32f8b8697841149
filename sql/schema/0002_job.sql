-- up
CREATE TABLE job (
    id text PRIMARY KEY,
    kind text NOT NULL,
    key text,
    live_key text,
    payload text NOT NULL,
    state text NOT NULL,
    priority bigint NOT NULL,
    run_at bigint NOT NULL,
    rerun_at bigint,
    attempt bigint NOT NULL,
    crashes bigint NOT NULL,
    token bigint NOT NULL,
    cancel bigint NOT NULL,
    worker text,
    leased_until bigint,
    progress_done bigint,
    progress_total bigint,
    progress_unit text,
    error text,
    created_at bigint NOT NULL,
    finished_at bigint
);
CREATE UNIQUE INDEX job_live_key ON job (kind, live_key);
CREATE INDEX job_ready ON job (priority, run_at) WHERE state = 'ready';
CREATE INDEX job_running ON job (worker, leased_until) WHERE state = 'running';
CREATE INDEX job_finished ON job (state, finished_at);
CREATE TABLE job_cron (
    kind text PRIMARY KEY,
    every text NOT NULL,
    next_at bigint NOT NULL
);

-- down
DROP TABLE job_cron;
DROP TABLE job;
