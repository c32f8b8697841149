/* One object from Stripe into the tables: which content wins, and what is told of it. */
#include "billing/fact_apply.h"
#include "ext/stripe_event.h"
#include "queries.h"

/* -------- order -------- */

static struct fact_order order_seen(const struct fact_ctx *c, int64_t rank,
                                    struct fact_content content)
{
    int64_t digest = fact_digest(content.says, content.ids);
    const struct fact_in *in = c->in;
    return in->source == FACT_FROM_FETCH
               ? fact_order_fetched(in->as_of, in->known_before, rank, digest)
               : fact_order_event(in->as_of, rank, digest);
}

err fact_judge(struct fact_ctx *c, const struct fact_order *stored, int64_t rank,
               struct fact_content content)
{
    c->seen = order_seen(c, rank, content);
    struct fact_verdict v = fact_decide(stored, &c->seen);
    c->newer = v.newer;
    c->again = !v.newer && stored->known && stored->digest == c->seen.digest &&
               stored->as_of.ms == c->seen.as_of.ms;
    if (v.ask)
        return fact_refetch_put(c->tx, c->mem, c->kind, c->id, c->in->now, c->in->now);
    return OK;
}

err fact_lock(struct fact_ctx *c, const sv *ids, size_t n)
{
    sv keys[8 + WIRE_PAYMENTS];
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!sv_empty(ids[i]))
            keys[k++] = ids[i];
    return db_lock(c->tx, keys, k);
}

err fact_owner_of(struct fact_ctx *c, sv customer, const struct claim *claims, size_t n)
{
    return fact_owner(c->tx, c->mem, c->app, customer, claims, n, c->in->now, &c->member);
}

bool fact_is_type(const struct fact_ctx *c, const char *type)
{
    return sv_is(c->in->type, type);
}

sv fact_status(sv status)
{
    return status.p ? status : SV("unknown");
}

/* -------- dispatch -------- */

static err (*const apply_kind[FACT_KINDS])(struct fact_ctx *c) = {
    [FACT_SUBSCRIPTION] = fact_apply_subscription,
    [FACT_INVOICE] = fact_apply_invoice,
    [FACT_PAYMENT] = fact_apply_payment,
    [FACT_CHARGE] = fact_apply_charge,
    [FACT_REFUND] = fact_apply_refund,
    [FACT_DISPUTE] = fact_apply_dispute,
    [FACT_SESSION] = fact_apply_session,
    [FACT_CUSTOMER] = fact_apply_customer,
    [FACT_INVOICE_PAYMENT] = fact_apply_invoice_payment,
    [FACT_PAYMENT_METHOD] = fact_apply_payment_method,
};

static err tell(struct fact_ctx *c)
{
    if (!c->newer && !c->again)
        return OK;
    struct fact_change change = {.kind = c->kind,
                                 .object = c->id,
                                 .event = c->in->event,
                                 .type = c->in->type,
                                 .as_of = c->in->as_of,
                                 .value = c->object,
                                 .member = c->member,
                                 .payment = c->payment,
                                 .now = c->in->now};
    return fact_tell(c->tx, c->mem, c->app, &change);
}

static err apply_object(struct db_tx *tx, struct arena *mem, struct app *app,
                        const struct fact_in *in, const json *object, int depth, bool *handled);

/* Objects expanded inside an answer are facts as good as the answer itself. */
static err apply_expanded(struct fact_ctx *c)
{
    static const char *const keys[] = {"latest_invoice", "subscription", "payment_intent",
                                       "latest_charge",  "charge",       "invoice",
                                       "customer"};
    bool handled;
    if (c->in->source != FACT_FROM_FETCH || c->depth >= 3)
        return OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json *inner = json_get(c->object, keys[i]);
        if (json_kind(inner) == JK_OBJ)
            TRY(apply_object(c->tx, c->mem, c->app, c->in, inner, c->depth + 1, &handled));
    }
    return OK;
}

err fact_apply_refunds(struct fact_ctx *c, const json *list)
{
    bool handled;
    for (size_t i = 0; i < json_len(list); i++) {
        struct fact_in in = *c->in;
        in.type = in.event = SV_NULL;
        TRY(apply_object(c->tx, c->mem, c->app, &in, json_at(list, i), c->depth + 1, &handled));
    }
    return OK;
}

static err apply_object(struct db_tx *tx, struct arena *mem, struct app *app,
                        const struct fact_in *in, const json *object, int depth, bool *handled)
{
    struct fact_in of_this = *in;
    if (depth > 0) { /* these are about the object that was asked for */
        of_this.known_before = TS_NONE;
        of_this.npages = 0;
    }
    struct fact_ctx c = {.tx = tx,
                         .mem = mem,
                         .app = app,
                         .in = &of_this,
                         .object = object,
                         .kind = fact_kind_parse(json_get_str(object, "object")),
                         .id = json_get_str(object, "id"),
                         .payment = SV_NULL,
                         .depth = depth};
    /* An announced invoice is none yet, whether it has an id (newer versions) or not. */
    *handled = c.kind != FACT_KINDS && !sv_empty(c.id) && !sv_is(of_this.type, "invoice.upcoming");
    if (!*handled)
        return OK;
    if (c.id.n > STRIPE_ID_MAX)
        return FAIL(ERR_BAD_REQUEST, "the object's id is longer than %d bytes", STRIPE_ID_MAX);
    TRY(apply_kind[c.kind](&c));
    TRY(apply_expanded(&c));
    return tell(&c);
}

err fact_apply(struct db_tx *tx, struct arena *mem, struct app *app, const struct fact_in *in,
               bool *handled)
{
    return apply_object(tx, mem, app, in, in->object, 0, handled);
}

#define KNOWN(k, query)                                                                            \
    case k: {                                                                                      \
        struct query##_row row;                                                                    \
        TRY(q_##query(tx, mem, &(struct query##_in){id}, &row, &found));                           \
        *out = found ? row.as_of : TS_NONE;                                                        \
        return OK;                                                                                 \
    }
err fact_known(struct db_tx *tx, struct arena *mem, enum fact_kind kind, sv id, ts *out)
{
    bool found;
    switch (kind) {
        KNOWN(FACT_SUBSCRIPTION, subscription_get)
        KNOWN(FACT_INVOICE, invoice_get)
        KNOWN(FACT_PAYMENT, payment_get)
        KNOWN(FACT_CHARGE, charge_get)
        KNOWN(FACT_REFUND, refund_get)
        KNOWN(FACT_DISPUTE, dispute_get)
        KNOWN(FACT_SESSION, fact_session_get)
        KNOWN(FACT_CUSTOMER, fact_customer_get)
        KNOWN(FACT_INVOICE_PAYMENT, invoice_payment_get)
        KNOWN(FACT_PAYMENT_METHOD, payment_method_get)
    case FACT_KINDS:
        break;
    }
    *out = TS_NONE;
    return OK;
}

/* Answers carry whole seconds: of several of one second, the one applied last is the newest. */
static err same_second(struct db_tx *tx, struct arena *mem, const json *object, ts date,
                       ts *known_before)
{
    enum fact_kind kind = fact_kind_parse(json_get_str(object, "object"));
    sv id = json_get_str(object, "id");
    ts known = TS_NONE;
    if (!sv_empty(id))
        TRY(fact_known(tx, mem, kind, id, &known));
    ts from = ts_add(date, FACT_FETCH_SLACK);
    bool same = !ts_before(known, from) && ts_before(known, ts_add(from, TS_SECOND));
    *known_before = same ? known : TS_NONE;
    return OK;
}

err billing_apply_object(struct db_tx *tx, struct arena *mem, struct app *app, const json *object,
                         ts as_of, ts now)
{
    bool handled;
    struct fact_in in = {.object = object,
                         .as_of = ts_is_none(as_of) ? now : as_of,
                         .source = FACT_FROM_FETCH,
                         .event = SV_NULL,
                         .type = SV_NULL,
                         .now = now};
    TRY(same_second(tx, mem, object, in.as_of, &in.known_before));
    return fact_apply(tx, mem, app, &in, &handled);
}
