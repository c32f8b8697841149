#include "chat/chat_quota.h"
#include "account/account.h"
#include "base/calendar.h"
#include "base/zone.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "queries.h"

#include <arpa/inet.h>
#include <stdio.h>

sv chat_network_of(struct arena *mem, sv address)
{
    char text[64];
    unsigned char b[16];
    snprintf(text, sizeof text, "%.*s", SV_ARG(address));
    if (inet_pton(AF_INET, text, b) == 1)
        return arena_printf(mem, "%d.%d.%d.0/24", b[0], b[1], b[2]);
    if (inet_pton(AF_INET6, text, b) != 1)
        return SV("unknown");
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(b, mapped, sizeof mapped) == 0)
        return arena_printf(mem, "%d.%d.%d.0/24", b[12], b[13], b[14]);
    return arena_printf(mem, "%02x%02x:%02x%02x:%02x%02x:%02x00::/56", b[0], b[1], b[2], b[3], b[4],
                        b[5], b[6]);
}

sv chat_quota_key(struct arena *mem, sv owner)
{
    return arena_join(mem, SV("ai-quota:"), owner, SV_NULL);
}

err chat_quota_lock(struct db_tx *tx, struct arena *mem, sv owner)
{
    return db_lock1(tx, chat_quota_key(mem, owner));
}

static err premium(struct db_tx *tx, struct arena *mem, const struct app *app,
                   const struct chat_owner *owner, ts now, bool *out)
{
    struct access access = {.premium = false};
    if (owner->user_id.p != NULL) {
        user_id id = user_id_from(owner->user_id);
        TRY(billing_access_get(tx, mem, &app->set, &id, now, &access));
    }
    *out = access.premium;
    return OK;
}

/* The end of the owner's running day; a new day ends at midnight of the saved zone. */
static err period_end(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner, ts now,
                      ts *out)
{
    struct chat_period_get_row row;
    bool found;
    TRY(q_chat_period_get(tx, mem, &(struct chat_period_get_in){.owner = owner->id}, &row, &found));
    if (found && row.ends_at.ms > now.ms) {
        *out = row.ends_at;
        return OK;
    }
    sv zone = SV_NULL;
    if (owner->user_id.p != NULL) {
        struct account a;
        user_id id = user_id_from(owner->user_id);
        TRY(account_get(tx, mem, &id, &a));
        zone = a.timezone;
    }
    *out = zone_day_end(zone, now);
    return OK;
}

struct slots {
    struct chat_slot_list_row *rows;
    size_t n;
};

static err slots_of(struct db_tx *tx, struct arena *mem, sv owner, ts end, struct slots *out)
{
    return q_chat_slot_list(tx, mem, &(struct chat_slot_list_in){.owner = owner, .period_end = end},
                            &out->rows, &out->n);
}

/* Every answer about a member's entitlements asks this: one query instead of three. */
static err member_standing(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                           ts now, int64_t *used, ts *reset_at)
{
    struct chat_member_standing_row row;
    bool found;
    TRY(q_chat_member_standing(tx, mem, &(struct chat_member_standing_in){.member = owner->user_id},
                               &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such member");
    bool runs = !ts_is_none(row.ends_at) && ts_before(now, row.ends_at);
    *used = runs ? row.used : 0;
    *reset_at = runs ? row.ends_at : zone_day_end(row.timezone, now);
    return OK;
}

err chat_quota_standing(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner, ts now,
                        int64_t *used, ts *reset_at)
{
    if (owner->user_id.p != NULL)
        return member_standing(tx, mem, owner, now, used, reset_at);
    struct slots slots;
    ts end;
    TRY(period_end(tx, mem, owner, now, &end));
    TRY(slots_of(tx, mem, owner->id, end, &slots));
    *used = (int64_t)slots.n;
    *reset_at = end;
    return OK;
}

err chat_quota_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                   const struct chat_owner *owner, ts now, struct chat_quota *out)
{
    struct chat_quota q = {.limit = app->catalog->ai_free_per_day};
    TRY(premium(tx, mem, app, owner, now, &q.unlimited));
    TRY(chat_quota_standing(tx, mem, owner, now, &q.used, &q.reset_at));
    *out = q;
    return OK;
}

/* The lowest number above `number` that nobody has: what was given back leaves gaps. */
static int64_t free_number(const struct slots *s, int64_t number)
{
    number++;
    for (size_t i = 0; i < s->n; i++)
        if (s->rows[i].number == number)
            number++;
    return number;
}

static err take_network(struct db_tx *tx, struct arena *mem, const struct chat_quota_ask *ask,
                        struct chat_ticket *t, bool *over)
{
    int64_t changed;
    sv network = chat_network_of(mem, ask->address);
    ts day = ts_day(ask->now);
    TRY(q_chat_network_take(
        tx, mem,
        &(struct chat_network_take_in){.network = network, .day = day, .most = CHAT_NETWORK_SLOTS},
        &changed));
    *over = changed == 0;
    if (changed > 0) {
        t->network = network;
        t->network_day = day;
    }
    return OK;
}

/* A slot of this conversation that still covers a message, else a new one. */
static err take_slot(struct db_tx *tx, struct arena *mem, const struct app *app,
                     const struct chat_quota_ask *ask, struct chat_quota *q, struct chat_ticket *t)
{
    struct slots slots;
    int64_t changed = 0;
    TRY(slots_of(tx, mem, ask->owner.id, q->reset_at, &slots));
    q->used = (int64_t)slots.n;
    for (size_t i = 0; i < slots.n && !app->set.ai_free_unit_message; i++)
        if (sv_eq(slots.rows[i].conversation_id, ask->conversation) &&
            slots.rows[i].messages < CHAT_SLOT_MESSAGES) {
            t->number = slots.rows[i].number;
            return q_chat_slot_join(tx, mem,
                                    &(struct chat_slot_join_in){.owner = ask->owner.id,
                                                                .period_end = q->reset_at,
                                                                .number = t->number,
                                                                .most = CHAT_SLOT_MESSAGES},
                                    &changed);
        }
    int64_t number = free_number(&slots, 0);
    bool over = number > q->limit;
    if (!over && ask->owner.user_id.p == NULL)
        TRY(take_network(tx, mem, ask, t, &over));
    if (over)
        return ask->crisis ? OK : FAIL(ERR_QUOTA, "The free conversations of today are used up.");
    t->number = number;
    t->fresh = true;
    q->used++;
    return q_chat_slot_take(tx, mem,
                            &(struct chat_slot_take_in){.owner = ask->owner.id,
                                                        .period_end = q->reset_at,
                                                        .number = number,
                                                        .conversation_id = ask->conversation,
                                                        .messages = 1},
                            NULL);
}

err chat_quota_take(struct db_tx *tx, struct arena *mem, const struct app *app,
                    const struct chat_quota_ask *ask, struct chat_quota *quota,
                    struct chat_ticket *ticket)
{
    struct chat_quota q = {.limit = app->catalog->ai_free_per_day};
    struct chat_ticket t = {.network = SV_NULL};
    TRY(chat_quota_lock(tx, mem, ask->owner.id));
    TRY(premium(tx, mem, app, &ask->owner, ask->now, &q.unlimited));
    TRY(period_end(tx, mem, &ask->owner, ask->now, &q.reset_at));
    t.period_end = q.reset_at;
    if (!q.unlimited) {
        TRY(q_chat_period_put(tx, mem,
                              &(struct chat_period_put_in){
                                  .owner = ask->owner.id, .ends_at = q.reset_at, .now = ask->now},
                              NULL));
        err e = take_slot(tx, mem, app, ask, &q, &t);
        *quota = q;
        TRY(e);
    }
    *quota = q;
    *ticket = t;
    return OK;
}

err chat_quota_return(struct db_tx *tx, struct arena *mem, sv owner, sv conversation,
                      const struct chat_ticket *t)
{
    if (t->number == 0)
        return OK;
    TRY(q_chat_slot_return(tx, mem,
                           &(struct chat_slot_return_in){.owner = owner,
                                                         .period_end = t->period_end,
                                                         .number = t->number,
                                                         .conversation_id = conversation},
                           NULL));
    TRY(q_chat_slot_free(tx, mem,
                         &(struct chat_slot_free_in){
                             .owner = owner, .period_end = t->period_end, .number = t->number},
                         NULL));
    if (t->network.p == NULL)
        return OK;
    return q_chat_network_return(
        tx, mem, &(struct chat_network_return_in){.network = t->network, .day = t->network_day},
        NULL);
}

/* One of the visitor's becomes the member's `number`. */
static err move_slot(struct db_tx *tx, struct arena *mem, const struct chat_slot_list_row *slot,
                     ts from_end, sv member, ts to_end, int64_t number)
{
    TRY(q_chat_slot_take(tx, mem,
                         &(struct chat_slot_take_in){.owner = member,
                                                     .period_end = to_end,
                                                     .number = number,
                                                     .conversation_id = slot->conversation_id,
                                                     .messages = slot->messages},
                         NULL));
    return q_chat_slot_renamed(
        tx, mem,
        &(struct chat_slot_renamed_in){.conversation_id = slot->conversation_id,
                                       .from_end = from_end,
                                       .from_number = slot->number,
                                       .to_end = to_end,
                                       .to_number = number},
        NULL);
}

err chat_quota_merge(struct db_tx *tx, struct arena *mem, sv visitor, sv member, ts now)
{
    struct chat_owner from = {visitor, SV_NULL}, to = {member, member};
    struct slots theirs, ours;
    ts from_end, to_end;
    const sv keys[] = {chat_quota_key(mem, visitor), chat_quota_key(mem, member)};
    TRY(db_lock(tx, keys, 2));
    TRY(period_end(tx, mem, &from, now, &from_end));
    TRY(period_end(tx, mem, &to, now, &to_end));
    TRY(slots_of(tx, mem, visitor, from_end, &theirs));
    TRY(slots_of(tx, mem, member, to_end, &ours));
    if (theirs.n > ours.n)
        TRY(q_chat_period_put(
            tx, mem, &(struct chat_period_put_in){.owner = member, .ends_at = to_end, .now = now},
            NULL));
    int64_t number = 0;
    for (size_t i = ours.n; i < theirs.n; i++) {
        number = free_number(&ours, number);
        TRY(move_slot(tx, mem, &theirs.rows[i], from_end, member, to_end, number));
    }
    return OK;
}
