/* Bodies of events as they are stored: small, and the same again when read. */
#include "base/crypto.h"
#include "billing/event.h"

#include "../db/fixture.h"

#include <zstd.h>

#define EVENTS 256 /* as many as there are when the server first trains */

static struct fixture f;
static const ts now = {INT64_C(1790000000000)};

static int setup(void **state)
{
    int e = set_up_sqlite(state);
    f = *(struct fixture *)*state;
    return e;
}

static sv hex_of(const char *what, unsigned n)
{
    struct digest d = crypto_sha256(arena_printf(f.mem, "%s %u", what, n));
    return crypto_hex(f.mem, (sv){(const char *)d.b, 12});
}

/* Like Stripe's: much that is always there, ids that nobody foresees, now and then a field more. */
static sv text_of(unsigned n)
{
    BUF_AUTO b = {0};
    sv odd = hex_of("id", n);
    buf_printf(&b, "{\n  \"id\": \"evt_%.*s\",\n  \"object\": \"event\",\n  \"created\": %u,\n",
               SV_ARG(odd), 1790000000 + n);
    for (unsigned i = 0; i < 60; i++)
        buf_printf(&b, "  \"%.*s\": %s,\n", SV_ARG(hex_of("field", i)),
                   (n + i) % 7 ? "null" : "{\"enabled\": false, \"liability\": null}");
    buf_printf(&b, "  \"customer\": \"cus_%.*s\",\n  \"type\": \"invoice.%s\"\n}", SV_ARG(odd),
               n % 3 ? "paid" : "created");
    return arena_sv(f.mem, buf_sv(&b));
}

struct range {
    unsigned from, to;
};

static err put_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct range *r = arg;
    for (unsigned n = r->from; n < r->to; n++) {
        struct payload p = payload_pack(mem, text_of(n));
        struct event_insert_in in = {
            .id = arena_printf(mem, "evt_%u", n),
            .type = n % 3 ? SV("invoice.paid") : SV("a.type.that.has.no.code"),
            .object = SV_NULL,
            .created_at = now,
            .received_at = {now.ms + n},
            .status = SV("applied"),
            .error = SV_NULL,
            .dict = p.dict,
            .size = p.size,
            .payload = p.packed,
        };
        TRY(q_event_insert(tx, mem, &in, NULL));
    }
    return OK;
}

static err same_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    const struct range *r = arg;
    for (unsigned n = r->from; n < r->to; n++) {
        struct event_get_row row;
        bool found;
        sv text;
        sv id = arena_printf(mem, "evt_%u", n);
        TRY(q_event_get(tx, mem, &(struct event_get_in){id}, &row, &found));
        assert_true(found);
        assert_true(sv_is(row.type, n % 3 ? "invoice.paid" : "a.type.that.has.no.code"));
        TRY(payload_unpack(tx, mem, row.dict, row.size, row.payload, &text));
        assert_true(sv_eq(text, text_of(n)));
    }
    return OK;
}

static void a_dictionary_makes_them_small(void **state)
{
    (void)state;
    struct range first = {0, EVENTS}, later = {EVENTS, EVENTS + 400};
    bool made;
    struct payload alone = payload_pack(f.mem, text_of(9999));
    assert_int_equal(alone.dict, 0);
    assert_int_equal(db_write(f.db, f.mem, put_tx, &first), OK);
    assert_int_equal(payload_dict_train(f.db, f.mem, now, &made), OK);
    assert_true(made);
    struct payload p = payload_pack(f.mem, text_of(9999));
    assert_int_equal(p.dict, 1);
    assert_true(p.packed.n * 2 < alone.packed.n);
    /* The row names the dictionary by our number; the frame by its own, so that another is not
     * taken for it. */
    assert_int_not_equal(ZSTD_getDictID_fromFrame(p.packed.p, p.packed.n), 0);
    assert_int_equal(db_write(f.db, f.mem, put_tx, &later), OK);
    /* What helps little is not kept. */
    assert_int_equal(payload_dict_train(f.db, f.mem, now, &made), OK);
    assert_false(made);
    assert_int_equal(db_read(f.db, f.mem, same_tx, &first), OK);
    assert_int_equal(db_read(f.db, f.mem, same_tx, &later), OK);
}

/* As rows were written that say the type in full: they are read like the others. */
static err old_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    return db_script(tx, arena_cstr(mem, SV("UPDATE webhook_event SET type = 'invoice.paid', "
                                            "api_version = '2024-06-20' WHERE type = '25'")));
}

static void types_are_codes_inside(void **state)
{
    (void)state;
    struct range some = {0, 6};
    assert_int_equal(db_write(f.db, f.mem, put_tx, &some), OK);
    assert_int_equal(db_read(f.db, f.mem, same_tx, &some), OK);
    assert_int_equal(db_write(f.db, f.mem, old_tx, NULL), OK);
    assert_int_equal(db_read(f.db, f.mem, same_tx, &some), OK);
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_are_codes_inside, setup, tear_down),
        cmocka_unit_test_setup_teardown(a_dictionary_makes_them_small, setup, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
