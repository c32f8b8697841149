/* mybeing-sandbox: the program. */
#include "base/crypto.h"
#include "sandbox.h"
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sb_config sb_config = {.port = 12111, .secret = "whsec_sandbox", .dunning_end = "canceled"};
pthread_mutex_t sb_lock = PTHREAD_MUTEX_INITIALIZER;

static const char usage[] =
    "mybeing-sandbox: Stripe on loopback, for people without an account\n"
    "\n"
    "  mybeing-sandbox [--port N] [--forward-to URL] [--webhook-secret whsec_…] [--key sk_test_…]\n"
    "                  [--shape modern|legacy] [--dunning-end canceled|unpaid|past_due] [--quiet]\n"
    "                  [--state FILE]                 what it knows is kept there over a restart\n"
    "  mybeing-sandbox [--port N] trigger EVENT       make Stripe send it\n"
    "  mybeing-sandbox [--port N] clock [+1 month]    show or move its clock\n"
    "  mybeing-sandbox [--port N] fault KIND [COUNT]  duplicate reorder delay drop lost_answer 429 "
    "500 slow down\n"
    "\n"
    "Each option may be given as SANDBOX_PORT, SANDBOX_FORWARD_TO … in the environment. Port 0 "
    "takes a free one.\n";

static const char *from_env(const char *name, const char *fallback)
{
    const char *v = getenv(name);
    return v && *v ? v : fallback;
}

static void read_env(void)
{
    sb_config.port = atoi(from_env("SANDBOX_PORT", "12111"));
    sb_config.key = from_env("SANDBOX_KEY", NULL);
    sb_config.secret = from_env("SANDBOX_WEBHOOK_SECRET", sb_config.secret);
    sb_config.forward_to = from_env("SANDBOX_FORWARD_TO", NULL);
    sb_config.state = from_env("SANDBOX_STATE", NULL);
    sb_config.legacy = !strcmp(from_env("SANDBOX_SHAPE", "modern"), "legacy");
}

static int misused(const char *what, const char *value)
{
    fprintf(stderr, "mybeing-sandbox: %s '%s' is not understood\n\n%s", what, value, usage);
    return 2;
}

static int read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"key", required_argument, NULL, 'k'},
        {"webhook-secret", required_argument, NULL, 's'},
        {"forward-to", required_argument, NULL, 'f'},
        {"shape", required_argument, NULL, 'S'},
        {"dunning-end", required_argument, NULL, 'd'},
        {"quiet", no_argument, NULL, 'q'},
        {"state", required_argument, NULL, 'T'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "+h", options, NULL)) != -1;) {
        switch (c) {
        case 'p':
            sb_config.port = atoi(optarg);
            if (sb_config.port < 0 || sb_config.port > 65535)
                return misused("--port", optarg);
            break;
        case 'k':
            sb_config.key = optarg;
            break;
        case 's':
            sb_config.secret = optarg;
            break;
        case 'f':
            sb_config.forward_to = optarg;
            break;
        case 'S':
            if (strcmp(optarg, "modern") && strcmp(optarg, "legacy"))
                return misused("--shape", optarg);
            sb_config.legacy = !strcmp(optarg, "legacy");
            break;
        case 'd':
            snprintf(sb_config.dunning_end, sizeof sb_config.dunning_end, "%s", optarg);
            break;
        case 'q':
            sb_config.quiet = true;
            break;
        case 'T':
            sb_config.state = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    return 0;
}

/* Until a signal to end; what changed is kept every second. */
static void wait_for_the_end(const sigset_t *signals)
{
    struct timespec second = {.tv_sec = 1};
    for (bool ended = false; !ended;) {
        int got;
        if (sb_config.state)
            ended = sigtimedwait(signals, NULL, &second) > 0;
        else
            ended = sigwait(signals, &got) == 0;
        if (!sb_config.state)
            continue;
        pthread_mutex_lock(&sb_lock);
        if (!sb_state_save(sb_config.state))
            fprintf(stderr, "mybeing-sandbox: %s cannot be written: %s\n", sb_config.state,
                    strerror(errno));
        pthread_mutex_unlock(&sb_lock);
    }
}

static bool load(void)
{
    if (!sb_config.state)
        return true;
    pthread_mutex_lock(&sb_lock);
    const char *wrong = sb_state_load(sb_config.state);
    pthread_mutex_unlock(&sb_lock);
    if (wrong)
        fprintf(stderr, "mybeing-sandbox: %s cannot be read: %s; remove it to begin anew\n",
                sb_config.state, wrong);
    return !wrong;
}

static int serve(void)
{
    sigset_t wait;
    sigemptyset(&wait);
    sigaddset(&wait, SIGTERM);
    sigaddset(&wait, SIGINT);
    pthread_sigmask(SIG_BLOCK, &wait, NULL);
    signal(SIGPIPE, SIG_IGN);
    sb_deliver_start();
    if (!load())
        return 1;
    if (!sb_http_start()) {
        fprintf(stderr,
                "mybeing-sandbox: cannot listen on 127.0.0.1:%d; --port 0 takes a free port\n",
                sb_config.port);
        return 1;
    }
    printf("sandbox listening on %s\n", sb_config.base);
    fflush(stdout);
    wait_for_the_end(&wait);
    sb_http_stop();
    /* The delivery thread may be in the middle of a call: the process ends without waiting for it.
     */
    fflush(NULL);
    _Exit(0);
}

int main(int argc, char **argv)
{
    crypto_init();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    read_env();
    int wrong = read_options(argc, argv);
    if (wrong)
        return wrong;
    return optind < argc ? sb_client(argc - optind, argv + optind) : serve();
}
