/* Visitors' things become a member's; listeners of accounts. SPEC §2 "Visitors buy too". */
#include "account/account_inner.h"
#include "queries.h"

#include <assert.h>

#define LISTENERS 8

static account_claim_fn claim_fns[LISTENERS];
static account_verified_fn verified_fns[LISTENERS];
static account_created_fn created_fns[LISTENERS];
static account_delete_fn delete_fns[LISTENERS];
static struct {
    const char *name;
    account_claimable_fn fn;
} claimable_fns[LISTENERS];
static size_t nclaim, nverified, ncreated, ndelete, nclaimable;

void account_on_claim(account_claim_fn fn)
{
    assert(nclaim < LISTENERS);
    claim_fns[nclaim++] = fn;
}

void account_on_claimable(const char *name, account_claimable_fn fn)
{
    assert(nclaimable < LISTENERS);
    claimable_fns[nclaimable].name = name;
    claimable_fns[nclaimable++].fn = fn;
}

void account_on_verified(account_verified_fn fn)
{
    assert(nverified < LISTENERS);
    verified_fns[nverified++] = fn;
}

void account_on_created(account_created_fn fn)
{
    assert(ncreated < LISTENERS);
    created_fns[ncreated++] = fn;
}

err account_tell_created(struct db_tx *tx, struct arena *mem, const user_id *id, sv legacy_id,
                         ts now)
{
    for (size_t i = 0; i < ncreated; i++)
        TRY(created_fns[i](tx, mem, id, legacy_id, now));
    return OK;
}

void account_on_delete(account_delete_fn fn)
{
    assert(ndelete < LISTENERS);
    delete_fns[ndelete++] = fn;
}

err account_tell_verified(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    for (size_t i = 0; i < nverified; i++)
        TRY(verified_fns[i](tx, mem, a, now));
    return OK;
}

err account_tell_delete(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    for (size_t i = 0; i < ndelete; i++)
        TRY(delete_fns[i](tx, mem, a, now));
    return OK;
}

err account_claim(struct db_tx *tx, struct arena *mem, const visitor_id *from, const user_id *to,
                  ts now, bool *claimed)
{
    struct visitor_claim_insert_in in = {
        .visitor_id = visitor_id_sv(from), .account_id = user_id_sv(to), .now = now};
    int64_t inserted = 0;
    TRY(db_lock1(tx, arena_printf(mem, "visitor:%s", from->s)));
    TRY(q_visitor_claim_insert(tx, mem, &in, &inserted));
    if (inserted == 1)
        for (size_t i = 0; i < nclaim; i++)
            TRY(claim_fns[i](tx, mem, from, to, now));
    *claimed = inserted == 1;
    return OK;
}

err visitor_claimed(struct db_tx *tx, struct arena *mem, const visitor_id *v, bool *claimed)
{
    struct visitor_claim_get_in in = {.visitor_id = visitor_id_sv(v)};
    struct visitor_claim_get_row row;
    return q_visitor_claim_get(tx, mem, &in, &row, claimed);
}

/* Writes {"purchases":2,…} of what waits, or null if nothing does. */
err account_claimables(struct db_tx *tx, struct arena *mem, const visitor_id *from, struct jw *w)
{
    int64_t counts[LISTENERS] = {0}, sum = 0;
    bool taken = false;
    if (!visitor_id_none(from)) {
        TRY(visitor_claimed(tx, mem, from, &taken));
        for (size_t i = 0; !taken && i < nclaimable; i++) {
            TRY(claimable_fns[i].fn(tx, mem, from, &counts[i]));
            sum += counts[i];
        }
    }
    if (sum == 0) {
        jw_null(w);
        return OK;
    }
    jw_obj(w);
    for (size_t i = 0; i < nclaimable; i++)
        jw_kint(w, claimable_fns[i].name, counts[i]);
    jw_obj_end(w);
    return OK;
}
