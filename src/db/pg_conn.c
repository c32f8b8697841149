/* One connection to PostgreSQL: commands go out in libpq's pipeline, every wait has an end (a
 * frozen server must not hold a thread for ever). */
#include "db/pg_internal.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define PG_SCRIPT_MS (15 * 60 * 1000)
#define PG_SLACK_MS  1000 /* the server's own timeout comes first */

/* -------- waiting -------- */

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

/* Until a result can be had without blocking, or `until`. */
static bool wait_result(PGconn *h, int64_t until)
{
    for (;;) {
        int flush = PQflush(h);
        if (flush < 0)
            return false;
        if (flush == 0 && !PQisBusy(h))
            return true;
        int64_t left = until - now_ms();
        if (left <= 0)
            return false;
        struct pollfd p = {.fd = PQsocket(h),
                           .events = (short)(POLLIN | (flush > 0 ? POLLOUT : 0))};
        if (poll(&p, 1, (int)left) > 0 && (p.revents & ~POLLOUT) && !PQconsumeInput(h))
            return false;
    }
}

static err next_result(struct pg_conn *c, const char *what, int64_t until, PGresult **out)
{
    if (!wait_result(c->h, until)) {
        const char *why = PQerrorMessage(c->h);
        return pg_lost(c, what, why && *why ? why : "no answer in time");
    }
    *out = PQgetResult(c->h);
    return OK;
}

/* -------- a flight: commands up to a sync, and their answers -------- */

struct flight {
    const char *what;
    unsigned sent;
    bool *prepared; /* set when command number prepare_at, a PREPARE, succeeded */
    unsigned prepare_at;
    PGresult **keep; /* the results of nkeep commands from number keep_at on */
    unsigned keep_at, nkeep;
};

static bool send_command(struct pg_conn *c, struct flight *f, const char *sql, const char *key)
{
    const Oid text = 25;
    f->sent++;
    return PQsendQueryParams(c->h, sql, key != NULL, &text, &key, NULL, NULL, 1);
}

static bool send_pending(struct pg_conn *c, struct flight *f)
{
    bool sent = true;
    for (unsigned i = 0; i < c->npending && sent; i++)
        sent = send_command(c, f, c->pending[i].sql, c->pending[i].key);
    pg_forget(c);
    return sent;
}

/* The answer of command number i of the flight. */
static err command_result(struct pg_conn *c, const struct flight *f, unsigned i, PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_PIPELINE_ABORTED) {
        PQclear(r); /* the one before it failed */
        return OK;
    }
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        err e = pg_failed(c, f->what, r);
        PQclear(r);
        return e;
    }
    if (f->prepared && i == f->prepare_at)
        *f->prepared = true;
    if (i >= f->keep_at && i - f->keep_at < f->nkeep)
        f->keep[i - f->keep_at] = r;
    else
        PQclear(r);
    return OK;
}

static err land(struct pg_conn *c, const struct flight *f)
{
    int64_t until = now_ms() + c->timeout_ms;
    err e = OK;
    PGresult *r;
    for (unsigned i = 0; i < f->sent; i++) {
        TRY(next_result(c, f->what, until, &r));
        if (!r)
            return pg_lost(c, f->what, "an answer is missing");
        err one = command_result(c, f, i, r);
        e = e == OK ? one : e;
        if (c->lost)
            return e;
        TRY(next_result(c, f->what, until, &r)); /* NULL: the end of this command */
        PQclear(r);
        until = now_ms() + c->timeout_ms; /* the next takes its own time: it may be a lock */
    }
    TRY(next_result(c, f->what, until, &r));
    bool synced = r && PQresultStatus(r) == PGRES_PIPELINE_SYNC;
    PQclear(r);
    return synced ? e : pg_lost(c, f->what, PQerrorMessage(c->h));
}

static err land_owed(struct pg_conn *c)
{
    struct flight f = {.what = "COMMIT", .sent = c->owed};
    if (c->owed == 0)
        return OK;
    c->owed = 0;
    err e = land(c, &f);
    return c->lost ? e : OK; /* what was read held */
}

static err fly(struct pg_conn *c, const struct flight *f, bool sent)
{
    for (unsigned i = 0; i < f->nkeep; i++)
        f->keep[i] = NULL;
    if (!sent || !PQpipelineSync(c->h))
        return pg_lost(c, f->what, PQerrorMessage(c->h));
    err e = land_owed(c);
    if (e == OK)
        e = land(c, f);
    for (unsigned i = 0; i < f->nkeep && e != OK; i++) {
        PQclear(f->keep[i]);
        f->keep[i] = NULL;
    }
    return e;
}

err pg_command(struct pg_conn *c, const char *sql)
{
    struct flight f = {.what = sql ? sql : "transaction"};
    bool sent = send_pending(c, &f) && (!sql || send_command(c, &f, sql, NULL));
    return fly(c, &f, sent);
}

static err later(struct pg_conn *c, const char *sql, char *key)
{
    err e = c->npending == PG_PENDING_MAX ? pg_command(c, NULL) : OK;
    if (e == OK)
        c->pending[c->npending++] = (struct pg_pending){sql, key};
    else
        free(key);
    return e;
}

err pg_later(struct pg_conn *c, const char *sql)
{
    return later(c, sql, NULL);
}

err pg_conn_lock(struct pg_conn *c, sv key)
{
    return later(c, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", strndup(key.p, key.n));
}

void pg_forget(struct pg_conn *c)
{
    while (c->npending > 0)
        free(c->pending[--c->npending].key);
}

void pg_forget_locks(struct pg_conn *c)
{
    while (c->npending > 0 && c->pending[c->npending - 1].key)
        free(c->pending[--c->npending].key);
}

err pg_held(struct pg_conn *c)
{
    return c->npending > 0 && c->pending[c->npending - 1].key ? pg_command(c, NULL) : OK;
}

void pg_end_read(struct pg_conn *c)
{
    struct flight f = {0};
    pg_forget(c); /* nothing needs it any more, and if it failed COMMIT would not be run */
    bool sent = send_command(c, &f, "COMMIT", NULL) && PQpipelineSync(c->h) && PQflush(c->h) >= 0;
    c->owed = f.sent;
    c->lost |= !sent;
}

#define PARAMS_MAX 64

static bool send_prepare(struct pg_conn *c, struct flight *f, const struct db_stmt *s,
                         const char *name)
{
    assert(s->nparams <= PARAMS_MAX);
    Oid types[PARAMS_MAX];
    for (unsigned i = 0; i < s->nparams; i++)
        types[i] = s->param_types[i] == 'i' ? 20 : s->param_types[i] == 'b' ? 17 : 25;
    f->sent++;
    return PQsendPrepare(c->h, name, s->pg, (int)s->nparams, types);
}

/* Statement `id` of the flight, once for each of n rows of parameters. */
static bool send_statement(struct pg_conn *c, struct flight *f, unsigned id,
                           const struct db_val *in, unsigned n)
{
    const struct db_stmt *s = &db_stmts[id];
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX], formats[PARAMS_MAX];
    union pg_int ints[PARAMS_MAX];
    char name[16];
    snprintf(name, sizeof name, "q%u", id);
    if (!c->prepared[id]) {
        f->prepared = &c->prepared[id];
        f->prepare_at = f->sent;
        if (!send_prepare(c, f, s, name))
            return false;
    }
    f->keep_at = f->sent;
    f->nkeep = n;
    for (; n > 0; n--, in += s->nparams) {
        for (unsigned i = 0; i < s->nparams; i++) {
            values[i] = pg_encode(&in[i], &ints[i], &lengths[i]);
            formats[i] = 1;
        }
        f->sent++;
        if (!PQsendQueryPrepared(c->h, name, (int)s->nparams, values, lengths, formats, 1))
            return false;
    }
    return true;
}

err pg_statement(struct pg_conn *c, const struct db_stmt *s, unsigned id, const struct db_val *in,
                 PGresult **out)
{
    *out = NULL;
    struct flight f = {.what = s->name, .keep = out};
    bool sent = send_pending(c, &f) && send_statement(c, &f, id, in, 1);
    return fly(c, &f, sent);
}

err pg_commit_each(struct pg_conn *c, unsigned id, const struct db_val *in, size_t n,
                   int64_t *changed)
{
    PGresult **got = calloc(n + 1, sizeof(PGresult *));
    assert(got);
    struct flight f = {.what = db_stmts[id].name, .keep = got};
    bool sent = send_pending(c, &f) && send_statement(c, &f, id, in, (unsigned)n) &&
                send_command(c, &f, "COMMIT", NULL);
    err e = fly(c, &f, sent);
    for (size_t i = 0; i < n && e == OK; i++) {
        changed[i] = atoll(PQcmdTuples(got[i]));
        PQclear(got[i]);
    }
    free(got);
    return e;
}

/* Several statements: not in a pipeline. */
err pg_conn_script(struct pg_conn *c, const char *sql)
{
    TRY(pg_command(c, NULL));
    if (!PQexitPipelineMode(c->h) || !PQsendQuery(c->h, sql))
        return pg_lost(c, "script", PQerrorMessage(c->h));
    int64_t until = now_ms() + PG_SCRIPT_MS;
    err e = OK;
    for (;;) {
        PGresult *r;
        TRY(next_result(c, "script", until, &r));
        if (!r)
            break;
        ExecStatusType status = PQresultStatus(r);
        if (e == OK && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            e = pg_failed(c, "script", r);
        PQclear(r);
        if (c->lost)
            return e;
    }
    if (!PQenterPipelineMode(c->h))
        return pg_lost(c, "script", PQerrorMessage(c->h));
    return e;
}

/* -------- opening -------- */

static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg, (void)r;
}

/* What the URL says comes last and wins. */
static PGconn *connect_url(const char *url)
{
    const char *const keys[] = {"connect_timeout",
                                "application_name",
                                "client_encoding",
                                "keepalives_idle",
                                "tcp_user_timeout",
                                "dbname",
                                NULL};
    const char *const values[] = {"3", "mybeing", "UTF8", "30", "15000", url, NULL};
    return PQconnectdbParams(keys, values, 1);
}

static err set_up(struct pg_conn *c, const struct pg *pg)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SET statement_timeout = %d; SET lock_timeout = %d; "
             "SET idle_in_transaction_session_timeout = 60000; "
             "SET standard_conforming_strings = on; SET TimeZone = 'UTC'",
             pg->statement_timeout_ms, pg->lock_timeout_ms);
    PGresult *r = PQexec(c->h, sql);
    err e = PQresultStatus(r) == PGRES_COMMAND_OK ? OK : pg_failed(c, "connect", r);
    PQclear(r);
    if (e == OK && !PQenterPipelineMode(c->h))
        e = pg_lost(c, "connect", PQerrorMessage(c->h));
    return e;
}

err pg_conn_open(const struct pg *pg, struct pg_conn **out)
{
    struct pg_conn *c = calloc(1, sizeof *c);
    assert(c);
    c->prepared = calloc(db_stmts_n + 1, sizeof *c->prepared);
    assert(c->prepared);
    c->timeout_ms = pg->statement_timeout_ms + PG_SLACK_MS;
    c->h = connect_url(pg->url);
    err e = OK;
    if (PQstatus(c->h) != CONNECTION_OK) {
        const char *why = PQerrorMessage(c->h);
        bool none_free = strstr(why, "too many") || strstr(why, "connection slots");
        e = FAIL(ERR_DB, "can't connect to PostgreSQL: %.*s%s", SV_ARG(pg_first_line(why)),
                 none_free ? "; raise max_connections or run fewer processes" : "");
    } else {
        PQsetNoticeReceiver(c->h, ignore_notice, NULL);
        PQsetnonblocking(c->h, 1);
        e = set_up(c, pg);
    }
    if (e != OK) {
        pg_conn_close(c);
        return e;
    }
    *out = c;
    return OK;
}

void pg_conn_close(struct pg_conn *c)
{
    pg_forget(c);
    PQfinish(c->h);
    free(c->prepared);
    free(c);
}
