#include "app/dev_state.h"

#include <assert.h>

#define PARTS 16

static struct {
    const char *name;
    dev_state_fn fn;
} states[PARTS];
static dev_userstate_fn userstates[PARTS];
static size_t nstates, nuserstates;

void dev_state_add(const char *name, dev_state_fn fn)
{
    assert(nstates < PARTS);
    states[nstates].name = name;
    states[nstates++].fn = fn;
}

void dev_userstate_add(dev_userstate_fn fn)
{
    assert(nuserstates < PARTS);
    userstates[nuserstates++] = fn;
}

void dev_userstate_money(struct arena *mem, struct dev_userstate *s, sv code, int64_t paid,
                         int64_t refunded)
{
    struct dev_money *m = s->money;
    if (paid == 0 && refunded == 0)
        return;
    while (m != NULL && !sv_eq_nocase(m->currency, code))
        m = m->next;
    if (m == NULL) {
        m = ARENA_NEW(mem, struct dev_money);
        *m = (struct dev_money){.currency = arena_sv(mem, code), .next = s->money};
        s->money = m;
    }
    m->paid += paid;
    m->refunded += refunded;
}

void dev_userstate_item(struct arena *mem, struct dev_userstate *s, sv item, const char *state)
{
    struct dev_item *i = ARENA_NEW(mem, struct dev_item);
    *i = (struct dev_item){arena_sv(mem, item), state, s->items};
    s->items = i;
}

err dev_state_write(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                    ts now, struct jw *w)
{
    for (size_t i = 0; i < nstates; i++) {
        jw_key(w, states[i].name);
        TRY(states[i].fn(tx, mem, app, member, now, w));
    }
    return OK;
}

err dev_userstate_get(struct db_tx *tx, struct arena *mem, struct app *app, const user_id *member,
                      ts now, struct dev_userstate *out)
{
    *out = (struct dev_userstate){0};
    for (size_t i = 0; i < nuserstates; i++)
        TRY(userstates[i](tx, mem, app, member, now, out));
    return OK;
}
