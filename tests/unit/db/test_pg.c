/* PostgreSQL: lost connections, conflicts, time limits. Runs when MYBEING_TEST_PG names a cluster.
 */
#include "fixture.h"

#include <libpq-fe.h>
#include <pthread.h>

/* Ends every other connection of the test's schema (its application_name is set by the URL). */
static void kill_others(struct fixture *f)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE "
             "application_name = '%s' AND pid <> pg_backend_pid()",
             f->schema);
    PGconn *c = PQconnectdb(getenv("MYBEING_TEST_PG")); /* it is called inside a transaction */
    PGresult *r = PQexec(c, sql);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    PQclear(r);
    PQfinish(c);
}

static void open_again(struct fixture *f, const struct db_options *more)
{
    char url[600];
    snprintf(url, sizeof url, "%s&application_name=%s", f->url, f->schema);
    struct db_options o = more ? *more : (struct db_options){0};
    o.url = sv_from(url);
    db_close(f->db);
    assert_int_equal(db_open(&o, &f->db), OK);
}

struct life {
    struct fixture *f;
    int runs, kill_in_run;
};

static err killed_between(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct life *l = arg;
    (void)mem;
    TRY(put(tx, "a", "1"));
    if (++l->runs == l->kill_in_run)
        kill_others(l->f);
    return put(tx, "b", "2");
}

static void test_lost_before_commit_runs_again(void **state)
{
    struct fixture *f = *state;
    struct life l = {.f = f, .kill_in_run = 1};
    open_again(f, NULL);
    assert_int_equal(db_write(f->db, f->mem, killed_between, &l), OK);
    assert_int_equal(l.runs, 2);
    assert_string_equal(value_of(f, "b"), "2");
}

static err read_killed(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct life *l = arg;
    struct get g = {.name = "a"};
    TRY(get_fn(tx, mem, &g));
    if (++l->runs == l->kill_in_run)
        kill_others(l->f);
    return get_fn(tx, mem, &g);
}

static void test_lost_read_runs_again(void **state)
{
    struct fixture *f = *state;
    struct life l = {.f = f, .kill_in_run = 1};
    open_again(f, NULL);
    assert_int_equal(db_read(f->db, f->mem, read_killed, &l), OK);
    assert_int_equal(l.runs, 2);
}

static void test_lost_while_idle(void **state)
{
    struct fixture *f = *state;
    open_again(f, NULL);
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    kill_others(f);
    assert_int_equal(db_write(f->db, f->mem, put_a, "2"), OK);
    assert_string_equal(value_of(f, "a"), "2");
}

static err count_put(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    ++*(int *)arg;
    return put(tx, "a", "1");
}

/* The server ends the connection inside COMMIT: nobody knows, so nothing is run again. */
static void test_lost_during_commit(void **state)
{
    struct fixture *f = *state;
    int runs = 0;
    assert_int_equal(
        db_write(f->db, f->mem, run_script,
                 (void *)(uintptr_t) "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ "
                                     "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); "
                                     "RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER t AFTER "
                                     "INSERT ON setting DEFERRABLE INITIALLY DEFERRED "
                                     "FOR EACH ROW EXECUTE FUNCTION die()"),
        OK);
    assert_int_equal(db_write(f->db, f->mem, count_put, &runs), ERR_WRITE_UNCERTAIN);
    assert_int_equal(runs, 1);
    assert_int_equal(db_ping(f->db), OK);
    int64_t changed;
    const struct db_val v[] = {{DB_TEXT, 0, SV("b")}, {DB_TEXT, 0, SV("1")}};
    assert_int_equal(db_write_each(f->db, Q_SETTING_PUT, v, 1, &changed), ERR_WRITE_UNCERTAIN);
    assert_int_equal(db_ping(f->db), OK);
}

struct pair {
    struct fixture *f;
    const char *first, *second;
    pthread_barrier_t *both;
    int runs;
    err result;
    bool lock;
};

/* Two rows in opposite order, each holding its first: a deadlock on the first run. */
static err crossing(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct pair *p = arg;
    (void)mem;
    p->runs++;
    if (p->lock) {
        sv keys[] = {sv_from(p->first), sv_from(p->second)};
        TRY(db_lock(tx, keys, 2));
    }
    TRY(put(tx, p->first, "1"));
    if (p->runs == 1 && !p->lock)
        pthread_barrier_wait(p->both);
    return put(tx, p->second, "1");
}

static void *cross(void *arg)
{
    struct pair *p = arg;
    ARENA_AUTO mem = arena_new(0);
    p->result = db_write(p->f->db, mem, crossing, p);
    return NULL;
}

static int run_crossing(struct fixture *f, bool lock)
{
    pthread_barrier_t both;
    pthread_t other;
    pthread_barrier_init(&both, NULL, 2);
    struct pair a = {f, "x", "y", &both, 0, OK, lock}, b = {f, "y", "x", &both, 0, OK, lock};
    assert_int_equal(pthread_create(&other, NULL, cross, &b), 0);
    cross(&a);
    pthread_join(other, NULL);
    assert_int_equal(a.result, OK);
    assert_int_equal(b.result, OK);
    pthread_barrier_destroy(&both);
    return a.runs + b.runs;
}

static void test_deadlock_runs_again(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    assert_true(run_crossing(f, false) >= 3);
}

static void test_locks_are_sorted(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(run_crossing(f, true), 2);
}

static void test_statement_timeout(void **state)
{
    struct fixture *f = *state;
    open_again(f, &(struct db_options){.statement_timeout_ms = 100});
    assert_int_equal(db_write(f->db, f->mem, run_script, (void *)(uintptr_t) "SELECT pg_sleep(60)"),
                     ERR_DB);
    assert_non_null(strstr(err_last()->detail, "statement timeout"));
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
}

static void *put_in_thread(void *arg)
{
    ARENA_AUTO mem = arena_new(0);
    struct pair *p = arg;
    p->result = db_write(p->f->db, mem, put_a, "waited");
    return NULL;
}

struct starter {
    pthread_t thread;
    struct pair *p;
};

static err start_another(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct starter *s = arg;
    (void)mem;
    TRY(put(tx, "before", "1"));
    assert_int_equal(pthread_create(&s->thread, NULL, put_in_thread, s->p), 0);
    return OK;
}

/* More threads than connections: they wait for one. */
static void test_pool_of_one(void **state)
{
    struct fixture *f = *state;
    struct pair p = {.f = f, .result = ERR_INTERNAL};
    struct starter arg = {.p = &p};
    open_again(f, &(struct db_options){.conns = 1});
    assert_int_equal(db_write(f->db, f->mem, start_another, &arg), OK);
    pthread_join(arg.thread, NULL);
    assert_int_equal(p.result, OK);
    assert_string_equal(value_of(f, "a"), "waited");
}

/* Connections of the test that are in a transaction. */
static int in_transaction(struct fixture *f)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT 1 FROM pg_stat_activity WHERE application_name = '%s' AND state <> 'idle'",
             f->schema);
    PGconn *c = PQconnectdb(getenv("MYBEING_TEST_PG"));
    PGresult *r = PQexec(c, sql);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    int n = PQntuples(r);
    PQclear(r);
    PQfinish(c);
    return n;
}

/* Its end is not waited for, but it comes; the answer is there, or missed, when the connection is
 * used next. */
static void test_end_of_a_read(void **state)
{
    struct fixture *f = *state;
    open_again(f, &(struct db_options){.conns = 1});
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    assert_string_equal(value_of(f, "a"), "1");
    for (int i = 0; in_transaction(f) > 0; i++)
        assert_true(i < 200);
    assert_int_equal(db_write(f->db, f->mem, put_a, "2"), OK);
    assert_string_equal(value_of(f, "a"), "2");
    kill_others(f);
    assert_string_equal(value_of(f, "a"), "2");
}

/* After a change of the schema by somebody else, prepared statements are made anew. */
/* -------- a lock that somebody else holds, asked for at the end of a transaction -------- */

/* A connection of its own that holds it; PQfinish lets go. */
static PGconn *hold(const char *key)
{
    PGconn *c = PQconnectdb(getenv("MYBEING_TEST_PG"));
    PQclear(PQexec(c, "BEGIN"));
    PGresult *r = PQexecParams(c, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", 1, NULL,
                               &key, NULL, NULL, 0);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    PQclear(r);
    return c;
}

static err read_then_lock(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct get g = {.name = "a"};
    (void)arg;
    TRY(get_fn(tx, mem, &g));
    return db_lock1(tx, SV("held"));
}

static err write_then_lock(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    TRY(put(tx, "b", "1"));
    return db_lock1(tx, SV("held"));
}

static err put_b(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    return put(tx, "b", "1");
}

static err lock_then_attempt(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(db_lock1(tx, SV("held")));
    (void)!db_attempt(tx, mem, put_b, arg);
    return put(tx, "b", "2"); /* goes on whatever came of it */
}

static err lock_then_refuse(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    TRY(db_lock1(tx, SV("held")));
    return FAIL(ERR_CONFLICT, "no");
}

static err attempt_that_refuses(struct db_tx *tx, struct arena *mem, void *arg)
{
    err e = db_attempt(tx, mem, lock_then_refuse, arg);
    return e == ERR_CONFLICT ? put(tx, "c", "1") : e;
}

/* Whatever a transaction says, the next one on its connection is well. */
static void test_lock_at_the_end(void **state)
{
    struct fixture *f = *state;
    static const struct {
        db_fn fn;
        err want;
    } cases[] = {{read_then_lock, OK}, /* nothing was to be guarded */
                 {write_then_lock, ERR_BUSY},
                 {lock_then_attempt, ERR_BUSY},
                 {attempt_that_refuses, OK}};
    open_again(f, &(struct db_options){.conns = 1, .lock_timeout_ms = 300});
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    PGconn *holder = hold("held");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err e = db_write(f->db, f->mem, cases[i].fn, NULL);
        if (e != cases[i].want)
            fail_msg("case %zu: %s", i, err_name(e));
        assert_string_equal(value_of(f, "a"), "1");
        assert_null(value_of(f, "b"));
    }
    PQfinish(holder);
}

static void test_stale_statements(void **state)
{
    struct fixture *f = *state;
    struct db *other;
    struct db_options o = {.url = sv_from(f->url), .conns = 1};
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    assert_string_equal(value_of(f, "a"), "1");
    assert_int_equal(db_open(&o, &other), OK);
    assert_int_equal(
        db_write(other, f->mem, run_script,
                 (void *)(uintptr_t) "ALTER TABLE setting ALTER COLUMN value TYPE varchar(100)"),
        OK);
    db_close(other);
    assert_string_equal(value_of(f, "a"), "1");
}

static void test_bad_text(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, put_a, "\377"), ERR_BAD_REQUEST);
}

static void test_open_refused(void **state)
{
    struct db *db;
    (void)state;
    struct db_options o = {.url = SV("postgresql://nobody@127.0.0.1:1/x")};
    assert_int_equal(db_open(&o, &db), ERR_DB);
    assert_non_null(strstr(err_last()->detail, "can't connect to PostgreSQL"));
}

int main(void)
{
    const struct CMUnitTest always[] = {cmocka_unit_test(test_open_refused)};
    const struct CMUnitTest pg[] = {
        ON_PG(test_lost_before_commit_runs_again),
        ON_PG(test_lost_read_runs_again),
        ON_PG(test_lost_while_idle),
        ON_PG(test_lost_during_commit),
        ON_PG(test_deadlock_runs_again),
        ON_PG(test_locks_are_sorted),
        ON_PG(test_statement_timeout),
        ON_PG(test_pool_of_one),
        ON_PG(test_end_of_a_read),
        ON_PG(test_lock_at_the_end),
        ON_PG(test_stale_statements),
        ON_PG(test_bad_text),
    };
    int failed = cmocka_run_group_tests(always, NULL, NULL);
    if (getenv("MYBEING_TEST_PG"))
        failed += cmocka_run_group_tests(pg, NULL, NULL);
    return failed;
}
