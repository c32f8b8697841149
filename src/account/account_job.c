/* Jobs of accounts: letters to addresses that may have no account, and cleaning. */
#include "account/account_inner.h"

#define JOB_MAIL "account.mail"

err account_mail_later(struct db_tx *tx, struct arena *mem, enum token_kind kind, sv email, ts now)
{
    BUF_AUTO payload = {0};
    struct jw w = {.out = &payload};
    jw_obj(&w);
    jw_kint(&w, "kind", kind);
    jw_kstr(&w, "email", account_email_key(mem, email));
    jw_obj_end(&w);
    struct job_new j = {
        .kind = JOB_MAIL, .payload = buf_sv(&payload), .run_at = now, .priority = -1};
    return job_put(tx, mem, &j, now);
}

static err mail_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job *j = arg;
    enum token_kind kind =
        json_get_int(j->payload, "kind", -1) == TOKEN_RESET ? TOKEN_RESET : TOKEN_MAGIC;
    struct account a;
    int64_t recent = 0;
    err e = account_by_email(tx, mem, json_get_str(j->payload, "email"), &a);
    if (e == ERR_NOT_FOUND)
        return OK; /* nobody to write to; nobody is told */
    TRY(e);
    TRY(token_count(tx, mem, kind, &a.id, ts_add(j->now, -LOGIN_WINDOW), &recent));
    if (recent >= MAILS_MAX)
        return OK;
    return account_mail_link(tx, mem, j->app, kind, &a, a.email, j->now);
}

static err mail_run(struct job *j)
{
    return job_finish(j, mail_tx, j);
}

static err clean_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job *j = arg;
    return account_clean(tx, mem, j->now, clock_wall());
}

static err clean_run(struct job *j)
{
    return job_finish(j, clean_tx, j);
}

static const struct job_kind kinds[] = {
    {.name = JOB_MAIL, .run = mail_run, .max_attempts = 8},
    {.name = "account.clean", .run = clean_run, .every = "40 3 * * *"},
};
const struct job_kind_set account_jobs = {kinds, sizeof kinds / sizeof *kinds};
