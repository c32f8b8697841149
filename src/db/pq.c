#include "db/pq.h"
#include "base/library.h"

#include <libpq-fe.h>

#define TABLE(F)                                                                                   \
    F(void, PQclear, (PGresult * r), (r))                                                          \
    F(char *, PQcmdTuples, (PGresult * r), (r))                                                    \
    F(PGconn *, PQconnectdbParams,                                                                 \
      (const char *const *keys, const char *const *values, int expand), (keys, values, expand))    \
    F(void, PQconninfoFree, (PQconninfoOption * o), (o))                                           \
    F(PQconninfoOption *, PQconninfoParse, (const char *info, char **why), (info, why))            \
    F(int, PQconsumeInput, (PGconn * c), (c))                                                      \
    F(int, PQenterPipelineMode, (PGconn * c), (c))                                                 \
    F(char *, PQerrorMessage, (const PGconn *c), (c))                                              \
    F(PGresult *, PQexec, (PGconn * c, const char *sql), (c, sql))                                 \
    F(int, PQexitPipelineMode, (PGconn * c), (c))                                                  \
    F(void, PQfinish, (PGconn * c), (c))                                                           \
    F(int, PQflush, (PGconn * c), (c))                                                             \
    F(void, PQfreemem, (void *p), (p))                                                             \
    F(Oid, PQftype, (const PGresult *r, int col), (r, col))                                        \
    F(PGresult *, PQgetResult, (PGconn * c), (c))                                                  \
    F(int, PQgetisnull, (const PGresult *r, int row, int col), (r, row, col))                      \
    F(int, PQgetlength, (const PGresult *r, int row, int col), (r, row, col))                      \
    F(char *, PQgetvalue, (const PGresult *r, int row, int col), (r, row, col))                    \
    F(int, PQisBusy, (PGconn * c), (c))                                                            \
    F(int, PQnfields, (const PGresult *r), (r))                                                    \
    F(int, PQntuples, (const PGresult *r), (r))                                                    \
    F(int, PQpipelineSync, (PGconn * c), (c))                                                      \
    F(char *, PQresultErrorField, (const PGresult *r, int field), (r, field))                      \
    F(char *, PQresultErrorMessage, (const PGresult *r), (r))                                      \
    F(ExecStatusType, PQresultStatus, (const PGresult *r), (r))                                    \
    F(int, PQsendPrepare,                                                                          \
      (PGconn * c, const char *name, const char *sql, int n, const Oid *types),                    \
      (c, name, sql, n, types))                                                                    \
    F(int, PQsendQuery, (PGconn * c, const char *sql), (c, sql))                                   \
    F(int, PQsendQueryParams,                                                                      \
      (PGconn * c, const char *sql, int n, const Oid *types, const char *const *values,            \
       const int *lengths, const int *formats, int format),                                        \
      (c, sql, n, types, values, lengths, formats, format))                                        \
    F(int, PQsendQueryPrepared,                                                                    \
      (PGconn * c, const char *name, int n, const char *const *values, const int *lengths,         \
       const int *formats, int format),                                                            \
      (c, name, n, values, lengths, formats, format))                                              \
    F(PQnoticeReceiver, PQsetNoticeReceiver, (PGconn * c, PQnoticeReceiver fn, void *arg),         \
      (c, fn, arg))                                                                                \
    F(int, PQsetnonblocking, (PGconn * c, int on), (c, on))                                        \
    F(int, PQsocket, (const PGconn *c), (c))                                                       \
    F(ConnStatusType, PQstatus, (const PGconn *c), (c))

static const char *const names[] = {TABLE(LIBRARY_NAME)};
static union {
    struct {
        TABLE(LIBRARY_POINTER)
    };
    void *all[sizeof names / sizeof *names];
} functions;
static struct library libpq = {.file = "libpq.so.5",
                               .package = "libpq5",
                               .names = names,
                               .functions = functions.all,
                               .n = sizeof names / sizeof *names,
                               .lock = PTHREAD_MUTEX_INITIALIZER};

TABLE(LIBRARY_CALL)

err pq_load(void)
{
    return library_load(&libpq);
}
