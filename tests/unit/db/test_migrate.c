/* Schema versions: up, down, status, and the differences that check names. */
#include "fixture.h"

#include <pthread.h>

static int empty_sqlite(void **state)
{
    return fixture_make(state, false, false);
}

static int empty_pg(void **state)
{
    return fixture_make(state, true, false);
}

static void assert_check(struct fixture *f, const char *expected)
{
    BUF_AUTO out = {0};
    bool equal;
    assert_int_equal(migrate_check(f->db, &out, &equal), OK);
    if (expected) {
        assert_false(equal);
        if (!strstr(out.p, expected))
            fail_msg("'%s' is not in:\n%s", expected, out.p);
    } else if (!equal) {
        fail_msg("differences:\n%s", out.p);
    }
}

static void test_up_down_up(void **state)
{
    struct fixture *f = *state;
    unsigned done, pending;
    assert_int_equal(migrate_pending(f->db, &pending), OK);
    assert_int_equal(pending, migrations_n);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_int_equal(done, migrations_n);
    assert_int_equal(migrate_pending(f->db, &pending), OK);
    assert_int_equal(pending, 0);
    assert_check(f, NULL);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_int_equal(done, 0);
    assert_int_equal(migrate_down(f->db, 1, &done), OK);
    assert_int_equal(done, migrations_n - 1);
    assert_check(f, "is not applied: run `mybeing migrate up`");
    assert_int_equal(migrate_down(f->db, 0, &done), OK);
    assert_int_equal(done, 1);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_int_equal(done, migrations_n);
    assert_check(f, NULL);
}

static void script(struct fixture *f, const char *sql)
{
    assert_int_equal(db_write_schema(f->db, f->mem, run_script, (void *)(uintptr_t)sql), OK);
}

static void test_check_names_differences(void **state)
{
    struct fixture *f = *state;
    unsigned done;
    assert_int_equal(migrate_up(f->db, &done), OK);
    script(f, "DROP INDEX job_ready");
    assert_check(f, "index job_ready on job is missing");
    script(f, "ALTER TABLE job ADD COLUMN extra text");
    assert_check(f, "column job.extra is not made by any migration");
    script(f, "ALTER TABLE setting DROP COLUMN value");
    assert_check(f, "column setting.value is missing");
    script(f, "CREATE TABLE stray (a bigint)");
    assert_check(f, "table stray is not made by any migration");
    script(f, "DROP TABLE job_cron; CREATE TABLE job_cron (kind text PRIMARY KEY, every text, "
              "next_at text NOT NULL)");
    assert_check(f, "column job_cron.next_at is text, should be bigint");
    assert_check(f, "column job_cron.every may be NULL, should be NOT NULL");
    script(f, "CREATE INDEX mine ON job (id)");
    assert_check(f, "index mine on job is not made by any migration");
}

static void test_changed_migration(void **state)
{
    struct fixture *f = *state;
    unsigned done;
    struct migrate_state *states;
    size_t n;
    assert_int_equal(migrate_up(f->db, &done), OK);
    script(f, "UPDATE schema_migration SET checksum = 'x' WHERE number = 2; "
              "INSERT INTO schema_migration VALUES (9999, 'later', 'x', 0)");
    assert_int_equal(migrate_status(f->db, f->mem, &states, &n), OK);
    assert_int_equal(n, migrations_n + 1);
    assert_true(states[1].changed && !states[0].changed && states[n - 1].unknown);
    assert_check(f, "was changed after it was applied");
    assert_check(f, "migration 9999_later is of another version");
    assert_int_equal(migrate_up(f->db, &done), ERR_CONFIG);
    assert_int_equal(migrate_down(f->db, 0, &done), ERR_CONFIG);
}

static void test_failed_script_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_not_equal(
        db_write_schema(f->db, f->mem, run_script,
                        (void *)(uintptr_t) "CREATE TABLE half (a bigint); SELECT nonsense FROM x"),
        OK);
    script(f, "CREATE TABLE half (a bigint)"); /* it is not there yet */
}

/* Rebuilding a table that others refer to must not delete their rows (SQLite). */
static void test_rebuild_keeps_children(void **state)
{
    struct fixture *f = *state;
    unsigned done;
    assert_int_equal(migrate_up(f->db, &done), OK);
    script(f, "CREATE TABLE parent (id text PRIMARY KEY); "
              "CREATE TABLE child (id text REFERENCES parent ON DELETE CASCADE); "
              "INSERT INTO parent VALUES ('p'); INSERT INTO child VALUES ('p')");
    script(f, "CREATE TABLE parent2 (id text PRIMARY KEY, more text); "
              "INSERT INTO parent2 SELECT id, NULL FROM parent; DROP TABLE parent; "
              "ALTER TABLE parent2 RENAME TO parent; "
              "INSERT INTO setting SELECT 'children', count(*) FROM child");
    assert_string_equal(value_of(f, "children"), "1");
    /* … and a dangling reference is refused at the end. */
    assert_int_equal(db_write_schema(f->db, f->mem, run_script,
                                     (void *)(uintptr_t) "INSERT INTO child VALUES ('nobody')"),
                     ERR_FOREIGN_KEY);
    assert_int_equal(db_write(f->db, f->mem, run_script,
                              (void *)(uintptr_t) "INSERT INTO child VALUES ('nobody')"),
                     ERR_FOREIGN_KEY); /* foreign keys are on again */
}

/* Tables that are made anew in the order of their key, and back: every row stays, and what hangs on
 * an account goes with it as before. */
static const char *lives(struct fixture *f)
{
    script(f,
           "DELETE FROM setting WHERE name = 'lives'; "
           "INSERT INTO setting SELECT 'lives', a.email || ' ' || g.id || ' ' || u.item || ' ' || "
           "u.number || ' ' || p.ends_at || ' ' || q.messages || ' ' || l.invoice || ' ' || "
           "i.amount_paid FROM account a JOIN item_grant g ON g.member = a.id "
           "JOIN allowance_use u ON u.member = a.id JOIN ai_quota_period p ON p.owner = a.id "
           "JOIN ai_quota_slot q ON q.owner = a.id JOIN payment_link l ON l.payment = 'pi_1' "
           "JOIN fact_invoice_payment i ON i.id = 'inpay_1'");
    return value_of(f, "lives");
}

static void test_key_order_keeps_rows(void **state)
{
    struct fixture *f = *state;
    const char *expected = "a@x grant_1 quiz:a 2 77 3 in_1 500";
    unsigned done;
    assert_int_equal(migrate_up(f->db, &done), OK);
    script(
        f,
        "INSERT INTO account (id, email, email_key, admin, created_at, updated_at) "
        "VALUES ('usr_1', 'a@x', 'a@x', 0, 1, 1); "
        "INSERT INTO item_grant VALUES ('grant_1', 'usr_1', 'quiz:b', NULL, NULL, 'x', 1, NULL); "
        "INSERT INTO allowance_use VALUES ('usr_1', 5, 'quiz', 2, 9, 'quiz:a', NULL, 6); "
        "INSERT INTO ai_quota_period VALUES ('usr_1', 77); "
        "INSERT INTO ai_quota_slot VALUES ('usr_1', 77, 1, 'conv_1', 3); "
        "INSERT INTO payment_link VALUES ('pi_1', 'in_1'); "
        "INSERT INTO fact_invoice_payment VALUES ('inpay_1', 'in_1', 'pi_1', 'paid', 500, 1, 2, "
        "3, 4)");
    assert_string_equal(lives(f), expected);
    assert_int_equal(migrate_down(f->db, 14, &done), OK);
    assert_true(done >= 1);
    assert_string_equal(lives(f), expected);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_check(f, NULL);
    assert_string_equal(lives(f), expected);
    assert_int_equal(db_write(f->db, f->mem, run_script, (void *)(uintptr_t) "DELETE FROM account"),
                     OK);
    script(f, "INSERT INTO setting SELECT 'left', (SELECT count(*) FROM allowance_use) + "
              "(SELECT count(*) FROM item_grant)");
    assert_string_equal(value_of(f, "left"), "0");
}

/* Events and sessions of before and after smaller rows, down and up again: what is asked for stays.
 */
static const char *told(struct fixture *f)
{
    script(f,
           "DELETE FROM setting WHERE name = 'told'; "
           "INSERT INTO setting SELECT 'told', "
           "(SELECT e.type || ' ' || e.size FROM webhook_event e WHERE e.id = 'evt_1') || ', ' || "
           "(SELECT e.type || ' ' || e.size FROM webhook_event e WHERE e.id = 'evt_2') || ', ' || "
           "(SELECT s.via || ' ' || s.expires_at FROM session s WHERE s.id = 'ses_1')");
    return value_of(f, "told");
}

static void test_smaller_rows_keep_all(void **state)
{
    struct fixture *f = *state;
    unsigned done;
    assert_int_equal(migrate_up(f->db, &done), OK);
    script(f, "INSERT INTO account (id, admin, created_at, updated_at) VALUES ('usr_1', 0, 1, 1); "
              "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, "
              "expires_at) VALUES ('ses_1', '12', 'usr_1', 'magic', 1, 2, 3); "
              "INSERT INTO webhook_event (id, type, created_at, received_at, status, attempts, "
              "dict, size, payload) VALUES ('evt_1', '25', 1, 1, 'applied', 1, 0, 7, '12'), "
              "('evt_2', 'no.code', 1, 1, 'applied', 1, 0, 8, '12')");
    assert_string_equal(told(f), "25 7, no.code 8, magic 3");
    assert_int_equal(migrate_down(f->db, 16, &done), OK);
    assert_string_equal(told(f), "invoice.paid 7, no.code 8, magic 3");
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_check(f, NULL);
    assert_string_equal(told(f), "invoice.paid 7, no.code 8, magic 3");
    assert_int_equal(db_write(f->db, f->mem, run_script, (void *)(uintptr_t) "DELETE FROM account"),
                     OK);
    script(f, "INSERT INTO setting SELECT 'left', count(*) FROM session");
    assert_string_equal(value_of(f, "left"), "0");
}

/* Who said what where, as the schema refers to a conversation. */
static const char *said(struct fixture *f, const char *refers)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "DELETE FROM setting WHERE name = 'said'; INSERT INTO setting SELECT 'said', "
             "(SELECT c.owner || ' ' || m.role || ' ' || m.depth FROM ai_message m "
             "JOIN ai_conversation c ON %s WHERE m.id = 'msg_1' AND c.id = 'conv_b') || ', ' || "
             "(SELECT c.owner || ' ' || m.role || ' ' || m.depth FROM ai_message m "
             "JOIN ai_conversation c ON %s WHERE m.id = 'msg_1' AND c.id = 'conv_a')",
             refers, refers);
    script(f, sql);
    return value_of(f, "said");
}

static void test_conversations_keep_messages(void **state)
{
    struct fixture *f = *state;
    const char *expected = "vis_b assistant 1, vis_a user 0";
    const char *numbered = "c.number = m.conversation", *named = "c.id = m.conversation_id";
    unsigned done;
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_int_equal(migrate_down(f->db, 17, &done), OK);
    script(f, "INSERT INTO ai_conversation (id, owner, title, title_key, title_source, created_at, "
              "updated_at) VALUES ('conv_b', 'vis_b', 't', 0, 'auto', 1, 1), "
              "('conv_a', 'vis_a', 't', 0, 'auto', 1, 1); "
              "INSERT INTO ai_message (id, conversation_id, parent_id, depth, role, body, key_id, "
              "status, created_at) VALUES ('msg_1', 'conv_a', NULL, 0, 'user', 'x', 0, 'complete', "
              "1), ('msg_1', 'conv_b', 'msg_0', 1, 'assistant', 'x', 0, 'complete', 1)");
    assert_string_equal(said(f, named), expected);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_check(f, NULL);
    assert_string_equal(said(f, numbered), expected);
    /* One that comes now has a number of its own. */
    script(f, "INSERT INTO ai_conversation (id, owner, title, title_key, title_source, created_at, "
              "updated_at) VALUES ('conv_c', 'vis_c', 't', 0, 'auto', 1, 1)");
    assert_string_equal(said(f, numbered), expected);
    assert_int_equal(migrate_down(f->db, 17, &done), OK);
    assert_string_equal(said(f, named), expected);
    assert_int_equal(migrate_up(f->db, &done), OK);
    assert_int_equal(
        db_write(f->db, f->mem, run_script,
                 (void *)(uintptr_t) "DELETE FROM ai_conversation WHERE id = 'conv_a'"),
        OK);
    script(f, "INSERT INTO setting SELECT 'left', count(*) FROM ai_message");
    assert_string_equal(value_of(f, "left"), "1");
}

static void *upper(void *arg)
{
    struct fixture *f = arg;
    struct db_options o = {.url = sv_from(f->url), .create = true};
    struct db *db;
    unsigned done;
    if (db_open(&o, &db) != OK || migrate_up(db, &done) != OK)
        abort();
    db_close(db);
    return NULL;
}

static void test_together(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, upper, f), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_check(f, NULL);
}

#define SQLITE(name)                                                                               \
    {                                                                                              \
#name, name, empty_sqlite, tear_down, NULL                                                 \
    }
#define PG(name)                                                                                   \
    {                                                                                              \
#name " on PostgreSQL", name, empty_pg, tear_down, NULL                                    \
    }

int main(void)
{
    const struct CMUnitTest sqlite[] = {
        SQLITE(test_up_down_up),
        SQLITE(test_check_names_differences),
        SQLITE(test_changed_migration),
        SQLITE(test_failed_script_leaves_nothing),
        SQLITE(test_rebuild_keeps_children),
        SQLITE(test_key_order_keeps_rows),
        SQLITE(test_smaller_rows_keep_all),
        SQLITE(test_conversations_keep_messages),
        SQLITE(test_together),
    };
    const struct CMUnitTest pg[] = {
        PG(test_up_down_up),
        PG(test_check_names_differences),
        PG(test_changed_migration),
        PG(test_failed_script_leaves_nothing),
        PG(test_key_order_keeps_rows),
        PG(test_smaller_rows_keep_all),
        PG(test_conversations_keep_messages),
        PG(test_together),
    };
    int failed = cmocka_run_group_tests(sqlite, NULL, NULL);
    if (getenv("MYBEING_TEST_PG"))
        failed += cmocka_run_group_tests(pg, NULL, NULL);
    return failed;
}
