/* mybeing dev clock: moves the program's clock and the sandbox's. */
#pragma once
#include "cmd/cmd.h"

/* argv: what follows `clock`. */
int dev_clock(struct app *app, struct arena *mem, int argc, char **argv);
/* Asks the sandbox to deliver what it holds; nothing if Stripe is not on this machine or has no
 * sandbox. */
void dev_sandbox_settle(struct app *app, struct arena *mem);
/* "+1 month", "+3 days", "+90 minutes" from `now`; or RFC 3339. False if it is neither. */
bool dev_clock_parse(sv text, ts now, ts *out);
