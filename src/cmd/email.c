/* mybeing email: the templates (check, preview), what was sent, providers and suppressed addresses.
 */
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "mail/mail_render.h"
#include "mail/template.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const json *object(struct arena *mem, const char *text)
{
    const json *j = NULL;
    err e = json_parse(mem, sv_from(text), &j);
    return e == OK ? j : NULL;
}

static const json *sample_common(struct arena *mem, const char *name)
{
    /* Only mail that one may refuse has the link; in our set that is one. */
    bool optional = strcmp(name, "checkin_reminder") == 0;
    return mail_common(mem, SV("https://mybeing.example"), SV("Ada & Grace"),
                       optional ? SV("https://mybeing.example/unsubscribe/sample") : SV_NULL);
}

static err render(struct arena *mem, const char *name, struct mail_text *out)
{
    const json *vars = template_sample(mem, name);
    if (!vars)
        return FAIL(ERR_NOT_FOUND, "samples.json has no variables for %s", name);
    return template_mail(mem, sv_from(name), sample_common(mem, name), vars, out);
}

static bool nearly_empty(struct arena *mem, const char *name)
{
    struct mail_text text;
    /* Without any optional variable it must not break either. */
    return template_mail(mem, sv_from(name), mail_common(mem, SV("https://x"), SV_NULL, SV_NULL),
                         object(mem, "{}"), &text) == OK;
}

struct verdicts {
    struct jw w;
    bool as_json;
    size_t bad;
};

static void verdict(struct verdicts *v, const char *name, sv problem)
{
    v->bad += problem.p != NULL;
    jw_obj(&v->w);
    jw_kstr(&v->w, "template", sv_from(name));
    jw_kbool(&v->w, "ok", problem.p == NULL);
    jw_kstr(&v->w, "problem", problem);
    jw_obj_end(&v->w);
    if (!v->as_json)
        printf("%-26s %.*s\n", name, SV_ARG(problem.p ? problem : SV("ok")));
}

static sv template_problem(struct arena *mem, const char *name)
{
    struct mail_text text = {0};
    err e = render(mem, name, &text);
    if (e != OK)
        return arena_sv(mem, sv_from(err_detail(e)));
    if (text.missing.n)
        return arena_printf(mem, "missing variable: %.*s", SV_ARG(text.missing));
    return nearly_empty(mem, name) ? SV_NULL : SV("breaks without its optional variables");
}

/* A folder that is not there, or a file that wins over nothing: somebody thinks it does. */
static void folder_check(struct verdicts *v, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d) {
        verdict(v, folder, SV("this folder cannot be read"));
        return;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && !template_built_in(e->d_name))
            verdict(v, e->d_name, SV("there is no built-in file of this name: it is never used"));
    closedir(d);
}

static int check(const char *folder, bool as_json)
{
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO b = {0};
    struct verdicts v = {.w = {.out = &b}, .as_json = as_json};
    const char *const *names;
    size_t n = template_names(&names);
    jw_arr(&v.w);
    for (size_t i = 0; i < n; i++)
        verdict(&v, names[i], template_problem(mem, names[i]));
    if (folder && *folder)
        folder_check(&v, folder);
    jw_arr_end(&v.w);
    if (as_json)
        printf("%.*s\n", SV_ARG(buf_sv(&b)));
    else
        printf("%zu templates, %zu wrong\n", n, v.bad);
    return v.bad ? EXIT_WRONG : EXIT_OK;
}

static int preview(const char *name, bool text_only)
{
    ARENA_AUTO mem = arena_new(0);
    const char *const *names;
    size_t n = template_names(&names);
    if (cmd_sub("email preview", name, names, n) < 0)
        return EXIT_USAGE;
    struct mail_text text;
    err e = render(mem, name, &text);
    if (e != OK)
        return cmd_failed(e);
    if (text_only)
        printf("Subject: %.*s\n\n%.*s", SV_ARG(text.subject), SV_ARG(text.text));
    else
        printf("%.*s", SV_ARG(text.html));
    return EXIT_OK;
}

/* -------- the database's part -------- */

struct ask {
    struct mail_filter filter;
    struct mail_row *rows;
    size_t n;
    sv word;
    bool found;
};

static err list_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct ask *a = arg;
    return mail_store_list(tx, mem, &a->filter, &a->rows, &a->n);
}

static err resume_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct ask *a = arg;
    return mail_store_resume(tx, a->word, &a->found);
}

static err allow_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct ask *a = arg;
    return mail_store_unsuppress(tx, a->word, SV_NULL, &a->found);
}

static int list(struct app *app, struct arena *mem, struct ask *a, bool as_json)
{
    a->filter.n = 50;
    err e = db_read(app->db, mem, list_run, a);
    if (e != OK)
        return cmd_failed(e);
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_arr(&w);
    for (size_t i = 0; i < a->n; i++) {
        const struct mail_row *m = &a->rows[i];
        char at[TS_TEXT];
        jw_obj(&w);
        jw_kstr(&w, "id", m->id);
        jw_kstr(&w, "template", m->template);
        jw_kstr(&w, "to", m->recipient);
        jw_kstr(&w, "state", m->state);
        jw_kstr(&w, "error", m->error);
        jw_kts(&w, "createdAt", m->created);
        jw_obj_end(&w);
        if (!as_json)
            printf("%.*s  %-24.*s %-11.*s %.*s%s%.*s\n", SV_ARG(ts_text(m->created, at)),
                   SV_ARG(m->template), SV_ARG(m->state), SV_ARG(m->recipient),
                   m->error.p ? "  " : "", SV_ARG(m->error));
    }
    jw_arr_end(&w);
    if (as_json)
        printf("%.*s\n", SV_ARG(buf_sv(&b)));
    else if (a->n == 0)
        puts("no mail");
    return EXIT_OK;
}

static int change(struct app *app, struct arena *mem, struct ask *a, db_fn fn, const char *done,
                  const char *none)
{
    err e = db_write(app->db, mem, fn, a);
    if (e != OK)
        return cmd_failed(e);
    puts(a->found ? done : none);
    return a->found ? EXIT_OK : EXIT_WRONG;
}

int cmd_email(int argc, char **argv)
{
    static const char *const subs[] = {"check", "preview", "list", "resume", "allow"};
    enum { CHECK, PREVIEW, LIST, RESUME, ALLOW };
    static const char *const needs[] = {[PREVIEW] = "the name of a template",
                                        [RESUME] = "the name of a provider",
                                        [ALLOW] = "an address"};
    bool as_json = cmd_flag(&argc, argv, "--json"), text_only = cmd_flag(&argc, argv, "--text");
    const char *folder = cmd_option(&argc, argv, "--dir");
    struct ask a = {.filter = {.state = sv_from(cmd_option(&argc, argv, "--state")),
                               .recipient = sv_from(cmd_option(&argc, argv, "--to"))}};
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (argc < 2)
        return cmd_misused("email check, preview NAME, list, resume PROVIDER or allow ADDRESS?");
    int sub = cmd_sub("email", argv[1], subs, sizeof subs / sizeof *subs);
    if (sub < 0)
        return EXIT_USAGE;
    const char *word = argc > 2 ? argv[2] : NULL;
    if (!word && sub != CHECK && sub != LIST)
        return cmd_misused("email %s needs %s", subs[sub], needs[sub]);
    /* The templates need no database: they are checked before a server is set up. */
    template_dir_set(folder ? folder : getenv("EMAIL_TEMPLATES_DIR"));
    if (sub == CHECK)
        return check(folder ? folder : getenv("EMAIL_TEMPLATES_DIR"), as_json);
    if (sub == PREVIEW)
        return preview(word, text_only);
    APP_AUTO app = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    ARENA_AUTO mem = arena_new(0);
    a.word = sv_from(word);
    if (sub == RESUME)
        return change(&app, mem, &a, resume_run, "resumed", "this provider is not paused");
    if (sub == ALLOW)
        return change(&app, mem, &a, allow_run, "the address gets mail again",
                      "this address is not suppressed");
    return list(&app, mem, &a, as_json);
}
