/* Endpoints of the member's subscription. SPEC §5. */
#include "app/app.h"
#include "billing/idempotency.h"
#include "billing/subscription.h"
#include "catalog/catalog.h"

#define RETRY_AFTER_S 5

/* Something outside is down: says when to come again. */
static err after_call(struct req *r, err e)
{
    if (e == ERR_UPSTREAM || e == ERR_RETRY)
        reply_retry_after(r, RETRY_AFTER_S);
    return e;
}

static err need_stripe(void)
{
    return stripe_configured() ? OK : FAIL(ERR_NOT_CONFIGURED, "payments are not set up here");
}

static err check_url(struct req *r, const char *pointer, sv url)
{
    if (url.p == NULL || billing_return_url_ok(&r->app->set, url))
        return OK;
    return field_error(r, pointer, "not_allowed",
                       "must be on this server's origin or one of CORS_ORIGINS");
}

static sv text_of(struct req *r, const struct buf *b)
{
    return arena_sv(r->mem, buf_sv(b));
}

/* POST /api/subscription/create (kept): Checkout for premium. */
static err subscription_create(struct req *r)
{
    sv plan = SV_NULL;
    struct checkout_request ask = {SV_NULL, SV_NULL};
    struct field f[] = {
        {"plan", FIELD_STR, &plan, false, 1, 100, NULL},
        {"successUrl", FIELD_URL, &ask.success_url, false, 0, 0, NULL},
        {"cancelUrl", FIELD_URL, &ask.cancel_url, false, 0, 0, NULL},
    };
    struct idempotency key;
    TRY(body_read(r, FIELDS(f)));
    TRY(check_url(r, "/successUrl", ask.success_url));
    TRY(check_url(r, "/cancelUrl", ask.cancel_url));
    if (plan.p != NULL && !sv_eq(plan, r->app->catalog->plan_key))
        return field_error(r, "/plan", "unknown", "there is no such plan");
    TRY(need_stripe());
    TRY(idempotency_begin(r, &key));
    if (key.replayed)
        return OK;
    struct checkout_answer answer;
    TRY(after_call(r, subscription_checkout(r, &ask, &answer)));
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    jw_obj(&w);
    jw_kstr(&w, "url", answer.url);
    jw_kstr(&w, "sessionId", answer.session);
    jw_obj_end(&w);
    return idempotency_reply(r, &key, 200, text_of(r, &text));
}

/* GET /api/subscription: the state. */
static err subscription_get(struct req *r)
{
    BUF_AUTO text = {0};
    TRY(query_read(r, NULL, 0));
    TRY(subscription_write(r->tx, r->mem, r->app, &r->member, r->now, NULL, &text));
    return reply_body(r, 200, "application/json", text_of(r, &text));
}

struct state {
    struct req *r;
    const json *fresh;
    sv text;
};

static err tx_state(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct state *s = arg;
    BUF_AUTO text = {0};
    TRY(subscription_write(tx, mem, s->r->app, &s->r->member, clock_now(), s->fresh, &text));
    s->text = arena_sv(mem, buf_sv(&text));
    return OK;
}

static err change(struct req *r, enum subscription_change what)
{
    sv subscription = SV_NULL;
    struct field f[] = {{"subscriptionId", FIELD_STR, &subscription, false, 1, 255, NULL}};
    struct idempotency key;
    struct state s = {.r = r};
    TRY(body_read(r, FIELDS(f)));
    TRY(need_stripe());
    TRY(idempotency_begin(r, &key));
    if (key.replayed)
        return OK;
    TRY(after_call(r, subscription_change(r, what, subscription, &s.fresh)));
    TRY(db_read(r->db, r->mem, tx_state, &s));
    return idempotency_reply(r, &key, 200, s.text);
}

/* POST /api/subscription/cancel: ends with the paid period. */
static err subscription_cancel(struct req *r)
{
    return change(r, SUBSCRIPTION_CANCEL);
}

/* POST /api/subscription/resume: takes the cancellation back. */
static err subscription_resume(struct req *r)
{
    return change(r, SUBSCRIPTION_RESUME);
}

/* POST /api/subscription/portal: a link to Stripe's portal. */
static err subscription_portal_link(struct req *r)
{
    sv return_url = SV_NULL, url = SV_NULL;
    struct field f[] = {{"returnUrl", FIELD_URL, &return_url, false, 0, 0, NULL}};
    struct idempotency key;
    TRY(body_read(r, FIELDS(f)));
    TRY(check_url(r, "/returnUrl", return_url));
    TRY(need_stripe());
    TRY(idempotency_begin(r, &key));
    if (key.replayed)
        return OK;
    TRY(after_call(r, subscription_portal(r, return_url, &url)));
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    jw_obj(&w);
    jw_kstr(&w, "url", url);
    jw_obj_end(&w);
    return idempotency_reply(r, &key, 200, text_of(r, &text));
}

static bool is_of(const json *session, const user_id *member)
{
    sv user = json_get_str(json_get(session, "metadata"), "userId");
    if (user.p == NULL)
        user = json_get_str(session, "client_reference_id");
    return sv_eq(user, user_id_sv(member));
}

/* POST /api/subscription/confirm: what the success page does, for front ends that have their own.
 */
static err subscription_confirm(struct req *r)
{
    sv session = SV_NULL;
    const json *object = NULL;
    struct field f[] = {{"sessionId", FIELD_STR, &session, true, 1, 255, NULL}};
    TRY(body_read(r, FIELDS(f)));
    TRY(need_stripe());
    TRY(after_call(r, billing_session_fulfil(r->app, r->mem, session, STRIPE_PERSON, &object)));
    if (!is_of(object, &r->member))
        return FAIL(ERR_NOT_FOUND, "there is no such session");
    struct state s = {.r = r};
    TRY(db_read(r->db, r->mem, tx_state, &s));
    return reply_body(r, 200, "application/json", s.text);
}

/* GET /api/subscription/events: what Stripe told us about the caller's own payments. */
static err subscription_events(struct req *r)
{
    struct page page;
    struct billing_event *list;
    ts at;
    sv id;
    size_t n;
    TRY(page_read(r, &page));
    TRY(page_at(r, &page, &at, &id));
    TRY(billing_event_list_member(r->tx, r->mem, &r->member, at, id, page.limit + 1, &list, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "id", list[i].id);
        jw_kstr(w, "type", list[i].type);
        jw_kstr(w, "object", list[i].object);
        jw_kstr(w, "status", list[i].status);
        jw_kts(w, "createdAt", list[i].created);
        jw_kts(w, "receivedAt", list[i].received);
        jw_obj_end(w);
    }
    return page_end(r, w,
                    more ? page_at_text(r->mem, list[n - 1].created, list[n - 1].id) : SV_NULL);
}

/* Fills in what Stripe could not: the id inside an encoded target. */
static sv with_session(struct req *r, sv to, sv session)
{
    static const char mark[] = "{CHECKOUT_SESSION_ID}";
    BUF_AUTO out = {0};
    for (size_t i = 0; i < to.n;) {
        if (sv_starts((sv){to.p + i, to.n - i}, SV("{CHECKOUT_SESSION_ID}"))) {
            buf_add(&out, session);
            i += sizeof mark - 1;
        } else {
            buf_char(&out, to.p[i++]);
        }
    }
    return text_of(r, &out);
}

static bool is_session_id(sv s)
{
    if (s.n == 0 || s.n > 255)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return true;
}

static err tx_refetch(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct req *r = ((struct state *)arg)->r;
    return billing_refetch_put(tx, mem, ((struct state *)arg)->text, r->now, r->now);
}

/* GET /billing/success?session_id=&to=: the return from Checkout. Asks Stripe, stores what it says
 * like an event, then sends the member on; with Stripe down the webhook and a job do the rest. */
static err billing_success(struct req *r)
{
    sv session = req_query(r, "session_id"), to = req_query(r, "to");
    const json *object = NULL;
    if (!is_session_id(session))
        return field_error(r, "session_id", "invalid", "must be the id of a Checkout session");
    if (sv_empty(to))
        to = SV("/");
    if (!subscription_target_ok(with_session(r, to, session), r->app->set.base_url,
                                r->app->set.cors_origins))
        return field_error(r, "to", "not_allowed", "must be a place of ours");
    TRY(need_stripe());
    err e = billing_session_fulfil(r->app, r->mem, session, STRIPE_PERSON, &object);
    if (e == ERR_NOT_FOUND)
        return FAIL(ERR_NOT_FOUND, "there is no such checkout");
    if (e == ERR_UPSTREAM) {
        struct state s = {.r = r, .text = session};
        TRY(db_write(r->db, r->mem, tx_refetch, &s));
    } else {
        TRY(e);
    }
    return reply_redirect(r, 303, with_session(r, to, session));
}

static const struct route routes[] = {
    ROUTE(POST, "/api/subscription/create", subscription_create, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_MONEY, .lenient = true, .idempotent_key = true),
    ROUTE(GET, "/api/subscription", subscription_get, .auth = AUTH_MEMBER, .tx = TX_READ),
    ROUTE(POST, "/api/subscription/cancel", subscription_cancel, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_MONEY, .idempotent_key = true),
    ROUTE(POST, "/api/subscription/resume", subscription_resume, .auth = AUTH_MEMBER, .tx = TX_NONE,
          .body = BODY_JSON, .limit = LIMIT_MONEY, .idempotent_key = true),
    ROUTE(POST, "/api/subscription/portal", subscription_portal_link, .auth = AUTH_MEMBER,
          .tx = TX_NONE, .body = BODY_JSON, .limit = LIMIT_MONEY, .idempotent_key = true),
    ROUTE(POST, "/api/subscription/confirm", subscription_confirm, .auth = AUTH_MEMBER,
          .tx = TX_NONE, .body = BODY_JSON, .limit = LIMIT_MONEY),
    ROUTE(GET, "/api/subscription/events", subscription_events, .auth = AUTH_MEMBER, .tx = TX_READ),
    ROUTE(GET, "/billing/success", billing_success, .auth = AUTH_PUBLIC, .tx = TX_NONE),
};
const struct route_set subscription_routes = ROUTE_SET(routes);
