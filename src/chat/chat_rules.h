/* AI conversations, pure decisions. ai/CONTRACT §7, §8. */
#pragma once
#include "base/arena.h"

#define CHAT_TITLE_CHARS   60
#define CHAT_TITLE_MAX     200   /* of a title that a member writes */
#define CHAT_CONTENT_MAX   32000 /* characters of one message */
#define CHAT_SAVE_MESSAGES 200   /* messages of one import */
#define CHAT_VISITOR_DAYS  30    /* unclaimed conversations of visitors live that long */

enum chat_role { CHAT_USER, CHAT_ASSISTANT, CHAT_SYSTEM };
const char *chat_role_name(enum chat_role r);

/* The title at once: the first 60 characters of the first message, on one line; "New conversation"
 * if nothing is left. */
sv chat_title_of(struct arena *mem, sv content);

/* Lower case, in every script that has it: what a search compares. */
sv chat_fold(struct arena *mem, sv text);
