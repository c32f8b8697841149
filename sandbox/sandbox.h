/* mybeing-sandbox: plays Stripe on loopback (SPEC §7, stripe/CONTRACT.md). Public names begin with
 * sb_.
 *
 * All state is in memory (and in the file of --state) under one lock, `sb_lock`; every function
 * here except those of http.c, deliver.c and main.c runs with it held. Objects are JSON trees in
 * the newest API shape; keys that begin with "_" are the sandbox's own and never leave it;
 * references are ids (view.c expands).
 *
 *   spec.c   request checks        store.c  objects       view.c     shapes, expand
 *   event.c  events                deliver.c webhooks     timeline.c the clock, what is due when
 *   api.c    dispatch, idempotency, faults                billing.c  invoices and payments
 *   *_api.c  the operations        pages.c  Checkout and portal pages   control.c  /_sandbox */
#pragma once
#include "spec.h"
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_VERSION       "2026-10-28.endive"
#define SB_VERSION_OLD   "2024-06-20"
#define SB_VERSION_BASIL "2025-03-31.basil"

struct sb_config {
    int port;
    const char *key;        /* NULL: any sk_test_ or rk_test_ */
    const char *secret;     /* of --forward-to */
    const char *forward_to; /* NULL: registered endpoints only */
    bool legacy;            /* shape of webhooks and events */
    bool quiet;
    const char *state;    /* NULL: everything is forgotten at the end */
    char base[64];        /* "http://127.0.0.1:PORT" */
    char dunning_end[16]; /* canceled, unpaid or past_due */
};
extern struct sb_config sb_config;
extern pthread_mutex_t sb_lock;

/* ---- json.c: short names over jansson; a missing or wrong-typed member reads as ""/0/false/NULL
 */
const char *jstr(const json_t *o, const char *key); /* never NULL */
int64_t jint(const json_t *o, const char *key);
bool jbool(const json_t *o, const char *key);
json_t *jobj(const json_t *o, const char *key);     /* borrowed; NULL unless object */
json_t *jarr(const json_t *o, const char *key);     /* borrowed; NULL unless array */
json_t *jpath(const json_t *o, const char *dotted); /* borrowed; "a.b.0.c" */
const char *jpath_str(const json_t *o, const char *dotted);
bool jhas(const json_t *o, const char *key);              /* present and not null */
void jset(json_t *o, const char *key, json_t *v);         /* steals v */
void jset_str(json_t *o, const char *key, const char *s); /* NULL: null */
void jset_int(json_t *o, const char *key, int64_t n);
void jset_bool(json_t *o, const char *key, bool b);
void jset_null(json_t *o, const char *key);
void jcopy(json_t *to, const json_t *from, const char *key); /* if present; "" becomes null */
json_t *jlist(const char *url);                              /* an empty Stripe list */

/* ---- store.c */
void sb_id(const char *prefix, char out[80]); /* "sub_" + random */
json_t *sb_template(const char *type);        /* every required field, emptiest values; new */
/* A new object: template, id (made when NULL), created, livemode; stored. Borrowed. */
json_t *sb_new(const char *type, const char *prefix, const char *id);
json_t *sb_get(const char *id);                    /* borrowed; NULL if unknown or deleted */
json_t *sb_get_deleted(const char *id);            /* also deleted ones */
json_t *sb_find(const char *id, const char *type); /* and of that type */
json_t *sb_all(const char *type);                  /* array, oldest first; borrowed, never NULL */
void sb_delete(json_t *o);
void sb_metadata_merge(json_t *o, json_t *given); /* "" removes a key, "" for all clears */

json_t *sb_store_dump(void);         /* {type: [object, …]}; borrowed */
void sb_store_load(json_t *by_type); /* into an empty store; keeps references */

/* ---- state.c: --state FILE */
bool sb_state_save(const char *path);        /* if anything changed; false: errno */
const char *sb_state_load(const char *path); /* NULL, or what is wrong; no file is no state */

/* ---- timeline.c: the sandbox's clock (Unix seconds) and what is due when */
int64_t sb_now(void);
enum sb_due {
    SB_DUE_SESSION,      /* a checkout session expires */
    SB_DUE_ASYNC,        /* an async payment ends */
    SB_DUE_UPCOMING,     /* invoice.upcoming, 7 days before */
    SB_DUE_TRIAL_NOTICE, /* 3 days before a trial's end */
    SB_DUE_RESUME,       /* pause_collection[resumes_at] */
    SB_DUE_RETRY,        /* a failed invoice is tried again */
    SB_DUE_CANCEL,       /* cancel_at */
    SB_DUE_PERIOD,       /* a period ends */
    SB_DUE_INCOMPLETE,   /* 23 h after a failed first payment */
};
void sb_due(int64_t at, enum sb_due what, const char *id);
void sb_timeline_run(void);        /* everything due until now, in order */
void sb_timeline_move(int64_t to); /* steps through what is due until then; never backwards */
/* "+1 month", "+3 days", "+90 minutes", Unix seconds or RFC 3339 → a moment. False: not understood.
 */
bool sb_timeline_parse(const char *text, int64_t *out);
json_t *sb_timeline_dump(void); /* new: what is due */
void sb_timeline_load(const json_t *due);
uint64_t sb_timeline_orders(void); /* grows with each sb_due */
int64_t sb_months(int64_t t, int months, int anchor_day);
int64_t sb_interval(int64_t anchor, const json_t *recurring, int n); /* n intervals after anchor */
void sb_http_date(char out[64]);

/* ---- view.c: the shape an answer has. New references. */
json_t *sb_view(const json_t *o, bool legacy);
/* Expands "a.b.c" in a view. False if the document has no such thing to expand. */
bool sb_expand(json_t *view, const char *path, bool legacy);

/* ---- event.c */
struct sb_call;
extern struct sb_call *sb_cause; /* the API request being served, or NULL */
json_t *sb_event(const char *type, const json_t *object); /* borrowed */
json_t *sb_event_updated(const char *type, const json_t *object, const json_t *before);
json_t *sb_event_body(const json_t *event, bool legacy); /* new: as it is sent */

/* ---- deliver.c */
void sb_deliver_start(void);
void sb_deliver_event(json_t *event); /* queues it for every target that wants it */
bool sb_deliver_settle(double seconds,
                       int *pending); /* lock held; waits; retries become due at once */
/* Signature header "t=…,v1=…" of a body. */
void sb_sign(const char *secret, const char *body, size_t len, int64_t t, char out[160]);
bool sb_webhook_fault(const json_t *fault); /* takes duplicate, reorder, delay, drop, old_shape */
void sb_webhook_fault_clear(void);

/* ---- api.c */
struct sb_call {
    const char *method, *path;                             /* "/v1/…" */
    const char *authorization, *version, *idempotency_key; /* "" if absent */
    const char *query;
    const char *body;
    size_t body_len;

    char request_id[80];
    char arg[256]; /* the {id} */
    json_t *in;    /* checked parameters; owned */
    bool legacy;   /* shape of the answer */
    bool replayed;
    bool close;  /* fault: drop the connection without an answer */
    int slow_ms; /* fault: wait before answering */
    int status;
    json_t *error; /* owned */
    char *answer;  /* JSON text, owned by the caller of sb_api */
    const char *retry_after;
};
typedef json_t *sb_handler(struct sb_call *c); /* new reference, or NULL after sb_fail */
struct sb_route {
    const char *method, *pattern;
    sb_handler *handle;
};
void sb_api(struct sb_call *c);
json_t *sb_fail(struct sb_call *c, int status, const char *code, const char *param, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
json_t *sb_missing(struct sb_call *c, const char *what, const char *id, const char *param);
/* The object {id} of the path, or the answer that there is none: `what` as Stripe's words name it.
 */
json_t *sb_one(struct sb_call *c, const char *type, const char *what);
/* POST /v1/…/{id}: `set` takes over the parameters; sends "<type>.updated". */
json_t *sb_change(struct sb_call *c, const char *type, const char *what,
                  void (*set)(json_t *o, json_t *in));
/* A page of sb_all(type) (newest first) that `keep` lets through, by limit and cursors. */
typedef bool sb_keep(const json_t *o, const json_t *in);
json_t *sb_list(struct sb_call *c, const char *type, sb_keep *keep);
bool sb_created_in(const json_t *o, const json_t *in); /* created, created[gt] … */
bool sb_api_fault(const json_t *fault);                /* takes lost_answer, 429, 500, … */
void sb_api_fault_clear(void);
extern json_t *sb_requests; /* log for tests */

extern const struct sb_route sb_catalog_routes[], sb_customer_routes[], sb_checkout_routes[],
    sb_subscription_routes[], sb_invoice_routes[], sb_payment_routes[], sb_portal_routes[],
    sb_endpoint_routes[];

/* ---- catalogue and customers */
json_t *sb_price_make(const json_t *in); /* parameters of /v1/prices; borrowed */
json_t *sb_product_make(const char *id, const char *name);
json_t *sb_customer_make(const char *email, const char *name);
/* A test card by its number or pm_card_… name: known ones only. */
struct sb_card {
    const char *number, *token, *brand;
    const char *decline; /* decline_code at once, or NULL */
    const char *code;    /* error code of it */
    bool fails_later, authenticate, authenticate_always;
};
const struct sb_card *sb_card_find(const char *number);
json_t *sb_card_attach(const struct sb_card *card, const char *customer, const char *email);
int64_t sb_coupon_off(const json_t *coupon, int64_t amount);
json_t *sb_discount_make(const char *coupon, const char *customer);

/* ---- billing.c */
enum sb_attempt { SB_PAID, SB_FAILED, SB_NEEDS_ACTION };
json_t *sb_payment_intent_make(int64_t amount, const char *currency, const char *customer);
/* Charges the payment method now; emits charge and payment_intent events. */
enum sb_attempt sb_payment_try(json_t *pi, const char *pm, bool on_session);
void sb_payment_succeed(json_t *pi, const char *pm);
void sb_payment_fail(json_t *pi, const char *pm, const char *code, const char *decline);
json_t *sb_invoice_make(json_t *sub, const char *reason); /* draft, no lines */
json_t *sb_invoice_line(json_t *invoice, json_t *sub, json_t *item, int64_t amount, int64_t start,
                        int64_t end, bool proration, const char *text);
void sb_invoice_lines(json_t *invoice, json_t *sub);  /* the coming period of each item */
void sb_invoice_finish(json_t *invoice, json_t *sub); /* totals with discounts */
void sb_invoice_finalize(json_t *invoice);
enum sb_attempt sb_invoice_pay(json_t *invoice, bool on_session);
void sb_invoice_paid(json_t *invoice);
void sb_invoice_close(json_t *invoice, const char *status); /* void or uncollectible */
json_t *sb_refund_make(json_t *charge, int64_t amount, const char *status, const char *reason,
                       json_t *metadata);
void sb_refund_set(json_t *refund, const char *status);
json_t *sb_dispute_open(json_t *charge, bool warning, const char *reason);
void sb_dispute_close(json_t *dispute, const char *status);

/* ---- subscription.c */
struct sb_subscribe {
    const char *customer, *pm;
    json_t *items;             /* [{"price":"price_…","quantity":1}] */
    json_t *metadata;          /* or NULL */
    json_t *discounts;         /* array of di_ ids, or NULL */
    int64_t trial_end;         /* 0: none */
    const char *trial_missing; /* trial_settings, or NULL */
};
json_t *sb_subscription_make(const struct sb_subscribe *s); /* and its first invoice; borrowed */
int64_t sb_period_start(const json_t *sub);
int64_t sb_period_end(const json_t *sub);
json_t *sb_item_make(json_t *sub, const json_t *price, int64_t quantity);
void sb_item_price(json_t *item, const json_t *price, int64_t quantity);
void sb_subscription_anchor(json_t *sub, int64_t anchor); /* the next period is its first */
void sb_subscription_trial(json_t *sub, int64_t end);
void sb_subscription_renew(json_t *sub, const char *reason); /* next period, invoice, payment */
void sb_subscription_cancel(json_t *sub, const char *reason);
void sb_subscription_set_cancel(json_t *sub, bool at_period_end, int64_t cancel_at); /* no event */
void sb_subscription_pause(json_t *sub, bool paused); /* status paused / active */
void sb_subscription_settle(json_t *sub, json_t *invoice, enum sb_attempt result);
void sb_subscription_due(enum sb_due what, const char *id, int64_t at);
void sb_invoice_retry(const char *id, int64_t at);

/* ---- checkout_api.c */
/* Pays a session as the hosted page does. NULL and the sentence to show if it did not work;
 * *action: the card wants authentication. */
struct sb_pay {
    const char *card, *email, *name;
    const char *async; /* NULL, succeed, fail, pending */
    int64_t async_delay;
    bool authenticated;
};
const char *sb_checkout_pay(json_t *session, const struct sb_pay *pay, bool *action);
void sb_checkout_expire(json_t *session);
void sb_checkout_async(json_t *session, bool succeed);
void sb_checkout_async_due(const char *id);
char *sb_return_url(const json_t *session);   /* success_url with the id put in; malloc */
json_t *sb_line_items(const json_t *session); /* new list */

/* ---- pages.c, control.c: answer is malloc'ed text */
struct sb_page {
    int status;
    char *body;          /* owned by the caller */
    char location[2048]; /* redirect */
    const char *type;
};
void sb_pages(const char *method, const char *path, const char *body, size_t len,
              struct sb_page *out);
void sb_control(const char *method, const char *path, const char *body, size_t len,
                struct sb_page *out);
const char *sb_trigger(const char *event); /* NULL, or what is wrong */

/* ---- http.c, client.c */
bool sb_http_start(void);
void sb_http_stop(void);
int sb_client(int argc, char **argv);
