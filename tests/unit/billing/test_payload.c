/* The dictionary that stored events are compressed with: made, used, and not made again for
 * nothing. */
#include "app/app.h"
#include "base/crypto.h"
#include "billing/event.h"

#include "../db/fixture.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <zdict.h>

static struct app app;
static struct fixture f;
static const ts now = {INT64_C(1790000000000)};
static atomic_int trained;

/* In front of zstd's. */
size_t ZDICT_trainFromBuffer(void *dict, size_t room, const void *samples, const size_t *sizes,
                             unsigned n)
{
    static size_t (*real)(void *, size_t, const void *, const size_t *, unsigned);
    *(void **)&real = dlsym(RTLD_NEXT, "ZDICT_trainFromBuffer");
    trained++;
    return real(dict, room, samples, sizes, n);
}

static int setup(void **state)
{
    int e = set_up_sqlite(state);
    f = *(struct fixture *)*state;
    app = (struct app){.db = f.db};
    return e;
}

struct many {
    int from, n;
    const char *words; /* that they all hold, in another order each */
};

static sv text_of(struct arena *mem, const struct many *m, int i)
{
    BUF_AUTO b = {0};
    buf_printf(&b,
               "{\"id\":\"evt_%06d\",\"object\":\"event\",\"type\":\"some.thing\",\"created\":%d,"
               "\"data\":{\"object\":{\"id\":\"x_%d\",\"object\":\"x\"",
               i, 1790000000 + i, i * 7919);
    size_t words = strlen(m->words) / 8;
    for (size_t k = 0; k < 60; k++)
        buf_printf(&b, ",\"%.8s%zu\":\"%.8s\"", m->words + ((size_t)i * k * k + k) % words * 8, k,
                   m->words + ((size_t)i * 31 + k * 7) % words * 8);
    buf_add(&b, SV("}}}"));
    return arena_sv(mem, buf_sv(&b));
}

static err take_many(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct many *m = arg;
    for (int i = m->from; i < m->from + m->n; i++) {
        struct event_in in;
        enum event_result result;
        TRY(event_read(mem, text_of(mem, m, i), &in));
        TRY(event_take(tx, mem, &app, &in, ts_add(now, i), &result));
    }
    return OK;
}

static void take(int from, int n, const char *words)
{
    struct many m = {from, n, words};
    assert_int_equal(db_write(f.db, f.mem, take_many, &m), OK);
}

static bool train(void)
{
    bool made;
    assert_int_equal(payload_dict_train(f.db, f.mem, now, &made), OK);
    return made;
}

static err same_text(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct many *m = arg;
    for (int i = m->from; i < m->from + m->n; i++) {
        struct billing_event e;
        sv payload;
        TRY(billing_event_get(tx, mem, arena_printf(mem, "evt_%06d", i), &e, &payload));
        if (!sv_eq(payload, text_of(mem, m, i)))
            return FAIL(ERR_INTERNAL, "another text");
    }
    return OK;
}

static void a_dictionary_is_made_when_it_helps(void **state)
{
    (void)state;
    static const char some[] = "paid_outcustomerinvoice_currencyinterval_periodsmetadata",
                      other[] = "Qz7#kLp9wX2&vB5!nM4%rT8(yU1)jH3=gF6?dS0+aC_:eZ~;oI|<uE^>";
    take(0, 50, some);
    assert_false(train()); /* too few */
    assert_int_equal(trained, 0);
    take(50, 350, some);
    assert_true(train());
    assert_int_equal(trained, 1);
    take(400, 400, some);
    int before = trained;
    for (int i = 0; i < 5; i++)
        train();
    assert_in_range(trained, before, before + 1); /* settled by one look at most */
    before = trained;
    take(800, 400, other);
    assert_true(train());
    assert_int_equal(trained, before + 1);
    struct many all[] = {{0, 800, some}, {800, 400, other}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(db_read(f.db, f.mem, same_text, &all[i]), OK);
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_dictionary_is_made_when_it_helps, setup, tear_down),
    };
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
