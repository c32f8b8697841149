/* What an answer of a provider means, and how headers are written: pure. email/CONTRACT §6, §10. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"

enum mail_outcome {
    MAIL_ACCEPTED,
    MAIL_RETRY,      /* later, the same provider */
    MAIL_PAUSE,      /* the provider refuses us: pause it, keep the queue */
    MAIL_SUPPRESSED, /* it will not send to this address */
    MAIL_REFUSED,    /* this message never */
    MAIL_IN_DOUBT    /* perhaps accepted */
};
struct mail_verdict {
    enum mail_outcome outcome;
    bool certain; /* certainly not accepted */
};
struct mail_verdict mail_http_decide(int status);
struct mail_verdict mail_postmark_decide(int status, int error_code);
struct mail_verdict mail_smtp_decide(int reply);
/* No answer at all: `sent` = the body may have reached the other side. */
struct mail_verdict mail_silence_decide(bool sent);

/* Retry-After (seconds or an HTTP date) and X-RateLimit-Reset (epoch seconds), whichever is there;
 * at most 6 h after now, never before it. TS_NONE if there is none or it makes no sense. */
ts mail_retry_at(sv retry_after, sv ratelimit_reset, ts now);

/* A header's text: itself if it is printable ASCII, else RFC 2047 words of at most 75 characters,
 * split between whole UTF-8 characters and folded. `used` = columns that the header's name takes on
 * the first line. */
sv mail_header_encode(struct arena *mem, sv text, size_t used);
/* A display name for an address: an atom, a quoted string, or encoded words. */
sv mail_header_name(struct arena *mem, sv name, size_t used);
