/* Mail templates: a Mustache subset, HTML-escaped by default.
 *
 * {{name}} value (escaped in the HTML part) · {{{name}}} as it is · {{#list}}…{{/list}} section for
 * a true value, each element of an array, or an object's inside · {{^name}}…{{/name}} for a false,
 * empty or missing one · {{.}} the element ·
 * {{a.b}} dotted · {{! comment}} · {{> part}} another file. A line that holds nothing but tags of
 * sections, comments and parts goes with them. Renders as the npm package mustache does, except: no
 * lambdas, no changed delimiters, parts are not indented, and only & < > " ' are escaped (it writes
 * / ` = as entities as well).
 *
 * A file NAME.mail:   subject: one line
 *                     preheader: one line, what an inbox shows behind the subject
 *                     === text
 *                     …
 *                     === html
 *                     … */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* Reads a file of the set by name ("welcome.mail"): from EMAIL_TEMPLATES_DIR if it is there, else
 * built in. ERR_NOT_FOUND. */
err template_read(struct arena *mem, const char *name, sv *out) MUST_USE;
void template_dir_set(const char *dir); /* once at start; NULL: built-in templates only */

enum template_mode { TEMPLATE_TEXT, TEMPLATE_HTML };
struct template_ctx {
    struct arena *mem;
    enum template_mode mode;
    const json *stack[16]; /* searched from the top */
    size_t depth;
    struct buf *missing; /* names of variables without a value, comma-separated; may be NULL */
    int nesting;
};
/* ERR_VALIDATION: a tag that is not closed, an unknown part, nested too deeply. */
err template_render(struct template_ctx *c, sv text, struct buf *out) MUST_USE;

struct mail_text {
    sv subject, text, html;
    sv missing; /* names of missing variables, or empty */
};
/* A whole mail: `vars` over `common`. */
err template_mail(struct arena *mem, sv name, const json *common, const json *vars,
                  struct mail_text *out) MUST_USE;
/* All templates of the set, sorted, without ".mail". */
size_t template_names(const char *const **out);
/* Is there a built-in file of this name that a folder's can win over? */
bool template_built_in(const char *file);
/* Sample variables of a template, for check and preview; NULL if there are none. */
const json *template_sample(struct arena *mem, const char *name);
