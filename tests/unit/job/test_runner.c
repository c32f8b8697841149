/* The queue as it runs: on SQLite, and on PostgreSQL when MYBEING_TEST_PG names a server. */
#include "base/crypto.h"
#include "base/log.h"
#include "db/db_internal.h"
#include "db/migrate.h"
#include "job/job_runner.h"
#include "job/job_store.h"
#include "job/job_view.h"
#include "queries.h"
#include "test.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct db *db;
static struct arena *mem;
static char dir[64], url[512], database[64];
static struct job_runner *runner;

/* -------- kinds -------- */

static atomic_int ran, running, order_n;
static atomic_int order[16];
static atomic_bool hold, fail_once;
static atomic_llong started_us[16];

static err run_count(struct job *j)
{
    (void)j;
    atomic_fetch_add(&ran, 1);
    return OK;
}

static err run_order(struct job *j)
{
    int i = atomic_fetch_add(&order_n, 1);
    atomic_store(&order[i], (int)json_get_int(j->payload, "n", 0));
    atomic_store(&started_us[i], clock_mono_us());
    return OK;
}

static err run_hold(struct job *j)
{
    atomic_fetch_add(&running, 1);
    while (atomic_load(&hold)) {
        job_progress(j, 3, 7, "mails");
        if (j->cancelled)
            return FAIL(ERR_STOPPING, "cancelled");
        usleep(5000);
    }
    atomic_fetch_add(&ran, 1);
    return OK;
}

static err run_fail(struct job *j)
{
    if (!atomic_exchange(&fail_once, false)) {
        atomic_fetch_add(&ran, 1);
        return OK;
    }
    sv how = json_get_str(j->payload, "how");
    if (sv_is(how, "permanent"))
        job_permanent(j);
    if (sv_is(how, "retry_at"))
        job_retry_at(j, ts_add(j->now, TS_HOUR));
    if (sv_is(how, "again")) {
        job_again(j, ts_add(j->now, TS_HOUR));
        return OK;
    }
    return FAIL(ERR_UPSTREAM, "no answer");
}

static err effect(struct db_tx *tx, struct arena *m, void *arg)
{
    (void)arg;
    return q_setting_put(tx, m, &(struct setting_put_in){SV("effect"), SV("1")}, NULL);
}

static err effect_read(struct db_tx *tx, struct arena *m, void *arg)
{
    struct setting_get_row row;
    return q_setting_get(tx, m, &(struct setting_get_in){SV("effect")}, &row, arg);
}

static err steal(struct db_tx *tx, struct arena *m, void *arg)
{
    struct job_rescue_row *rows;
    size_t n;
    struct job_rescue_in in = {.worker = sv_from(((struct job_runner *)arg)->worker),
                               .wall = {INT64_MAX},
                               .now = ts_add(clock_now(), TS_HOUR)};
    (void)tx;
    TRY(q_job_rescue(tx, m, &in, &rows, &n));
    return n == 1 ? OK : ERR_INTERNAL;
}

static atomic_int finish_result;
static err run_stolen(struct job *j)
{
    if (j->attempt > 1)
        return OK;
    err e = db_write(j->db, j->mem, steal, runner);
    assert_int_equal(e, OK);
    e = job_finish(j, effect, NULL);
    atomic_store(&finish_result, (int)e);
    return e;
}

/* Which jobs were told to have ended without being done, and why. */
static atomic_int lost;
static char lost_why[128];
static err note_lost(struct db_tx *tx, struct arena *m, const json *payload, sv why, ts now)
{
    (void)tx;
    (void)m;
    (void)now;
    assert_int_equal(json_kind(payload), JK_OBJ);
    snprintf(lost_why, sizeof lost_why, "%.*s", SV_ARG(why));
    lost++;
    return OK;
}

static const struct job_kind kinds[] = {
    {.name = "count", .run = run_count},
    {.name = "order", .run = run_order},
    {.name = "hold", .run = run_hold},
    {.name = "fail", .run = run_fail, .max_attempts = 3},
    {.name = "stolen", .run = run_stolen},
    {.name = "limited", .run = run_order, .rate_per_minute = 60},
    {.name = "nightly", .run = run_count, .every = "0 3 * * *"},
};
static const struct job_kind_set sets[] = {JOB_SET(kinds)};

/* -------- fixture -------- */

static void admin(const char *sql)
{
    PGconn *c = PQconnectdb(getenv("MYBEING_TEST_PG"));
    PGresult *r = PQexec(c, sql);
    assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    PQfinish(c);
}

/* The server's URL with another database. */
static void pg_url(void)
{
    char sql[128];
    snprintf(database, sizeof database, "job_test_%ld", (long)getpid());
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", database);
    admin(sql);
    const char *base = getenv("MYBEING_TEST_PG"), *query = strchr(base, '?');
    const char *end = query ? query : base + strlen(base), *slash = end;
    while (slash > base && *slash != '/')
        slash--;
    snprintf(url, sizeof url, "%.*s/%s%s", (int)(slash - base), base, database, query ? query : "");
}

static int set_up(void **state)
{
    (void)state;
    unsigned done;
    if (getenv("MYBEING_TEST_PG")) {
        pg_url();
    } else {
        snprintf(dir, sizeof dir, "/tmp/mybeing-job-XXXXXX");
        assert_non_null(mkdtemp(dir));
        snprintf(url, sizeof url, "sqlite:%s/t.db", dir);
    }
    struct db_options o = {.url = sv_from(url), .create = true, .conns = 20};
    assert_int_equal(db_open(&o, &db), OK);
    assert_int_equal(migrate_up(db, &done), OK);
    mem = arena_new(0);
    clock_set_offset(0);
    ran = running = order_n = lost = 0;
    hold = fail_once = false;
    runner = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char cmd[128];
    atomic_store(&hold, false);
    job_runner_stop(runner);
    db_close(db);
    arena_free(mem);
    if (getenv("MYBEING_TEST_PG")) {
        snprintf(cmd, sizeof cmd, "DROP DATABASE %s", database);
        admin(cmd);
    } else {
        snprintf(cmd, sizeof cmd, "rm -r %s", dir);
        assert_int_equal(system(cmd), 0);
    }
    return 0;
}

static void start(unsigned threads)
{
    assert_int_equal(job_runner_start(NULL, db, sets, 1, threads, &runner), OK);
}

static err put_run(struct db_tx *tx, struct arena *m, void *arg)
{
    return job_put(tx, m, arg, clock_now());
}

static void put(struct job_new j)
{
    assert_int_equal(db_write(db, mem, put_run, &j), OK);
}

struct last {
    struct job_view *v;
    size_t n;
    const char *kind;
};
static err last_run(struct db_tx *tx, struct arena *m, void *arg)
{
    struct last *l = arg;
    struct job_filter f = {.kind = sv_from(l->kind), .n = 100};
    return job_view_list(tx, m, &f, &l->v, &l->n);
}

static struct job_view last(const char *kind)
{
    struct last l = {.kind = kind};
    assert_int_equal(db_read(db, mem, last_run, &l), OK);
    assert_true(l.n > 0);
    return l.v[0];
}

static size_t how_many(const char *kind)
{
    struct last l = {.kind = kind};
    assert_int_equal(db_read(db, mem, last_run, &l), OK);
    return l.n;
}

static size_t unended(const char *kind)
{
    struct last l = {.kind = kind};
    size_t n = 0;
    assert_int_equal(db_read(db, mem, last_run, &l), OK);
    for (size_t i = 0; i < l.n; i++)
        n += !sv_is(l.v[i].state, "done");
    return n;
}

/* Polls for up to a minute. */
#define WAIT(cond)                                                                                 \
    do {                                                                                           \
        int64_t until_ = clock_mono_us() + 60000000;                                               \
        while (!(cond) && clock_mono_us() < until_)                                                \
            usleep(2000);                                                                          \
        assert_true(cond);                                                                         \
    } while (0)
#define WAIT_STATE(kind, what) WAIT(sv_is(last(kind).state, what))

/* -------- tests -------- */

static void runs(void **state)
{
    (void)state;
    start(4);
    for (int i = 0; i < 50; i++)
        put((struct job_new){.kind = "count"});
    WAIT(ran == 50);
    WAIT_STATE("count", "done");
    assert_int_equal(last("count").attempt, 1);
}

static void keeps_keys_unique(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        put((struct job_new){
            .kind = "count", .key = SV("k"), .run_at = ts_add(clock_now(), TS_HOUR)});
    assert_int_equal(how_many("count"), 1);
    start(2);
    put((struct job_new){.kind = "count", .key = SV("k")}); /* brings it forward */
    WAIT(ran == 1);
    WAIT_STATE("count", "done");
    put((struct job_new){.kind = "count", .key = SV("k")});
    WAIT(ran == 2);
    assert_int_equal(how_many("count"), 2);
}

static void put_while_running_runs_again(void **state)
{
    (void)state;
    start(2);
    hold = true;
    put((struct job_new){.kind = "hold", .key = SV("k")});
    WAIT(running == 1);
    put((struct job_new){.kind = "hold", .key = SV("k")});
    put((struct job_new){.kind = "hold", .key = SV("k")});
    hold = false;
    WAIT(ran == 2);
    WAIT_STATE("hold", "done");
    assert_int_equal(how_many("hold"), 1);
    assert_int_equal(running, 2);
}

static void retries(void **state)
{
    (void)state;
    start(2);
    fail_once = true;
    put((struct job_new){.kind = "fail"});
    WAIT(last("fail").error.p != NULL);
    struct job_view v = last("fail");
    assert_string_equal(arena_cstr(mem, v.state), "ready");
    assert_int_equal(v.attempt, 1);
    int64_t wait = v.run_at.ms - clock_now().ms;
    assert_in_range(wait, 5000, 18000);
    assert_true(sv_contains(v.error, SV("no answer")));
    clock_set_offset(20000);
    job_wake();
    WAIT(ran == 1);
    WAIT_STATE("fail", "done");
    assert_int_equal(last("fail").attempt, 2);
}

static void asked_to_wait(void **state)
{
    (void)state;
    start(2);
    fail_once = true;
    put((struct job_new){.kind = "fail", .payload = SV("{\"how\":\"retry_at\"}")});
    WAIT(last("fail").error.p != NULL);
    assert_in_range(last("fail").run_at.ms - clock_now().ms, 50 * TS_MINUTE, TS_HOUR);
    assert_int_equal(last("fail").attempt, 1);
}

static void snoozes(void **state)
{
    (void)state;
    start(2);
    fail_once = true;
    put((struct job_new){.kind = "fail", .payload = SV("{\"how\":\"again\"}")});
    WAIT(last("fail").run_at.ms > clock_now().ms + 50 * TS_MINUTE);
    assert_int_equal(last("fail").attempt, 0);
    assert_null(last("fail").error.p);
}

static err redrive_run(struct db_tx *tx, struct arena *m, void *arg)
{
    return job_redrive(tx, m, *(sv *)arg, clock_now());
}
static err cancel_run(struct db_tx *tx, struct arena *m, void *arg)
{
    return job_cancel(tx, m, *(sv *)arg, clock_now());
}

static void dies_and_is_redriven(void **state)
{
    (void)state;
    start(2);
    fail_once = true;
    put((struct job_new){.kind = "fail", .key = SV("k"), .payload = SV("{\"how\":\"permanent\"}")});
    WAIT_STATE("fail", "dead");
    assert_int_equal(lost, 1);
    assert_non_null(strstr(lost_why, "no answer"));
    sv id = last("fail").id, other = SV("job_none");
    assert_int_equal(db_write(db, mem, redrive_run, &other), ERR_NOT_FOUND);
    assert_int_equal(db_write(db, mem, redrive_run, &id), OK);
    WAIT(ran == 1);
    WAIT_STATE("fail", "done");
    assert_int_equal(db_write(db, mem, redrive_run, &id), ERR_CONFLICT);
}

static void redrive_respects_newer_key(void **state)
{
    (void)state;
    start(2);
    fail_once = true;
    put((struct job_new){.kind = "fail", .key = SV("k"), .payload = SV("{\"how\":\"permanent\"}")});
    WAIT_STATE("fail", "dead");
    sv id = last("fail").id;
    put((struct job_new){.kind = "fail", .key = SV("k"), .run_at = ts_add(clock_now(), TS_HOUR)});
    assert_int_equal(db_write(db, mem, redrive_run, &id), ERR_CONFLICT);
}

static void runs_out_of_attempts(void **state)
{
    (void)state;
    start(2);
    for (int64_t attempt = 1; attempt <= 3; attempt++) {
        fail_once = true;
        if (attempt == 1)
            put((struct job_new){.kind = "fail"});
        clock_set_offset(attempt * TS_HOUR);
        job_wake();
        WAIT(last("fail").attempt == attempt && !sv_is(last("fail").state, "running") &&
             last("fail").error.p != NULL);
    }
    WAIT_STATE("fail", "dead");
}

static void stale_finish_is_refused(void **state)
{
    (void)state;
    start(1);
    put((struct job_new){.kind = "stolen"});
    WAIT(finish_result != 0);
    assert_int_equal(finish_result, ERR_GONE);
    WAIT_STATE("stolen", "done"); /* by the next lease */
    assert_int_equal(last("stolen").attempt, 2);
    bool there = true;
    assert_int_equal(db_read(db, mem, effect_read, &there), OK);
    assert_false(there); /* what ran in the transaction of the finish is undone with it */
}

static bool suspects_only;
static err claim_run(struct db_tx *tx, struct arena *m, void *arg)
{
    struct job_claimed *got;
    struct job_want w = {.now = clock_now(),
                         .lanes = {true, true, true},
                         .until = {1}, /* long ago: its worker died */
                         .n = 10,
                         .kinds = SV(",count,"),
                         .worker = SV("gone"),
                         .alone = suspects_only};
    return job_store_claim(tx, m, &w, &got, arg);
}
static err rescue_run(struct db_tx *tx, struct arena *m, void *arg)
{
    struct job_rescued *rows;
    return job_store_rescue(tx, m, SV("gone"), clock_wall(), clock_now(), &rows, arg);
}

struct ends {
    struct job_claimed *got;
    size_t n;
};
static err claim_all(struct db_tx *tx, struct arena *m, void *arg)
{
    struct ends *ends = arg;
    struct job_want w = {.now = clock_now(),
                         .lanes = {true, true, true},
                         .until = ts_add(clock_wall(), JOB_LEASE_MS),
                         .n = 10,
                         .kinds = SV(",count,"),
                         .worker = SV("gone")};
    return job_store_claim(tx, m, &w, &ends->got, &ends->n);
}

/* Of jobs that end together, the one whose lease was lost is refused alone. */
static void a_stale_end_is_refused_alone(void **state)
{
    (void)state;
    struct ends ends;
    const struct job_claimed *jobs[3];
    bool stored[3];
    for (int i = 0; i < 3; i++)
        put((struct job_new){.kind = "count"});
    assert_int_equal(db_write(db, mem, claim_all, &ends), OK);
    assert_int_equal(ends.n, 3);
    ends.got[1].token--;
    for (int i = 0; i < 3; i++)
        jobs[i] = &ends.got[i];
    assert_int_equal(job_store_done_each(db, jobs, 3, clock_now(), stored), OK);
    assert_true(stored[0] && !stored[1] && stored[2]);
    ends.got[1].token++;
    assert_int_equal(job_store_done_each(db, jobs, 3, clock_now(), stored), OK);
    assert_true(!stored[0] && stored[1] && !stored[2]); /* each once */
}

static err refuse_ends(struct db_tx *tx, struct arena *m, void *arg)
{
    (void)m, (void)arg;
    return db_script(
        tx,
        db_tx_engine(tx) == DB_PG
            ? "ALTER TABLE job ADD CONSTRAINT t CHECK (state <> 'done' OR payload <> '{\"n\":7}')"
            : "CREATE TRIGGER t BEFORE UPDATE ON job WHEN NEW.state = 'done' AND NEW.payload = "
              "'{\"n\":7}' BEGIN SELECT RAISE(ABORT, 'no'); END");
}

/* What fails for one of those that end together is not the trouble of the others. */
static void a_failed_end_troubles_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(db_write(db, mem, refuse_ends, NULL), OK);
    for (int i = 0; i < 12; i++)
        put((struct job_new){.kind = "count", .payload = arena_printf(mem, "{\"n\":%d}", i)});
    start(8);
    WAIT(ran == 12 && unended("count") <= 1);
    usleep(300000);
    assert_int_equal(unended("count"), 1);
}

static void crash(int number)
{
    size_t claimed = 0, rescued = 0;
    suspects_only = number == 3;
    assert_int_equal(db_write(db, mem, claim_run, &claimed), OK);
    assert_int_equal(claimed, 1);
    assert_int_equal(db_write(db, mem, rescue_run, &rescued), OK);
    assert_int_equal(rescued, 1);
    assert_int_equal(last("count").crashes, number);
}

static void three_crashes_are_enough(void **state)
{
    (void)state;
    put((struct job_new){.kind = "count"});
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(lost, 0);
        crash(i);
    }
    assert_int_equal(lost, 1);
    assert_string_equal(arena_cstr(mem, last("count").state), "dead");
}

/* It may have been beside the job that brought the worker down: it gets a try of its own. */
static void suspects_run_alone(void **state)
{
    (void)state;
    put((struct job_new){.kind = "count"});
    crash(1);
    crash(2);
    size_t claimed = 0;
    suspects_only = false;
    assert_int_equal(db_write(db, mem, claim_run, &claimed), OK);
    assert_int_equal(claimed, 0); /* not among others */
    for (int i = 0; i < 5; i++)
        put((struct job_new){.kind = "count"});
    start(2);
    WAIT(ran == 6);
    WAIT_STATE("count", "done");
}

static void overdue_lease_is_rescued(void **state)
{
    (void)state;
    put((struct job_new){.kind = "count"});
    size_t claimed = 0;
    assert_int_equal(db_write(db, mem, claim_run, &claimed), OK);
    start(1);
    WAIT(ran == 1);
    WAIT_STATE("count", "done");
}

static void urgent_first(void **state)
{
    (void)state;
    put((struct job_new){.kind = "order", .payload = SV("{\"n\":3}"), .priority = 5});
    put((struct job_new){.kind = "order", .payload = SV("{\"n\":2}")});
    put((struct job_new){.kind = "order", .payload = SV("{\"n\":1}"), .priority = -1});
    start(1);
    WAIT(order_n == 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(order[i], i + 1);
}

static void keeps_the_rate(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        put((struct job_new){.kind = "limited"});
    put((struct job_new){.kind = "count"});
    start(4);
    WAIT(ran == 1); /* others go on */
    WAIT(order_n == 3);
    assert_true(started_us[2] - started_us[0] > 1500000);
}

static void cancels(void **state)
{
    (void)state;
    put((struct job_new){.kind = "count", .run_at = ts_add(clock_now(), TS_HOUR)});
    sv id = last("count").id;
    assert_int_equal(db_write(db, mem, cancel_run, &id), OK);
    assert_string_equal(arena_cstr(mem, last("count").state), "cancelled");
    assert_int_equal(lost, 1);
    assert_string_equal(lost_why, "it was cancelled");
    assert_int_equal(db_write(db, mem, cancel_run, &id), ERR_CONFLICT);
    start(1);
    hold = true;
    put((struct job_new){.kind = "hold"});
    WAIT(last("hold").has_progress);
    assert_int_equal(last("hold").progress_done, 3);
    assert_int_equal(last("hold").progress_total, 7);
    id = last("hold").id;
    assert_int_equal(db_write(db, mem, cancel_run, &id), OK);
    WAIT_STATE("hold", "cancelled");
    assert_int_equal(lost, 2);
    assert_int_equal(ran, 0);
}

static void catches_up_once(void **state)
{
    (void)state;
    start(1);
    struct last l = {.kind = "nightly"};
    int64_t until = clock_mono_us() + 1000000;
    while (clock_mono_us() < until && ran == 0)
        usleep(50000);
    assert_int_equal(ran, 0);
    clock_set_offset(5 * TS_DAY);
    WAIT(ran == 1);
    WAIT_STATE("nightly", "done");
    assert_int_equal(db_read(db, mem, last_run, &l), OK);
    assert_int_equal(l.n, 1);
    clock_set_offset(6 * TS_DAY);
    WAIT(ran == 2);
}

static void gives_leases_back(void **state)
{
    (void)state;
    start(1);
    hold = true;
    put((struct job_new){.kind = "hold"});
    WAIT(running == 1);
    put((struct job_new){.kind = "count"});
    WAIT_STATE("count", "running"); /* claimed ahead, behind the one that holds */
    hold = false;
    job_runner_stop(runner);
    runner = NULL;
    bool waits = sv_is(last("count").state, "ready");
    assert_true(waits || ran == 2);
    if (waits)
        assert_int_equal(last("count").attempt, 0);
    assert_string_equal(arena_cstr(mem, last("hold").state), "done");
}

static err put_twenty(struct db_tx *tx, struct arena *m, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        TRY(job_put(tx, m, &(struct job_new){.kind = "count"}, clock_now()));
    return OK;
}

static void fast_enough(void **state)
{
    (void)state;
    const int n = 2000;
    start(8);
    int64_t from = clock_mono_us();
    for (int i = 0; i < n; i += 20)
        assert_int_equal(db_write(db, mem, put_twenty, NULL), OK);
    WAIT(ran == n);
    printf("%d jobs/s, twenty puts a transaction\n",
           (int)(n * INT64_C(1000000) / (clock_mono_us() - from)));
}

int main(void)
{
    crypto_init();
    log_init(LOG_TEXT, LOG_ERROR);
    job_on_lost("count", note_lost);
    job_on_lost("fail", note_lost);
    job_on_lost("hold", note_lost);
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(runs),
        T(keeps_keys_unique),
        T(put_while_running_runs_again),
        T(retries),
        T(asked_to_wait),
        T(snoozes),
        T(dies_and_is_redriven),
        T(redrive_respects_newer_key),
        T(runs_out_of_attempts),
        T(stale_finish_is_refused),
        T(a_stale_end_is_refused_alone),
        T(a_failed_end_troubles_nobody_else),
        T(three_crashes_are_enough),
        T(suspects_run_alone),
        T(overdue_lease_is_rescued),
        T(urgent_first),
        T(keeps_the_rate),
        T(cancels),
        T(catches_up_once),
        T(gives_leases_back),
        T(fast_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
