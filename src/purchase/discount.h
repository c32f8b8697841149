/* Manual discounts: made by an admin for one member or as a code. SPEC §2. The routes are admin/'s.
 */
#pragma once
#include "base/id.h"
#include "catalog/catalog.h"
#include "db/db.h"

struct discount_new {
    sv code;         /* any case, kept in upper case; SV_NULL: for `member` alone */
    user_id member;  /* "" = anybody with the code */
    int64_t percent; /* 1..100, or -1 */
    int64_t amount;  /* minor units, or -1; exactly one of the two */
    sv currency;     /* of the amount; SV_NULL: the plan's */
    sv kind, item;   /* "quiz", "article" / an item of the catalogue; SV_NULL: any */
    ts from, until;  /* TS_NONE: no bound */
    int64_t max_uses, max_per_member; /* -1: no limit */
    sv note, created_by;
};
struct discount {
    sv id, code, kind, item, note, created_by;
    user_id member;
    int64_t percent, amount; /* -1: the other one */
    sv currency;
    ts from, until, created, disabled;
    int64_t max_uses, max_per_member, used;
};
/* ERR_VALIDATION with the field's pointer; ERR_UNIQUE when the code exists. */
err discount_put(struct db_tx *tx, struct arena *mem, const struct catalog *cat,
                 const struct discount_new *d, ts now, sv *id) MUST_USE;
err discount_get(struct db_tx *tx, struct arena *mem, sv id, struct discount *out) MUST_USE;
/* Newest first; before = an id, SV_NULL from the newest. */
err discount_list(struct db_tx *tx, struct arena *mem, sv before, int64_t limit,
                  struct discount **out, size_t *n) MUST_USE;
/* Disabled from now on; what was bought with it stays. ERR_NOT_FOUND. */
err discount_del(struct db_tx *tx, sv id, ts now) MUST_USE;
void discount_write(struct jw *w, const struct discount *d);
