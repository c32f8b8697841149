/* Operations as rows. */
#include "billing/operation_store.h"

#include "http/client.h"
#include "queries.h"

#include <assert.h>

/* The three queries that read an operation have the same columns. */
#define OPERATION_OF(r)                                                                            \
    ((struct operation){.id = (r).id,                                                              \
                        .key = (r).key,                                                            \
                        .subject = (r).subject,                                                    \
                        .seq = (r).seq,                                                            \
                        .method = (r).method,                                                      \
                        .path = (r).path,                                                          \
                        .form = (r).form,                                                          \
                        .status = (r).status,                                                      \
                        .http_status = (r).http_status,                                            \
                        .object = (r).object_id,                                                   \
                        .answer = (r).answer,                                                      \
                        .created = (r).created_at,                                                 \
                        .done_at = (r).done_at,                                                    \
                        .first_sent = (r).first_sent_at})

/* Objects that take metadata carry the operation's id, so that its outcome can be found even when
 * the answer was lost and the key is forgotten. */
static bool takes_metadata(sv method, sv path)
{
    return sv_is(method, "POST") &&
           (sv_is(path, "/v1/customers") || sv_is(path, "/v1/checkout/sessions") ||
            sv_is(path, "/v1/refunds") || sv_starts(path, SV("/v1/subscriptions/")));
}

static err put(struct db_tx *tx, struct arena *mem, struct operation_put_in *in, bool *made)
{
    BUF_AUTO form = {0};
    buf_add(&form, in->form.p == NULL ? SV("") : in->form);
    if (takes_metadata(in->method, in->path))
        form_add(&form, "metadata[operation]", in->id);
    in->form = arena_sv(mem, buf_sv(&form));
    int64_t changed = 0;
    TRY(q_operation_put(tx, mem, in, &changed));
    *made = changed == 1;
    return OK;
}

err operation_put(struct db_tx *tx, struct arena *mem, sv key, const char *method, sv path, sv form,
                  ts now, struct operation *out, bool *made)
{
    struct operation_put_in in = {.id = id_new(mem, "op", now),
                                  .key = key,
                                  .subject = key,
                                  .seq = 0,
                                  .method = sv_from(method),
                                  .path = path,
                                  .form = form,
                                  .created_at = now};
    bool fresh = false, found = false;
    struct operation_by_key_row row;
    TRY(put(tx, mem, &in, &fresh));
    TRY(q_operation_by_key(tx, mem, &(struct operation_by_key_in){key}, &row, &found));
    if (!found)
        return FAIL(ERR_RETRY, "the operation is being made by another request");
    *out = OPERATION_OF(row);
    if (made != NULL)
        *made = fresh;
    return OK;
}

err operation_put_next(struct db_tx *tx, struct arena *mem, sv subject, int64_t last,
                       const char *method, sv path, sv form, ts now, struct operation *out,
                       bool *made)
{
    struct operation_put_in in = {
        .id = id_new(mem, "op", now),
        .key = arena_printf(mem, "%.*s:%lld", SV_ARG(subject), (long long)(last + 1)),
        .subject = subject,
        .seq = last + 1,
        .method = sv_from(method),
        .path = path,
        .form = form,
        .created_at = now};
    bool fresh = false, found = false;
    TRY(put(tx, mem, &in, &fresh));
    TRY(operation_last(tx, mem, subject, out, &found));
    if (!found)
        return FAIL(ERR_RETRY, "the operation is being made by another request");
    *made = fresh;
    return OK;
}

err operation_last(struct db_tx *tx, struct arena *mem, sv subject, struct operation *out,
                   bool *found)
{
    struct operation_last_row row;
    TRY(q_operation_last(tx, mem, &(struct operation_last_in){subject}, &row, found));
    if (*found)
        *out = OPERATION_OF(row);
    return OK;
}

err operation_get(struct db_tx *tx, struct arena *mem, sv id, struct operation *out)
{
    bool found = false;
    struct operation_by_id_row row;
    TRY(q_operation_by_id(tx, mem, &(struct operation_by_id_in){id}, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such operation");
    *out = OPERATION_OF(row);
    return OK;
}

err operation_lease(struct db_tx *tx, sv id, ts wall, int64_t lease_ms, bool *ours)
{
    int64_t changed = 0;
    struct operation_lease_in in = {
        .id = id, .now = wall, .lease_until = ts_add(wall, lease_ms), .sent_at = clock_now()};
    TRY(q_operation_lease(tx, NULL, &in, &changed));
    *ours = changed == 1;
    return OK;
}

err operation_release(struct db_tx *tx, sv id, int64_t http_status, sv error)
{
    struct operation_release_in in = {.id = id, .http_status = http_status, .error = error};
    return q_operation_release(tx, NULL, &in, NULL);
}

err operation_end(struct db_tx *tx, const struct operation_outcome *o, ts now, bool *ended)
{
    struct operation_end_in in = {.id = o->id,
                                  .status = sv_from(o->status),
                                  .http_status = o->http_status,
                                  .object_id = o->object,
                                  .answer = o->answer,
                                  .error = o->error,
                                  .done_at = now};
    int64_t changed = 0;
    TRY(q_operation_end(tx, NULL, &in, &changed));
    *ended = changed == 1;
    return OK;
}

err operation_queue(struct db_tx *tx, struct arena *mem, const struct operation *op, ts now)
{
    BUF_AUTO payload = {0};
    struct jw w = {.out = &payload};
    jw_obj(&w);
    jw_kstr(&w, "operation", op->id);
    jw_obj_end(&w);
    struct job_new j = {.kind = "stripe.operation",
                        .key = op->id,
                        .payload = arena_sv(mem, buf_sv(&payload)),
                        .run_at = now};
    return job_put(tx, mem, &j, now);
}
