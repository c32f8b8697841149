/* Facts in a database: owners that come later than their facts; a failed event leaves nothing. */
#include "account/account.h"
#include "base/crypto.h"
#include "billing/event.h"
#include "billing/fact.h"

#include "../db/fixture.h"

static struct app app;
static struct fixture f;
static const ts now = {INT64_C(1790000000000)};

#define SUBSCRIPTION                                                                               \
    "{\"id\":\"%s\",\"object\":\"event\",\"type\":\"customer.subscription.created\","              \
    "\"created\":1790000000,\"livemode\":false,\"data\":{\"object\":{\"id\":\"sub_1\","            \
    "\"object\":\"subscription\",\"customer\":\"cus_1\",\"status\":\"active\","                    \
    "\"current_period_start\":1790000000,\"current_period_end\":1792000000,"                       \
    "\"metadata\":{\"userId\":\"101\"}}}}"

static int setup(void **state)
{
    int e = set_up_sqlite(state);
    f = *(struct fixture *)*state;
    app = (struct app){.set = {.renewal_grace_hours = 72, .past_due_grace_days = 14}, .db = f.db};
    return e;
}

struct take {
    const char *id;
    enum event_result result;
};

static err take_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct take *t = arg;
    struct event_in in;
    TRY(event_read(mem, arena_printf(mem, SUBSCRIPTION, t->id), &in));
    return event_take(tx, mem, &app, &in, now, &t->result);
}

static err create_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct account_new n = {.email = SV("a@example.org"), .verified = true, .legacy_id = SV("101")};
    return account_create(tx, mem, &n, now, arg);
}

struct asked {
    user_id member;
    struct access access;
};

static err access_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct asked *a = arg;
    return billing_access_get(tx, mem, &app.set, &a->member, now, &a->access);
}

static void an_imported_account_takes_what_names_it(void **state)
{
    (void)state;
    struct take t = {.id = "evt_1"};
    struct asked a;
    assert_int_equal(db_write(f.db, f.mem, take_tx, &t), OK);
    assert_int_equal(t.result, EVENT_APPLIED);
    assert_int_equal(db_write(f.db, f.mem, create_tx, &a.member), OK);
    assert_int_equal(db_read(f.db, f.mem, access_tx, &a), OK);
    assert_true(a.access.premium);
    assert_true(sv_is(a.access.subscription, "sub_1"));
    assert_int_equal(db_write(f.db, f.mem, take_tx, &t), OK);
    assert_int_equal(t.result, EVENT_DUPLICATE);
}

static bool broken;

static err breaks(struct db_tx *tx, struct arena *mem, struct app *of, const struct fact_change *c)
{
    (void)tx, (void)mem, (void)of, (void)c;
    return broken ? FAIL(ERR_INTERNAL, "a listener is broken") : OK;
}

static err status_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct billing_event e;
    sv payload;
    TRY(billing_event_get(tx, mem, SV("evt_2"), &e, &payload));
    *(sv *)arg = e.status;
    return OK;
}

static err again_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    sv why;
    return event_again(tx, mem, &app, SV("evt_2"), now, arg, &why);
}

static void what_cannot_be_applied_is_kept_and_leaves_nothing(void **state)
{
    (void)state;
    struct take t = {.id = "evt_2"};
    struct asked a;
    sv status;
    enum event_result result;
    assert_int_equal(db_write(f.db, f.mem, create_tx, &a.member), OK);
    broken = true;
    assert_int_equal(db_write(f.db, f.mem, take_tx, &t), OK);
    assert_int_equal(t.result, EVENT_FAILED);
    assert_int_equal(db_read(f.db, f.mem, status_tx, &status), OK);
    assert_true(sv_is(status, "failed"));
    assert_int_equal(db_read(f.db, f.mem, access_tx, &a), OK);
    assert_false(a.access.premium);
    assert_int_equal(db_write(f.db, f.mem, again_tx, &result), OK);
    assert_int_equal(result, EVENT_FAILED);
    broken = false;
    assert_int_equal(db_write(f.db, f.mem, again_tx, &result), OK);
    assert_int_equal(result, EVENT_APPLIED);
    assert_int_equal(db_read(f.db, f.mem, access_tx, &a), OK);
    assert_true(a.access.premium);
}

int main(void)
{
    crypto_init();
    billing_init(&app);
    billing_listen(breaks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_imported_account_takes_what_names_it, setup, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_applied_is_kept_and_leaves_nothing, setup,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
