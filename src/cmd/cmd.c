#include "cmd/cmd.h"
#include "app/env.h"

#include <stdarg.h>
#include <stdio.h>

bool cmd_open(struct app *app, bool create)
{
    if (app_open(app, create) == OK && app_ready(app) == OK && features_init(app) == OK)
        return true;
    app_close(app);
    return false;
}

void cmd_close(struct app *app)
{
    app_close(app);
}

static void drop(int *argc, char **argv, int at, int n)
{
    for (int i = at; i + n <= *argc; i++)
        argv[i] = argv[i + n]; /* the NULL behind the last comes along */
    *argc -= n;
}

bool cmd_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0) {
            drop(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}

const char *cmd_option(int *argc, char **argv, const char *flag)
{
    size_t n = strlen(flag);
    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], flag) == 0 && i + 1 < *argc) {
            value = argv[i + 1];
            drop(argc, argv, i, 2);
        } else if (strncmp(argv[i], flag, n) == 0 && argv[i][n] == '=') {
            value = argv[i] + n + 1;
            drop(argc, argv, i, 1);
        }
        if (value)
            return value;
    }
    return NULL;
}

bool cmd_unknown_flags(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            cmd_misused("%s does not know %s (`mybeing %s --help` says what it does)", argv[0],
                        argv[i], argv[0]);
            return true;
        }
    }
    return false;
}

bool cmd_has_more(int argc, char **argv, int words)
{
    if (cmd_unknown_flags(argc, argv))
        return true;
    if (argc - 1 <= words)
        return false;
    cmd_misused("%s does not know what to do with \"%s\" (`mybeing %s --help` says what it does)",
                argv[0], argv[words + 1], argv[0]);
    return true;
}

int cmd_failed(err e)
{
    fprintf(stderr, "mybeing: %s\n", err_detail(e));
    return EXIT_WRONG;
}

int cmd_misused(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("mybeing: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_USAGE;
}

int cmd_sub(const char *command, const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; word && i < n; i++)
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    fprintf(stderr, "mybeing: %s ", command);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%s%s", i ? "|" : "", names[i]);
    const char *near = word ? text_nearest(sv_from(word), names, n) : NULL;
    if (near)
        fprintf(stderr, ": \"%s\" is none of them; did you mean %s?\n", word, near);
    else if (word)
        fprintf(stderr, ": \"%s\" is none of them\n", word);
    else
        fputs(": which?\n", stderr);
    return -1;
}
