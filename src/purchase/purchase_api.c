#include "purchase/purchase_store.h"

#include "billing/idempotency.h"

/* -------- writing -------- */

static void write_discount(struct jw *w, const struct purchase *p)
{
    jw_key(w, "discount");
    if (sv_is(p->discount_kind, "none")) {
        jw_null(w);
        return;
    }
    jw_obj(w);
    jw_kstr(w, "kind", p->discount_kind);
    jw_kstr(w, "id", p->discount_id);
    if (p->discount_percent >= 0)
        jw_kint(w, "percent", p->discount_percent);
    else
        jw_knull(w, "percent");
    jw_kmoney(w, "amount", money_sub(p->list, p->price));
    jw_obj_end(w);
}

static void write_history(struct jw *w, const struct purchase_event *e, size_t n)
{
    jw_key(w, "history");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kint(w, "seq", e[i].seq);
        jw_kts(w, "at", e[i].at);
        jw_kstr(w, "status", e[i].status);
        jw_kstr(w, "what", e[i].what);
        jw_kstr(w, "actor", e[i].actor);
        jw_kstr(w, "event", e[i].event);
        jw_kstr(w, "detail", e[i].detail);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static void write_terms(struct jw *w, const struct app *app, const struct purchase *p)
{
    const struct item *it = catalog_find(app->catalog, p->item);
    jw_kstr(w, "item", p->item);
    jw_kstr(w, "title", it ? it->title : SV_NULL);
    jw_kmoney(w, "listPrice", p->list);
    jw_kmoney(w, "price", p->price);
    jw_kstr(w, "currency", currency_sv(&p->currency));
    write_discount(w, p);
}

void purchase_write(struct jw *w, const struct app *app, const struct purchase *p,
                    const struct purchase_event *history, size_t n)
{
    jw_obj(w);
    jw_kstr(w, "id", p->id);
    write_terms(w, app, p);
    jw_kstr(w, "status", sv_from(purchase_status_name(p->status)));
    jw_kbool(w, "access", purchase_grants(p->status));
    jw_kts(w, "createdAt", p->created);
    jw_kts(w, "changedAt", p->changed);
    jw_kts(w, "paidAt", p->paid);
    jw_kts(w, "claimedAt", p->claimed);
    jw_kts(w, "expiresAt", p->status == PURCHASE_PENDING ? p->expires : TS_NONE);
    jw_kstr(w, "checkoutUrl", p->status == PURCHASE_PENDING ? p->session_url : SV_NULL);
    if (history)
        write_history(w, history, n);
    jw_obj_end(w);
}

static void write_checkout(struct jw *w, const struct app *app, const struct purchase *p)
{
    jw_obj(w);
    jw_kstr(w, "purchaseId", p->id);
    jw_kstr(w, "status", sv_from(purchase_status_name(p->status)));
    jw_kstr(w, "url", p->session_url);
    jw_kstr(w, "sessionId", p->session);
    jw_kts(w, "expiresAt", p->expires);
    write_terms(w, app, p);
    jw_obj_end(w);
}

/* -------- handlers -------- */

static err known_caller(const struct req *r, struct caller *out)
{
    *out = caller_of(r);
    return caller_none(out) ? FAIL(ERR_UNAUTHENTICATED, "sign in, or come with a visitor's cookie")
                            : OK;
}

/* POST /api/purchases/checkout - buys one item; a second call returns the open session. */
static err purchase_checkout_post(struct req *r)
{
    sv item = SV_NULL;
    struct checkout_ask ask = {.code = SV_NULL};
    struct field f[] = {
        {.name = "item", .type = FIELD_STR, .out = &item, .required = true, .max = 200},
        {.name = "discountCode", .type = FIELD_STR, .out = &ask.code, .max = 64},
    };
    TRY(body_read(r, FIELDS(f)));
    ask.item = catalog_find(r->app->catalog, item);
    if (!ask.item)
        return FAIL_FIELD(ERR_NOT_FOUND, "/item", "there is no such item");
    struct idempotency idem;
    TRY(idempotency_begin(r, &idem));
    if (idem.replayed)
        return OK;
    struct purchase p;
    TRY(purchase_checkout(r, &ask, &p));
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    write_checkout(&w, r->app, &p);
    return idempotency_reply(r, &idem, 200, buf_sv(&text));
}

/* GET /api/purchases */
static err purchases_get(struct req *r)
{
    struct caller c;
    struct page page;
    struct purchase *p;
    size_t n;
    TRY(known_caller(r, &c));
    TRY(page_read(r, &page));
    TRY(purchase_list_of(r->tx, r->mem, &c, page.cursor, page.limit + 1, &p, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++)
        purchase_write(w, r->app, &p[i], NULL, 0);
    return page_end(r, w, more ? p[n - 1].id : SV_NULL);
}

/* Another's purchase answers like a missing one. */
static err own_purchase(struct req *r, struct purchase *p)
{
    struct caller c;
    bool found;
    TRY(known_caller(r, &c));
    TRY(purchase_by_id(r->tx, r->mem, req_param(r, "id"), p, &found));
    return found && purchase_is_of(p, &c) ? OK : FAIL(ERR_NOT_FOUND, "there is no such purchase");
}

/* GET /api/purchases/{id} - with its history. */
static err purchase_get_one(struct req *r)
{
    struct purchase p;
    struct purchase_event *history;
    size_t n;
    TRY(own_purchase(r, &p));
    TRY(purchase_history(r->tx, r->mem, p.id, &history, &n));
    purchase_write(reply_json(r, 200), r->app, &p, history, n);
    return OK;
}

/* GET /api/purchases/{id}/receipt */
static err purchase_receipt(struct req *r)
{
    struct purchase p;
    struct payment_facts m = {.paid_at = TS_NONE};
    TRY(own_purchase(r, &p));
    if (ts_is_none(p.paid))
        return FAIL(ERR_CONFLICT, "there is a receipt once it is paid");
    if (p.payment_intent.p)
        TRY(billing_payment_get(r->tx, r->mem, p.payment_intent, &m));
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kstr(w, "number", p.id);
    write_terms(w, r->app, &p);
    jw_kstr(w, "status", sv_from(purchase_status_name(p.status)));
    jw_kmoney(w, "total", p.price);
    jw_kmoney(w, "refunded", m.refunded);
    jw_kstr(w, "email", p.email);
    jw_kts(w, "paidAt", p.paid);
    jw_kstr(w, "paymentIntent", p.payment_intent);
    jw_kstr(w, "claimUrl",
            user_id_none(&p.member) ? purchase_claim_url(r->mem, r->app, p.id) : SV_NULL);
    jw_obj_end(w);
    return OK;
}

/* POST /api/purchases/claim - by the link of a receipt and a verified address. */
static err purchase_claim_post(struct req *r)
{
    sv token = SV_NULL;
    struct field f[] = {
        {.name = "token", .type = FIELD_STR, .out = &token, .required = true, .max = 200}};
    struct purchase p;
    enum claim_outcome outcome;
    TRY(body_read(r, FIELDS(f)));
    TRY(purchase_claim_receipt(r->tx, r->mem, r->app, token, &r->member, r->now, &p, &outcome));
    if (outcome == CLAIM_TAKEN)
        return FAIL(ERR_CONFLICT, "this purchase belongs to an account already");
    if (outcome == CLAIM_OTHER_ADDRESS)
        return FAIL(ERR_FORBIDDEN, "the receipt went to another address than your account's");
    struct jw *w = reply_json(r, outcome == CLAIM_UNVERIFIED ? 202 : 200);
    jw_obj(w);
    jw_kbool(w, "claimed", outcome != CLAIM_UNVERIFIED);
    jw_kstr(w, "next", outcome == CLAIM_UNVERIFIED ? SV("verify_email") : SV_NULL);
    jw_kstr(w, "purchaseId", p.id);
    jw_kstr(w, "item", p.item);
    jw_obj_end(w);
    return OK;
}

static const struct route routes[] = {
    ROUTE(POST, "/api/purchases/checkout", purchase_checkout_post, .auth = AUTH_VISITOR,
          .tx = TX_NONE, .body = BODY_JSON, .limit = LIMIT_MONEY, .idempotent_key = true),
    ROUTE(POST, "/api/purchases/claim", purchase_claim_post, .auth = AUTH_MEMBER, .tx = TX_WRITE,
          .body = BODY_JSON),
    ROUTE(GET, "/api/purchases", purchases_get, .auth = AUTH_PUBLIC, .tx = TX_READ),
    ROUTE(GET, "/api/purchases/{id}", purchase_get_one, .auth = AUTH_PUBLIC, .tx = TX_READ),
    ROUTE(GET, "/api/purchases/{id}/receipt", purchase_receipt, .auth = AUTH_PUBLIC, .tx = TX_READ),
};
const struct route_set purchase_routes = {routes, sizeof routes / sizeof *routes};
