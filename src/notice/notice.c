#include "notice/notice.h"
#include "account/account.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "mail/mail.h"
#include "notice/notice_rules.h"
#include "purchase/purchase.h"
#include "queries.h"

/* A mail being written: variables as JSON. */
struct letter {
    struct db_tx *tx;
    struct arena *mem;
    struct app *app;
    ts now;
    struct mail_new mail;
    struct buf vars;
    struct jw w;
};

static void letter_begin(struct letter *l, struct db_tx *tx, struct arena *mem, struct app *app,
                         ts now)
{
    *l = (struct letter){.tx = tx, .mem = mem, .app = app, .now = now};
    l->w.out = &l->vars;
    jw_obj(&l->w);
}

static void letter_free(struct letter *l)
{
    buf_free(&l->vars);
}
#define LETTER_AUTO __attribute__((cleanup(letter_free))) struct letter

/* To the member's address. *known = false: there is no such account (any more). */
static err letter_to_member(struct letter *l, const user_id *member, bool *known)
{
    struct account a;
    *known = false;
    if (user_id_none(member))
        return OK;
    err e = account_get(l->tx, l->mem, member, &a);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    *known = a.email.n > 0;
    l->mail.to = a.email;
    l->mail.to_name = a.name.n ? a.name : SV_NULL;
    l->mail.member = *member;
    return OK;
}

static err letter_send(struct letter *l, const char *template, sv cause)
{
    jw_obj_end(&l->w);
    l->mail.template = template;
    l->mail.cause = cause;
    l->mail.vars = buf_sv(&l->vars);
    return mail_put(l->tx, l->mem, &l->mail, l->now);
}

static sv amount_text(struct arena *mem, int64_t minor, sv code)
{
    currency c = USD;
    if (!currency_parse(code, &c))
        return arena_printf(mem, "%lld", (long long)minor);
    return money_text(mem, (money){minor}, c);
}

static void kdate(struct letter *l, const char *key, ts t)
{
    if (!ts_is_none(t))
        jw_kstr(&l->w, key, notice_date(l->mem, t));
}

static sv plan_name(const struct letter *l)
{
    return l->app->catalog ? l->app->catalog->plan_name : SV("Premium");
}

static sv plan_amount(const struct letter *l, const struct sub_news *s)
{
    if (s->amount >= 0)
        return amount_text(l->mem, s->amount, s->currency);
    const struct catalog *c = l->app->catalog;
    return c ? money_text(l->mem, c->plan_price, c->plan_currency) : SV("");
}

/* -------- subscriptions -------- */

static err sub_started(struct letter *l, const struct sub_news *s)
{
    jw_kstr(&l->w, "plan", plan_name(l));
    jw_kstr(&l->w, "amount", plan_amount(l, s));
    kdate(l, "until", s->period_end);
    if (sv_is(s->status, "trialing"))
        kdate(l, "trialEnd", s->trial_end);
    return letter_send(l, "subscription_started",
                       arena_printf(l->mem, "subscription_started:%.*s", SV_ARG(s->id)));
}

static err sub_trial_ending(struct letter *l, const struct sub_news *s)
{
    jw_kstr(&l->w, "plan", plan_name(l));
    jw_kstr(&l->w, "amount", plan_amount(l, s));
    kdate(l, "until", s->trial_end);
    return letter_send(l, "trial_ending",
                       arena_printf(l->mem, "trial_ending:%.*s:%lld", SV_ARG(s->id),
                                    (long long)ts_unix(s->trial_end)));
}

/* A membership that was resumed and cancelled again ends by another decision: canceled_at tells
 * them apart. */
static err sub_ending(struct letter *l, const struct sub_news *s)
{
    ts decided = ts_is_none(s->canceled_at) ? s->ends_at : s->canceled_at;
    jw_kstr(&l->w, "plan", plan_name(l));
    kdate(l, "until", s->ends_at);
    return letter_send(l, "subscription_ending",
                       arena_printf(l->mem, "subscription_ending:%.*s:%lld", SV_ARG(s->id),
                                    (long long)ts_unix(decided)));
}

static err sub_ended(struct letter *l, const struct sub_news *s)
{
    jw_kstr(&l->w, "plan", plan_name(l));
    kdate(l, "when", ts_is_none(s->ended_at) ? s->canceled_at : s->ended_at);
    return letter_send(l, "subscription_ended",
                       arena_printf(l->mem, "subscription_ended:%.*s", SV_ARG(s->id)));
}

static err sub_tell(struct db_tx *tx, struct arena *mem, struct app *app,
                    const struct fact_change *c, const struct sub_news *s,
                    err (*write)(struct letter *l, const struct sub_news *s))
{
    LETTER_AUTO l;
    bool known;
    letter_begin(&l, tx, mem, app, c->now);
    TRY(letter_to_member(&l, &c->member, &known));
    return known ? write(&l, s) : OK;
}

static err on_subscription(struct db_tx *tx, struct arena *mem, struct app *app,
                           const struct fact_change *c)
{
    struct sub_news s;
    sub_news_read(c->value, &s);
    struct sub_notices n = sub_notices_decide(&s, c->now);
    if (n.started)
        TRY(sub_tell(tx, mem, app, c, &s, sub_started));
    if (n.trial_ending)
        TRY(sub_tell(tx, mem, app, c, &s, sub_trial_ending));
    if (n.ending)
        TRY(sub_tell(tx, mem, app, c, &s, sub_ending));
    return n.ended ? sub_tell(tx, mem, app, c, &s, sub_ended) : OK;
}

/* -------- invoices -------- */

static void invoice_lines(struct letter *l, const json *invoice, const struct invoice_news *i)
{
    const json *lines = json_path(invoice, "lines.data");
    jw_key(&l->w, "lines");
    jw_arr(&l->w);
    for (size_t k = 0; k < json_len(lines) && k < 20; k++) {
        const json *line = json_at(lines, k);
        sv title = json_get_str(line, "description");
        jw_obj(&l->w);
        jw_kstr(&l->w, "title", title.n ? title : plan_name(l));
        jw_kstr(&l->w, "amount", amount_text(l->mem, json_get_int(line, "amount", 0), i->currency));
        jw_obj_end(&l->w);
    }
    jw_arr_end(&l->w);
}

static err invoice_receipt(struct letter *l, const json *value, const struct invoice_news *i)
{
    invoice_lines(l, value, i);
    jw_kstr(&l->w, "total", amount_text(l->mem, i->paid, i->currency));
    kdate(l, "date", ts_is_none(i->paid_at) ? i->created : i->paid_at);
    if (i->number.n)
        jw_kstr(&l->w, "number", i->number);
    if (i->url.n)
        jw_kstr(&l->w, "url", i->url);
    if (sv_is(i->reason, "subscription_cycle"))
        jw_kbool(&l->w, "renewal", true);
    if (!ts_is_none(i->period_start) && !ts_is_none(i->period_end))
        jw_kstr(&l->w, "period",
                arena_printf(l->mem, "%.*s to %.*s", SV_ARG(notice_date(l->mem, i->period_start)),
                             SV_ARG(notice_date(l->mem, i->period_end))));
    return letter_send(l, "receipt", arena_printf(l->mem, "receipt:%.*s", SV_ARG(i->id)));
}

static err invoice_unpaid(struct letter *l, const struct invoice_news *i, const char *template)
{
    jw_kstr(&l->w, "plan", plan_name(l));
    jw_kstr(&l->w, "amount", amount_text(l->mem, i->due, i->currency));
    if (i->url.n)
        jw_kstr(&l->w, "url", i->url);
    jw_kint(&l->w, "attempt", i->attempts);
    kdate(l, "nextAttempt", i->next_attempt);
    return letter_send(
        l, template,
        arena_printf(l->mem, "%s:%.*s:%lld", template, SV_ARG(i->id), (long long)i->attempts));
}

static err on_invoice(struct db_tx *tx, struct arena *mem, struct app *app,
                      const struct fact_change *c)
{
    struct invoice_news i;
    invoice_news_read(c->value, &i);
    struct invoice_notices n = invoice_notices_decide(&i, c->type, c->now);
    if (!n.receipt && !n.failed && !n.action)
        return OK;
    LETTER_AUTO l;
    bool known;
    letter_begin(&l, tx, mem, app, c->now);
    TRY(letter_to_member(&l, &c->member, &known));
    if (!known)
        return OK;
    if (n.receipt)
        return invoice_receipt(&l, c->value, &i);
    return invoice_unpaid(&l, &i, n.action ? "payment_action_required" : "payment_failed");
}

/* -------- refunds -------- */

/* The purchase that was paid by this payment; *found = false: an invoice's, or not known yet. */
static err purchase_of(struct db_tx *tx, struct arena *mem, sv payment, struct purchase *out,
                       bool *found)
{
    *found = false;
    if (sv_empty(payment))
        return OK;
    struct notice_purchase_of_payment_in in = {.payment = payment};
    struct notice_purchase_of_payment_row row;
    TRY(q_notice_purchase_of_payment(tx, mem, &in, &row, found));
    return *found ? purchase_get(tx, mem, row.id, out) : OK;
}

static sv item_title(const struct app *app, sv item)
{
    const struct item *it = app->catalog ? catalog_find(app->catalog, item) : NULL;
    return it ? it->title : item;
}

/* Visitors are reached at the address they gave Stripe. */
static err letter_to_buyer(struct letter *l, const struct purchase *p, bool *known)
{
    TRY(letter_to_member(l, &p->member, known));
    if (*known || sv_empty(p->email) || !user_id_none(&p->member))
        return OK;
    l->mail.to = p->email;
    *known = true;
    return OK;
}

static err on_refund(struct db_tx *tx, struct arena *mem, struct app *app,
                     const struct fact_change *c)
{
    sv status = json_get_str(c->value, "status");
    ts created = json_get_unix(c->value, "created");
    int64_t amount = json_get_int(c->value, "amount", 0);
    bool counts = sv_is(status, "succeeded") || sv_is(status, "pending") || !status.p;
    if (!counts || amount <= 0 || ts_is_none(created) || c->now.ms - created.ms > NOTICE_STALE_MS)
        return OK;
    struct purchase p;
    bool bought, known;
    TRY(purchase_of(tx, mem, c->payment, &p, &bought));
    LETTER_AUTO l;
    letter_begin(&l, tx, mem, app, c->now);
    if (bought)
        TRY(letter_to_buyer(&l, &p, &known));
    else
        TRY(letter_to_member(&l, &c->member, &known));
    if (!known) /* told again when its payment is linked */
        return OK;
    struct payment_facts paid = {0};
    if (c->payment.n)
        TRY(billing_payment_get(tx, mem, c->payment, &paid));
    jw_kstr(&l.w, "amount", amount_text(mem, amount, json_get_str(c->value, "currency")));
    jw_kstr(&l.w, "what", bought ? item_title(app, p.item) : plan_name(&l));
    jw_kbool(&l.w, "full",
             paid.known && paid.received.minor > 0 && paid.refunded.minor >= paid.received.minor);
    kdate(&l, "date", created);
    return letter_send(&l, "refund", arena_printf(mem, "refund:%.*s", SV_ARG(c->object)));
}

static err on_fact(struct db_tx *tx, struct arena *mem, struct app *app,
                   const struct fact_change *c)
{
    /* Nobody mails (production without EMAIL_PROVIDER): news about a subscription are not kept to
     * be told weeks later. A purchase's receipt is: it carries a visitor's claim link. */
    if (!c->value || app->set.email_provider == EMAIL_NONE)
        return OK;
    switch (c->kind) {
    case FACT_SUBSCRIPTION:
        return on_subscription(tx, mem, app, c);
    case FACT_INVOICE:
        return on_invoice(tx, mem, app, c);
    case FACT_REFUND:
        return on_refund(tx, mem, app, c);
    default:
        return OK;
    }
}

/* -------- purchases -------- */

static err purchase_receipt(struct letter *l, const struct purchase *p)
{
    jw_key(&l->w, "lines");
    jw_arr(&l->w);
    jw_obj(&l->w);
    jw_kstr(&l->w, "title", item_title(l->app, p->item));
    jw_kstr(&l->w, "amount", money_text(l->mem, p->list, p->currency));
    jw_obj_end(&l->w);
    jw_arr_end(&l->w);
    if (p->price.minor < p->list.minor)
        jw_kstr(
            &l->w, "discount",
            arena_printf(l->mem, "-%.*s",
                         SV_ARG(money_text(l->mem, money_sub(p->list, p->price), p->currency))));
    jw_kstr(&l->w, "total", money_text(l->mem, p->price, p->currency));
    kdate(l, "date", ts_is_none(p->paid) ? l->now : p->paid);
    if (user_id_none(&p->member))
        jw_kstr(&l->w, "claimUrl", purchase_claim_url(l->mem, l->app, p->id));
    return letter_send(l, "receipt", arena_printf(l->mem, "receipt:%.*s", SV_ARG(p->id)));
}

static err purchase_failed(struct letter *l, const struct purchase *p)
{
    jw_kstr(&l->w, "what", item_title(l->app, p->item));
    jw_kstr(&l->w, "url", l->app->set.base_url);
    return letter_send(l, "purchase_failed",
                       arena_printf(l->mem, "purchase_failed:%.*s", SV_ARG(p->id)));
}

static err on_purchase(struct db_tx *tx, struct arena *mem, struct app *app,
                       const struct purchase_change *c)
{
    bool paid = c->to == PURCHASE_PAID, failed = c->to == PURCHASE_FAILED;
    if (!paid && !failed)
        return OK;
    LETTER_AUTO l;
    bool known;
    letter_begin(&l, tx, mem, app, c->now);
    TRY(letter_to_buyer(&l, c->p, &known));
    if (!known)
        return OK;
    return paid ? purchase_receipt(&l, c->p) : purchase_failed(&l, c->p);
}

/* -------- discounts -------- */

static sv discount_on(struct arena *mem, const struct app *app, const struct notice_discount *d)
{
    if (d->item.n)
        return item_title(app, d->item);
    if (sv_is(d->kind, "quiz"))
        return SV("all quizzes");
    if (sv_is(d->kind, "article"))
        return SV("all articles");
    return d->kind.n ? arena_sv(mem, d->kind) : SV_NULL;
}

err notice_discount_granted(struct db_tx *tx, struct arena *mem, struct app *app,
                            const struct notice_discount *d, ts now)
{
    LETTER_AUTO l;
    bool known;
    letter_begin(&l, tx, mem, app, now);
    TRY(letter_to_member(&l, &d->member, &known));
    if (!known)
        return OK;
    jw_kstr(&l.w, "what",
            d->percent > 0
                ? arena_printf(mem, "%lld %% off", (long long)d->percent)
                : arena_printf(mem, "%.*s off", SV_ARG(money_text(mem, d->amount, d->currency))));
    sv on = discount_on(mem, app, d);
    if (on.n)
        jw_kstr(&l.w, "on", on);
    if (d->code.n)
        jw_kstr(&l.w, "code", d->code);
    kdate(&l, "until", d->until);
    return letter_send(&l, "discount_granted",
                       arena_printf(mem, "discount_granted:%.*s", SV_ARG(d->id)));
}

void notice_init(void)
{
    billing_listen(on_fact);
    purchase_listen(on_purchase);
}
