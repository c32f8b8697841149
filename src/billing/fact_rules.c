#include "billing/fact_rules.h"

#include "base/buf.h"
#include "base/crypto.h"

#include <stdlib.h>

/* -------- order -------- */

struct fact_order fact_order_event(ts created, int64_t rank, int64_t digest)
{
    return (struct fact_order){true, created, FACT_FROM_EVENT, rank, digest};
}

struct fact_order fact_order_fetched(ts date, ts known_before, int64_t rank, int64_t digest)
{
    /* Date has whole seconds: of two answers of one second, the one asked for later is the newer.
     */
    return (struct fact_order){true,
                               ts_max(ts_add(date, FACT_FETCH_SLACK), ts_add(known_before, 1)),
                               FACT_FROM_FETCH, rank, digest};
}

static int by(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static bool final(const struct fact_order *o)
{
    return o->rank >= FACT_TERMINAL;
}

static int compare(const struct fact_order *a, const struct fact_order *b)
{
    int c = by(final(a), final(b)); /* final states never go back */
    if (c == 0)
        c = by(a->as_of.ms, b->as_of.ms);
    if (c == 0)
        c = by(a->source, b->source);
    if (c == 0)
        c = by(a->rank, b->rank);
    return c ? c : by(a->digest, b->digest);
}

/* At the same second; or within the slack on both sides of a fetched answer. */
static bool tie(const struct fact_order *a, const struct fact_order *b)
{
    if (a->source == b->source)
        return a->source == FACT_FROM_EVENT && a->as_of.ms == b->as_of.ms;
    const struct fact_order *fetched = a->source == FACT_FROM_FETCH ? a : b;
    const struct fact_order *event = fetched == a ? b : a;
    return event->as_of.ms <= fetched->as_of.ms &&
           event->as_of.ms >= fetched->as_of.ms - 2 * FACT_FETCH_SLACK;
}

struct fact_verdict fact_decide(const struct fact_order *stored, const struct fact_order *seen)
{
    if (!stored->known)
        return (struct fact_verdict){.newer = true};
    struct fact_verdict v = {.newer = compare(seen, stored) > 0};
    /* The answer itself never asks again. */
    v.ask = seen->source == FACT_FROM_EVENT && seen->digest != stored->digest && !final(seen) &&
            !final(stored) && tie(stored, seen);
    return v;
}

struct word {
    const char *name;
    int64_t rank;
};

static int64_t rank_of(const struct word *words, size_t n, sv s)
{
    for (size_t i = 0; i < n; i++)
        if (sv_is(s, words[i].name))
            return words[i].rank;
    return 0;
}
#define RANK(words, s) rank_of((words), sizeof(words) / sizeof *(words), (s))

int64_t fact_rank_subscription(sv status)
{
    static const struct word words[] = {
        {"incomplete", 1},
        {"trialing", 2},
        {"paused", 3},
        {"active", 4},
        {"past_due", 5},
        {"unpaid", 6},
        {"incomplete_expired", FACT_TERMINAL},
        {"canceled", FACT_TERMINAL + 1},
    };
    return RANK(words, status);
}

int64_t fact_rank_invoice(sv status)
{
    static const struct word words[] = {
        {"draft", 1},
        {"open", 2},
        {"uncollectible", 3},
        {"deleted", FACT_TERMINAL},
        {"void", FACT_TERMINAL + 1},
        {"paid", FACT_TERMINAL + 2},
    };
    return RANK(words, status);
}

int64_t fact_rank_payment(sv status)
{
    static const struct word words[] = {
        {"requires_payment_method", 1},   {"requires_confirmation", 2},
        {"requires_action", 3},           {"processing", 4},
        {"requires_capture", 5},          {"canceled", FACT_TERMINAL},
        {"succeeded", FACT_TERMINAL + 1},
    };
    return RANK(words, status);
}

int64_t fact_rank_charge(sv status)
{
    static const struct word words[] = {{"pending", 1}, {"failed", 2}, {"succeeded", 3}};
    return RANK(words, status);
}

int64_t fact_rank_refund(sv status)
{
    static const struct word words[] = {
        {"pending", 1},
        {"requires_action", 2},
        {"succeeded", 3},
        {"canceled", FACT_TERMINAL},
        {"failed", FACT_TERMINAL + 1},
    };
    return RANK(words, status);
}

int64_t fact_rank_dispute(sv status)
{
    static const struct word words[] = {
        {"warning_needs_response", 1},
        {"warning_under_review", 2},
        {"warning_closed", 3},
        {"needs_response", 4},
        {"under_review", 5},
        {"prevented", 6},
        {"won", 7},
        {"lost", 8},
    };
    return RANK(words, status);
}

int64_t fact_rank_session(sv status, sv payment_status)
{
    bool paid = sv_is(payment_status, "paid") || sv_is(payment_status, "no_payment_required");
    if (sv_is(status, "complete"))
        return paid ? FACT_TERMINAL + 1 : 3;
    if (sv_is(status, "expired"))
        return FACT_TERMINAL;
    return sv_is(status, "open");
}

int64_t fact_rank_invoice_payment(sv status)
{
    static const struct word words[] = {
        {"open", 1}, {"canceled", FACT_TERMINAL}, {"paid", FACT_TERMINAL + 1}};
    return RANK(words, status);
}

static uint32_t first_bytes(sv text)
{
    struct digest d = crypto_sha256(text);
    return (uint32_t)d.b[0] << 24 | (uint32_t)d.b[1] << 16 | (uint32_t)d.b[2] << 8 | d.b[3];
}

int64_t fact_digest(sv says, sv ids)
{
    return (int64_t)((uint64_t)first_bytes(says) << 32 | first_bytes(ids));
}

/* -------- money -------- */

bool refund_counts(sv status)
{
    return sv_is(status, "pending") || sv_is(status, "succeeded");
}

bool dispute_is_open(sv status)
{
    return sv_is(status, "needs_response") || sv_is(status, "under_review");
}

bool dispute_is_lost(sv status)
{
    return sv_is(status, "lost");
}

bool dispute_is_inquiry(sv status)
{
    return sv_is(status, "warning_needs_response") || sv_is(status, "warning_under_review");
}

int64_t refunded_sum(int64_t counting, int64_t failed, int64_t by_charge)
{
    int64_t rest = by_charge - failed;
    return counting > rest ? counting : rest;
}

enum cover cover_decide(const struct invoice_money *m)
{
    if (!m->paid)
        return COVER_NONE;
    if (m->dispute_lost || (m->amount_paid > 0 && m->refunded >= m->amount_paid))
        return COVER_REVOKED;
    return m->dispute_open ? COVER_SUSPENDED : COVER_PAID;
}

/* -------- periods -------- */

ts cover_paid_through(const struct covered *c, size_t n)
{
    ts end = TS_NONE;
    for (size_t i = 0; i < n; i++)
        if (c[i].cover == COVER_PAID && !ts_is_none(c[i].end))
            end = ts_is_none(end) ? c[i].end : ts_max(end, c[i].end);
    return end;
}

static int by_start(const void *a, const void *b)
{
    const struct covered *x = a, *y = b;
    int c = by(x->start.ms, y->start.ms);
    if (c == 0)
        c = by(x->end.ms, y->end.ms);
    return c ? c : by((int64_t)x->cover, (int64_t)y->cover);
}

static void write_window(struct buf *b, enum cover cover, ts start, ts end)
{
    if (b->n)
        buf_char(b, ';');
    buf_printf(b, "%c%lld-%lld", cover == COVER_REVOKED ? 'r' : 's', (long long)start.ms,
               (long long)end.ms);
}

/* The parts of one barred period that no paid one covers; paid ones are met in order of their
 * start. */
static void subtract(struct buf *b, const struct covered *bad, const struct covered *c, size_t n)
{
    ts from = bad->start;
    for (size_t i = 0; i < n && ts_before(from, bad->end); i++) {
        if (c[i].cover != COVER_PAID || !ts_before(from, c[i].end))
            continue;
        if (!ts_before(c[i].start, bad->end))
            break;
        if (ts_before(from, c[i].start))
            write_window(b, bad->cover, from, c[i].start);
        from = c[i].end;
    }
    if (ts_before(from, bad->end))
        write_window(b, bad->cover, from, bad->end);
}

sv cover_barred(struct arena *mem, struct covered *c, size_t n)
{
    size_t known = 0;
    for (size_t i = 0; i < n; i++)
        if (!ts_is_none(c[i].start) && !ts_is_none(c[i].end))
            c[known++] = c[i];
    if (known)
        qsort(c, known, sizeof *c, by_start);
    BUF_AUTO b = {0};
    for (size_t i = 0; i < known; i++)
        if (c[i].cover == COVER_SUSPENDED || c[i].cover == COVER_REVOKED)
            subtract(&b, &c[i], c, known);
    return b.n ? arena_sv(mem, buf_sv(&b)) : SV_NULL;
}

/* Cuts the next window off; false at the end. Windows that are not ours to read are passed over. */
static bool next_window(sv *text, char *kind, ts *start, ts *end)
{
    while (text->p) {
        sv window = sv_cut(text, ';');
        if (window.n < 4)
            continue;
        *kind = window.p[0];
        window = (sv){window.p + 1, window.n - 1};
        sv from = sv_cut(&window, '-');
        if (sv_to_i64(from, &start->ms) && sv_to_i64(window, &end->ms))
            return true;
    }
    return false;
}

void cover_barred_read(sv text, ts now, struct sub_facts *out)
{
    char kind;
    ts start, end;
    while (next_window(&text, &kind, &start, &end)) {
        if (!ts_before(now, end))
            continue;
        out->barred_next = ts_next(ts_next(out->barred_next, start, now), end, now);
        if (ts_before(now, start))
            out->barred_from =
                ts_is_none(out->barred_from) ? start : ts_min(out->barred_from, start);
        else if (kind == 'r')
            out->revoked_until =
                ts_is_none(out->revoked_until) ? end : ts_max(out->revoked_until, end);
        else
            out->suspended = true;
    }
}

bool cover_revoked(sv text, ts now)
{
    char kind;
    ts start, end;
    while (next_window(&text, &kind, &start, &end))
        if (kind == 'r' && ts_before(now, end))
            return true;
    return false;
}
