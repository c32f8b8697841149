/* Renders the cases of tests/mail/test_mustache.py: a JSON array [{template, data, html}] on
 * standard input, an array of texts on standard output (null: refused). argv[1]: the folder of the
 * parts. */
#include "mail/template.h"
#include <stdio.h>

static void one(struct arena *mem, const json *item, struct jw *w)
{
    bool html = json_bool(json_get(item, "html"), false);
    struct template_ctx c = {.mem = mem,
                             .mode = html ? TEMPLATE_HTML : TEMPLATE_TEXT,
                             .stack = {json_get(item, "data")},
                             .depth = 1};
    BUF_AUTO out = {0};
    if (template_render(&c, json_get_str(item, "template"), &out) == OK)
        jw_str(w, out.n ? buf_sv(&out) : SV(""));
    else
        jw_null(w);
}

int main(int argc, char **argv)
{
    template_dir_set(argc > 1 ? argv[1] : NULL);
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO in = {0};
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;)
        buf_add(&in, (sv){part, n});
    const json *cases;
    if (json_parse(mem, buf_sv(&in), &cases) != OK)
        return 2;
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_arr(&w);
    for (size_t i = 0; i < json_len(cases); i++)
        one(mem, json_at(cases, i), &w);
    jw_arr_end(&w);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}
