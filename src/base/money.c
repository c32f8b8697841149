#include "base/money.h"

#include <assert.h>
#include <stdio.h>

/* Stripe refuses card charges under about 50 cents: such a price is given away. SPEC §2. */
#define LEAST_CHARGE 50

bool currency_parse(sv s, currency *out)
{
    if (s.n != 3)
        return false;
    currency c = {{0}};
    for (size_t i = 0; i < 3; i++) {
        char ch = s.p[i];
        if (ch >= 'A' && ch <= 'Z')
            ch = (char)(ch + 32);
        if (ch < 'a' || ch > 'z')
            return false;
        c.code[i] = ch;
    }
    *out = c;
    return true;
}

money money_percent(money price, int percent)
{
    assert(percent >= 0 && percent <= 100 && price.minor >= 0);
    return (money){(int64_t)(((__int128)price.minor * percent * 2 + 100) / 200)};
}

money money_chargeable(money price)
{
    return price.minor < LEAST_CHARGE ? (money){0} : price;
}

money money_discounted(money price, int percent)
{
    return money_chargeable(money_sub(price, money_percent(price, percent)));
}

money money_discounted_amount(money price, money off)
{
    return money_chargeable((money){off.minor >= price.minor ? 0 : price.minor - off.minor});
}

/* Currencies without minor units, of those that Stripe knows. */
static bool zero_decimal(currency c)
{
    static const char list[] = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf";
    return strstr(list, c.code) != NULL;
}

sv money_text(struct arena *mem, money m, currency c)
{
    static const struct {
        const char *code, *sign;
    } signs[] = {{"usd", "$"}, {"eur", "€"}, {"gbp", "£"}, {"jpy", "¥"}};
    char sign[8];
    snprintf(sign, sizeof sign, "%c%c%c ", c.code[0] - 32, c.code[1] - 32, c.code[2] - 32);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcmp(signs[i].code, c.code) == 0)
            snprintf(sign, sizeof sign, "%s", signs[i].sign);
    uint64_t v = m.minor < 0 ? 0 - (uint64_t)m.minor : (uint64_t)m.minor;
    const char *minus = m.minor < 0 ? "-" : "";
    if (zero_decimal(c))
        return arena_printf(mem, "%s%s%llu", minus, sign, (unsigned long long)v);
    return arena_printf(mem, "%s%s%llu.%02llu", minus, sign, (unsigned long long)(v / 100),
                        (unsigned long long)(v % 100));
}
