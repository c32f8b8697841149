/* Facts in order, and what invoices cover: pure rules. SPEC §2 "Refunds and disputes", §3.
 *
 * Each fact row keeps the order of the content it holds. Of two contents of one object the greater
 * order wins: a total order, so any order of arrival, with duplicates, ends in the same row. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "billing/access_rules.h"

/* An answer that we fetched ties with events this close to its Date, and then decides. */
#define FACT_FETCH_SLACK (5 * TS_SECOND)
#define FACT_TERMINAL    1000 /* ranks from here on are final states */

enum fact_source { FACT_FROM_EVENT, FACT_FROM_FETCH };

struct fact_order {
    bool known; /* false: nothing is stored yet */
    ts as_of;   /* for fetched answers FACT_FETCH_SLACK later than Date: see fact_order_fetched */
    int64_t source, rank, digest;
};
struct fact_order fact_order_event(ts created, int64_t rank, int64_t digest);
/* `known_before` = as_of of what was stored before the question was asked: the answer is
 * newer, however the whole seconds of Date fall. */
struct fact_order fact_order_fetched(ts date, ts known_before, int64_t rank, int64_t digest);

struct fact_verdict {
    bool newer; /* take it */
    bool ask;   /* a tie whose contents differ: fetch the object, its answer decides */
};
struct fact_verdict fact_decide(const struct fact_order *stored, const struct fact_order *seen);

/* Progress of each kind of object: the tie-breaker, and what is final. Unknown words: 0. */
int64_t fact_rank_subscription(sv status);
int64_t fact_rank_invoice(sv status);
int64_t fact_rank_payment(sv status);
int64_t fact_rank_charge(sv status);
int64_t fact_rank_refund(sv status);
int64_t fact_rank_dispute(sv status);
int64_t fact_rank_session(sv status, sv payment_status);
int64_t fact_rank_invoice_payment(sv status);

/* -------- money of one payment -------- */
bool refund_counts(sv status);   /* pending, succeeded */
bool dispute_is_open(sv status); /* money is away; not an inquiry */
bool dispute_is_lost(sv status);
bool dispute_is_inquiry(sv status);
/* What is given back: the refunds that count, or what the charge says beyond refunds that failed
 * (events of single refunds may be missing). */
int64_t refunded_sum(int64_t counting, int64_t failed, int64_t by_charge);

/* -------- what an invoice covers -------- */
enum cover { COVER_NONE /* not paid */, COVER_PAID, COVER_SUSPENDED, COVER_REVOKED };
struct invoice_money {
    bool paid;
    int64_t amount_paid, refunded;
    bool dispute_open, dispute_lost;
};
enum cover cover_decide(const struct invoice_money *m);

struct covered {
    ts start, end;
    enum cover cover;
};
/* Latest end of a paid period; TS_NONE if there is none. */
ts cover_paid_through(const struct covered *c, size_t n);
/* Times that are suspended or revoked and that no paid invoice covers, as text "r<start>-<end>;…"
 * in ms; SV_NULL if there are none. `c` is sorted by the call. */
sv cover_barred(struct arena *mem, struct covered *c, size_t n);
/* Reads that text into suspended, revoked_until, barred_from and barred_next at `now`. */
void cover_barred_read(sv text, ts now, struct sub_facts *out);

/* Is a time at or after `now` revoked? */
bool cover_revoked(sv text, ts now);

/* Digest of a content: what it says decides before which ids it names, so that two runs of the same
 * story under other ids end alike. */
int64_t fact_digest(sv says, sv ids);
