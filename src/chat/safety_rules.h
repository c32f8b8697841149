/* Safety of conversations, pure. ai/CONTRACT §11. */
#pragma once
#include "base/clock.h"
#include "base/sv.h"

/* The language ("en", "es", "de", "fr") of a phrase in `text` that sounds like a crisis, or NULL.
 * High recall on purpose: help lines are shown, nothing is blocked. */
const char *safety_crisis(sv text);

struct help_line {
    const char *country; /* ISO 3166, "" = anywhere */
    const char *name, *phone, *url;
};
/* For the country of a locale like "de-AT"; an unknown one gets the international entry. */
const struct help_line *safety_help_line(sv locale);

#define SAFETY_NOTICE_EVERY (3 * TS_HOUR)
/* Is it time to say "you are talking to an AI"? `last` = TS_NONE: never said. */
bool safety_notice_due(ts last, ts now);
extern const char safety_notice_text[];
/* The system prompt of a turn. */
sv safety_system_prompt(bool crisis);
