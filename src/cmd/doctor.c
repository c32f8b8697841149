/* mybeing doctor: each problem with the command that mends it. Changes nothing. SPEC §6. */
#include "base/crypto.h"
#include "cmd/cmd.h"
#include "cmd/stripe_setup.h"
#include "db/migrate.h"
#include "ext/stripe.h"
#include "http/client.h"
#include "http/curl.h"

#include <stdio.h>
#include <stdlib.h>

#define SKEW_MAX_MS (60 * TS_SECOND) /* Stripe's signatures are refused beyond 300 s */
#define FINDINGS    64

enum level { FINE, NOTE, PROBLEM };
struct finding {
    enum level level;
    const char *about;
    sv what, mend; /* mend: a command or a setting; SV_NULL if nothing is to be done */
};
struct doctor {
    struct arena *mem;
    struct settings set;
    bool set_ok;
    const struct catalog *catalog;
    struct finding list[FINDINGS];
    size_t n, problems;
};

static void add(struct doctor *d, enum level level, const char *about, sv what, sv mend)
{
    if (d->n < FINDINGS)
        d->list[d->n++] =
            (struct finding){level, about, arena_sv(d->mem, what), arena_sv(d->mem, mend)};
    d->problems += level == PROBLEM;
}

static void add_lines(struct doctor *d, const char *about, const struct buf *lines, sv mend)
{
    for (sv rest = buf_sv(lines); rest.p != NULL && rest.n > 0;) {
        sv line = sv_trim(sv_cut(&rest, '\n'));
        if (!sv_empty(line))
            add(d, PROBLEM, about, line, mend);
    }
}

static void check_settings(struct doctor *d)
{
    BUF_AUTO problems = {0}, wrong = {0};
    d->set_ok = settings_load(&d->set, &problems) == OK;
    if (d->set_ok)
        add(d, FINE, "settings", SV("every setting is valid"), SV_NULL);
    add_lines(d, "settings", &problems, SV("correct it in the environment or .env"));
    if (catalog_load(d->mem, d->set.catalog_path, &wrong, &d->catalog) == OK)
        add(d, FINE, "catalogue",
            arena_printf(d->mem, "%zu items (%.*s)", d->catalog->nitems,
                         SV_ARG(d->catalog->source)),
            SV_NULL);
    add_lines(d, "catalogue", &wrong, SV("correct the file that CATALOG names"));
}

static void check_migrations(struct doctor *d, struct db *db)
{
    struct migrate_state *s;
    size_t n, pending = 0, strange = 0;
    if (migrate_status(db, d->mem, &s, &n) != OK) {
        add(d, PROBLEM, "schema", sv_from(err_last()->detail), SV("mybeing migrate up"));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        pending += !s[i].applied && !s[i].unknown;
        strange += s[i].unknown || s[i].changed;
    }
    if (pending > 0)
        add(d, PROBLEM, "schema", arena_printf(d->mem, "%zu migrations are missing", pending),
            SV("mybeing migrate up"));
    if (strange > 0)
        add(d, PROBLEM, "schema",
            arena_printf(d->mem, "%zu migrations are unknown to this program or were changed",
                         strange),
            SV("mybeing migrate status"));
    if (pending + strange > 0)
        return;
    BUF_AUTO out = {0};
    bool equal = false;
    if (migrate_check(db, &out, &equal) == OK && equal)
        add(d, FINE, "schema", SV("as expected"), SV_NULL);
    else
        add(d, PROBLEM, "schema", SV("the live schema differs from the migrations"),
            SV("mybeing migrate check"));
}

static void check_database(struct doctor *d)
{
    struct db *db = NULL;
    struct db_options o = {.url = d->set.database_url};
    err e = db_open(&o, &db);
    if (e != OK) {
        bool library = e == ERR_CONFIG && sv_starts(d->set.database_url, SV("postgres"));
        add(d, PROBLEM, "database", sv_from(err_last()->detail),
            library ? SV("apt install libpq5")
                    : SV("set DATABASE_URL, or make it: mybeing migrate up"));
        return;
    }
    if (db_ping(db) == OK)
        add(d, FINE, "database", SV("answers"), SV_NULL);
    else
        add(d, PROBLEM, "database", sv_from(err_last()->detail), SV("set DATABASE_URL"));
    check_migrations(d, db);
    db_close(db);
}

/* Libraries that are loaded only when they are used, so a start does not find out. */
static void check_libraries(struct doctor *d)
{
    if (curl_load() != OK)
        add(d, PROBLEM, "libraries", sv_from(err_last()->detail), SV("apt install libcurl4"));
}

/* Within what the webhooks' signatures need. */
static void check_clock(struct doctor *d, ts theirs)
{
    if (ts_is_none(theirs) || d->set.stripe_api_loopback)
        return;
    int64_t off = clock_wall().ms - theirs.ms;
    if (llabs(off) <= SKEW_MAX_MS)
        add(d, FINE, "clock", SV("within a minute of Stripe's"), SV_NULL);
    else
        add(d, PROBLEM, "clock",
            arena_printf(d->mem, "%lld seconds %s Stripe's: webhooks will be refused",
                         (long long)(llabs(off) / TS_SECOND), off > 0 ? "ahead of" : "behind"),
            SV("set the machine's clock: timedatectl set-ntp true"));
}

static void check_account(struct doctor *d)
{
    struct setup s = {.mem = d->mem, .set = &d->set, .catalog = d->catalog, .date = TS_NONE};
    struct setup_item items[SETUP_ITEMS];
    err e = setup_look(&s, items);
    if (e != OK) {
        add(d, PROBLEM, "stripe", sv_from(err_detail(e)),
            e == ERR_NOT_CONFIGURED
                ? SV("set STRIPE_SECRET_KEY to a key of your account")
                : SV("look at https://status.stripe.com, then: mybeing doctor"));
        return;
    }
    for (size_t i = 0; i < SETUP_ITEMS; i++) {
        bool good = items[i].action == SETUP_SAME;
        if (good || items[i].action == SETUP_SKIP)
            add(d, good ? FINE : NOTE, items[i].name, items[i].what, SV_NULL);
        else
            add(d, PROBLEM, items[i].name,
                arena_printf(d->mem, "to do: %.*s", SV_ARG(items[i].what)),
                SV("mybeing setup stripe"));
    }
    check_clock(d, s.date);
}

static void check_stripe(struct doctor *d)
{
    struct settings *set = &d->set;
    struct stripe_config c = {set->stripe_secret_key, set->stripe_api_base, set->stripe_api_version,
                              0};
    stripe_configure(&c);
    if (!stripe_configured()) {
        add(d, PROBLEM, "stripe", SV("STRIPE_SECRET_KEY is not set: nothing can be sold"),
            SV("set STRIPE_SECRET_KEY (sk_test_… from the Dashboard, or the sandbox's)"));
        return;
    }
    if (sv_empty(sv_trim(set->stripe_webhook_secret)))
        add(d, PROBLEM, "webhook", SV("STRIPE_WEBHOOK_SECRET is not set: no event is believed"),
            SV("mybeing setup stripe --write-env"));
    if (stripe_live_mode() && set->dev)
        add(d, PROBLEM, "stripe", SV("a live key with MYBEING_ENV=dev"),
            SV("use a sk_test_ key, or unset MYBEING_ENV"));
    if (d->catalog == NULL)
        return;
    http_client_start(set->dev);
    check_account(d);
    http_client_stop();
}

static void check_mail(struct doctor *d)
{
    const struct settings *s = &d->set;
    sv missing = SV_NULL;
    if (s->email_provider == EMAIL_SENDGRID && sv_empty(s->sendgrid_api_key))
        missing = SV("SENDGRID_API_KEY");
    if (s->email_provider == EMAIL_POSTMARK && sv_empty(s->postmark_server_token))
        missing = SV("POSTMARK_SERVER_TOKEN");
    if (s->email_provider == EMAIL_SMTP && sv_empty(s->smtp_url))
        missing = SV("SMTP_URL");
    if (s->email_provider == EMAIL_NONE)
        add(d, PROBLEM, "mail", SV("no mail is sent: EMAIL_PROVIDER is not set"),
            SV("set EMAIL_PROVIDER=sendgrid, postmark or smtp and its key"));
    else if (missing.p != NULL)
        add(d, PROBLEM, "mail", arena_printf(d->mem, "%.*s is not set", SV_ARG(missing)),
            arena_printf(d->mem, "set %.*s", SV_ARG(missing)));
    else if (s->email_provider == EMAIL_CONSOLE && !s->dev)
        add(d, PROBLEM, "mail", SV("EMAIL_PROVIDER=console shows mails to nobody but you"),
            SV("set EMAIL_PROVIDER=sendgrid, postmark or smtp"));
    else
        add(d, FINE, "mail", SV("a provider is set"), SV_NULL);
    if (s->email_provider != EMAIL_NONE && sv_empty(s->email_from))
        add(d, PROBLEM, "mail", SV("EMAIL_FROM is not set"),
            SV("set EMAIL_FROM=\"MyBeing <hello@your.domain>\""));
}

static void check_web(struct doctor *d)
{
    if (!d->set.dev && !sv_starts(d->set.base_url, SV("https://")))
        add(d, url_is_loopback(d->set.base_url) ? NOTE : PROBLEM, "web",
            arena_printf(d->mem, "BASE_URL is %.*s: browsers keep the session cookie on https only",
                         SV_ARG(d->set.base_url)),
            SV("set BASE_URL=https://your.domain"));
}

static void print_text(const struct doctor *d)
{
    static const char *const marks[] = {"ok  ", "note", "FAIL"};
    for (size_t i = 0; i < d->n; i++) {
        const struct finding *f = &d->list[i];
        printf("%s  %-14s %.*s\n", marks[f->level], f->about, SV_ARG(f->what));
        if (!sv_empty(f->mend))
            printf("      %-14s -> %.*s\n", "", SV_ARG(f->mend));
    }
    if (d->problems == 0)
        puts("no problem was found");
    else
        printf("%zu problem%s\n", d->problems, d->problems == 1 ? "" : "s");
}

static void print_json(const struct doctor *d)
{
    static const char *const levels[] = {"ok", "note", "problem"};
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kint(&w, "problems", (int64_t)d->problems);
    jw_key(&w, "findings");
    jw_arr(&w);
    for (size_t i = 0; i < d->n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "level", sv_from(levels[d->list[i].level]));
        jw_kstr(&w, "about", sv_from(d->list[i].about));
        jw_kstr(&w, "what", d->list[i].what);
        jw_kstr(&w, "mend", d->list[i].mend);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

/* mybeing doctor [--json] */
int cmd_doctor(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    if (argc > 1)
        return cmd_misused("doctor takes no argument but --json");
    ARENA_AUTO mem = arena_new(0);
    struct doctor d = {.mem = mem};
    crypto_init();
    check_settings(&d);
    check_libraries(&d);
    if (d.set_ok) {
        check_database(&d);
        check_stripe(&d);
        check_mail(&d);
        check_web(&d);
    }
    if (as_json)
        print_json(&d);
    else
        print_text(&d);
    return d.problems == 0 ? EXIT_OK : EXIT_WRONG;
}
