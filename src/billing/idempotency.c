#include "billing/idempotency.h"

#include "base/crypto.h"
#include "queries.h"

#define KEY_MAX 255

struct step {
    struct req *r;
    struct idempotency *i;
    sv request; /* digest of method, path and body */
    int status;
    sv answer;
};

static err run(struct req *r, db_fn fn, struct step *s)
{
    return r->tx != NULL ? fn(r->tx, r->mem, s) : db_write(r->db, r->mem, fn, s);
}

static sv digest_of(struct req *r)
{
    BUF_AUTO text = {0};
    sv body = r->json != NULL ? json_text(r->mem, r->json) : r->body;
    buf_printf(&text, "%d %.*s\n", (int)r->method, SV_ARG(r->path));
    buf_add(&text, body);
    struct digest d = crypto_sha256(buf_sv(&text));
    return crypto_hex(r->mem, digest_sv(&d));
}

static err tx_begin(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct step *s = arg;
    struct idempotency_put_in put = {s->i->scope, s->i->key, s->request, s->r->now};
    struct idempotency_get_row row;
    TRY(q_idempotency_put(tx, mem, &put, NULL));
    TRY(q_idempotency_get(tx, mem, &(struct idempotency_get_in){s->i->scope, s->i->key}, &row));
    if (!sv_eq(row.request, s->request))
        return FAIL(ERR_IDEMPOTENCY, "this Idempotency-Key was sent with another request before");
    s->status = (int)row.status;
    s->answer = row.answer;
    return OK;
}

static bool is_printable(sv key)
{
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] < 0x20 || key.p[i] > 0x7e)
            return false;
    return true;
}

err idempotency_begin(struct req *r, struct idempotency *out)
{
    sv key = req_header(r, "Idempotency-Key");
    *out = (struct idempotency){0};
    if (key.p == NULL)
        return OK;
    if (key.n == 0 || key.n > KEY_MAX || !is_printable(key))
        return field_error(r, "Idempotency-Key", "invalid",
                           "must be 1 to %d printable ASCII characters", KEY_MAX);
    struct idempotency i = {.given = true, .key = key};
    i.scope = !user_id_none(&r->member) ? user_id_sv(&r->member) : visitor_id_sv(&r->visitor);
    struct step s = {.r = r, .i = &i, .request = digest_of(r)};
    TRY(run(r, tx_begin, &s));
    if (s.status != 0) {
        reply_header(r, "Idempotent-Replayed", SV("true"));
        TRY(reply_body(r, s.status, "application/json", s.answer));
        i.replayed = true;
    }
    *out = i;
    return OK;
}

static err tx_answer(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct step *s = arg;
    struct idempotency_answer_in in = {
        .scope = s->i->scope, .key = s->i->key, .status = s->status, .answer = s->answer};
    return q_idempotency_answer(tx, mem, &in, NULL);
}

err idempotency_reply(struct req *r, const struct idempotency *i, int status, sv text)
{
    struct idempotency copy = *i;
    struct step s = {.r = r, .i = &copy, .status = status, .answer = text};
    if (i->given)
        TRY(run(r, tx_answer, &s));
    return reply_body(r, status, "application/json", text);
}
