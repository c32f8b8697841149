/* What the pages are made of. */
#pragma once
#include "base/buf.h"
#include "sandbox.h"

/* <tag class>text</tag>, escaped; class "" leaves it out. */
void sb_text(struct buf *b, const char *tag, const char *class, const char *s);
/* "$32.00", "12.00 SEK". */
void sb_money_text(struct buf *b, int64_t minor, const char *currency);
void sb_date_text(struct buf *b, int64_t t, bool with_time);
/* The page around `inner`, which is freed. */
void sb_page_send(struct sb_page *out, int status, const char *title, bool wide, struct buf *inner);
void sb_page_message(struct sb_page *out, int status, const char *title, const char *text);
void sb_page_start(struct sb_page *out);
