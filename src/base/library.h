/* Shared libraries that are loaded when they are first used: docs/adr/0003-libraries.md. Who uses
 * one includes the library's own header and calls its functions by their own names: they are
 * defined beside the loading (db/pq.c, http/curl.c) and pass each call on. */
#pragma once
#include "base/err.h"

#include <pthread.h>

struct library {
    const char *file;    /* "libpq.so.5" */
    const char *package; /* of Debian, for the operator */
    const char *const *names;
    void **functions; /* filled, in the order of the names */
    size_t n;
    pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER */
    _Atomic bool loaded;
};
/* ERR_CONFIG with a sentence that names the package; a later call tries again. From any thread. */
err library_load(struct library *l) MUST_USE;
/* For a start: whether it is there, without loading it. The same error. */
err library_find(struct library *l) MUST_USE;

/* One table, many uses: TABLE(F) calls F(type, name, (parameters), (arguments)) for each function.
 */
#define LIBRARY_NAME(type, name, params, args)    #name,
#define LIBRARY_POINTER(type, name, params, args) __typeof__(name) *name;
/* Hidden: what is loaded has functions of these names too and must not get ours. */
#define LIBRARY_CALL(type, name, params, args)                                                     \
    __attribute__((visibility("hidden"))) type name params                                         \
    {                                                                                              \
        return functions.name args;                                                                \
    }
