/* One object from Stripe into the tables: which content wins, who owns it, what it links, what
 * follows. */
#include "billing/fact.h"
#include "ext/stripe_event.h"
#include "queries.h"

/* What is known while one object is applied. */
struct ctx {
    struct db_tx *tx;
    struct arena *mem;
    struct app *app;
    const struct fact_in *in;
    const json *object;
    enum fact_kind kind;
    sv id, payment;
    user_id member;
    struct fact_order seen;
    bool newer, again; /* again: the same content at the same time, by another event */
    int depth;
};

/* -------- order -------- */

/* What an object says, and the ids that it names. */
struct content {
    sv says, ids;
};

static struct fact_order order_seen(const struct ctx *c, int64_t rank, struct content content)
{
    int64_t digest = fact_digest(content.says, content.ids);
    const struct fact_in *in = c->in;
    return in->source == FACT_FROM_FETCH
               ? fact_order_fetched(in->as_of, in->known_before, rank, digest)
               : fact_order_event(in->as_of, rank, digest);
}

static err judge(struct ctx *c, const struct fact_order *stored, int64_t rank,
                 struct content content)
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

#define STORED(found, row)                                                                         \
    &((struct fact_order){(found), (found) ? (row).as_of : TS_NONE, (found) ? (row).source : 0,    \
                          (found) ? (row).rank : 0, (found) ? (row).digest : 0})
#define ORDER(c)                                                                                   \
    .as_of = (c)->seen.as_of, .source = (c)->seen.source, .rank = (c)->seen.rank,                  \
    .digest = (c)->seen.digest

/* Locks everything that an object names, in one call. */
static err lock(struct ctx *c, const sv *ids, size_t n)
{
    sv keys[8 + WIRE_PAYMENTS];
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!sv_empty(ids[i]))
            keys[k++] = ids[i];
    return db_lock(c->tx, keys, k);
}
#define LOCK(c, ...) lock((c), (sv[]){__VA_ARGS__}, sizeof((sv[]){__VA_ARGS__}) / sizeof(sv))

static err owner(struct ctx *c, sv customer, const struct claim *claims, size_t n)
{
    return fact_owner(c->tx, c->mem, c->app, customer, claims, n, c->in->now, &c->member);
}

static bool is_type(const struct ctx *c, const char *type)
{
    return sv_is(c->in->type, type);
}

static sv known(sv status)
{
    return status.p ? status : SV("unknown");
}

/* -------- customers -------- */

static err each_subscription(struct ctx *c, sv customer)
{
    struct subscriptions_of_customer_row *rows;
    size_t n;
    TRY(q_subscriptions_of_customer(c->tx, c->mem, &(struct subscriptions_of_customer_in){customer},
                                    &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_derive_subscription(c->tx, c->mem, rows[i].id));
    return fact_derive_member(c->tx, c->mem, &c->member, c->in->now);
}

static err apply_customer(struct ctx *c)
{
    struct wire_customer w;
    stripe_read_customer(c->object, &w);
    w.deleted |= is_type(c, "customer.deleted");
    TRY(LOCK(c, c->id));
    struct fact_customer_get_row row;
    bool found;
    TRY(q_fact_customer_get(c->tx, c->mem, &(struct fact_customer_get_in){c->id}, &row, &found));
    struct content content = {
        arena_printf(c->mem, "%d|%d", w.deleted, w.payment_method.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.user_ref), SV_ARG(w.payment_method))};
    found = found && row.rank >= 0; /* a row made by a claim alone holds no content */
    TRY(judge(c, STORED(found, row), w.deleted ? FACT_TERMINAL : 1, content));
    if (c->newer) {
        struct fact_customer_put_in in = {.id = c->id,
                                          .user_ref = w.user_ref,
                                          .payment_method = w.payment_method,
                                          .deleted = w.deleted,
                                          ORDER(c)};
        TRY(q_fact_customer_put(c->tx, c->mem, &in, NULL));
    }
    TRY(owner(c, c->id, &(struct claim){w.user_ref, CLAIM_CUSTOMER}, 1));
    if (!w.deleted || !c->newer)
        return OK;
    TRY(billing_customer_del(c->tx, c->mem, c->id));
    return each_subscription(c, c->id);
}

/* -------- subscriptions -------- */

static struct content subscription_content(struct arena *mem, const struct wire_subscription *w)
{
    return (struct content){
        arena_printf(mem, "%.*s|%lld|%lld|%lld|%lld|%lld|%d|%lld|%lld|%d|%lld", SV_ARG(w->status),
                     (long long)w->period_start.ms, (long long)w->period_end.ms,
                     (long long)w->trial_start.ms, (long long)w->trial_end.ms,
                     (long long)w->cancel_at.ms, w->cancel_at_period_end,
                     (long long)w->canceled_at.ms, (long long)w->ended_at.ms, w->collection_paused,
                     (long long)w->anchor.ms),
        arena_printf(mem, "%.*s|%.*s|%.*s|%.*s", SV_ARG(w->customer), SV_ARG(w->item),
                     SV_ARG(w->price), SV_ARG(w->payment_method))};
}

static err put_subscription(struct ctx *c, const struct wire_subscription *w)
{
    struct subscription_put_in in = {
        .id = c->id,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .customer = w->customer,
        .status = known(w->status),
        .created_at = w->created,
        .period_start = w->period_start,
        .period_end = w->period_end,
        .trial_start = w->trial_start,
        .trial_end = w->trial_end,
        .cancel_at = w->cancel_at,
        .cancel_at_period_end = w->cancel_at_period_end,
        .canceled_at = w->canceled_at,
        .ended_at = w->ended_at,
        .collection_paused = w->collection_paused,
        .anchor = w->anchor,
        .item = w->item,
        .price = w->price,
        .payment_method = w->payment_method,
        .user_ref = w->user_ref,
        ORDER(c),
    };
    return q_subscription_put(c->tx, c->mem, &in, NULL);
}

/* News of past_due and of its end are kept beside the newest content: when it began is asked of
 * all. */
static err note_past_due(struct ctx *c, sv status)
{
    if (sv_is(status, "past_due"))
        return q_past_due_seen(c->tx, c->mem, &(struct past_due_seen_in){c->id, c->in->as_of},
                               NULL);
    return q_subscription_clear(c->tx, c->mem, &(struct subscription_clear_in){c->id, c->in->as_of},
                                NULL);
}

static err apply_subscription(struct ctx *c)
{
    struct wire_subscription w;
    stripe_read_subscription(c->object, &w);
    if (is_type(c, "customer.subscription.deleted"))
        w.status = SV("canceled");
    TRY(LOCK(c, c->id, w.customer));
    struct subscription_get_row row;
    bool found;
    TRY(q_subscription_get(c->tx, c->mem, &(struct subscription_get_in){c->id}, &row, &found));
    TRY(judge(c, STORED(found, row), fact_rank_subscription(w.status),
              subscription_content(c->mem, &w)));
    TRY(owner(c, w.customer, &(struct claim){w.user_ref, CLAIM_SUBSCRIPTION}, 1));
    if (c->newer)
        TRY(put_subscription(c, &w));
    TRY(note_past_due(c, w.status));
    TRY(fact_derive_subscription(c->tx, c->mem, c->id));
    return fact_derive_member(c->tx, c->mem, &c->member, c->in->now);
}

/* -------- invoices -------- */

static struct content invoice_content(struct arena *mem, const struct wire_invoice *w)
{
    return (struct content){
        arena_printf(mem, "%.*s|%.*s|%lld|%lld|%.*s|%lld|%lld|%lld|%lld|%lld|%d", SV_ARG(w->status),
                     SV_ARG(w->billing_reason), (long long)w->amount_due, (long long)w->amount_paid,
                     SV_ARG(w->currency), (long long)w->period_start.ms,
                     (long long)w->period_end.ms, (long long)w->attempt_count,
                     (long long)w->paid_at.ms, (long long)w->next_attempt.ms,
                     w->subscription.p != NULL),
        arena_printf(mem, "%.*s|%.*s|%.*s", SV_ARG(w->subscription), SV_ARG(w->customer),
                     SV_ARG(w->hosted_url))};
}

static err put_invoice(struct ctx *c, const struct wire_invoice *w)
{
    struct invoice_put_in in = {
        .id = c->id,
        .subscription = w->subscription,
        .customer = w->customer,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .status = known(w->status),
        .billing_reason = w->billing_reason,
        .amount_due = w->amount_due,
        .amount_paid = w->amount_paid,
        .currency = w->currency,
        .period_start = w->period_start,
        .period_end = w->period_end,
        .attempt_count = w->attempt_count,
        .created_at = w->created,
        .paid_at = w->paid_at,
        .next_attempt_at = w->next_attempt,
        .hosted_url = sv_is(w->status, "open") ? w->hosted_url : SV_NULL,
        ORDER(c),
    };
    return q_invoice_put(c->tx, c->mem, &in, NULL);
}

/* A payment became known to be an invoice's: what waited for it is told again. */
static err tell_waiting(struct ctx *c, sv payment)
{
    struct refunds_of_payment_row *refunds;
    struct disputes_of_payment_row *disputes;
    size_t n;
    TRY(q_refunds_of_payment(c->tx, c->mem, &(struct refunds_of_payment_in){payment}, &refunds,
                             &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_REFUND, refunds[i].id, &c->member, payment,
                            c->in->now));
    TRY(q_disputes_of_payment(c->tx, c->mem, &(struct disputes_of_payment_in){payment}, &disputes,
                              &n));
    for (size_t i = 0; i < n; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_DISPUTE, disputes[i].id, &c->member,
                            payment, c->in->now));
    return OK;
}

static err link_invoice(struct ctx *c, sv payment, sv invoice)
{
    if (sv_empty(payment) || sv_empty(invoice))
        return OK;
    int64_t made;
    TRY(q_link_put(c->tx, c->mem, &(struct link_put_in){payment, invoice}, &made));
    if (made == 0)
        return OK;
    TRY(fact_derive_invoice(c->tx, c->mem, invoice, c->in->now));
    return tell_waiting(c, payment);
}

static err lock_invoice(struct ctx *c, const struct wire_invoice *w)
{
    sv ids[3 + WIRE_PAYMENTS] = {c->id, w->customer, w->subscription};
    for (size_t i = 0; i < w->npayments; i++)
        ids[3 + i] = w->payments[i];
    return lock(c, ids, 3 + w->npayments);
}

static err apply_invoice(struct ctx *c)
{
    struct wire_invoice w;
    stripe_read_invoice(c->object, &w);
    if (is_type(c, "invoice.deleted"))
        w.status = SV("deleted");
    TRY(lock_invoice(c, &w));
    struct invoice_get_row row;
    bool found;
    TRY(q_invoice_get(c->tx, c->mem, &(struct invoice_get_in){c->id}, &row, &found));
    TRY(judge(c, STORED(found, row), fact_rank_invoice(w.status), invoice_content(c->mem, &w)));
    TRY(owner(c, w.customer, &(struct claim){w.user_ref, CLAIM_INVOICE}, 1));
    if (c->newer)
        TRY(put_invoice(c, &w));
    if (is_type(c, "invoice.payment_failed"))
        TRY(q_invoice_failed(c->tx, c->mem, &(struct invoice_failed_in){c->id, c->in->as_of},
                             NULL));
    for (size_t i = 0; i < w.npayments; i++)
        TRY(link_invoice(c, w.payments[i], c->id));
    if (found && row.subscription.p && !sv_eq(row.subscription, w.subscription))
        TRY(fact_derive_subscription(c->tx, c->mem, row.subscription));
    return fact_derive_invoice(c->tx, c->mem, c->id, c->in->now);
}

static err apply_invoice_payment(struct ctx *c)
{
    struct wire_invoice_payment w;
    stripe_read_invoice_payment(c->object, &w);
    TRY(LOCK(c, c->id, w.invoice, w.payment));
    struct invoice_payment_get_row row;
    bool found;
    TRY(q_invoice_payment_get(c->tx, c->mem, &(struct invoice_payment_get_in){c->id}, &row,
                              &found));
    struct content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount_paid,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.invoice), SV_ARG(w.payment))};
    TRY(judge(c, STORED(found, row), fact_rank_invoice_payment(w.status), content));
    c->payment = w.payment;
    if (c->newer) {
        struct invoice_payment_put_in in = {.id = c->id,
                                            .invoice = w.invoice,
                                            .payment = w.payment,
                                            .status = known(w.status),
                                            .amount_paid = w.amount_paid,
                                            ORDER(c)};
        TRY(q_invoice_payment_put(c->tx, c->mem, &in, NULL));
    }
    struct invoice_get_row inv;
    if (w.invoice.p)
        TRY(q_invoice_get(c->tx, c->mem, &(struct invoice_get_in){w.invoice}, &inv, &found));
    if (w.invoice.p && found && inv.member.p)
        c->member = user_id_from(inv.member);
    return link_invoice(c, w.payment, w.invoice);
}

/* -------- payments and charges -------- */

static err payment_owner(struct ctx *c, const struct wire_payment *w)
{
    struct fact_session_of_payment_row s;
    bool found;
    TRY(owner(c, w->customer, &(struct claim){w->user_ref, CLAIM_PAYMENT}, 1));
    if (!user_id_none(&c->member))
        return OK;
    TRY(q_fact_session_of_payment(c->tx, c->mem, &(struct fact_session_of_payment_in){c->id}, &s,
                                  &found));
    if (found && s.member.p)
        c->member = user_id_from(s.member);
    return OK;
}

static err apply_payment(struct ctx *c)
{
    struct wire_payment w;
    stripe_read_payment(c->object, &w);
    TRY(LOCK(c, c->id, w.customer, w.invoice));
    struct payment_get_row row;
    bool found;
    TRY(q_payment_get(c->tx, c->mem, &(struct payment_get_in){c->id}, &row, &found));
    struct content content = {arena_printf(c->mem, "%.*s|%lld|%lld|%.*s|%d", SV_ARG(w.status),
                                           (long long)w.amount, (long long)w.received,
                                           SV_ARG(w.currency), w.failed),
                              w.customer};
    TRY(judge(c, STORED(found, row), fact_rank_payment(w.status), content));
    TRY(payment_owner(c, &w));
    c->payment = c->id;
    if (c->newer) {
        struct payment_put_in in = {.id = c->id,
                                    .customer = w.customer,
                                    .member =
                                        user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
                                    .status = known(w.status),
                                    .amount = w.amount,
                                    .received = w.received,
                                    .currency = w.currency,
                                    .failed = w.failed,
                                    .created_at = w.created,
                                    ORDER(c)};
        TRY(q_payment_put(c->tx, c->mem, &in, NULL));
    }
    if (sv_is(w.status, "succeeded"))
        TRY(q_payment_paid(c->tx, c->mem, &(struct payment_paid_in){c->id, c->in->as_of}, NULL));
    return link_invoice(c, c->id, w.invoice);
}

/* Refunds and disputes that named the charge alone learn their payment. */
static err link_charge(struct ctx *c, sv payment)
{
    struct refund_link_row *refunds;
    struct dispute_link_row *disputes;
    size_t nr, nd;
    TRY(q_refund_link(c->tx, c->mem, &(struct refund_link_in){c->id, payment}, &refunds, &nr));
    TRY(q_dispute_link(c->tx, c->mem, &(struct dispute_link_in){c->id, payment}, &disputes, &nd));
    for (size_t i = 0; i < nr; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_REFUND, refunds[i].id, NULL, payment,
                            c->in->now));
    for (size_t i = 0; i < nd; i++)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_DISPUTE, disputes[i].id, NULL, payment,
                            c->in->now));
    return OK;
}

static err apply_embedded_refunds(struct ctx *c, const json *list);

static err put_charge(struct ctx *c, const struct wire_charge *w)
{
    struct charge_put_in in = {.id = c->id,
                               .payment = c->payment,
                               .customer = w->customer,
                               .status = known(w->status),
                               .amount = w->amount,
                               .currency = w->currency,
                               .created_at = w->created,
                               ORDER(c)};
    return q_charge_put(c->tx, c->mem, &in, NULL);
}

static err apply_charge(struct ctx *c)
{
    struct wire_charge w;
    stripe_read_charge(c->object, &w);
    c->payment = w.payment.p ? w.payment : c->id;
    TRY(LOCK(c, c->id, w.payment, w.invoice));
    struct charge_get_row row;
    bool found;
    TRY(q_charge_get(c->tx, c->mem, &(struct charge_get_in){c->id}, &row, &found));
    struct content content = {
        arena_printf(c->mem, "%.*s|%lld|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     (long long)w.refunded, w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.customer))};
    TRY(judge(c, STORED(found, row), fact_rank_charge(w.status), content));
    TRY(owner(c, w.customer, NULL, 0));
    if (c->newer)
        TRY(put_charge(c, &w));
    /* Given back is counted by refunds; what the charge says only grows. */
    TRY(q_charge_refunded(c->tx, c->mem, &(struct charge_refunded_in){c->id, w.refunded}, NULL));
    TRY(link_charge(c, c->payment));
    TRY(link_invoice(c, c->payment, w.invoice));
    TRY(apply_embedded_refunds(c, w.refunds));
    return fact_derive_payment(c->tx, c->mem, c->payment, c->in->now);
}

/* -------- refunds and disputes -------- */

/* The payment that a refund or dispute is about: named, or known by its charge. */
static err payment_of(struct ctx *c, sv payment, sv charge)
{
    struct charge_get_row row;
    bool found;
    c->payment = payment;
    if (payment.p || !charge.p)
        return OK;
    TRY(q_charge_get(c->tx, c->mem, &(struct charge_get_in){charge}, &row, &found));
    c->payment = found ? row.payment : SV_NULL;
    return OK;
}

/* What cannot be tied to an invoice or a checkout yet is asked about later. */
static err link_later(struct ctx *c)
{
    if (c->payment.p) {
        struct invoices_of_payment_row *invoices;
        struct fact_session_of_payment_row session;
        struct payment_get_row payment;
        size_t n;
        bool by_session;
        TRY(q_invoices_of_payment(c->tx, c->mem, &(struct invoices_of_payment_in){c->payment},
                                  &invoices, &n));
        TRY(q_fact_session_of_payment(c->tx, c->mem,
                                      &(struct fact_session_of_payment_in){c->payment}, &session,
                                      &by_session));
        bool found;
        TRY(q_payment_get(c->tx, c->mem, &(struct payment_get_in){c->payment}, &payment, &found));
        if (found && payment.member.p)
            c->member = user_id_from(payment.member);
        if (n > 0 || by_session)
            return OK;
    }
    return fact_link_job_put(c->tx, c->mem, c->kind, c->id, c->in->now);
}

static err after_money_back(struct ctx *c)
{
    TRY(link_later(c));
    return c->payment.p ? fact_derive_payment(c->tx, c->mem, c->payment, c->in->now) : OK;
}

static err apply_refund(struct ctx *c)
{
    struct wire_refund w;
    stripe_read_refund(c->object, &w);
    if (!w.status.p)
        w.status = SV("succeeded"); /* very old versions have none */
    TRY(LOCK(c, c->id, w.payment, w.charge));
    struct refund_get_row row;
    bool found;
    TRY(q_refund_get(c->tx, c->mem, &(struct refund_get_in){c->id}, &row, &found));
    struct content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.charge))};
    TRY(judge(c, STORED(found, row), fact_rank_refund(w.status), content));
    TRY(payment_of(c, w.payment, w.charge));
    if (c->newer) {
        struct refund_put_in in = {.id = c->id,
                                   .charge = w.charge,
                                   .payment = c->payment,
                                   .status = w.status,
                                   .amount = w.amount,
                                   .currency = w.currency,
                                   .created_at = w.created,
                                   ORDER(c)};
        TRY(q_refund_put(c->tx, c->mem, &in, NULL));
    }
    return after_money_back(c);
}

static err apply_dispute(struct ctx *c)
{
    struct wire_dispute w;
    stripe_read_dispute(c->object, &w);
    TRY(LOCK(c, c->id, w.payment, w.charge));
    struct dispute_get_row row;
    bool found;
    TRY(q_dispute_get(c->tx, c->mem, &(struct dispute_get_in){c->id}, &row, &found));
    struct content content = {
        arena_printf(c->mem, "%.*s|%lld|%d", SV_ARG(w.status), (long long)w.amount,
                     w.payment.p != NULL),
        arena_printf(c->mem, "%.*s|%.*s", SV_ARG(w.payment), SV_ARG(w.charge))};
    TRY(judge(c, STORED(found, row), fact_rank_dispute(w.status), content));
    TRY(payment_of(c, w.payment, w.charge));
    if (c->newer) {
        struct dispute_put_in in = {.id = c->id,
                                    .charge = w.charge,
                                    .payment = c->payment,
                                    .status = known(w.status),
                                    .reason = w.reason,
                                    .amount = w.amount,
                                    .currency = w.currency,
                                    .created_at = w.created,
                                    ORDER(c)};
        TRY(q_dispute_put(c->tx, c->mem, &in, NULL));
    }
    return after_money_back(c);
}

/* -------- checkout sessions, payment methods -------- */

static struct content session_content(struct arena *mem, const struct wire_session *w)
{
    return (struct content){
        arena_printf(mem, "%.*s|%.*s|%.*s|%lld|%.*s|%d%d%d", SV_ARG(w->mode), SV_ARG(w->status),
                     SV_ARG(w->payment_status), (long long)w->amount_total, SV_ARG(w->currency),
                     w->customer.p != NULL, w->subscription.p != NULL, w->payment.p != NULL),
        arena_printf(mem, "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", SV_ARG(w->customer),
                     SV_ARG(w->subscription), SV_ARG(w->payment), SV_ARG(w->email),
                     SV_ARG(w->purchase_id), SV_ARG(w->item_id), SV_ARG(w->user_ref))};
}

static err put_session(struct ctx *c, const struct wire_session *w)
{
    struct fact_session_put_in in = {
        .id = c->id,
        .mode = w->mode,
        .status = w->status,
        .payment_status = w->payment_status,
        .customer = w->customer,
        .member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member),
        .subscription = w->subscription,
        .payment = w->payment,
        .amount_total = w->amount_total,
        .currency = w->currency,
        .email = w->email,
        .purchase_id = w->purchase_id,
        .item_id = w->item_id,
        .user_ref = w->user_ref,
        .expires_at = w->expires_at,
        .created_at = w->created,
        ORDER(c),
    };
    return q_fact_session_put(c->tx, c->mem, &in, NULL);
}

/* A payment without customer belongs to whoever its checkout names. */
static err session_payment(struct ctx *c, sv payment)
{
    int64_t changed;
    if (!payment.p || user_id_none(&c->member))
        return OK;
    struct payment_own_one_in in = {payment, user_id_sv(&c->member)};
    TRY(q_payment_own_one(c->tx, c->mem, &in, &changed));
    if (changed)
        TRY(fact_tell_again(c->tx, c->mem, c->app, FACT_PAYMENT, payment, &c->member, payment,
                            c->in->now));
    return OK;
}

static err apply_session(struct ctx *c)
{
    struct wire_session w;
    stripe_read_session(c->object, &w);
    TRY(LOCK(c, c->id, w.customer, w.payment, w.subscription));
    struct fact_session_get_row row;
    bool found;
    TRY(q_fact_session_get(c->tx, c->mem, &(struct fact_session_get_in){c->id}, &row, &found));
    TRY(judge(c, STORED(found, row), fact_rank_session(w.status, w.payment_status),
              session_content(c->mem, &w)));
    struct claim claims[] = {{w.user_ref, CLAIM_SESSION}, {w.client_ref, CLAIM_SESSION_REF}};
    TRY(owner(c, w.customer, claims, 2));
    c->payment = w.payment;
    if (c->newer)
        TRY(put_session(c, &w));
    if (is_type(c, "checkout.session.async_payment_failed")) {
        int64_t changed;
        TRY(q_fact_session_failed(c->tx, c->mem, &(struct fact_session_failed_in){c->id},
                                  &changed));
        c->again |= changed > 0;
    }
    return session_payment(c, w.payment);
}

static err apply_payment_method(struct ctx *c)
{
    struct wire_payment_method w;
    stripe_read_payment_method(c->object, &w);
    TRY(LOCK(c, c->id, w.customer));
    struct payment_method_get_row row;
    bool found;
    TRY(q_payment_method_get(c->tx, c->mem, &(struct payment_method_get_in){c->id}, &row, &found));
    struct content content = {arena_printf(c->mem, "%.*s|%.*s|%lld|%lld|%d", SV_ARG(w.brand),
                                           SV_ARG(w.last4), (long long)w.exp_month,
                                           (long long)w.exp_year, w.customer.p != NULL),
                              w.customer};
    TRY(judge(c, STORED(found, row), 1, content));
    TRY(owner(c, w.customer, NULL, 0));
    if (!c->newer)
        return OK;
    struct payment_method_put_in in = {.id = c->id,
                                       .customer = w.customer,
                                       .kind = w.kind,
                                       .brand = w.brand,
                                       .last4 = w.last4,
                                       .exp_month = w.exp_month,
                                       .exp_year = w.exp_year,
                                       ORDER(c)};
    return q_payment_method_put(c->tx, c->mem, &in, NULL);
}

/* -------- dispatch -------- */

static err (*const apply_kind[FACT_KINDS])(struct ctx *c) = {
    [FACT_SUBSCRIPTION] = apply_subscription,
    [FACT_INVOICE] = apply_invoice,
    [FACT_PAYMENT] = apply_payment,
    [FACT_CHARGE] = apply_charge,
    [FACT_REFUND] = apply_refund,
    [FACT_DISPUTE] = apply_dispute,
    [FACT_SESSION] = apply_session,
    [FACT_CUSTOMER] = apply_customer,
    [FACT_INVOICE_PAYMENT] = apply_invoice_payment,
    [FACT_PAYMENT_METHOD] = apply_payment_method,
};

static err tell(struct ctx *c)
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
static err apply_expanded(struct ctx *c)
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

static err apply_embedded_refunds(struct ctx *c, const json *list)
{
    bool handled;
    for (size_t i = 0; i < json_len(list); i++) {
        struct fact_in in = *c->in;
        in.known_before = TS_NONE;
        in.type = in.event = SV_NULL;
        TRY(apply_object(c->tx, c->mem, c->app, &in, json_at(list, i), c->depth + 1, &handled));
    }
    return OK;
}

static err apply_object(struct db_tx *tx, struct arena *mem, struct app *app,
                        const struct fact_in *in, const json *object, int depth, bool *handled)
{
    struct ctx c = {.tx = tx,
                    .mem = mem,
                    .app = app,
                    .in = in,
                    .object = object,
                    .depth = depth,
                    .kind = fact_kind_parse(json_get_str(object, "object")),
                    .id = json_get_str(object, "id"),
                    .payment = SV_NULL};
    *handled = c.kind != FACT_KINDS && !sv_empty(c.id);
    if (!*handled) /* a kind we do not keep, or an upcoming invoice, which has no id */
        return OK;
    if (depth > 0) { /* known_before is about the object that was asked for */
        struct fact_in inner = *in;
        inner.known_before = TS_NONE;
        c.in = &inner;
        TRY(apply_kind[c.kind](&c));
        TRY(apply_expanded(&c));
        return tell(&c);
    }
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
