/* SQLite's log is written in few calls; what a call or a rollback leaves behind harms nobody. */
#include "fixture.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define ROWS 300

static char logs[128];       /* the file that is watched */
static atomic_bool watching; /* logs is there */
static atomic_int writes;    /* calls that wrote to it */
static atomic_int room = -1; /* so many go well, then the disk is full; -1: there is room */
static atomic_int half;      /* the last one that goes well writes half */
static char value[4000];
static struct fixture f;

static bool watched(int fd)
{
    char link[64], path[256] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return watching && readlink(link, path, sizeof path - 1) > 0 && strcmp(path, logs) == 0;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at);

/* In front of libc's, for SQLite too. */
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    if (watched(fd)) {
        writes++;
        if (room == 0) {
            errno = ENOSPC;
            return -1;
        }
        if (room > 0 && --room == 0 && half)
            n /= 2;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

static int setup(void **state)
{
    watching = false;
    int e = set_up_sqlite(state);
    f = *(struct fixture *)*state;
    snprintf(logs, sizeof logs, "%s/t.db-wal", f.dir);
    writes = half = 0;
    room = -1;
    watching = true;
    return e;
}

struct rows {
    char mark;
    int n;
    bool fail, anew; /* anew: here and there once more, so that pages just written are read */
};

static err put_rows(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct rows *r = arg;
    (void)mem;
    memset(value, r->mark, sizeof value - 1);
    unsigned random = 1;
    for (int i = 0; i < r->n * (r->anew ? 4 : 1); i++) {
        char name[16];
        random = random * 1103515245 + 12345;
        snprintf(name, sizeof name, "k%d", i < r->n ? i : (int)(random / 65536) % r->n);
        TRY(put(tx, name, value));
    }
    return r->fail ? FAIL(ERR_CONFLICT, "on purpose") : OK;
}

static err write_rows(char mark, int n, bool fail)
{
    return db_write(f.db, f.mem, put_rows, &(struct rows){mark, n, fail, n > ROWS});
}

static void rows_are(char mark, int n)
{
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        const char *v = value_of(&f, name);
        assert_non_null(v);
        assert_int_equal(strlen(v), sizeof value - 1);
        assert_true(v[0] == mark && v[sizeof value - 2] == mark);
        arena_reset(f.mem);
    }
}

static void few_calls(void **state)
{
    (void)state;
    assert_int_equal(write_rows('a', ROWS, false), OK);
    assert_in_range(writes, 1, ROWS / 10);
    rows_are('a', ROWS);
    struct fixture again = f; /* what another process would see */
    fixture_open(&again, false);
    struct fixture first = f;
    f = again;
    rows_are('a', ROWS);
    db_close(again.db);
    arena_free(again.mem);
    f = first;
}

/* More than the writer's cache holds is in the log before its commit, and read from there again;
 * what a rollback left gathered is in nobody's way. */
static void more_than_the_cache(void **state)
{
    (void)state;
    const int many = 4000;
    assert_int_equal(write_rows('a', ROWS, false), OK);
    assert_int_equal(write_rows('b', many, true), ERR_CONFLICT);
    rows_are('a', ROWS);
    assert_int_equal(write_rows('c', 1, false), OK);
    rows_are('c', 1);
    assert_int_equal(write_rows('d', many, false), OK);
    rows_are('d', many);
    assert_int_equal(write_rows('e', many, false), OK);
    rows_are('e', many);
}

static int number(void *out, int n, char **values, char **names)
{
    (void)n, (void)names;
    *(int *)out = atoi(values[0]);
    return 0;
}

/* Rows that somebody else committed are all there. */
static void all_are(const char *path, int mark, int n)
{
    sqlite3 *h;
    char sql[128];
    int got = -1;
    snprintf(sql, sizeof sql,
             "SELECT COUNT(*) FROM t WHERE k <= %d AND hex(v) = '%02X'||hex(zeroblob(3000))", n,
             mark);
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, sql, number, &got, NULL), SQLITE_OK);
    assert_int_equal(got, n);
    sqlite3_close(h);
}

static err fill(struct sq_conn *c, int mark, int n)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM i WHERE k < %d) "
             "INSERT OR REPLACE INTO t SELECT k, CAST(x'%02X'||zeroblob(3000) AS blob) FROM i",
             n, mark);
    return sq_exec(c, sql);
}

/* What a rollback left gathered is not written over what another process has put there since,
 * whether all of a transaction was rolled back or what it did within a savepoint. */
static void two_writers(void **state)
{
    (void)state;
    struct sq_conn *mine, *other;
    char path[96];
    snprintf(path, sizeof path, "%s/two.db", f.dir);
    assert_int_equal(sq_conn_open(path, SQ_WRITE, true, &mine), OK);
    assert_int_equal(sq_conn_open(path, SQ_WRITE, true, &other), OK);
    assert_int_equal(sq_exec(mine, "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"), OK);
    assert_int_equal(sq_exec(mine, "PRAGMA cache_size=20"), OK);
    for (int i = 0; i < 60; i++) {
        int n = 100 + i;
        bool savepoint = i % 2;
        /* Else the rollback would read its first page from the log, and write what is gathered. */
        assert_int_equal(sq_exec(other, "PRAGMA wal_checkpoint(TRUNCATE)"), OK);
        assert_int_equal(sq_control(mine, SQ_BEGIN_WRITE), OK);
        if (savepoint)
            assert_int_equal(sq_control(mine, SQ_SAVEPOINT), OK);
        assert_int_equal(fill(mine, 0x11, n), OK);
        if (savepoint) {
            assert_int_equal(sq_control(mine, SQ_ROLLBACK_TO), OK);
            assert_int_equal(sq_control(mine, SQ_RELEASE), OK);
        }
        assert_int_equal(sq_control(mine, savepoint ? SQ_COMMIT : SQ_ROLLBACK), OK);
        assert_int_equal(fill(other, 0x40 + i, n), OK);
        assert_int_equal(sq_exec(mine, "SELECT COUNT(v) FROM t"), OK);
        all_are(path, 0x40 + i, n);
    }
    sq_conn_close(mine);
    sq_conn_close(other);
    all_are(path, 0x40 + 59, 159);
}

/* Wherever the disk is full within a commit, in the midst of a call too: nothing of it happened,
 * and what comes when there is room again is stored. */
static void a_full_disk(void **state)
{
    (void)state;
    assert_int_equal(write_rows('a', ROWS, false), OK);
    writes = 0;
    assert_int_equal(write_rows('b', ROWS, false), OK);
    int calls = writes;
    for (int after = 0; after < calls; after++) {
        for (int h = 0; h < 2; h++) {
            half = h;
            room = after;
            assert_int_equal(write_rows('c', ROWS, false), ERR_DB_FULL);
            room = -1;
            rows_are('b', ROWS);
        }
    }
    assert_int_equal(write_rows('d', ROWS, false), OK);
    rows_are('d', ROWS);
}

/* The same where pages go to the log long before the commit: SQLite was told that they are there.
 * (After the first failure bodies run in savepoints, and less goes there early.) */
static void a_full_disk_before_the_commit(void **state)
{
    (void)state;
    const int many = 3000;
    assert_int_equal(write_rows('a', many, false), OK);
    assert_int_equal(write_rows('b', many, false), OK);
    for (int after = 80; after >= 0; after -= 11) {
        half = after % 2;
        room = after;
        assert_int_equal(write_rows('c', many, false), ERR_DB_FULL);
        room = -1;
        rows_are('b', many);
    }
    assert_int_equal(write_rows('d', many, false), OK);
    rows_are('d', many);
}

/* A disk that was full for one moment: what SQLite thinks is in the log is not, so the transaction
 * cannot be committed, whatever becomes of its statements. */
static void lost_is_lost(void **state)
{
    (void)state;
    struct sq_conn *c;
    char path[96];
    snprintf(path, sizeof path, "%s/lost.db", f.dir);
    assert_int_equal(sq_conn_open(path, SQ_WRITE, true, &c), OK);
    assert_int_equal(sq_exec(c, "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"), OK);
    assert_int_equal(sq_exec(c, "PRAGMA cache_size=20"), OK);
    assert_int_equal(fill(c, 0x40, 200), OK);
    watching = false;
    snprintf(logs, sizeof logs, "%s-wal", path);
    watching = true;
    for (int i = 0; i < 12; i++) {
        bool failed = false;
        assert_int_equal(sq_control(c, SQ_BEGIN_WRITE), OK);
        for (int k = 0; k < 40; k++) {
            if (k == 2 * i + 8)
                room = 0;
            bool bad = fill(c, 0x11, 20 + k * 4) != OK;
            if (bad)
                room = -1;
            failed |= bad;
            if (!sq_in_transaction(c))
                break;
        }
        room = -1;
        assert_true(failed);
        if (sq_in_transaction(c)) {
            assert_int_not_equal(sq_control(c, SQ_COMMIT), OK);
            if (sq_in_transaction(c))
                assert_int_equal(sq_control(c, SQ_ROLLBACK), OK);
        }
        all_are(path, 0x40 + i, 200);
        assert_int_equal(fill(c, 0x41 + i, 200), OK);
    }
    all_are(path, 0x40 + 12, 200);
    sq_conn_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_calls, setup, tear_down),
        cmocka_unit_test_setup_teardown(more_than_the_cache, setup, tear_down),
        cmocka_unit_test_setup_teardown(two_writers, setup, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk, setup, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_before_the_commit, setup, tear_down),
        cmocka_unit_test_setup_teardown(lost_is_lost, setup, tear_down),
    };
    return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
