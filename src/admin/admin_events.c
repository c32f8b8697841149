/* Stripe's events as they came, what differs from Stripe, what needs a person's eye; figures. */
#include "admin/admin_inner.h"
#include "billing/billing.h"
#include "billing/sync.h"
#include "queries.h"

static void write_event(struct jw *w, const struct billing_event *e)
{
    jw_kstr(w, "id", e->id);
    jw_kstr(w, "type", e->type);
    jw_kstr(w, "object", e->object);
    jw_kts(w, "createdAt", e->created);
    jw_kts(w, "receivedAt", e->received);
    jw_kstr(w, "status", e->status);
    jw_kstr(w, "error", e->error);
    jw_kint(w, "attempts", e->attempts);
    jw_kint(w, "size", e->size);
}

/* GET /api/admin/events?status=failed&limit&cursor */
err admin_event_list(struct req *r)
{
    static const char *const wanted[] = {"any", "failed", NULL};
    int status = 0;
    struct page page;
    sv id;
    ts at;
    struct billing_event *list;
    size_t n;
    const struct field fields[] = {{"status", FIELD_ENUM, &status, .values = wanted}};
    TRY(page_query_read(r, &page, FIELDS(fields)));
    TRY(page_at(r, &page, &at, &id));
    TRY(billing_event_list(r->tx, r->mem, status == 1 ? EVENTS_WITH_FAILURE : EVENTS_ALL, at, id,
                           page.limit + 1, &list, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        write_event(w, &list[i]);
        jw_obj_end(w);
    }
    return page_end(r, w,
                    more ? page_at_text(r->mem, list[n - 1].received, list[n - 1].id) : SV_NULL);
}

/* GET /api/admin/events/{id} - with its payload */
err admin_event_get(struct req *r)
{
    struct billing_event e;
    sv text;
    TRY(billing_event_get(r->tx, r->mem, req_param(r, "id"), &e, &text));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    write_event(w, &e);
    jw_kstr(w, "payload", text);
    jw_obj_end(w);
    return OK;
}

/* POST /api/admin/events/{id}/replay {reason} - applies it again */
err admin_event_replay(struct req *r)
{
    sv reason = SV_NULL, why = SV_NULL, id = req_param(r, "id");
    const char *result;
    const struct field fields[] = {
        AUDIT_REASON(&reason),
    };
    TRY(body_read(r, FIELDS(fields)));
    TRY(billing_event_replay(r->tx, r->mem, r->app, id, r->now, &result, &why));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "event.replay",
                                        .target = id,
                                        .reason = reason,
                                        .before = SV_NULL,
                                        .after = arena_printf(r->mem, "\"%s\"", result)}));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "status", sv_from(result));
    jw_kstr(w, "error", why);
    jw_obj_end(w);
    return OK;
}

/* GET /api/admin/drift - what `mybeing sync` found to differ from Stripe */
err admin_drift_list(struct req *r)
{
    struct drift *rows;
    size_t n;
    TRY(billing_drift_list(r->tx, r->mem, &rows, &n));
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "object", rows[i].object);
        jw_kstr(w, "field", rows[i].field);
        jw_kstr(w, "ours", rows[i].ours);
        jw_kstr(w, "theirs", rows[i].theirs);
        jw_kts(w, "foundAt", rows[i].found);
        jw_kstr(w, "repair",
                arena_printf(r->mem, "mybeing sync repair %.*s", SV_ARG(rows[i].object)));
        jw_obj_end(w);
    }
    return page_end(r, w, SV_NULL);
}

/* GET /api/admin/flags - what needs a person's eye */
err admin_flag_list(struct req *r)
{
    struct billing_flag *rows;
    size_t n;
    TRY(billing_flag_list(r->tx, r->mem, 500, &rows, &n));
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "kind", rows[i].kind);
        jw_kstr(w, "ref", rows[i].ref);
        jw_kstr(w, "detail", rows[i].detail);
        jw_kts(w, "createdAt", rows[i].created);
        jw_obj_end(w);
    }
    return page_end(r, w, SV_NULL);
}

/* DELETE /api/admin/flags?kind&ref&reason - seen and dealt with */
err admin_flag_delete(struct req *r)
{
    sv kind = SV_NULL, ref = SV_NULL, reason = SV_NULL;
    const struct field fields[] = {
        {"kind", FIELD_STR, &kind, .required = true, .min = 1, .max = 100},
        {"ref", FIELD_STR, &ref, .required = true, .min = 1, .max = 255},
        AUDIT_REASON(&reason),
    };
    TRY(query_read(r, FIELDS(fields)));
    TRY(billing_flag_del(r->tx, r->mem, kind, ref));
    TRY(audit_put(r->tx, r->mem, r,
                  &(struct audit_entry){.action = "flag.close",
                                        .target = ref,
                                        .reason = reason,
                                        .before = arena_printf(r->mem, "\"%.*s\"", SV_ARG(kind)),
                                        .after = SV_NULL}));
    return admin_done(r);
}

/* GET /api/admin/metrics - figures for people; machines read /metrics */
err admin_metrics(struct req *r)
{
    struct admin_count_members_row members;
    struct admin_count_subscriptions_row *subs;
    struct admin_count_purchases_row *bought;
    struct admin_count_events_row *events;
    size_t nsubs, nbought, nevents;
    TRY(q_admin_count_members(r->tx, r->mem, &members));
    TRY(q_admin_count_subscriptions(r->tx, r->mem, &subs, &nsubs));
    TRY(q_admin_count_purchases(r->tx, r->mem, &bought, &nbought));
    TRY(q_admin_count_events(r->tx, r->mem, &events, &nevents));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kint(w, "members", members.n);
    jw_key(w, "subscriptions");
    jw_obj(w);
    for (size_t i = 0; i < nsubs; i++) {
        jw_key_sv(w, subs[i].status);
        jw_int(w, subs[i].n);
    }
    jw_obj_end(w);
    jw_key(w, "purchases");
    jw_arr(w);
    for (size_t i = 0; i < nbought; i++) {
        jw_obj(w);
        jw_kstr(w, "status", bought[i].status);
        jw_kstr(w, "currency", bought[i].currency);
        jw_kint(w, "count", bought[i].n);
        jw_kint(w, "price", bought[i].price);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_key(w, "events");
    jw_obj(w);
    for (size_t i = 0; i < nevents; i++) {
        jw_key_sv(w, events[i].status);
        jw_int(w, events[i].n);
    }
    jw_obj_end(w);
    jw_obj_end(w);
    return OK;
}
