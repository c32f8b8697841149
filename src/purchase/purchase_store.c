#include "purchase/purchase_store.h"
#include "queries.h"

#include <assert.h>

/* Every query of a whole purchase has the same columns. */
#define PURCHASE_FROM(r)                                                                           \
    ((struct purchase){.id = (r).id,                                                               \
                       .member = user_id_from((r).member),                                         \
                       .visitor = visitor_id_from((r).visitor),                                    \
                       .item = (r).item,                                                           \
                       .list = {(r).list_price},                                                   \
                       .price = {(r).price},                                                       \
                       .currency = currency_from((r).currency),                                    \
                       .discount_kind = (r).discount_kind,                                         \
                       .discount_id = (r).discount_id,                                             \
                       .discount_percent =                                                         \
                           (r).discount_percent.has ? (int)(r).discount_percent.v : -1,            \
                       .status = status_from((r).status),                                          \
                       .session = (r).session,                                                     \
                       .session_url = (r).session_url,                                             \
                       .payment_intent = (r).payment_intent,                                       \
                       .email = (r).email,                                                         \
                       .gone = (r).never_opened,                                                   \
                       .mismatch = (r).mismatch,                                                   \
                       .late = (r).late,                                                           \
                       .expires = (r).expires_at,                                                  \
                       .created = (r).created_at,                                                  \
                       .changed = (r).changed_at,                                                  \
                       .paid = (r).paid_at,                                                        \
                       .claimed = (r).claimed_at})

static currency currency_from(sv s)
{
    currency c = {""};
    (void)currency_parse(s, &c);
    return c;
}

static enum purchase_status status_from(sv s)
{
    enum purchase_status st = PURCHASE_FAILED; /* a word that is not ours grants nothing */
    (void)purchase_status_parse(s, &st);
    return st;
}

static sv member_or_null(const user_id *u)
{
    return user_id_none(u) ? SV_NULL : user_id_sv(u);
}

static sv open_key(struct arena *mem, sv buyer, sv item)
{
    return arena_printf(mem, "%.*s %.*s", SV_ARG(buyer), SV_ARG(item));
}

/* -------- reading -------- */

err purchase_by_id(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out, bool *found)
{
    struct purchase_get_row row;
    TRY(q_purchase_get(tx, mem, &(struct purchase_get_in){.id = id}, &row, found));
    if (*found)
        *out = PURCHASE_FROM(row);
    return OK;
}

err purchase_get(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out)
{
    bool found;
    TRY(purchase_by_id(tx, mem, id, out, &found));
    return found ? OK : FAIL(ERR_NOT_FOUND, "there is no such purchase");
}

err purchase_open_get(struct db_tx *tx, struct arena *mem, const struct caller *c, sv item,
                      struct purchase *out, bool *found)
{
    struct purchase_by_open_key_in in = {.open_key = open_key(mem, caller_id(c), item)};
    struct purchase_by_open_key_row row;
    TRY(q_purchase_by_open_key(tx, mem, &in, &row, found));
    if (*found)
        *out = PURCHASE_FROM(row);
    return OK;
}

err purchase_by_session(struct db_tx *tx, struct arena *mem, sv session, struct purchase *out,
                        bool *found)
{
    struct purchase_by_session_row row;
    TRY(q_purchase_by_session(tx, mem, &(struct purchase_by_session_in){.session = session}, &row,
                              found));
    if (*found)
        *out = PURCHASE_FROM(row);
    return OK;
}

err purchase_by_payment(struct db_tx *tx, struct arena *mem, sv payment, struct purchase *out,
                        bool *found)
{
    struct purchase_by_payment_row row;
    TRY(q_purchase_by_payment(tx, mem, &(struct purchase_by_payment_in){.payment = payment}, &row,
                              found));
    if (*found)
        *out = PURCHASE_FROM(row);
    return OK;
}

err purchase_twin(struct db_tx *tx, struct arena *mem, const struct purchase *p, bool *found)
{
    struct purchase_granting_twin_in in = {
        .id = p->id, .member = user_id_sv(&p->member), .item = p->item};
    struct purchase_granting_twin_row row;
    return q_purchase_granting_twin(tx, mem, &in, &row, found);
}

err purchase_lock(struct db_tx *tx, struct arena *mem, sv id, struct purchase *out, bool *found)
{
    struct purchase_lock_row row;
    TRY(q_purchase_lock(tx, mem, &(struct purchase_lock_in){.id = id}, &row, found));
    if (*found)
        *out = PURCHASE_FROM(row);
    return OK;
}

err purchase_payment_of_charge(struct db_tx *tx, struct arena *mem, sv charge, sv *payment)
{
    struct purchase_charge_payment_row row;
    bool found;
    TRY(q_purchase_charge_payment(tx, mem, &(struct purchase_charge_payment_in){.charge = charge},
                                  &row, &found));
    *payment = found ? row.payment : SV_NULL;
    return OK;
}

static const sv newest = {"~", 1}; /* behind every id */

err purchase_list_of(struct db_tx *tx, struct arena *mem, const struct caller *c, sv before,
                     int64_t limit, struct purchase **out, size_t *n)
{
    size_t count = 0;
    struct purchase *p;
    if (!before.p)
        before = newest;
    if (!user_id_none(&c->member)) {
        struct purchase_of_member_row *rows;
        struct purchase_of_member_in in = {
            .member = user_id_sv(&c->member), .before = before, .n = limit};
        TRY(q_purchase_of_member(tx, mem, &in, &rows, &count));
        p = ARENA_ARRAY(mem, struct purchase, count + 1);
        for (size_t i = 0; i < count; i++)
            p[i] = PURCHASE_FROM(rows[i]);
    } else {
        struct purchase_of_visitor_row *rows;
        struct purchase_of_visitor_in in = {
            .visitor = visitor_id_sv(&c->visitor), .before = before, .n = limit};
        TRY(q_purchase_of_visitor(tx, mem, &in, &rows, &count));
        p = ARENA_ARRAY(mem, struct purchase, count + 1);
        for (size_t i = 0; i < count; i++)
            p[i] = PURCHASE_FROM(rows[i]);
    }
    *out = p;
    *n = count;
    return OK;
}

err purchase_list(struct db_tx *tx, struct arena *mem, sv before, int64_t limit,
                  struct purchase **out, size_t *n)
{
    struct purchase_list_row *rows;
    struct purchase_list_in in = {.before = before.p ? before : newest, .n = limit};
    size_t count;
    TRY(q_purchase_list(tx, mem, &in, &rows, &count));
    struct purchase *p = ARENA_ARRAY(mem, struct purchase, count + 1);
    for (size_t i = 0; i < count; i++)
        p[i] = PURCHASE_FROM(rows[i]);
    *out = p;
    *n = count;
    return OK;
}

bool purchase_is_of(const struct purchase *p, const struct caller *c)
{
    if (!user_id_none(&p->member))
        return user_id_eq(&p->member, &c->member);
    return user_id_none(&c->member) && !visitor_id_none(&c->visitor) &&
           strcmp(p->visitor.s, c->visitor.s) == 0;
}

/* -------- history -------- */

err purchase_history(struct db_tx *tx, struct arena *mem, sv id, struct purchase_event **out,
                     size_t *n)
{
    struct purchase_history_list_row *rows;
    size_t count;
    TRY(q_purchase_history_list(tx, mem, &(struct purchase_history_list_in){.purchase = id}, &rows,
                                &count));
    struct purchase_event *e = ARENA_ARRAY(mem, struct purchase_event, count + 1);
    for (size_t i = 0; i < count; i++)
        e[i] = (struct purchase_event){rows[i].seq,   rows[i].at,    rows[i].status, rows[i].what,
                                       rows[i].actor, rows[i].event, rows[i].detail};
    *out = e;
    *n = count;
    return OK;
}

err purchase_history_add(struct db_tx *tx, struct arena *mem, sv id, enum purchase_status status,
                         const char *what, sv actor, sv event, sv detail, ts now)
{
    struct purchase_history_put_in in = {.purchase = id,
                                         .at = now,
                                         .status = sv_from(purchase_status_name(status)),
                                         .what = sv_from(what),
                                         .actor = actor,
                                         .event = event,
                                         .detail = detail};
    return q_purchase_history_put(tx, mem, &in, NULL);
}

err purchase_note(struct db_tx *tx, struct arena *mem, sv id, const char *what, sv actor, sv detail,
                  ts now)
{
    struct purchase p;
    bool found;
    TRY(purchase_lock(tx, mem, id, &p, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such purchase");
    return purchase_history_add(tx, mem, id, p.status, what, actor, SV_NULL, detail, now);
}

/* -------- writing -------- */

static struct purchase purchase_from_quote(struct arena *mem, const struct entitlement_state *s,
                                           const struct item *it, const struct quote *q, ts expires)
{
    bool given = q->price.minor == 0;
    return (struct purchase){.id = id_new(mem, "pur", s->now),
                             .member = s->caller.member,
                             .visitor = s->caller.visitor,
                             .item = it->id,
                             .list = q->list,
                             .price = q->price,
                             .currency = q->currency,
                             .discount_kind = sv_from(discount_kind_name(q->discount)),
                             .discount_id = q->discount_id,
                             .discount_percent = q->discount == DISCOUNT_NONE ? -1 : q->percent,
                             .status = given ? PURCHASE_PAID : PURCHASE_PENDING,
                             .expires = given ? TS_NONE : expires,
                             .created = s->now,
                             .changed = s->now,
                             .paid = given ? s->now : TS_NONE,
                             .claimed = TS_NONE};
}

err purchase_make(struct db_tx *tx, struct arena *mem, struct app *app,
                  const struct entitlement_state *s, const struct item *it, const struct quote *q,
                  ts expires, struct purchase *out)
{
    struct purchase p = purchase_from_quote(mem, s, it, q, expires);
    bool given = p.status == PURCHASE_PAID;
    struct purchase_put_in in = {
        .id = p.id,
        .member = member_or_null(&p.member),
        .visitor = visitor_id_none(&p.visitor) ? SV_NULL : visitor_id_sv(&p.visitor),
        .item = p.item,
        .list_price = p.list.minor,
        .price = p.price.minor,
        .currency = currency_sv(&p.currency),
        .discount_kind = p.discount_kind,
        .discount_id = p.discount_id,
        .discount_percent = {p.discount_percent >= 0, p.discount_percent},
        .status = sv_from(purchase_status_name(p.status)),
        .open_key = given ? SV_NULL : open_key(mem, caller_id(&s->caller), it->id),
        .expires_at = p.expires,
        .paid_at = p.paid,
        .now = s->now};
    int64_t changed;
    TRY(q_purchase_put(tx, mem, &in, &changed));
    if (changed != 1)
        return FAIL(ERR_RETRY, "another checkout of this item has just begun");
    TRY(entitlement_discount_take(tx, mem, s, &app->catalog->allowance[it->kind], it, q, p.id,
                                  given ? "consumed" : "held"));
    TRY(purchase_history_add(tx, mem, p.id, p.status, given ? "given_away" : "checkout",
                             SV("buyer"), SV_NULL, sv_from(q->rule), s->now));
    struct purchase_change c = {
        .p = &p, .created = true, .to = p.status, .event = SV_NULL, .now = s->now};
    TRY(purchase_tell(tx, mem, app, &c));
    *out = p;
    return OK;
}

err purchase_bind_session(struct db_tx *tx, sv id, sv session)
{
    return q_purchase_bind_session(tx, NULL, &(struct purchase_bind_session_in){id, session}, NULL);
}

err purchase_bind_payment(struct db_tx *tx, sv id, sv payment, bool *bound)
{
    int64_t changed;
    struct purchase_bind_payment_in in = {id, payment};
    TRY(q_purchase_bind_payment(tx, NULL, &in, &changed));
    *bound = changed > 0;
    return OK;
}

err purchase_set_url(struct db_tx *tx, sv id, sv url)
{
    return q_purchase_set_url(tx, NULL, &(struct purchase_set_url_in){id, url}, NULL);
}

err purchase_set_email(struct db_tx *tx, sv id, sv email)
{
    return q_purchase_set_email(tx, NULL, &(struct purchase_set_email_in){id, email}, NULL);
}

err purchase_set_gone(struct db_tx *tx, sv id)
{
    return q_purchase_set_gone(tx, NULL, &(struct purchase_set_gone_in){id}, NULL);
}

err purchase_set_status(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now)
{
    bool open = p->status == PURCHASE_PENDING;
    sv buyer = user_id_none(&p->member) ? visitor_id_sv(&p->visitor) : user_id_sv(&p->member);
    struct purchase_set_status_in in = {.id = p->id,
                                        .status = sv_from(purchase_status_name(p->status)),
                                        .keep_open = open,
                                        .open_key = open ? open_key(mem, buyer, p->item) : SV_NULL,
                                        .session_url = open ? p->session_url : SV_NULL,
                                        .mismatch = p->mismatch,
                                        .late = p->late,
                                        .paid_at = p->paid,
                                        .now = now};
    return q_purchase_set_status(tx, mem, &in, NULL);
}

err purchase_overdue(struct db_tx *tx, struct arena *mem, ts before, int64_t limit, sv **ids,
                     size_t *n)
{
    struct purchase_overdue_row *rows;
    size_t count;
    TRY(q_purchase_overdue(tx, mem, &(struct purchase_overdue_in){before, limit}, &rows, &count));
    sv *out = ARENA_ARRAY(mem, sv, count + 1);
    for (size_t i = 0; i < count; i++)
        out[i] = rows[i].id;
    *ids = out;
    *n = count;
    return OK;
}

/* -------- claims -------- */

err purchase_claim_one(struct db_tx *tx, struct arena *mem, const struct purchase *p,
                       const user_id *to, const char *what, ts now, bool *won)
{
    int64_t changed;
    struct purchase_claim_one_in in = {.id = p->id, .member = user_id_sv(to), .now = now};
    TRY(q_purchase_claim_one(tx, mem, &in, &changed));
    *won = changed == 1;
    if (!*won)
        return OK;
    struct purchase_move_open_in move = {.id = p->id,
                                         .open_key = open_key(mem, user_id_sv(to), p->item)};
    TRY(q_purchase_move_open(tx, mem, &move, NULL));
    struct discount_use_claim_in use = {.purchase = p->id, .member = user_id_sv(to)};
    TRY(q_discount_use_claim(tx, mem, &use, NULL));
    return purchase_history_add(tx, mem, p->id, p->status, what, user_id_sv(to), SV_NULL, SV_NULL,
                                now);
}

err purchase_visitor_count(struct db_tx *tx, struct arena *mem, const visitor_id *v, int64_t *n)
{
    struct purchase_visitor_count_row row;
    TRY(q_purchase_visitor_count(tx, mem, &(struct purchase_visitor_count_in){visitor_id_sv(v)},
                                 &row));
    *n = row.n;
    return OK;
}

err purchase_claim_wait(struct db_tx *tx, sv id, const user_id *member, ts now)
{
    return q_purchase_claim_put(tx, NULL,
                                &(struct purchase_claim_put_in){id, user_id_sv(member), now}, NULL);
}

err purchase_claims_waiting(struct db_tx *tx, struct arena *mem, const user_id *member, sv **ids,
                            size_t *n)
{
    struct purchase_claim_of_row *rows;
    size_t count;
    TRY(q_purchase_claim_of(tx, mem, &(struct purchase_claim_of_in){user_id_sv(member)}, &rows,
                            &count));
    sv *out = ARENA_ARRAY(mem, sv, count + 1);
    for (size_t i = 0; i < count; i++)
        out[i] = rows[i].purchase;
    *ids = out;
    *n = count;
    return OK;
}

err purchase_claims_done(struct db_tx *tx, const user_id *member)
{
    return q_purchase_claim_del(tx, NULL, &(struct purchase_claim_del_in){user_id_sv(member)},
                                NULL);
}

err purchase_forget(struct db_tx *tx, const user_id *member, ts now)
{
    TRY(q_purchase_forget(tx, NULL, &(struct purchase_forget_in){user_id_sv(member)}, NULL));
    struct discount_forget_in in = {.member = user_id_sv(member), .now = now};
    return q_discount_forget(tx, NULL, &in, NULL);
}
