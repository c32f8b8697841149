#include "base/calendar.h"
#include "base/crypto.h"
#include "base/money.h"
#include "fuzz.h"
#include "http/inner.h"

/* The small readers of requests. What is decoded is no longer than what came; a time that is read
 * and written is the same time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    sv text = fuzz_text(data, n), out;
    unsigned way = fuzz_way(&text, 6);
    struct pairs pairs = {0};
    char written[TS_TEXT];
    ts at, again;
    currency c;
    visitor_id id;
    switch (way) {
    case 0:
        if (form_parse(mem, text, &pairs))
            for (size_t i = 0; i < pairs.n; i++)
                PROMISE(pairs.v[i].name.n + pairs.v[i].value.n <= text.n);
        break;
    case 1:
        if (percent_decode(mem, text, true, &out))
            PROMISE(out.n <= text.n);
        break;
    case 2:
        if (ts_parse(text, &at))
            PROMISE(ts_parse(ts_text(at, written), &again) && again.ms == at.ms);
        (void)ts_parse_http(text, &at);
        break;
    case 3:
        (void)crypto_unhex(mem, text, &out);
        (void)crypto_b64_decode(mem, text, &out);
        (void)crypto_b64url_decode(mem, text, &out);
        break;
    case 4:
        (void)currency_parse(text, &c);
        PROMISE(!visitor_cookie_read(SV("0123456789abcdef0123456789abcdef"), text, &id));
        break;
    default:
        sv_valid_utf8(text);
    }
    return 0;
}
