#include "mail/mail_rules.h"

#define GIVE_UP_MS (72 * TS_HOUR)

static const struct {
    const char *name;
    int64_t rank;
} states[MAIL_STATES] = {
    [MAIL_QUEUED] = {"queued", 0},
    [MAIL_SENDING] = {"sending", 1},
    [MAIL_STATE_DOUBT] = {"in_doubt", 2},
    [MAIL_FAILED] = {"failed", 3},
    [MAIL_EXPIRED] = {"expired", 3},
    [MAIL_STATE_ACCEPTED] = {"accepted", 4},
    [MAIL_DEFERRED] = {"deferred", 5},
    [MAIL_DELIVERED] = {"delivered", 6},
    [MAIL_STATE_SUPPRESSED] = {"suppressed", 7},
    [MAIL_BOUNCED] = {"bounced", 8},
    [MAIL_COMPLAINED] = {"complained", 9},
};

const char *mail_state_name(enum mail_state s)
{
    return states[s].name;
}

int64_t mail_state_rank(enum mail_state s)
{
    return states[s].rank;
}

enum mail_state mail_state_parse(sv s)
{
    for (int i = 0; i < MAIL_STATES; i++)
        if (sv_is(s, states[i].name))
            return (enum mail_state)i;
    return MAIL_STATES;
}

enum mail_step mail_step_decide(const struct mail_facts *f)
{
    if (f->state > MAIL_STATE_DOUBT)
        return STEP_DONE;
    if (!ts_is_none(f->expires) && !ts_before(f->now, f->expires))
        return STEP_EXPIRE;
    bool at_once = f->urgent || f->repeatable;
    if (f->state == MAIL_SENDING && !at_once)
        return STEP_DOUBT;
    if (f->state == MAIL_STATE_DOUBT && !at_once && ts_before(f->now, f->doubt_until))
        return STEP_WAIT;
    return STEP_SEND;
}

bool mail_give_up(ts created, ts now)
{
    return now.ms - created.ms > GIVE_UP_MS;
}

int64_t mail_retry_ms(int64_t attempt, uint32_t random)
{
    static const int64_t waits[] = {30 * TS_SECOND, 2 * TS_MINUTE, 10 * TS_MINUTE,
                                    30 * TS_MINUTE, 2 * TS_HOUR,   6 * TS_HOUR};
    const int64_t n = sizeof waits / sizeof *waits;
    int64_t i = attempt < 1 ? 0 : attempt > n ? n - 1 : attempt - 1;
    return waits[i] * (800 + random) / 1000;
}

static struct mail_event_effect state(enum mail_state s)
{
    return (struct mail_event_effect){.kind = EVENT_STATE, .state = s};
}

static struct mail_event_effect suppress(enum mail_state s, const char *scope, const char *reason)
{
    return (struct mail_event_effect){
        .kind = EVENT_STATE, .state = s, .suppress = scope, .reason = reason};
}

struct mail_event_effect mail_sendgrid_event(sv event, sv type)
{
    if (sv_is(event, "processed"))
        return state(MAIL_STATE_ACCEPTED);
    if (sv_is(event, "deferred"))
        return state(MAIL_DEFERRED);
    if (sv_is(event, "delivered") || sv_is(event, "open") || sv_is(event, "click"))
        return state(MAIL_DELIVERED);
    if (sv_is(event, "bounce") && sv_is(type, "blocked")) /* temporary */
        return state(MAIL_DEFERRED);
    if (sv_is(event, "bounce"))
        return suppress(MAIL_BOUNCED, "all", "bounce");
    if (sv_is(event, "dropped"))
        return state(MAIL_STATE_SUPPRESSED);
    if (sv_is(event, "spamreport"))
        return suppress(MAIL_COMPLAINED, "all", "complaint");
    if (sv_is(event, "unsubscribe") || sv_is(event, "group_unsubscribe"))
        return (struct mail_event_effect){
            .kind = EVENT_STORED, .suppress = "optional", .reason = "unsubscribe"};
    if (sv_is(event, "group_resubscribe"))
        return (struct mail_event_effect){.kind = EVENT_STORED, .lift = "optional"};
    return (struct mail_event_effect){.kind = EVENT_IGNORED};
}

/* Types of bounce that another try may not mend. */
static bool bounce_permanent(sv type)
{
    static const char *const types[] = {"HardBounce", "BadEmailAddress", "ManuallyDeactivated",
                                        "AddressChange"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (sv_is(type, types[i]))
            return true;
    return false;
}

static struct mail_event_effect subscription_change(const struct mail_event_words *w)
{
    const char *scope = w->broadcast ? "optional" : "all";
    struct mail_event_effect e = {.kind = EVENT_STORED};
    if (!w->suppress_sending) {
        e.lift = scope;
        return e;
    }
    bool address =
        sv_is(w->suppression_reason, "HardBounce") || sv_is(w->suppression_reason, "SpamComplaint");
    e.suppress = address ? "all" : scope;
    e.reason = sv_is(w->suppression_reason, "HardBounce")      ? "bounce"
               : sv_is(w->suppression_reason, "SpamComplaint") ? "complaint"
                                                               : "unsubscribe";
    return e;
}

struct mail_event_effect mail_postmark_event(const struct mail_event_words *w)
{
    if (sv_is(w->record_type, "Delivery") || sv_is(w->record_type, "Open") ||
        sv_is(w->record_type, "Click"))
        return state(MAIL_DELIVERED);
    if (sv_is(w->record_type, "SpamComplaint"))
        return suppress(MAIL_COMPLAINED, "all", "complaint");
    if (sv_is(w->record_type, "SubscriptionChange"))
        return subscription_change(w);
    if (!sv_is(w->record_type, "Bounce"))
        return (struct mail_event_effect){.kind = EVENT_IGNORED};
    if (w->inactive || bounce_permanent(w->type))
        return suppress(MAIL_BOUNCED, "all", "bounce");
    return state(MAIL_DEFERRED);
}
