/* mybeing serve: HTTP and jobs. */
#include "account/account.h"
#include "chat/turn.h"
#include "cmd/run.h"
#include "http/client.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

/* PORT=0 without BASE_URL: the port must be known before links are made of it. */
static void choose_port(struct settings *s)
{
    static char url[64];
    if (s->port != 0 || s->base_url_set)
        return;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &n) == 0) {
        s->port = ntohs(a.sin_port);
        snprintf(url, sizeof url, "http://localhost:%u", s->port);
        s->base_url = sv_from(url);
    }
    if (fd >= 0)
        close(fd);
}

static struct http_options options(struct app *app)
{
    const struct settings *s = &app->set;
    struct http_options o = {
        .bind = s->bind,
        .port = s->port,
        .loops = (unsigned)s->http_loops,
        .workers = (unsigned)s->http_workers,
        .dev = s->dev,
        .base_url = s->base_url,
        .cors_origins = s->cors_origins,
        .trusted_proxies = s->trusted_proxies,
        .rate_scale = s->rate_limit_scale,
        .cookie_key = {(const char *)app->cookie_key, sizeof app->cookie_key},
        .auth = account_authenticate,
        .db = app->db,
        .app = app,
    };
    o.sets = features_routes(&o.nsets);
    return o;
}

static void banner(const struct app *app)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\n  MyBeing %s\n  %.*s%s\n  Ctrl-C stops it.\n\n", MYBEING_VERSION,
            SV_ARG(app->set.base_url),
            app->set.dev ? "   (development: the clock can be moved)" : "");
}

static int serve(struct app *app, bool with_jobs)
{
    struct job_runner *jobs = NULL;
    struct http_server *server = NULL;
    choose_port(&app->set);
    struct http_options o = options(app);
    err e = run_client(app);
    account_keys_start(app);
    db_read_done(app->db); /* the schema was looked at; this thread now waits for signals */
    if (e == OK)
        e = http_start(&o, &server);
    if (e == OK && with_jobs) /* second: their threads begin with reading of their own */
        e = run_jobs(app, &jobs);
    if (e == OK) {
        banner(app);
        bool v6 = memchr(o.bind.p, ':', o.bind.n) != NULL;
        fprintf(stderr, "listening on http://%s%.*s%s:%u\n", v6 ? "[" : "", SV_ARG(o.bind),
                v6 ? "]" : "", http_port(server));
        run_notify("READY=1");
        run_until_stopped();
        run_notify("STOPPING=1");
    }
    if (server) {
        turn_stop_all(); /* answers that are written end now, else their streams hold up the stop */
        http_stop(server);
    }
    int code = e == OK ? EXIT_OK : cmd_failed(e);
    if (jobs)
        job_runner_stop(jobs);
    account_keys_stop();
    http_client_stop();
    return code;
}

/* mybeing serve [--no-jobs]: without jobs where `mybeing work` does them elsewhere. */
int cmd_serve(int argc, char **argv)
{
    bool with_jobs = !cmd_flag(&argc, argv, "--no-jobs");
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    run_signals();
    APP_AUTO app = {0};
    if (!cmd_open(&app, true))
        return EXIT_WRONG;
    return serve(&app, with_jobs);
}
