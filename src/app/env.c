#include "app/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024)

extern char **environ;

/* -------- typos -------- */

#define WORD_MAX 64

size_t text_distance(sv a, sv b)
{
    if (a.n > WORD_MAX || b.n > WORD_MAX)
        return WORD_MAX;
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a.n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b.n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = d[i - 1][j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[a.n][b.n];
}

const char *text_nearest(sv word, const char *const *names, size_t n)
{
    size_t limit = word.n < 6 ? 1 : word.n < 18 ? 2 : 3, best = limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = text_distance(word, sv_from(names[i]));
        if (d < best) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

/* -------- .env -------- */

static bool name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* A quoted value at `s`; *end = behind the closing quote. False if it does not close. */
static bool quoted(struct arena *mem, sv s, sv *out, size_t *end)
{
    char quote = s.p[0], *p = arena_alloc(mem, s.n + 1);
    size_t n = 0;
    for (size_t i = 1; i < s.n; i++) {
        char c = s.p[i];
        if (c == quote) {
            p[n] = '\0';
            *out = (sv){p, n};
            *end = i + 1;
            return true;
        }
        if (quote == '"' && c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        p[n++] = c;
    }
    return false;
}

static sv without_comment(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '#' && (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
            return sv_trim((sv){s.p, i});
    return sv_trim(s);
}

/* One NAME=value; *used = bytes of `text` it took (a quoted value may span lines). */
static bool pair_parse(struct arena *mem, sv text, struct env_pair *out, size_t *used)
{
    size_t eol = 0, i = 0;
    while (eol < text.n && text.p[eol] != '\n')
        eol++;
    *used = eol < text.n ? eol + 1 : eol;
    sv line = {text.p, eol};
    if (sv_starts(line, SV("export ")))
        i = 7;
    while (i < eol && (text.p[i] == ' ' || text.p[i] == '\t'))
        i++;
    size_t start = i;
    while (i < eol && name_char(text.p[i], i == start))
        i++;
    out->name = (sv){text.p + start, i - start};
    while (i < eol && text.p[i] == ' ')
        i++;
    if (out->name.n == 0 || i == eol || text.p[i] != '=')
        return false;
    i++;
    while (i < eol && (text.p[i] == ' ' || text.p[i] == '\t'))
        i++;
    if (i == eol || (text.p[i] != '"' && text.p[i] != '\'')) {
        out->value = without_comment((sv){text.p + i, eol - i});
        return true;
    }
    size_t end = 0;
    if (!quoted(mem, (sv){text.p + i, text.n - i}, &out->value, &end))
        return false;
    i += end;
    eol = i;
    while (eol < text.n && text.p[eol] != '\n')
        eol++;
    *used = eol < text.n ? eol + 1 : eol;
    return without_comment((sv){text.p + i, eol - i}).n == 0;
}

static int lines_in(sv s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

void env_parse(struct arena *mem, sv text, struct buf *problems, struct env *out)
{
    struct env_pair *pairs = ARENA_ARRAY(mem, struct env_pair, (size_t)lines_in(text) + 1);
    size_t n = 0;
    int line = 1;
    if (sv_starts(text, SV("\xef\xbb\xbf")))
        text = (sv){text.p + 3, text.n - 3};
    while (text.n > 0) {
        size_t indent = 0, used = 0;
        while (indent < text.n && (text.p[indent] == ' ' || text.p[indent] == '\t' ||
                                   text.p[indent] == '\r' || text.p[indent] == '\n'))
            indent++;
        line += lines_in((sv){text.p, indent});
        text = (sv){text.p + indent, text.n - indent};
        if (text.n == 0)
            break;
        struct env_pair p = {.line = line};
        bool good = pair_parse(mem, text, &p, &used);
        if (good)
            pairs[n++] = p;
        else if (text.p[0] != '#')
            buf_printf(problems, ".env line %d is not NAME=value (or a quote does not close)\n",
                       line);
        line += lines_in((sv){text.p, used});
        text = (sv){text.p + used, text.n - used};
    }
    out->mem = mem;
    out->file = pairs;
    out->nfile = n;
}

/* The whole of a file of at most FILE_MAX bytes. */
static bool file_read(struct arena *mem, const char *path, sv *out, const char **why)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        *why = strerror(errno);
        return false;
    }
    char *p = arena_alloc(mem, FILE_MAX + 1);
    size_t n = fread(p, 1, FILE_MAX + 1, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || n > FILE_MAX) {
        *why = failed ? "cannot be read" : "is larger than 256 KiB";
        return false;
    }
    p[n] = '\0';
    *out = (sv){p, n};
    return true;
}

void env_read(struct arena *mem, const char *path, struct buf *problems, struct env *out)
{
    size_t n = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    struct env_pair *vars = ARENA_ARRAY(mem, struct env_pair, n + 1);
    for (size_t i = 0; i < n; i++) {
        sv rest = arena_sv(mem, sv_from(environ[i]));
        vars[i].name = sv_cut(&rest, '=');
        vars[i].value = rest.p ? rest : SV("");
    }
    *out = (struct env){.mem = mem, .vars = vars, .nvars = n};
    if (access(path, F_OK) != 0)
        return;
    sv text;
    const char *why = "";
    if (file_read(mem, path, &text, &why))
        env_parse(mem, text, problems, out);
    else
        buf_printf(problems, "%s: %s\n", path, why);
}

static sv pair_find(const struct env_pair *p, size_t n, sv name)
{
    sv found = SV_NULL; /* the last one holds, as in a shell */
    for (size_t i = 0; i < n; i++)
        if (sv_eq(p[i].name, name) && p[i].value.n > 0)
            found = p[i].value;
    return found;
}

static sv from_file(const struct env *e, sv file_name, sv path, struct buf *problems)
{
    sv text;
    const char *why = "";
    if (!file_read(e->mem, arena_cstr(e->mem, path), &text, &why)) {
        buf_printf(problems, "%.*s=%.*s: %s\n", SV_ARG(file_name), SV_ARG(path), why);
        return SV_NULL;
    }
    while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    if (text.n > 0)
        return text;
    buf_printf(problems, "%.*s=%.*s: the file is empty\n", SV_ARG(file_name), SV_ARG(path));
    return SV_NULL;
}

sv env_get(const struct env *e, const char *name, struct buf *problems)
{
    sv plain = sv_from(name), file = arena_printf(e->mem, "%s_FILE", name);
    const struct env_pair *source[] = {e->vars, e->file};
    size_t count[] = {e->nvars, e->nfile};
    for (int i = 0; i < 2; i++) {
        sv value = pair_find(source[i], count[i], plain),
           path = pair_find(source[i], count[i], file);
        if (value.p && path.p)
            buf_printf(problems, "%s and %s_FILE are both set: keep one\n", name, name);
        if (value.p)
            return value;
        if (path.p)
            return from_file(e, file, path, problems);
    }
    return SV_NULL;
}
