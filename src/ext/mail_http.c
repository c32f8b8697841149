/* SendGrid and Postmark: one JSON call a message. email/CONTRACT §2, §3. */
#include "base/json.h"
#include "ext/mail.h"
#include "http/client.h"

static void verdict(struct mail_result *out, struct mail_verdict v)
{
    out->outcome = v.outcome;
    out->certain = v.certain;
}

/* Posts once; true if there is an answer. Without one the result says whether it is in doubt. */
static bool post(struct arena *mem, sv url, const struct http_header *headers, size_t n,
                 const struct buf *body, struct http_answer *answer, struct mail_result *out)
{
    struct http_call call = {.method = "POST",
                             .url = url,
                             .headers = headers,
                             .nheaders = n,
                             .body = buf_sv(body),
                             .once = true};
    err e = http_fetch(mem, &call, answer);
    out->status = answer->status;
    out->retry_at = mail_retry_at(http_answer_header(answer, "retry-after"),
                                  http_answer_header(answer, "x-ratelimit-reset"), clock_now());
    if (e == OK && answer->status != 0)
        return true;
    verdict(out, mail_silence_decide(answer->sent));
    out->detail =
        arena_printf(mem, "no answer: %s", answer->failure ? answer->failure : err_title(e));
    return false;
}

static void address_write(struct jw *w, sv address, sv name)
{
    jw_obj(w);
    jw_kstr(w, "email", address);
    if (name.n)
        jw_kstr(w, "name", name);
    jw_obj_end(w);
}

static void content_write(struct jw *w, const char *type, sv value)
{
    jw_obj(w);
    jw_kstr(w, "type", sv_from(type));
    jw_kstr(w, "value", value);
    jw_obj_end(w);
}

static void tracking_off(struct jw *w)
{
    jw_key(w, "tracking_settings");
    jw_obj(w);
    jw_key(w, "click_tracking");
    jw_obj(w);
    jw_kbool(w, "enable", false);
    jw_kbool(w, "enable_text", false);
    jw_obj_end(w);
    jw_key(w, "open_tracking");
    jw_obj(w);
    jw_kbool(w, "enable", false);
    jw_obj_end(w);
    jw_obj_end(w);
}

static void sendgrid_body(struct arena *mem, const struct mail_message *m, struct buf *out)
{
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_key(&w, "personalizations");
    jw_arr(&w);
    jw_obj(&w);
    jw_key(&w, "to");
    jw_arr(&w);
    address_write(&w, m->to, m->to_name);
    jw_arr_end(&w);
    jw_key(&w, "custom_args"); /* kept by SendGrid: the opaque id and nothing else */
    jw_obj(&w);
    jw_kstr(&w, "email_id", m->id);
    jw_obj_end(&w);
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_key(&w, "from");
    address_write(&w, m->from, m->from_name);
    jw_kstr(&w, "subject", m->subject);
    jw_key(&w, "content");
    jw_arr(&w);
    content_write(&w, "text/plain", m->text);
    content_write(&w, "text/html", m->html);
    jw_arr_end(&w);
    if (m->unsubscribe_url.p) {
        jw_key(&w, "headers");
        jw_obj(&w);
        jw_kstr(&w, "List-Unsubscribe", mail_unsubscribe_header(mem, m));
        jw_kstr(&w, "List-Unsubscribe-Post", SV(MAIL_UNSUBSCRIBE_POST));
        jw_obj_end(&w);
    }
    tracking_off(&w);
    jw_obj_end(&w);
}

void mail_send_sendgrid(struct arena *mem, const struct mail_config *c,
                        const struct mail_message *m, struct mail_result *out)
{
    *out = (struct mail_result){.retry_at = TS_NONE};
    BUF_AUTO body = {0};
    sendgrid_body(mem, m, &body);
    const struct http_header headers[] = {
        {"Authorization", arena_printf(mem, "Bearer %.*s", SV_ARG(c->key))},
        {"Content-Type", SV("application/json")},
    };
    struct http_answer a = {0};
    sv url = arena_printf(mem, "%.*s/v3/mail/send", SV_ARG(c->base));
    if (!post(mem, url, headers, 2, &body, &a, out))
        return;
    verdict(out, mail_http_decide(a.status));
    out->provider_id = http_answer_header(&a, "x-message-id");
    const json *j = NULL;
    if (out->outcome != MAIL_ACCEPTED && json_parse(mem, a.body, &j) == OK)
        out->detail = json_str(json_path(j, "errors.0.message"));
    if (out->outcome != MAIL_ACCEPTED && !out->detail.p)
        out->detail = arena_printf(mem, "SendGrid answered %d", a.status);
}

static sv postmark_address(struct arena *mem, sv address, sv name)
{
    if (!name.n)
        return address;
    BUF_AUTO quoted = {0}; /* Postmark encodes it itself */
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            buf_char(&quoted, '\\');
        buf_char(&quoted, name.p[i]);
    }
    return arena_printf(mem, "\"%.*s\" <%.*s>", SV_ARG(buf_sv(&quoted)), SV_ARG(address));
}

static void header_write(struct jw *w, const char *name, sv value)
{
    jw_obj(w);
    jw_kstr(w, "Name", sv_from(name));
    jw_kstr(w, "Value", value);
    jw_obj_end(w);
}

static void postmark_body(struct arena *mem, const struct mail_config *c,
                          const struct mail_message *m, struct buf *out)
{
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_kstr(&w, "From", postmark_address(mem, m->from, m->from_name));
    jw_kstr(&w, "To", postmark_address(mem, m->to, m->to_name));
    jw_kstr(&w, "Subject", m->subject);
    jw_kstr(&w, "TextBody", m->text);
    jw_kstr(&w, "HtmlBody", m->html);
    jw_kstr(&w, "MessageStream", c->stream.n ? c->stream : SV("outbound"));
    jw_key(&w, "Metadata");
    jw_obj(&w);
    jw_kstr(&w, "email_id", m->id);
    jw_obj_end(&w);
    jw_kbool(&w, "TrackOpens", false);
    jw_kstr(&w, "TrackLinks", SV("None"));
    if (m->unsubscribe_url.p) {
        jw_key(&w, "Headers");
        jw_arr(&w);
        header_write(&w, "List-Unsubscribe", mail_unsubscribe_header(mem, m));
        header_write(&w, "List-Unsubscribe-Post", SV(MAIL_UNSUBSCRIBE_POST));
        jw_arr_end(&w);
    }
    jw_obj_end(&w);
}

void mail_send_postmark(struct arena *mem, const struct mail_config *c,
                        const struct mail_message *m, struct mail_result *out)
{
    *out = (struct mail_result){.retry_at = TS_NONE};
    BUF_AUTO body = {0};
    postmark_body(mem, c, m, &body);
    const struct http_header headers[] = {
        {"X-Postmark-Server-Token", c->key},
        {"Accept", SV("application/json")},
        {"Content-Type", SV("application/json")},
    };
    struct http_answer a = {0};
    if (!post(mem, arena_printf(mem, "%.*s/email", SV_ARG(c->base)), headers, 3, &body, &a, out))
        return;
    const json *j = NULL;
    if (json_parse(mem, a.body, &j) != OK)
        j = NULL;
    /* Absent when delivery may be delayed: accepted all the same. */
    out->code = (int)json_get_int(j, "ErrorCode", 0);
    verdict(out, mail_postmark_decide(a.status, out->code));
    out->provider_id = json_get_str(j, "MessageID");
    if (out->outcome == MAIL_ACCEPTED)
        return;
    out->detail = json_get_str(j, "Message");
    if (!out->detail.p)
        out->detail = arena_printf(mem, "Postmark answered %d", a.status);
}
