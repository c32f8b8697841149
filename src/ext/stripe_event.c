#include "ext/stripe_event.h"

err stripe_event_read(const json *j, struct stripe_event *out)
{
    struct stripe_event e = {.id = json_get_str(j, "id"),
                             .type = json_get_str(j, "type"),
                             .account = json_get_str(j, "account")};
    sv kind = json_get_str(j, "object");
    e.thin = sv_starts(kind, SV("v2."));
    if (json_kind(j) != JK_OBJ || (!sv_is(kind, "event") && !e.thin))
        return FAIL(ERR_BAD_REQUEST, "the body is not a Stripe event");
    if (sv_empty(e.id) || e.id.n > STRIPE_ID_MAX || sv_has_control(e.id) || sv_empty(e.type) ||
        e.type.n > STRIPE_ID_MAX)
        return FAIL(ERR_BAD_REQUEST, "the event has no id or type");
    e.created = json_get_unix(j, "created");
    const json *mode = json_get(j, "livemode");
    e.livemode_known = json_kind(mode) == JK_BOOL;
    e.livemode = json_bool(mode, false);
    const json *data = json_get(j, "data");
    const json *object = json_get(data, "object");
    e.object = json_kind(object) == JK_OBJ ? object : NULL;
    e.previous = json_get(data, "previous_attributes");
    *out = e;
    return OK;
}

/* -------- scanning -------- */

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* The raw inside of a string literal; false if there is none here. */
static bool scan_string(struct scan *s, sv *out)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '"')
        return false;
    const char *from = ++s->p;
    while (s->p < s->end && *s->p != '"')
        s->p += *s->p == '\\' && s->p + 1 < s->end ? 2 : 1;
    if (s->p >= s->end)
        return false;
    *out = (sv){from, (size_t)(s->p - from)};
    s->p++;
    return true;
}

/* Over one value of any kind, to the comma or bracket behind it. */
static void skip_value(struct scan *s)
{
    unsigned depth = 0;
    sv ignored;
    skip_space(s);
    while (s->p < s->end) {
        char c = *s->p;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        if (c == '"') {
            if (!scan_string(s, &ignored))
                return;
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        if (c == '}' || c == ']')
            depth--;
        s->p++;
    }
}

/* Ids and types of Stripe have no escapes; a text with one is not taken. */
static bool plain(sv s)
{
    return s.n > 0 && s.n <= STRIPE_ID_MAX && !sv_has_control(s) && !memchr(s.p, '\\', s.n) &&
           sv_valid_utf8(s);
}

static void scan_member(struct arena *mem, struct scan *s, sv key, struct stripe_event *e,
                        bool *event)
{
    const char *from = s->p;
    sv text;
    if (scan_string(s, &text)) {
        if (sv_is(key, "id") && plain(text))
            e->id = arena_sv(mem, text);
        else if (sv_is(key, "type") && plain(text))
            e->type = arena_sv(mem, text);
        else if (sv_is(key, "object"))
            *event = sv_is(text, "event");
        return;
    }
    skip_value(s);
    int64_t seconds;
    sv raw = sv_trim((sv){from, (size_t)(s->p - from)});
    if (sv_is(key, "created") && sv_to_i64(raw, &seconds) && seconds >= 0 &&
        seconds < INT64_C(1) << 40)
        e->created = ts_from_unix(seconds);
    if (sv_is(key, "livemode")) {
        e->livemode_known = true;
        e->livemode = sv_is(raw, "true");
    }
}

bool stripe_event_scan(struct arena *mem, sv body, struct stripe_event *out)
{
    struct scan s = {body.p, body.p + body.n};
    struct stripe_event e = {.created = TS_NONE};
    bool event = false;
    skip_space(&s);
    if (s.p == s.end || *s.p != '{')
        return false;
    s.p++;
    sv key;
    while (scan_string(&s, &key)) {
        skip_space(&s);
        if (s.p == s.end || *s.p != ':')
            return false;
        s.p++;
        skip_space(&s);
        scan_member(mem, &s, key, &e, &event);
        skip_space(&s);
        if (s.p < s.end && *s.p == ',')
            s.p++;
    }
    if (!event || sv_empty(e.id) || sv_empty(e.type))
        return false;
    *out = e;
    return true;
}
