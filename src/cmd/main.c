/* mybeing: the table of subcommands. SPEC §6. */
#include "app/env.h"
#include "cmd/cmd.h"

#include <stdio.h>

static const char help_dev[] =
    "  newuser [E-MAIL]         a signed-in member: {userId, cookie, token}; made if it is not "
    "there\n"
    "  userstate ID or E-MAIL   {premium, paid_cents, refunded_cents, items} of one\n"
    "  state                    the whole business state as canonical JSON, to compare two runs\n"
    "  settle                   waits until no job is due\n"
    "  clock [show]             the program's clock\n"
    "  clock +1 month           moves it (seconds minutes hours days weeks months years); the\n"
    "                           sandbox's clock goes with it; also: clock 2027-01-31T12:00:00Z\n";
static const char help_events[] =
    "  list                     newest first; --failed those that could not be applied\n"
    "  show ID                  one, with its body as it came\n"
    "  replay ID… or --failed   applies them again; what is older than the facts changes nothing\n"
    "  replay --shadow          all, into a second set of facts: what differs is told\n";
static const char help_migrate[] =
    "  up                       applies what is pending (so does `serve`)\n"
    "  down N                   undoes every step after number N; its data are lost\n"
    "  status                   each step; exit 1 if one is pending\n"
    "  check                    compares the live schema with the expected one, in words\n";
static const char help_admin[] =
    "  create E-MAIL            makes an administrator, and the account if there is none;\n"
    "                           prints a link to sign in by\n"
    "  list                     who is one\n"
    "  remove E-MAIL            takes it back\n";
static const char help_user[] = "  list                     all, oldest first\n"
                                "  show ID or E-MAIL        one\n"
                                "  logout ID or E-MAIL      ends every session\n"
                                "  verify ID or E-MAIL      takes the address as confirmed\n";

static const struct command commands[] = {
    {"serve", "[--no-jobs]", "HTTP and jobs, until it is told to stop", cmd_serve},
    {"work", "", "jobs only: more workers beside a server on PostgreSQL", cmd_work},
    {"migrate", "[up|down N|status|check] [--json]", "the database's schema", cmd_migrate,
     .more = help_migrate},
    {"email", "check|preview NAME|list|resume PROVIDER|allow ADDRESS [--text] [--dir D] [--json]",
     "mail: templates, what was sent, paused providers, suppressed addresses", cmd_email},
    {"jobs", "[list|counts|show ID|redrive ID|cancel ID] [--state S] [--kind K] [--json]",
     "background jobs: what waits, runs and died", cmd_jobs},
    {"backup", "[FILE] [--json]", "a checked copy of the whole database, while it is in use",
     cmd_backup},
    {"restore", "FILE [--force] [--json]", "puts a backup in the database's place", cmd_restore},
    {"export", "ID or E-MAIL [FILE]", "everything that is kept of one person, as JSON", cmd_export},
    {"check", "[--json]", "every invariant as one query; nothing may come back", cmd_check},
    {"routes", "[--json]", "every endpoint with its rules and its handler", cmd_routes},
    {"sync", "[repair [ID]|drift] [--json]", "catches up with Stripe and lists what differs",
     cmd_sync},
    {"events",
     "list [--failed] [--object ID] [--limit N]|show ID|replay ID…|--failed|--shadow [--json]",
     "what Stripe sent", cmd_events, .more = help_events},
    {"user", "list|show|logout|verify [ID or E-MAIL] [--json]", "members", cmd_user,
     .more = help_user},
    {"key", "create [NAME]|list|revoke ID [--json]", "secret keys for servers", cmd_key},
    {"admin", "create|list|remove [E-MAIL]", "who may use the admin's endpoints", cmd_admin,
     .more = help_admin},
    {"dev", "newuser|userstate|state|settle|clock …", "try things out", cmd_dev, .dev_only = true,
     .more = help_dev},
    {"setup", "stripe [--yes] [--live] [--write-env] [--no-webhook] [--json]",
     "what the account at Stripe needs: shows the plan, asks, applies", cmd_setup},
    {"doctor", "[--json]", "each problem with the command that mends it", cmd_doctor},
    {"version", "[--json]", "which program this is", cmd_version},
};
#define NCOMMANDS (sizeof commands / sizeof *commands)

static void usage(FILE *to)
{
    fputs("mybeing: a membership backend: accounts, Stripe, allowances, mail, AI conversations\n\n"
          "usage: mybeing COMMAND [ARGUMENTS]\n\n",
          to);
    for (size_t i = 0; i < NCOMMANDS; i++)
        fprintf(to, "  %-9s %s%s\n", commands[i].name, commands[i].help,
                commands[i].dev_only ? " (MYBEING_ENV=dev)" : "");
    fputs("\n`mybeing COMMAND --help` shows its arguments. Settings come from the environment or "
          ".env.\n"
          "A first look: MYBEING_ENV=dev mybeing serve\n",
          to);
}

static int help(const struct command *c)
{
    printf("usage: mybeing %s%s%s\n%s%s\n", c->name, *c->args ? " " : "", c->args, c->help,
           c->dev_only ? " (only with MYBEING_ENV=dev)" : "");
    if (c->more)
        printf("\n%s", c->more);
    return EXIT_OK;
}

static int unknown(const char *word)
{
    const char *names[NCOMMANDS];
    for (size_t i = 0; i < NCOMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = text_nearest(sv_from(word), names, NCOMMANDS);
    if (near)
        return cmd_misused("there is no command \"%s\"; did you mean %s?", word, near);
    return cmd_misused("there is no command \"%s\" (`mybeing help` lists them)", word);
}

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (asks_help(word) || (strcmp(word, "help") == 0 && argc == 2)) {
        usage(stdout);
        return EXIT_OK;
    }
    bool help_first = strcmp(word, "help") == 0;
    if (help_first)
        word = argv[2];
    if (strcmp(word, "--version") == 0)
        word = "version";
    for (size_t i = 0; i < NCOMMANDS; i++) {
        if (strcmp(word, commands[i].name) != 0)
            continue;
        for (int k = 2; k < argc; k++)
            if (help_first || asks_help(argv[k]))
                return help(&commands[i]);
        return commands[i].run(argc - 1, argv + 1);
    }
    return unknown(word);
}
