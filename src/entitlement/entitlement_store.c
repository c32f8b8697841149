#include "entitlement/entitlement.h"
#include "queries.h"

#include <assert.h>

struct caller caller_of(const struct req *r)
{
    struct caller c = {.member = r->member};
    if (user_id_none(&r->member))
        c.visitor = r->visitor;
    return c;
}

sv caller_id(const struct caller *c)
{
    if (!user_id_none(&c->member))
        return user_id_sv(&c->member);
    return visitor_id_none(&c->visitor) ? SV_NULL : visitor_id_sv(&c->visitor);
}

static int kind_of(sv name)
{
    for (int k = 0; name.p && k < ITEM_KINDS; k++)
        if (sv_is(name, item_kind_name((enum item_kind)k)))
            return k;
    return -1;
}

/* -------- reading -------- */

static enum held_kind held_kind_of(sv what)
{
    return sv_is(what, "use")    ? HELD_USE
           : sv_is(what, "slot") ? HELD_SLOT
           : sv_is(what, "own")  ? HELD_OWN
                                 : HELD_GRANT;
}

static err held_get(struct db_tx *tx, struct arena *mem, const struct caller *c, sv except, ts now,
                    bool *offers, struct entitlement_state *out)
{
    struct entitlement_member_row *rows = NULL;
    struct entitlement_visitor_row *own = NULL;
    size_t n = 0, m = 0;
    if (!user_id_none(&c->member)) {
        struct entitlement_member_in in = {.member = user_id_sv(&c->member)};
        TRY(q_entitlement_member(tx, mem, &in, &rows, &n));
    } else if (!visitor_id_none(&c->visitor)) {
        struct entitlement_visitor_in in = {.visitor = visitor_id_sv(&c->visitor)};
        TRY(q_entitlement_visitor(tx, mem, &in, &own, &m));
    }
    struct held *h = ARENA_ARRAY(mem, struct held, n + m + 1);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (sv_is(rows[i].what, "offer")) {
            *offers = true;
            continue;
        }
        enum held_kind what = held_kind_of(rows[i].what);
        if (what == HELD_GRANT)
            out->same_until = ts_next(out->same_until, rows[i].end_at, now);
        if (what == HELD_GRANT && !ts_is_none(rows[i].end_at) && !ts_before(now, rows[i].end_at))
            continue;
        if (what == HELD_SLOT && except.p && sv_eq(rows[i].ref, except))
            continue;
        h[used++] =
            (struct held){what,           kind_of(rows[i].kind), rows[i].item, rows[i].start_at,
                          rows[i].end_at, rows[i].number,        rows[i].ref};
    }
    for (size_t i = 0; i < m; i++)
        h[used++] = (struct held){HELD_OWN,      -1,        own[i].item, own[i].start_at, TS_NONE,
                                  own[i].number, own[i].ref};
    out->held = h;
    out->nheld = used;
    return OK;
}

static struct discount_offer offer_from(const struct discount_of_member_row *d)
{
    struct discount_offer o = {.id = d->id,
                               .code = d->code,
                               .percent = d->percent.has ? (int)d->percent.v : -1,
                               .amount = {d->amount.has ? d->amount.v : 0},
                               .currency = USD,
                               .kind = kind_of(d->kind),
                               .item = d->item,
                               .member = d->member,
                               .from = d->valid_from,
                               .until = d->valid_until,
                               .max_uses = d->max_uses.has ? d->max_uses.v : -1,
                               .used = d->used,
                               .max_per_member = d->max_per_member.has ? d->max_per_member.v : -1,
                               .used_member = d->used_member};
    if (d->currency.p && !currency_parse(d->currency, &o.currency))
        o.disabled = true;
    return o;
}

static err offers_get(struct db_tx *tx, struct arena *mem, const struct caller *c, sv except,
                      struct entitlement_state *out)
{
    struct discount_of_member_in in = {.member = user_id_sv(&c->member),
                                       .except = except.p ? except : SV("")};
    struct discount_of_member_row *rows;
    size_t n;
    TRY(q_discount_of_member(tx, mem, &in, &rows, &n));
    struct discount_offer *o = ARENA_ARRAY(mem, struct discount_offer, n + 1);
    for (size_t i = 0; i < n; i++)
        o[i] = offer_from(&rows[i]);
    out->same_until = out->now; /* how often they were used is counted in rows of others as well */
    out->offers = o;
    out->noffers = n;
    return OK;
}

err entitlement_state_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                          const struct caller *c, sv except, ts now, struct entitlement_state *out)
{
    struct entitlement_state s = {.caller = *c, .now = now};
    s.access = (struct access){.status = SUB_NONE,
                               .until = TS_NONE,
                               .cycle_start = TS_NONE,
                               .cycle_end = TS_NONE,
                               .rule = "no subscription",
                               .same_until = TS_NONE};
    if (!user_id_none(&c->member))
        TRY(billing_access_get(tx, mem, &app->set, &c->member, now, &s.access));
    s.same_until = s.access.same_until;
    /* Slots are rows of a cycle: without one there is nothing to count. */
    if (ts_is_none(s.access.cycle_start) || ts_is_none(s.access.cycle_end))
        s.access.new_slots = false;
    bool offers = false;
    TRY(held_get(tx, mem, c, except, now, &offers, &s));
    if (offers)
        TRY(offers_get(tx, mem, c, except, &s));
    *out = s;
    return OK;
}

err entitlement_offer_by_code(struct db_tx *tx, struct arena *mem, sv code, const struct caller *c,
                              sv except, struct discount_offer *out, bool *found)
{
    char *upper = arena_cstr(mem, sv_trim(code));
    for (char *p = upper; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 32);
    struct discount_by_code_in in = {.code = sv_from(upper),
                                     .member = user_id_sv(&c->member),
                                     .except = except.p ? except : SV("")};
    struct discount_by_code_row d;
    bool any;
    TRY(q_discount_by_code(tx, mem, &in, &d, &any));
    if (any) {
        struct discount_of_member_row same = {
            d.id,       d.code,           d.member, d.percent,    d.amount,
            d.currency, d.kind,           d.item,   d.valid_from, d.valid_until,
            d.max_uses, d.max_per_member, d.used,   d.used_member};
        *out = offer_from(&same);
    }
    *found = any;
    return OK;
}

err entitlement_code_read(struct db_tx *tx, struct arena *mem, sv code, const struct caller *c,
                          sv except, const struct item *it, ts now, const char *pointer,
                          const struct discount_offer **out)
{
    if (sv_empty(code)) {
        *out = NULL;
        return OK;
    }
    struct discount_offer *o = ARENA_NEW(mem, struct discount_offer);
    bool found;
    TRY(entitlement_offer_by_code(tx, mem, code, c, except, o, &found));
    sv member = user_id_none(&c->member) ? SV_NULL : user_id_sv(&c->member);
    switch (found ? offer_usable(o, it, member, now) : OFFER_UNKNOWN) {
    case OFFER_OK:
        *out = o;
        return OK;
    case OFFER_SIGN_IN:
        return FAIL(ERR_UNAUTHENTICATED, "sign in to use this code");
    case OFFER_NOT_YET:
        return FAIL_FIELD(ERR_VALIDATION, pointer, "is not valid yet");
    case OFFER_OVER:
        return FAIL_FIELD(ERR_VALIDATION, pointer, "is no longer valid");
    case OFFER_USED_UP:
        return FAIL_FIELD(ERR_VALIDATION, pointer, "is used up");
    case OFFER_OTHER_ITEM:
        return FAIL_FIELD(ERR_VALIDATION, pointer, "does not apply to this item");
    case OFFER_UNKNOWN:
        break;
    }
    return FAIL_FIELD(ERR_VALIDATION, pointer, "is not a code we know");
}

/* -------- counting -------- */

static bool counts(const struct entitlement_state *s, const struct held *h, enum held_kind what,
                   enum item_kind kind)
{
    return h->what == what && h->kind == (int)kind && !ts_is_none(s->access.cycle_start) &&
           cycles_overlap(h->from, h->until, s->access.cycle_start, s->access.cycle_end);
}

static struct slot_count count(const struct entitlement_state *s, enum held_kind what,
                               enum item_kind kind)
{
    struct slot_count c = {0};
    for (size_t i = 0; i < s->nheld; i++)
        if (counts(s, &s->held[i], what, kind))
            (*(what == HELD_SLOT && sv_is(s->held[i].item, "held") ? &c.held : &c.used))++;
    return c;
}

struct slot_count entitlement_uses(const struct entitlement_state *s, enum item_kind kind)
{
    return count(s, HELD_USE, kind);
}

struct slot_count entitlement_discounts(const struct entitlement_state *s, enum item_kind kind)
{
    return count(s, HELD_SLOT, kind);
}

static struct holding holding_of(const struct entitlement_state *s, const struct item *it)
{
    struct holding h = {.purchase = SV_NULL, .grant = SV_NULL, .grant_until = TS_NONE};
    for (size_t i = 0; i < s->nheld; i++) {
        const struct held *x = &s->held[i];
        if (x->what == HELD_SLOT || !sv_eq(x->item, it->id))
            continue;
        if (x->what == HELD_OWN && !h.purchase.p)
            h.purchase = x->ref;
        else if (x->what == HELD_USE)
            h.opened = true;
        else if (x->what == HELD_GRANT &&
                 (!h.grant.p || (!ts_is_none(h.grant_until) &&
                                 (ts_is_none(x->until) || ts_before(h.grant_until, x->until))))) {
            h.grant = x->ref;
            h.grant_until = x->until;
        }
    }
    return h;
}

struct decision entitlement_decide_item(const struct entitlement_state *s, struct arena *mem,
                                        const struct catalog *cat, const struct item *it,
                                        const struct discount_offer *code)
{
    const struct discount_offer **offers =
        ARENA_ARRAY(mem, const struct discount_offer *, s->noffers + 1);
    size_t n = 0;
    sv member = user_id_none(&s->caller.member) ? SV_NULL : user_id_sv(&s->caller.member);
    for (size_t i = 0; i < s->noffers; i++)
        if (offer_usable(&s->offers[i], it, member, s->now) == OFFER_OK)
            offers[n++] = &s->offers[i];
    if (code)
        offers[n++] = code;
    struct holding h = holding_of(s, it);
    return entitlement_decide(&s->access, &cat->allowance[it->kind], it, &h,
                              entitlement_uses(s, it->kind), entitlement_discounts(s, it->kind),
                              offers, n);
}

/* -------- slots -------- */

err entitlement_lock(struct db_tx *tx, struct arena *mem, const struct caller *c, const sv *more,
                     size_t n)
{
    sv *keys = ARENA_ARRAY(mem, sv, n + 1);
    keys[0] = arena_join(mem, SV("slots:"), caller_id(c), SV_NULL);
    for (size_t i = 0; i < n; i++)
        keys[i + 1] = more[i];
    return db_lock(tx, keys, n + 1);
}

/* The lowest number of the cycle that neither it nor an overlapping one uses; 0: none left. */
static int64_t number_free(const struct entitlement_state *s, struct arena *mem,
                           enum held_kind what, enum item_kind kind, int64_t limit)
{
    int64_t *taken = ARENA_ARRAY(mem, int64_t, s->nheld + 1);
    size_t n = 0;
    for (size_t i = 0; i < s->nheld; i++)
        if (counts(s, &s->held[i], what, kind))
            taken[n++] = s->held[i].number;
    return slot_pick(taken, n, limit);
}

err entitlement_use_take(struct db_tx *tx, struct arena *mem, const struct entitlement_state *s,
                         const struct allowance *al, const struct item *it, int64_t *number)
{
    int64_t pick = number_free(s, mem, HELD_USE, it->kind, al->limit);
    if (pick == 0)
        return FAIL(ERR_RETRY, "the last free use has just been taken");
    struct allowance_use_put_in in = {.member = user_id_sv(&s->caller.member),
                                      .cycle_start = s->access.cycle_start,
                                      .kind = sv_from(item_kind_name(it->kind)),
                                      .number = pick,
                                      .cycle_end = s->access.cycle_end,
                                      .item = it->id,
                                      .subscription = s->access.subscription,
                                      .now = s->now};
    int64_t changed;
    TRY(q_allowance_use_put(tx, mem, &in, &changed));
    if (changed != 1)
        return FAIL(ERR_RETRY, "another request has just taken this slot");
    *number = pick;
    return OK;
}

static err slot_take(struct db_tx *tx, struct arena *mem, const struct entitlement_state *s,
                     const struct allowance *al, const struct item *it, sv purchase,
                     const char *state)
{
    int64_t pick = number_free(s, mem, HELD_SLOT, it->kind, al->discount_limit);
    if (pick == 0)
        return FAIL(ERR_RETRY, "the last discount has just been taken");
    struct discount_slot_put_in in = {.purchase = purchase,
                                      .member = user_id_sv(&s->caller.member),
                                      .cycle_start = s->access.cycle_start,
                                      .cycle_end = s->access.cycle_end,
                                      .kind = sv_from(item_kind_name(it->kind)),
                                      .number = pick,
                                      .state = sv_from(state),
                                      .now = s->now};
    int64_t changed;
    TRY(q_discount_slot_put(tx, mem, &in, &changed));
    return changed == 1 ? OK : FAIL(ERR_RETRY, "another checkout has just taken this discount");
}

/* A number of a limited discount: in all, and for the member. */
static err offer_numbers(struct db_tx *tx, struct arena *mem, const struct discount_offer *o,
                         sv member, opt_int *number, opt_int *member_number)
{
    if (o->max_uses >= 0) {
        struct discount_numbers_in in = {.discount = o->id};
        struct discount_numbers_row *rows;
        size_t n;
        TRY(q_discount_numbers(tx, mem, &in, &rows, &n));
        int64_t *taken = ARENA_ARRAY(mem, int64_t, n + 1);
        for (size_t i = 0; i < n; i++)
            taken[i] = rows[i].number.has ? rows[i].number.v : 0;
        *number = SOME_INT(slot_pick(taken, n, o->max_uses));
    }
    if (o->max_per_member >= 0) {
        struct discount_member_numbers_in in = {.discount = o->id, .member = member};
        struct discount_member_numbers_row *rows;
        size_t n;
        TRY(q_discount_member_numbers(tx, mem, &in, &rows, &n));
        int64_t *taken = ARENA_ARRAY(mem, int64_t, n + 1);
        for (size_t i = 0; i < n; i++)
            taken[i] = rows[i].number.has ? rows[i].number.v : 0;
        *member_number = SOME_INT(slot_pick(taken, n, o->max_per_member));
    }
    if ((number->has && number->v == 0) || (member_number->has && member_number->v == 0))
        return FAIL(ERR_RETRY, "the discount has just been used up");
    return OK;
}

static err offer_take(struct db_tx *tx, struct arena *mem, const struct entitlement_state *s,
                      const struct discount_offer *o, sv purchase, const char *state)
{
    bool visitor = user_id_none(&s->caller.member);
    struct discount_use_put_in in = {.purchase = purchase,
                                     .discount = o->id,
                                     .member = visitor ? SV_NULL : user_id_sv(&s->caller.member),
                                     .state = sv_from(state),
                                     .now = s->now};
    TRY(offer_numbers(tx, mem, o, user_id_sv(&s->caller.member), &in.number, &in.member_number));
    int64_t changed;
    TRY(q_discount_use_put(tx, mem, &in, &changed));
    return changed == 1 ? OK : FAIL(ERR_RETRY, "another checkout has just taken this discount");
}

err entitlement_discount_take(struct db_tx *tx, struct arena *mem,
                              const struct entitlement_state *s, const struct allowance *al,
                              const struct item *it, const struct quote *q, sv purchase,
                              const char *state)
{
    if (q->discount == DISCOUNT_MANUAL)
        return offer_take(tx, mem, s, q->offer, purchase, state);
    return q->takes_slot ? slot_take(tx, mem, s, al, it, purchase, state) : OK;
}

err entitlement_discount_set(struct db_tx *tx, sv purchase, const char *state, ts now, bool *lost)
{
    int64_t slots, uses;
    struct discount_slot_set_in slot = {.purchase = purchase, .state = sv_from(state), .now = now};
    TRY(q_discount_slot_set(tx, NULL, &slot, &slots));
    struct discount_use_set_in use = {.purchase = purchase, .state = sv_from(state), .now = now};
    TRY(q_discount_use_set(tx, NULL, &use, &uses));
    *lost = false;
    if (slots + uses > 0 || strcmp(state, "released") == 0)
        return OK;
    ARENA_AUTO mem = arena_new(0);
    struct discount_slot_get_in sg = {.purchase = purchase};
    struct discount_slot_get_row srow;
    struct discount_use_get_in ug = {.purchase = purchase};
    struct discount_use_get_row urow;
    bool has_slot, has_use;
    TRY(q_discount_slot_get(tx, mem, &sg, &srow, &has_slot));
    TRY(q_discount_use_get(tx, mem, &ug, &urow, &has_use));
    *lost =
        (has_slot && sv_is(srow.state, "released")) || (has_use && sv_is(urow.state, "released"));
    return OK;
}

err entitlement_discount_restore(struct db_tx *tx, struct arena *mem, sv purchase, ts now)
{
    struct discount_slot_get_in in = {.purchase = purchase};
    struct discount_slot_get_row slot;
    bool has, lost;
    TRY(q_discount_slot_get(tx, mem, &in, &slot, &has));
    bool over = has && !ts_before(now, slot.cycle_end);
    return entitlement_discount_set(tx, purchase, over ? "consumed" : "released", now, &lost);
}

/* -------- grants -------- */

err entitlement_grant_put(struct db_tx *tx, struct arena *mem, const struct item_grant *g, ts now,
                          sv *id)
{
    sv made = id_new(mem, "grt", now);
    struct item_grant_put_in in = {.id = made,
                                   .member = user_id_sv(&g->member),
                                   .item = g->item,
                                   .until = g->until,
                                   .note = g->note,
                                   .granted_by = g->granted_by,
                                   .now = now};
    TRY(q_item_grant_put(tx, mem, &in, NULL));
    *id = made;
    return OK;
}

err entitlement_grant_del(struct db_tx *tx, sv id, ts now)
{
    int64_t changed;
    struct item_grant_del_in in = {.id = id, .now = now};
    TRY(q_item_grant_del(tx, NULL, &in, &changed));
    return changed == 1 ? OK : FAIL(ERR_NOT_FOUND, "there is no such grant in force");
}

err entitlement_grant_list(struct db_tx *tx, struct arena *mem, const user_id *member,
                           struct item_grant **out, size_t *n)
{
    struct item_grant_list_in in = {.member = user_id_sv(member)};
    struct item_grant_list_row *rows;
    size_t count_;
    TRY(q_item_grant_list(tx, mem, &in, &rows, &count_));
    struct item_grant *g = ARENA_ARRAY(mem, struct item_grant, count_ + 1);
    for (size_t i = 0; i < count_; i++)
        g[i] = (struct item_grant){.id = rows[i].id,
                                   .item = rows[i].item,
                                   .note = rows[i].note,
                                   .granted_by = rows[i].granted_by,
                                   .member = user_id_from(rows[i].member),
                                   .until = rows[i].until,
                                   .created = rows[i].created_at,
                                   .revoked = rows[i].revoked_at};
    *out = g;
    *n = count_;
    return OK;
}
