/* Inside src/db/pg*.c: one connection (pg_conn.c), errors (pg_error.c), the pool (pg_pool.c),
 * values (pg_value.c). */
#pragma once
#include "db/db_internal.h"
#include <libpq-fe.h>
#include <pthread.h>

#define PG_PENDING_MAX 8

struct pg_pending {
    const char *sql;
    char *key; /* its parameter, or NULL */
};

struct pg_conn {
    PGconn *h;
    bool *prepared; /* by number of the query */
    /* BEGIN, SAVEPOINT, locks … travel with the next statement, so they cost no round trip. */
    struct pg_pending pending[PG_PENDING_MAX];
    unsigned npending;
    unsigned owed; /* answers of pg_end_read, which come before the next flight's */
    bool lost;     /* the connection is gone or can't be trusted */
    bool stale;    /* its prepared statements are: try another one */
    bool dirty;    /* a writing statement was sent in this transaction */
    int timeout_ms;
    unsigned generation;
    struct pg_conn *next;
};

struct pg {
    char *url;
    unsigned max;
    int statement_timeout_ms, lock_timeout_ms;

    pthread_mutex_t mu;
    pthread_cond_t freed;
    struct pg_conn *idle;
    unsigned open;
    unsigned generation; /* raised when a connection is lost: the others are suspect */
    unsigned failures;   /* to connect, one after another */
    int64_t next_try_us;
    char last_failure[256];
};

/* -------- pg_error.c -------- */
/* The connection is gone; `why` in the server's or libpq's words. */
err pg_lost(struct pg_conn *c, const char *what, const char *why) MUST_USE;
/* The error that a result tells. */
err pg_failed(struct pg_conn *c, const char *what, const PGresult *r) MUST_USE;
sv pg_first_line(const char *text);

/* -------- pg_conn.c -------- */
err pg_conn_open(const struct pg *pg, struct pg_conn **out) MUST_USE;
void pg_conn_close(struct pg_conn *c);
/* A command that answers nothing: sent with the next statement. `sql` must live on. */
err pg_later(struct pg_conn *c, const char *sql) MUST_USE;
/* What is pending is not sent. */
void pg_forget(struct pg_conn *c);
/* Locks that were asked for last are not sent either. */
void pg_forget_locks(struct pg_conn *c);
/* Locks that were asked for last are held. */
err pg_held(struct pg_conn *c) MUST_USE;
/* COMMIT of what has only read: sent, and not waited for. */
void pg_end_read(struct pg_conn *c);
/* Sends what is pending and then `sql` (may be NULL), and waits. */
err pg_command(struct pg_conn *c, const char *sql) MUST_USE;
/* Sends what is pending, then statement `id` (prepared if it is not yet); the result is the
 * caller's to clear. */
err pg_statement(struct pg_conn *c, const struct db_stmt *s, unsigned id, const struct db_val *in,
                 PGresult **out) MUST_USE;
/* What is pending, statement `id` with each of n rows of parameters, and COMMIT. */
err pg_commit_each(struct pg_conn *c, unsigned id, const struct db_val *in, size_t n,
                   int64_t *changed) MUST_USE;
err pg_conn_script(struct pg_conn *c, const char *sql) MUST_USE;
err pg_conn_lock(struct pg_conn *c, sv key) MUST_USE; /* as pg_later: held before what follows */

/* -------- pg_pool.c -------- */
/* Waits for a free one for at most wait_ms. */
err pg_acquire(struct pg *pg, int wait_ms, struct pg_conn **out) MUST_USE;
void pg_release(struct pg *pg, struct pg_conn *c);

/* -------- pg_value.c -------- */
/* Binary both ways: texts need no terminating NUL, integers no parsing. */
union pg_int {
    unsigned char b[8];
    uint64_t u;
};
const char *pg_encode(const struct db_val *v, union pg_int *space, int *length);
err pg_decode(const PGresult *r, const struct db_stmt *s, int row, int col, struct arena *mem,
              struct db_val *out) MUST_USE;
