/* SQLite: the writer's batches, what a failure takes with it, a full disk. */
#include "fixture.h"

#include <pthread.h>

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

/* -------- attempts, and how often bodies run -------- */

struct tried {
    struct item it;
    enum { TRIED_NOTHING, TRIED_WROTE } kind;
    int runs;
    err attempt;
};

static err attempt_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct tried *t = arg;
    (void)mem;
    if (t->kind == TRIED_WROTE)
        TRY(put(tx, "lost", "1"));
    return FAIL(ERR_CONFLICT, "attempt %d", t->it.i);
}

/* Goes on after an attempt that failed; the odd ones fail before they wrote anything. */
static err tried_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct tried *t = arg;
    char name[16];
    t->runs++;
    if (t->it.i % 2)
        return FAIL(t->it.want, "item %d", t->it.i);
    snprintf(name, sizeof name, "k%d", t->it.i);
    t->attempt = db_attempt(tx, mem, attempt_fn, t);
    return put(tx, name, err_last()->detail);
}

/* Half of a batch fail, half have an attempt that fails. */
static void run_tried(struct fixture *f, int kind)
{
    struct blocker b = {0};
    struct tried all[20];
    block_start(f, &b);
    for (int i = 0; i < 20; i++) {
        struct tried *t = &all[i];
        *t = (struct tried){.it = {.b = &b, .i = i, .want = i % 2 ? ERR_NOT_FOUND : OK},
                            .kind = kind};
        t->it.post = (struct db_post){.fn = tried_fn, .arg = t, .done = item_done};
        db_post(f->db, &t->it.post);
    }
    block_end(&b, 21);
    for (int i = 0; i < 20; i++) {
        char name[16], detail[64];
        snprintf(name, sizeof name, "k%d", i);
        snprintf(detail, sizeof detail, "attempt %d", i);
        assert_int_equal(all[i].it.got, all[i].it.want);
        assert_true(all[i].runs == 1 || kind == TRIED_WROTE);
        if (i % 2) {
            assert_null(value_of(f, name));
            continue;
        }
        assert_int_equal(all[i].attempt, ERR_CONFLICT);
        assert_string_equal(value_of(f, name), detail);
    }
    assert_null(value_of(f, "lost"));
}

static void test_nothing_written_needs_no_savepoint(void **state)
{
    run_tried(*state, TRIED_NOTHING);
}

/* What an attempt wrote is undone, and nobody else notices. */
static void test_attempt_that_wrote(void **state)
{
    struct fixture *f = *state;
    run_tried(f, TRIED_WROTE);
    assert_int_equal(db_write(f->db, f->mem, run_script, "DELETE FROM setting"), OK);
    run_tried(f, TRIED_WROTE); /* and while savepoints are on */
}

/* A schema is not counted among changed rows. */
static err ddl_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem, (void)arg;
    TRY(db_script(tx, "CREATE TABLE half (a text)"));
    return FAIL(ERR_CONFLICT, "after half of it");
}

static void test_failed_script_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_write(f->db, f->mem, ddl_fn, NULL), ERR_CONFLICT);
    assert_int_equal(db_write(f->db, f->mem, run_script, "CREATE TABLE half (a text)"), OK);
}

/* -------- a full disk -------- */

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
    assert_int_equal(db_write(f->db, f->mem, run_script, "PRAGMA max_page_count=60"), OK);
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
    assert_int_equal(db_write(f->db, f->mem, run_script, "PRAGMA max_page_count=100000"), OK);
    assert_int_equal(db_write(f->db, f->mem, put_a, "1"), OK); /* it recovers by itself */
    assert_int_equal(db_ping(f->db), OK);
}

/* -------- snapshots and the log -------- */

/* Another connection, as of another process: what it committed is seen by the next read. */
static void test_commits_of_others_are_seen(void **state)
{
    struct fixture *f = *state;
    struct db_options o = {.url = sv_from(f->url)};
    struct db *other;
    char n[16];
    assert_int_equal(db_open(&o, &other), OK);
    for (int i = 0; i < 50; i++) {
        snprintf(n, sizeof n, "%d", i);
        assert_int_equal(db_write(i % 2 ? other : f->db, f->mem, put_a, n), OK);
        assert_string_equal(value_of(f, "a"), n);
    }
    db_close(other);
}

struct reading {
    struct fixture *f;
    atomic_bool stop;
};

static void *read_on(void *arg)
{
    struct reading *r = arg;
    ARENA_AUTO mem = arena_new(0);
    while (!atomic_load(&r->stop)) {
        struct get g = {.name = "a"};
        if (db_read(r->f->db, mem, get_fn, &g) != OK)
            abort();
        arena_reset(mem);
    }
    return NULL;
}

static void *read_once(void *arg)
{
    struct reading *r = arg;
    ARENA_AUTO mem = arena_new(0);
    struct get g = {.name = "a"};
    if (db_read(r->f->db, mem, get_fn, &g) != OK)
        abort();
    while (!atomic_load(&r->stop)) /* lives on, with its snapshot */
        usleep(1000);
    return NULL;
}

/* The log starts over although threads always read and another left a snapshot behind: it is never
 * much longer than what the checkpointer aims at (32 MiB). */
#define READERS   3
#define LOG_PAGES (4 * 32 * 256)

static void test_log_stays_bounded(void **state)
{
    struct fixture *f = *state;
    struct reading r = {.f = f};
    struct item it = {.want = ERR_DB_FULL};
    struct writer *w = sqlite_writer(f->db->sqlite);
    pthread_t busy[READERS], idle;
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&busy[i], NULL, read_on, &r), 0);
    assert_int_equal(pthread_create(&idle, NULL, read_once, &r), 0);
    int last = 0, overs = 0, most = 0;
    err e = OK;
    for (int i = 0; i < 3000 && overs < 2 && e == OK; i++) {
        memset(big, 'a' + i % 26, sizeof big - 1); /* SQLite does not write equal pages again */
        e = db_write(f->db, f->mem, big_fn, &it);
        int pages = writer_wal_pages(w);
        overs += pages < last;
        most = pages > most ? pages : most;
        last = pages;
    }
    char detail[200];
    snprintf(detail, sizeof detail, "%.199s", err_last()->detail);
    atomic_store(&r.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(busy[i], NULL);
    pthread_join(idle, NULL);
    if (e != OK || overs < 2 || most > LOG_PAGES)
        fail_msg("error %d (%s), the log started over %d times, most pages %d", e, detail, overs,
                 most);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SQLITE(test_batch_keeps_failures_apart),
        ON_SQLITE(test_nothing_written_needs_no_savepoint),
        ON_SQLITE(test_attempt_that_wrote),
        ON_SQLITE(test_failed_script_leaves_nothing),
        ON_SQLITE(test_full),
        ON_SQLITE(test_commits_of_others_are_seen),
        ON_SQLITE(test_log_stays_bounded),
        cmocka_unit_test(test_open_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
