/* /v1/payment_intents, charges, refunds, disputes. */
#include "sandbox.h"
#include <stdio.h>
#include <string.h>

static bool same(const json_t *o, const json_t *in, const char *key)
{
    return !jhas(in, key) || !strcmp(jstr(in, key), jstr(o, key));
}

static json_t *intent_get(struct sb_call *c)
{
    return sb_one(c, "payment_intent", "payment_intent");
}
static bool intent_kept(const json_t *o, const json_t *in)
{
    return same(o, in, "customer");
}
static json_t *intent_list(struct sb_call *c)
{
    return sb_list(c, "payment_intent", intent_kept);
}
static json_t *charge_get(struct sb_call *c)
{
    return sb_one(c, "charge", "charge");
}
static bool charge_kept(const json_t *o, const json_t *in)
{
    return same(o, in, "customer") && same(o, in, "payment_intent");
}
static json_t *charge_list(struct sb_call *c)
{
    return sb_list(c, "charge", charge_kept);
}
static json_t *refund_get(struct sb_call *c)
{
    return sb_one(c, "refund", "refund");
}
static bool refund_kept(const json_t *o, const json_t *in)
{
    return same(o, in, "charge") && same(o, in, "payment_intent");
}
static json_t *refund_list(struct sb_call *c)
{
    return sb_list(c, "refund", refund_kept);
}
static json_t *dispute_get(struct sb_call *c)
{
    return sb_one(c, "dispute", "dispute");
}
static json_t *dispute_list(struct sb_call *c)
{
    return sb_list(c, "dispute", refund_kept);
}

static json_t *refund_charge(struct sb_call *c)
{
    const char *pi_id = jstr(c->in, "payment_intent"), *ch_id = jstr(c->in, "charge");
    if (!*pi_id && !*ch_id)
        return sb_fail(c, 400, "parameter_missing", "charge",
                       "One of the following params should be provided for this request: "
                       "payment_intent or charge.");
    if (*pi_id) {
        json_t *pi = sb_find(pi_id, "payment_intent");
        if (!pi)
            return sb_missing(c, "payment_intent", pi_id, "payment_intent");
        ch_id = jstr(pi, "latest_charge");
        if (strcmp(jstr(pi, "status"), "succeeded"))
            return sb_fail(c, 400, NULL, "payment_intent",
                           "This PaymentIntent (%s) does not have a successful charge to refund.",
                           pi_id);
    }
    json_t *charge = sb_find(ch_id, "charge");
    return charge ? charge : sb_missing(c, "charge", ch_id, "charge");
}

static json_t *refund_create(struct sb_call *c)
{
    json_t *charge = refund_charge(c);
    if (!charge)
        return NULL;
    int64_t left = jint(charge, "amount_captured") - jint(charge, "amount_refunded");
    int64_t amount = jhas(c->in, "amount") ? jint(c->in, "amount") : left;
    if (left <= 0)
        return sb_fail(c, 400, "charge_already_refunded", NULL,
                       "Charge %s has already been refunded.", jstr(charge, "id"));
    if (amount < 1)
        return sb_fail(c, 400, "parameter_invalid_integer", "amount", "Invalid positive integer");
    if (amount > left)
        return sb_fail(c, 400, NULL, "amount",
                       "Refund amount ($%lld.%02lld) is greater than unrefunded amount on charge "
                       "($%lld.%02lld)",
                       (long long)amount / 100, (long long)amount % 100, (long long)left / 100,
                       (long long)left % 100);
    if (jbool(charge, "disputed")) {
        json_t *d;
        size_t i;
        json_array_foreach(sb_all("dispute"), i, d)
        {
            if (!strcmp(jstr(d, "charge"), jstr(charge, "id")) && !jbool(d, "is_charge_refundable"))
                return sb_fail(c, 400, "charge_disputed", NULL,
                               "Charge %s has been charged back; "
                               "cannot issue a refund.",
                               jstr(charge, "id"));
        }
    }
    return json_incref(sb_refund_make(charge, amount, "succeeded", jstr(c->in, "reason"),
                                      json_object_get(c->in, "metadata")));
}

static json_t *refund_update(struct sb_call *c)
{
    json_t *o = sb_one(c, "refund", "refund");
    if (o)
        sb_metadata_merge(o, json_object_get(c->in, "metadata"));
    return o;
}

static json_t *dispute_close(struct sb_call *c)
{
    json_t *o = sb_one(c, "dispute", "dispute");
    if (o)
        sb_dispute_close(o, "lost");
    return o;
}

const struct sb_route sb_payment_routes[] = {
    {"GET", "/v1/payment_intents", intent_list},
    {"GET", "/v1/payment_intents/{}", intent_get},
    {"GET", "/v1/charges", charge_list},
    {"GET", "/v1/charges/{}", charge_get},
    {"GET", "/v1/refunds", refund_list},
    {"POST", "/v1/refunds", refund_create},
    {"GET", "/v1/refunds/{}", refund_get},
    {"POST", "/v1/refunds/{}", refund_update},
    {"GET", "/v1/disputes", dispute_list},
    {"GET", "/v1/disputes/{}", dispute_get},
    {"POST", "/v1/disputes/{}/close", dispute_close},
    {NULL, NULL, NULL},
};
