/* Subcommands: one file each; cmd/main.c has the table. Exit 0, 1 (found wrong), 2 (used wrong). */
#pragma once
#include "app/app.h"

enum { EXIT_OK, EXIT_WRONG, EXIT_USAGE };

struct command {
    const char *name, *args, *help;
    int (*run)(int argc, char **argv); /* argv[0] = the subcommand */
    bool dev_only;
    const char *more; /* for its help; NULL if the line says it all */
};
/* A new command: a file, its declaration here, a line in main.c's table. */
int cmd_serve(int argc, char **argv);
int cmd_work(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_email(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_routes(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_user(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_admin(int argc, char **argv);
int cmd_dev(int argc, char **argv);
int cmd_setup(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_export(int argc, char **argv);

/* -------- what commands share (cmd.c) -------- */
/* Settings, database, schema, secrets, features: false after the reason was told (then return
 * EXIT_WRONG). create = make the SQLite file if it is missing. */
bool cmd_open(struct app *app, bool create) MUST_USE;
void cmd_close(struct app *app);
#define APP_AUTO __attribute__((cleanup(cmd_close))) struct app
/* Takes `flag` out of the arguments: was it there? */
bool cmd_flag(int *argc, char **argv, const char *flag);
/* Takes `flag VALUE` out of the arguments; NULL if it is not there. */
const char *cmd_option(int *argc, char **argv, const char *flag);
/* What is left and begins with '-' is a mistake: told, true. */
bool cmd_unknown_flags(int argc, char **argv);
/* More than so many words, or a flag, is left: told, true. */
bool cmd_has_more(int argc, char **argv, int words);
/* "mybeing: detail of the error"; returns EXIT_WRONG. */
int cmd_failed(err e);
/* "mybeing: sentence"; returns EXIT_USAGE. */
int cmd_misused(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Looks `word` up among "a|b|c"; the index, or -1 after the nearest was told. */
int cmd_sub(const char *command, const char *word, const char *const *names, size_t n);

/* How many invariants were asked and how many are broken, without a word. (check.c) */
err check_run(struct app *app, struct arena *mem, unsigned *run, unsigned *broken) MUST_USE;

/* -------- the program's parts in one place (features.c) -------- */
const struct route_set *features_routes(size_t *n);
const struct job_kind_set *features_jobs(size_t *n);
/* Catalogue, listeners, keys of outside services. Problems go to stderr. */
err features_init(struct app *app) MUST_USE;
