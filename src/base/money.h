/* Money: integer minor units (cents) of a currency. Never a float. SPEC §1, §2. */
#pragma once
#include "base/arena.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct money {
    int64_t minor;
} money;

/* ISO 4217 code in lower case, as Stripe writes it. */
typedef struct currency {
    char code[4];
} currency;

#define USD ((currency){"usd"})

bool currency_parse(sv s, currency *out); /* three letters, any case */
static inline bool currency_eq(currency a, currency b)
{
    return memcmp(a.code, b.code, 4) == 0;
}
static inline sv currency_sv(const currency *c)
{
    return sv_from(c->code);
}

static inline money money_add(money a, money b)
{
    return (money){a.minor + b.minor};
}
static inline money money_sub(money a, money b)
{
    return (money){a.minor - b.minor};
}
/* `percent` of a price off (0..100): the discount, rounded half up, in integers (128-bit inside).
 */
money money_percent(money price, int percent);
/* price - money_percent(price, percent); a result of 1 to 49 cents becomes 0 (SPEC §2: under
 * Stripe's minimum charge). */
money money_discounted(money price, int percent);
money money_discounted_amount(money price, money off); /* never under 0; the same minimum rule */
money money_chargeable(money price);                   /* 1..49 -> 0, else itself */
/* "$32.00", "€5.00", "¥500", "CHF 3.00" */
sv money_text(struct arena *mem, money m, currency c);
