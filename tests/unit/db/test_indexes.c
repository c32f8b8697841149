/* Every index earns its keep (SPEC §4): here is the query that is for, and EXPLAIN shows it. And no
 * query reads a whole table, on either engine, but for those that are named with a reason. */
#include "fixture.h"

#include <libpq-fe.h>
#include <sqlite3.h>

/* An index and one query that it serves; `key`: what else it is for, where no plan shows it. */
static const struct use {
    const char *index, *query, *key;
} uses[] = {
    {"account_email_key", "account_by_email_key", NULL},
    {"account_identity_account", "account_identities_of", NULL},
    {"account_legacy_id", "account_by_legacy_id", NULL},
    {"ai_conversation_expires", "chat_conversation_prune", NULL},
    {"ai_conversation_owner", "chat_conversation_list", NULL},
    {"ai_conversation_user", NULL, "the rows of an account that goes, by its foreign key"},
    {"ai_crisis_at", "chat_crisis_count", NULL},
    {"ai_message_conversation", "chat_message_of", NULL},
    {"ai_message_first", "chat_message_first", NULL},
    {"ai_message_lease", "chat_turn_held", NULL},
    {"ai_message_root", NULL, "a second root is refused: chat_message_put"},
    {"ai_message_running", "chat_running_of", NULL},
    {"ai_message_stop", "chat_turn_stopped", NULL},
    {"ai_quota_network_day", "chat_network_prune", NULL},
    {"ai_quota_slot_end", "chat_quota_prune", NULL},
    {"ai_usage_day", "chat_usage_days", NULL},
    {"allowance_use_item", NULL, "an item costs one slot: ON CONFLICT of allowance_use_put"},
    {"audit_at", "audit_list", NULL},
    {"audit_target", "audit_list_target", NULL},
    {"customer_id", "customer_owner", NULL},
    {"discount_slot_number", "entitlement_member", NULL},
    {"discount_use_member", "discount_by_code", NULL},
    {"discount_use_number", "discount_of_member", NULL},
    {"email_event_email", "mail_events", NULL},
    {"email_log_cause", NULL, "a second letter for one cause: ON CONFLICT of mail_insert"},
    {"email_log_member", "mail_list_member", NULL},
    {"email_log_provider_id", "mail_by_provider_id", NULL},
    {"email_log_recipient", "mail_list_recipient", NULL},
    {"fact_charge_payment", "payment_money", NULL},
    {"fact_customer_member", "customers_of_member", NULL},
    {"fact_customer_unclaimed", "customer_unclaimed", NULL},
    {"fact_dispute_payment", "payment_money", NULL},
    {"fact_dispute_unlinked", "dispute_link", NULL},
    {"fact_invoice_customer", "invoice_own", NULL},
    {"fact_invoice_member", "invoice_list", NULL},
    {"fact_invoice_subscription", "subscription_cover", NULL},
    {"fact_payment_customer", "payment_own", NULL},
    {"fact_payment_method_customer", "payment_methods_of_customer", NULL},
    {"fact_refund_payment", "payment_money", NULL},
    {"fact_refund_unlinked", "refund_link", NULL},
    {"fact_session_customer", "fact_session_own", NULL},
    {"fact_session_payment", "fact_session_of_payment", NULL},
    {"idempotency_created", "idempotency_clean", NULL},
    {"item_grant_member", "entitlement_member", NULL},
    {"job_finished", "job_prune", NULL},
    {"job_live_key", "job_redrive_kind", NULL},
    {"job_ready", "job_claim", NULL},
    {"job_running", "job_rescue", NULL},
    {"login_failure_window", "login_failure_del_old", NULL},
    {"login_token_account", "login_token_count", NULL},
    {"login_token_expires", "login_token_del_old", NULL},
    {"login_token_hash", "login_token_get", NULL},
    {"longitudinal_checkin_user", "checkin_list", NULL},
    {"manual_discount_code", "discount_by_code", NULL},
    {"manual_discount_member", "entitlement_member", NULL},
    {"operation_key", "operation_by_key", NULL},
    {"operation_status", "operation_pending", NULL},
    {"operation_subject", "operation_last", NULL},
    {"payment_link_invoice", "invoice_payments", NULL},
    {"purchase_claim_member", "purchase_claim_of", NULL},
    {"purchase_member", "purchase_of_member", NULL},
    {"purchase_open", "purchase_by_open_key", NULL},
    {"purchase_payment", "purchase_by_payment", NULL},
    {"purchase_session", "purchase_by_session", NULL},
    {"purchase_visitor", "entitlement_visitor", NULL},
    {"secret_key_hash", "secret_key_auth", NULL},
    {"session_account", "session_list", NULL},
    {"session_expires", "session_del_old", NULL},
    {"session_token_hash", "session_auth", NULL},
    {"subscription_access", "billing_access", NULL},
    {"subscription_customer", "subscription_own", NULL},
    {"webhook_event_failed", "event_list_failed", NULL},
    {"webhook_event_object", "event_list_object", NULL},
    {"webhook_event_received", "event_list", NULL},
    {"webhook_type_name", "event_insert", NULL},
};

/* Queries that may read a whole table (a name, or the beginning of names and a star). */
static const struct {
    const char *query, *why;
} scans[] = {
    {"check_*", "mybeing check reads all there is"},
    {"state_*", "the whole state, for dev state and check"},
    {"shadow_facts", "the whole state, recomputed"},
    {"schema_*", "the schema itself"},
    {"migration_list", "a dozen rows"},
    {"db_table_exists", "the schema itself"},
    {"admin_count_*", "the dashboard's counts"},
    {"event_count", "counts"},
    {"backup_counts", "what a backup says of itself"},
    {"export_*",
     "all of one person, asked by an operator now and then: no write pays for an index of it"},
    {"mail_counts", "counts"},
    {"mail_prune_*", "once a day, at night: no write pays for an index of it"},
    {"job_counts", "counts"},
    {"job_list", "an administrator's page: from the newest key on, as far as a page needs"},
    {"mail_list", "an administrator's page: from the newest key on, as far as a page needs"},
    {"mail_suppression_list", "an administrator's page, in the key's order"},
    {"mail_provider_list", "four rows"},
    {"secret_key_list", "a handful of rows"},
    {"flag_list", "what an administrator has to look at: few"},
    {"drift_*", "what an administrator has to look at: few"},
    {"event_list_member", "of lists made in the query, not of tables"},
    {"fact_customer_owner", "of one row made in the query, not of a table"},
    {"chat_message_path", "of the path made in the query, not of a table"},
    {"subscription_overdue", "once an hour"},
    {"subscription_living", "once a day"},
    {"chat_period_prune", "once a day: one small row a person who talks"},
    {"job_cron_list", "a dozen rows"},
    {"job_busy", "a dozen rows"},
    {"dict_newest", "the last row by key"},
    {"chat_turn_held", "answers that are being written, by the index of them alone"},
    {"event_sample", "the newest few hundred rows by index"},
};
#define LEN(a) (sizeof(a) / sizeof *(a))

static bool may_scan(const char *query)
{
    for (size_t i = 0; i < LEN(scans); i++) {
        size_t n = strlen(scans[i].query);
        bool star = scans[i].query[n - 1] == '*';
        if (star ? strncmp(query, scans[i].query, n - 1) == 0 : strcmp(query, scans[i].query) == 0)
            return true;
    }
    return false;
}

static const struct db_stmt *query_of(const char *name)
{
    for (unsigned i = 0; i < db_stmts_n; i++)
        if (strcmp(db_stmts[i].name, name) == 0)
            return &db_stmts[i];
    fail_msg("there is no query %s any more", name);
    return NULL;
}

/* -------- SQLite -------- */

static void explain(struct buf *out, sqlite3 *h, const struct db_stmt *s)
{
    BUF_AUTO sql = {0};
    sqlite3_stmt *st;
    buf_printf(&sql, "EXPLAIN QUERY PLAN %s", s->sqlite);
    assert_int_equal(sqlite3_prepare_v2(h, sql.p, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        buf_printf(out, "%s\n", (const char *)sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
}

static sqlite3 *open_plain(const struct fixture *f)
{
    sqlite3 *h;
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &h), SQLITE_OK);
    return h;
}

static bool plan_names(sv plan, const char *index)
{
    char needle[2][128];
    snprintf(needle[0], sizeof needle[0], " INDEX %s ", index);
    snprintf(needle[1], sizeof needle[1], " INDEX %s", index);
    while (plan.p && plan.n) {
        sv line = sv_cut(&plan, '\n');
        if (sv_contains(line, sv_from(needle[0])) || sv_ends(line, sv_from(needle[1])))
            return true;
    }
    return false;
}

static const struct use *use_of(const char *index)
{
    for (size_t i = 0; i < LEN(uses); i++)
        if (strcmp(uses[i].index, index) == 0)
            return &uses[i];
    return NULL;
}

/* What is wrong with an index, or NULL. key: UNIQUE, or the column of a foreign key. */
static const char *index_fault(sqlite3 *h, const char *index, bool key)
{
    const struct use *u = use_of(index);
    if (!u)
        return "has no query named in this test";
    if (u->key)
        return key ? NULL : "is neither UNIQUE nor of a foreign key";
    BUF_AUTO plan = {0};
    explain(&plan, h, query_of(u->query));
    return plan_names(buf_sv(&plan), index) ? NULL : "is not in the plan of the query named here";
}

#define INDEXES                                                                                    \
    "SELECT m.name, l.\"unique\" OR EXISTS (SELECT 1 FROM pragma_foreign_key_list(m.tbl_name) f "  \
    "JOIN pragma_index_info(m.name) i ON i.seqno = 0 AND i.name = f.\"from\") "                    \
    "FROM sqlite_master m JOIN pragma_index_list(m.tbl_name) l ON l.name = m.name "                \
    "WHERE m.type = 'index' AND m.sql IS NOT NULL ORDER BY m.name"

static void test_every_index_is_used(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = open_plain(f);
    sqlite3_stmt *st;
    size_t n = 0;
    int bad = 0;
    assert_int_equal(sqlite3_prepare_v2(h, INDEXES, -1, &st, NULL), SQLITE_OK);
    for (; sqlite3_step(st) == SQLITE_ROW; n++) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        const char *fault = index_fault(h, name, sqlite3_column_int(st, 1));
        if (fault) {
            print_error("index %s %s\n", name, fault);
            bad++;
        }
    }
    sqlite3_finalize(st);
    sqlite3_close(h);
    assert_true(n >= 20);
    assert_int_equal(n, LEN(uses)); /* none is named here that is not there */
    assert_int_equal(bad, 0);
}

static bool scans_sqlite(sv plan)
{
    while (plan.p && plan.n) {
        sv line = sv_cut(&plan, '\n');
        if (sv_starts(line, SV("SCAN ")) && !sv_is(line, "SCAN CONSTANT ROW"))
            return true;
    }
    return false;
}

static void test_no_query_scans(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = open_plain(f);
    int bad = 0;
    for (unsigned i = 0; i < db_stmts_n; i++) {
        BUF_AUTO plan = {0};
        explain(&plan, h, &db_stmts[i]);
        /* SQLite makes an index on the spot where it reads more rows than it looks for. */
        if (sv_contains(buf_sv(&plan), SV("AUTOMATIC"))) {
            print_error("%s makes an index for itself:\n%s", db_stmts[i].name, plan.p);
            bad++;
        }
        if (scans_sqlite(buf_sv(&plan)) && !may_scan(db_stmts[i].name)) {
            print_error("%s reads a whole table:\n%s", db_stmts[i].name, plan.p);
            bad++;
        }
    }
    sqlite3_close(h);
    assert_int_equal(bad, 0);
}

/* -------- PostgreSQL: with sequential scans switched off, one is there only where no index serves
 */

static void must(PGresult *r, const char *what)
{
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", what, PQresultErrorMessage(r));
}

static void explain_pg(struct buf *out, PGconn *c, const struct db_stmt *s)
{
    Oid types[64];
    BUF_AUTO sql = {0};
    for (unsigned i = 0; i < s->nparams; i++)
        types[i] = s->param_types[i] == 'i' ? 20 : s->param_types[i] == 'b' ? 17 : 25;
    PGresult *r = PQprepare(c, s->name, s->pg, (int)s->nparams, types);
    must(r, s->name);
    PQclear(r);
    buf_printf(&sql, "EXPLAIN EXECUTE %s", s->name);
    for (unsigned i = 0; i < s->nparams; i++)
        buf_printf(&sql, "%sNULL%s", i ? ", " : "(", i + 1 == s->nparams ? ")" : "");
    r = PQexec(c, sql.p);
    must(r, sql.p);
    for (int i = 0; i < PQntuples(r); i++)
        buf_printf(out, "%s\n", PQgetvalue(r, i, 0));
    PQclear(r);
}

static void test_no_query_scans_pg(void **state)
{
    struct fixture *f = *state;
    PGconn *c = PQconnectdb(f->url);
    int bad = 0;
    PGresult *r = PQexec(c, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off");
    must(r, "SET");
    PQclear(r);
    for (unsigned i = 0; i < db_stmts_n; i++) {
        BUF_AUTO plan = {0};
        explain_pg(&plan, c, &db_stmts[i]);
        if (sv_contains(buf_sv(&plan), SV("Seq Scan on ")) && !may_scan(db_stmts[i].name)) {
            print_error("%s reads a whole table on PostgreSQL:\n%s", db_stmts[i].name, plan.p);
            bad++;
        }
    }
    PQfinish(c);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest sqlite[] = {ON_SQLITE(test_every_index_is_used),
                                        ON_SQLITE(test_no_query_scans)};
    const struct CMUnitTest pg[] = {ON_PG(test_no_query_scans_pg)};
    int failed = cmocka_run_group_tests(sqlite, NULL, NULL);
    if (getenv("MYBEING_TEST_PG"))
        failed += cmocka_run_group_tests(pg, NULL, NULL);
    return failed;
}
