#include "billing/subscription.h"
#include "queries.h"

err subscription_list(struct db_tx *tx, struct arena *mem, const user_id *member,
                      struct subscription **out, size_t *n)
{
    struct subscription_of_member_row *rows;
    size_t count;
    struct subscription_of_member_in in = {.member = user_id_sv(member)};
    TRY(q_subscription_of_member(tx, mem, &in, &rows, &count));
    struct subscription *list = ARENA_ARRAY(mem, struct subscription, count);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct subscription){
            .id = rows[i].id,
            .customer = rows[i].customer,
            .price = rows[i].price,
            .status = sub_status_parse(rows[i].status),
            .created = rows[i].created_at,
            .period_start = rows[i].period_start,
            .period_end = rows[i].period_end,
            .trial_end = rows[i].trial_end,
            .cancel_at = rows[i].cancel_at,
            .canceled_at = rows[i].canceled_at,
            .ended_at = rows[i].ended_at,
            .cancel_at_period_end = rows[i].cancel_at_period_end,
            .collection_paused = rows[i].collection_paused,
            .card_brand = rows[i].brand,
            .card_last4 = rows[i].last4,
            .card_exp_month = rows[i].exp_month,
            .card_exp_year = rows[i].exp_year,
        };
    *out = list;
    *n = count;
    return OK;
}

err subscription_invoice_url(struct db_tx *tx, struct arena *mem, sv subscription, sv *url)
{
    bool found = false;
    struct subscription_open_invoice_row row;
    struct subscription_open_invoice_in in = {.subscription = subscription};
    TRY(q_subscription_open_invoice(tx, mem, &in, &row, &found));
    *url = found ? row.hosted_url : SV_NULL;
    return OK;
}
