#include "mail/mail_channel.h"
#include "base/crypto.h"

#define TOTAL(p, r) "mb_mails_total{provider=\"" p "\",result=\"" r "\"}"
#define METRICS(p)                                                                                 \
    .accepted = TOTAL(p, "accepted"), .retried = TOTAL(p, "retried"),                              \
    .paused = TOTAL(p, "paused"), .suppressed = TOTAL(p, "suppressed"),                            \
    .refused = TOTAL(p, "refused"), .doubt = TOTAL(p, "in_doubt"),                                 \
    .gauge = "mb_mail_provider_paused{provider=\"" p "\"}"

static bool channel_make(struct arena *mem, const struct settings *s, enum email_provider p,
                         struct mail_channel *out)
{
    switch (p) {
    case EMAIL_CONSOLE:
        *out = (struct mail_channel){
            .name = "console",
            .send = mail_send_console,
            .repeatable = true,
            .config = {.base = s->email_console_dir.n ? s->email_console_dir : SV("mail")},
            METRICS("console")};
        break;
    case EMAIL_SENDGRID:
        *out = (struct mail_channel){
            .name = "sendgrid",
            .send = mail_send_sendgrid,
            .config = {.key = s->sendgrid_api_key, .base = s->sendgrid_api_base},
            METRICS("sendgrid")};
        break;
    case EMAIL_POSTMARK:
        *out = (struct mail_channel){.name = "postmark",
                                     .send = mail_send_postmark,
                                     .config = {.key = s->postmark_server_token,
                                                .base = s->postmark_api_base,
                                                .stream = s->postmark_stream},
                                     METRICS("postmark")};
        break;
    case EMAIL_SMTP:
        *out = (struct mail_channel){.name = "smtp",
                                     .send = mail_send_smtp,
                                     .config = {.base = s->smtp_url},
                                     METRICS("smtp")};
        break;
    case EMAIL_NONE:
        return false;
    }
    const sv parts[] = {out->config.key, SV("|"), out->config.base, SV("|"), s->email_from};
    struct digest d = crypto_hmac(SV("mail provider"), parts, sizeof parts / sizeof *parts);
    out->fingerprint = crypto_hex(mem, (sv){(const char *)d.b, 8});
    return true;
}

size_t mail_channels(struct arena *mem, const struct settings *set,
                     struct mail_channel out[MAIL_CHANNELS_MAX])
{
    size_t n = 0;
    n += channel_make(mem, set, set->email_provider, &out[n]);
    if (set->email_fallback_provider != set->email_provider)
        n += channel_make(mem, set, set->email_fallback_provider, &out[n]);
    return n;
}
