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

/* -------- news that say the same -------- */

static const struct {
    const char *key, *value;
} told[] =
    {
        {"customer", "\"cus_1\""},
        {"status", "\"active\""},
        {"created", "1780000000"},
        {"current_period_start", "1790000000"},
        {"current_period_end", "1792000000"},
        {"trial_start", "null"},
        {"trial_end", "null"},
        {"cancel_at", "null"},
        {"cancel_at_period_end", "false"},
        {"canceled_at", "null"},
        {"ended_at", "null"},
        {"pause_collection", "null"},
        {"billing_cycle_anchor", "1780000000"},
        {"items", "{\"data\":[{\"id\":\"si_1\",\"price\":{\"id\":\"price_1\"}}]}"},
        {"default_payment_method", "\"pm_1\""},
        {"metadata", "{\"userId\":\"101\"}"},
        {"latest_invoice", "\"in_1\""}, /* nobody reads it */
},
  changes[] = {
      {"latest_invoice", "\"in_2\""},
      {"customer", "\"cus_2\""},
      {"customer", "null"},
      {"status", "\"trialing\""},
      {"created", "1780000001"},
      {"current_period_start", "1790000001"},
      {"current_period_end", "1792000001"},
      {"trial_start", "1790000000"},
      {"trial_end", "1790000000"},
      {"cancel_at", "1792000000"},
      {"cancel_at_period_end", "true"},
      {"canceled_at", "1790000000"},
      {"ended_at", "1790000000"},
      {"pause_collection", "{\"behavior\":\"void\"}"},
      {"billing_cycle_anchor", "1780000001"},
      {"items", "{\"data\":[{\"id\":\"si_2\",\"price\":{\"id\":\"price_1\"}}]}"},
      {"items", "{\"data\":[{\"id\":\"si_1\",\"price\":{\"id\":\"price_2\"}}]}"},
      {"default_payment_method", "\"pm_2\""},
      {"default_payment_method", "null"},
      {"metadata", "{\"userId\":\"102\"}"},
      {"metadata", "{}"},
};

struct news {
    const char *id;
    int change; /* of `changes`; -1: none */
    int at;     /* seconds */
};

static err news_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct news *n = arg;
    static int count;
    struct event_in in;
    enum event_result result;
    BUF_AUTO b = {0};
    buf_printf(&b,
               "{\"id\":\"evt_n%d\",\"object\":\"event\","
               "\"type\":\"customer.subscription.updated\",\"created\":%d,\"data\":{\"object\":"
               "{\"object\":\"subscription\",\"id\":\"%s\"",
               ++count, 1790000000 + n->at, n->id);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        bool changed = n->change >= 0 && strcmp(told[i].key, changes[n->change].key) == 0;
        buf_printf(&b, ",\"%s\":%s", told[i].key,
                   changed ? changes[n->change].value : told[i].value);
    }
    buf_add(&b, SV("}}}"));
    TRY(event_read(mem, buf_sv(&b), &in));
    TRY(event_take(tx, mem, &app, &in, now, &result));
    return result == EVENT_APPLIED ? OK : FAIL(ERR_INTERNAL, "it was not applied");
}

static void tell_news(const char *id, int change, int at)
{
    struct news n = {id, change, at};
    assert_int_equal(db_write(f.db, f.mem, news_tx, &n), OK);
}

struct stored {
    const char *id;
    struct subscription_get_row row;
};

static err stored_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct stored *s = arg;
    bool found;
    TRY(q_subscription_get(tx, mem, &(struct subscription_get_in){sv_from(s->id)}, &s->row,
                           &found));
    return found ? OK : ERR_NOT_FOUND;
}

static sv stored_text(const char *id)
{
    struct stored s = {.id = id};
    assert_int_equal(db_read(f.db, f.mem, stored_tx, &s), OK);
    const struct subscription_get_row *r = &s.row;
    return arena_printf(
        f.mem,
        "%.*s %.*s %.*s %lld %lld %lld %lld %lld %lld %d %lld %lld %d %lld %.*s %.*s %.*s %.*s %d "
        "%lld %.*s %lld %lld %lld %lld %lld %lld %lld",
        SV_ARG(r->member), SV_ARG(r->customer), SV_ARG(r->status), (long long)r->created_at.ms,
        (long long)r->period_start.ms, (long long)r->period_end.ms, (long long)r->trial_start.ms,
        (long long)r->trial_end.ms, (long long)r->cancel_at.ms, r->cancel_at_period_end,
        (long long)r->canceled_at.ms, (long long)r->ended_at.ms, r->collection_paused,
        (long long)r->anchor.ms, SV_ARG(r->item), SV_ARG(r->price), SV_ARG(r->payment_method),
        SV_ARG(r->user_ref), r->invoice_known, (long long)r->paid_through.ms, SV_ARG(r->barred),
        (long long)r->first_failure.ms, (long long)r->clear_at.ms, (long long)r->gone_at.ms,
        (long long)r->as_of.ms, (long long)r->source, (long long)r->rank, (long long)r->digest);
}

/* Whatever changed, newer news leave the row that they alone would make. */
static void newer_news_are_stored_whole(void **state)
{
    (void)state;
    for (int i = -1; i < (int)(sizeof changes / sizeof *changes); i++) {
        const char *twice = arena_printf(f.mem, "sub_twice%d", i).p,
                   *once = arena_printf(f.mem, "sub_once%d", i).p;
        tell_news(twice, -1, 0);
        tell_news(twice, i, 10);
        tell_news(once, i, 10);
        assert_string_equal(stored_text(twice).p, stored_text(once).p);
    }
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
        cmocka_unit_test_setup_teardown(newer_news_are_stored_whole, setup, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
