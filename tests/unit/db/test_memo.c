/* Kept rows are those of the snapshot: nobody may notice them but by the clock. */
#include "db/memo.h"
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>

/* -------- the memo alone -------- */

static struct db_val blob(const char *p, size_t n)
{
    return (struct db_val){DB_BLOB, 0, {p, n}};
}

/* Rows are kept when they come for the second time. */
static void put_twice(struct memo *m, const struct db_val *in, const struct db_rows *rows)
{
    memo_put(m, Q_SESSION_AUTH, in, rows);
    memo_put(m, Q_SESSION_AUTH, in, rows);
}

static void test_rows_come_back_as_they_were(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct memo *m = memo_new(NULL);
    struct db_val in = blob("a\0b", 3), other = blob("a\0c", 3);
    struct db_val v[] = {{DB_TEXT, 0, SV("first")}, {DB_NULL, INT64_MIN, SV_NULL},
                         {DB_INT, -7, SV_NULL},     {DB_TEXT, 0, SV("")},
                         {DB_BLOB, 0, {"\0x", 2}},  {DB_NULL, INT64_MIN, SV_NULL}};
    struct db_rows rows = {2, 3, v, 0}, got;
    memo_put(m, Q_SESSION_AUTH, &in, &rows);
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got)); /* it was asked once */
    memo_empty(m);
    memo_put(m, Q_SESSION_AUTH, &in, &rows);
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got)); /* and once in this snapshot */
    memo_put(m, Q_SESSION_AUTH, &in, &rows);
    put_twice(m, &other, &(struct db_rows){0, 3, NULL, 0});
    assert_true(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    assert_int_equal(got.n, 2);
    assert_int_equal(got.cols, 3);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(got.v[i].type, v[i].type);
        assert_int_equal(got.v[i].i, v[i].i);
        assert_true(sv_eq(got.v[i].s, v[i].s) && (got.v[i].s.p == NULL) == (v[i].s.p == NULL));
    }
    assert_string_equal(got.v[0].s.p, "first");
    assert_true(memo_get(m, Q_SESSION_AUTH, &other, mem, &got) && got.n == 0);
    assert_false(memo_get(m, Q_BILLING_ACCESS, &in, mem, &got)); /* another query's */
    memo_empty(m);
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    memo_drop(m);
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    memo_free(m);
}

/* Rows of a thousand bytes for the parameters 0 to n - 1. */
static void put_many(struct memo *m, int64_t n)
{
    static char pad[900];
    memset(pad, 'x', sizeof pad);
    for (int64_t i = 0; i < n; i++) {
        struct db_val in = blob((const char *)&i, sizeof i);
        struct db_val v[] = {{DB_INT, i, SV_NULL}, {DB_TEXT, 0, {pad, sizeof pad}}};
        put_twice(m, &in, &(struct db_rows){1, 2, v, 0});
    }
}

/* How many of these are still kept; none is wrong. */
static size_t count_kept(struct memo *m, struct arena *mem, int64_t n)
{
    size_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        struct db_val in = blob((const char *)&i, sizeof i);
        struct db_rows got;
        if (!memo_get(m, Q_SESSION_AUTH, &in, mem, &got))
            continue;
        kept++;
        assert_int_equal(got.v[0].i, i);
        arena_reset(mem);
    }
    return kept;
}

/* More than there is room for: what came first stays, none is wrong. */
static void test_full(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct memo *m = memo_new(NULL);
    put_many(m, 2000);
    assert_in_range(count_kept(m, mem, 2000), 1990, 2000);
    put_many(m, 20000);
    assert_in_range(count_kept(m, mem, 2000), 1990, 2000);
    assert_in_range(count_kept(m, mem, 20000), 4000, 10000); /* how many depends on sizes */
    memo_empty(m);
    assert_int_equal(count_kept(m, mem, 20000), 0);
    memo_free(m);
}

/* Numbers go around: what was kept long ago is not what was kept just now. */
static void test_numbers_go_around(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct memo *m = memo_new(NULL);
    struct db_val in = blob("a", 1);
    struct db_rows got;
    memo_snapshot(m, 5, true, 0);
    put_twice(m, &in, &(struct db_rows){0, 3, NULL, 0});
    memo_snapshot(m, 5, true, 0);
    assert_true(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    for (uint64_t n = 5; n <= 5 + (UINT64_C(1) << 32); n += 1 << 30)
        memo_snapshot(m, (uint32_t)n, true, 0);
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    put_twice(m, &in, &(struct db_rows){0, 3, NULL, 0});
    memo_snapshot(m, 5 | UINT64_C(7) << 32, true, 0); /* another of that number */
    assert_false(memo_get(m, Q_SESSION_AUTH, &in, mem, &got));
    memo_free(m);
}

/* -------- through the database -------- */

static const char token[] = "0123456789abcdef0123456789abcdef";

struct look {
    bool found;
    struct session_auth_row row;
};

static err look(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct look *l = arg;
    return q_session_auth(tx, mem, &(struct session_auth_in){SV(token)}, &l->row, &l->found);
}

static err rename_account(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return db_script(tx, arg);
}

/* Asked so often that the rows are kept. */
static void expect_email(struct fixture *f, const char *email)
{
    for (int i = 0; i < 200; i++) {
        struct look l = {0};
        assert_int_equal(db_read(f->db, f->mem, look, &l), OK);
        assert_int_equal(l.found, email != NULL);
        if (email)
            assert_string_equal(l.row.email.p, email);
        arena_reset(f->mem);
    }
}

static void test_every_commit_is_seen(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other; /* as another process has it */
    char add[] = "INSERT INTO account (id, email, admin, created_at, updated_at) "
                 "VALUES ('usr_1', 'a@x', 0, 1, 1); "
                 "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, "
                 "expires_at) VALUES ('ses_1', CAST('0123456789abcdef0123456789abcdef' AS blob), "
                 "'usr_1', 'password', 1, 1, 2)";
    char change[] = "UPDATE account SET email = 'b@x'";
    expect_email(f, NULL);
    assert_int_equal(db_write(f->db, f->mem, rename_account, add), OK);
    expect_email(f, "a@x");
    assert_int_equal(db_write(f->db, f->mem, rename_account, change), OK);
    expect_email(f, "b@x");
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "UPDATE account SET email = 'c@x'", NULL, NULL, NULL),
                     SQLITE_OK);
    expect_email(f, "c@x");
    assert_int_equal(sqlite3_exec(other, "DELETE FROM session", NULL, NULL, NULL), SQLITE_OK);
    expect_email(f, NULL);
    sqlite3_close(other);
}

/* -------- texts -------- */

static void test_texts_have_their_time(void **state)
{
    (void)state;
    struct memo *m = memo_new(NULL);
    const sv what = SV("answers"), key = SV("usr_1");
    sv got;
    assert_false(memo_text_get(m, what, key, (ts){10}, &got));
    memo_text_put(m, what, key, (ts){10}, (ts){20}, SV("first"));
    assert_false(memo_text_get(m, what, key, (ts){10}, &got)); /* it was asked once */
    memo_text_put(m, what, key, (ts){10}, (ts){20}, SV("first"));
    assert_true(memo_text_get(m, what, key, (ts){10}, &got) && sv_is(got, "first"));
    assert_true(memo_text_get(m, what, key, (ts){19}, &got) && sv_is(got, "first"));
    assert_false(memo_text_get(m, what, key, (ts){9}, &got)); /* clocks are set back */
    assert_false(memo_text_get(m, what, key, (ts){20}, &got));
    assert_false(memo_text_get(m, what, SV("usr_2"), (ts){10}, &got));
    assert_false(memo_text_get(m, SV("usr_1"), SV("answers"), (ts){10}, &got));
    memo_text_put(m, what, key, (ts){20}, TS_NONE, SV("the second"));
    assert_true(memo_text_get(m, what, key, (ts){20}, &got) && sv_is(got, "the second"));
    assert_true(memo_text_get(m, what, key, (ts){INT64_MAX - 1}, &got) && sv_is(got, "the second"));
    assert_false(memo_text_get(m, what, key, (ts){19}, &got));
    /* Ten thousand times anew: in the same place, or the memo would have started over, and
     * forgotten it. */
    static char text[2000];
    memset(text, 'x', sizeof text);
    for (int64_t i = 21; i < 10021; i++) {
        memo_text_put(m, what, key, (ts){i}, (ts){i + 1}, (sv){text, 2000 - (size_t)i % 100});
        assert_true(memo_text_get(m, what, key, (ts){i}, &got));
    }
    assert_true(memo_text_get(m, what, key, (ts){10020}, &got) && got.n == 1980);
    memo_text_put(m, what, key, (ts){10021}, TS_NONE, SV("short"));
    assert_true(memo_text_get(m, what, key, (ts){10021}, &got) && sv_is(got, "short"));
    memo_empty(m);
    assert_false(memo_text_get(m, what, key, (ts){20}, &got));
    memo_free(m);
}

/* Makes "email read" of the session's row, or takes what was kept. */
struct made {
    ts now;
    int makings;
    char text[40];
};

static err make_text(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct made *d = arg;
    struct look l = {0};
    sv text;
    if (!db_text_kept(tx, SV("email"), SV("usr_1"), d->now, &text)) {
        d->makings++;
        TRY(look(tx, mem, &l));
        text = l.found ? l.row.email : SV("nobody");
        db_text_keep(tx, SV("email"), SV("usr_1"), d->now, ts_add(d->now, 1000), text);
    }
    snprintf(d->text, sizeof d->text, "%.*s", SV_ARG(text));
    return OK;
}

static void expect_text(struct fixture *f, ts now, const char *text, int makings)
{
    struct made d = {.now = now};
    for (int i = 0; i < 50; i++) {
        assert_int_equal(db_read(f->db, f->mem, make_text, &d), OK);
        assert_string_equal(d.text, text);
        arena_reset(f->mem);
    }
    assert_int_equal(d.makings, makings);
}

static void test_texts_go_with_the_snapshot(void **state)
{
    struct fixture *f = *state;
    char add[] = "INSERT INTO account (id, email, admin, created_at, updated_at) "
                 "VALUES ('usr_1', 'a@x', 0, 1, 1); "
                 "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, "
                 "expires_at) VALUES ('ses_1', CAST('0123456789abcdef0123456789abcdef' AS blob), "
                 "'usr_1', 'password', 1, 1, 2)";
    char change[] = "UPDATE account SET email = 'b@x'";
    expect_text(f, (ts){0}, "nobody", 2);
    assert_int_equal(db_write(f->db, f->mem, rename_account, add), OK);
    expect_text(f, (ts){0}, "a@x", 2);
    expect_text(f, (ts){1000}, "a@x", 1); /* its time was over */
    assert_int_equal(db_write(f->db, f->mem, rename_account, change), OK);
    expect_text(f, (ts){1000}, "b@x", 2);
}

/* -------- handed on -------- */

/* How often this process has the file itself open. */
static unsigned connections(const struct fixture *f)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char link[300], to[300] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%s", e->d_name);
        if (readlink(link, to, sizeof to - 1) > 0)
            n += strcmp(to, f->url + strlen("sqlite:")) == 0;
    }
    closedir(d);
    return n;
}

static void *read_elsewhere(void *arg)
{
    struct fixture *f = arg;
    ARENA_AUTO mem = arena_new(0);
    struct look l = {0};
    err e = db_read(f->db, mem, look, &l);
    db_read_done(f->db);
    return e == OK && l.found ? f : NULL;
}

static void test_handed_on(void **state)
{
    struct fixture *f = *state;
    char add[] = "INSERT INTO account (id, email, admin, created_at, updated_at) "
                 "VALUES ('usr_1', 'a@x', 0, 1, 1); "
                 "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, "
                 "expires_at) VALUES ('ses_1', CAST('0123456789abcdef0123456789abcdef' AS blob), "
                 "'usr_1', 'password', 1, 1, 2)";
    expect_email(f, NULL); /* this thread's connection keeps its snapshot */
    unsigned before = connections(f);
    assert_true(before >= 2); /* the writer's and ours */
    db_read_done(f->db);
    db_read_done(f->db); /* nothing is left to hand on */
    assert_int_equal(db_write(f->db, f->mem, rename_account, add), OK);
    pthread_t t;
    void *got;
    assert_int_equal(pthread_create(&t, NULL, read_elsewhere, f), 0);
    pthread_join(t, &got);
    assert_ptr_equal(got, f);
    expect_email(f, "a@x");
    assert_int_equal(connections(f), before);
}

/* -------- a read that could not begin -------- */

static void overwrite(const struct fixture *f, const char bytes[16])
{
    int fd = open(f->url + strlen("sqlite:"), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, 16, 0), 16);
    assert_int_equal(close(fd), 0);
}

/* It leaves no transaction behind, in which the reader would be stuck. */
static void test_failed_beginning(void **state)
{
    struct fixture *f = *state;
    struct look l = {0};
    db_close(f->db); /* all of it is in the file, and nothing in the log */
    arena_free(f->mem);
    fixture_open(f, false);
    overwrite(f, "this is no base");
    assert_int_not_equal(db_read(f->db, f->mem, look, &l), OK);
    overwrite(f, "SQLite format 3");
    char value[] = "1";
    assert_int_equal(db_write(f->db, f->mem, put_a, value), OK); /* who reads then looks anew */
    for (int i = 0; i < 3; i++)
        assert_int_equal(db_read(f->db, f->mem, look, &l), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_come_back_as_they_were),
                                       cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_numbers_go_around),
                                       cmocka_unit_test(test_texts_have_their_time),
                                       ON_SQLITE(test_texts_go_with_the_snapshot),
                                       ON_SQLITE(test_every_commit_is_seen),
                                       ON_SQLITE(test_handed_on),
                                       ON_SQLITE(test_failed_beginning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
