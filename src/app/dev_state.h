/* What `mybeing dev state` and `dev userstate` print: each feature adds its part at start, before
 * threads. SPEC §6. */
#pragma once
#include "app/app.h"
#include "base/id.h"
#include "base/json.h"

/* Writes one JSON value: this member's part (member "" = what belongs to visitors or to nobody). No
 * ids, no times of arrival: two runs that did the same must print the same. The order of arrays
 * does not matter (they are sorted), nor that of keys. */
typedef err (*dev_state_fn)(struct db_tx *tx, struct arena *mem, struct app *app,
                            const user_id *member, ts now, struct jw *w);
void dev_state_add(const char *name, dev_state_fn fn);

struct dev_userstate {
    bool premium;
    struct dev_money *money; /* linked; each feature adds its own */
    struct dev_item *items;  /* linked, newest first */
};
/* Sums of one currency: cents of different ones are never added. */
struct dev_money {
    sv currency; /* lower case; "" = not told */
    int64_t paid, refunded;
    struct dev_money *next;
};
struct dev_item {
    sv item;
    const char *state; /* "owned", "revoked" */
    struct dev_item *next;
};
typedef err (*dev_userstate_fn)(struct db_tx *tx, struct arena *mem, struct app *app,
                                const user_id *member, ts now, struct dev_userstate *out);
void dev_userstate_add(dev_userstate_fn fn);
void dev_userstate_money(struct arena *mem, struct dev_userstate *s, sv code, int64_t paid,
                         int64_t refunded);
void dev_userstate_item(struct arena *mem, struct dev_userstate *s, sv item, const char *state);

/* For cmd/: run what was added. dev_state_write writes the members of an open object. */
err dev_state_write(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                    ts now, struct jw *w) MUST_USE;
err dev_userstate_get(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                      ts now, struct dev_userstate *out) MUST_USE;
