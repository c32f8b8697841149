#include "mail/mail_render.h"
#include "app/app.h"
#include "base/crypto.h"

#define PRODUCT "MyBeing"

const json *mail_common(struct arena *mem, sv base_url, sv name, sv unsubscribe_url)
{
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    const json *out = NULL;
    jw_obj(&w);
    jw_kstr(&w, "product", SV(PRODUCT));
    jw_kstr(&w, "baseUrl", base_url);
    if (name.n)
        jw_kstr(&w, "name", name);
    if (unsubscribe_url.n)
        jw_kstr(&w, "unsubscribeUrl", unsubscribe_url);
    jw_obj_end(&w);
    err e = json_parse(mem, arena_sv(mem, buf_sv(&b)), &out);
    return e == OK ? out : NULL;
}

static sv token_mac(struct arena *mem, const struct app *app, sv id, sv category)
{
    const sv parts[] = {id, {"\0", 1}, category};
    struct digest d = crypto_hmac(
        (sv){(const char *)app->unsubscribe_key, sizeof app->unsubscribe_key}, parts, 3);
    return crypto_b64url(mem, digest_sv(&d));
}

sv mail_unsubscribe_url(struct arena *mem, const struct app *app, sv id, sv category)
{
    sv mac = token_mac(mem, app, id, category);
    return arena_printf(mem, "%.*s/unsubscribe/%.*s.%.*s.%.*s", SV_ARG(app->set.base_url),
                        SV_ARG(id), SV_ARG(category), SV_ARG(mac));
}

bool mail_unsubscribe_read(struct arena *mem, const struct app *app, sv token, sv *id, sv *category)
{
    sv rest = token, i = sv_cut(&rest, '.'), c = sv_cut(&rest, '.');
    if (!rest.p || !id_valid(i, "eml") || !crypto_eq(rest, token_mac(mem, app, i, c)))
        return false;
    *id = i;
    *category = c;
    return true;
}

err mail_render(struct arena *mem, const struct app *app, const struct mail_row *m,
                struct mail_message *out)
{
    const json *vars;
    if (!m->vars.p)
        return FAIL(ERR_VALIDATION, "the content of this mail is no longer kept");
    if (json_parse(mem, m->vars, &vars) != OK || json_kind(vars) != JK_OBJ)
        return FAIL(ERR_VALIDATION, "the variables are no JSON object");
    struct mail_message msg = {
        .id = m->id, .to = m->recipient, .to_name = m->recipient_name, .date = m->created};
    if (m->optional)
        msg.unsubscribe_url = mail_unsubscribe_url(mem, app, m->id, m->template);
    TRY(mail_address_named(mem, app->set.email_from, &msg.from_name, &msg.from));
    const json *common =
        mail_common(mem, app->set.base_url, m->recipient_name, msg.unsubscribe_url);
    struct mail_text text;
    err e = template_mail(mem, m->template, common, vars, &text);
    if (e == ERR_NOT_FOUND)
        return FAIL(ERR_VALIDATION, "there is no template %.*s", SV_ARG(m->template));
    TRY(e);
    if (text.missing.n)
        return FAIL(ERR_VALIDATION, "the template %.*s misses %.*s", SV_ARG(m->template),
                    SV_ARG(text.missing));
    msg.subject = text.subject;
    msg.text = text.text;
    msg.html = text.html;
    TRY(mail_message_check(mem, &msg));
    *out = msg;
    return OK;
}
