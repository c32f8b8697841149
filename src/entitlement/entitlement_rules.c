#include "entitlement/entitlement_rules.h"

#include <assert.h>

bool cycles_overlap(ts a0, ts a1, ts b0, ts b1)
{
    return ts_before(a0, b1) && ts_before(b0, a1);
}

int64_t slot_pick(const int64_t *taken, size_t n, int64_t limit)
{
    if (limit <= 0 || (uint64_t)n >= (uint64_t)limit)
        return 0;
    for (int64_t number = 1; number <= limit; number++) {
        bool free = true;
        for (size_t i = 0; free && i < n; i++)
            free = taken[i] != number;
        if (free)
            return number;
    }
    return 0;
}

int64_t slots_left(const struct access *a, int64_t limit, struct slot_count c)
{
    if (!a->premium)
        return 0;
    if (limit < 0)
        return INT64_MAX;
    if (!a->new_slots)
        return 0;
    int64_t left = limit - c.used - c.held;
    return left > 0 ? left : 0;
}

static bool fits(const struct discount_offer *o, const struct item *it)
{
    if (o->kind >= 0 && o->kind != (int)it->kind)
        return false;
    if (o->item.p && !sv_eq(o->item, it->id))
        return false;
    return o->percent >= 0 || currency_eq(o->currency, it->currency);
}

enum offer_verdict offer_usable(const struct discount_offer *o, const struct item *it, sv member,
                                ts now)
{
    if (o->disabled || (o->member.p && !sv_eq(o->member, member)))
        return OFFER_UNKNOWN;
    if (!ts_is_none(o->from) && ts_before(now, o->from))
        return OFFER_NOT_YET;
    if (!ts_is_none(o->until) && !ts_before(now, o->until))
        return OFFER_OVER;
    if (o->max_uses >= 0 && o->used >= o->max_uses)
        return OFFER_USED_UP;
    if (!fits(o, it))
        return OFFER_OTHER_ITEM;
    if (o->max_per_member >= 0) {
        if (sv_empty(member))
            return OFFER_SIGN_IN;
        if (o->used_member >= o->max_per_member)
            return OFFER_USED_UP;
    }
    return OFFER_OK;
}

money offer_price(const struct discount_offer *o, money list)
{
    return o->percent >= 0 ? money_discounted(list, o->percent)
                           : money_discounted_amount(list, o->amount);
}

const char *discount_kind_name(enum discount_kind k)
{
    static const char *const names[] = {"none", "premium", "manual"};
    return names[k];
}

static void take_premium(struct quote *q, const struct access *a, const struct allowance *al,
                         struct slot_count discounts)
{
    if (al->discount_percent <= 0 || slots_left(a, al->discount_limit, discounts) == 0)
        return;
    money price = money_discounted(q->list, al->discount_percent);
    if (price.minor >= q->price.minor)
        return;
    q->price = price;
    q->discount = DISCOUNT_PREMIUM;
    q->discount_id = SV("premium");
    q->percent = al->discount_percent;
    q->takes_slot = al->discount_limit >= 0;
    q->rule = "premium's own discount";
}

static void take_offer(struct quote *q, const struct discount_offer *o)
{
    money price = offer_price(o, q->list);
    /* Only lower wins: on a tie the subscription's own stays. */
    if (price.minor >= q->price.minor)
        return;
    q->price = price;
    q->discount = DISCOUNT_MANUAL;
    q->discount_id = o->id;
    q->percent = o->percent;
    q->takes_slot = false;
    q->offer = o;
    q->rule =
        o->code.p ? "a discount code, the lowest price" : "a personal discount, the lowest price";
}

struct quote quote_decide(const struct access *a, const struct allowance *al, const struct item *it,
                          struct slot_count discounts, int64_t allowance_left,
                          const struct discount_offer *const *offers, size_t n)
{
    struct quote q = {.list = it->price,
                      .price = money_chargeable(it->price),
                      .currency = it->currency,
                      .discount = DISCOUNT_NONE,
                      .discount_id = SV_NULL,
                      .percent = 0,
                      .allowance_left = allowance_left,
                      .rule = "list price"};
    take_premium(&q, a, al, discounts);
    for (size_t i = 0; i < n; i++)
        take_offer(&q, offers[i]);
    return q;
}

const char *decide_via(enum decide_kind k)
{
    switch (k) {
    case DECIDE_FREE:
        return "free";
    case DECIDE_OWNED:
        return "purchase";
    case DECIDE_GRANTED:
        return "grant";
    case DECIDE_OPENED:
    case DECIDE_ALLOWANCE:
        return "allowance";
    case DECIDE_PAY:
    case DECIDE_GONE:
        break;
    }
    return NULL;
}

static bool free_for_all(const struct item *it)
{
    return money_chargeable(it->price).minor == 0 || (it->kind == ITEM_ARTICLE && !it->premium);
}

static struct decision decided(enum decide_kind kind, ts until, const char *rule)
{
    return (struct decision){.kind = kind, .until = until, .rule = rule};
}

struct decision entitlement_decide(const struct access *a, const struct allowance *al,
                                   const struct item *it, const struct holding *h,
                                   struct slot_count used, struct slot_count discounts,
                                   const struct discount_offer *const *offers, size_t n)
{
    if (h->purchase.p)
        return decided(DECIDE_OWNED, TS_NONE, "bought: open for good");
    if (free_for_all(it) && !it->retired)
        return decided(DECIDE_FREE, TS_NONE, "free for everybody");
    if (h->grant.p)
        return decided(DECIDE_GRANTED, h->grant_until, "granted by an admin");
    int64_t left = slots_left(a, al->limit, used);
    if (left == INT64_MAX)
        left = al->limit;
    struct decision d;
    if (a->premium && h->opened)
        d = decided(DECIDE_OPENED, a->until, "opened by allowance, while premium access lasts");
    else if (it->retired)
        return decided(DECIDE_GONE, TS_NONE, "not sold any more");
    else if (left > 0 && (al->max_price.minor < 0 || it->price.minor <= al->max_price.minor))
        d = decided(DECIDE_ALLOWANCE, a->until, "one of the cycle's free uses");
    else
        d = decided(DECIDE_PAY, TS_NONE, "has to be bought");
    d.left = left;
    d.quote = quote_decide(a, al, it, discounts, left, offers, n);
    return d;
}
