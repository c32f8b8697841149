#include "ext/mail_rules.h"
#include "base/buf.h"
#include "base/calendar.h"
#include "base/crypto.h"

#define WORD_MAX  75
#define WORD_HEAD "=?UTF-8?B?"
#define WORD_TAIL "?="

static const struct mail_verdict accepted = {MAIL_ACCEPTED, false}, retry = {MAIL_RETRY, true},
                                 retry_unsure = {MAIL_RETRY, false},
                                 pause_provider = {MAIL_PAUSE, true},
                                 suppressed = {MAIL_SUPPRESSED, true},
                                 refused = {MAIL_REFUSED, true}, in_doubt = {MAIL_IN_DOUBT, false};

struct mail_verdict mail_http_decide(int status)
{
    if (status >= 200 && status < 300)
        return accepted;
    switch (status) {
    case 401:
    case 403:
        return pause_provider;
    case 408:
    case 429:
    case 503:
        return retry;
    default:
        break;
    }
    /* A 500, 502 or 504 may come from a gateway after the message was taken: retried here, as the
     * contract says, but not at another provider. */
    if (status >= 500)
        return retry_unsure;
    return status >= 400 ? refused : retry_unsure;
}

struct mail_verdict mail_postmark_decide(int status, int error_code)
{
    switch (error_code) {
    case 10:
    case 100:
    case 400:
    case 401:
    case 405:
    case 412:
    case 413:
        return pause_provider;
    case 406:
        return suppressed;
    case 429:
        return retry;
    default:
        break;
    }
    struct mail_verdict v = mail_http_decide(status);
    if (v.outcome == MAIL_ACCEPTED && error_code != 0)
        return refused;
    return v;
}

struct mail_verdict mail_smtp_decide(int reply)
{
    switch (reply) {
    case 530: /* authentication required, too weak, wrong: about us, not about the message */
    case 534:
    case 535:
    case 538:
        return pause_provider;
    default:
        break;
    }
    if (reply >= 200 && reply < 300)
        return accepted;
    if (reply >= 400 && reply < 500)
        return retry;
    return reply >= 500 && reply < 600 ? refused : in_doubt;
}

struct mail_verdict mail_silence_decide(bool sent)
{
    return sent ? in_doubt : retry;
}

ts mail_retry_at(sv retry_after, sv ratelimit_reset, ts now)
{
    int64_t n;
    ts at = TS_NONE;
    retry_after = sv_trim(retry_after);
    if (retry_after.n && sv_to_i64(retry_after, &n) && n >= 0 && n < INT64_C(1) << 40)
        at = ts_add(now, n * TS_SECOND);
    else if (retry_after.n && !ts_parse_http(retry_after, &at))
        at = TS_NONE;
    if (ts_is_none(at) && ratelimit_reset.n && sv_to_i64(sv_trim(ratelimit_reset), &n) && n > 0 &&
        n < INT64_C(1) << 40)
        at = ts_from_unix(n);
    if (ts_is_none(at))
        return at;
    return ts_max(now, ts_min(at, ts_add(now, 6 * TS_HOUR)));
}

static bool plain(sv text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] > 0x7e)
            return false;
    return !sv_contains(text, SV("=?"));
}

static size_t utf8_len(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* How many bytes of whole characters fit in `room` bytes. */
static size_t whole(sv text, size_t room)
{
    size_t n = 0;
    while (n < text.n) {
        size_t c = utf8_len((unsigned char)text.p[n]);
        if (n + c > room || n + c > text.n)
            break;
        n += c;
    }
    return n;
}

static sv encoded_words(struct arena *mem, sv text, size_t used)
{
    BUF_AUTO b = {0};
    bool first = true;
    while (text.n) {
        size_t line = first && used < 40 ? 76 - used : WORD_MAX;
        size_t most = line < WORD_MAX ? line : WORD_MAX;
        size_t room = (most - strlen(WORD_HEAD) - strlen(WORD_TAIL)) / 4 * 3;
        size_t n = whole(text, room);
        if (n == 0)
            n = text.n < 4 ? text.n : 4; /* not UTF-8; the message check refuses it before */
        if (!first)
            buf_add(&b, SV("\r\n "));
        buf_add(&b, SV(WORD_HEAD));
        buf_add(&b, crypto_b64(mem, (sv){text.p, n}));
        buf_add(&b, SV(WORD_TAIL));
        text = (sv){text.p + n, text.n - n};
        first = false;
    }
    return arena_sv(mem, buf_sv(&b));
}

/* Folds plain text at spaces so that no line is over 76 columns where it can be helped. */
static sv folded(struct arena *mem, sv text, size_t used)
{
    BUF_AUTO b = {0};
    size_t column = used;
    while (text.p) {
        sv word = sv_cut(&text, ' ');
        if (b.n && column + 1 + word.n > 76 && word.n) {
            buf_add(&b, SV("\r\n "));
            column = 1;
        } else if (b.n) {
            buf_char(&b, ' ');
            column++;
        }
        buf_add(&b, word);
        column += word.n;
    }
    return arena_sv(mem, buf_sv(&b));
}

sv mail_header_encode(struct arena *mem, sv text, size_t used)
{
    if (!plain(text))
        return encoded_words(mem, text, used);
    /* Folding must not change the text: only single inner spaces are folded at. */
    bool odd =
        sv_contains(text, SV("  ")) || (text.n && (text.p[0] == ' ' || text.p[text.n - 1] == ' '));
    if (text.n + used <= 900 && (odd || text.n + used <= 76))
        return arena_sv(mem, text);
    return odd ? encoded_words(mem, text, used) : folded(mem, text, used);
}

sv mail_header_name(struct arena *mem, sv name, size_t used)
{
    if (!plain(name) || name.n > 60)
        return encoded_words(mem, name, used);
    BUF_AUTO b = {0};
    buf_char(&b, '"');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            buf_char(&b, '\\');
        buf_char(&b, name.p[i]);
    }
    buf_char(&b, '"');
    return arena_sv(mem, buf_sv(&b));
}
