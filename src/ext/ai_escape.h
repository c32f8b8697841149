/* Escapes in a provider's JSON that a strict parser refuses: NUL, and halves of a character. Some
 * gateways cut text between the two halves of an emoji; the answer is not lost for that. */
#pragma once
#include "base/buf.h"

/* Appends `json` to out with such escapes replaced by U+FFFD. A first half at the end of a string
 * waits in *half (0: none) for the second one, in whatever is mended next. */
void ai_escape_mend(struct buf *out, sv json, unsigned *half);
