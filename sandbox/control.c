/* /_sandbox: what tests and people do to Stripe from outside of its API. JSON in, JSON out. */
#include "sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer: a new object, or NULL and the sentence in *wrong. */
typedef json_t *control_fn(const json_t *in, const char **wrong);

static json_t *done(void)
{
    return json_pack("{s:b}", "ok", 1);
}

static json_t *find(const json_t *in, const char *key, const char *type, const char **wrong)
{
    json_t *o = sb_find(jstr(in, key), type);
    if (!o)
        *wrong = "there is no such object";
    return o;
}

/* ---- checkout */

static json_t *pay(const json_t *in, const char **wrong)
{
    json_t *s = find(in, "session", "checkout.session", wrong);
    const char *async = jstr(in, "async");
    bool action = false;
    struct sb_pay p = {.card = jhas(in, "card") ? jstr(in, "card") : NULL,
                       .email = jstr(in, "email"),
                       .name = jstr(in, "name"),
                       .async = *async ? async : NULL,
                       .async_delay = jint(in, "async_delay"),
                       .authenticated = true};
    if (!s)
        return NULL;
    const char *trouble = sb_checkout_pay(s, &p, &action);
    sb_timeline_run();
    char *url = sb_return_url(s);
    json_t *out = json_pack("{s:s?, s:s?, s:s}", "url", trouble ? NULL : url, "error", trouble,
                            "status", jstr(s, "status"));
    free(url);
    return out;
}

static json_t *expire(const json_t *in, const char **wrong)
{
    json_t *s = find(in, "session", "checkout.session", wrong);
    if (!s)
        return NULL;
    if (!strcmp(jstr(s, "status"), "open"))
        sb_checkout_expire(s);
    return done();
}

static json_t *async_end(const json_t *in, const char **wrong)
{
    json_t *s = find(in, "session", "checkout.session", wrong);
    if (!s)
        return NULL;
    sb_checkout_async(s, strcmp(jstr(in, "result"), "fail") != 0);
    return done();
}

/* ---- money back */

static json_t *charge_of(const json_t *in, const char **wrong)
{
    json_t *pi = sb_find(jstr(in, "payment_intent"), "payment_intent");
    json_t *charge =
        sb_find(jhas(in, "charge") ? jstr(in, "charge") : jstr(pi, "latest_charge"), "charge");
    if (!charge)
        *wrong = "there is no charge of this payment";
    return charge;
}

static json_t *refund(const json_t *in, const char **wrong)
{
    json_t *charge = charge_of(in, wrong);
    if (!charge)
        return NULL;
    int64_t left = jint(charge, "amount") - jint(charge, "amount_refunded");
    int64_t amount = jhas(in, "amount") ? jint(in, "amount") : left;
    if (amount < 1 || amount > left) {
        *wrong = "more than what is left of the charge";
        return NULL;
    }
    json_t *r = sb_refund_make(charge, amount,
                               jhas(in, "status") ? jstr(in, "status") : "succeeded", NULL, NULL);
    if (jbool(in, "fails"))
        sb_refund_set(r, "failed");
    return json_pack("{s:s}", "refund", jstr(r, "id"));
}

static json_t *refund_set(const json_t *in, const char **wrong)
{
    json_t *r = find(in, "refund", "refund", wrong);
    if (!r)
        return NULL;
    sb_refund_set(r, jstr(in, "status"));
    return done();
}

static json_t *open_dispute_of(const json_t *charge)
{
    json_t *all = sb_all("dispute");
    for (size_t i = json_array_size(all); i-- > 0;)
        if (!strcmp(jstr(json_array_get(all, i), "charge"), jstr(charge, "id")))
            return json_array_get(all, i);
    return NULL;
}

static json_t *dispute(const json_t *in, const char **wrong)
{
    static const struct {
        const char *action, *status;
    } ends[] = {{"win", "won"},
                {"lose", "lost"},
                {"warn_close", "warning_closed"},
                {"prevent", "prevented"}};
    json_t *charge = charge_of(in, wrong);
    const char *action = jstr(in, "action");
    if (!charge)
        return NULL;
    if (!strcmp(action, "open") || !strcmp(action, "warn"))
        return json_pack(
            "{s:s}", "dispute",
            jstr(sb_dispute_open(charge, !strcmp(action, "warn"), jstr(in, "reason")), "id"));
    json_t *d = open_dispute_of(charge);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (d && !strcmp(action, ends[i].action)) {
            sb_dispute_close(d, ends[i].status);
            return done();
        }
    *wrong = d ? "action: open, warn, win, lose, warn_close or prevent"
               : "there is no dispute of this charge";
    return NULL;
}

/* ---- subscriptions */

static json_t *latest_invoice(const json_t *sub)
{
    return sb_get(jstr(sub, "latest_invoice"));
}

/* A good card, and the open invoice paid with it. */
static void recover(json_t *sub)
{
    json_t *pm = sb_card_attach(sb_card_find("4242424242424242"), jstr(sub, "customer"), NULL);
    json_t *invoice = latest_invoice(sub);
    jset_str(sub, "default_payment_method", jstr(pm, "id"));
    jset_int(sub, "_fail_next", 0);
    if (invoice && !strcmp(jstr(invoice, "status"), "open"))
        sb_subscription_settle(sub, invoice, sb_invoice_pay(invoice, true));
}

static void collection(json_t *sub, bool paused)
{
    json_t *before = json_deep_copy(sub);
    if (paused)
        jset(sub, "pause_collection", json_pack("{s:s, s:n}", "behavior", "void", "resumes_at"));
    else
        jset_null(sub, "pause_collection");
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

static void set_status(json_t *sub, const char *status)
{
    json_t *before = json_deep_copy(sub);
    jset_str(sub, "status", status);
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

/* As the portal does: at the period's end, in either of its two shapes, or undone. */
static void cancel(json_t *sub, bool at_period_end, int64_t at)
{
    json_t *before = json_deep_copy(sub);
    sb_subscription_set_cancel(sub, at_period_end, at);
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

static void trial(json_t *sub, int64_t days)
{
    json_t *before = json_deep_copy(sub);
    sb_subscription_trial(sub, sb_now() + days * 86400);
    jset_str(sub, "status", "trialing");
    sb_event_updated("customer.subscription.updated", sub, before);
    json_decref(before);
}

static json_t *subscription(const json_t *in, const char **wrong)
{
    json_t *sub = find(in, "id", "subscription", wrong);
    const char *action = jstr(in, "action");
    if (!sub)
        return NULL;
    if (!strcmp(action, "fail_next"))
        jset_int(sub, "_fail_next", jhas(in, "count") ? jint(in, "count") : 10);
    else if (!strcmp(action, "recover"))
        recover(sub);
    else if (!strcmp(action, "pause"))
        collection(sub, true);
    else if (!strcmp(action, "unpause"))
        collection(sub, false);
    else if (!strcmp(action, "suspend"))
        sb_subscription_pause(sub, true);
    else if (!strcmp(action, "resume"))
        sb_subscription_pause(sub, false);
    else if (!strcmp(action, "cancel"))
        cancel(sub, true, 0);
    else if (!strcmp(action, "cancel_flexible"))
        cancel(sub, false, sb_period_end(sub));
    else if (!strcmp(action, "keep"))
        cancel(sub, false, 0);
    else if (!strcmp(action, "cancel_now"))
        sb_subscription_cancel(sub, "cancellation_requested");
    else if (!strcmp(action, "mark_unpaid"))
        set_status(sub, "unpaid");
    else if (!strcmp(action, "trial"))
        trial(sub, jint(in, "days"));
    else {
        *wrong = "action: fail_next, recover, pause, unpause, suspend, resume, cancel, "
                 "cancel_flexible, keep, cancel_now, mark_unpaid or trial";
        return NULL;
    }
    return done();
}

/* ---- the clock, delivery, faults */

static json_t *clock_show(void)
{
    char date[64];
    sb_http_date(date);
    return json_pack("{s:I, s:s}", "now", (json_int_t)sb_now(), "date", date);
}

static json_t *clock_move(const json_t *in, const char **wrong)
{
    int64_t to = jint(in, "now");
    const char *advance = jstr(in, "advance");
    if (*advance && !sb_timeline_parse(advance, &to)) {
        *wrong = "advance: +1 month, +3 days, +90 minutes, Unix seconds or an RFC 3339 time";
        return NULL;
    }
    if (to > 0)
        sb_timeline_move(to);
    return clock_show();
}

static json_t *forward(const json_t *in, const char **wrong)
{
    static char url[1024];
    (void)wrong;
    snprintf(url, sizeof url, "%s", jstr(in, "url"));
    sb_config.forward_to = *url ? url : NULL;
    if (*jstr(in, "shape"))
        sb_config.legacy = !strcmp(jstr(in, "shape"), "legacy");
    return done();
}

static json_t *settle(const json_t *in, const char **wrong)
{
    int pending = 0;
    (void)wrong;
    bool all =
        sb_deliver_settle(jhas(in, "seconds") ? (double)jint(in, "seconds") : 30.0, &pending);
    return json_pack("{s:b, s:i}", "settled", (int)all, "pending", pending);
}

static json_t *fault(const json_t *in, const char **wrong)
{
    json_t *f = json_deep_copy(in);
    if (!strcmp(jstr(in, "kind"), "clear")) {
        sb_api_fault_clear();
        sb_webhook_fault_clear();
        json_decref(f);
        return done();
    }
    if (!jhas(f, "count"))
        jset_int(f, "count", 1);
    bool known = sb_api_fault(f) || sb_webhook_fault(f);
    json_decref(f);
    if (known)
        return done();
    *wrong = "kind: duplicate, reorder, delay, drop, old_shape, lost_answer, 429, 500, 500_after, "
             "slow, down or clear";
    return NULL;
}

static json_t *trigger(const json_t *in, const char **wrong)
{
    *wrong = sb_trigger(jstr(in, "event"));
    return *wrong ? NULL : done();
}

/* Events as they are sent, oldest first. */
static json_t *events(void)
{
    json_t *list = json_array(), *e;
    size_t i;
    json_array_foreach(sb_all("event"), i, e)
        json_array_append_new(list, sb_event_body(e, sb_config.legacy));
    return json_pack("{s:o}", "data", list);
}

static const struct {
    const char *path;
    control_fn *fn;
} table[] = {
    {"pay", pay},
    {"expire", expire},
    {"async", async_end},
    {"refund", refund},
    {"refund_set", refund_set},
    {"dispute", dispute},
    {"subscription", subscription},
    {"clock", clock_move},
    {"forward", forward},
    {"settle", settle},
    {"fault", fault},
    {"trigger", trigger},
};

static json_t *look(const char *name)
{
    if (!strcmp(name, "clock"))
        return clock_show();
    if (!strcmp(name, "events"))
        return events();
    if (!strcmp(name, "requests"))
        return json_pack("{s:O}", "data", sb_requests ? sb_requests : json_array());
    return NULL;
}

void sb_control(const char *method, const char *path, const char *body, size_t len,
                struct sb_page *out)
{
    const char *name = strlen(path) > 10 ? path + 10 : "", *wrong = NULL;
    json_error_t e;
    json_t *answer = NULL, *in = len ? json_loadb(body, len, 0, &e) : json_object();
    out->status = 200;
    if (!strcmp(method, "GET")) {
        answer = look(name);
    } else if (!in) {
        wrong = "the body is not JSON";
    } else {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
            if (!strcmp(name, table[i].path))
                answer = table[i].fn(in, &wrong);
    }
    if (!answer) {
        out->status = wrong ? 400 : 404;
        answer = json_pack("{s:s}", "error", wrong ? wrong : "there is no such control");
    }
    out->body = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    json_decref(in);
}
