/* Finding what came of an operation whose answer was lost and whose key Stripe has forgotten. */
#include "billing/operation_store.h"

#include "http/client.h"

#define PAGES_MAX 20

/* The value of `name` in an encoded form, still encoded; SV_NULL if absent. */
static sv form_value(sv form, const char *name)
{
    sv rest = form;
    while (rest.p != NULL) {
        sv value = sv_cut(&rest, '&');
        sv key = sv_cut(&value, '=');
        if (sv_is(key, name))
            return value;
    }
    return SV_NULL;
}

static bool is_ours(const json *object, const struct operation *op)
{
    return sv_eq(json_get_str(json_get(object, "metadata"), "operation"), op->id);
}

/* A filter of the list that surely holds the object, e.g. "customer=cus_1". */
static sv list_filter(struct arena *mem, const struct operation *op)
{
    static const char *const names[] = {"customer", "email", "payment_intent", "charge"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sv v = form_value(op->form, names[i]);
        bool fits = i == 0   ? sv_is(op->path, "/v1/checkout/sessions")
                    : i == 1 ? sv_is(op->path, "/v1/customers")
                             : sv_is(op->path, "/v1/refunds");
        if (v.p != NULL && fits)
            return arena_printf(mem, "%s=%.*s", names[i], SV_ARG(v));
    }
    /* Guests' sessions have no customer: everything since shortly before it was sent. */
    ts since = ts_is_none(op->first_sent) ? op->created : ts_min(op->created, op->first_sent);
    return arena_printf(mem, "created%%5Bgte%%5D=%lld", (long long)(ts_unix(since) - 300));
}

static err find_in_list(struct arena *mem, const struct operation *op, enum stripe_wait w,
                        const json **found, ts *date)
{
    sv filter = list_filter(mem, op);
    sv after = SV_NULL;
    for (int page = 0; page < PAGES_MAX; page++) {
        struct stripe_answer a;
        sv query = after.p == NULL ? arena_printf(mem, "limit=100&%.*s", SV_ARG(filter))
                                   : arena_printf(mem, "limit=100&%.*s&starting_after=%.*s",
                                                  SV_ARG(filter), SV_ARG(url_encode(mem, after)));
        TRY(stripe_get(mem, op->path, query, w, &a));
        for (struct json_iter it = json_iter(json_get(a.body, "data")); json_next(&it);) {
            after = json_get_str(it.value, "id");
            if (is_ours(it.value, op)) {
                *found = it.value;
                *date = a.date;
                return OK;
            }
        }
        if (!json_get_bool(a.body, "has_more", false) || after.p == NULL)
            return OK;
    }
    return FAIL(ERR_UPSTREAM, "too many objects at Stripe to look through");
}

/* "/v1/checkout/sessions/cs_1/expire" -> "/v1/checkout/sessions/cs_1"; the action or SV_NULL. */
static sv split_action(sv path, sv *action)
{
    static const char *const actions[] = {"/expire", "/void", "/cancel"};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (sv_ends(path, sv_from(actions[i]))) {
            *action = sv_from(actions[i]);
            return (sv){path.p, path.n - action->n};
        }
    *action = SV_NULL;
    return path;
}

static err find_object(struct arena *mem, const struct operation *op, enum stripe_wait w,
                       const json **found, ts *date)
{
    struct stripe_answer a;
    sv action;
    sv path = split_action(op->path, &action);
    err e = stripe_get(mem, path, SV_NULL, w, &a);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    sv status = json_get_str(a.body, "status");
    bool happened = is_ours(a.body, op);
    if (sv_is(op->method, "DELETE"))
        happened = sv_is(status, "canceled") || json_get_bool(a.body, "deleted", false);
    else if (sv_is(action, "/expire"))
        happened = !sv_empty(status) && !sv_is(status, "open");
    if (happened) {
        *found = a.body;
        *date = a.date;
    }
    return OK;
}

err operation_find(struct arena *mem, const struct operation *op, enum stripe_wait w,
                   const json **found, ts *date)
{
    *found = NULL;
    *date = TS_NONE;
    if (sv_is(op->path, "/v1/customers") || sv_is(op->path, "/v1/checkout/sessions") ||
        sv_is(op->path, "/v1/refunds"))
        return find_in_list(mem, op, w, found, date);
    return find_object(mem, op, w, found, date);
}
