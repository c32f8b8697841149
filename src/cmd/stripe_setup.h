/* What the account at Stripe needs, item by item: looked up, then made or mended. Running it again
 * changes nothing. stripe/CONTRACT §7. For `setup stripe` and `doctor`. */
#pragma once
#include "app/settings.h"
#include "base/arena.h"
#include "catalog/catalog.h"

enum setup_action { SETUP_SAME, SETUP_CREATE, SETUP_UPDATE, SETUP_SKIP };
#define SETUP_ITEMS 6

struct setup {
    struct arena *mem;
    const struct settings *set;
    const struct catalog *catalog;
    bool no_webhook;   /* events come by forwarding: no endpoint is registered */
    sv webhook_secret; /* of an endpoint made now: Stripe says it only once */
    ts date;           /* of Stripe's last answer */
};
struct setup_item {
    const char *name; /* "price" */
    enum setup_action action;
    sv what;  /* a sentence without a full stop: "create price 32.00 USD a month (…)" */
    sv id;    /* of what is there */
    sv extra; /* for setup_make */
};
/* Looks at everything, changes nothing. */
err setup_look(struct setup *s, struct setup_item items[SETUP_ITEMS]) MUST_USE;
/* Makes or mends one item. */
err setup_make(struct setup *s, size_t i, struct setup_item *item) MUST_USE;
const char *setup_action_name(enum setup_action a);
/* The URL that Stripe has to send events to. */
sv setup_webhook_url(const struct setup *s);
