/* SQLite: transactions, the writer's batches, what a failure takes with it. */
#include "db/db_internal.h"
#include "db/migrate.h"
#include "queries.h"
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char dir[64], url[128];
    struct db *db;
    struct arena *mem;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    unsigned done;
    snprintf(f->dir, sizeof f->dir, "/tmp/mybeing-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->url, sizeof f->url, "sqlite:%s/t.db", f->dir);
    struct db_options o = {.url = sv_from(f->url), .create = true};
    assert_int_equal(db_open(&o, &f->db), OK);
    assert_int_equal(migrate_up(f->db, &done), OK);
    f->mem = arena_new(0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char cmd[128];
    db_close(f->db);
    arena_free(f->mem);
    snprintf(cmd, sizeof cmd, "rm -r %s", f->dir);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

static err put(struct db_tx *tx, const char *name, const char *value)
{
    return q_setting_put(tx, NULL, &(struct setting_put_in){sv_from(name), sv_from(value)}, NULL);
}

struct get {
    const char *name;
    bool found;
    struct setting_get_row row;
};

static err get_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct get *g = arg;
    return q_setting_get(tx, mem, &(struct setting_get_in){sv_from(g->name)}, &g->row, &g->found);
}

static const char *value_of(struct fixture *f, const char *name)
{
    struct get g = {.name = name};
    assert_int_equal(db_read(f->db, f->mem, get_fn, &g), OK);
    return g.found ? g.row.value.p : NULL;
}

/* -------- one transaction -------- */

static err put_then_fail(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    TRY(put(tx, "a", "1"));
    return FAIL(ERR_CONFLICT, "on purpose");
}

static err put_a(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return put(tx, "a", arg);
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

static err duplicate(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    struct migration_insert_in in = {1, SV("x"), SV("x"), {0}};
    return q_migration_insert(tx, mem, &in, NULL);
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
    assert_int_equal(db_attempt(tx, mem, put_a, "1"), OK);
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

/* -------- many at once -------- */

#define POSTS 200

/* A post whose body waits: what is posted meanwhile is one batch. */
struct blocker {
    struct db_post post;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool entered, go;
    int done;
};

struct item {
    struct db_post post;
    struct blocker *b;
    int i;
    err want, got;
    char detail[64];
};

static err block_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct blocker *b = arg;
    (void)tx, (void)mem;
    pthread_mutex_lock(&b->mu);
    b->entered = true;
    pthread_cond_broadcast(&b->cond);
    while (!b->go)
        pthread_cond_wait(&b->cond, &b->mu);
    pthread_mutex_unlock(&b->mu);
    return OK;
}

static void count_done(struct blocker *b)
{
    pthread_mutex_lock(&b->mu);
    b->done++;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mu);
}

static void block_done(struct db_post *p, err e)
{
    assert_int_equal(e, OK);
    count_done(p->arg);
}

static void block_start(struct fixture *f, struct blocker *b)
{
    pthread_mutex_init(&b->mu, NULL);
    pthread_cond_init(&b->cond, NULL);
    b->post = (struct db_post){.fn = block_fn, .arg = b, .done = block_done};
    db_post(f->db, &b->post);
    pthread_mutex_lock(&b->mu);
    while (!b->entered)
        pthread_cond_wait(&b->cond, &b->mu);
    pthread_mutex_unlock(&b->mu);
}

static void block_end(struct blocker *b, int n)
{
    pthread_mutex_lock(&b->mu);
    b->go = true;
    pthread_cond_broadcast(&b->cond);
    while (b->done < n)
        pthread_cond_wait(&b->cond, &b->mu);
    pthread_mutex_unlock(&b->mu);
}

static void item_done(struct db_post *p, err e)
{
    struct item *it = p->arg;
    it->got = e;
    snprintf(it->detail, sizeof it->detail, "%.63s", err_last()->detail);
    count_done(it->b);
}

/* A third succeeds, a third fails on its own, a third hits UNIQUE after having written. */
static err item_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct item *it = arg;
    char name[16];
    snprintf(name, sizeof name, "k%d", it->i);
    TRY(put(tx, name, "1"));
    if (it->want == ERR_UNIQUE)
        return duplicate(tx, mem, NULL);
    return it->want == OK ? OK : FAIL(it->want, "item %d", it->i);
}

static void test_batch_keeps_failures_apart(void **state)
{
    struct fixture *f = *state;
    struct blocker b = {0};
    static const err wants[] = {OK, ERR_CONFLICT, ERR_UNIQUE};
    struct item *items = calloc(POSTS, sizeof *items);
    block_start(f, &b);
    for (int i = 0; i < POSTS; i++) {
        items[i] = (struct item){.b = &b, .i = i, .want = wants[i % 3]};
        items[i].post = (struct db_post){.fn = item_fn, .arg = &items[i], .done = item_done};
        db_post(f->db, &items[i].post);
    }
    block_end(&b, POSTS + 1);
    for (int i = 0; i < POSTS; i++) {
        char name[16], detail[64];
        snprintf(name, sizeof name, "k%d", i);
        snprintf(detail, sizeof detail, "item %d", i);
        assert_int_equal(items[i].got, items[i].want);
        if (items[i].want == ERR_CONFLICT)
            assert_string_equal(items[i].detail, detail);
        if (items[i].want == OK)
            assert_non_null(value_of(f, name));
        else
            assert_null(value_of(f, name));
    }
    free(items);
}

struct thread {
    struct fixture *f;
    int id;
};

static err add_one(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct get g = {.name = "counter"};
    (void)arg;
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

/* -------- a full disk -------- */

static err limit_pages(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return db_script(tx, arg);
}

static char big[400000];

static err big_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct item *it = arg;
    (void)mem;
    char name[16];
    snprintf(name, sizeof name, "k%d", it->i);
    return put(tx, name, it->want == OK ? "small" : big);
}

static void test_full(void **state)
{
    struct fixture *f = *state;
    struct blocker b = {0};
    struct item items[9];
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(db_write(f->db, f->mem, limit_pages, "PRAGMA max_page_count=60"), OK);
    block_start(f, &b);
    for (int i = 0; i < 9; i++) { /* one that does not fit, between ones that do */
        items[i] = (struct item){.b = &b, .i = i, .want = i == 4 ? ERR_DB_FULL : OK};
        items[i].post = (struct db_post){.fn = big_fn, .arg = &items[i], .done = item_done};
        db_post(f->db, &items[i].post);
    }
    block_end(&b, 10);
    for (int i = 0; i < 9; i++)
        assert_int_equal(items[i].got, items[i].want);
    assert_non_null(value_of(f, "k0"));
    assert_non_null(value_of(f, "k8"));
    assert_null(value_of(f, "k4"));
    assert_int_equal(db_write(f->db, f->mem, limit_pages, "PRAGMA max_page_count=100000"), OK);
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK); /* it recovers by itself */
    assert_int_equal(db_ping(f->db), OK);
}

/* -------- opening -------- */

static void test_open_errors(void **state)
{
    struct db *db;
    (void)state;
    struct db_options o = {.url = SV("sqlite:/nowhere/at/all.db"), .create = true};
    assert_int_equal(db_open(&o, &db), ERR_DB);
    o = (struct db_options){.url = SV("sqlite:"), .create = true};
    assert_int_equal(db_open(&o, &db), ERR_CONFIG);
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

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_failed_write_leaves_nothing),
        T(test_read_only),
        T(test_null_parameter_is_named),
        T(test_overlooked_error_ends_the_transaction),
        T(test_attempt),
        T(test_conflicts_run_again),
        T(test_on_commit),
        T(test_batch_keeps_failures_apart),
        T(test_threads_lose_no_update),
        T(test_full),
        cmocka_unit_test(test_open_errors),
        T(test_reopen_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
