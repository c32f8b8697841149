#include "chat/turn_lost.h"
#include "job/job.h"
#include "queries.h"

err turn_ticket_keep(struct db_tx *tx, struct arena *mem, sv conversation, sv message,
                     const struct chat_ticket *t)
{
    if (t->number == 0)
        return OK;
    return q_chat_turn_ticket(
        tx, mem,
        &(struct chat_turn_ticket_in){.id = message,
                                      .conversation_id = conversation,
                                      .ticket_end = t->period_end,
                                      .ticket_number = t->number,
                                      .ticket_network = t->network,
                                      .ticket_day = t->network.p ? t->network_day : TS_NONE},
        NULL);
}

err turn_give_back(struct db_tx *tx, struct arena *mem, const struct chat_turn_running_row *row)
{
    if (!row->ticket_number.has)
        return OK;
    struct chat_ticket t = {.period_end = row->ticket_end,
                            .number = row->ticket_number.v,
                            .network = row->ticket_network,
                            .network_day = row->ticket_day};
    return chat_quota_return(tx, mem, row->owner, row->conversation_id, &t);
}

/* Its lease is over, or its process is known to be gone. */
static bool is_lost(ts lease_until, sv holder)
{
    return lease_until.ms < clock_wall().ms || (holder.p && job_process_gone(holder));
}

/* They keep what they have. */
static err end_lost(struct db_tx *tx, struct arena *mem, const struct chat_turn_running_row *row)
{
    sv text;
    int64_t changed;
    TRY(q_chat_turn_interrupt(
        tx, mem,
        &(struct chat_turn_interrupt_in){
            .id = row->id, .conversation_id = row->conversation_id, .seen = row->lease_until},
        &changed));
    if (changed == 0)
        return OK;
    TRY(chat_body_unseal(mem, row->conversation_id, row->id, row->body, row->key_id, &text));
    if (text.n > 0)
        return OK;
    return turn_give_back(tx, mem, row);
}

err turn_running(struct db_tx *tx, struct arena *mem, sv conversation, sv *message)
{
    struct chat_turn_running_row row;
    bool found;
    TRY(q_chat_turn_running(
        tx, mem, &(struct chat_turn_running_in){.conversation_id = conversation}, &row, &found));
    *message = SV_NULL;
    if (!found)
        return OK;
    if (!is_lost(row.lease_until, row.holder)) {
        *message = row.id;
        return OK;
    }
    return end_lost(tx, mem, &row);
}

err turn_rescue(struct db_tx *tx, struct arena *mem, int64_t most, size_t *ended)
{
    struct chat_turn_held_row *rows;
    size_t n;
    *ended = 0;
    TRY(q_chat_turn_held(tx, mem, &(struct chat_turn_held_in){.n = most}, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        sv still;
        if (!is_lost(rows[i].lease_until, rows[i].holder))
            continue;
        TRY(turn_running(tx, mem, rows[i].conversation_id, &still));
        ++*ended;
    }
    return OK;
}
