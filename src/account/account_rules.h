/* Pure rules of accounts. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"

#define PASSWORD_BYTES_MAX 1000
#define LOGIN_FAILURES_MAX 10 /* wrong passwords an account and window */
#define LOGIN_WINDOW       (15 * TS_MINUTE)
#define CODE_ATTEMPTS_MAX  5                /* guesses at the digits of one link */
#define CODE_DAY_MAX       30               /* of all links to one address, a UTC day */
#define MAILS_MAX          5                /* links of one kind an account and window */
#define SESSION_LIFE       (30 * TS_DAY)    /* clock_wall */
#define SESSION_FRESH      (15 * TS_MINUTE) /* counts as proof of presence */
#define SEEN_STEP          TS_HOUR          /* how coarse last_seen is */
#define MAGIC_LIFE         (10 * TS_MINUTE)
#define RESET_LIFE         (30 * TS_MINUTE)
#define VERIFY_LIFE        (3 * TS_DAY)

/* What makes two addresses the same: ASCII letters in lower case. */
sv account_email_key(struct arena *mem, sv email);
/* Is the address one of a comma list, in any case of letters? */
bool account_email_listed(sv list, sv email);
/* Why the password is not taken, as the end of "The password …"; NULL if it is fine. */
const char *account_password_problem(sv password, sv email);
bool account_locale_valid(sv locale);     /* BCP 47 in form: "en", "pt-BR" */
bool account_timezone_valid(sv timezone); /* IANA name in form: "Europe/Berlin" */
/* Start of the quarter of an hour in which wrong passwords are counted together, and how many
 * seconds are left of it (1..900). */
ts account_login_window(ts now);
int64_t account_login_wait(ts now);
/* The UTC day in which guesses at digits are counted together, and the seconds left of it. */
ts account_guess_day(ts now);
int64_t account_guess_wait(ts now);
