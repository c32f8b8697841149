/* What serve and work share: signals and telling a supervisor. */
#pragma once
#include "cmd/cmd.h"

/* Blocks the signals that run_until_stopped waits for. First of all, before any thread is started.
 */
void run_signals(void);
/* Returns after SIGTERM or SIGINT; SIGHUP is taken and changes nothing. */
void run_until_stopped(void);
/* systemd's sd_notify: "READY=1", "STOPPING=1"; nothing without NOTIFY_SOCKET. */
void run_notify(const char *state);
/* Takes calls to outside services from now on. ERR_CONFIG: one is configured, but the library for
 * it is not there. */
err run_client(const struct app *app) MUST_USE;
/* Starts the job workers. */
err run_jobs(struct app *app, struct job_runner **out) MUST_USE;
