/* The plan's price at Stripe: found by lookup key, kept in memory for a while. */
#include "billing/subscription.h"
#include "catalog/catalog.h"
#include "ext/stripe.h"
#include "http/client.h"

#include <pthread.h>

#define KEEP_US (INT64_C(600) * 1000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char kept[256];
static int64_t kept_until_us;

void subscription_price_forget(void)
{
    pthread_mutex_lock(&lock);
    kept_until_us = 0;
    pthread_mutex_unlock(&lock);
}

static sv recall(struct arena *mem)
{
    pthread_mutex_lock(&lock);
    bool good = kept_until_us > clock_mono_us();
    sv id = good ? arena_sv(mem, sv_from(kept)) : SV_NULL;
    pthread_mutex_unlock(&lock);
    return id;
}

static void keep(sv id)
{
    pthread_mutex_lock(&lock);
    if (id.n < sizeof kept) {
        memcpy(kept, id.p, id.n);
        kept[id.n] = '\0';
        kept_until_us = clock_mono_us() + KEEP_US;
    }
    pthread_mutex_unlock(&lock);
}

err subscription_price(struct arena *mem, const struct catalog *c, sv *price)
{
    sv id = recall(mem);
    if (id.p == NULL) {
        struct stripe_answer a;
        BUF_AUTO query = {0};
        form_add(&query, "lookup_keys[0]", c->plan_lookup_key);
        form_add(&query, "active", SV("true"));
        TRY(stripe_get(mem, SV("/v1/prices"), buf_sv(&query), STRIPE_PERSON, &a));
        const json *found = json_path(a.body, "data.0");
        id = json_get_str(found, "id");
        if (sv_empty(id))
            return FAIL(ERR_NOT_CONFIGURED,
                        "the plan has no price at Stripe yet: run `mybeing setup stripe`");
        if (json_get_int(found, "unit_amount", -1) != c->plan_price.minor ||
            !sv_eq(json_get_str(found, "currency"), currency_sv(&c->plan_currency)))
            return FAIL(ERR_NOT_CONFIGURED, "the plan's price at Stripe is not that of the "
                                            "catalogue: run `mybeing setup stripe`");
        keep(id);
    }
    *price = id;
    return OK;
}
