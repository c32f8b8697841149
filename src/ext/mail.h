/* Mail providers: one message, one recipient, one answer. email/CONTRACT §1-§6, §10. No tables
 * here. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "ext/mail_rules.h"

struct mail_message {
    sv id; /* "eml_…": travels with it and comes back in events */
    sv from, from_name;
    sv to, to_name; /* names may be SV_NULL */
    sv subject, text, html;
    sv unsubscribe_url; /* SV_NULL: strictly transactional */
    ts date;            /* the same on every attempt */
};

struct mail_config { /* of one provider */
    sv key;          /* API key, server token */
    sv base;         /* API base, smtp(s):// URL, or the console's folder */
    sv stream;       /* Postmark */
};

struct mail_result {
    enum mail_outcome outcome;
    bool certain;   /* certainly not accepted: another provider may be tried */
    int status;     /* HTTP or SMTP code; 0: none */
    int code;       /* Postmark's ErrorCode */
    sv provider_id; /* the provider's id of the message, or SV_NULL */
    sv detail;      /* words for the admin; never a secret */
    ts retry_at;    /* asked for by the provider, or TS_NONE */
};

/* Blocks (a worker thread); never inside a transaction. Always fills `out`. */
typedef void (*mail_send_fn)(struct arena *mem, const struct mail_config *c,
                             const struct mail_message *m, struct mail_result *out);
void mail_send_console(struct arena *mem, const struct mail_config *c, const struct mail_message *m,
                       struct mail_result *out);
void mail_send_sendgrid(struct arena *mem, const struct mail_config *c,
                        const struct mail_message *m, struct mail_result *out);
void mail_send_postmark(struct arena *mem, const struct mail_config *c,
                        const struct mail_message *m, struct mail_result *out);
void mail_send_smtp(struct arena *mem, const struct mail_config *c, const struct mail_message *m,
                    struct mail_result *out);

/* Takes the address apart and makes its domain an A-label. ERR_VALIDATION with words: control
 * characters, no or two parts, a local part that is not ASCII, a domain that is none. */
err mail_address(struct arena *mem, sv address, sv *out) MUST_USE;
/* "MyBeing <hello@x.org>" or "hello@x.org". */
err mail_address_named(struct arena *mem, sv text, sv *name, sv *address) MUST_USE;
/* Checks everything that reaches a header (CR, LF, NUL and other controls are refused, not
 * stripped) and that all texts are UTF-8; makes both addresses safe. ERR_VALIDATION. */
err mail_message_check(struct arena *mem, struct mail_message *m) MUST_USE;
/* Unsubscribe headers of RFC 8058: name and value; SV_NULL if there are none. */
#define MAIL_UNSUBSCRIBE_POST "List-Unsubscribe=One-Click"
sv mail_unsubscribe_header(struct arena *mem, const struct mail_message *m);

void mail_smtp_stop(void); /* closes kept connections */
