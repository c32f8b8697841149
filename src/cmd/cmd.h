/* Subcommands: one file each; cmd/main.c has the table. Exit 0, 1 (found wrong), 2 (used wrong). */
#pragma once
#include "app/app.h"

struct command {
    const char *name, *args, *help;
    int (*run)(int argc, char **argv); /* argv[0] = the subcommand */
    bool dev_only;
};
/* The program's parts in one place (cmd/features.c): route sets, job kinds, listeners. */
extern const struct route_set *const feature_routes;
extern const unsigned feature_routes_n;
extern const struct job_kind_set *const feature_jobs;
extern const unsigned feature_jobs_n;
void features_init(struct app *app); /* listeners, stripe_configure, password cost … */
