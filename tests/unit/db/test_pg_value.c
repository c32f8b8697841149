/* PostgreSQL's binary values: what each type becomes. No server is needed. */
#include "db/pg_internal.h"
#include "db/pq.h"
#include "test.h"

#include <stdlib.h>

static struct db_stmt stmt_of(const char *type)
{
    static const char *const names[] = {"x"};
    return (struct db_stmt){
        .name = "q", .ncols = 1, .col_types = type, .col_nullable = "0", .col_names = names};
}

static err decode(struct arena *mem, const char *want, Oid type, const char *bytes, int n,
                  struct db_val *out)
{
    PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc col = {.name = (char *)(uintptr_t) "x", .format = 1, .typid = type};
    assert_true(PQsetResultAttrs(r, 1, &col));
    assert_true(PQsetvalue(r, 0, 0, (char *)(uintptr_t)bytes, n));
    struct db_stmt s = stmt_of(want);
    err e = pg_decode(r, &s, 0, 0, mem, out);
    PQclear(r);
    return e;
}

#define BYTES(s) (s), (int)sizeof(s) - 1

static void test_integers(void **state)
{
    ARENA_AUTO mem = arena_new(0);
    (void)state;
    static const struct {
        Oid type;
        const char *bytes;
        int n;
        int64_t want;
    } rows[] = {
        {20, BYTES("\0\0\0\0\0\0\1\2"), 258},
        {20, BYTES("\377\377\377\377\377\377\377\377"), -1},
        {23, BYTES("\377\377\377\376"), -2},
        {21, BYTES("\377\375"), -3},
        {16, BYTES("\1"), 1},
        {16, BYTES("\0"), 0},
        /* numeric: digits, weight, sign, scale, then base-10000 digits */
        {1700, BYTES("\0\0\0\0\0\0\0\0"), 0},
        {1700, BYTES("\0\1\0\0\0\0\0\0\0\52"), 42},
        {1700, BYTES("\0\1\0\1\0\0\0\0\0\3"), 30000},
        {1700, BYTES("\0\2\0\1\100\0\0\0\0\1\0\2"), -10002},
        {1700, BYTES("\0\2\0\0\0\0\0\2\0\7\23\210"), 7},                              /* 7.5 */
        {1700, BYTES("\0\5\0\4\0\0\0\0\3\232\15\54\1\160\25\145\26\257"), INT64_MAX}, /* largest */
        {701, BYTES("\100\30\0\0\0\0\0\0"), 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct db_val v;
        assert_int_equal(decode(mem, "i", rows[i].type, rows[i].bytes, rows[i].n, &v), OK);
        assert_int_equal(v.type, DB_INT);
        if (v.i != rows[i].want)
            fail_msg("row %zu: %ld, not %ld", i, (long)v.i, (long)rows[i].want);
    }
    struct db_val v;
    assert_int_equal(decode(mem, "i", 1700, BYTES("\0\1\0\5\0\0\0\0\0\1"), &v), ERR_INTERNAL);
    assert_int_equal(decode(mem, "i", 25, BYTES("12"), &v), ERR_INTERNAL);
    assert_int_equal(decode(mem, "t", 20, BYTES("\0\0\0\0\0\0\0\1"), &v), ERR_INTERNAL);
}

static void test_texts(void **state)
{
    ARENA_AUTO mem = arena_new(0);
    struct db_val v;
    (void)state;
    assert_int_equal(decode(mem, "t", 25, BYTES("d\303\251j\303\240"), &v), OK);
    assert_string_equal(v.s.p, "d\303\251j\303\240");
    assert_int_equal(decode(mem, "b", 17, BYTES("\0a\0"), &v), OK);
    assert_int_equal(v.s.n, 3);
    assert_int_equal(decode(mem, "t", 25, BYTES(""), &v), OK);
    assert_non_null(v.s.p);
    assert_int_equal(v.s.n, 0);
}

static void test_encode(void **state)
{
    union pg_int space;
    int n;
    (void)state;
    struct db_val v = {DB_INT, -2, SV_NULL};
    assert_memory_equal(pg_encode(&v, &space, &n), "\377\377\377\377\377\377\377\376", 8);
    v = (struct db_val){DB_TEXT, 0, SV("")};
    assert_non_null(pg_encode(&v, &space, &n));
    assert_int_equal(n, 0);
    v = (struct db_val){DB_NULL, 0, SV_NULL};
    assert_null(pg_encode(&v, &space, &n));
}

static int load(void **state)
{
    (void)state;
    return pq_load() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_integers),
                                       cmocka_unit_test(test_texts), cmocka_unit_test(test_encode)};
    return cmocka_run_group_tests(tests, load, NULL);
}
