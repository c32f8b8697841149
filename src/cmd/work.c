/* mybeing work: jobs alone, beside servers on the same database. */
#include "cmd/run.h"
#include "http/client.h"

#include <stdio.h>

int cmd_work(int argc, char **argv)
{
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    run_signals();
    APP_AUTO app = {0};
    if (!cmd_open(&app, true))
        return EXIT_WRONG;
    app.work_only = true;
    struct job_runner *jobs = NULL;
    err e = run_client(&app);
    if (e == OK)
        e = run_jobs(&app, &jobs);
    int code = EXIT_OK;
    if (e == OK) {
        fputs("working on jobs\n", stderr);
        run_notify("READY=1");
        run_until_stopped();
        run_notify("STOPPING=1");
        job_runner_stop(jobs);
    } else {
        code = cmd_failed(e);
    }
    http_client_stop();
    return code;
}
