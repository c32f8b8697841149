/* A member's account is deleted: the books stay, the person does not. SPEC §4. */
#include "purchase/purchase_store.h"

#include "account/account.h"
#include "billing/operation.h"

#define BATCH 500

/* Nobody is to pay for what nobody would get. */
err purchase_end_session(struct db_tx *tx, struct arena *mem, const struct purchase *p, ts now)
{
    struct operation op;
    TRY(purchase_operation_expire(tx, mem, p, now, &op));
    return sv_is(op.status, "pending") ? operation_queue(tx, mem, &op, now) : OK;
}

err purchase_on_delete(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    struct caller c = {.member = a->id};
    sv before = SV_NULL;
    TRY(entitlement_lock(tx, mem, &c, NULL, 0));
    for (;;) {
        struct purchase *p;
        size_t n;
        TRY(purchase_list_of(tx, mem, &c, before, BATCH, &p, &n));
        for (size_t i = 0; i < n; i++)
            if (p[i].status == PURCHASE_PENDING && p[i].session.p)
                TRY(purchase_end_session(tx, mem, &p[i], now));
        if (n < BATCH)
            break;
        before = p[n - 1].id;
    }
    return purchase_forget(tx, &a->id, now);
}
