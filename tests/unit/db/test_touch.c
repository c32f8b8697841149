/* What is kept of one owner's rows outlives the commits that touch others', and no other. */
#include "db/memo.h"
#include "db/touch.h"
#include "fixture.h"

#include <pthread.h>
#include <sqlite3.h>

/* -------- texts that count their making -------- */

struct ask {
    const char *owner;
    bool made;
};

static err ask_text(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    sv text;
    (void)mem;
    a->made = !db_text_kept(tx, SV("test"), sv_from(a->owner), (ts){0}, &text);
    if (a->made)
        db_text_keep(tx, SV("test"), sv_from(a->owner), (ts){0}, TS_NONE, SV("x"));
    return OK;
}

static bool was_kept(struct fixture *f, const char *owner)
{
    struct ask a = {.owner = owner};
    assert_int_equal(db_read(f->db, f->mem, ask_text, &a), OK);
    return !a.made;
}

static void warm(struct fixture *f)
{
    for (int i = 0; i < 3; i++)
        (void)was_kept(f, "usr_a"), (void)was_kept(f, "usr_b");
    assert_true(was_kept(f, "usr_a") && was_kept(f, "usr_b"));
}

/* -------- statements past the generated functions: what they change is told by SQLite alone
 * -------- */

struct change {
    const char *sql;
    bool fail; /* after it wrote */
};

static err change(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct change *c = arg;
    (void)mem;
    TRY(sq_exec(tx->sq, c->sql));
    return c->fail ? FAIL(ERR_VALIDATION, "on purpose") : OK;
}

static void run(struct fixture *f, const char *sql)
{
    struct change c = {.sql = sql};
    assert_int_equal(db_write(f->db, f->mem, change, &c), OK);
}

#define ACCOUNT(id)                                                                                \
    "INSERT INTO account (id, admin, created_at, updated_at) VALUES ('" id "', 0, 1, 1);"

/* By table: every way in which a row of usr_a can come, change and go. */
static const char *const of_a[] = {
    /* session */
    "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, expires_at) "
    "VALUES "
    "('ses_a', x'01', 'usr_a', 'password', 1, 1, 2)",
    "UPDATE session SET last_seen_at = 5 WHERE id = 'ses_a'",
    "DELETE FROM session WHERE id = 'ses_a'",
    /* account */
    "UPDATE account SET email = 'a@x', email_key = 'a@x' WHERE id = 'usr_a'",
    /* subscription */
    "INSERT INTO subscription (id, member, status, cancel_at_period_end, collection_paused, "
    "invoice_known, as_of, "
    "source, rank, digest) VALUES ('sub_1', 'usr_a', 'active', 0, 0, 0, 1, 1, 1, 1)",
    "INSERT INTO subscription (id, member, status, cancel_at_period_end, collection_paused, "
    "invoice_known, as_of, "
    "source, rank, digest) VALUES ('sub_1', 'usr_a', 'active', 0, 0, 0, 1, 1, 1, 1) "
    "ON CONFLICT (id) DO UPDATE SET status = 'past_due'",
    "UPDATE subscription SET paid_through = 7",
    "UPDATE subscription SET member = NULL",
    "UPDATE subscription SET member = 'usr_a'",
    "DELETE FROM subscription",
    /* allowance_use: its key is the table's own order */
    "INSERT INTO allowance_use VALUES ('usr_a', 1, 'quiz', 1, 2, 'quiz:x', NULL, 1)",
    "INSERT INTO allowance_use VALUES ('usr_a', 1, 'quiz', 1, 2, 'quiz:x', NULL, 1) "
    "ON CONFLICT (member, cycle_start, kind, number) DO UPDATE SET used_at = 3",
    "UPDATE allowance_use SET item = 'quiz:y' WHERE member = 'usr_a'",
    "UPDATE allowance_use SET number = 2",
    "DELETE FROM allowance_use WHERE member = 'usr_a'",
    /* discount_slot */
    "INSERT INTO discount_slot VALUES ('pur_1', 'usr_a', 1, 2, 'quiz', 1, 'held', 1)",
    "UPDATE discount_slot SET state = 'consumed'",
    "DELETE FROM discount_slot",
    /* purchase: a visitor's is claimed */
    "INSERT INTO purchase (id, visitor, item, list_price, price, currency, discount_kind, status, "
    "never_opened, "
    "mismatch, late, revision, created_at, changed_at) VALUES ('pur_1', 'vis_1', 'quiz:x', 1, 1, "
    "'usd', 'none', "
    "'paid', 0, 0, 0, 0, 1, 1); UPDATE purchase SET member = 'usr_a'",
    "UPDATE purchase SET status = 'refunded'",
    "DELETE FROM purchase",
    /* item_grant */
    "INSERT INTO item_grant (id, member, item, granted_by, created_at) VALUES ('grt_1', 'usr_a', "
    "'quiz:x', 'usr_c', 1)",
    "UPDATE item_grant SET revoked_at = 5",
    "DELETE FROM item_grant",
    /* manual_discount */
    "INSERT INTO manual_discount (id, member, percent, created_by, created_at) VALUES ('dis_1', "
    "'usr_a', 5, 'usr_c', 1)",
    "UPDATE manual_discount SET disabled_at = 5",
    "DELETE FROM manual_discount",
    /* the AI's day */
    "INSERT INTO ai_quota_period VALUES ('usr_a', 1)",
    "INSERT INTO ai_quota_period VALUES ('usr_a', 1) ON CONFLICT (owner) DO UPDATE SET ends_at = 9",
    "DELETE FROM ai_quota_period",
    "INSERT INTO ai_quota_slot VALUES ('usr_a', 1, 1, 'con_1', 1)",
    "UPDATE ai_quota_slot SET messages = 2",
    "UPDATE ai_quota_slot SET owner = 'usr_c'",
    "UPDATE ai_quota_slot SET owner = 'usr_a'",
    "DELETE FROM ai_quota_slot",
    /* by a foreign key */
    "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, expires_at) "
    "VALUES "
    "('ses_a', x'01', 'usr_a', 'password', 1, 1, 2)",
    "DELETE FROM account WHERE id = 'usr_a'",
};

static void test_every_way_a_row_changes(void **state)
{
    struct fixture *f = *state;
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    for (size_t i = 0; i < sizeof of_a / sizeof *of_a; i++) {
        warm(f);
        run(f, of_a[i]);
        if (was_kept(f, "usr_a"))
            fail_msg("was not told: %s", of_a[i]);
        if (!was_kept(f, "usr_b"))
            fail_msg("touched another: %s", of_a[i]);
    }
}

/* Only what goes with the account: nothing else of the transaction says usr_a. */
static void test_foreign_keys(void **state)
{
    struct fixture *f = *state;
    run(f,
        ACCOUNT("usr_a") ACCOUNT(
            "usr_b") "INSERT INTO item_grant (id, member, item, granted_by, created_at) VALUES "
                     "('grt_1', 'usr_a', 'quiz:x', "
                     "'usr_c', 1); "
                     "CREATE TABLE parent (id text PRIMARY KEY); INSERT INTO parent VALUES ('p');"
                     "DROP TABLE item_grant; CREATE TABLE item_grant (id text, member text, of "
                     "text REFERENCES parent (id) ON "
                     "DELETE CASCADE); INSERT INTO item_grant VALUES ('grt_1', 'usr_a', 'p')");
    warm(f);
    run(f, "DELETE FROM parent");
    assert_false(was_kept(f, "usr_a"));
    assert_true(was_kept(f, "usr_b"));
}

static err nothing(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)tx, (void)mem, (void)arg;
    return OK;
}

static void test_what_touches_nobody(void **state)
{
    struct fixture *f = *state;
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    struct change failing = {"UPDATE account SET name = 'x' WHERE id = 'usr_c'", true};
    for (int i = 0; i < 20; i++) {
        warm(f);
        run(f,
            "INSERT INTO setting VALUES ('k', 'v') ON CONFLICT (name) DO UPDATE SET value = 'w'");
        assert_true(was_kept(f, "usr_a"));
        assert_int_equal(db_write(f->db, f->mem, nothing, NULL), OK);
        assert_int_equal(db_write(f->db, f->mem, change, &failing), ERR_VALIDATION);
        assert_true(was_kept(f, "usr_a"));
        run(f, "UPDATE account SET name = 'y' WHERE id = 'usr_c'");
        assert_true(was_kept(f, "usr_a"));
    }
}

static void test_what_touches_all(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other; /* as another process has it */
    struct change schema = {"CREATE TABLE t (x bigint); DROP TABLE t", false};
    char script[] = "INSERT INTO setting VALUES ('s', 'x'); DELETE FROM setting WHERE name = 's'";
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &other), SQLITE_OK);
    for (int i = 0; i < 5; i++) {
        warm(f);
        assert_int_equal(db_write(f->db, f->mem, run_script, script), OK);
        assert_false(was_kept(f, "usr_a") || was_kept(f, "usr_b"));
        warm(f);
        assert_int_equal(db_write_schema(f->db, f->mem, change, &schema), OK);
        assert_false(was_kept(f, "usr_a") || was_kept(f, "usr_b"));
        warm(f);
        assert_int_equal(
            sqlite3_exec(other, "UPDATE account SET name = 'z' WHERE id = 'usr_c'", 0, 0, 0),
            SQLITE_OK);
        assert_false(was_kept(f, "usr_a") || was_kept(f, "usr_b"));
        warm(f);
        assert_int_equal(sqlite3_exec(other,
                                      "INSERT INTO setting VALUES ('k', 'v') ON CONFLICT (name) DO "
                                      "UPDATE SET value = 'w'",
                                      0, 0, 0),
                         SQLITE_OK);
        run(f, "UPDATE account SET name = 'y' WHERE id = 'usr_c'"); /* ours behind theirs */
        assert_false(was_kept(f, "usr_a") || was_kept(f, "usr_b"));
    }
    sqlite3_close(other);
}

/* A row whose owner can't be read. */
static void test_owner_not_read(void **state)
{
    struct fixture *f = *state;
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") "DROP TABLE item_grant; "
                                             "CREATE TABLE item_grant (id text)");
    warm(f);
    run(f, "INSERT INTO item_grant VALUES ('grt_1')");
    assert_false(was_kept(f, "usr_a") || was_kept(f, "usr_b"));
    warm(f);
    run(f, "UPDATE account SET name = 'x' WHERE id = 'usr_b'");
    assert_true(was_kept(f, "usr_a"));
}

/* -------- random lives: what is kept is what is there -------- */

static unsigned rnd(unsigned below)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x >> 20) % below;
}

struct seen {
    char owner[16];
    uint64_t digest;
};

static void add(uint64_t *h, int64_t v)
{
    *h = (*h ^ (uint64_t)v) * UINT64_C(0x100000001b3);
}

/* The member's rows by three kept queries, and what the session of that token says. */
static err see(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct seen *s = arg;
    struct entitlement_member_row *held;
    struct billing_access_row *subs;
    struct chat_member_standing_row day;
    struct session_auth_row who;
    size_t n, m;
    bool standing, session;
    sv member = sv_from(s->owner);
    uint64_t h = 1;
    TRY(q_session_auth(tx, mem, &(struct session_auth_in){member}, &who, &session));
    TRY(q_billing_access(tx, mem, &(struct billing_access_in){member}, &subs, &n));
    TRY(q_entitlement_member(tx, mem, &(struct entitlement_member_in){member}, &held, &m));
    TRY(q_chat_member_standing(tx, mem, &(struct chat_member_standing_in){member}, &day,
                               &standing));
    add(&h, session ? who.last_seen_at.ms + 7 * (who.account_id.p[4]) : -1);
    for (size_t i = 0; i < n; i++)
        add(&h, subs[i].paid_through.ms);
    for (size_t i = 0; i < m; i++)
        add(&h, held[i].number + 1000 * held[i].what.p[0]);
    add(&h, standing ? day.ends_at.ms + day.used : -1);
    s->digest = h;
    return OK;
}

static void some_change(char sql[600])
{
    char a = (char)('a' + rnd(6)), b = (char)('a' + rnd(6));
    unsigned v = rnd(1000), k = 1 + rnd(3);
    switch (rnd(12)) {
    case 0:
        snprintf(sql, 600,
                 "INSERT INTO session (id, token_hash, account_id, via, created_at, last_seen_at, "
                 "expires_at) VALUES "
                 "('ses_%c', CAST('usr_%c' AS blob), 'usr_%c', 'p', 1, %u, 2) ON CONFLICT (id) DO "
                 "UPDATE SET last_seen_at = %u",
                 a, a, b, v, v);
        break;
    case 1:
        snprintf(sql, 600, "DELETE FROM session WHERE account_id = 'usr_%c'", a);
        break;
    case 2:
        snprintf(sql, 600, "UPDATE session SET account_id = 'usr_%c' WHERE account_id = 'usr_%c'",
                 a, b);
        break;
    case 3:
        snprintf(sql, 600,
                 "INSERT INTO subscription (id, member, status, cancel_at_period_end, "
                 "collection_paused, invoice_known, "
                 "as_of, source, rank, digest, paid_through) VALUES ('sub_%u', 'usr_%c', 'active', "
                 "0, 0, 0, 1, 1, 1, 1, %u) "
                 "ON CONFLICT (id) DO UPDATE SET paid_through = %u, member = 'usr_%c'",
                 k, a, v, v, b);
        break;
    case 4:
        snprintf(sql, 600, "UPDATE subscription SET paid_through = paid_through + 1");
        break;
    case 5:
        snprintf(sql, 600,
                 "INSERT INTO allowance_use VALUES ('usr_%c', 1, 'quiz', %u, 2, 'quiz:%u', NULL, "
                 "1) ON CONFLICT DO NOTHING",
                 a, k, v);
        break;
    case 6:
        snprintf(sql, 600, "DELETE FROM allowance_use WHERE number = %u", k);
        break;
    case 7:
        snprintf(sql, 600,
                 "INSERT INTO ai_quota_period VALUES ('usr_%c', %u) ON CONFLICT (owner) DO UPDATE "
                 "SET ends_at = %u",
                 a, v, v);
        break;
    case 8:
        snprintf(sql, 600,
                 "INSERT INTO ai_quota_slot SELECT owner, ends_at, %u, 'c', 1 FROM ai_quota_period "
                 "WHERE true ON CONFLICT DO NOTHING",
                 k);
        break;
    case 9:
        snprintf(sql, 600, "DELETE FROM account WHERE id = 'usr_%c'", a);
        break;
    case 10:
        snprintf(sql, 600,
                 "INSERT INTO account (id, admin, created_at, updated_at) VALUES ('usr_%c', 0, 1, "
                 "1) ON CONFLICT DO NOTHING",
                 a);
        break;
    default:
        snprintf(
            sql, 600,
            "INSERT INTO setting VALUES ('k', '%u') ON CONFLICT (name) DO UPDATE SET value = '%u'",
            v, v);
    }
}

/* Another database handle, as of another process, that keeps nothing. */
static struct db *second(struct fixture *f)
{
    struct db_options o = {.url = sv_from(f->url)};
    struct db *db;
    setenv("MYBEING_MEMO", "0", 1);
    assert_int_equal(db_open(&o, &db), OK);
    ARENA_AUTO mem = arena_new(0);
    assert_int_equal(db_read(db, mem, nothing, NULL), OK); /* it asks when it first reads */
    unsetenv("MYBEING_MEMO");
    return db;
}

static void test_random_lives(void **state)
{
    struct fixture *f = *state;
    struct db *plain = second(f);
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c") ACCOUNT("usr_d"));
    for (int step = 0; step < 4000; step++) {
        char sql[600];
        some_change(sql);
        struct change c = {sql, rnd(10) == 0};
        struct db *where = rnd(12) == 0 ? plain : f->db;
        err e = db_write(where, f->mem, change, &c); /* some fail by themselves as well */
        assert_true(e == OK || e == ERR_VALIDATION || e == ERR_FOREIGN_KEY || e == ERR_UNIQUE ||
                    e == ERR_INTERNAL);
        for (char who = 'a'; who <= 'f'; who++) {
            struct seen kept = {.owner = ""}, real;
            snprintf(kept.owner, sizeof kept.owner, "usr_%c", who);
            real = kept;
            for (unsigned times = 1 + rnd(2); times > 0; times--)
                assert_int_equal(db_read(f->db, f->mem, see, &kept), OK);
            assert_int_equal(db_read(plain, f->mem, see, &real), OK);
            if (kept.digest != real.digest)
                fail_msg("step %d: %s is not what is there, after: %s", step, kept.owner, sql);
            arena_reset(f->mem);
        }
    }
    db_close(plain);
}

/* -------- the same without SQLite: every order of steps, also the rarest -------- */

#ifdef __SANITIZE_THREAD__ /* one thread, a hundred times slower */
#define STEPS 10000
#else
#define STEPS 300000
#endif
#define OWNERS  5
#define READERS 3

struct model {
    uint32_t header[12]; /* as SQLite's: the count is its third word */
    uint32_t version[OWNERS];
    struct touch *touch;
    struct model_reader {
        struct memo *memo;
        uint32_t sees[OWNERS]; /* its snapshot */
    } readers[READERS];
    unsigned kept;
    bool locked; /* our transaction: nobody else commits */
    bool ending; /* between our commit and touch_end: nobody dies in just these microseconds */
};

static void owner_name(unsigned i, char name[8])
{
    snprintf(name, 8, "usr_%u", i);
}

static void model_commit(struct model *m, bool ours)
{
    for (unsigned n = rnd(3); n > 0; n--) {
        char name[8];
        unsigned o = rnd(OWNERS);
        owner_name(o, name);
        m->version[o]++;
        if (ours)
            touch_row(m->touch, sv_from(name));
    }
    m->header[2]++;
    m->header[6] = rnd(1u << 30);
}

/* Of others: commits, and the log's recovery, which may bring one more. */
static void model_others(struct model *m)
{
    unsigned what = m->ending ? 2 : rnd(8);
    if (m->locked)
        return;
    if (what > 0)
        model_commit(m, false);
    if (what < 2)
        m->header[2] = 0;
}

/* As reader.c takes one. */
static void model_snapshot(struct model *m, struct model_reader *r)
{
    unsigned generation = touch_generation(m->touch);
    uint32_t last = touch_last(m->touch);
    uint64_t now = sq_commit(&m->header[2]);
    if (rnd(20) == 0)
        model_others(m);
    memcpy(r->sees, m->version, sizeof r->sees);
    if (rnd(20) == 0)
        model_others(m);
    bool exact = sq_commit(&m->header[2]) == now && (int32_t)((uint32_t)now - last) >= 0;
    memo_snapshot(r->memo, now, exact, generation);
}

static void model_read(struct model *m)
{
    struct model_reader *r = &m->readers[rnd(READERS)];
    if (rnd(3) > 0)
        model_snapshot(m, r);
    for (unsigned o = 0; o < OWNERS; o++) {
        char name[8], text[16];
        sv got;
        owner_name(o, name);
        snprintf(text, sizeof text, "%u", r->sees[o]);
        bool there = memo_text_get(r->memo, SV("v"), sv_from(name), (ts){1}, &got);
        if (there && !sv_is(got, text))
            fail_msg("%s: kept %.*s, is %s, commit %u", name, SV_ARG(got), text, m->header[2]);
        m->kept += there;
        if (!there && rnd(4) > 0)
            memo_text_put(r->memo, SV("v"), sv_from(name), (ts){0}, TS_NONE, sv_from(text));
    }
}

static void model_write(struct model *m)
{
    bool wrote = rnd(5) > 0;
    m->locked = true;
    touch_begin(m->touch);
    while (rnd(3) == 0)
        model_read(m);
    if (wrote)
        model_commit(m, true);
    m->locked = false;
    m->ending = true;
    while (rnd(3) == 0)
        model_read(m);
    if (rnd(30) == 0)
        model_others(m);
    if (rnd(20) > 0) /* else: an uncertain commit */
        touch_end(m->touch, wrote, rnd(30) == 0);
    m->ending = false;
}

static void test_every_order(void **state)
{
    (void)state;
    struct model m = {.header = {3007000}};
    m.touch = touch_new(&m.header[2]);
    for (int i = 0; i < READERS; i++)
        m.readers[i].memo = memo_new(m.touch);
    for (int step = 0; step < STEPS; step++) {
        unsigned what = rnd(40);
        if (what == 0)
            model_others(&m);
        else if (what < 15)
            model_write(&m);
        else
            model_read(&m);
    }
    assert_true(m.kept > STEPS);
    for (int i = 0; i < READERS; i++)
        memo_free(m.readers[i].memo);
    touch_free(m.touch);
}

/* -------- one snapshot -------- */

struct pair {
    int64_t kept, read;
};

/* A row that is kept, then one that never is. */
static err both(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct pair *p = arg;
    struct session_auth_row who;
    struct setting_get_row row;
    bool found;
    TRY(q_session_auth(tx, mem, &(struct session_auth_in){SV("usr_a")}, &who, &found));
    p->kept = who.last_seen_at.ms;
    TRY(q_setting_get(tx, mem, &(struct setting_get_in){SV("k")}, &row, &found));
    p->read = strtoll(row.value.p, NULL, 10);
    return OK;
}

struct counting {
    struct fixture *f;
    atomic_bool stop;
};

static void *count_up(void *arg)
{
    struct counting *c = arg;
    ARENA_AUTO mem = arena_new(0);
    for (int v = 2; !atomic_load(&c->stop); v++) {
        char sql[200];
        snprintf(sql, sizeof sql,
                 "UPDATE session SET last_seen_at = %d; UPDATE setting SET value = '%d' WHERE name "
                 "= 'k'",
                 v, v);
        struct change one = {.sql = sql};
        assert_int_equal(db_write(c->f->db, mem, change, &one), OK);
    }
    return NULL;
}

/* What is kept and what is read are of one snapshot, while another thread commits. */
static void test_one_snapshot(void **state)
{
    struct fixture *f = *state;
    struct counting c = {.f = f};
    pthread_t t;
    int64_t last = 0;
    int seen = 0;
    run(f, ACCOUNT("usr_a") "INSERT INTO session (id, token_hash, account_id, via, created_at, "
                            "last_seen_at, expires_at) "
                            "VALUES ('ses_a', CAST('usr_a' AS blob), 'usr_a', 'p', 1, 1, 2); "
                            "INSERT INTO setting VALUES ('k', '1')");
    assert_int_equal(pthread_create(&t, NULL, count_up, &c), 0);
    int64_t end = clock_mono_us() + 20 * INT64_C(1000000); /* disks differ */
    while (seen < 200 && clock_mono_us() < end) {
        struct pair p;
        assert_int_equal(db_read(f->db, f->mem, both, &p), OK);
        assert_int_equal(p.kept, p.read);
        assert_true(p.kept >= last);
        seen += p.kept > last;
        last = p.kept;
        arena_reset(f->mem);
    }
    atomic_store(&c.stop, true);
    pthread_join(t, NULL);
    assert_true(seen > 10);
}

/* -------- commits of others, where they are hard to tell from ours -------- */

static sqlite3 *other_of(struct fixture *f)
{
    sqlite3 *other;
    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &other), SQLITE_OK);
    return other;
}

static void run_other(sqlite3 *other, const char *sql)
{
    assert_int_equal(sqlite3_exec(other, sql, 0, 0, 0), SQLITE_OK);
}

static _Thread_local sqlite3 *behind; /* commits right behind this thread's next COMMIT */

static int on_profile(unsigned what, void *ctx, void *stmt, void *ns)
{
    (void)what, (void)ctx, (void)ns;
    sqlite3 *other = behind;
    if (other && strcmp(sqlite3_sql(stmt), "COMMIT") == 0) {
        behind = NULL;
        run_other(other, "UPDATE account SET name = name || 'z' WHERE id = 'usr_a'");
    }
    return 0;
}

static int on_open(sqlite3 *h, char **why, const struct sqlite3_api_routines *api)
{
    (void)why, (void)api;
    return sqlite3_trace_v2(h, SQLITE_TRACE_PROFILE, on_profile, NULL);
}

struct meeting {
    struct change ours;
    sqlite3 *other;
};

static err change_and_meet(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct meeting *m = arg;
    behind = m->other;
    return change(tx, mem, &m->ours);
}

static void reopen(struct fixture *f)
{
    db_close(f->db);
    arena_free(f->mem);
    fixture_open(f, false);
}

/* A row "changed" to what it was is no commit of SQLite's; what is counted then is another's. */
static void test_commit_right_behind(void **state)
{
    struct fixture *f = *state;
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    run(f, "UPDATE account SET name = 'x'");
    (void)sqlite3_auto_extension((void (*)(void))on_open);
    reopen(f);
    (void)sqlite3_cancel_auto_extension((void (*)(void))on_open);
    sqlite3 *other = other_of(f);
    for (int i = 0; i < 4; i++) {
        struct meeting m = {{.sql = i % 2
                                        ? "UPDATE account SET name = name || 'y' WHERE id = 'usr_c'"
                                        : "UPDATE account SET name = name WHERE id = 'usr_c'"},
                            other};
        warm(f);
        assert_int_equal(db_write(f->db, f->mem, change_and_meet, &m), OK);
        if (was_kept(f, "usr_a"))
            fail_msg("a commit of another was taken for ours: %s", m.ours.sql);
    }
    sqlite3_close(other);
}

struct mid_read {
    struct fixture *f;
    sqlite3 *other;
    bool script;
};

/* Has its snapshot; then somebody changes usr_a, then we another; then it keeps what it sees. */
static err keep_after_others(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct mid_read *m = arg;
    char script[] = "UPDATE account SET name = coalesce(name, '') || 's' WHERE id = 'usr_a'";
    if (m->script)
        assert_int_equal(db_write(m->f->db, mem, run_script, script), OK);
    else
        run_other(m->other, script);
    run(m->f, "UPDATE account SET name = coalesce(name, '') || 'm' WHERE id = 'usr_c'");
    struct ask a = {.owner = "usr_a"};
    for (int i = 0; i < 3; i++)
        TRY(ask_text(tx, mem, &a));
    return OK;
}

static void test_commits_in_mid_read(void **state)
{
    struct fixture *f = *state;
    struct mid_read m = {.f = f, .other = other_of(f)};
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    for (int i = 0; i < 6; i++) {
        m.script = i % 2;
        warm(f);
        run(f, "UPDATE account SET name = 'n' WHERE id = 'usr_a'");
        assert_int_equal(db_read(f->db, f->mem, keep_after_others, &m), OK);
        assert_false(was_kept(f, "usr_a"));
    }
    sqlite3_close(m.other);
}

/* The header of the log's index, which is there twice. */
static unsigned char *header_of(sqlite3 *h)
{
    sqlite3_file *file = NULL;
    void volatile *map = NULL;
    run_other(h, "PRAGMA schema_version");
    assert_int_equal(sqlite3_file_control(h, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    assert_int_equal(file->pMethods->xShmMap(file, 0, 32768, 0, &map), SQLITE_OK);
    return (unsigned char *)(uintptr_t)map;
}

#define HEADER 48

/* As by a process that was killed between the header's two copies: all is in the log, and who comes
 * next makes the index anew. SQLite then counts from 0 again. */
static void killed_in_commit(sqlite3 *other, const char *sql)
{
    unsigned char before[HEADER], *header = header_of(other);
    memcpy(before, header, HEADER);
    run_other(other, sql);
    assert_memory_not_equal(before, header, HEADER);
    memcpy(header, before, HEADER);
}

#define TOUCH_A "UPDATE account SET name = coalesce(name, '') || 'k' WHERE id = 'usr_a'"
#define TOUCH_C "UPDATE account SET name = coalesce(name, '') || 'k' WHERE id = 'usr_c'"

/* `ours` commits, `theirs` before the crash, the one that crashes, `after` theirs. */
static void crash_and_count(struct fixture *f, int ours, int theirs, int after)
{
    reopen(f); /* counts from 0 */
    sqlite3 *other = other_of(f);
    warm(f);
    for (int i = 0; i < ours; i++)
        run(f, TOUCH_C);
    for (int i = 0; i < theirs; i++)
        run_other(other, TOUCH_C);
    if (theirs)
        warm(f);
    killed_in_commit(other, TOUCH_A);
    run_other(other, "SELECT id FROM account"); /* makes the index anew */
    for (int i = 0; i < after; i++)
        run_other(other, TOUCH_C);
    if (was_kept(f, "usr_a"))
        fail_msg("a commit that was recovered is not seen: %d, %d, %d", ours, theirs, after);
    run(f, TOUCH_C); /* from here on it is known again */
    assert_false(was_kept(f, "usr_a"));
    warm(f);
    run(f, TOUCH_C);
    assert_true(was_kept(f, "usr_a"));
    run(f, TOUCH_A);
    assert_false(was_kept(f, "usr_a"));
    sqlite3_close(other);
}

static void test_recovered(void **state)
{
    struct fixture *f = *state;
    run(f, ACCOUNT("usr_a") ACCOUNT("usr_b") ACCOUNT("usr_c"));
    for (int ours = 0; ours < 4; ours++)
        for (int theirs = 0; theirs < 3; theirs++)
            for (int after = 0; after < 6; after++)
                crash_and_count(f, ours, theirs, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_SQLITE(test_every_way_a_row_changes),
                                       ON_SQLITE(test_foreign_keys),
                                       ON_SQLITE(test_what_touches_nobody),
                                       ON_SQLITE(test_what_touches_all),
                                       ON_SQLITE(test_owner_not_read),
                                       ON_SQLITE(test_random_lives),
                                       cmocka_unit_test(test_every_order),
                                       ON_SQLITE(test_one_snapshot),
                                       ON_SQLITE(test_commit_right_behind),
                                       ON_SQLITE(test_commits_in_mid_read),
                                       ON_SQLITE(test_recovered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
