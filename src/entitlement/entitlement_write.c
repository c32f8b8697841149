#include "entitlement/entitlement_write.h"

static const char *const kind_keys[ITEM_KINDS] = {"quizzes", "articles"};

/* -------- prices -------- */

void entitlement_write_discount(struct jw *w, const char *key, const struct quote *q)
{
    jw_key(w, key);
    if (q->discount == DISCOUNT_NONE) {
        jw_null(w);
        return;
    }
    jw_obj(w);
    jw_kstr(w, "kind", sv_from(discount_kind_name(q->discount)));
    jw_kstr(w, "id", q->discount_id);
    if (q->percent >= 0)
        jw_kint(w, "percent", q->percent);
    else
        jw_knull(w, "percent");
    jw_kmoney(w, "amount", money_sub(q->list, q->price));
    jw_kbool(w, "takesSlot", q->takes_slot);
    jw_obj_end(w);
}

static void write_quote(struct jw *w, const struct quote *q)
{
    jw_kmoney(w, "listPrice", q->list);
    jw_kmoney(w, "price", q->price);
    jw_kstr(w, "currency", currency_sv(&q->currency));
    entitlement_write_discount(w, "discount", q);
    jw_kint(w, "allowanceRemaining", q->allowance_left);
}

void entitlement_problem_quote(struct req *r, const struct quote *q)
{
    BUF_AUTO text = {0};
    struct jw w = {.out = &text};
    jw_obj(&w);
    entitlement_write_discount(&w, "d", q);
    jw_obj_end(&w);
    sv discount = buf_sv(&text); /* {"d":X} -> X */
    discount = (sv){discount.p + 5, discount.n - 6};
    reply_problem_raw(r, "listPrice", arena_printf(r->mem, "%lld", (long long)q->list.minor));
    reply_problem_raw(r, "price", arena_printf(r->mem, "%lld", (long long)q->price.minor));
    reply_problem_str(r, "currency", currency_sv(&q->currency));
    reply_problem_raw(r, "discount", arena_sv(r->mem, discount));
    reply_problem_raw(r, "allowanceRemaining",
                      arena_printf(r->mem, "%lld", (long long)q->allowance_left));
}

/* -------- one item -------- */

static bool opens(enum decide_kind k)
{
    return k != DECIDE_PAY && k != DECIDE_GONE;
}

static const char *cost_name(enum decide_kind k)
{
    return k == DECIDE_ALLOWANCE ? "slot" : opens(k) ? "none" : "money";
}

static bool has_quote(enum decide_kind k)
{
    return k == DECIDE_OPENED || k == DECIDE_ALLOWANCE || k == DECIDE_PAY;
}

static void write_decision(struct jw *w, const struct decision *d)
{
    jw_kbool(w, "access", opens(d->kind));
    jw_kstr(w, "via", sv_from(decide_via(d->kind)));
    jw_kstr(w, "cost", sv_from(cost_name(d->kind)));
    jw_kts(w, "until", d->until);
    jw_kstr(w, "why", sv_from(d->rule));
}

static void write_price(struct jw *w, const struct item *it, const struct decision *d)
{
    struct quote nothing = {.list = it->price, .currency = it->currency};
    write_quote(w, has_quote(d->kind) ? &d->quote : &nothing);
    jw_kstr(w, "priceWhy", sv_from(has_quote(d->kind) ? d->quote.rule : d->rule));
}

void entitlement_write_check(struct jw *w, const struct item *it, const struct decision *d)
{
    jw_obj(w);
    jw_kstr(w, "item", it->id);
    write_decision(w, d);
    write_price(w, it, d);
    jw_obj_end(w);
}

void entitlement_write_item(struct jw *w, const struct item *it, const struct decision *d)
{
    jw_obj(w);
    jw_kstr(w, "item", it->id);
    jw_kstr(w, "kind", sv_from(item_kind_name(it->kind)));
    jw_kstr(w, "slug", it->slug);
    jw_kstr(w, "title", it->title);
    jw_kstr(w, "description", it->description);
    jw_kbool(w, "premium", it->premium);
    jw_kbool(w, "retired", it->retired);
    write_decision(w, d);
    write_price(w, it, d);
    jw_obj_end(w);
}

void entitlement_write_use(struct jw *w, const struct entitlement_state *s, const struct item *it,
                           const struct allowance *al, const struct decision *d)
{
    struct slot_count used = entitlement_uses(s, it->kind);
    bool taken = d->kind == DECIDE_ALLOWANCE;
    jw_obj(w);
    jw_kstr(w, "item", it->id);
    jw_kbool(w, "access", true);
    jw_kstr(w, "via", sv_from(decide_via(d->kind)));
    jw_kts(w, "until", d->until);
    jw_kstr(w, "why", sv_from(d->rule));
    jw_kbool(w, "slotUsed", taken);
    if (s->access.premium) {
        jw_key(w, "allowance");
        jw_obj(w);
        jw_kint(w, "limit", al->limit);
        jw_kint(w, "used", used.used + taken);
        jw_kint(w, "remaining", slots_left(&s->access, al->limit, used) - taken);
        jw_obj_end(w);
    } else {
        jw_knull(w, "allowance");
    }
    jw_obj_end(w);
}

/* What the plan gives a cycle, for those who think about it. */
static void write_given(struct jw *w, const char *name, const struct allowance *al)
{
    jw_key(w, name);
    jw_obj(w);
    jw_kint(w, "included", al->limit);
    if (al->max_price.minor < 0)
        jw_knull(w, "maxPrice");
    else
        jw_kmoney(w, "maxPrice", al->max_price);
    jw_kint(w, "discountPercent", al->discount_percent);
    if (al->discount_limit < 0)
        jw_knull(w, "discountLimit");
    else
        jw_kint(w, "discountLimit", al->discount_limit);
    jw_obj_end(w);
}

void entitlement_write_plan(struct jw *w, const struct catalog *cat,
                            const struct entitlement_state *s)
{
    jw_key(w, "plan");
    jw_obj(w);
    jw_kstr(w, "plan", cat->plan_key);
    jw_kstr(w, "name", cat->plan_name);
    jw_kmoney(w, "price", cat->plan_price);
    jw_kstr(w, "currency", currency_sv(&cat->plan_currency));
    jw_kstr(w, "interval", SV("month"));
    jw_kint(w, "trialDays", cat->plan_trial_days);
    jw_kbool(w, "subscribed", s->access.premium);
    write_given(w, "quizzes", &cat->allowance[ITEM_QUIZ]);
    write_given(w, "articles", &cat->allowance[ITEM_ARTICLE]);
    jw_kint(w, "aiFreePerDay", cat->ai_free_per_day);
    jw_obj_end(w);
}

/* -------- the answer -------- */

static void write_allowance(struct jw *w, const struct entitlement_state *s, enum item_kind k,
                            const struct allowance *al)
{
    bool premium = s->access.premium;
    struct slot_count used = entitlement_uses(s, k);
    jw_key(w, "included");
    jw_obj(w);
    jw_kint(w, "limit", premium ? al->limit : 0);
    jw_kint(w, "used", used.used);
    jw_kint(w, "remaining", slots_left(&s->access, al->limit, used));
    if (al->max_price.minor >= 0)
        jw_kmoney(w, "maxPrice", al->max_price);
    jw_obj_end(w);

    struct slot_count d = entitlement_discounts(s, k);
    jw_key(w, "discount");
    jw_obj(w);
    jw_kint(w, "percent", premium ? al->discount_percent : 0);
    if (al->discount_limit < 0) {
        jw_knull(w, "limit");
    } else {
        jw_kint(w, "limit", premium ? al->discount_limit : 0);
        jw_kint(w, "used", d.used);
        jw_kint(w, "held", d.held);
        jw_kint(w, "remaining", slots_left(&s->access, al->discount_limit, d));
    }
    jw_obj_end(w);
}

static void write_ai(struct jw *w, const struct entitlement_ai *ai)
{
    int64_t left = ai->limit - ai->used;
    jw_key(w, "ai");
    jw_obj(w);
    jw_kbool(w, "unlimited", ai->unlimited);
    if (ai->unlimited)
        jw_knull(w, "limit");
    else
        jw_kint(w, "limit", ai->limit);
    jw_kint(w, "used", ai->used);
    if (ai->unlimited)
        jw_knull(w, "remaining");
    else
        jw_kint(w, "remaining", left > 0 ? left : 0);
    jw_kts(w, "resetAt", ai->reset_at);
    jw_obj_end(w);
}

static void write_offer(struct jw *w, const struct discount_offer *o)
{
    jw_obj(w);
    jw_kstr(w, "id", o->id);
    jw_kstr(w, "kind", SV("manual"));
    if (o->percent >= 0)
        jw_kint(w, "percent", o->percent);
    else
        jw_knull(w, "percent");
    if (o->percent < 0)
        jw_kmoney(w, "amount", o->amount);
    else
        jw_knull(w, "amount");
    jw_kstr(w, "currency", currency_sv(&o->currency));
    jw_kstr(w, "itemKind",
            o->kind < 0 ? SV_NULL : sv_from(item_kind_name((enum item_kind)o->kind)));
    jw_kstr(w, "item", o->item);
    jw_kts(w, "validFrom", o->from);
    jw_kts(w, "validUntil", o->until);
    if (o->max_uses >= 0)
        jw_kint(w, "remaining", o->max_uses - o->used);
    else
        jw_knull(w, "remaining");
    jw_obj_end(w);
}

/* Is it in force for anything? (What it fits is the item's question.) */
static bool offer_live(const struct discount_offer *o, ts now)
{
    return !o->disabled && (ts_is_none(o->until) || ts_before(now, o->until)) &&
           (o->max_uses < 0 || o->used < o->max_uses) &&
           (o->max_per_member < 0 || o->used_member < o->max_per_member);
}

static void write_held_item(struct jw *w, sv item, const char *via, ts until)
{
    jw_obj(w);
    jw_kstr(w, "item", item);
    jw_kstr(w, "via", sv_from(via));
    jw_kts(w, "until", until);
    jw_obj_end(w);
}

/* The strongest reason of each item alone: bought, granted, opened. */
static bool stronger_exists(const struct entitlement_state *s, size_t at)
{
    static const int strength[] = {
        [HELD_USE] = 1, [HELD_SLOT] = 0, [HELD_GRANT] = 2, [HELD_OWN] = 3};
    const struct held *h = &s->held[at];
    for (size_t i = 0; i < s->nheld; i++) {
        const struct held *o = &s->held[i];
        if (i == at || o->what == HELD_SLOT || !sv_eq(o->item, h->item))
            continue;
        if (strength[o->what] > strength[h->what] || (o->what == h->what && i < at))
            return true;
    }
    return false;
}

static void write_items(struct jw *w, const struct entitlement_state *s)
{
    jw_key(w, "items");
    jw_arr(w);
    for (size_t i = 0; i < s->nheld; i++) {
        const struct held *h = &s->held[i];
        if (h->what == HELD_SLOT || (h->what == HELD_USE && !s->access.premium) ||
            stronger_exists(s, i))
            continue;
        if (h->what == HELD_OWN)
            write_held_item(w, h->item, "purchase", TS_NONE);
        else if (h->what == HELD_GRANT)
            write_held_item(w, h->item, "grant", h->until);
        else
            write_held_item(w, h->item, "allowance", s->access.until);
    }
    jw_arr_end(w);
}

static void write_access(struct jw *w, const struct catalog *cat, const struct entitlement_state *s)
{
    const struct access *a = &s->access;
    jw_kstr(w, "userId", user_id_none(&s->caller.member) ? SV_NULL : user_id_sv(&s->caller.member));
    jw_kbool(w, "premium", a->premium);
    jw_kstr(w, "plan", a->premium ? cat->plan_key : SV("free"));
    jw_kstr(w, "status", a->status == SUB_NONE ? SV_NULL : sv_from(sub_status_name(a->status)));
    jw_kbool(w, "grace", a->grace);
    jw_kts(w, "accessUntil", a->until);
    jw_key(w, "cycle");
    jw_obj(w);
    jw_kts(w, "start", a->premium ? a->cycle_start : TS_NONE);
    jw_kts(w, "end", a->premium ? a->cycle_end : TS_NONE);
    jw_obj_end(w);
}

static void write_explain(struct jw *w, const struct entitlement_explain *ex)
{
    jw_key(w, "explain");
    jw_arr(w);
    for (size_t i = 0; i < ex->n; i++) {
        jw_obj(w);
        jw_kstr(w, "line", ex->lines[i].line);
        jw_kstr(w, "rule", ex->lines[i].rule);
        jw_kstr(w, "fact", ex->lines[i].fact);
        jw_kstr(w, "event", ex->lines[i].event);
        jw_kts(w, "expiresAt", ex->lines[i].expires);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

void entitlement_write(struct jw *w, const struct catalog *cat, const struct entitlement_state *s,
                       const struct entitlement_ai *ai, const struct entitlement_explain *ex)
{
    jw_obj(w);
    write_access(w, cat, s);
    for (int k = 0; k < ITEM_KINDS; k++) {
        jw_key(w, kind_keys[k]);
        jw_obj(w);
        write_allowance(w, s, (enum item_kind)k, &cat->allowance[k]);
        jw_obj_end(w);
    }
    write_ai(w, ai);
    jw_key(w, "discounts");
    jw_arr(w);
    for (size_t i = 0; i < s->noffers; i++)
        if (offer_live(&s->offers[i], s->now))
            write_offer(w, &s->offers[i]);
    jw_arr_end(w);
    write_items(w, s);
    if (ex)
        write_explain(w, ex);
    jw_obj_end(w);
}
