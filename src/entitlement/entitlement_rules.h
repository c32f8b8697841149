/* Who may open what, and for how much: pure. SPEC §2. No I/O, no clock. */
#pragma once
#include "base/money.h"
#include "billing/access_rules.h"
#include "catalog/catalog.h"

/* -------- slots: countable uses and discounts of a cycle -------- */

/* Do the half-open times [a0,a1) and [b0,b1) overlap? Slots used in cycles that overlap count
 * together. */
bool cycles_overlap(ts a0, ts a1, ts b0, ts b1);
/* The lowest number 1..limit that is not among `taken`; 0 if there are `limit` of them already.
 * `taken` may hold a number twice (two cycles that overlap the current one): each counts. */
int64_t slot_pick(const int64_t *taken, size_t n, int64_t limit);

struct slot_count {
    int64_t used, held; /* in cycles that overlap the current one; held = by open checkouts */
};
/* How many the cycle still gives: 0 without premium, and in a cycle that gives no new ones. limit <
 * 0: without limit (INT64_MAX). */
int64_t slots_left(const struct access *a, int64_t limit, struct slot_count c);

/* -------- manual discounts -------- */
struct discount_offer {
    sv id, code;                         /* code: SV_NULL when it was made for one member */
    int percent;                         /* 1..100, or -1: an amount */
    money amount;                        /* off, when percent < 0 */
    currency currency;                   /* of the amount */
    int kind;                            /* enum item_kind, or -1: any */
    sv item;                             /* SV_NULL: any */
    sv member;                           /* SV_NULL: anybody with the code */
    ts from, until;                      /* TS_NONE: no bound; valid in [from, until) */
    int64_t max_uses, used;              /* max < 0: no limit; used = held and consumed */
    int64_t max_per_member, used_member; /* the same for the one who asks */
    bool disabled;
};
enum offer_verdict {
    OFFER_OK,
    OFFER_UNKNOWN, /* disabled, or another member's: answers like a missing one */
    OFFER_NOT_YET,
    OFFER_OVER,
    OFFER_USED_UP,
    OFFER_OTHER_ITEM,
    OFFER_SIGN_IN, /* a limit per member needs a sign-in */
};
/* May `member` (SV_NULL: a visitor) use it for the item now? */
enum offer_verdict offer_usable(const struct discount_offer *o, const struct item *it, sv member,
                                ts now);
money offer_price(const struct discount_offer *o, money list);

/* -------- the price -------- */
enum discount_kind { DISCOUNT_NONE, DISCOUNT_PREMIUM, DISCOUNT_MANUAL };
const char *discount_kind_name(enum discount_kind k); /* "none", "premium", "manual" */

struct quote {
    money list, price;
    currency currency;
    enum discount_kind discount;
    sv discount_id;                     /* manual: its id; premium: the plan's name "premium" */
    int percent;                        /* -1: an amount (list - price says how much) */
    bool takes_slot;                    /* the discount is one of a limited number in the cycle */
    const struct discount_offer *offer; /* manual: which */
    int64_t
        allowance_left; /* free uses still left that do not cover (or are not wanted for) this */
    const char *rule;
};
/* Discounts never stack: the lowest price wins, the subscription's own on a tie. Offers must be
 * usable. */
struct quote quote_decide(const struct access *a, const struct allowance *al, const struct item *it,
                          struct slot_count discounts, int64_t allowance_left,
                          const struct discount_offer *const *offers, size_t n);

/* -------- may it be opened? -------- */
enum decide_kind {
    DECIDE_FREE,      /* for everybody */
    DECIDE_OWNED,     /* bought */
    DECIDE_GRANTED,   /* given by an admin */
    DECIDE_OPENED,    /* by allowance earlier, while premium lasts */
    DECIDE_ALLOWANCE, /* would cost a free use of this cycle */
    DECIDE_PAY,
    DECIDE_GONE, /* not sold any more, and not theirs */
};
const char *
decide_via(enum decide_kind k); /* "free", "purchase", "allowance", "grant"; NULL for the rest */

struct holding {    /* what the caller has of one item */
    sv purchase;    /* id of one that grants it now, else SV_NULL */
    sv grant;       /* id of an admin's grant in force, else SV_NULL */
    ts grant_until; /* TS_NONE: for good */
    bool opened;    /* by allowance, in whatever cycle */
};
struct decision {
    enum decide_kind kind;
    ts until;           /* TS_NONE: for good (or not at all) */
    int64_t left;       /* DECIDE_ALLOWANCE: free uses left before this one */
    struct quote quote; /* what it costs now; meaningful unless FREE, OWNED, GRANTED, GONE */
    const char *rule;
};
struct decision entitlement_decide(const struct access *a, const struct allowance *al,
                                   const struct item *it, const struct holding *h,
                                   struct slot_count used, struct slot_count discounts,
                                   const struct discount_offer *const *offers, size_t n);
