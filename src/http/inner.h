/* What the files of http/ share; nobody else includes it. */
#pragma once
#include "http/limit.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"
#include "http/server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#define HEADS_INLINE 24
#define PAIRS_INLINE 8
#define STREAM_QUIET 15 /* seconds of silence before a comment line */
#define BODY_DEFAULT (1 << 20)
#define DISCARD_MAX  (8 << 20) /* of a body that is too large, before the connection is cut */
#define ID_TEXT_MAX  65
#define ADDRESS_MAX  INET6_ADDRSTRLEN

/* -------- names and values as they came -------- */
struct pair {
    sv name, value;
};
struct pairs {
    struct pair *v;
    size_t n, cap;
};
void pairs_add(struct pairs *p, struct arena *mem, sv name, sv value);
/* Percent-decoding; `plus`: '+' is a space. False for a bad encoding or %00. Borrows `in` if
 * nothing is encoded. */
bool percent_decode(struct arena *mem, sv in, bool plus, sv *out);
/* "a=1&b=2" as decoded pairs; false for a bad encoding. */
bool form_parse(struct arena *mem, sv text, struct pairs *out);

/* -------- gate: what RFC 9112 forbids and the library lets through -------- */
struct gate_in {
    sv method, path, version;
    const struct pairs *heads;
};
struct gate_out {
    int64_t content_length; /* -1: none */
    bool chunked, expects;  /* Transfer-Encoding; Expect: 100-continue */
};
err gate_check(const struct gate_in *in, struct gate_out *out) MUST_USE;

/* -------- one TCP connection -------- */
enum link_state { LINK_IDLE, LINK_HEADER, LINK_BODY, LINK_RUN, LINK_REPLY, LINK_STREAM };
struct link {
    struct link *prev, *next;
    int fd;
    _Atomic int state;
    _Atomic int64_t since_us; /* of the state */
    uint64_t seen_bytes;      /* received when last looked at, while idle */
    _Atomic bool fresh, looked;
    bool linger;    /* closed by us while the client may still be sending */
    bool uncounted; /* a chunked body: what the library took of the socket is not known */
    uint64_t taken; /* bytes of whole requests, which the library has taken of the socket */
    struct http_conn *_Atomic req;
    char address[ADDRESS_MAX];
};
struct links {
    pthread_mutex_t lock;
    struct link *first;
    _Atomic size_t n;
    pthread_t thread;
    int wake; /* eventfd */
    int epoll;
    _Atomic int lingering;
    _Atomic bool stop;
    struct observer *observer; /* flushed every tick */
    struct park *park;
    size_t most, before; /* connections: since memory was given back, at the last tick */
    int64_t idle_us, header_us, request_us;
};
void links_start(struct links *t, int idle_s, int header_s, int request_s);
void links_stop(struct links *t);
/* `peer` is the client's address, or the note of a connection that was parked. */
struct link *link_open(struct links *t, int fd, const struct sockaddr *peer);
/* Before the library closes the socket. If it does so because the client was silent, and has taken
 * nothing of the socket that was not answered, the connection is parked instead of ended. */
void link_close(struct links *t, struct link *l);
static inline void link_set(struct link *l, enum link_state s, int64_t now_us)
{
    atomic_store_explicit(&l->since_us, now_us, memory_order_relaxed);
    atomic_store_explicit(&l->state, (int)s, memory_order_relaxed);
}

/* -------- silent connections -------- */
#define PARK_FAMILY 0xffff /* no address family */
/* What has to be known of a parked connection; given to the library as if it were an address. */
struct park_note {
    struct sockaddr as_address; /* sa_family == PARK_FAMILY */
    int64_t since_us;           /* of the silence */
    uint64_t taken;             /* of its socket: link.taken */
    char address[ADDRESS_MAX];
};
typedef void (*park_back_fn)(void *cls, int fd, const struct park_note *note);
struct park;
/* A thread that waits for parked connections: `back` gets the socket of one that spoke (on that
 * thread); silent ones are closed after idle_us, and those that the client leaves at once. */
struct park *park_start(int64_t idle_us, park_back_fn back, void *cls);
void park_put(struct park *p, int fd, const struct park_note *note); /* keeps a dup of fd */
void park_drop(struct park *p, size_t n); /* soon: the n longest silent ones are closed */
size_t park_count(const struct park *p);
void park_stop(struct park *p); /* closes all, takes no more; then park_free */
void park_free(struct park *p);

/* -------- worker threads -------- */
struct workers;
struct work {
    void (*run)(struct work *w);
    struct work *next;
};
struct workers *workers_start(unsigned threads, size_t queue_max);
bool workers_post(struct workers *w, struct work *job); /* false: full or stopping */
size_t workers_queued(struct workers *w);
/* Lets the queue run empty; false if some did not end within `seconds` (nothing is freed then). */
bool workers_stop(struct workers *w, int seconds);

/* -------- the reply being made -------- */
struct problem_member {
    const char *key;
    sv json;
    struct problem_member *next;
};
struct problem_field {
    sv pointer, message;
    const char *code;
    struct problem_field *next;
};
struct reply_head {
    const char *name, *value;
};
struct reply {
    int status; /* 0: none yet */
    struct buf body;
    struct jw writer;
    sv fixed; /* a body that is not ours; p == NULL: `body` */
    const char *type, *cache;
    bool close;
    struct reply_head *heads;
    size_t nheads, cap;
    struct problem_member *members;
    struct problem_field *fields, **fields_end;
    struct stream *stream;
};
void reply_reset(struct reply *p);
void reply_page_headers(struct req *r); /* CSP and its like */
/* The problem+json of `e`, from the request's fault, into the reply. */
void reply_problem(struct http_conn *x, err e);
void problem_write(struct buf *out, err e, const char *detail, const char *request_id,
                   const struct problem_field *fields, const struct problem_member *members);

/* Somebody looks at it with a browser, and it is no endpoint of the API: errors are pages. */
bool problem_wants_page(const struct http_conn *x);
void problem_page(struct buf *out, int status, const char *detail, const char *request_id,
                  const struct problem_field *fields);

/* -------- one request -------- */
enum phase { PHASE_RECEIVING, PHASE_RUNNING, PHASE_DONE, PHASE_SENT, PHASE_ABANDONED };
struct http_conn {
    struct req r;
    struct reply reply;
    struct http_server *s;
    struct link *link;
    void *mc; /* the library's connection */
    _Atomic int phase, refs;
    struct http_conn *next_free;
    struct pool *pool;

    struct pairs heads, query, form;
    struct pair heads_inline[HEADS_INLINE], query_inline[PAIRS_INLINE];
    bool query_bad;
    bool patient; /* the library's limit on silence is lifted */
    sv method_text;
    struct match match;
    struct gate_out gate;
    struct buf body;
    size_t body_max, discarded;
    bool too_large, head, preflight;
    err early; /* gate or route said no */

    err body_err; /* told after authentication */
    struct err_info body_fault;
    struct err_info fault; /* of the error being answered */
    struct arena_mark mark;
    unsigned runs;
    bool checked, limited, writes;
    struct db_post post;
    struct work work;
    err result;
    int64_t started_us;
    char id[ID_TEXT_MAX];
    char address[ADDRESS_MAX];
};
/* An object of this loop's pool, for one request; given back with the connection still open. */
struct http_conn *conn_take(struct http_server *s);
void conn_give(struct http_conn *x);
/* Of a request that was abandoned at a stop: the loop and the worker each hold one reference. */
void conn_release(struct http_conn *x);
void pools_free(struct http_server *s); /* after all loops have ended */
void conn_set_id(struct http_conn *x);  /* the client's if it is sane, else one of ours */
/* Runs a request whose body is complete. True: the reply is ready; false: the connection was
 * suspended and conn_finish will be called. On an event loop. */
bool execute(struct http_conn *x);
void conn_suspend(struct http_conn *x);
void conn_finish(struct http_conn *x); /* any thread */
const struct http_options *conn_options(const struct http_conn *x);
/* dev: takes the clock's offset from the database. */
void http_clock_sync(struct db *db, struct arena *mem);
void fault_capture(struct http_conn *x, err e); /* from this thread's record */

/* -------- origin, proxies -------- */
struct origins {
    sv base;  /* scheme://host[:port] */
    sv *more; /* CORS_ORIGINS */
    size_t nmore;
    bool secure; /* https: cookies are __Host- and Secure */
};
void origins_init(struct origins *o, struct arena *mem, sv base_url, sv cors);
bool origin_own(const struct origins *o, sv origin);
bool origin_cors(const struct origins *o, sv origin);
err origin_check(const struct origins *o, const struct req *r, sv origin) MUST_USE;
void cors_headers(struct http_conn *x);
void cors_preflight(struct http_conn *x);

struct cidr {
    unsigned char addr[16]; /* IPv4 mapped */
    unsigned bits;
};
struct proxies {
    struct cidr *v;
    size_t n;
};
void proxies_init(struct proxies *p, struct arena *mem, sv list);
/* The client's address: `peer`, or the last untrusted one of X-Forwarded-For if the peer is
 * trusted. */
void proxies_client(const struct proxies *p, const char *peer, const struct pairs *heads,
                    char out[ADDRESS_MAX]);

/* -------- observation -------- */
struct observer;
struct observer *observer_new(const struct router *router);
void observer_free(struct observer *o);
void observe(struct http_conn *x, int status, size_t bytes, int64_t now_us);
void observer_flush(struct observer *o); /* the access log's collected lines */

struct http_server {
    struct http_options o;
    struct arena *mem; /* process lifetime of the server */
    struct router *router;
    struct limiter *limiter;
    struct workers *workers, *health;
    struct observer *observer;
    struct origins origins;
    struct proxies proxies;
    struct links links;
    void *_Atomic daemon; /* the library's */
    int listen_fd;
    uint16_t port;
    unsigned loops, conns; /* threads; connections at most */
    bool sqlite;
    _Atomic bool stopping;
    _Atomic int64_t active; /* requests between their header and the end of their reply */
    pthread_mutex_t pools_lock;
    struct pool *pools;
};
void http_metrics_write(struct http_server *s, struct buf *out);

/* -------- streams -------- */
struct stream *stream_new(struct http_conn *x, bool events);
/* The library asks for bytes: > 0 written, 0 suspended, -1 end, -2 client gone. */
int64_t stream_pull(struct stream *s, char *out, size_t max);
void stream_detach(struct stream *s); /* the connection ends */
void stream_attach(struct stream *s, int fd);
void streams_tick(int64_t now_us);
void streams_end_all(void);
size_t streams_open(void);
void conn_resume_raw(void *mc);
void conn_suspend_raw(void *mc);
