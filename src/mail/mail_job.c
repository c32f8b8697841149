/* The job that sends one mail: every attempt is committed as `sending` before the first byte
 * leaves, and its end afterwards; a worker that dies between the two leaves a mail in doubt.
 * email/CONTRACT §1, §6. */
#include "app/app.h"
#include "base/crypto.h"
#include "base/log.h"
#include "http/metrics.h"
#include "mail/mail_channel.h"
#include "mail/mail_render.h"
#include <assert.h>
#include <stdio.h>

#define PAUSE_MS       (5 * TS_MINUTE)
#define NO_PROVIDER_MS (5 * TS_MINUTE)

/* One job's way through the providers. */
struct work {
    struct job *job;
    struct mail_row mail;
    struct mail_channel channels[MAIL_CHANNELS_MAX];
    size_t nchannels;
    struct mail_pause *pauses;
    size_t npauses;
    sv suppressed; /* the reason, or SV_NULL */
    struct mail_channel *channel;
    struct mail_end end;
    struct mail_result result;
    bool won;
};

static err load_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct work *w = arg;
    bool found;
    TRY(mail_store_get(tx, mem, json_get_str(w->job->payload, "id"), &w->mail));
    TRY(mail_store_pauses(tx, mem, &w->pauses, &w->npauses));
    TRY(mail_store_suppressed(tx, mem, &w->mail, &w->suppressed, &found));
    if (!found)
        w->suppressed = SV_NULL;
    return OK;
}

/* Until when the channel is paused; TS_NONE if it is not. A pause of other credentials does not
 * hold. */
static ts paused_until(const struct work *w, const struct mail_channel *c)
{
    for (size_t i = 0; i < w->npauses; i++)
        if (sv_is(w->pauses[i].name, c->name) && sv_eq(w->pauses[i].fingerprint, c->fingerprint) &&
            ts_before(clock_now(), w->pauses[i].until))
            return w->pauses[i].until;
    return TS_NONE;
}

/* -------- ends without an attempt -------- */

static err state_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct work *w = arg;
    return mail_store_state(tx, &w->mail, &w->end, clock_now());
}

static err end_now(struct work *w, enum mail_state state, sv error)
{
    w->end = (struct mail_end){.state = state, .error = error, .doubt_until = TS_NONE};
    return job_finish(w->job, state_run, w);
}

/* A worker died while this mail was on its way: news may come within the quarter of an hour. */
static err enter_doubt(struct work *w)
{
    ts until = ts_add(w->mail.updated, MAIL_DOUBT_MS);
    w->end = (struct mail_end){.state = MAIL_STATE_DOUBT,
                               .error = SV("the worker died while it was sending"),
                               .doubt_until = until};
    TRY(db_write(w->job->db, w->job->mem, state_run, w));
    job_again(w->job, ts_max(until, clock_now()));
    return OK;
}

/* -------- one attempt -------- */

static err begin_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct work *w = arg;
    return mail_store_begin(tx, &w->mail, sv_from(w->channel->name), clock_now(), &w->won);
}

static err result_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct work *w = arg;
    if (w->result.outcome == MAIL_SUPPRESSED)
        TRY(mail_store_suppress(tx, w->mail.recipient, SV("all"), SV("provider"),
                                sv_from(w->channel->name), clock_now()));
    if (w->result.outcome == MAIL_PAUSE) {
        struct mail_pause p = {.name = sv_from(w->channel->name),
                               .fingerprint = w->channel->fingerprint,
                               .until = ts_add(clock_now(), PAUSE_MS),
                               .reason = w->result.detail.p ? w->result.detail : SV("refused"),
                               .at = clock_now()};
        TRY(mail_store_pause(tx, &p));
    }
    if (w->result.outcome == MAIL_ACCEPTED && w->npauses > 0) {
        bool found;
        TRY(mail_store_resume(tx, sv_from(w->channel->name), &found));
    }
    return mail_store_result(tx, &w->mail, &w->end, clock_now());
}

static void count(const struct mail_channel *c, enum mail_outcome o)
{
    const char *const names[] = {
        [MAIL_ACCEPTED] = c->accepted,     [MAIL_RETRY] = c->retried,   [MAIL_PAUSE] = c->paused,
        [MAIL_SUPPRESSED] = c->suppressed, [MAIL_REFUSED] = c->refused, [MAIL_IN_DOUBT] = c->doubt};
    metric_add(names[o], 1);
    if (o == MAIL_PAUSE || o == MAIL_ACCEPTED)
        metric_set(c->gauge, o == MAIL_PAUSE);
}

static void log_result(struct work *w)
{
    if (w->result.outcome == MAIL_ACCEPTED)
        return;
    char status[16];
    snprintf(status, sizeof status, "%d", w->result.status);
    log_event(w->result.outcome == MAIL_PAUSE ? LOG_ERROR : LOG_WARN,
              w->result.outcome == MAIL_PAUSE ? "mail.provider_paused" : "mail.attempt", "id",
              arena_cstr(w->job->mem, w->mail.id), "provider", w->channel->name, "status", status,
              "detail", w->result.detail.p ? arena_cstr(w->job->mem, w->result.detail) : "", NULL);
}

static enum mail_state state_after(enum mail_outcome o)
{
    switch (o) {
    case MAIL_ACCEPTED:
        return MAIL_STATE_ACCEPTED;
    case MAIL_SUPPRESSED:
        return MAIL_STATE_SUPPRESSED;
    case MAIL_REFUSED:
        return MAIL_FAILED;
    case MAIL_IN_DOUBT:
        return MAIL_STATE_DOUBT;
    default:
        return MAIL_QUEUED;
    }
}

/* Sends by one channel and stores how it ended. *over = the job is finished. */
static err attempt(struct work *w, const struct mail_message *msg, bool *over)
{
    TRY(db_write(w->job->db, w->job->mem, begin_run, w));
    if (!w->won) /* an event or another worker was faster: look again */
        return FAIL(ERR_RETRY, "the mail moved on meanwhile");
    w->channel->send(w->job->mem, &w->channel->config, msg, &w->result);
    count(w->channel, w->result.outcome);
    log_result(w);
    w->end = (struct mail_end){.state = state_after(w->result.outcome),
                               .provider_id = w->result.provider_id,
                               .error = w->result.detail,
                               .doubt_until = TS_NONE};
    bool doubt = w->result.outcome == MAIL_IN_DOUBT;
    if (doubt)
        w->end.doubt_until = w->mail.urgent ? clock_now() : ts_add(clock_now(), MAIL_DOUBT_MS);
    *over = w->end.state > MAIL_STATE_DOUBT;
    if (*over)
        return job_finish(w->job, result_run, w);
    TRY(db_write(w->job->db, w->job->mem, result_run, w));
    w->mail.attempts++;
    if (doubt)
        job_again(w->job, w->end.doubt_until);
    return OK;
}

static err retry_later(struct work *w)
{
    if (mail_give_up(w->mail.created, clock_now()))
        return end_now(w, MAIL_FAILED,
                       arena_printf(w->job->mem,
                                    "no provider took it for three days; the last: %.*s",
                                    SV_ARG(w->result.detail)));
    /* The table counts rounds: in one each provider may have been asked. */
    int64_t n = (int64_t)w->nchannels, round = (w->mail.attempts + n - 1) / n;
    int64_t wait = mail_retry_ms(round, crypto_random_below(401));
    ts at = ts_add(clock_now(), wait);
    if (w->result.outcome == MAIL_RETRY && !ts_is_none(w->result.retry_at))
        at = w->result.retry_at;
    job_again(w->job, at);
    return OK;
}

/* Goes through the providers as long as the one before has certainly not accepted. */
static err try_channels(struct work *w, const struct mail_message *msg)
{
    ts open_at = TS_NONE; /* when the first paused one may be tried again */
    bool tried = false;
    for (size_t i = 0; i < w->nchannels; i++) {
        ts until = paused_until(w, &w->channels[i]);
        if (!ts_is_none(until)) {
            open_at = ts_is_none(open_at) ? until : ts_min(open_at, until);
            continue;
        }
        w->channel = &w->channels[i];
        bool over = false;
        TRY(attempt(w, msg, &over));
        if (over || w->result.outcome == MAIL_IN_DOUBT)
            return OK;
        tried = true;
        if (w->result.outcome == MAIL_PAUSE)
            open_at = ts_add(clock_now(), PAUSE_MS);
        if (!w->result.certain)
            break;
    }
    if (w->nchannels == 0 && mail_give_up(w->mail.created, clock_now()))
        return end_now(w, MAIL_FAILED, SV("there was no provider for three days"));
    if (tried && w->result.outcome != MAIL_PAUSE)
        return retry_later(w);
    /* A pause is about us, not about the mail: it is kept however long that takes. */
    job_again(w->job, ts_is_none(open_at) ? ts_add(clock_now(), NO_PROVIDER_MS) : open_at);
    return OK;
}

static err send(struct work *w)
{
    if (w->suppressed.p)
        return end_now(
            w, MAIL_STATE_SUPPRESSED,
            arena_printf(w->job->mem, "the address is suppressed: %.*s", SV_ARG(w->suppressed)));
    struct mail_message msg;
    err e = mail_render(w->job->mem, w->job->app, &w->mail, &msg);
    if (e == ERR_VALIDATION) {
        log_event(LOG_ERROR, "mail.unsendable", "id", arena_cstr(w->job->mem, w->mail.id), "error",
                  err_last()->detail, NULL);
        return end_now(w, MAIL_FAILED, arena_sv(w->job->mem, sv_from(err_last()->detail)));
    }
    TRY(e);
    return try_channels(w, &msg);
}

/* -------- a job that died, and one that runs again -------- */

/* The mail says what became of its job: it was certainly not sent, or perhaps. Until news come or
 * somebody has it sent again (the job, or the mail). */
static err mail_lost(struct db_tx *tx, struct arena *mem, const json *payload, sv why, ts now)
{
    struct mail_row m;
    err e = mail_store_get(tx, mem, json_get_str(payload, "id"), &m);
    if (e == ERR_NOT_FOUND)
        return OK;
    TRY(e);
    enum mail_state was = mail_state_parse(m.state);
    if (was > MAIL_STATE_DOUBT)
        return OK;
    bool perhaps =
        was == MAIL_STATE_DOUBT || (was == MAIL_SENDING && !sv_is(m.provider, "console"));
    struct mail_end end = {.state = perhaps ? MAIL_STATE_DOUBT : MAIL_FAILED,
                           .error = arena_printf(mem, "its job ended: %.*s", SV_ARG(why)),
                           .doubt_until = TS_NONE};
    return mail_store_state(tx, &m, &end, now);
}

struct again {
    sv id;
    struct mail_row *mail;
    bool queued;
};

/* A mail whose job is done when it fails has none that runs: this one was given another try. */
static err again_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct again *a = arg;
    TRY(mail_store_queue(tx, a->id, clock_now(), &a->queued));
    return mail_store_get(tx, mem, a->id, a->mail);
}

static err mail_send(struct job *j)
{
    struct work w = {.job = j};
    w.nchannels = mail_channels(j->mem, &j->app->set, w.channels);
    err e = db_read(j->db, j->mem, load_run, &w);
    if (e == ERR_NOT_FOUND) /* erased with its person */
        return OK;
    TRY(e);
    if (mail_state_parse(w.mail.state) == MAIL_FAILED) {
        struct again a = {.id = w.mail.id, .mail = &w.mail};
        TRY(db_write(j->db, j->mem, again_run, &a));
    }
    struct mail_facts f = {.state = mail_state_parse(w.mail.state),
                           .urgent = w.mail.urgent,
                           .repeatable = sv_is(w.mail.provider, "console"),
                           .expires = w.mail.expires,
                           .doubt_until = w.mail.doubt_until,
                           .now = clock_now()};
    switch (mail_step_decide(&f)) {
    case STEP_DONE:
        return OK;
    case STEP_EXPIRE:
        return end_now(&w, MAIL_EXPIRED,
                       f.state == MAIL_QUEUED
                           ? SV("its lifetime was over before it could be sent")
                           : SV("its lifetime was over before it was known whether it was sent"));
    case STEP_DOUBT:
        return enter_doubt(&w);
    case STEP_WAIT:
        job_again(j, w.mail.doubt_until);
        return OK;
    case STEP_SEND:
        break;
    }
    return send(&w);
}

static err clean_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return mail_store_clean(tx, clock_now(), arg);
}

static err mail_clean(struct job *j)
{
    for (bool more = true; more;)
        TRY(db_write(j->db, j->mem, clean_run, &more));
    return OK;
}

static const struct job_kind kinds[] = {
    {.name = "mail_send", .run = mail_send, .max_attempts = 50},
    {.name = "mail.clean", .run = mail_clean, .every = "50 3 * * *"},
};
const struct job_kind_set mail_jobs = JOB_SET(kinds);

void mail_init(struct app *app)
{
    static char *folder; /* for the process */
    if (app->set.email_templates_dir.n) {
        folder = strndup(app->set.email_templates_dir.p, app->set.email_templates_dir.n);
        template_dir_set(folder);
    }
    if (app->set.email_rate_per_minute > 0)
        job_rate_set("mail_send", (int)app->set.email_rate_per_minute);
    job_on_lost("mail_send", mail_lost);
}

void mail_stop(void)
{
    mail_smtp_stop();
}
