/* Every named query prepared on both engines and compared with its annotation (HACKING.md). */
#include "fixture.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <sqlite3.h>

static void same_name(const struct db_stmt *s, unsigned i, const char *name, int *bad)
{
    if (strcmp(name, s->col_names[i]) == 0)
        return;
    print_error("%s: column %u is '%s' in the SQL, '%s' in out:\n", s->name, i + 1, name,
                s->col_names[i]);
    ++*bad;
}

static int check_sqlite(sqlite3 *h, const struct db_stmt *s)
{
    sqlite3_stmt *st;
    int bad = 0;
    if (sqlite3_prepare_v2(h, s->sqlite, -1, &st, NULL) != SQLITE_OK) {
        print_error("%s: %s\n", s->name, sqlite3_errmsg(h));
        return 1;
    }
    if (sqlite3_column_count(st) != (int)s->ncols) {
        print_error("%s: %d columns in the SQL, %u in out:\n", s->name, sqlite3_column_count(st),
                    s->ncols);
        bad++;
    } else {
        for (unsigned i = 0; i < s->ncols; i++)
            same_name(s, i, sqlite3_column_name(st, (int)i), &bad);
    }
    if (s->writes != !sqlite3_stmt_readonly(st)) {
        print_error("%s: does it write?\n", s->name);
        bad++;
    }
    sqlite3_finalize(st);
    return bad;
}

static void test_sqlite(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h;
    int bad = 0;
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &h), SQLITE_OK);
    for (unsigned i = 0; i < db_stmts_n; i++)
        bad += check_sqlite(h, &db_stmts[i]);
    sqlite3_close(h);
    assert_int_equal(bad, 0);
}

static bool type_fits(char want, Oid type)
{
    switch (type) {
    case 16:
    case 20:
    case 21:
    case 23:
    case 1700:
        return want == 'i';
    case 17:
        return want == 'b';
    case 19:
    case 25:
    case 1043:
        return want == 't';
    default:
        return false;
    }
}

static int check_columns(const struct db_stmt *s, const PGresult *r)
{
    int bad = 0;
    if (PQnfields(r) != (int)s->ncols) {
        print_error("%s: %d columns on PostgreSQL, %u in out:\n", s->name, PQnfields(r), s->ncols);
        return 1;
    }
    for (unsigned i = 0; i < s->ncols; i++) {
        same_name(s, i, PQfname(r, (int)i), &bad);
        if (!type_fits(s->col_types[i], PQftype(r, (int)i))) {
            print_error("%s: column %s has type %u on PostgreSQL\n", s->name, s->col_names[i],
                        PQftype(r, (int)i));
            bad++;
        }
    }
    return bad;
}

static int check_pg(PGconn *c, const struct db_stmt *s)
{
    Oid types[64];
    for (unsigned i = 0; i < s->nparams; i++)
        types[i] = s->param_types[i] == 'i' ? 20 : s->param_types[i] == 'b' ? 17 : 25;
    PGresult *r = PQprepare(c, s->name, s->pg, (int)s->nparams, types);
    int bad = PQresultStatus(r) != PGRES_COMMAND_OK;
    if (bad) {
        print_error("%s: %s\n", s->name, PQresultErrorMessage(r));
    } else {
        PQclear(r);
        r = PQdescribePrepared(c, s->name);
        bad = check_columns(s, r);
    }
    PQclear(r);
    return bad;
}

static void test_pg(void **state)
{
    struct fixture *f = *state;
    PGconn *c = PQconnectdb(f->url);
    int bad = 0;
    for (unsigned i = 0; i < db_stmts_n; i++)
        bad += check_pg(c, &db_stmts[i]);
    PQfinish(c);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest sqlite[] = {ON_SQLITE(test_sqlite)};
    const struct CMUnitTest pg[] = {ON_PG(test_pg)};
    int failed = cmocka_run_group_tests(sqlite, NULL, NULL);
    if (getenv("MYBEING_TEST_PG"))
        failed += cmocka_run_group_tests(pg, NULL, NULL);
    return failed;
}
