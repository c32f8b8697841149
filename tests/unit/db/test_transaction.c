/* What a transaction promises, on both engines. */
#include "fixture.h"

#include <pthread.h>

/* -------- one transaction -------- */

static err put_then_fail(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    TRY(put(tx, "a", "1"));
    return FAIL(ERR_CONFLICT, "on purpose");
}

static void test_failed_write_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, put_then_fail, NULL), ERR_CONFLICT);
    assert_string_equal(err_last()->detail, "on purpose");
    assert_null(value_of(f, "a"));
    assert_int_equal(db_write(f->db, f->mem, put_a, "2"), OK);
    assert_string_equal(value_of(f, "a"), "2");
}

static void test_read_only(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_read(f->db, f->mem, put_a, "1"), ERR_INTERNAL);
    assert_null(value_of(f, "a"));
}

static err null_param(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    return q_setting_put(tx, NULL, &(struct setting_put_in){SV("a"), SV_NULL}, NULL);
}

static void test_null_parameter_is_named(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, null_param, NULL), ERR_INTERNAL);
    assert_string_equal(err_last()->detail, "query setting_put: parameter value is NULL");
}

/* The error of a statement ends the transaction, even if the body overlooks it (as PostgreSQL). */
static err overlook(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(put(tx, "a", "1"));
    (void)!duplicate(tx, mem, arg);
    return OK;
}

static void test_overlooked_error_ends_the_transaction(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, overlook, NULL), ERR_UNIQUE);
    assert_null(value_of(f, "a"));
}

static err attempt_duplicate(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(put(tx, "inner", "1"));
    return duplicate(tx, mem, arg);
}

static err with_attempt(struct db_tx *tx, struct arena *mem, void *arg)
{
    TRY(put(tx, "before", "1"));
    assert_int_equal(db_attempt(tx, mem, attempt_duplicate, arg), ERR_UNIQUE);
    TRY(db_attempt(tx, mem, put_a, "1"));
    return put(tx, "after", "1");
}

static void test_attempt(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, with_attempt, NULL), OK);
    assert_non_null(value_of(f, "before"));
    assert_null(value_of(f, "inner"));
    assert_non_null(value_of(f, "a"));
    assert_non_null(value_of(f, "after"));
}

static err conflict_twice(struct db_tx *tx, struct arena *mem, void *arg)
{
    int *runs = arg;
    assert_int_equal(arena_used(mem), 0);
    arena_alloc(mem, 100);
    TRY(put(tx, *runs == 0 ? "first" : "last", "1"));
    return ++*runs < 3 ? ERR_RETRY : OK;
}

static err conflict_always(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)tx, (void)mem;
    ++*(int *)arg;
    return ERR_RETRY;
}

static void test_conflicts_run_again(void **state)
{
    struct fixture *f = *state;
    int runs = 0;
    assert_int_equal(db_write(f->db, f->mem, conflict_twice, &runs), OK);
    assert_int_equal(runs, 3);
    assert_null(value_of(f, "first"));
    assert_non_null(value_of(f, "last"));
    runs = 0;
    assert_int_equal(db_write(f->db, f->mem, conflict_always, &runs), ERR_RETRY);
    assert_int_equal(runs, DB_TRIES);
}

static int commits;
static void committed(void)
{
    commits++;
}

static err announce(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    db_on_commit(tx, committed);
    db_on_commit(tx, committed);
    return *(err *)arg;
}

static void test_on_commit(void **state)
{
    struct fixture *f = *state;
    err yes = OK, no = ERR_CONFLICT;
    commits = 0;
    assert_int_equal(db_write(f->db, f->mem, announce, &no), ERR_CONFLICT);
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK);
    assert_int_equal(commits, 0);
    assert_int_equal(db_write(f->db, f->mem, announce, &yes), OK);
    assert_int_equal(db_write(f->db, f->mem, put_a, "2"), OK); /* the first one's end is past */
    assert_int_equal(commits, 1);
}

struct thread {
    struct fixture *f;
    int id;
};

static err add_one(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct get g = {.name = "counter"};
    (void)arg;
    /* READ COMMITTED: what is read and then written needs a lock. */
    TRY(db_lock1(tx, SV("counter")));
    TRY(get_fn(tx, mem, &g));
    int64_t n = 0;
    if (g.found)
        sv_to_i64(g.row.value, &n);
    return put(tx, "counter", arena_printf(mem, "%ld", (long)n + 1).p);
}

static void *adder(void *arg)
{
    struct thread *t = arg;
    struct arena *mem = arena_new(0);
    for (int i = 0; i < 50; i++) {
        struct get g = {.name = "counter"};
        if (db_write(t->f->db, mem, add_one, NULL) != OK ||
            db_read(t->f->db, mem, get_fn, &g) != OK || !g.found)
            abort();
        arena_reset(mem);
    }
    arena_free(mem);
    return NULL;
}

static void test_threads_lose_no_update(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[8];
    struct thread args[8];
    for (int i = 0; i < 8; i++) {
        args[i] = (struct thread){f, i};
        assert_int_equal(pthread_create(&threads[i], NULL, adder, &args[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_string_equal(value_of(f, "counter"), "400");
}

static void put_each(struct fixture *f, sv second, err expected, int64_t *changed)
{
    const struct db_val v[] = {{DB_TEXT, 0, SV("a")}, {DB_TEXT, 0, SV("1")},
                               {DB_TEXT, 0, SV("b")}, {second.p ? DB_TEXT : DB_NULL, 0, second},
                               {DB_TEXT, 0, SV("c")}, {DB_TEXT, 0, SV("3")}};
    assert_int_equal(db_write_each(f->db, Q_SETTING_PUT, v, 3, changed), expected);
}

/* One after another, all or none, on a connection that goes on afterwards. */
static void test_each(void **state)
{
    struct fixture *f = *state;
    int64_t changed[3] = {0};
    put_each(f, SV_NULL, ERR_INTERNAL, changed);
    assert_null(value_of(f, "a"));
    for (int i = 0; i < 2; i++) { /* the second time it is prepared already */
        put_each(f, i == 0 ? SV("2") : SV("4"), OK, changed);
        for (int k = 0; k < 3; k++)
            assert_int_equal(changed[k], 1);
    }
    assert_string_equal(value_of(f, "b"), "4");
    assert_string_equal(value_of(f, "c"), "3");
    const struct db_val twice[] = {
        {DB_INT, 100, SV_NULL}, {DB_TEXT, 0, SV("x")}, {DB_TEXT, 0, SV("x")}, {DB_INT, 1, SV_NULL},
        {DB_INT, 100, SV_NULL}, {DB_TEXT, 0, SV("y")}, {DB_TEXT, 0, SV("y")}, {DB_INT, 1, SV_NULL}};
    assert_int_equal(db_write_each(f->db, Q_MIGRATION_INSERT, twice, 2, changed), ERR_UNIQUE);
    assert_int_equal(db_write_each(f->db, Q_MIGRATION_INSERT, twice, 1, changed), OK); /* undone */
}

static void test_reopen_keeps(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, put_a, "kept"), OK);
    db_close(f->db);
    struct db_options o = {.url = sv_from(f->url)};
    assert_int_equal(db_open(&o, &f->db), OK);
    assert_string_equal(value_of(f, "a"), "kept");
}

int main(void)
{
    const struct CMUnitTest sqlite[] = {
        ON_SQLITE(test_failed_write_leaves_nothing),
        ON_SQLITE(test_read_only),
        ON_SQLITE(test_null_parameter_is_named),
        ON_SQLITE(test_overlooked_error_ends_the_transaction),
        ON_SQLITE(test_attempt),
        ON_SQLITE(test_conflicts_run_again),
        ON_SQLITE(test_on_commit),
        ON_SQLITE(test_threads_lose_no_update),
        ON_SQLITE(test_each),
        ON_SQLITE(test_reopen_keeps),
    };
    const struct CMUnitTest pg[] = {
        ON_PG(test_failed_write_leaves_nothing),
        ON_PG(test_read_only),
        ON_PG(test_null_parameter_is_named),
        ON_PG(test_overlooked_error_ends_the_transaction),
        ON_PG(test_attempt),
        ON_PG(test_conflicts_run_again),
        ON_PG(test_on_commit),
        ON_PG(test_threads_lose_no_update),
        ON_PG(test_each),
        ON_PG(test_reopen_keeps),
    };
    int failed = cmocka_run_group_tests(sqlite, NULL, NULL);
    if (getenv("MYBEING_TEST_PG"))
        failed += cmocka_run_group_tests(pg, NULL, NULL);
    return failed;
}
