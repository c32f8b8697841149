#include "app/app.h"
#include "base/crypto.h"
#include "base/log.h"
#include "db/migrate.h"
#include "queries.h"

#include <stdio.h>

#define SAY(...) fprintf(stderr, "mybeing: " __VA_ARGS__)

err app_value_get(struct db_tx *tx, struct arena *mem, const char *name, sv *out)
{
    struct setting_get_in in = {.name = sv_from(name)};
    struct setting_get_row row;
    bool found = false;
    TRY(q_setting_get(tx, mem, &in, &row, &found));
    *out = found ? row.value : SV_NULL;
    return OK;
}

err app_value_put(struct db_tx *tx, struct arena *mem, const char *name, sv value)
{
    struct setting_put_in in = {.name = sv_from(name), .value = value};
    return q_setting_put(tx, mem, &in, NULL);
}

/* -------- settings and database -------- */

static err settings_open(struct app *app)
{
    BUF_AUTO problems = {0};
    err e = settings_load(&app->set, &problems);
    if (e == OK)
        return OK;
    fputs("mybeing: the settings (environment and .env) are not right:\n", stderr);
    for (sv rest = buf_sv(&problems); rest.p != NULL;) {
        sv line = sv_cut(&rest, '\n');
        if (line.n)
            fprintf(stderr, "  %.*s\n", SV_ARG(line));
    }
    return e;
}

static enum log_level level_of(sv name)
{
    return sv_is(name, "debug")   ? LOG_DEBUG
           : sv_is(name, "warn")  ? LOG_WARN
           : sv_is(name, "error") ? LOG_ERROR
                                  : LOG_INFO;
}

err app_settings(struct app *app)
{
    crypto_init();
    *app = (struct app){0};
    return settings_open(app);
}

err app_open(struct app *app, bool create_db)
{
    TRY(app_settings(app));
    sv format = app->set.log_format;
    log_init(sv_is(format, "json")   ? LOG_JSON
             : sv_is(format, "text") ? LOG_TEXT
                                     : LOG_AUTO,
             level_of(app->set.log_level));
    password_set_cost(app->set.password_cheap ? PASSWORD_CHEAP : PASSWORD_INTERACTIVE);
    struct db_options o = {.url = app->set.database_url, .create = create_db};
    err e = db_open(&o, &app->db);
    if (e != OK)
        SAY("the database does not open: %s\n  (DATABASE_URL names it)\n", err_detail(e));
    return e;
}

void app_close(struct app *app)
{
    if (app->db)
        db_close(app->db);
    app->db = NULL;
}

/* -------- schema -------- */

static err schema_ready(struct app *app)
{
    unsigned pending = 0, done = 0;
    err e = migrate_pending(app->db, &pending);
    if (e != OK) {
        SAY("the schema cannot be read: %s\n  (`mybeing migrate status` says more)\n",
            err_detail(e));
        return e;
    }
    if (pending == 0)
        return OK;
    if (db_engine(app->db) == DB_PG && !app->set.dev && !app->set.migrate) {
        SAY("the database lacks %u schema step%s: run `mybeing migrate up` (or set MIGRATE=1)\n",
            pending, pending == 1 ? "" : "s");
        return FAIL(ERR_CONFIG, "the schema is not up to date");
    }
    e = migrate_up(app->db, &done);
    if (e != OK)
        SAY("a schema step failed: %s\n  (`mybeing migrate status` says more)\n", err_detail(e));
    else if (done)
        SAY("brought the database up to date (%u step%s)\n", done, done == 1 ? "" : "s");
    return e;
}

/* -------- secrets -------- */

/* The kept secret; the first of several starting processes makes it. */
static err secret_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    sv *out = arg, kept = SV_NULL;
    TRY(app_value_get(tx, mem, "auth_secret", &kept));
    if (kept.p == NULL) {
        struct setting_init_in in = {.name = SV("auth_secret"), .value = crypto_token(mem, "")};
        TRY(q_setting_init(tx, mem, &in, NULL));
        TRY(app_value_get(tx, mem, "auth_secret", &kept));
    }
    *out = kept;
    return OK;
}

static void derive(sv secret, const char *purpose, unsigned char out[32])
{
    sv label = sv_from(purpose);
    struct digest d = crypto_hmac(secret, &label, 1);
    memcpy(out, d.b, 32);
}

static err keys_ready(struct app *app)
{
    ARENA_AUTO mem = arena_new(0);
    sv secret = app->set.auth_secret;
    if (secret.n == 0)
        TRY(db_write(app->db, mem, secret_tx, &secret));
    derive(secret, "mybeing cookie 1", app->cookie_key);
    derive(secret, "mybeing unsubscribe 1", app->unsubscribe_key);
    derive(secret, "mybeing code 1", app->code_key);
    derive(secret, "mybeing claim 1", app->claim_key);
    return OK;
}

/* -------- the moved clock -------- */

static err clock_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    sv v;
    TRY(app_value_get(tx, mem, "clock_offset_ms", &v));
    if (v.p == NULL || !sv_to_i64(v, arg))
        *(int64_t *)arg = 0;
    return OK;
}

err app_clock_read(struct app *app)
{
    if (!app->set.dev)
        return OK;
    ARENA_AUTO mem = arena_new(0);
    int64_t offset = 0;
    TRY(db_read(app->db, mem, clock_tx, &offset));
    clock_set_offset(offset);
    return OK;
}

err app_ready(struct app *app)
{
    TRY(schema_ready(app));
    err e = keys_ready(app);
    if (e == OK)
        e = app_clock_read(app);
    if (e != OK)
        SAY("the database does not answer: %s\n", err_detail(e));
    return e;
}
