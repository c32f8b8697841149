#include "mail/mail_event.h"
#include "ext/mail.h"
#include "fuzz.h"

/* What providers report, signed or not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    sv text = fuzz_text(data, n), address;
    unsigned way = fuzz_way(&text, 4);
    struct mail_event e = {0};
    const json *j;
    if (way == 0) {
        (void)!mail_address(mem, text, &address);
        return 0;
    }
    if (way == 1) {
        PROMISE(!mail_sendgrid_signed(mem, text, text, SV("1"), text));
        PROMISE(!mail_postmark_authorised(mem, SV("a long secret of ours"), text, SV("")));
        return 0;
    }
    if (json_parse(mem, text, &j) != OK) {
        mail_event_broken(mem, "sendgrid", text, &e);
        return 0;
    }
    if (way == 2)
        mail_event_postmark(mem, j, SV("outbound"), &e);
    else
        mail_event_sendgrid(mem, j, &e);
    return 0;
}
