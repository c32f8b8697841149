#include "entitlement/entitlement.h"
#include "entitlement/entitlement_write.h"

#include "base/calendar.h"

#include <assert.h>

/* -------- what every handler here begins with -------- */

static err known_caller(const struct req *r, struct caller *out)
{
    *out = caller_of(r);
    return caller_none(out) ? FAIL(ERR_UNAUTHENTICATED, "sign in, or come with a visitor's cookie")
                            : OK;
}

static err item_get(const struct req *r, sv id, const char *pointer, const struct item **out)
{
    const struct item *it = catalog_find(r->app->catalog, id);
    if (it) {
        *out = it;
        return OK;
    }
    return pointer ? FAIL_FIELD(ERR_NOT_FOUND, pointer, "there is no such item")
                   : FAIL(ERR_NOT_FOUND, "there is no such item");
}

static err state_get(struct req *r, const struct caller *c, struct entitlement_state *out)
{
    return entitlement_state_get(r->tx, r->mem, r->app, c, SV_NULL, r->now, out);
}

/* A member's answer depends on nothing but their rows and the time: it is kept while no commit
 * touches them. */
static const char kept_answer[] = "entitlements";

static bool answer_kept(struct req *r)
{
    sv text;
    if (user_id_none(&r->member) ||
        !db_text_kept(r->tx, sv_from(kept_answer), user_id_sv(&r->member), r->now, &text))
        return false;
    jw_raw(reply_json(r, 200), text);
    return true;
}

static void answer_keep(const struct req *r, const struct jw *w, ts until)
{
    if (!user_id_none(&r->member) && ts_before(r->now, until))
        db_text_keep(r->tx, sv_from(kept_answer), user_id_sv(&r->member), r->now, until,
                     buf_sv(w->out));
}

/* GET /api/user/entitlements - everything one may do now; ?explain=1 says why. */
static err entitlement_get(struct req *r)
{
    bool explain = false;
    struct field q[] = {{.name = "explain", .type = FIELD_BOOL, .out = &explain}};
    TRY(query_read(r, FIELDS(q)));
    if (!explain && answer_kept(r))
        return OK;
    struct caller c;
    struct entitlement_state s;
    TRY(known_caller(r, &c));
    TRY(state_get(r, &c, &s));
    struct entitlement_ai ai;
    struct entitlement_explain ex = {0};
    TRY(entitlement_ai_get(r->tx, r->mem, r->app, &s, &ai));
    if (explain)
        TRY(entitlement_explain_get(r->tx, r->mem, r->app, &s, &ai, &ex));
    struct jw *w = reply_json(r, 200);
    entitlement_write(w, r->app->catalog, &s, &ai, explain ? &ex : NULL);
    if (!explain)
        answer_keep(r, w, ts_next(s.same_until, ai.reset_at, s.now));
    return OK;
}

/* GET /api/user/entitlements/check?item=quiz:x - may I open it, and what would it cost? */
static err entitlement_check(struct req *r)
{
    sv id = SV_NULL, code = SV_NULL;
    struct field q[] = {
        {.name = "item", .type = FIELD_STR, .out = &id, .required = true, .max = 200},
        {.name = "discountCode", .type = FIELD_STR, .out = &code, .max = 64},
    };
    TRY(query_read(r, FIELDS(q)));
    struct caller c;
    const struct item *it = NULL;
    struct entitlement_state s;
    const struct discount_offer *offer;
    TRY(known_caller(r, &c));
    TRY(item_get(r, id, "item", &it));
    TRY(state_get(r, &c, &s));
    TRY(entitlement_code_read(r->tx, r->mem, code, &c, SV_NULL, it, r->now, "discountCode",
                              &offer));
    struct decision d = entitlement_decide_item(&s, r->mem, r->app->catalog, it, offer);
    entitlement_write_check(reply_json(r, 200), it, &d);
    return OK;
}

/* POST /api/user/entitlements/use - opens an item: free, bought, by allowance, or a quote (402). */
static err entitlement_use(struct req *r)
{
    sv id = SV_NULL;
    struct field f[] = {
        {.name = "item", .type = FIELD_STR, .out = &id, .required = true, .max = 200}};
    TRY(body_read(r, FIELDS(f)));
    struct caller c;
    const struct item *it = NULL;
    struct entitlement_state s;
    TRY(known_caller(r, &c));
    TRY(item_get(r, id, "/item", &it));
    TRY(entitlement_lock(r->tx, r->mem, &c, NULL, 0));
    TRY(state_get(r, &c, &s));
    struct decision d = entitlement_decide_item(&s, r->mem, r->app->catalog, it, NULL);
    if (d.kind == DECIDE_GONE)
        return FAIL(ERR_GONE, "this is not sold any more");
    if (d.kind == DECIDE_PAY) {
        entitlement_problem_quote(r, &d.quote);
        return FAIL(ERR_PAYMENT_REQUIRED, "this has to be bought: %s", d.quote.rule);
    }
    const struct allowance *al = &r->app->catalog->allowance[it->kind];
    if (d.kind == DECIDE_ALLOWANCE) {
        int64_t number;
        TRY(entitlement_use_take(r->tx, r->mem, &s, al, it, &number));
    }
    entitlement_write_use(reply_json(r, 200), &s, it, al, &d);
    return OK;
}

/* GET /api/catalog - what is sold, with this caller's price and why. */
static err catalog_list(struct req *r)
{
    TRY(query_read(r, NULL, 0));
    struct caller c = caller_of(r);
    struct entitlement_state s;
    TRY(state_get(r, &c, &s));
    const struct catalog *cat = r->app->catalog;
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "caller",
            caller_none(&c)           ? SV("nobody")
            : user_id_none(&c.member) ? SV("visitor")
                                      : SV("member"));
    entitlement_write_plan(w, cat, &s);
    jw_key(w, "data");
    jw_arr(w);
    for (size_t i = 0; i < cat->nitems; i++) {
        struct decision d = entitlement_decide_item(&s, r->mem, cat, &cat->items[i], NULL);
        if (d.kind != DECIDE_GONE)
            entitlement_write_item(w, &cat->items[i], &d);
    }
    jw_arr_end(w);
    jw_knull(w, "nextCursor");
    jw_obj_end(w);
    return OK;
}

/* GET /api/catalog/{item} */
static err catalog_item(struct req *r)
{
    sv code = SV_NULL;
    struct field q[] = {{.name = "discountCode", .type = FIELD_STR, .out = &code, .max = 64}};
    TRY(query_read(r, FIELDS(q)));
    struct caller c = caller_of(r);
    const struct item *it = NULL;
    struct entitlement_state s;
    const struct discount_offer *offer;
    TRY(item_get(r, req_param(r, "item"), NULL, &it));
    TRY(state_get(r, &c, &s));
    TRY(entitlement_code_read(r->tx, r->mem, code, &c, SV_NULL, it, r->now, "discountCode",
                              &offer));
    struct decision d = entitlement_decide_item(&s, r->mem, r->app->catalog, it, offer);
    if (d.kind == DECIDE_GONE)
        return FAIL(ERR_GONE, "this is not sold any more");
    entitlement_write_item(reply_json(r, 200), it, &d);
    return OK;
}

static const struct route routes[] = {
    ROUTE(GET, "/api/user/entitlements", entitlement_get, .auth = AUTH_PUBLIC, .tx = TX_READ,
          .lenient = true),
    ROUTE(GET, "/api/user/entitlements/check", entitlement_check, .auth = AUTH_PUBLIC,
          .tx = TX_READ),
    ROUTE(POST, "/api/user/entitlements/use", entitlement_use, .auth = AUTH_PUBLIC, .tx = TX_WRITE,
          .body = BODY_JSON),
    ROUTE(GET, "/api/catalog", catalog_list, .auth = AUTH_PUBLIC, .tx = TX_READ),
    ROUTE(GET, "/api/catalog/{item}", catalog_item, .auth = AUTH_PUBLIC, .tx = TX_READ),
};
const struct route_set entitlement_routes = {routes, sizeof routes / sizeof *routes};
