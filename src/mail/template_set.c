/* The set of templates: embedded at build, overridable file by file from EMAIL_TEMPLATES_DIR. */
#include "mail/template.h"
#include "mail_templates.h"
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (256 * 1024)

static const char *folder;

void template_dir_set(const char *dir)
{
    folder = dir && *dir ? dir : NULL;
}

static bool file_read(struct arena *mem, const char *path, sv *out)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return false;
    char *text = arena_alloc(mem, FILE_MAX);
    size_t n = fread(text, 1, FILE_MAX, f);
    fclose(f);
    *out = (sv){text, n};
    return n < FILE_MAX;
}

err template_read(struct arena *mem, const char *name, sv *out)
{
    if (strchr(name, '/') || name[0] == '.')
        return FAIL(ERR_VALIDATION, "the name of a template is a file name");
    if (folder && file_read(mem, arena_printf(mem, "%s/%s", folder, name).p, out))
        return OK;
    for (unsigned i = 0; i < mail_template_files_n; i++)
        if (strcmp(mail_template_files[i].name, name) == 0) {
            *out = mail_template_files[i].body;
            return OK;
        }
    return ERR_NOT_FOUND;
}

bool template_built_in(const char *file)
{
    for (unsigned i = 0; i < mail_template_files_n; i++)
        if (strcmp(mail_template_files[i].name, file) == 0)
            return true;
    return false;
}

size_t template_names(const char *const **out)
{
    static const char *names[64];
    static char texts[64][64];
    size_t n = 0;
    for (unsigned i = 0; i < mail_template_files_n; i++) {
        sv name = sv_from(mail_template_files[i].name);
        if (!sv_ends(name, SV(".mail")) || n == 64)
            continue;
        snprintf(texts[n], sizeof texts[n], "%.*s", (int)(name.n - 5), name.p);
        names[n] = texts[n];
        n++;
    }
    *out = names;
    return n;
}

const json *template_sample(struct arena *mem, const char *name)
{
    sv text;
    const json *all;
    if (template_read(mem, "samples.json", &text) != OK || json_parse(mem, text, &all) != OK)
        return NULL;
    return json_get(all, name);
}

/* -------- a whole mail -------- */

struct parts {
    sv subject, preheader, text, html;
};

static err parts_read(sv file, struct parts *out)
{
    struct parts p = {0};
    while (file.p) {
        sv line = sv_cut(&file, '\n');
        if (sv_starts(line, SV("subject:")))
            p.subject = sv_trim((sv){line.p + 8, line.n - 8});
        else if (sv_starts(line, SV("preheader:")))
            p.preheader = sv_trim((sv){line.p + 10, line.n - 10});
        else if (sv_is(sv_trim(line), "=== text"))
            break;
    }
    const char *html = file.p ? memmem(file.p, file.n, "=== html\n", 9) : NULL;
    if (!html)
        return FAIL(ERR_VALIDATION, "the template has no parts \"=== text\" and \"=== html\"");
    p.text = (sv){file.p, (size_t)(html - file.p)};
    p.html = (sv){html + 9, file.n - p.text.n - 9};
    if (!p.subject.n)
        return FAIL(ERR_VALIDATION, "the template has no subject");
    *out = p;
    return OK;
}

static err render(struct template_ctx *c, enum template_mode mode, sv text, sv *out)
{
    BUF_AUTO b = {0};
    c->mode = mode;
    c->nesting = 0;
    TRY(template_render(c, text, &b));
    *out = arena_sv(c->mem, buf_sv(&b));
    return OK;
}

/* The layout has the rendered content as {{{content}}}. */
static err layout(struct template_ctx *c, const char *file, enum template_mode mode, sv content,
                  sv subject, sv preheader, sv *out)
{
    sv text;
    TRY(template_read(c->mem, file, &text));
    BUF_AUTO b = {0};
    struct jw w = {.out = &b};
    jw_obj(&w);
    jw_kstr(&w, "content", content);
    jw_kstr(&w, "subject", subject);
    jw_kstr(&w, "preheader", preheader.p ? preheader : SV(""));
    jw_obj_end(&w);
    const json *j;
    TRY(json_parse(c->mem, arena_sv(c->mem, buf_sv(&b)), &j));
    c->stack[c->depth++] = j;
    err e = render(c, mode, text, out);
    c->depth--;
    return e;
}

err template_mail(struct arena *mem, sv name, const json *common, const json *vars,
                  struct mail_text *out)
{
    sv file;
    struct parts p;
    err e = template_read(mem, arena_printf(mem, "%.*s.mail", SV_ARG(name)).p, &file);
    if (e == ERR_NOT_FOUND)
        return FAIL(ERR_NOT_FOUND, "there is no mail template %.*s", SV_ARG(name));
    TRY(e);
    TRY(parts_read(file, &p));
    BUF_AUTO missing = {0};
    struct template_ctx c = {.mem = mem, .stack = {common, vars}, .depth = 2, .missing = &missing};
    struct mail_text m = {0};
    sv text, html, preheader;
    TRY(render(&c, TEMPLATE_TEXT, p.subject, &m.subject));
    TRY(render(&c, TEMPLATE_TEXT, p.preheader, &preheader));
    TRY(render(&c, TEMPLATE_TEXT, p.text, &text));
    TRY(render(&c, TEMPLATE_HTML, p.html, &html));
    TRY(layout(&c, "_layout.txt", TEMPLATE_TEXT, text, m.subject, preheader, &m.text));
    TRY(layout(&c, "_layout.html", TEMPLATE_HTML, html, m.subject, preheader, &m.html));
    m.missing = arena_sv(mem, buf_sv(&missing));
    *out = m;
    return OK;
}
