/* What happens to subscriptions when their member goes. */
#include "account/account.h"
#include "billing/subscription.h"

/* Nobody is charged for an account that is gone: what still runs is cancelled at Stripe. The facts
 * and the customer stay: they are the books. */
static err on_delete(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    struct subscription *list;
    size_t n;
    TRY(subscription_list(tx, mem, &a->id, &list, &n));
    for (size_t i = 0; i < n; i++)
        if (subscription_blocks(list[i].status))
            TRY(billing_cancel_put(tx, mem, list[i].id, "account", now));
    return OK;
}

void subscription_init(void)
{
    account_on_delete(on_delete);
}
