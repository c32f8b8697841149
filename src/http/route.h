/* The route table: who may call what, in which transaction, with which body and limit. SPEC §5,
 * DESIGN §1. */
#pragma once
#include "http/reply.h"
#include "http/request.h"

enum route_auth {
    AUTH_UNSET = 0, /* a route without a rule does not start (assert) */
    AUTH_PUBLIC,    /* anybody; the caller is recognised if the credentials are good */
    AUTH_VISITOR,   /* member or visitor; a visitor's cookie is made if there is none */
    AUTH_MEMBER,    /* 401 otherwise */
    AUTH_ADMIN,     /* 401; 403 for a member without the role */
    AUTH_NONE,      /* credentials are not looked at (webhooks, health) */
};
enum route_tx {
    TX_READ,   /* in a read transaction */
    TX_WRITE,  /* in a write transaction, replied after the commit */
    TX_NONE,   /* on a worker thread, without a transaction: outside calls, slow work */
    TX_HEALTH, /* as TX_NONE, on a thread of its own: asks with short patience, heard when others
                  hang */
    TX_INLINE  /* on the event loop, no transaction, no blocking: health, static pages */
};
enum route_body {
    BODY_NONE /* a body is ignored */,
    BODY_JSON /* an object; empty = {} */,
    BODY_RAW,
    BODY_FORM
};
enum route_limit {
    LIMIT_DEFAULT, /* 600 a minute an address/member */
    LIMIT_NONE,
    LIMIT_LOGIN, /* 10 a minute an address and e-mail */
    LIMIT_MAIL,  /* things that send mail: 5 an hour a caller */
    LIMIT_MONEY  /* 60 a minute a caller */
};

struct route {
    enum method method;
    const char *path; /* "{name}" = one segment */
    err (*handler)(struct req *r);
    const char *name; /* of the handler, for metrics and logs */
    enum route_auth auth;
    enum route_tx tx;
    enum route_body body;
    enum route_limit limit;
    bool lenient;            /* kept routes: unknown fields are ignored */
    bool idempotent_key;     /* money POSTs: Idempotency-Key is honoured by the handler's feature */
    size_t body_max;         /* 0 = 1 MiB */
    bool same_origin_exempt; /* no Origin check (webhooks, one-click unsubscribe) */
    /* Runs on the loop before the transaction: signature, parsing. May set r->prepared. */
    err (*prepare)(struct req *r);
};

/* ROUTE(POST, "/api/x", handler, .auth = AUTH_MEMBER, .tx = TX_WRITE) */
#define ROUTE(m, p, h, ...)                                                                        \
    {                                                                                              \
        .method = (m), .path = (p), .handler = (h), .name = #h, __VA_ARGS__                        \
    }

struct route_set {
    const struct route *routes;
    size_t n;
};
#define ROUTE_SET(a) ((struct route_set){(a), sizeof(a) / sizeof *(a)})
