/* Text into HTML. */
#pragma once
#include "base/buf.h"

/* Appends s with & < > " ' as references: safe as text and in a quoted attribute. */
void buf_html(struct buf *b, sv s);
