/* Facts to status: what billing tells, and what follows for the row, the slot, the history. SPEC
 * §2, §3. */
#include "purchase/purchase_store.h"

#include <assert.h>

#define LISTENERS 8
static purchase_fn listeners[LISTENERS];
static size_t nlisteners;

void purchase_listen(purchase_fn fn)
{
    assert(nlisteners < LISTENERS);
    listeners[nlisteners++] = fn;
}

err purchase_tell(struct db_tx *tx, struct arena *mem, struct app *app,
                  const struct purchase_change *c)
{
    for (size_t i = 0; i < nlisteners; i++)
        TRY(listeners[i](tx, mem, app, c));
    return OK;
}

/* -------- status from facts -------- */

/* Money came twice for one purchase; only one payment can be its own. */
static err paid_again(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now)
{
    return billing_flag_put(tx, mem, "paid_twice", p->id,
                            SV("more than one payment of it succeeded"), now);
}

/* `payment` is the purchase's from now on. */
static err payment_take(struct db_tx *tx, struct arena *mem, struct purchase *p, sv payment, ts now)
{
    struct payment_facts old = {.paid_at = TS_NONE};
    bool bound;
    TRY(purchase_bind_payment(tx, p->id, payment, &bound));
    if (!bound)
        return OK;
    if (p->payment_intent.p)
        TRY(billing_payment_get(tx, mem, p->payment_intent, &old));
    if (old.known && old.succeeded)
        TRY(paid_again(tx, mem, p, now));
    p->payment_intent = payment;
    return OK;
}

static err session_facts_add(struct db_tx *tx, struct arena *mem, struct purchase *p,
                             struct purchase_facts *f, ts now)
{
    if (!p->session.p)
        return OK;
    struct session_facts s = {0};
    TRY(billing_session_get(tx, mem, p->session, &s));
    if (!s.known)
        return OK;
    f->session_known = true;
    f->session_paid =
        sv_is(s.payment_status, "paid") || sv_is(s.payment_status, "no_payment_required");
    f->session_expired = sv_is(s.status, "expired");
    f->session_failed = s.async_failed;
    f->session_total = s.amount_total;
    f->session_currency = s.currency;
    f->session_item = s.item_id;
    if (s.payment_intent.p && !sv_eq(s.payment_intent, p->payment_intent))
        TRY(payment_take(tx, mem, p, s.payment_intent, now));
    if (!sv_empty(s.email) && !p->email.p) {
        TRY(purchase_set_email(tx, p->id, s.email));
        p->email = s.email;
    }
    return OK;
}

static err facts_get(struct db_tx *tx, struct arena *mem, struct purchase *p,
                     struct purchase_facts *out, ts now)
{
    struct purchase_facts f = {.never_opened = p->gone, .session_item = SV_NULL};
    TRY(session_facts_add(tx, mem, p, &f, now));
    if (p->payment_intent.p) {
        struct payment_facts m = {.paid_at = TS_NONE};
        TRY(billing_payment_get(tx, mem, p->payment_intent, &m));
        f.payment_succeeded = m.known && m.succeeded;
        f.received = m.received;
        f.payment_currency = m.currency;
        f.refunded = m.refunded;
        f.dispute_open = m.dispute_open;
        f.dispute_lost = m.dispute_lost;
    }
    *out = f;
    return OK;
}

static err slot_follow(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                       enum slot_target to, ts now)
{
    static const char *const states[] = {
        [SLOT_HELD] = "held", [SLOT_CONSUMED] = "consumed", [SLOT_RELEASED] = "released"};
    bool lost = false;
    if (to == SLOT_RESTORED)
        return entitlement_discount_restore(tx, mem, p->id, now);
    TRY(entitlement_discount_set(tx, p->id, states[to], now, &lost));
    return lost
               ? billing_flag_put(tx, mem, "discount_reused", p->id,
                                  SV("the payment counts again, its discount was given to another"),
                                  now)
               : OK;
}

static err flags_put(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                     const struct purchase_outcome *o, ts now)
{
    if (o->mismatch && !p->mismatch)
        TRY(billing_flag_put(
            tx, mem, "amount_mismatch", p->id,
            SV("amount, currency or item differ from what was asked: nothing granted"), now));
    if (o->late && !p->late)
        TRY(billing_flag_put(tx, mem, "late_payment", p->id,
                             SV("paid after the session had ended: honoured, without a slot"),
                             now));
    return OK;
}

static const char *change_word(const struct purchase *p, const struct purchase_outcome *o)
{
    if (o->mismatch && !p->mismatch)
        return "amount_mismatch";
    if (o->late && !p->late)
        return "late_payment";
    return purchase_status_name(o->status);
}

/* Bought: another open checkout of the same item would only take money twice, so it is ended; what
 * was paid twice all the same is for an admin to give back. */
static err only_once(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now)
{
    struct caller owner = {.member = p->member, .visitor = p->visitor};
    struct purchase open;
    bool found, twin = false;
    if (!user_id_none(&p->member)) {
        owner.visitor = (visitor_id){""};
        TRY(purchase_twin(tx, mem, p, &twin));
    }
    if (twin)
        TRY(billing_flag_put(tx, mem, "paid_twice", p->id, SV("the item was bought already"), now));
    TRY(purchase_open_get(tx, mem, &owner, p->item, &open, &found));
    if (found && open.session.p && !sv_eq(open.id, p->id))
        return purchase_end_session(tx, mem, &open, now);
    return OK;
}

err purchase_refresh(struct db_tx *tx, struct arena *mem, struct app *app, sv id, sv event, sv type,
                     ts now)
{
    struct purchase p;
    struct purchase_facts f;
    bool found;
    TRY(purchase_lock(tx, mem, id, &p, &found));
    if (!found)
        return OK;
    bool reachable = p.email.p != NULL;
    TRY(facts_get(tx, mem, &p, &f, now));
    struct purchase_terms t = {.price = p.price, .currency = p.currency, .item = p.item};
    struct purchase_outcome o = purchase_decide(&t, &f);
    if (o.status == p.status && o.mismatch == p.mismatch && o.late == p.late) {
        /* The payment's event came before its session's: only now there is an address to write to.
         */
        struct purchase_change again = {
            .p = &p, .from = p.status, .to = p.status, .event = event, .now = now};
        bool late_address = !reachable && p.email.p != NULL && p.status == PURCHASE_PAID;
        return late_address ? purchase_tell(tx, mem, app, &again) : OK;
    }
    TRY(slot_follow(tx, mem, &p, o.slot, now));
    TRY(flags_put(tx, mem, &p, &o, now));
    struct purchase_change c = {
        .p = &p, .from = p.status, .to = o.status, .event = event, .now = now};
    const char *what = change_word(&p, &o);
    p.status = o.status;
    p.mismatch = o.mismatch;
    p.late = o.late;
    p.changed = now;
    if (ts_is_none(p.paid) && p.status != PURCHASE_PENDING && p.status != PURCHASE_FAILED &&
        p.status != PURCHASE_EXPIRED)
        p.paid = now;
    TRY(purchase_set_status(tx, mem, &p, now));
    TRY(purchase_history_add(tx, mem, id, o.status, what, event.p ? SV("stripe") : SV("system"),
                             event, type, now));
    if (purchase_grants(c.to) && !purchase_grants(c.from))
        TRY(only_once(tx, mem, &p, now));
    return c.from == c.to ? OK : purchase_tell(tx, mem, app, &c);
}

/* -------- which purchase is it about? -------- */

static bool same_money(const struct purchase *p, int64_t amount, sv code)
{
    currency c;
    return amount == p->price.minor && currency_parse(code, &c) && currency_eq(c, p->currency);
}

static err disagree(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                    const struct fact_change *c)
{
    return billing_flag_put(
        tx, mem, "amount_mismatch", c->object,
        arena_printf(mem, "names purchase %.*s but is not what it asked for: ignored",
                     SV_ARG(p->id)),
        c->now);
}

/* A session names its purchase in metadata: bound once, if it is what we asked for. */
static err session_purchase(struct db_tx *tx, struct arena *mem, const struct fact_change *c,
                            sv *id)
{
    struct purchase p = {.id = SV_NULL};
    bool found;
    TRY(purchase_by_session(tx, mem, c->object, &p, &found));
    if (found) {
        *id = p.id;
        return OK;
    }
    if (!sv_is(json_get_str(c->value, "mode"), "payment"))
        return OK;
    sv named = json_str(json_path(c->value, "metadata.purchaseId"));
    if (named.p)
        TRY(purchase_by_id(tx, mem, named, &p, &found));
    if (!found) {
        if (!sv_is(json_get_str(c->value, "payment_status"), "paid"))
            return OK;
        return billing_flag_put(tx, mem, "unmatched_payment", c->object,
                                SV("a paid session that belongs to no purchase"), c->now);
    }
    sv item = json_str(json_path(c->value, "metadata.itemId"));
    bool same = same_money(&p, json_get_int(c->value, "amount_total", -1),
                           json_get_str(c->value, "currency")) &&
                (!item.p || sv_eq(item, p.item));
    if (p.session.p || !same)
        return disagree(tx, mem, &p, c);
    TRY(purchase_bind_session(tx, p.id, c->object));
    *id = p.id;
    return OK;
}

static err attempt_get(struct db_tx *tx, struct arena *mem, const struct purchase *p, sv payment,
                       struct purchase_attempt *out)
{
    struct session_facts s = {0};
    struct payment_facts m = {.paid_at = TS_NONE};
    if (p->session.p)
        TRY(billing_session_get(tx, mem, p->session, &s));
    TRY(billing_payment_get(tx, mem, payment, &m));
    *out = (struct purchase_attempt){.payment = payment,
                                     .named = s.known && sv_eq(s.payment_intent, payment),
                                     .succeeded = m.known && m.succeeded};
    return OK;
}

/* A payment names its purchase in metadata: it is the purchase's if it counts more than the one
 * that the purchase has. */
static err attempt_bind(struct db_tx *tx, struct arena *mem, const struct fact_change *c,
                        struct purchase *p, sv payment, sv *id)
{
    struct purchase_attempt mine, other;
    if (!same_money(p, json_get_int(c->value, "amount", -1), json_get_str(c->value, "currency")))
        return disagree(tx, mem, p, c);
    if (p->payment_intent.p) {
        TRY(attempt_get(tx, mem, p, payment, &mine));
        TRY(attempt_get(tx, mem, p, p->payment_intent, &other));
        if (!purchase_attempt_outranks(&mine, &other))
            return mine.succeeded ? paid_again(tx, mem, p, c->now) : OK;
    }
    TRY(payment_take(tx, mem, p, payment, c->now));
    *id = p->id;
    return OK;
}

static err payment_purchase(struct db_tx *tx, struct arena *mem, const struct fact_change *c,
                            sv payment, sv *id)
{
    struct purchase p = {.id = SV_NULL};
    bool found = false;
    if (payment.p)
        TRY(purchase_by_payment(tx, mem, payment, &p, &found));
    if (found) {
        *id = p.id;
        return OK;
    }
    sv named = json_str(json_path(c->value, "metadata.purchaseId"));
    if (!payment.p || !named.p || (c->kind != FACT_PAYMENT && c->kind != FACT_CHARGE))
        return OK;
    TRY(purchase_lock(tx, mem, named, &p, &found)); /* two attempts at once: one after the other */
    return found ? attempt_bind(tx, mem, c, &p, payment, id) : OK;
}

static err payment_of(struct db_tx *tx, struct arena *mem, const struct fact_change *c, sv *payment)
{
    *payment = c->kind == FACT_PAYMENT ? c->object
               : c->payment.p          ? c->payment
                                       : json_id(json_get(c->value, "payment_intent"));
    sv charge = json_id(json_get(c->value, "charge"));
    return payment->p || !charge.p ? OK : purchase_payment_of_charge(tx, mem, charge, payment);
}

/* A session that is open has its URL: kept for whoever asks for the same item again. */
static err url_keep(struct db_tx *tx, const struct fact_change *c, sv id)
{
    sv url = json_get_str(c->value, "url");
    return sv_empty(url) || !sv_is(json_get_str(c->value, "status"), "open")
               ? OK
               : purchase_set_url(tx, id, url);
}

err purchase_on_fact(struct db_tx *tx, struct arena *mem, struct app *app,
                     const struct fact_change *c)
{
    sv id = SV_NULL, payment;
    switch (c->kind) {
    case FACT_SESSION:
        TRY(session_purchase(tx, mem, c, &id));
        if (id.p)
            TRY(url_keep(tx, c, id));
        break;
    case FACT_PAYMENT:
    case FACT_CHARGE:
    case FACT_REFUND:
    case FACT_DISPUTE:
        TRY(payment_of(tx, mem, c, &payment));
        TRY(payment_purchase(tx, mem, c, payment, &id));
        break;
    default:
        break;
    }
    return id.p ? purchase_refresh(tx, mem, app, id, c->event, c->type, c->now) : OK;
}
