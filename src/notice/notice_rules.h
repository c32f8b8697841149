/* Which news are worth a mail: pure. SPEC §2, stripe/CONTRACT §5. */
#pragma once
#include "base/json.h"

/* News older than this (a first sync, a replay) mail nobody. */
#define NOTICE_STALE_MS (7 * TS_DAY)

/* A subscription as Stripe wrote it, before or since 2025-03-31.basil. */
struct sub_news {
    sv id, status;
    ts created, period_end, trial_end, ended_at, canceled_at;
    ts ends_at;     /* by cancel_at or cancel_at_period_end; TS_NONE: it renews */
    int64_t amount; /* minor units a period; -1 unknown */
    sv currency;
};
void sub_news_read(const json *sub, struct sub_news *out);
struct sub_notices {
    bool started, trial_ending, ending, ended;
};
struct sub_notices sub_notices_decide(const struct sub_news *s, ts now);

struct invoice_news {
    sv id, status, reason, number, url, currency;
    int64_t paid, due, attempts;
    ts created, paid_at, next_attempt, period_start, period_end;
    bool attempted;
};
void invoice_news_read(const json *invoice, struct invoice_news *out);
struct invoice_notices {
    bool receipt, failed, action;
};
/* `type` = the event that brought it, SV_NULL for a refetch. */
struct invoice_notices invoice_notices_decide(const struct invoice_news *i, sv type, ts now);

/* "29 November 2026" */
sv notice_date(struct arena *mem, ts t);
