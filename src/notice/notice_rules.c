#include "notice/notice_rules.h"
#include "base/calendar.h"

#define TRIAL_WARNING_MS (3 * TS_DAY + 6 * TS_HOUR) /* Stripe's own news comes 3 days before */

static bool fresh(ts t, ts now)
{
    return !ts_is_none(t) && now.ms - t.ms <= NOTICE_STALE_MS;
}

void sub_news_read(const json *sub, struct sub_news *out)
{
    const json *item = json_path(sub, "items.data.0"), *price = json_get(item, "price");
    struct sub_news s = {.id = json_get_str(sub, "id"),
                         .status = json_get_str(sub, "status"),
                         .created = json_get_unix(sub, "created"),
                         .trial_end = json_get_unix(sub, "trial_end"),
                         .ended_at = json_get_unix(sub, "ended_at"),
                         .canceled_at = json_get_unix(sub, "canceled_at"),
                         .currency = json_get_str(price, "currency")};
    s.period_end = json_get_unix(item, "current_period_end"); /* since basil */
    if (ts_is_none(s.period_end))
        s.period_end = json_get_unix(sub, "current_period_end");
    s.ends_at = json_get_unix(sub, "cancel_at");
    if (ts_is_none(s.ends_at) && json_get_bool(sub, "cancel_at_period_end", false))
        s.ends_at = s.period_end;
    int64_t unit = json_get_int(price, "unit_amount", -1),
            quantity = json_get_int(item, "quantity", 1);
    s.amount = unit < 0 || quantity < 1 || quantity > 1000 ? -1 : unit * quantity;
    *out = s;
}

struct sub_notices sub_notices_decide(const struct sub_news *s, ts now)
{
    struct sub_notices n = {0};
    bool trial = sv_is(s->status, "trialing"), runs = trial || sv_is(s->status, "active");
    n.started = runs && fresh(s->created, now);
    n.ending = (runs || sv_is(s->status, "past_due")) && !ts_is_none(s->ends_at) &&
               ts_before(now, s->ends_at);
    n.trial_ending = trial && ts_is_none(s->ends_at) && !ts_is_none(s->trial_end) &&
                     ts_before(now, s->trial_end) && s->trial_end.ms - now.ms <= TRIAL_WARNING_MS;
    ts ended = ts_is_none(s->ended_at) ? s->canceled_at : s->ended_at;
    n.ended = sv_is(s->status, "canceled") && fresh(ended, now);
    return n;
}

void invoice_news_read(const json *invoice, struct invoice_news *out)
{
    const json *period = json_path(invoice, "lines.data.0.period");
    struct invoice_news i = {.id = json_get_str(invoice, "id"),
                             .status = json_get_str(invoice, "status"),
                             .reason = json_get_str(invoice, "billing_reason"),
                             .number = json_get_str(invoice, "number"),
                             .url = json_get_str(invoice, "hosted_invoice_url"),
                             .currency = json_get_str(invoice, "currency"),
                             .paid = json_get_int(invoice, "amount_paid", 0),
                             .due = json_get_int(invoice, "amount_remaining", -1),
                             .attempts = json_get_int(invoice, "attempt_count", 0),
                             .created = json_get_unix(invoice, "created"),
                             .next_attempt = json_get_unix(invoice, "next_payment_attempt"),
                             .period_start = json_get_unix(period, "start"),
                             .period_end = json_get_unix(period, "end"),
                             .attempted = json_get_bool(invoice, "attempted", false)};
    i.paid_at = json_get_unix(json_get(invoice, "status_transitions"), "paid_at");
    if (i.due < 0)
        i.due = json_get_int(invoice, "amount_due", 0);
    *out = i;
}

struct invoice_notices invoice_notices_decide(const struct invoice_news *i, sv type, ts now)
{
    struct invoice_notices n = {0};
    if (sv_is(i->status, "paid")) {
        n.receipt = i->paid > 0 && fresh(ts_is_none(i->paid_at) ? i->created : i->paid_at, now);
        return n;
    }
    if (!sv_is(i->status, "open") || i->due <= 0 || now.ms - i->created.ms > 60 * TS_DAY)
        return n;
    if (sv_is(type, "invoice.payment_action_required")) {
        n.action = true;
        return n;
    }
    /* The first invoice fails in front of its buyer. A next attempt is planned only after one
     * failed: that tells it when a newer fact came before the event. */
    bool planned = i->attempted && !ts_is_none(i->next_attempt) && ts_before(now, i->next_attempt);
    n.failed = !sv_is(i->reason, "subscription_create") && i->attempts > 0 &&
               (sv_is(type, "invoice.payment_failed") || planned);
    return n;
}

sv notice_date(struct arena *mem, ts t)
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    struct civil c = civil_from_ts(t);
    return arena_printf(mem, "%d %s %d", c.day, months[c.month - 1], c.year);
}
