/* The HTTP server: event loops on libmicrohttpd, limits, router, executor.
 * conn.c and server.c alone know the library. */
#pragma once
#include "http/route.h"

/* Recognises the caller: fills r->member, role, via, session, visitor from cookies and headers.
 * Runs in the request's own transaction (tx) for TX_READ/TX_WRITE, else in a read of its own. Set
 * by account/. Errors end the request (a bad bearer token: ERR_UNAUTHENTICATED only on routes that
 * need one). */
typedef err (*http_auth_fn)(struct req *r, struct db_tx *tx);

struct http_options {
    sv bind;
    uint16_t port;                   /* 0: a free one */
    unsigned loops;                  /* 0: one a core */
    unsigned workers;                /* 0: 16 */
    unsigned max_conns;              /* 0: 20000 */
    size_t body_max;                 /* 1 MiB */
    int idle_s, header_s, request_s; /* deadlines: 75, 10, 60 */
    int stop_s;                      /* running requests may take this long at a stop: 10 */
    bool dev;           /* the program's clock is re-read each request; only LIMIT_LOGIN limits */
    sv base_url;        /* for the Origin check; https or not decides about cookies */
    sv cors_origins;    /* comma list */
    sv trusted_proxies; /* comma list of addresses or CIDR */
    double rate_scale;  /* 1; tests raise it; 0 = default by dev */
    sv cookie_key;      /* 32 bytes: signs the visitor's cookie */
    http_auth_fn auth;
    const struct route_set *sets;
    size_t nsets;
    struct db *db;
    struct app *app;
};
struct http_server;
err http_start(const struct http_options *o, struct http_server **out) MUST_USE;
uint16_t http_port(const struct http_server *s);
/* Stops accepting, lets running requests finish (at most 10 s), frees. */
void http_stop(struct http_server *s);

/* The visitor's cookie: value = id "." HMAC. */
bool visitor_cookie_read(sv key, sv cookie, visitor_id *out);
sv visitor_cookie_make(struct arena *mem, sv key, const visitor_id *id);
