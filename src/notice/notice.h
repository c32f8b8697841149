/* The moments of subscriptions and purchases that people are mailed about, each once per cause. It
 * listens to facts and purchases and writes mails in the transaction that brought the news.
 * email/CONTRACT, SPEC §8. */
#pragma once
#include "app/app.h"
#include "base/id.h"
#include "base/money.h"
#include "db/db.h"

void notice_init(void); /* at start, before threads: registers its listeners */

struct notice_discount {
    sv id; /* one mail a discount and member */
    user_id member;
    int64_t percent; /* 1..100, or -1 */
    money amount;    /* when percent is -1 */
    currency currency;
    sv code;       /* SV_NULL: it counts by itself */
    sv kind, item; /* what it is for: "quiz", "article" / an item; SV_NULL: anything */
    ts until;      /* TS_NONE: no end */
};
/* For admin/: a member was given a discount. */
err notice_discount_granted(struct db_tx *tx, struct arena *mem, struct app *app,
                            const struct notice_discount *d, ts now) MUST_USE;
