/* Operations: one effect whatever happens to the answer. Real database, scripted Stripe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "account/account.h"
#include "app/app.h"
#include "base/crypto.h"
#include "billing/operation.h"
#include "db/migrate.h"
#include "fake_stripe.h"
#include "http/client.h"
#include "queries.h"

static struct app app;
static char dir[] = "/tmp/operation-XXXXXX";

#define CUSTOMER(id, op)                                                                           \
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id\":\"" id "\",\"object\":\"customer\","      \
    "\"metadata\":{\"operation\":\"" op "\"}}"

struct made {
    sv subject;
    int64_t last;
    const char *method;
    sv path;
    struct operation op;
    bool fresh;
    sv id;
    int64_t jobs;
    sv customer;
};

static err tx_next(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct made *m = arg;
    return operation_put_next(tx, mem, m->subject, m->last, m->method, m->path,
                              SV("email=a%40b.example"), clock_now(), &m->op, &m->fresh);
}

static err tx_get(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct made *m = arg;
    return operation_get(tx, mem, m->op.id, &m->op);
}

static err tx_customer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct made *m = arg;
    user_id member = user_id_from((sv){m->subject.p + 9, m->subject.n - 9});
    return billing_customer_get(tx, mem, &member, &m->customer);
}

static struct made next(struct arena *mem, const char *subject, int64_t last)
{
    struct made m = {
        .subject = sv_from(subject), .last = last, .method = "POST", .path = SV("/v1/customers")};
    assert_int_equal(db_write(app.db, mem, tx_next, &m), OK);
    return m;
}

static err run_op(struct arena *mem, const struct operation *op)
{
    struct stripe_answer a;
    return operation_run(&app, mem, op, STRIPE_PERSON, NULL, NULL, &a);
}

static sv status_of(struct arena *mem, struct made *m)
{
    assert_int_equal(db_read(app.db, mem, tx_get, m), OK);
    return m->op.status;
}

static const char *key_in(const char *request)
{
    const char *at = strcasestr(request, "idempotency-key: ");
    return at ? at + 17 : "";
}

static void test_series(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made a = next(mem, "customer:usr_series", 0);
    struct made b = next(mem, "customer:usr_series", 0);
    assert_true(a.fresh);
    assert_false(b.fresh);
    assert_true(sv_eq(a.op.id, b.op.id));
    assert_true(sv_contains(a.op.form, a.op.id)); /* its mark at Stripe */
    struct made c = next(mem, "customer:usr_series", 1), d = next(mem, "customer:usr_series", 1);
    assert_true(c.fresh && !d.fresh && c.op.seq == 2 && d.op.seq == 2);
    struct made late = next(mem, "customer:usr_series", 0);
    assert_false(late.fresh);
    assert_int_equal(late.op.seq, 2);
}

static void test_done_once(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = next(mem, "customer:usr_once", 0);
    start((const char *[]){CUSTOMER("cus_once", "x"), OKAY}, 2);
    assert_int_equal(run_op(mem, &m.op), OK);
    assert_int_equal(run_op(mem, &m.op), OK);
    stop();
    assert_int_equal(script.served, 1);
    assert_memory_equal(key_in(script.seen[0]), m.op.id.p, m.op.id.n);
    assert_true(sv_is(status_of(mem, &m), "done"));
    assert_true(sv_is(m.op.object, "cus_once"));
    assert_int_equal(db_read(app.db, mem, tx_customer, &m), OK);
    assert_true(sv_is(m.customer, "cus_once"));
}

/* Nothing came back: the same key again, later. */
static void test_lost_answer(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = next(mem, "customer:usr_lost", 0);
    start((const char *[]){NULL, NULL, NULL}, 3);
    assert_int_equal(run_op(mem, &m.op), ERR_UPSTREAM);
    stop();
    assert_true(sv_is(status_of(mem, &m), "pending"));
    start((const char *[]){CUSTOMER("cus_lost", "x")}, 1);
    assert_int_equal(run_op(mem, &m.op), OK);
    stop();
    assert_memory_equal(key_in(script.seen[0]), m.op.id.p, m.op.id.n);
    assert_true(sv_is(status_of(mem, &m), "done"));
}

static void test_refused(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = next(mem, "customer:usr_refused", 0);
    start((const char *[]){ERROR_OF("400", "", "invalid_request_error", "email_invalid"), OKAY}, 2);
    assert_int_equal(run_op(mem, &m.op), ERR_UPSTREAM_REFUSED);
    assert_int_equal(run_op(mem, &m.op), ERR_UPSTREAM_REFUSED);
    stop();
    assert_int_equal(script.served, 1);
    assert_true(sv_is(status_of(mem, &m), "failed"));
}

#define LIST_OF(what)                                                                              \
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"object\":\"list\",\"has_more\":false,"         \
    "\"data\":[" what "]}"

static const char *list_with(struct arena *mem, const char *id, sv op)
{
    return arena_printf(mem,
                        LIST_OF("{\"id\":\"cus_other\",\"object\":\"customer\"},{\"id\":\"%s\","
                                "\"object\":\"customer\",\"metadata\":{\"operation\":\"%.*s\"}}"),
                        id, SV_ARG(op))
        .p;
}

/* After a day Stripe has forgotten the key: looked up, not sent. */
static void test_after_a_day(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made found = next(mem, "customer:usr_day", 0), not = next(mem, "customer:usr_day2", 0);
    start((const char *[]){NULL, NULL, NULL, NULL, NULL, NULL}, 6);
    assert_int_equal(run_op(mem, &found.op), ERR_UPSTREAM);
    assert_int_equal(run_op(mem, &not .op), ERR_UPSTREAM);
    stop();
    clock_set_offset(25 * TS_HOUR);
    start((const char *[]){list_with(mem, "cus_day", found.op.id), LIST_OF("")}, 2);
    assert_int_equal(run_op(mem, &found.op), OK);
    assert_int_equal(run_op(mem, &not .op), ERR_UPSTREAM);
    stop();
    clock_set_offset(0);
    assert_non_null(strstr(script.seen[0], "GET /v1/customers?"));
    assert_non_null(strstr(script.seen[0], "email=a%40b.example"));
    assert_non_null(strstr(script.seen[1], "GET /v1/customers?"));
    assert_true(sv_is(status_of(mem, &found), "done"));
    assert_true(sv_is(found.op.object, "cus_day"));
    assert_true(sv_is(status_of(mem, &not ), "failed"));
    struct made again = next(mem, "customer:usr_day2", not .op.seq);
    assert_true(again.fresh && !sv_eq(again.op.id, not .op.id));
}

/* Stripe keeps a 500 for the key; the object may be there all the same. */
static void test_kept_failure(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = next(mem, "customer:usr_kept", 0);
    const char *kept = ERROR_OF("500", "Idempotent-Replayed: true\r\n", "api_error", "");
    start((const char *[]){ERROR_OF("500", "", "api_error", ""), kept, kept,
                           list_with(mem, "cus_kept", m.op.id)},
          4);
    assert_int_equal(run_op(mem, &m.op), OK);
    stop();
    assert_true(sv_is(status_of(mem, &m), "done"));
    assert_true(sv_is(m.op.object, "cus_kept"));
}

static err tx_cancel(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct made *m = arg;
    bool found = false;
    TRY(billing_cancel_put(tx, mem, m->subject, "refund", clock_now()));
    TRY(billing_cancel_put(tx, mem, m->subject, "refund", clock_now()));
    return operation_last(tx, mem, arena_printf(mem, "cancel:%.*s", SV_ARG(m->subject)), &m->op,
                          &found);
}

static void test_cancel(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = {.subject = SV("sub_gone")};
    assert_int_equal(db_write(app.db, mem, tx_cancel, &m), OK);
    start((const char *[]){ERROR_OF("404", "", "invalid_request_error", "resource_missing"),
                           "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id\":\"sub_gone\","
                           "\"object\":\"subscription\",\"status\":\"canceled\"}"},
          2);
    assert_int_equal(run_op(mem, &m.op), OK);
    stop();
    assert_non_null(strstr(script.seen[0], "DELETE /v1/subscriptions/sub_gone?"));
    assert_non_null(strstr(script.seen[1], "GET /v1/subscriptions/sub_gone HTTP"));
    assert_true(sv_is(status_of(mem, &m), "done"));
}

#define THREADS 12
static void *run_in_thread(void *arg)
{
    ARENA_AUTO mem = arena_new(0);
    const struct operation *op = arg;
    return (void *)(intptr_t)run_op(mem, op);
}

static void test_parallel(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    struct made m = next(mem, "customer:usr_parallel", 0);
    pthread_t t[THREADS];
    start((const char *[]){CUSTOMER("cus_par", "x"), OKAY}, 2);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, run_in_thread, &m.op), 0);
    for (int i = 0; i < THREADS; i++) {
        void *e = NULL;
        pthread_join(t[i], &e);
        assert_int_equal((intptr_t)e, OK);
    }
    stop();
    assert_int_equal(script.served, 1);
}

static int open_all(void **state)
{
    (void)state;
    static char url[64];
    unsigned done;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(url, sizeof url, "sqlite:%s/t.db", dir);
    struct db_options o = {.url = sv_from(url), .create = true};
    crypto_init();
    http_client_start(false);
    return db_open(&o, &app.db) == OK && migrate_up(app.db, &done) == OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    char command[64];
    http_client_stop();
    db_close(app.db);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series),      cmocka_unit_test(test_done_once),
        cmocka_unit_test(test_lost_answer), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_after_a_day), cmocka_unit_test(test_kept_failure),
        cmocka_unit_test(test_cancel),      cmocka_unit_test(test_parallel),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
