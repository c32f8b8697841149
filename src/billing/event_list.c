/* Stored events and flags for the admin and the command line. */
#include "billing/event.h"
#include "queries.h"

#define FROM_ROW(r)                                                                                \
    {                                                                                              \
        .id = (r).id, .type = (r).type, .object = (r).object, .status = (r).status,                \
        .error = (r).error, .created = (r).created_at, .received = (r).received_at,                \
        .attempts = (r).attempts, .size = (r).size                                                 \
    }
#define COPY_ROWS(rows, count)                                                                     \
    struct billing_event *list = ARENA_ARRAY(mem, struct billing_event, (count) + 1);              \
    for (size_t i = 0; i < (count); i++)                                                           \
        list[i] = (struct billing_event)FROM_ROW((rows)[i]);                                       \
    *out = list;                                                                                   \
    *n = (count)

static err list_all(struct db_tx *tx, struct arena *mem, const struct event_list_in *in,
                    struct billing_event **out, size_t *n)
{
    struct event_list_row *rows;
    size_t count;
    TRY(q_event_list(tx, mem, in, &rows, &count));
    COPY_ROWS(rows, count);
    return OK;
}

static err list_failed(struct db_tx *tx, struct arena *mem, const struct event_list_failed_in *in,
                       struct billing_event **out, size_t *n)
{
    struct event_list_failed_row *rows;
    size_t count;
    TRY(q_event_list_failed(tx, mem, in, &rows, &count));
    COPY_ROWS(rows, count);
    return OK;
}

err billing_event_list(struct db_tx *tx, struct arena *mem, enum billing_event_filter f, ts before,
                       sv before_id, int64_t limit, struct billing_event **out, size_t *n)
{
    if (f == EVENTS_WITH_FAILURE)
        return list_failed(tx, mem, &(struct event_list_failed_in){before, before_id, limit}, out,
                           n);
    return list_all(tx, mem, &(struct event_list_in){before, before_id, limit}, out, n);
}

err billing_event_list_object(struct db_tx *tx, struct arena *mem, sv object, int64_t limit,
                              struct billing_event **out, size_t *n)
{
    struct event_list_object_row *rows;
    size_t count;
    TRY(q_event_list_object(tx, mem, &(struct event_list_object_in){object, limit}, &rows, &count));
    COPY_ROWS(rows, count);
    return OK;
}

err billing_event_list_member(struct db_tx *tx, struct arena *mem, const user_id *member, ts before,
                              sv before_id, int64_t limit, struct billing_event **out, size_t *n)
{
    struct event_list_member_row *rows;
    size_t count;
    struct event_list_member_in in = {user_id_sv(member), before, before_id, limit};
    TRY(q_event_list_member(tx, mem, &in, &rows, &count));
    struct billing_event *list = ARENA_ARRAY(mem, struct billing_event, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct billing_event){.id = rows[i].id,
                                         .type = rows[i].type,
                                         .object = rows[i].object,
                                         .status = rows[i].status,
                                         .created = rows[i].created_at,
                                         .received = rows[i].received_at};
    *out = list;
    *n = count;
    return OK;
}

err billing_event_get(struct db_tx *tx, struct arena *mem, sv id, struct billing_event *out,
                      sv *payload)
{
    struct event_get_row row;
    bool found;
    sv text;
    TRY(q_event_get(tx, mem, &(struct event_get_in){id}, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such event");
    TRY(payload_unpack(tx, mem, row.dict, row.size, row.payload, &text));
    *out = (struct billing_event)FROM_ROW(row);
    *payload = text;
    return OK;
}

err billing_event_replay(struct db_tx *tx, struct arena *mem, struct app *app, sv id, ts now,
                         const char **result, sv *why)
{
    enum event_result r;
    TRY(event_again(tx, mem, app, id, now, &r, why));
    *result = event_result_name(r);
    return OK;
}

err billing_flag_list(struct db_tx *tx, struct arena *mem, int64_t limit, struct billing_flag **out,
                      size_t *n)
{
    struct flag_list_row *rows;
    TRY(q_flag_list(tx, mem, &(struct flag_list_in){limit}, &rows, n));
    struct billing_flag *list = ARENA_ARRAY(mem, struct billing_flag, *n + 1);
    for (size_t i = 0; i < *n; i++)
        list[i] =
            (struct billing_flag){rows[i].kind, rows[i].ref, rows[i].detail, rows[i].created_at};
    *out = list;
    return OK;
}

err billing_flag_del(struct db_tx *tx, struct arena *mem, sv kind, sv ref)
{
    int64_t gone;
    TRY(q_flag_del(tx, mem, &(struct flag_del_in){kind, ref}, &gone));
    return gone > 0 ? OK : FAIL(ERR_NOT_FOUND, "There is no such flag.");
}
