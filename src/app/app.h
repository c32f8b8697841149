/* What the process has: settings, database, secrets. One for the process, passed as `struct app *`;
 * after start it is only read. (lead's contract) */
#pragma once
#include "app/settings.h"
#include "db/db.h"
#include "http/route.h"
#include "job/job.h"

struct catalog; /* catalog/catalog.h */

struct app {
    struct settings set;
    struct db *db;
    unsigned char cookie_key[32]; /* derived from auth_secret */
    unsigned char unsubscribe_key[32];
    const struct catalog *catalog;
    bool work_only;
};

/* Opens settings, database, catalogue; derives keys. Problems go to stderr as sentences with the
 * command that mends them. */
err app_open(struct app *app, bool create_db) MUST_USE;
void app_close(struct app *app);
