/* Safety of conversations, pure. ai/CONTRACT §11. */
#pragma once
#include "base/clock.h"
#include "base/json.h"

/* The language ("en", "es", "de", "fr") of a phrase in `text` that sounds like a crisis, or NULL.
 * High recall on purpose: help lines are shown, nothing is blocked. */
const char *safety_crisis(sv text);

/* Item 9 of the PHQ-9 ("thoughts that you would be better off dead …"), 0 to 3. */
bool safety_phq9_item9(int64_t answer);

struct help_line {
    sv country; /* ISO 3166, "" = anywhere */
    sv name, phone, url;
};
/* For the country of a locale like "de-AT" or of an Accept-Language; an unknown one gets the entry
 * for anywhere. `own`: the operator's list out of the catalogue (safety.helpLines), which replaces
 * the built-in one; NULL = none. */
struct help_line safety_help_line(const json *own, sv locale);

#define SAFETY_NOTICE_EVERY (3 * TS_HOUR)
/* Is it time to say "you are talking to an AI"? `last` = TS_NONE: never said. */
bool safety_notice_due(ts last, ts now);
extern const char safety_notice_text[];
/* The system prompt of a turn. */
sv safety_system_prompt(bool crisis);
