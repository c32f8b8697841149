/* What providers report about mail: reading, without tables. email/CONTRACT §7, §8. */
#pragma once
#include "base/json.h"
#include "mail/mail_store.h"

/* An event of a SendGrid call. */
void mail_event_sendgrid(struct arena *mem, const json *j, struct mail_event *out);
/* A Postmark call. `stream` = that of transactional mail. */
void mail_event_postmark(struct arena *mem, const json *j, sv stream, struct mail_event *out);
/* A signed or authorised call that cannot be read. */
void mail_event_broken(struct arena *mem, const char *provider, sv body, struct mail_event *out);
/* base64 of a DER ECDSA signature over timestamp and raw body; `key` = base64 of the SPKI. */
bool mail_sendgrid_signed(struct arena *mem, sv key, sv signature, sv timestamp, sv body);
/* Basic auth whose password (or whole) is the secret, or the secret in a header of our own. */
bool mail_postmark_authorised(struct arena *mem, sv secret, sv authorization, sv header);
