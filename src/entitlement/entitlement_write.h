/* The JSON of entitlements: the answer, its explanation, quotes. SPEC §5. Internal to entitlement/.
 */
#pragma once
#include "entitlement/entitlement.h"

struct entitlement_ai {
    bool unlimited;
    int64_t limit, used;
    ts reset_at;
};
err entitlement_ai_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                       const struct entitlement_state *s, struct entitlement_ai *out) MUST_USE;

/* Why each line is as it is: rule, fact, event, expiry. */
struct explain_line {
    sv line; /* "premium", "quizzes.included", "items.quiz:x" */
    sv rule, fact, event;
    ts expires;
};
struct entitlement_explain {
    struct explain_line *lines;
    size_t n;
};
err entitlement_explain_get(struct db_tx *tx, struct arena *mem, const struct app *app,
                            const struct entitlement_state *s, const struct entitlement_ai *ai,
                            struct entitlement_explain *out) MUST_USE;

/* The whole answer; ex may be NULL. */
void entitlement_write(struct jw *w, const struct catalog *cat, const struct entitlement_state *s,
                       const struct entitlement_ai *ai, const struct entitlement_explain *ex);
void entitlement_write_check(struct jw *w, const struct item *it, const struct decision *d);
void entitlement_write_use(struct jw *w, const struct entitlement_state *s, const struct item *it,
                           const struct allowance *al, const struct decision *d);
void entitlement_write_item(struct jw *w, const struct item *it, const struct decision *d);
/* "plan": {…} */
void entitlement_write_plan(struct jw *w, const struct catalog *cat,
                            const struct entitlement_state *s);
/* Members of the 402: listPrice, price, currency, discount, allowanceRemaining. */
void entitlement_problem_quote(struct req *r, const struct quote *q);
