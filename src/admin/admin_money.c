/* Purchases, refunds, grants, discounts. */
#include "account/account.h"
#include "admin/admin_inner.h"
#include "billing/operation.h"
#include "entitlement/entitlement.h"
#include "http/client.h"
#include "notice/notice.h"
#include "purchase/discount.h"
#include "purchase/purchase.h"
#include "queries.h"

/* GET /api/admin/purchases?limit&cursor */
err admin_purchase_list(struct req *r)
{
    struct page page;
    struct purchase *list;
    size_t n;
    TRY(page_read(r, &page));
    TRY(purchase_list(r->tx, r->mem, page.cursor, page.limit + 1, &list, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++)
        purchase_write(w, r->app, &list[i], NULL, 0);
    return page_end(r, w, more ? list[n - 1].id : SV_NULL);
}

/* GET /api/admin/purchases/{id} */
err admin_purchase_get(struct req *r)
{
    struct purchase p;
    struct purchase_event *history;
    size_t n;
    TRY(purchase_get(r->tx, r->mem, req_param(r, "id"), &p));
    TRY(purchase_history(r->tx, r->mem, p.id, &history, &n));
    purchase_write(reply_json(r, 200), r->app, &p, history, n);
    return OK;
}

/* ---- refunds: stored, audited, then sent */

struct refund {
    struct req *r;
    int64_t amount; /* 0 = all that is left */
    sv reason, key; /* the caller's Idempotency-Key */
    bool invoice;
    sv target, payment;
    struct operation op;
    int64_t last;  /* number of the last one like it; 0 = there was none */
    bool repeated; /* op is that one: nothing new is asked for */
};
#define SAME_REFUND TS_DAY

static err find_payment(struct db_tx *tx, struct arena *mem, struct refund *f)
{
    if (f->invoice) {
        struct admin_invoice_payment_row row;
        bool found;
        TRY(q_admin_invoice_payment(
            tx, mem, &(struct admin_invoice_payment_in){.invoice = f->target}, &row, &found));
        f->payment = found ? row.payment : SV_NULL;
    } else {
        struct purchase p;
        TRY(purchase_get(tx, mem, f->target, &p));
        f->payment = p.payment_intent;
    }
    if (f->payment.p == NULL)
        return FAIL(ERR_CONFLICT, "No payment of it is known, so there is nothing to refund.");
    return OK;
}

/* Without a key of the caller the same amount of the same payment within a day is one refund,
 * unless it failed: whoever heard no answer presses again, and a job may have done it meanwhile.
 * f->op.id empty: it takes a new operation. */
static err find_operation(struct db_tx *tx, struct arena *mem, struct refund *f, sv subject)
{
    struct operation last = {0};
    bool found = false, known = false, counts = false;
    TRY(operation_last(tx, mem, subject, &last, &found));
    if (found && sv_is(last.status, "done"))
        TRY(billing_refund_get(tx, mem, last.object, &known, &counts));
    f->last = found ? last.seq : 0;
    f->op = (struct operation){.id = SV_NULL};
    bool recent = found && ts_before(f->r->now, ts_add(last.created, SAME_REFUND));
    f->repeated = found && !sv_is(last.status, "failed") && (!known || (counts && recent));
    if (f->repeated)
        f->op = last;
    return OK;
}

static err put_operation(struct db_tx *tx, struct arena *mem, struct refund *f, sv subject,
                         bool *made)
{
    BUF_AUTO form = {0};
    form_add(&form, "payment_intent", f->payment);
    if (f->amount > 0)
        form_add_int(&form, "amount", f->amount);
    form_add(&form, "reason", SV("requested_by_customer"));
    sv path = SV("/v1/refunds"), text = arena_sv(mem, buf_sv(&form));
    if (f->key.p)
        return operation_put(tx, mem, subject, "POST", path, text, f->r->now, &f->op, made);
    return operation_put_next(tx, mem, subject, f->last, "POST", path, text, f->r->now, &f->op,
                              made);
}

static err put_refund(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct refund *f = arg;
    struct req *r = f->r;
    struct payment_facts paid;
    bool made;
    TRY(find_payment(tx, mem, f));
    TRY(db_lock1(tx, f->payment));
    TRY(billing_payment_get(tx, mem, f->payment, &paid));
    sv subject =
        f->key.p ? arena_printf(mem, "refund:%.*s:%.*s", SV_ARG(f->payment), SV_ARG(f->key))
                 : arena_printf(mem, "refund:%.*s:%lld", SV_ARG(f->payment), (long long)f->amount);
    if (!f->key.p)
        TRY(find_operation(tx, mem, f, subject));
    if (f->op.id.p)
        return OK;
    int64_t left = paid.received.minor - paid.refunded.minor;
    if (left <= 0 || f->amount > left)
        return FAIL_FIELD(ERR_CONFLICT, "/amount", "At most %lld can be refunded.",
                          (long long)left);
    TRY(put_operation(tx, mem, f, subject, &made));
    f->repeated = !made;
    if (!made)
        return OK;
    if (!f->invoice)
        TRY(purchase_note(tx, mem, f->target, "refund_requested", user_id_sv(&r->member), f->reason,
                          r->now));
    TRY(operation_queue(tx, mem, &f->op, r->now));
    return audit_put(
        tx, mem, r,
        &(struct audit_entry){
            .action = f->invoice ? "invoice.refund" : "purchase.refund",
            .target = f->target,
            .reason = f->reason,
            .before = arena_printf(mem, "{\"refunded\":%lld}", (long long)paid.refunded.minor),
            .after = arena_printf(
                mem, "{\"refunded\":%lld}",
                (long long)(paid.refunded.minor + (f->amount > 0 ? f->amount : left)))});
}

static err refund(struct req *r, bool invoice)
{
    struct refund f = {.r = r,
                       .invoice = invoice,
                       .target = req_param(r, "id"),
                       .key = req_header(r, "idempotency-key")};
    const struct field fields[] = {
        {"amount", FIELD_INT, &f.amount, .min = 1, .max = INT64_C(100000000)},
        AUDIT_REASON(&f.reason),
    };
    struct stripe_answer answer;
    TRY(body_read(r, FIELDS(fields)));
    TRY(db_write(r->db, r->mem, put_refund, &f));
    TRY(operation_run(r->app, r->mem, &f.op, STRIPE_PERSON, NULL, NULL, &answer));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "refund", json_get_str(answer.body, "id"));
    jw_kstr(w, "status", json_get_str(answer.body, "status"));
    jw_kint(w, "amount", json_get_int(answer.body, "amount", 0));
    jw_kbool(w, "repeated", f.repeated);
    jw_obj_end(w);
    return OK;
}

/* POST /api/admin/purchases/{id}/refund {amount?, reason} */
err admin_purchase_refund(struct req *r)
{
    return refund(r, false);
}

/* POST /api/admin/invoices/{id}/refund {amount?, reason} - a month of a subscription */
err admin_invoice_refund(struct req *r)
{
    return refund(r, true);
}

/* ---- grants */

/* GET /api/admin/grants?userId= */
err admin_grant_list(struct req *r)
{
    sv user = SV_NULL;
    struct item_grant *list;
    struct account a;
    size_t n;
    const struct field fields[] = {
        {"userId", FIELD_STR, &user, .required = true, .min = 1, .max = 100}};
    TRY(query_read(r, FIELDS(fields)));
    TRY(account_by_any_id(r->tx, r->mem, user, &a));
    TRY(entitlement_grant_list(r->tx, r->mem, &a.id, &list, &n));
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "id", list[i].id);
        jw_kstr(w, "item", list[i].item);
        jw_kstr(w, "note", list[i].note);
        jw_kstr(w, "grantedBy", list[i].granted_by);
        jw_kts(w, "until", list[i].until);
        jw_kts(w, "createdAt", list[i].created);
        jw_kts(w, "revokedAt", list[i].revoked);
        jw_obj_end(w);
    }
    return page_end(r, w, SV_NULL);
}

/* POST /api/admin/grants {userId, item, until?, reason} */
err admin_grant_post(struct req *r)
{
    sv user = SV_NULL, item = SV_NULL, reason = SV_NULL, id;
    ts until = TS_NONE;
    struct account a;
    const struct field fields[] = {
        {"userId", FIELD_STR, &user, .required = true, .min = 1, .max = 100},
        {"item", FIELD_STR, &item, .required = true, .min = 1, .max = 200},
        {"until", FIELD_TIME, &until},
        AUDIT_REASON(&reason),
    };
    TRY(body_read(r, FIELDS(fields)));
    if (catalog_find(r->app->catalog, item) == NULL)
        return field_error(r, "/item", "unknown", "Is not in the catalogue.");
    TRY(account_by_any_id(r->tx, r->mem, user, &a));
    TRY(entitlement_grant_put(r->tx, r->mem,
                              &(struct item_grant){.member = a.id,
                                                   .item = item,
                                                   .note = reason,
                                                   .granted_by = user_id_sv(&r->member),
                                                   .until = until},
                              r->now, &id));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "grant.put",
                                        .target = user_id_sv(&a.id),
                                        .reason = reason,
                                        .before = SV_NULL,
                                        .after = arena_printf(r->mem, "\"%.*s\"", SV_ARG(item))}));
    struct jw *w = reply_json(r, 201);
    jw_obj(w);
    jw_kstr(w, "id", id);
    jw_obj_end(w);
    return OK;
}

static err read_reason(struct req *r, sv *reason)
{
    const struct field fields[] = {AUDIT_REASON(reason)};
    return query_read(r, FIELDS(fields));
}

/* DELETE /api/admin/grants/{id}?reason= */
err admin_grant_delete(struct req *r)
{
    sv reason = SV_NULL;
    TRY(read_reason(r, &reason));
    TRY(entitlement_grant_del(r->tx, req_param(r, "id"), r->now));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "grant.revoke",
                                        .target = req_param(r, "id"),
                                        .reason = reason,
                                        .before = SV_NULL,
                                        .after = SV_NULL}));
    return admin_done(r);
}

/* ---- manual discounts */

/* GET /api/admin/discounts?limit&cursor */
err admin_discount_list(struct req *r)
{
    struct page page;
    struct discount *list;
    size_t n;
    TRY(page_read(r, &page));
    TRY(discount_list(r->tx, r->mem, page.cursor, page.limit + 1, &list, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++)
        discount_write(w, &list[i]);
    return page_end(r, w, more ? list[n - 1].id : SV_NULL);
}

/* The member that a discount is for is told by mail. */
static err discount_tell(struct req *r, const struct discount *d)
{
    struct notice_discount told = {.id = d->id,
                                   .member = d->member,
                                   .percent = d->percent,
                                   .amount = {d->amount},
                                   .code = d->code,
                                   .kind = d->kind,
                                   .item = d->item,
                                   .until = d->until};
    if (user_id_none(&d->member) || !ts_is_none(d->disabled))
        return OK;
    if (!currency_parse(d->currency, &told.currency))
        told.currency = r->app->catalog->plan_currency;
    return notice_discount_granted(r->tx, r->mem, r->app, &told, r->now);
}

/* POST /api/admin/discounts {code | userId, percent | amount, kind?, item?, validFrom?,
 * validUntil?, maxUses?, maxUsesPerMember?, reason} */
err admin_discount_post(struct req *r)
{
    static const char *const kinds[] = {"quiz", "article", NULL};
    int kind = -1;
    sv user = SV_NULL, reason = SV_NULL, id;
    struct discount_new d = {.code = SV_NULL,
                             .percent = -1,
                             .amount = -1,
                             .currency = SV_NULL,
                             .kind = SV_NULL,
                             .item = SV_NULL,
                             .from = TS_NONE,
                             .until = TS_NONE,
                             .max_uses = -1,
                             .max_per_member = -1};
    const struct field fields[] = {
        {"code", FIELD_STR, &d.code, .min = 3, .max = 40},
        {"userId", FIELD_STR, &user, .min = 1, .max = 100},
        {"percent", FIELD_INT, &d.percent, .min = 1, .max = 100},
        {"amount", FIELD_INT, &d.amount, .min = 1, .max = INT64_C(100000000)},
        {"currency", FIELD_STR, &d.currency, .min = 3, .max = 3},
        {"kind", FIELD_ENUM, &kind, .values = kinds},
        {"item", FIELD_STR, &d.item, .min = 1, .max = 200},
        {"validFrom", FIELD_TIME, &d.from},
        {"validUntil", FIELD_TIME, &d.until},
        {"maxUses", FIELD_INT, &d.max_uses, .min = 1, .max = 1000000},
        {"maxUsesPerMember", FIELD_INT, &d.max_per_member, .min = 1, .max = 1000000},
        AUDIT_REASON(&reason),
    };
    TRY(body_read(r, FIELDS(fields)));
    if (kind >= 0)
        d.kind = sv_from(kinds[kind]);
    if (user.p != NULL) {
        struct account a;
        TRY(account_by_any_id(r->tx, r->mem, user, &a));
        d.member = a.id;
    }
    d.note = reason;
    d.created_by = user_id_sv(&r->member);
    TRY(discount_put(r->tx, r->mem, r->app->catalog, &d, r->now, &id));
    struct discount made;
    TRY(discount_get(r->tx, r->mem, id, &made));
    TRY(discount_tell(r, &made));
    BUF_AUTO after = {0};
    discount_write(&(struct jw){.out = &after}, &made);
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "discount.put",
                                        .target = id,
                                        .reason = reason,
                                        .before = SV_NULL,
                                        .after = arena_sv(r->mem, buf_sv(&after))}));
    discount_write(reply_json(r, 201), &made);
    return OK;
}

/* DELETE /api/admin/discounts/{id}?reason= */
err admin_discount_delete(struct req *r)
{
    sv reason = SV_NULL;
    TRY(read_reason(r, &reason));
    TRY(discount_del(r->tx, req_param(r, "id"), r->now));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "discount.disable",
                                        .target = req_param(r, "id"),
                                        .reason = reason,
                                        .before = SV_NULL,
                                        .after = SV_NULL}));
    return admin_done(r);
}
