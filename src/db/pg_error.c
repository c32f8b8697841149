/* What PostgreSQL's errors mean to us, and what is said of them. */
#include "base/log.h"
#include "db/pg_internal.h"

#include <stdio.h>

static bool state_is(const char *state, const char *prefix)
{
    return strncmp(state, prefix, strlen(prefix)) == 0;
}

static err state_err(const char *state)
{
    static const struct {
        const char *prefix;
        err e;
    } map[] = {
        {"23505", ERR_UNIQUE},
        {"23503", ERR_FOREIGN_KEY},
        {"23001", ERR_FOREIGN_KEY},
        {"40001", ERR_RETRY},
        {"40P01", ERR_RETRY},
        {"53100", ERR_DB_FULL},
        {"55P03", ERR_BUSY},
        {"22021", ERR_BAD_REQUEST},
        {"53", ERR_DB},
        {"57", ERR_DB},
        {"58", ERR_DB},
        {"08", ERR_DB},
        {"XX", ERR_DB},
        {"25006", ERR_DB},
        {"26000", ERR_RETRY},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (state_is(state, map[i].prefix))
            return map[i].e;
    return ERR_INTERNAL;
}

sv pg_first_line(const char *text)
{
    sv rest = sv_from(text ? text : "");
    return sv_trim(sv_cut(&rest, '\n'));
}

err pg_lost(struct pg_conn *c, const char *what, const char *why)
{
    c->lost = true;
    return FAIL(ERR_DB, "%s: the connection to PostgreSQL was lost (%.*s)", what,
                SV_ARG(pg_first_line(why)));
}

/* PostgreSQL itself goes down when its log (pg_wal) cannot grow: told here, since only the
 * connection that met it hears why. */
static void tell_full(const char *message)
{
    char detail[320];
    snprintf(detail, sizeof detail,
             "PostgreSQL goes down: %.160s; free space on that disk, and start it if it does not "
             "come back",
             message ? message : "its disk is full");
    log_event(LOG_ERROR, "db.disk_full", "detail", detail, NULL);
}

err pg_failed(struct pg_conn *c, const char *what, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool fatal = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (fatal && state && state_is(state, "53100"))
        tell_full(message);
    if (!state || fatal || PQstatus(c->h) == CONNECTION_BAD)
        return pg_lost(c, what, PQresultErrorMessage(r));
    err e = state_err(state);
    /* After a change of the schema or a DISCARD: another connection prepares anew. */
    c->stale = state_is(state, "26000") ||
               (state_is(state, "0A000") && message && strstr(message, "cached plan") != NULL);
    if (state_is(state, "25006")) /* a standby, after a failover */
        c->stale = true;
    return FAIL(c->stale ? ERR_RETRY : e, "%s: %s%s", what, message ? message : state,
                e == ERR_DB_FULL ? "; free space on the database's disk" : "");
}
