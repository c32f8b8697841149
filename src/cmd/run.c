#include "cmd/run.h"
#include "base/log.h"
#include "http/client.h"
#include "http/curl.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static sigset_t waited_for;

void run_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&waited_for);
    sigaddset(&waited_for, SIGTERM);
    sigaddset(&waited_for, SIGINT);
    sigaddset(&waited_for, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &waited_for, NULL);
}

void run_until_stopped(void)
{
    for (;;) {
        int sig = 0;
        if (sigwait(&waited_for, &sig) == 0 && sig != SIGHUP)
            return;
    }
}

void run_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, n) < 0)
        log_line(LOG_WARN, "the supervisor does not take %s", state);
    close(fd);
}

static bool calls_outside(const struct settings *s)
{
    return s->stripe_secret_key.n || s->email_provider != EMAIL_NONE || s->ai_api_key.n ||
           s->auth_jwks_url.n;
}

err run_client(const struct app *app)
{
    if (calls_outside(&app->set)) /* it is loaded later, but who starts the program looks now */
        TRY(curl_find());
    http_client_start(app->set.dev);
    return OK;
}

err run_jobs(struct app *app, struct job_runner **out)
{
    size_t n = 0;
    const struct job_kind_set *kinds = features_jobs(&n);
    return job_runner_start(app, app->db, kinds, n, (unsigned)app->set.job_threads, out);
}
