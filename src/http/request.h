/* A request as handlers see it.
 *
 * A handler is straight-line code that returns an err. It never opens the request's transaction,
 * logs, or writes an error reply: its row in the route table says who may call it, which
 * transaction it runs in, its limit and its body; the router does the rest. It may run twice
 * (conflict): arena and reply are rewound before. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "db/db.h"

enum method { GET, POST, PUT, PATCH, DELETE, METHOD_COUNT };

enum role { ROLE_NONE, ROLE_MEMBER, ROLE_ADMIN };

/* How the caller was recognised. */
enum auth_via { VIA_NONE, VIA_COOKIE, VIA_BEARER, VIA_SECRET_KEY, VIA_JWT };

struct route;
struct app; /* src/app/app.h */

struct req {
    const struct route *route;
    struct arena *mem; /* lives until the reply is sent */
    struct app *app;
    struct db *db;
    struct db_tx *tx; /* NULL in TX_NONE handlers: use db_read/db_write(r->db, …) */
    ts now;           /* program's clock, read once a request */
    enum method method;
    sv path;          /* without query */
    const char *id;   /* request id, "req_…" */
    sv address;       /* client's address (TRUSTED_PROXIES respected), text */
    sv body;          /* raw bytes */
    const json *json; /* parsed body of BODY_JSON routes (an object) */
    void *prepared;   /* what the route's .prepare left (arena) */

    user_id member; /* "" = not signed in */
    enum role role;
    enum auth_via via;
    sv session;         /* id of the session row, or SV_NULL */
    visitor_id visitor; /* from the signed cookie; "" = none */
    bool writable; /* the transaction that recognises the caller may write; if it has to and may
                      not: return ERR_FIRST_SIGHT, and it is run again in one that may */
    const char *counter; /* a metric that is counted once, with the reply, however often the handler
                            had to run; not if the reply is a 5xx */
    struct reply *reply;
    struct http_conn *conn; /* the server's own */
};

/* Path parameter by name ("/api/purchases/{id}"), percent-decoded. Asserts that it exists. */
sv req_param(const struct req *r, const char *name);
/* Query value, percent-decoded, or SV_NULL. A name given twice: 422 by query_read. */
sv req_query(const struct req *r, const char *name);
sv req_header(const struct req *r, const char *name); /* any case; SV_NULL if absent */
/* A cookie by its name without prefix ("mb_session"); the __Host- one unless on http loopback. */
sv req_cookie(const struct req *r, const char *name);
sv req_form(const struct req *r, const char *name); /* a value of a BODY_FORM body, or SV_NULL */

/* -------- checked input: bodies and queries by table -------- */
enum field_type {
    FIELD_STR,   /* sv; .min/.max = characters (code points); control characters are refused */
    FIELD_TEXT,  /* sv; like STR but line breaks and tabs are fine */
    FIELD_INT,   /* int64_t; .min/.max */
    FIELD_BOOL,  /* bool */
    FIELD_EMAIL, /* sv; an address, at most 254 bytes, no control characters; as written */
    FIELD_URL,   /* sv; absolute http(s) URL, at most 2048 */
    FIELD_TIME,  /* ts; RFC 3339 */
    FIELD_OBJ,   /* const json * */
    FIELD_ARR,   /* const json *; .min/.max = elements */
    FIELD_ENUM,  /* int (index into .values, a NULL-ended list) */
};
struct field {
    const char *name;
    enum field_type type;
    void *out; /* untouched when the field is absent or null */
    bool required;
    int64_t min, max;          /* 0,0 = the type's defaults (STR: 1..1000) */
    const char *const *values; /* FIELD_ENUM */
};
/* Reads r->json by the table (a BODY_FORM body like a query): collects every mistake as
 * errors[{pointer,code,message}] and returns ERR_VALIDATION if there was one. Unknown fields are
 * mistakes unless the route is .lenient (kept routes); identity fields (userId, email unless in the
 * table) are always ignored. */
err body_read(struct req *r, const struct field *f, size_t n) MUST_USE;
/* The same for the query string (values are text: INT, BOOL "1"/"true"/"0"/"false", STR, ENUM,
 * TIME). */
err query_read(struct req *r, const struct field *f, size_t n) MUST_USE;
/* Reads an object inside the body with pointer prefix, e.g. each element of an array. */
err object_read(struct req *r, const json *obj, const char *prefix, const struct field *f,
                size_t n) MUST_USE;
/* Adds a mistake found by the handler itself; then return ERR_VALIDATION. */
err field_error(struct req *r, const char *pointer, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define FIELDS(f) (f), sizeof(f) / sizeof *(f)

/* ?limit=25&cursor=…: limit 1..100. The cursor is opaque text of ours (base64url of whatever the
 * list needs); ERR_VALIDATION with pointer "cursor" when it is not one. */
struct page {
    int64_t limit;
    sv cursor; /* decoded bytes, or SV_NULL = from the start */
};
err page_read(struct req *r, struct page *out) MUST_USE; /* also refuses other query names */
/* The same for a list with parameters of its own (at most 14). */
err page_query_read(struct req *r, struct page *out, const struct field *more, size_t n) MUST_USE;
/* The position of lists ordered by (time, id), newest first: "<ms> <id>" in the cursor. Without a
 * cursor the largest of both, so that `(at, id) < (…)` begins at the newest. */
err page_at(struct req *r, const struct page *p, ts *at, sv *id) MUST_USE;
sv page_at_text(struct arena *mem, ts at, sv id);
/* How a list is asked for and answered: read limit + 1 rows, cut them, then
 *
 *     bool more = page_cut(&page, &n);
 *     struct jw *w = page_begin(r);                   // 200 {"data":[
 *     …one value a row…
 *     return page_end(r, w, more ? last.id : SV_NULL) // ],"nextCursor":…} */
bool page_cut(const struct page *p, size_t *n); /* were there more than the limit? */
struct jw *page_begin(struct req *r);
err page_end(struct req *r, struct jw *w, sv cursor); /* SV_NULL: the last page */
