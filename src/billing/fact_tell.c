/* Those who want to know of facts. */
#include "billing/event.h"
#include "billing/fact.h"
#include "queries.h"

#include <assert.h>

static billing_fact_fn listeners[16];
static unsigned nlisteners;

void billing_listen(billing_fact_fn fn)
{
    for (unsigned i = 0; i < nlisteners; i++)
        if (listeners[i] == fn)
            return;
    assert(nlisteners < sizeof listeners / sizeof *listeners);
    listeners[nlisteners++] = fn;
}

err fact_tell(struct db_tx *tx, struct arena *mem, struct app *app, const struct fact_change *c)
{
    for (unsigned i = 0; app && i < nlisteners; i++) /* a rebuild for comparison has no app */
        TRY(listeners[i](tx, mem, app, c));
    return OK;
}

err fact_tell_again(struct db_tx *tx, struct arena *mem, struct app *app, enum fact_kind kind,
                    sv id, const user_id *member, sv payment, ts now)
{
    struct fact_change c = {
        .kind = kind, .object = id, .as_of = now, .payment = payment, .now = now};
    if (member)
        c.member = *member;
    if (nlisteners == 0 || !app)
        return OK;
    struct event_of_object_row row;
    bool found;
    TRY(q_event_of_object(tx, mem, &(struct event_of_object_in){id}, &row, &found));
    const json *event = NULL;
    sv text;
    if (found) {
        TRY(payload_unpack(tx, mem, row.dict, row.size, row.payload, &text));
        if (json_parse(mem, text, &event) != OK)
            event = NULL;
    }
    if (event) {
        c.event = row.id;
        c.type = row.type;
        c.as_of = row.created_at;
        c.value = json_path(event, "data.object");
    }
    return fact_tell(tx, mem, app, &c);
}

/* -------- kinds -------- */

static const struct {
    const char *object, *prefix;
} kinds[FACT_KINDS] = {
    [FACT_SUBSCRIPTION] = {"subscription", "sub_"},
    [FACT_INVOICE] = {"invoice", "in_"},
    [FACT_PAYMENT] = {"payment_intent", "pi_"},
    [FACT_CHARGE] = {"charge", "ch_"},
    [FACT_REFUND] = {"refund", "re_"},
    [FACT_DISPUTE] = {"dispute", "du_"},
    [FACT_SESSION] = {"checkout.session", "cs_"},
    [FACT_CUSTOMER] = {"customer", "cus_"},
    [FACT_INVOICE_PAYMENT] = {"invoice_payment", "inpay_"},
    [FACT_PAYMENT_METHOD] = {"payment_method", "pm_"},
};

const char *fact_kind_name(enum fact_kind k)
{
    assert(k < FACT_KINDS);
    return kinds[k].object;
}

enum fact_kind fact_kind_parse(sv object_name)
{
    for (unsigned k = 0; k < FACT_KINDS; k++)
        if (sv_is(object_name, kinds[k].object))
            return (enum fact_kind)k;
    return FACT_KINDS;
}

enum fact_kind fact_kind_guess(sv id)
{
    for (unsigned k = 0; k < FACT_KINDS; k++)
        if (sv_starts(id, sv_from(kinds[k].prefix)))
            return (enum fact_kind)k;
    if (sv_starts(id, SV("dp_")))
        return FACT_DISPUTE;
    return sv_starts(id, SV("pyr_")) ? FACT_REFUND : FACT_KINDS;
}
