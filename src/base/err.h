/* Errors: one registry (errors.def), one way to pass them on.
 *
 * A function that can fail returns `err`; OK is 0. FAIL records a detail and the place once, in a
 * record of the thread; TRY passes the error on untouched. Only the router, the worker and cmd/
 * read the record (err_last) and log it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef enum err {
    OK = 0,
#define ERR(name, status, code, retryable, title) name,
#include "base/errors.def"
#undef ERR
    ERR_COUNT
} err_code;

/* Unused results are warned about. */
typedef err_code err;
#define MUST_USE __attribute__((warn_unused_result))

/* The detail of the last FAIL of this thread. */
struct err_info {
    err code;
    char detail[512];  /* safe to show to the caller of the API: never a secret */
    char pointer[128]; /* JSON pointer or query name of the field at fault, or "" */
    const char *file;
    int line;
};

int err_status(err e);        /* HTTP status */
const char *err_name(err e);  /* wire code, "internal" */
const char *err_title(err e); /* for people */
bool err_retryable(err e);    /* the same call may be tried again */

/* Records the detail and returns `e`. Use FAIL. */
err err_fail(err e, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with the field at fault: FAIL_FIELD(ERR_VALIDATION, "/email", "is not an address"). */
err err_fail_field(err e, const char *file, int line, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The record of this thread, valid until the next FAIL; its code is OK if nothing failed since
 * err_clear. */
const struct err_info *err_last(void);
void err_clear(void);
/* Puts a copied record back, e.g. from another thread; NULL: as err_clear. */
void err_restore(const struct err_info *why);
/* "detail" of the last FAIL if it was about `e`, else the title of `e`. */
const char *err_detail(err e);

#define FAIL(e, ...)                err_fail((e), __FILE__, __LINE__, __VA_ARGS__)
#define FAIL_FIELD(e, pointer, ...) err_fail_field((e), __FILE__, __LINE__, (pointer), __VA_ARGS__)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        err try_err_ = (call);                                                                     \
        if (try_err_ != OK)                                                                        \
            return try_err_;                                                                       \
    } while (0)
