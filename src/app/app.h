/* What the process has: settings, database, secrets. One for the process, passed as `struct app *`;
 * after start it is only read. */
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
    unsigned char code_key[32];    /* digits of sign-in codes */
    unsigned char claim_key[32];   /* links in receipts */
    const struct catalog *catalog; /* set by features_init (cmd/) */
    bool work_only;
};

/* Settings alone, before the database is opened. Problems go to stderr. */
err app_settings(struct app *app) MUST_USE;
/* Opens settings and database; the schema may be missing or old. Problems go to stderr as sentences
 * with the command that mends them. */
err app_open(struct app *app, bool create_db) MUST_USE;
/* After it: brings the schema up to date (SQLite and dev: by itself, and says so; else it refuses
 * with the command), makes or reads the secret, derives keys, reads the moved clock in dev. */
err app_ready(struct app *app) MUST_USE;
void app_close(struct app *app);

/* The table of small values that the program keeps for itself. SV_NULL if there is none. */
err app_value_get(struct db_tx *tx, struct arena *mem, const char *name, sv *out) MUST_USE;
err app_value_put(struct db_tx *tx, struct arena *mem, const char *name, sv value) MUST_USE;
/* MYBEING_ENV=dev: clock_now follows the setting clock_offset_ms. */
err app_clock_read(struct app *app) MUST_USE;
