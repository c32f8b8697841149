#include "purchase/purchase_rules.h"

#include "base/arena.h"

static const char *const names[PURCHASE_STATUSES] = {
    "pending", "paid", "failed", "expired", "partially_refunded", "refunded", "disputed", "lost"};

const char *purchase_status_name(enum purchase_status s)
{
    return names[s];
}

bool purchase_status_parse(sv s, enum purchase_status *out)
{
    for (int i = 0; i < PURCHASE_STATUSES; i++)
        if (sv_is(s, names[i])) {
            *out = (enum purchase_status)i;
            return true;
        }
    return false;
}

bool purchase_grants(enum purchase_status s)
{
    return s == PURCHASE_PAID || s == PURCHASE_PARTIALLY_REFUNDED;
}

static bool disagrees(const struct purchase_terms *t, const struct purchase_facts *f)
{
    if (f->session_known) {
        if (f->session_total.minor != t->price.minor ||
            !currency_eq(f->session_currency, t->currency))
            return true;
        if (f->session_item.p && !sv_eq(f->session_item, t->item))
            return true;
    }
    return f->payment_succeeded &&
           (f->received.minor != t->price.minor || !currency_eq(f->payment_currency, t->currency));
}

/* Paid once: what happened to the money since. */
static enum purchase_status after_payment(const struct purchase_terms *t,
                                          const struct purchase_facts *f)
{
    if (f->refunded.minor >= t->price.minor)
        return PURCHASE_REFUNDED;
    if (f->dispute_lost)
        return PURCHASE_LOST;
    if (f->dispute_open)
        return PURCHASE_DISPUTED;
    return f->refunded.minor > 0 ? PURCHASE_PARTIALLY_REFUNDED : PURCHASE_PAID;
}

struct purchase_outcome purchase_decide(const struct purchase_terms *t,
                                        const struct purchase_facts *f)
{
    struct purchase_outcome o = {.status = PURCHASE_PENDING, .slot = SLOT_HELD};
    if (t->price.minor == 0) { /* given away: no Stripe call, no facts */
        o.status = PURCHASE_PAID;
        o.slot = SLOT_CONSUMED;
        return o;
    }
    bool ended = f->session_expired || f->session_failed || f->never_opened;
    bool paid = f->session_paid || f->payment_succeeded;
    o.mismatch = disagrees(t, f);
    if (paid && !o.mismatch) {
        o.status = after_payment(t, f);
        o.late = ended;
        /* The end of the session has freed the slot, maybe for somebody else: whatever the order in
         * which we hear of both, it stays free. */
        o.slot = ended                           ? SLOT_RELEASED
                 : o.status == PURCHASE_REFUNDED ? SLOT_RESTORED
                                                 : SLOT_CONSUMED;
    } else if (paid || ended) {
        o.status = f->session_expired && !paid ? PURCHASE_EXPIRED : PURCHASE_FAILED;
        o.slot = SLOT_RELEASED;
    }
    return o;
}

bool purchase_attempt_outranks(const struct purchase_attempt *a, const struct purchase_attempt *b)
{
    if (a->named != b->named)
        return a->named;
    if (a->succeeded != b->succeeded)
        return a->succeeded;
    return sv_cmp(a->payment, b->payment) < 0;
}
