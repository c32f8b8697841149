/* mybeing setup stripe: plan, confirm, apply; a second run changes nothing. SPEC §6. */
#include "app/env.h"
#include "base/crypto.h"
#include "cmd/cmd.h"
#include "cmd/stripe_setup.h"
#include "ext/stripe.h"
#include "http/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct flags {
    bool yes, live, write_env, as_json, no_webhook;
};

static bool load(struct setup *s, struct settings *set)
{
    BUF_AUTO problems = {0};
    s->set = set;
    if (settings_load(set, &problems) != OK ||
        catalog_load(s->mem, set->catalog_path, &problems, &s->catalog) != OK) {
        fprintf(stderr, "mybeing: settings or catalogue are not right:\n%.*s",
                SV_ARG(buf_sv(&problems)));
        return false;
    }
    crypto_init();
    struct stripe_config c = {set->stripe_secret_key, set->stripe_api_base, set->stripe_api_version,
                              0};
    stripe_configure(&c);
    http_client_start(set->dev);
    return true;
}

static size_t changes(const struct setup_item *items)
{
    size_t n = 0;
    for (size_t i = 0; i < SETUP_ITEMS; i++)
        n += items[i].action == SETUP_CREATE || items[i].action == SETUP_UPDATE;
    return n;
}

static void print_plan(const struct setup_item *items)
{
    static const char marks[] = {'=', '+', '~', '-'};
    for (size_t i = 0; i < SETUP_ITEMS; i++)
        printf("  %c %.*s\n", marks[items[i].action], SV_ARG(items[i].what));
}

static bool confirmed(const struct flags *f, size_t n)
{
    char line[16] = "";
    if (f->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fputs("mybeing: nothing was changed: run `mybeing setup stripe --yes` to apply it\n",
              stderr);
        return false;
    }
    printf("Apply %zu change%s at Stripe? [y/N] ", n, n == 1 ? "" : "s");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL || (line[0] != 'y' && line[0] != 'Y')) {
        puts("nothing was changed");
        return false;
    }
    return true;
}

/* .env without its STRIPE_WEBHOOK_SECRET line, and the new one behind. */
static void edit_env(const struct buf *old, sv secret, struct buf *out)
{
    sv rest = buf_sv(old);
    while (rest.p != NULL && rest.n > 0) {
        sv line = sv_cut(&rest, '\n');
        sv bare = sv_trim(line);
        if (sv_starts(bare, SV("export ")))
            bare = sv_trim((sv){bare.p + 7, bare.n - 7});
        if (!sv_starts(bare, SV("STRIPE_WEBHOOK_SECRET=")))
            buf_printf(out, "%.*s\n", SV_ARG(line));
    }
    buf_printf(out, "STRIPE_WEBHOOK_SECRET=%.*s\n", SV_ARG(secret));
}

static err write_env(sv secret)
{
    BUF_AUTO old = {0}, text = {0};
    char chunk[4096];
    size_t n;
    FILE *f = fopen(".env", "re");
    while (f != NULL && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(&old, (sv){chunk, n});
    if (f != NULL)
        fclose(f);
    else if (errno != ENOENT)
        return FAIL(ERR_CONFIG, "cannot read .env");
    edit_env(&old, secret, &text);
    int fd = open(".env.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return FAIL(ERR_CONFIG, "cannot write .env");
    bool good = write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good || rename(".env.new", ".env") != 0) {
        unlink(".env.new");
        return FAIL(ERR_CONFIG, "cannot write .env");
    }
    return OK;
}

static void print_json(const struct setup *s, const struct setup_item *items, bool applied,
                       bool show_secret)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kbool(&w, "applied", applied);
    jw_kint(&w, "changes", (int64_t)changes(items));
    jw_key(&w, "items");
    jw_arr(&w);
    for (size_t i = 0; i < SETUP_ITEMS; i++) {
        jw_obj(&w);
        jw_kstr(&w, "name", sv_from(items[i].name));
        jw_kstr(&w, "action", sv_from(setup_action_name(items[i].action)));
        jw_kstr(&w, "what", items[i].what);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    if (show_secret)
        jw_kstr(&w, "webhookSecret", s->webhook_secret);
    jw_obj_end(&w);
    puts(out.p);
}

/* The secret is told once, here: Stripe does not say it again. */
static int tell_secret(const struct setup *s, const struct flags *f)
{
    if (s->webhook_secret.p == NULL)
        return EXIT_OK;
    if (f->write_env) {
        err e = write_env(s->webhook_secret);
        if (e == OK) {
            fputs("STRIPE_WEBHOOK_SECRET was written to .env: restart the server\n", stderr);
            return EXIT_OK;
        }
        cmd_failed(e);
    }
    if (!f->as_json)
        printf("\nPut this into the server's settings; Stripe does not say it again:\n"
               "STRIPE_WEBHOOK_SECRET=%.*s\n",
               SV_ARG(s->webhook_secret));
    return f->write_env ? EXIT_WRONG : EXIT_OK;
}

static int apply(struct setup *s, struct setup_item *items, const struct flags *f)
{
    err e = OK;
    for (size_t i = 0; i < SETUP_ITEMS && e == OK; i++)
        e = setup_make(s, i, &items[i]);
    if (f->as_json)
        print_json(s, items, e == OK, !f->write_env && s->webhook_secret.p != NULL);
    int code = tell_secret(s, f);
    if (e != OK)
        return cmd_failed(e);
    if (!f->as_json)
        puts("done");
    return code;
}

static int run(struct setup *s, const struct flags *f)
{
    struct setup_item items[SETUP_ITEMS];
    if (!stripe_configured())
        return cmd_failed(FAIL(ERR_NOT_CONFIGURED, "set STRIPE_SECRET_KEY first (sk_test_… or "
                                                   "sk_live_…)"));
    if (stripe_live_mode() && !f->live)
        return cmd_misused("STRIPE_SECRET_KEY is a live key: add --live if that is meant");
    err e = setup_look(s, items);
    if (e != OK)
        return cmd_failed(e);
    size_t n = changes(items);
    if (!f->as_json) {
        printf("Stripe, %s mode:\n", stripe_live_mode() ? "live" : "test");
        print_plan(items);
    }
    if (n == 0) {
        if (f->as_json)
            print_json(s, items, true, false);
        else
            puts("nothing to do");
        return EXIT_OK;
    }
    if (!confirmed(f, n)) {
        if (f->as_json)
            print_json(s, items, false, false);
        return EXIT_WRONG;
    }
    return apply(s, items, f);
}

/* mybeing setup stripe [--yes] [--live] [--write-env] [--no-webhook] [--json] */
int cmd_setup(int argc, char **argv)
{
    static const char *const subs[] = {"stripe"};
    struct flags f = {cmd_flag(&argc, argv, "--yes"), cmd_flag(&argc, argv, "--live"),
                      cmd_flag(&argc, argv, "--write-env"), cmd_flag(&argc, argv, "--json"),
                      cmd_flag(&argc, argv, "--no-webhook")};
    if (cmd_unknown_flags(argc, argv) || cmd_sub("setup", argc > 1 ? argv[1] : NULL, subs, 1) < 0)
        return EXIT_USAGE;
    ARENA_AUTO mem = arena_new(0);
    struct settings set = {0};
    struct setup s = {.mem = mem, .no_webhook = f.no_webhook};
    if (!load(&s, &set))
        return EXIT_WRONG;
    int code = run(&s, &f);
    http_client_stop();
    return code;
}
