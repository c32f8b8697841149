/* Transactional mail: an outbox row in the caller's transaction; sent by a job. One cause = one
 * mail. email/CONTRACT. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "job/job.h"

/* Templates and their variables (all are texts unless said; [x] = may be missing; dates and money
 * are texts for people: "29 November 2026", "$32.00"). `name` (the recipient's, may be missing),
 * `product`, `baseUrl` and `unsubscribeUrl` (optional mail) are added by mail/. verify_email url,
 * [minutes] magic_link               url, [minutes] password_reset           url, [minutes]
 *   email_change             url, newEmail          to the new address: confirm
 *   security_notice          what, when, [address], [url]   what = a sentence: "Your password was
 * changed." welcome                  - subscription_started     plan, amount, until, [trialEnd]
 *   receipt                  lines [{title, amount}], total, date, [number], [renewal], [period],
 * [discount], [url], [claimUrl] payment_failed           plan, amount, [attempt], [nextAttempt],
 * [url] payment_action_required  plan, amount, [url] subscription_ending      plan, until
 *   subscription_ended       plan, [when]
 *   trial_ending             plan, until, amount
 *   refund                   amount, [what], [full] (bool), [date]
 *   purchase_failed          what, [url]
 *   discount_granted         what, [code], [on], [until]    what = "20 % off"; on = "all quizzes"
 *   checkin_reminder         url, [title]
 */
struct mail_new {
    const char
        *template;  /* "welcome", "magic_link", "password_reset", "subscription_started",
                       "receipt", "payment_failed", "subscription_ending", "subscription_ended",
                       "refund", "security_notice", "discount_granted", "email_change",
                       "checkin_reminder", "purchase_failed" … (mail/templates) */
    sv cause;       /* unique in all: "receipt:in_123". A second put with it changes nothing */
    sv to;          /* one address */
    sv to_name;     /* or SV_NULL */
    user_id member; /* "" for visitors */
    sv vars;        /* JSON object text: the template's variables */
    ts expires;     /* dropped, not sent late, after it; TS_NONE = never */
    bool optional;  /* not strictly transactional: carries List-Unsubscribe, obeys opt-outs */
    bool urgent;    /* sign-in mail: first in the queue; in doubt = resent at once */
};
/* In the caller's transaction. Zero .expires counts as none. */
err mail_put(struct db_tx *tx, struct arena *mem, const struct mail_new *m, ts now) MUST_USE;

/* Erasure: what was mailed to a member goes with the member (suppressions of the address stay). */
err mail_erase(struct db_tx *tx, const user_id *member) MUST_USE;

struct app;
void mail_init(struct app *app); /* at start: templates, rate */
void mail_stop(void);            /* closes kept connections */
struct route_set;
extern const struct route_set mail_routes;
extern const struct job_kind_set mail_jobs;
