/* Letters of accounts. Links carry the token; the table keeps its hash. */
#include "account/account_inner.h"
#include "base/calendar.h"
#include "mail/mail.h"

struct letter {
    const char *template, *path;
    int64_t life_ms;
};
static const struct letter letters[] = {
    [TOKEN_VERIFY] = {"verify_email", "/auth/verify", VERIFY_LIFE},
    [TOKEN_MAGIC] = {"magic_link", "/auth/magic", MAGIC_LIFE},
    [TOKEN_RESET] = {"password_reset", "/auth/reset", RESET_LIFE},
    [TOKEN_EMAIL] = {"email_change", "/auth/verify", VERIFY_LIFE},
};

static sv name_of(const struct account *a)
{
    return a->name.n ? a->name : SV_NULL;
}

err account_mail_link(struct db_tx *tx, struct arena *mem, struct app *app, enum token_kind kind,
                      const struct account *a, sv to, ts now)
{
    const struct letter *l = &letters[kind];
    sv code_key = {(const char *)app->code_key, sizeof app->code_key}, base = app->set.base_url;
    struct token_made made;
    BUF_AUTO vars = {0};
    struct jw w = {.out = &vars};
    TRY(token_make(tx, mem, kind, &a->id, to, code_key, l->life_ms, now, &made));
    jw_obj(&w);
    jw_kstr(&w, "url",
            arena_printf(mem, "%.*s%s?token=%.*s", SV_ARG(base), l->path, SV_ARG(made.token)));
    if (l->life_ms <= TS_HOUR)
        jw_kint(&w, "minutes", l->life_ms / TS_MINUTE);
    if (made.code.p)
        jw_kstr(&w, "code", made.code);
    if (kind == TOKEN_EMAIL)
        jw_kstr(&w, "newEmail", to);
    jw_obj_end(&w);
    struct mail_new m = {
        .template = l->template,
        .cause = arena_printf(mem, "%s:%.*s", l->template, SV_ARG(made.id)),
        .to = to,
        /* What a stranger typed as a name reaches nobody who did not ask for it. */
        .to_name = a->verified && kind != TOKEN_EMAIL ? name_of(a) : SV_NULL,
        .member = a->id,
        .vars = buf_sv(&vars),
        .expires = ts_add(now, l->life_ms),
        .urgent = kind == TOKEN_MAGIC || kind == TOKEN_RESET,
    };
    return mail_put(tx, mem, &m, now);
}

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

err account_mail_notice(struct db_tx *tx, struct arena *mem, const struct account *a, sv to,
                        const char *what, sv cause, ts now)
{
    struct civil c = civil_from_ts(now);
    BUF_AUTO vars = {0};
    struct jw w = {.out = &vars};
    jw_obj(&w);
    jw_kstr(&w, "what", sv_from(what));
    jw_kstr(&w, "when",
            arena_printf(mem, "%d %s %d, %02d:%02d UTC", c.day, months[c.month - 1], c.year, c.hour,
                         c.minute));
    jw_obj_end(&w);
    struct mail_new m = {.template = "security_notice",
                         .cause = arena_printf(mem, "security_notice:%.*s", SV_ARG(cause)),
                         .to = to,
                         .to_name = name_of(a),
                         .member = a->id,
                         .vars = buf_sv(&vars),
                         .expires = TS_NONE};
    return to.n ? mail_put(tx, mem, &m, now) : OK;
}

err account_mail_welcome(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    struct mail_new m = {.template = "welcome",
                         .cause = arena_printf(mem, "welcome:%s", a->id.s),
                         .to = a->email,
                         .to_name = name_of(a),
                         .member = a->id,
                         .vars = SV("{}"),
                         .expires = TS_NONE};
    return mail_put(tx, mem, &m, now);
}
