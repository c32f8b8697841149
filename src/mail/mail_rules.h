/* Decisions about mail: pure. email/CONTRACT §6-§8. */
#pragma once
#include "base/clock.h"
#include "base/sv.h"

enum mail_state {
    MAIL_QUEUED,
    MAIL_SENDING,
    MAIL_STATE_DOUBT,
    MAIL_FAILED,
    MAIL_EXPIRED,
    MAIL_STATE_ACCEPTED,
    MAIL_DEFERRED,
    MAIL_DELIVERED,
    MAIL_STATE_SUPPRESSED,
    MAIL_BOUNCED,
    MAIL_COMPLAINED,
    MAIL_STATES
};
const char *mail_state_name(enum mail_state s);
enum mail_state mail_state_parse(sv s); /* MAIL_STATES if unknown */
/* News only raises it; from rank MAIL_RANK_LEFT on the mail has left us. */
int64_t mail_state_rank(enum mail_state s);
#define MAIL_RANK_LEFT 4

/* What the job does next with a mail. */
enum mail_step {
    STEP_DONE,   /* nothing: it has left, or ended */
    STEP_EXPIRE, /* its lifetime is over: dropped, not sent late */
    STEP_DOUBT,  /* a worker died while sending: wait for news */
    STEP_WAIT,   /* in doubt, still waiting */
    STEP_SEND
};
struct mail_facts {
    enum mail_state state;
    bool urgent,
        repeatable; /* repeatable: the provider takes the same message twice without harm */
    ts expires, doubt_until, now;
};
enum mail_step mail_step_decide(const struct mail_facts *f);
/* After an attempt that could be repeated: was it tried for too long? */
bool mail_give_up(ts created, ts now);

#define MAIL_DOUBT_MS (15 * TS_MINUTE)
/* Wait after the n-th attempt (1..): 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, +-20 %. `random` in
 * 0..400. */
int64_t mail_retry_ms(int64_t attempt, uint32_t random);

/* What an event of a provider says. */
enum mail_event_kind {
    EVENT_IGNORED, /* a name we do not know */
    EVENT_STORED,  /* kept, changes no state */
    EVENT_STATE
};
struct mail_event_effect {
    enum mail_event_kind kind;
    enum mail_state state;
    const char *suppress; /* scope: "all", "optional"; NULL = nothing */
    const char *lift;     /* scope that is lifted; NULL = nothing */
    const char *reason;
};
struct mail_event_effect mail_sendgrid_event(sv event, sv type);
struct mail_event_words { /* of a Postmark call */
    sv record_type, type, suppression_reason;
    bool inactive, suppress_sending;
    bool broadcast; /* of another stream than that of transactional mail */
};
struct mail_event_effect mail_postmark_event(const struct mail_event_words *w);
