/* Every index earns its keep (SPEC §4): EXPLAIN QUERY PLAN of all named queries shows it, or it is
 * UNIQUE, or it serves a foreign key. And no query of a request reads a whole table by accident. */
#include "fixture.h"

#include <sqlite3.h>

static void explain(struct buf *out, sqlite3 *h, const struct db_stmt *s)
{
    BUF_AUTO sql = {0};
    sqlite3_stmt *st;
    buf_printf(&sql, "EXPLAIN QUERY PLAN %s", s->sqlite);
    assert_int_equal(sqlite3_prepare_v2(h, sql.p, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        buf_printf(out, "%s: %s\n", s->name, (const char *)sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
}

static sqlite3 *open_plain(const struct fixture *f)
{
    sqlite3 *h;
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &h), SQLITE_OK);
    return h;
}

static void all_plans(struct buf *out, sqlite3 *h)
{
    for (unsigned i = 0; i < db_stmts_n; i++)
        explain(out, h, &db_stmts[i]);
}

/* The query whose plan names the index, or SV_NULL. */
static sv user_of(sv plans, const char *name)
{
    char needle[2][128];
    snprintf(needle[0], sizeof needle[0], " INDEX %s ", name);
    snprintf(needle[1], sizeof needle[1], " INDEX %s", name);
    while (plans.p && plans.n) {
        sv line = sv_cut(&plans, '\n');
        if (sv_contains(line, sv_from(needle[0])) || sv_ends(line, sv_from(needle[1])))
            return sv_cut(&line, ':');
    }
    return SV_NULL;
}

#define INDEXES                                                                                    \
    "SELECT m.name, l.\"unique\", EXISTS (SELECT 1 FROM pragma_foreign_key_list(m.tbl_name) f "    \
    "JOIN pragma_index_info(m.name) i ON i.seqno = 0 AND i.name = f.\"from\") "                    \
    "FROM sqlite_master m JOIN pragma_index_list(m.tbl_name) l ON l.name = m.name "                \
    "WHERE m.type = 'index' AND m.sql IS NOT NULL ORDER BY m.name"

static void test_every_index_is_used(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = open_plain(f);
    sqlite3_stmt *st;
    BUF_AUTO plans = {0};
    int n = 0, unused = 0;
    all_plans(&plans, h);
    assert_int_equal(sqlite3_prepare_v2(h, INDEXES, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        bool unique = sqlite3_column_int(st, 1), key = sqlite3_column_int(st, 2);
        sv user = user_of(buf_sv(&plans), name);
        n++;
        if (!user.p && !unique && !key) {
            print_error("index %s is used by no query\n", name);
            unused++;
        }
    }
    sqlite3_finalize(st);
    sqlite3_close(h);
    assert_true(n >= 20);
    assert_int_equal(unused, 0);
}

/* What a member's page, Stripe's events and the chat wait for: each table is entered by a key. */
static const unsigned hot[] = {Q_SESSION_AUTH,         Q_BILLING_ACCESS,     Q_ENTITLEMENT_MEMBER,
                               Q_CHAT_MEMBER_STANDING, Q_DISCOUNT_OF_MEMBER, Q_EVENT_INSERT,
                               Q_CHAT_SLOT_LIST,       Q_CHAT_PERIOD_GET};

static void test_hot_queries_scan_nothing(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = open_plain(f);
    for (size_t i = 0; i < sizeof hot / sizeof *hot; i++) {
        BUF_AUTO plan = {0};
        explain(&plan, h, &db_stmts[hot[i]]);
        if (sv_contains(buf_sv(&plan), SV(": SCAN ")))
            fail_msg("%s", plan.p);
    }
    sqlite3_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_SQLITE(test_every_index_is_used),
                                       ON_SQLITE(test_hot_queries_scan_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
