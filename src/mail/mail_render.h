/* A row of the outbox as a message. */
#pragma once
#include "ext/mail.h"
#include "mail/mail_store.h"
#include "mail/template.h"

struct app;
/* ERR_VALIDATION: the template, its variables or the addresses are not right; such a mail is never
 * sent. */
err mail_render(struct arena *mem, const struct app *app, const struct mail_row *m,
                struct mail_message *out) MUST_USE;
/* What mail/ adds to every template. */
const json *mail_common(struct arena *mem, sv base_url, sv name, sv unsubscribe_url);

/* https://…/unsubscribe/TOKEN: an HMAC over the mail's id and its category (its template). */
sv mail_unsubscribe_url(struct arena *mem, const struct app *app, sv id, sv category);
bool mail_unsubscribe_read(struct arena *mem, const struct app *app, sv token, sv *id,
                           sv *category);
