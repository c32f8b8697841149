#include "mail/mail_store.h"
#include "base/crypto.h"
#include "ext/mail.h"
#include "queries.h"
#include <assert.h>

#define MAIL_JOB "mail_send"

/* A bad address must not break the business that the mail is about: its row says why it was never
 * sent. */
err mail_put(struct db_tx *tx, struct arena *mem, const struct mail_new *m, ts now)
{
    assert(m->template && m->cause.n > 0);
    sv to = SV_NULL, problem = SV_NULL;
    if (mail_address(mem, m->to, &to) != OK)
        problem = arena_sv(mem, sv_from(err_last()->detail));
    enum mail_state state = problem.p ? MAIL_FAILED : MAIL_QUEUED;
    struct mail_insert_in in = {
        .id = id_new(mem, "eml", now),
        .cause = m->cause,
        .template = sv_from(m->template),
        .recipient = to.p      ? to
                     : m->to.p ? m->to
                               : SV(""),
        .recipient_name = sv_empty(m->to_name) ? SV_NULL : m->to_name,
        .member_id = user_id_none(&m->member) ? SV_NULL : user_id_sv(&m->member),
        .vars = m->vars.p ? m->vars : SV("{}"),
        .state = sv_from(mail_state_name(state)),
        .rank = mail_state_rank(state),
        .optional = m->optional,
        .urgent = m->urgent,
        .error = problem,
        .expires_at = m->expires.ms == 0 ? TS_NONE : m->expires,
        .now = now,
    };
    struct mail_insert_row row;
    bool made;
    TRY(q_mail_insert(tx, mem, &in, &row, &made));
    if (!made || problem.p)
        return OK;
    struct job_new j = {.kind = MAIL_JOB,
                        .key = in.id,
                        .payload = arena_printf(mem, "{\"id\":\"%.*s\"}", SV_ARG(in.id)),
                        .run_at = now,
                        .priority = m->urgent     ? -1
                                    : m->optional ? 1
                                                  : 0};
    return job_put(tx, mem, &j, now);
}

#define ROW(r)                                                                                     \
    {                                                                                              \
        .id = (r).id, .cause = (r).cause, .template = (r).template, .recipient = (r).recipient,    \
        .recipient_name = (r).recipient_name, .member = (r).member_id, .vars = (r).vars,           \
        .state = (r).state, .provider = (r).provider, .provider_id = (r).provider_id,              \
        .error = (r).error, .rank = (r).rank, .attempts = (r).attempts, .optional = (r).optional,  \
        .urgent = (r).urgent, .doubt_until = (r).doubt_until, .expires = (r).expires_at,           \
        .created = (r).created_at, .updated = (r).updated_at,                                      \
    }

err mail_store_get(struct db_tx *tx, struct arena *mem, sv id, struct mail_row *out)
{
    struct mail_get_in in = {.id = id};
    struct mail_get_row r;
    TRY(q_mail_get(tx, mem, &in, &r));
    *out = (struct mail_row)ROW(r);
    return OK;
}

/* The three lists have the same columns. */
#define COPY(rows, got)                                                                            \
    do {                                                                                           \
        struct mail_row *all_ = ARENA_ARRAY(mem, struct mail_row, got);                            \
        for (size_t i_ = 0; i_ < (got); i_++)                                                      \
            all_[i_] = (struct mail_row)ROW((rows)[i_]);                                           \
        *out = all_;                                                                               \
        *n = (got);                                                                                \
    } while (0)

err mail_store_list(struct db_tx *tx, struct arena *mem, const struct mail_filter *f,
                    struct mail_row **out, size_t *n)
{
    size_t got;
    if (f->recipient.p) {
        struct mail_list_recipient_in in = {
            .recipient = f->recipient, .before = f->before, .n = f->n};
        struct mail_list_recipient_row *rows;
        TRY(q_mail_list_recipient(tx, mem, &in, &rows, &got));
        COPY(rows, got);
    } else if (f->member.p) {
        struct mail_list_member_in in = {.member_id = f->member, .before = f->before, .n = f->n};
        struct mail_list_member_row *rows;
        TRY(q_mail_list_member(tx, mem, &in, &rows, &got));
        COPY(rows, got);
    } else {
        struct mail_list_in in = {
            .state = f->state, .template = f->template, .before = f->before, .n = f->n};
        struct mail_list_row *rows;
        TRY(q_mail_list(tx, mem, &in, &rows, &got));
        COPY(rows, got);
    }
    return OK;
}

/* It may arrive twice: kept among the mail's events, for good. */
static err doubt_mark(struct db_tx *tx, const struct mail_row *m, sv why, ts now)
{
    ARENA_AUTO mem = arena_new(0);
    struct mail_event_insert_in in = {
        .key = arena_printf(mem, "in_doubt:%.*s:%lld", SV_ARG(m->id), (long long)m->attempts),
        .email_id = m->id,
        .provider = SV("mybeing"),
        .type = SV("in_doubt"),
        .address = SV_NULL,
        .detail = why,
        .at = now,
        .now = now};
    return q_mail_event_insert(tx, NULL, &in, NULL);
}

err mail_store_begin(struct db_tx *tx, const struct mail_row *m, sv provider, ts now, bool *won)
{
    struct mail_begin_in in = {
        .id = m->id, .attempts = m->attempts, .provider = provider, .now = now};
    int64_t changed = 0;
    TRY(q_mail_begin(tx, NULL, &in, &changed));
    *won = changed == 1;
    if (*won && sv_is(m->state, mail_state_name(MAIL_SENDING)) && !sv_is(m->provider, "console"))
        return doubt_mark(tx, m, SV("the worker died while it was sending"), now);
    return OK;
}

err mail_store_result(struct db_tx *tx, const struct mail_row *m, const struct mail_end *e, ts now)
{
    struct mail_result_in in = {.id = m->id,
                                .attempts = m->attempts + 1,
                                .state = sv_from(mail_state_name(e->state)),
                                .rank = mail_state_rank(e->state),
                                .provider_id = e->provider_id,
                                .error = e->error,
                                .doubt_until = e->doubt_until,
                                .left = mail_state_rank(e->state) >= MAIL_RANK_LEFT,
                                .now = now};
    struct mail_row tried = *m;
    tried.attempts++;
    if (e->state == MAIL_STATE_DOUBT)
        TRY(doubt_mark(tx, &tried, e->error, now));
    return q_mail_result(tx, NULL, &in, NULL);
}

err mail_store_state(struct db_tx *tx, const struct mail_row *m, const struct mail_end *e, ts now)
{
    struct mail_state_set_in in = {.id = m->id,
                                   .attempts = m->attempts,
                                   .state = sv_from(mail_state_name(e->state)),
                                   .rank = mail_state_rank(e->state),
                                   .error = e->error,
                                   .doubt_until = e->doubt_until,
                                   .now = now};
    if (e->state == MAIL_STATE_DOUBT)
        TRY(doubt_mark(tx, m, e->error, now));
    return q_mail_state_set(tx, NULL, &in, NULL);
}

err mail_store_queue(struct db_tx *tx, sv id, ts now, bool *queued)
{
    struct mail_requeue_in in = {.id = id, .now = now};
    int64_t changed = 0;
    TRY(q_mail_requeue(tx, NULL, &in, &changed));
    *queued = changed > 0;
    return OK;
}

err mail_store_requeue(struct db_tx *tx, struct arena *mem, sv id, ts now)
{
    bool queued;
    TRY(mail_store_queue(tx, id, now, &queued));
    struct mail_row m;
    TRY(mail_store_get(tx, mem, id, &m));
    if (!queued)
        return FAIL(ERR_CONFLICT,
                    "this mail is %.*s: only failed, suppressed and doubtful mail whose content is "
                    "still kept can be sent again",
                    SV_ARG(m.state));
    struct job_new j = {.kind = MAIL_JOB,
                        .key = id,
                        .payload = arena_printf(mem, "{\"id\":\"%.*s\"}", SV_ARG(id)),
                        .run_at = now};
    return job_put(tx, mem, &j, now);
}

/* -------- suppression -------- */

static sv lower(struct arena *mem, sv s)
{
    char *p = arena_cstr(mem, s.p ? s : SV(""));
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return (sv){p, s.n};
}

err mail_store_suppressed(struct db_tx *tx, struct arena *mem, const struct mail_row *m, sv *reason,
                          bool *found)
{
    struct mail_suppressed_in in = {
        .address = lower(mem, m->recipient), .optional = m->optional, .template = m->template};
    struct mail_suppressed_row row;
    TRY(q_mail_suppressed(tx, mem, &in, &row, found));
    if (*found)
        *reason = row.reason;
    return OK;
}

err mail_store_suppress(struct db_tx *tx, sv address, sv scope, sv reason, sv provider, ts now)
{
    ARENA_AUTO mem = arena_new(0);
    struct mail_suppress_in in = {.address = lower(mem, address),
                                  .scope = scope,
                                  .reason = reason,
                                  .provider = provider,
                                  .now = now};
    return q_mail_suppress(tx, NULL, &in, NULL);
}

err mail_store_lift(struct db_tx *tx, sv address, sv scope, sv provider, ts at)
{
    ARENA_AUTO mem = arena_new(0);
    struct mail_lift_in in = {
        .address = lower(mem, address), .scope = scope, .provider = provider, .at = at};
    return q_mail_lift(tx, NULL, &in, NULL);
}

err mail_store_unsuppress(struct db_tx *tx, sv address, sv scope, bool *found)
{
    ARENA_AUTO mem = arena_new(0);
    struct mail_unsuppress_in in = {.address = lower(mem, address), .scope = scope};
    int64_t changed = 0;
    TRY(q_mail_unsuppress(tx, NULL, &in, &changed));
    *found = changed > 0;
    return OK;
}

err mail_store_suppressions(struct db_tx *tx, struct arena *mem, sv after, int64_t n,
                            struct mail_suppression **out, size_t *got)
{
    struct mail_suppression_list_in in = {.after = after, .n = n};
    struct mail_suppression_list_row *rows;
    size_t have;
    TRY(q_mail_suppression_list(tx, mem, &in, &rows, &have));
    struct mail_suppression *all = ARENA_ARRAY(mem, struct mail_suppression, have);
    for (size_t i = 0; i < have; i++)
        all[i] = (struct mail_suppression){rows[i].address, rows[i].scope, rows[i].reason,
                                           rows[i].provider, rows[i].created_at};
    *out = all;
    *got = have;
    return OK;
}

/* -------- providers -------- */

err mail_store_pause(struct db_tx *tx, const struct mail_pause *p)
{
    struct mail_provider_pause_in in = {.name = p->name,
                                        .fingerprint = p->fingerprint,
                                        .until = p->until,
                                        .reason = p->reason,
                                        .now = p->at};
    return q_mail_provider_pause(tx, NULL, &in, NULL);
}

err mail_store_pauses(struct db_tx *tx, struct arena *mem, struct mail_pause **out, size_t *n)
{
    struct mail_provider_list_row *rows;
    size_t got;
    TRY(q_mail_provider_list(tx, mem, &rows, &got));
    struct mail_pause *all = ARENA_ARRAY(mem, struct mail_pause, got);
    for (size_t i = 0; i < got; i++)
        all[i] = (struct mail_pause){rows[i].name, rows[i].fingerprint, rows[i].reason,
                                     rows[i].paused_until, rows[i].paused_at};
    *out = all;
    *n = got;
    return OK;
}

err mail_store_resume(struct db_tx *tx, sv name, bool *found)
{
    struct mail_provider_resume_in in = {.name = name};
    int64_t changed = 0;
    TRY(q_mail_provider_resume(tx, NULL, &in, &changed));
    *found = changed > 0;
    return OK;
}

/* -------- events -------- */

/* The mail an event is about: by our id, else by the provider's. SV_NULL if it is none of ours. */
static err event_mail(struct db_tx *tx, struct arena *mem, const struct mail_event *e, sv *id)
{
    *id = SV_NULL;
    struct mail_row m;
    if (id_valid(e->email_id, "eml")) {
        err found = mail_store_get(tx, mem, e->email_id, &m);
        if (found == OK)
            *id = m.id;
        if (found != ERR_NOT_FOUND)
            return found;
    }
    if (sv_empty(e->provider_id))
        return OK;
    struct mail_by_provider_id_in in = {.provider_id = e->provider_id};
    struct mail_by_provider_id_row row;
    bool any;
    TRY(q_mail_by_provider_id(tx, mem, &in, &row, &any));
    if (any)
        *id = row.id;
    return OK;
}

static err event_effect(struct db_tx *tx, const struct mail_event *e, sv id, ts now)
{
    const struct mail_event_effect *f = &e->effect;
    /* News come in any order: what counts is when it happened. */
    ts at = ts_is_none(e->at) ? now : ts_min(e->at, now);
    if (f->suppress && !sv_empty(e->address))
        TRY(mail_store_suppress(tx, e->address, sv_from(f->suppress), sv_from(f->reason),
                                e->provider, at));
    if (f->lift && !sv_empty(e->address))
        TRY(mail_store_lift(tx, e->address, sv_from(f->lift), e->provider, at));
    if (f->kind != EVENT_STATE || !id.p)
        return OK;
    struct mail_rank_up_in up = {.id = id,
                                 .state = sv_from(mail_state_name(f->state)),
                                 .rank = mail_state_rank(f->state),
                                 .error = f->state == MAIL_DELIVERED ? SV_NULL : e->detail,
                                 .now = now};
    return q_mail_rank_up(tx, NULL, &up, NULL);
}

err mail_store_event(struct db_tx *tx, struct arena *mem, const struct mail_event *e, ts now,
                     bool *fresh)
{
    sv id;
    TRY(event_mail(tx, mem, e, &id));
    struct mail_event_insert_in in = {.key = e->key,
                                      .email_id = id,
                                      .provider = e->provider,
                                      .type = e->type,
                                      .address = e->address,
                                      .detail = e->detail,
                                      .at = e->at,
                                      .now = now};
    int64_t changed = 0;
    TRY(q_mail_event_insert(tx, mem, &in, &changed));
    *fresh = changed > 0;
    return *fresh ? event_effect(tx, e, id, now) : OK;
}

err mail_store_events(struct db_tx *tx, struct arena *mem, sv email_id, struct mail_event **out,
                      size_t *n)
{
    struct mail_events_in in = {.email_id = email_id};
    struct mail_events_row *rows;
    size_t got;
    TRY(q_mail_events(tx, mem, &in, &rows, &got));
    struct mail_event *all = ARENA_ARRAY(mem, struct mail_event, got);
    for (size_t i = 0; i < got; i++)
        all[i] = (struct mail_event){.provider = rows[i].provider,
                                     .type = rows[i].type,
                                     .address = rows[i].address,
                                     .detail = rows[i].detail,
                                     .at = rows[i].at};
    *out = all;
    *n = got;
    return OK;
}

#define KEEP_EVENTS (180 * TS_DAY) /* providers repeat theirs for hours */
#define KEEP_VARS   (30 * TS_DAY)
#define CLEAN_N     1000

/* The rows of the outbox stay: they are why one cause is one mail. */
err mail_store_clean(struct db_tx *tx, ts now, bool *more)
{
    struct mail_prune_events_in events = {.before = ts_add(now, -KEEP_EVENTS), .n = CLEAN_N};
    struct mail_prune_vars_in vars = {.before = ts_add(now, -KEEP_VARS)};
    int64_t gone = 0;
    TRY(q_mail_prune_events(tx, NULL, &events, &gone));
    *more = gone == CLEAN_N;
    return *more ? OK : q_mail_prune_vars(tx, NULL, &vars, NULL);
}

err mail_erase(struct db_tx *tx, const user_id *member)
{
    struct mail_erase_member_in in = {.member_id = user_id_sv(member)};
    return q_mail_erase_member(tx, NULL, &in, NULL);
}
