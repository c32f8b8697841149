/* Webhooks of the mail providers, one-click unsubscribe, and mail for the admin. email/CONTRACT
 * §7-§9. */
#include "app/app.h"
#include "app/audit.h"
#include "base/log.h"
#include "http/metrics.h"
#include "mail/mail_channel.h"
#include "mail/mail_event.h"
#include "mail/mail_render.h"

#define EVENTS_MAX 10000

/* -------- webhooks -------- */

struct call {
    const json *body; /* NULL: signed, but not readable */
};

/* Parsed on the loop, after the signature was found good. */
static void call_read(struct req *r)
{
    struct call *c = ARENA_NEW(r->mem, struct call);
    if (json_parse(r->mem, r->body, &c->body) != OK)
        c->body = NULL;
    r->prepared = c;
}

static err sendgrid_prepare(struct req *r)
{
    sv key = r->app->set.sendgrid_webhook_key;
    if (sv_empty(key))
        return FAIL(ERR_NOT_CONFIGURED, "SENDGRID_WEBHOOK_KEY is not set");
    if (!mail_sendgrid_signed(r->mem, key, req_header(r, "X-Twilio-Email-Event-Webhook-Signature"),
                              req_header(r, "X-Twilio-Email-Event-Webhook-Timestamp"), r->body))
        return FAIL(ERR_UNAUTHENTICATED, "the signature does not fit the body");
    call_read(r);
    return OK;
}

static err postmark_prepare(struct req *r)
{
    sv secret = r->app->set.postmark_webhook_secret;
    if (sv_empty(secret))
        return FAIL(ERR_NOT_CONFIGURED, "POSTMARK_WEBHOOK_SECRET is not set");
    /* Never 403: it would stop Postmark's retries for good. */
    if (!mail_postmark_authorised(r->mem, secret, req_header(r, "Authorization"),
                                  req_header(r, "X-MyBeing-Webhook-Secret")))
        return FAIL(ERR_UNAUTHENTICATED, "the webhook's secret is not right");
    call_read(r);
    return OK;
}

static err event_store(struct req *r, const struct mail_event *e)
{
    if (e->effect.kind == EVENT_IGNORED) {
        metric_add("mb_mail_events_total{result=\"ignored\"}", 1);
        return OK;
    }
    bool fresh;
    TRY(mail_store_event(r->tx, r->mem, e, r->now, &fresh));
    metric_add(fresh ? "mb_mail_events_total{result=\"stored\"}"
                     : "mb_mail_events_total{result=\"repeat\"}",
               1);
    return OK;
}

static err broken_store(struct req *r, const char *provider)
{
    struct mail_event e;
    mail_event_broken(r->mem, provider, r->body, &e);
    TRY(event_store(r, &e));
    return reply_empty(r, 200);
}

#define LATE_MS (5 * TS_MINUTE)

/* An old call is good (repeats may carry the old time, and storing is idempotent), but told. */
static void late_log(struct req *r)
{
    int64_t at;
    sv text = req_header(r, "X-Twilio-Email-Event-Webhook-Timestamp");
    if (sv_to_i64(text, &at) && at > 0 && at < ts_unix(clock_wall()) - LATE_MS / TS_SECOND)
        log_event(LOG_INFO, "mail.webhook_late", "provider", "sendgrid", "timestamp",
                  arena_cstr(r->mem, text), NULL);
}

/* POST /api/webhooks/email/sendgrid - an array of events. */
static err mail_webhook_sendgrid(struct req *r)
{
    const struct call *c = r->prepared;
    late_log(r);
    if (json_kind(c->body) != JK_ARR || json_len(c->body) > EVENTS_MAX)
        return broken_store(r, "sendgrid");
    for (struct json_iter it = json_iter(c->body); json_next(&it);) {
        struct mail_event e;
        mail_event_sendgrid(r->mem, it.value, &e);
        TRY(event_store(r, &e));
    }
    return reply_empty(r, 200);
}

/* POST /api/webhooks/email/postmark - one event. */
static err mail_webhook_postmark(struct req *r)
{
    const struct call *c = r->prepared;
    if (json_kind(c->body) != JK_OBJ)
        return broken_store(r, "postmark");
    struct mail_event e;
    mail_event_postmark(r->mem, c->body, r->app->set.postmark_stream, &e);
    TRY(event_store(r, &e));
    return reply_empty(r, 200);
}

/* -------- one-click unsubscribe -------- */

static err token_read(struct req *r, sv *id, sv *category)
{
    if (!mail_unsubscribe_read(r->mem, r->app, req_param(r, "token"), id, category))
        return FAIL(ERR_NOT_FOUND, "this link is not complete");
    return OK;
}

/* GET /unsubscribe/{token} - shows a button, changes nothing (links are followed by scanners). */
static err mail_unsubscribe_show(struct req *r)
{
    sv id, category;
    TRY(token_read(r, &id, &category));
    return reply_page(
        r, 200, "Stop these mails?",
        SV("<p>We will no longer send you mails of this kind. Letters about your account and your "
           "payments still come.</p><form method=\"post\"><input type=\"hidden\" "
           "name=\"List-Unsubscribe\" value=\"One-Click\"><div class=\"row\"><button "
           "type=\"submit\">Unsubscribe</button> <a class=\"button second\" href=\"/\">Keep "
           "them</a></div></form>"));
}

/* POST /unsubscribe/{token} - needs no cookie, never redirects, may be repeated. RFC 8058. */
static err mail_unsubscribe_now(struct req *r)
{
    sv id, category;
    TRY(token_read(r, &id, &category));
    struct mail_row m;
    err e = mail_store_get(r->tx, r->mem, id, &m);
    if (e == OK)
        e = mail_store_suppress(r->tx, m.recipient, category, SV("unsubscribe"), SV_NULL, r->now);
    if (e != OK && e != ERR_NOT_FOUND) /* erased with its person: nobody is mailed any more */
        return e;
    return reply_page(r, 200, "You are unsubscribed",
                      SV("<p>We will not send you these mails any more.</p>"
                         "<p><a class=\"button\" href=\"/\">On to MyBeing</a></p>"));
}

/* -------- admin -------- */

static void mail_write(struct jw *w, const struct mail_row *m)
{
    jw_obj(w);
    jw_kstr(w, "id", m->id);
    jw_kstr(w, "template", m->template);
    jw_kstr(w, "cause", m->cause);
    jw_kstr(w, "to", m->recipient);
    jw_kstr(w, "userId", m->member);
    jw_kstr(w, "state", m->state);
    jw_kint(w, "attempts", m->attempts);
    jw_kstr(w, "provider", m->provider);
    jw_kstr(w, "providerId", m->provider_id);
    jw_kstr(w, "error", m->error);
    jw_kbool(w, "optional", m->optional);
    jw_kts(w, "expiresAt", m->expires);
    jw_kts(w, "createdAt", m->created);
    jw_kts(w, "updatedAt", m->updated);
}

/* GET /api/admin/emails?state=&template=&to=&userId=&limit=&cursor= - newest first. */
static err mail_admin_list(struct req *r)
{
    struct page p;
    struct mail_filter f = {
        .state = SV_NULL, .template = SV_NULL, .recipient = SV_NULL, .member = SV_NULL};
    const struct field filters[] = {
        {"state", FIELD_STR, &f.state, .min = 1, .max = 20},
        {"template", FIELD_STR, &f.template, .min = 1, .max = 60},
        {"to", FIELD_STR, &f.recipient, .min = 3, .max = 254},
        {"userId", FIELD_STR, &f.member, .min = 1, .max = 60},
    };
    TRY(page_query_read(r, &p, FIELDS(filters)));
    if (f.state.p && mail_state_parse(f.state) == MAIL_STATES)
        return field_error(r, "state", "unknown_value", "is no state of a mail");
    f.before = p.cursor;
    f.n = p.limit + 1;
    struct mail_row *rows;
    size_t n;
    TRY(mail_store_list(r->tx, r->mem, &f, &rows, &n));
    bool more = page_cut(&p, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        mail_write(w, &rows[i]);
        jw_obj_end(w);
    }
    return page_end(r, w, more ? rows[n - 1].id : SV_NULL);
}

static err mail_reply(struct req *r)
{
    struct mail_row m;
    struct mail_event *events;
    size_t n;
    TRY(mail_store_get(r->tx, r->mem, req_param(r, "id"), &m));
    TRY(mail_store_events(r->tx, r->mem, m.id, &events, &n));
    struct jw *w = reply_json(r, 200);
    mail_write(w, &m);
    jw_key(w, "events");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "provider", events[i].provider);
        jw_kstr(w, "type", events[i].type);
        jw_kstr(w, "detail", events[i].detail);
        jw_kts(w, "at", events[i].at);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
    return OK;
}

/* GET /api/admin/emails/{id} - with its events. */
static err mail_admin_get(struct req *r)
{
    return mail_reply(r);
}

/* `?reason=` may be given. */
static err audited(struct req *r, const char *action, sv target)
{
    sv reason = SV_NULL;
    TRY(audit_reason_read(r, &reason));
    return audit_put(r->tx, r->mem, r,
                     &(struct audit_entry){.action = action,
                                           .target = target,
                                           .reason = reason,
                                           .before = SV_NULL,
                                           .after = SV_NULL});
}

/* POST /api/admin/emails/{id}/resend */
static err mail_admin_resend(struct req *r)
{
    TRY(audited(r, "mail.resend", req_param(r, "id")));
    TRY(mail_store_requeue(r->tx, r->mem, req_param(r, "id"), r->now));
    return mail_reply(r);
}

/* GET /api/admin/email/suppressions?limit=&cursor= - by address. */
static err mail_admin_suppressions(struct req *r)
{
    struct page p;
    TRY(page_read(r, &p));
    struct mail_suppression *rows;
    size_t n;
    TRY(mail_store_suppressions(r->tx, r->mem, p.cursor, p.limit + 1, &rows, &n));
    bool more = page_cut(&p, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "address", rows[i].address);
        jw_kstr(w, "scope", rows[i].scope);
        jw_kstr(w, "reason", rows[i].reason);
        jw_kstr(w, "provider", rows[i].provider);
        jw_kts(w, "createdAt", rows[i].created);
        jw_obj_end(w);
    }
    return page_end(r, w, more ? rows[n - 1].address : SV_NULL);
}

/* DELETE /api/admin/email/suppressions/{address} */
static err mail_admin_unsuppress(struct req *r)
{
    bool found;
    TRY(audited(r, "mail.unsuppress", req_param(r, "address")));
    TRY(mail_store_unsuppress(r->tx, req_param(r, "address"), SV_NULL, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "this address is not suppressed");
    return reply_empty(r, 204);
}

static void provider_write(struct jw *w, const struct mail_channel *c, const struct mail_pause *p,
                           ts now)
{
    bool paused = p && ts_before(now, p->until);
    jw_obj(w);
    jw_kstr(w, "name", sv_from(c->name));
    jw_kbool(w, "paused", paused);
    jw_kstr(w, "reason", paused ? p->reason : SV_NULL);
    jw_kts(w, "pausedAt", paused ? p->at : TS_NONE);
    jw_kts(w, "pausedUntil", paused ? p->until : TS_NONE);
    jw_obj_end(w);
}

/* GET /api/admin/email/providers - in order of preference. */
static err mail_admin_providers(struct req *r)
{
    struct mail_channel channels[MAIL_CHANNELS_MAX];
    size_t n = mail_channels(r->mem, &r->app->set, channels), np;
    struct mail_pause *pauses;
    TRY(mail_store_pauses(r->tx, r->mem, &pauses, &np));
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        const struct mail_pause *of = NULL;
        for (size_t k = 0; k < np; k++)
            if (sv_is(pauses[k].name, channels[i].name) &&
                sv_eq(pauses[k].fingerprint, channels[i].fingerprint))
                of = &pauses[k];
        provider_write(w, &channels[i], of, r->now);
    }
    return page_end(r, w, SV_NULL);
}

/* POST /api/admin/email/providers/{name}/resume - ends a pause. */
static err mail_admin_resume(struct req *r)
{
    bool found;
    TRY(audited(r, "mail.resume", req_param(r, "name")));
    TRY(mail_store_resume(r->tx, req_param(r, "name"), &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "this provider is not paused");
    return reply_empty(r, 204);
}

static const struct route routes[] = {
    ROUTE(POST, "/api/webhooks/email/sendgrid", mail_webhook_sendgrid, .auth = AUTH_NONE,
          .tx = TX_WRITE, .body = BODY_RAW, .limit = LIMIT_NONE, .same_origin_exempt = true,
          .prepare = sendgrid_prepare),
    ROUTE(POST, "/api/webhooks/email/postmark", mail_webhook_postmark, .auth = AUTH_NONE,
          .tx = TX_WRITE, .body = BODY_RAW, .limit = LIMIT_NONE, .same_origin_exempt = true,
          .prepare = postmark_prepare),
    ROUTE(GET, "/unsubscribe/{token}", mail_unsubscribe_show, .auth = AUTH_NONE, .tx = TX_READ),
    ROUTE(POST, "/unsubscribe/{token}", mail_unsubscribe_now, .auth = AUTH_NONE, .tx = TX_WRITE,
          .body = BODY_RAW, .same_origin_exempt = true),
    ROUTE(GET, "/api/admin/emails", mail_admin_list, .auth = AUTH_ADMIN, .tx = TX_READ),
    ROUTE(GET, "/api/admin/emails/{id}", mail_admin_get, .auth = AUTH_ADMIN, .tx = TX_READ),
    ROUTE(POST, "/api/admin/emails/{id}/resend", mail_admin_resend, .auth = AUTH_ADMIN,
          .tx = TX_WRITE),
    ROUTE(GET, "/api/admin/email/suppressions", mail_admin_suppressions, .auth = AUTH_ADMIN,
          .tx = TX_READ),
    ROUTE(DELETE, "/api/admin/email/suppressions/{address}", mail_admin_unsuppress,
          .auth = AUTH_ADMIN, .tx = TX_WRITE),
    ROUTE(GET, "/api/admin/email/providers", mail_admin_providers, .auth = AUTH_ADMIN,
          .tx = TX_READ),
    ROUTE(POST, "/api/admin/email/providers/{name}/resume", mail_admin_resume, .auth = AUTH_ADMIN,
          .tx = TX_WRITE),
};
const struct route_set mail_routes = ROUTE_SET(routes);
