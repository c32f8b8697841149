#include "mail/mail_event.h"
#include "base/calendar.h"
#include "base/crypto.h"

#define DETAIL_MAX 500

/* Texts of others are cut, and must be storable. */
static sv text_of(struct arena *mem, sv s)
{
    if (!s.p)
        return SV_NULL;
    size_t n = s.n < DETAIL_MAX ? s.n : DETAIL_MAX;
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return arena_sv(mem, (sv){s.p, n});
}

static sv key_of(struct arena *mem, const sv *parts, size_t n)
{
    struct digest d = crypto_hmac(SV("mail event"), parts, n);
    return crypto_hex(mem, (sv){(const char *)d.b, 16});
}

/* SendGrid's message id begins with the one that the send call returned, up to a dot. */
static sv sendgrid_id(sv sg_message_id)
{
    sv rest = sg_message_id;
    return sv_cut(&rest, '.');
}

void mail_event_sendgrid(struct arena *mem, const json *j, struct mail_event *out)
{
    int64_t at = json_get_int(j, "timestamp", 0);
    sv message = json_get_str(j, "sg_message_id"), event = json_get_str(j, "event"),
       address = json_get_str(j, "email");
    sv reason = json_get_str(j, "reason");
    struct mail_event e = {.provider = SV("sendgrid"),
                           .email_id = json_get_str(j, "email_id"),
                           .provider_id = sendgrid_id(message),
                           .type = text_of(mem, event),
                           .address = text_of(mem, address),
                           .detail = text_of(mem, reason.p ? reason : json_get_str(j, "response")),
                           .at = at > 0 && at < INT64_C(1) << 40 ? ts_from_unix(at) : TS_NONE,
                           .effect = mail_sendgrid_event(event, json_get_str(j, "type"))};
    /* sg_event_id changes between repeats. */
    const sv parts[] = {
        SV("sendgrid|"), message, SV("|"), address,
        SV("|"),         event,   SV("|"), arena_printf(mem, "%lld", (long long)at)};
    e.key = key_of(mem, parts, sizeof parts / sizeof *parts);
    *out = e;
}

static sv postmark_time(const json *j)
{
    static const char *const names[] = {"DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_get_str(j, names[i]).p)
            return json_get_str(j, names[i]);
    return SV_NULL;
}

void mail_event_postmark(struct arena *mem, const json *j, sv stream, struct mail_event *out)
{
    sv type = json_get_str(j, "RecordType"), message = json_get_str(j, "MessageID"),
       address = json_get_str(j, "Email"), time = postmark_time(j),
       details = json_get_str(j, "Details"), of = json_get_str(j, "MessageStream");
    if (!address.p)
        address = json_get_str(j, "Recipient");
    struct mail_event_words words = {.record_type = type,
                                     .type = json_get_str(j, "Type"),
                                     .suppression_reason = json_get_str(j, "SuppressionReason"),
                                     .inactive = json_get_bool(j, "Inactive", false),
                                     .suppress_sending = json_get_bool(j, "SuppressSending", false),
                                     .broadcast = of.n > 0 && !sv_eq(of, stream)};
    struct mail_event e = {.provider = SV("postmark"),
                           .email_id = json_str(json_path(j, "Metadata.email_id")),
                           .provider_id = message,
                           .type = text_of(mem, type),
                           .address = text_of(mem, address),
                           .detail =
                               text_of(mem, details.n ? details : json_get_str(j, "Description")),
                           .at = TS_NONE,
                           .effect = mail_postmark_event(&words)};
    ts at;
    if (ts_parse(time, &at))
        e.at = at;
    const sv parts[] = {
        SV("postmark|"), type,
        SV("|"),         message,
        SV("|"),         address,
        SV("|"),         time,
        SV("|"),         arena_printf(mem, "%lld", (long long)json_get_int(j, "ID", 0))};
    e.key = key_of(mem, parts, sizeof parts / sizeof *parts);
    *out = e;
}

void mail_event_broken(struct arena *mem, const char *provider, sv body, struct mail_event *out)
{
    const sv parts[] = {sv_from(provider), SV("|broken|"), body};
    BUF_AUTO clean = {0};
    for (size_t i = 0; i < body.n && i < DETAIL_MAX; i++)
        buf_char(&clean, body.p[i] >= 0x20 && body.p[i] < 0x7f ? body.p[i] : '?');
    *out = (struct mail_event){.provider = sv_from(provider),
                               .type = SV("broken"),
                               .detail = arena_sv(mem, buf_sv(&clean)),
                               .at = TS_NONE,
                               .key = key_of(mem, parts, 3),
                               .effect = {.kind = EVENT_STORED}};
}

bool mail_sendgrid_signed(struct arena *mem, sv key, sv signature, sv timestamp, sv body)
{
    sv spki, sig;
    if (!timestamp.p || !signature.p || !crypto_b64_decode(mem, sv_trim(key), &spki) ||
        !crypto_b64_decode(mem, sv_trim(signature), &sig))
        return false;
    const sv parts[] = {timestamp, body};
    return crypto_ecdsa_p256_verify(spki, sig, parts, 2);
}

bool mail_postmark_authorised(struct arena *mem, sv secret, sv authorization, sv header)
{
    if (sv_empty(secret))
        return false;
    if (header.p && crypto_eq(header, secret))
        return true;
    sv text;
    if (!sv_starts(authorization, SV("Basic ")) ||
        !crypto_b64_decode(mem, sv_trim((sv){authorization.p + 6, authorization.n - 6}), &text))
        return false;
    sv password = text;
    sv_cut(&password, ':');
    return crypto_eq(text, secret) || (password.p && crypto_eq(password, secret));
}
