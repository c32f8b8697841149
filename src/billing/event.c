#include "billing/event.h"

#include "base/log.h"
#include "billing/fact.h"
#include "ext/stripe.h"
#include "http/metrics.h"
#include "queries.h"

#include <stdatomic.h>

#define DICT_EVERY 512 /* events taken by this process between two looks for a newer dictionary */

const char *event_result_name(enum event_result r)
{
    static const char *const names[] = {[EVENT_APPLIED] = "applied",
                                        [EVENT_DUPLICATE] = "duplicate",
                                        [EVENT_IGNORED] = "ignored",
                                        [EVENT_FAILED] = "failed"};
    return names[r];
}

/* -------- reading -------- */

/* Right JSON that holds what we cannot (a number beyond int64, a NUL in a text) may still be an
 * event. */
static err read_unreadable(struct arena *mem, sv body, err e, struct event_in *in)
{
    if (e != ERR_JSON_NUMBER && e != ERR_JSON_NUL)
        return e;
    in->unreadable = e;
    in->why = arena_sv(mem, sv_from(err_detail(e)));
    return stripe_event_scan(mem, body, &in->e)
               ? OK
               : FAIL(ERR_BAD_REQUEST, "the body is not a Stripe event");
}

err event_read(struct arena *mem, sv body, struct event_in *out)
{
    struct event_in in = {.body = body, .unreadable = OK};
    const json *j = NULL;
    err e = json_parse(mem, body, &j);
    if (e != OK)
        TRY(read_unreadable(mem, body, e, &in));
    else
        TRY(stripe_event_read(j, &in.e));
    in.payload = payload_pack(mem, body);
    *out = in;
    return OK;
}

const char *event_ignored(const struct stripe_event *e)
{
    if (e->thin)
        return "a thin event";
    if (!sv_empty(e->account)) /* another's customers: their metadata may name anybody */
        return "of a connected account";
    if (e->livemode_known && stripe_configured() && e->livemode != stripe_live_mode())
        return "of the other mode (live or test)";
    return NULL;
}

/* -------- applying -------- */

err event_apply(struct db_tx *tx, struct arena *mem, struct app *app, const struct stripe_event *e,
                ts now, bool *handled)
{
    *handled = false;
    if (!e->object)
        return FAIL(ERR_BAD_REQUEST, "the event holds no data.object");
    if (ts_is_none(e->created))
        return FAIL(ERR_BAD_REQUEST, "the event has no time");
    struct fact_in in = {.object = e->object,
                         .as_of = e->created,
                         .source = FACT_FROM_EVENT,
                         .known_before = TS_NONE,
                         .event = e->id,
                         .type = e->type,
                         .now = now};
    return fact_apply(tx, mem, app, &in, handled);
}

struct attempt {
    struct app *app;
    const struct stripe_event *e;
    ts now;
    bool handled;
};

static err attempt(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct attempt *a = arg;
    return event_apply(tx, mem, a->app, a->e, a->now, &a->handled);
}

/* Storage's own troubles: the whole request is tried again, by us or by Stripe. */
static bool of_storage(err e)
{
    return e == ERR_RETRY || e == ERR_DB || e == ERR_DB_FULL || e == ERR_BUSY ||
           e == ERR_WRITE_UNCERTAIN || e == ERR_STOPPING;
}

static err retry_put(struct db_tx *tx, struct arena *mem, sv id, ts now)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_obj(&w);
    jw_kstr(&w, "event", id);
    jw_obj_end(&w);
    struct job_new j = {.kind = "billing.retry_event",
                        .key = id,
                        .payload = buf_sv(&b),
                        .run_at = ts_add(now, TS_MINUTE),
                        .priority = 5};
    return job_put(tx, mem, &j, now);
}

static err failed(struct db_tx *tx, struct arena *mem, sv id, sv why, ts now)
{
    TRY(q_event_status_set(tx, mem, &(struct event_status_set_in){id, SV("failed"), why}, NULL));
    return retry_put(tx, mem, id, now);
}

/* Applies within a savepoint; a failure is words, not an error. */
static err apply_or_say(struct db_tx *tx, struct arena *mem, struct app *app,
                        const struct stripe_event *e, ts now, enum event_result *out, sv *why)
{
    struct attempt a = {app, e, now, false};
    err_clear();
    err r = db_attempt(tx, mem, attempt, &a);
    if (of_storage(r))
        return r;
    if (r != OK) {
        *out = EVENT_FAILED;
        *why = arena_printf(mem, "%s: %s", err_name(r), err_detail(r));
        return OK;
    }
    *out = a.handled ? EVENT_APPLIED : EVENT_IGNORED;
    *why = a.handled ? SV_NULL : SV("not a kind of object that is kept");
    return OK;
}

/* -------- taking -------- */

/* Now and then: is the dictionary the newest one, is it time to train one? Training takes a second
 * of a processor and megabytes: it is thought of after 256, 768, 1280, 2304, 4352 … events, ever
 * less. */
static err care_for_dict(struct db_tx *tx, struct arena *mem, ts now)
{
    static atomic_uint taken;
    unsigned n = atomic_fetch_add(&taken, 1), round = n / DICT_EVERY;
    if (n % DICT_EVERY == 0)
        return payload_dict_load(tx, mem);
    if (n % DICT_EVERY != DICT_EVERY / 2 || (round & (round - 1)) != 0)
        return OK;
    struct job_new j = {.kind = "billing.dict",
                        .key = SV("dict"),
                        .payload = SV_NULL,
                        .run_at = now,
                        .priority = 9};
    return job_put(tx, mem, &j, now);
}

static err insert(struct db_tx *tx, struct arena *mem, const struct event_in *in, ts now, bool *new)
{
    int64_t made;
    sv object = json_get_str(in->e.object, "id");
    struct event_insert_in row_in = {
        .id = in->e.id,
        .type = in->e.type,
        .object = object.n <= STRIPE_ID_MAX ? object : SV_NULL,
        .created_at = ts_is_none(in->e.created) ? now : in->e.created,
        .received_at = now,
        .status = SV("applied"),
        .error = SV_NULL,
        .dict = in->payload.dict,
        .size = in->payload.size,
        .payload = in->payload.packed,
    };
    TRY(q_event_insert(tx, mem, &row_in, &made));
    *new = made > 0;
    return OK;
}

static err take_new(struct db_tx *tx, struct arena *mem, struct app *app, const struct event_in *in,
                    ts now, enum event_result *out)
{
    const char *ignored = event_ignored(&in->e);
    sv why = ignored ? sv_from(ignored) : in->why;
    if (ignored)
        *out = EVENT_IGNORED;
    else if (in->unreadable != OK)
        *out = EVENT_FAILED;
    else
        TRY(apply_or_say(tx, mem, app, &in->e, now, out, &why));
    if (*out == EVENT_FAILED)
        return failed(tx, mem, in->e.id, why, now);
    if (*out == EVENT_IGNORED)
        return q_event_status_set(
            tx, mem, &(struct event_status_set_in){in->e.id, SV("ignored"), why}, NULL);
    return OK;
}

err event_take(struct db_tx *tx, struct arena *mem, struct app *app, const struct event_in *in,
               ts now, enum event_result *out)
{
    bool new;
    TRY(insert(tx, mem, in, now, &new));
    if (!new) {
        *out = EVENT_DUPLICATE;
        return OK;
    }
    TRY(care_for_dict(tx, mem, now));
    return take_new(tx, mem, app, in, now, out);
}

static err reread(struct db_tx *tx, struct arena *mem, const struct event_get_row *row,
                  struct stripe_event *e)
{
    const json *j;
    sv text;
    TRY(payload_unpack(tx, mem, row->dict, row->size, row->payload, &text));
    TRY(json_parse(mem, text, &j));
    return stripe_event_read(j, e);
}

err event_again(struct db_tx *tx, struct arena *mem, struct app *app, sv id, ts now,
                enum event_result *out, sv *why)
{
    struct event_get_row row;
    struct stripe_event e;
    bool found;
    TRY(q_event_get(tx, mem, &(struct event_get_in){id}, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such event");
    err_clear();
    err r = reread(tx, mem, &row, &e);
    if (of_storage(r))
        return r;
    if (r != OK) {
        *out = EVENT_FAILED;
        *why = arena_printf(mem, "%s: %s", err_name(r), err_detail(r));
    } else if (event_ignored(&e)) {
        *out = EVENT_IGNORED;
        *why = sv_from(event_ignored(&e));
    } else {
        TRY(apply_or_say(tx, mem, app, &e, now, out, why));
    }
    struct event_mark_in mark = {id, sv_from(event_result_name(*out)), *why};
    return q_event_mark(tx, mem, &mark, NULL);
}
