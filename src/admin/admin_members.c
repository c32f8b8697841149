/* Members and their subscriptions. */
#include "account/account.h"
#include "admin/admin_inner.h"
#include "billing/billing.h"
#include "billing/subscription.h"
#include "entitlement/entitlement.h"
#include "purchase/purchase.h"
#include "queries.h"

static void write_account(struct jw *w, const struct account *a)
{
    jw_kstr(w, "id", user_id_sv(&a->id));
    jw_kstr(w, "email", a->email);
    jw_kstr(w, "name", a->name);
    jw_kbool(w, "verified", a->verified);
    jw_kbool(w, "admin", a->admin);
    jw_kstr(w, "legacyId", a->legacy_id);
    jw_kts(w, "createdAt", a->created);
}

/* GET /api/admin/members?limit&cursor, or ?email= for one */
err admin_member_list(struct req *r)
{
    struct page page;
    sv email = SV_NULL;
    const struct field fields[] = {{"email", FIELD_STR, &email, .min = 3, .max = 254}};
    struct account one, *list = &one;
    size_t n = 1;
    TRY(page_query_read(r, &page, FIELDS(fields)));
    if (email.p != NULL) {
        err e = account_by_email(r->tx, r->mem, email, &one);
        if (e == ERR_NOT_FOUND)
            n = 0;
        else
            TRY(e);
    } else {
        TRY(account_list(r->tx, r->mem, page.cursor.p ? page.cursor : SV(""), page.limit + 1, &list,
                         &n));
    }
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        write_account(w, &list[i]);
        jw_obj_end(w);
    }
    return page_end(r, w, more ? user_id_sv(&list[n - 1].id) : SV_NULL);
}

static err write_purchases(struct req *r, struct jw *w, const user_id *member)
{
    struct purchase *list;
    size_t n;
    struct caller caller = {.member = *member};
    TRY(purchase_list_of(r->tx, r->mem, &caller, SV_NULL, 50, &list, &n));
    jw_key(w, "purchases");
    jw_arr(w);
    for (size_t i = 0; i < n; i++)
        purchase_write(w, r->app, &list[i], NULL, 0);
    jw_arr_end(w);
    return OK;
}

static err write_access(struct req *r, struct jw *w, const user_id *member)
{
    struct access a;
    TRY(billing_access_get(r->tx, r->mem, &r->app->set, member, r->now, &a));
    jw_key(w, "access");
    jw_obj(w);
    jw_kbool(w, "premium", a.premium);
    jw_kbool(w, "grace", a.grace);
    jw_kstr(w, "status", a.status == SUB_NONE ? SV_NULL : sv_from(sub_status_name(a.status)));
    jw_kts(w, "until", a.until);
    jw_kstr(w, "subscription", a.subscription);
    jw_kstr(w, "rule", sv_from(a.rule));
    jw_obj_end(w);
    return OK;
}

/* GET /api/admin/members/{id} - by our id, or the id of the old backend */
err admin_member_get(struct req *r)
{
    struct account a;
    sv customer;
    TRY(account_by_any_id(r->tx, r->mem, req_param(r, "id"), &a));
    TRY(billing_customer_get(r->tx, r->mem, &a.id, &customer));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    write_account(w, &a);
    jw_kstr(w, "customer", customer);
    TRY(write_access(r, w, &a.id));
    TRY(write_purchases(r, w, &a.id));
    jw_obj_end(w);
    return OK;
}

/* PATCH /api/admin/members/{id} {admin, reason} */
err admin_member_patch(struct req *r)
{
    bool admin = false;
    sv reason = SV_NULL;
    struct account a;
    const struct field fields[] = {
        {"admin", FIELD_BOOL, &admin, .required = true},
        AUDIT_REASON(&reason),
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(account_by_any_id(r->tx, r->mem, req_param(r, "id"), &a));
    if (!admin && user_id_eq(&a.id, &r->member))
        return FAIL_FIELD(ERR_CONFLICT, "/admin", "Somebody else has to take this role from you.");
    TRY(account_admin_set(r->tx, r->mem, &a.id, admin, r->now));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "member.admin",
                                        .target = user_id_sv(&a.id),
                                        .reason = reason,
                                        .before = a.admin ? SV("true") : SV("false"),
                                        .after = admin ? SV("true") : SV("false")}));
    return admin_done(r);
}

/* GET /api/admin/subscriptions?limit&cursor */
err admin_subscription_list(struct req *r)
{
    struct page page;
    struct admin_subscriptions_row *rows;
    size_t n;
    TRY(page_read(r, &page));
    TRY(q_admin_subscriptions(
        r->tx, r->mem,
        &(struct admin_subscriptions_in){.after = page.cursor.p ? page.cursor : SV(""),
                                         .n = page.limit + 1},
        &rows, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        admin_subscriptions_json(w, &rows[i]);
        jw_obj_end(w);
    }
    return page_end(r, w, more ? rows[n - 1].id : SV_NULL);
}

/* POST /api/admin/subscriptions/{id}/cancel {reason} - at once, at Stripe, by a job */
err admin_subscription_cancel(struct req *r)
{
    sv reason = SV_NULL, id = req_param(r, "id");
    struct admin_subscription_get_row row;
    bool found;
    const struct field fields[] = {
        AUDIT_REASON(&reason),
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(q_admin_subscription_get(r->tx, r->mem, &(struct admin_subscription_get_in){.id = id}, &row,
                                 &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "There is no such subscription.");
    TRY(billing_cancel_put(r->tx, r->mem, id, "admin", r->now));
    TRY(audit_put(
        r->tx, r->mem, r,
        &(struct audit_entry){.action = "subscription.cancel",
                              .target = id,
                              .reason = reason,
                              .before = arena_printf(r->mem, "\"%.*s\"", SV_ARG(row.status)),
                              .after = SV("\"canceled\"")}));
    return admin_done(r);
}
