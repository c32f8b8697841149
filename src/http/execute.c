/* From a complete request to its reply: credentials, checks, the handler in its transaction. */
#include "base/log.h"
#include "http/inner.h"

#include <assert.h>
#include <stdio.h>

const struct http_options *conn_options(const struct http_conn *x)
{
    return &x->s->o;
}

/* -------- checks, in their order: caller, origin, limit, then the body -------- */
static void identity_clear(struct req *r)
{
    r->member.s[0] = r->visitor.s[0] = '\0';
    r->role = ROLE_NONE;
    r->via = VIA_NONE;
    r->session = SV_NULL;
}

static err authorise(struct http_conn *x)
{
    struct req *r = &x->r;
    enum route_auth need = r->route->auth;
    bool member = !user_id_none(&r->member);
    if ((need == AUTH_MEMBER || need == AUTH_ADMIN) && !member)
        return FAIL(ERR_UNAUTHENTICATED, "Sign in first");
    if (need == AUTH_ADMIN && r->role != ROLE_ADMIN)
        return FAIL(ERR_FORBIDDEN, "This is for administrators");
    if (need == AUTH_VISITOR && !member && visitor_id_none(&r->visitor)) {
        r->visitor = visitor_id_new(r->now);
        sv value = visitor_cookie_make(r->mem, x->s->o.cookie_key, &r->visitor);
        reply_cookie(r, "mb_anon", value, 400 * TS_DAY / 1000);
    }
    return OK;
}

/* IPv6 callers own a /64; counting single addresses would limit nobody. */
static sv limit_address(struct http_conn *x)
{
    size_t n = 0, colons = 0;
    if (strchr(x->address, ':') == NULL)
        return sv_from(x->address);
    while (x->address[n] != '\0' && (colons += x->address[n] == ':') < 4)
        n++;
    return (sv){x->address, n};
}

static sv limit_key(struct http_conn *x, enum route_limit kind)
{
    struct req *r = &x->r;
    sv address = limit_address(x);
    if (kind != LIMIT_LOGIN)
        return user_id_none(&r->member) ? address : user_id_sv(&r->member);
    sv email = json_get_str(r->json, "email");
    char *key = arena_alloc(r->mem, address.n + email.n + 2);
    memcpy(key, address.p, address.n);
    key[address.n] = ' ';
    for (size_t i = 0; i < email.n; i++) {
        char c = email.p[i];
        key[address.n + 1 + i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return (sv){key, address.n + 1 + email.n};
}

static err limit_check(struct http_conn *x)
{
    struct req *r = &x->r;
    enum route_limit kind = r->route->limit;
    struct limit_state st;
    if (x->limited || kind == LIMIT_NONE)
        return OK;
    x->limited = true; /* a re-run is not another request */
    if (limiter_take(x->s->limiter, kind, limit_key(x, kind), clock_mono_us(), &st))
        return OK;
    reply_retry_after(r, st.reset_s);
    reply_header(r, "RateLimit-Policy",
                 arena_printf(r->mem, "\"%s\";q=%lld;w=%lld", st.name, (long long)st.limit,
                              (long long)st.window_s));
    reply_header(r, "RateLimit",
                 arena_printf(r->mem, "\"%s\";r=%lld;t=%lld", st.name, (long long)st.remaining,
                              (long long)st.reset_s));
    return FAIL(ERR_LIMITED, "Too many requests; try again in %lld s", (long long)st.reset_s);
}

static err checks(struct http_conn *x, struct db_tx *tx)
{
    struct req *r = &x->r;
    identity_clear(r);
    if (r->route->auth != AUTH_NONE) {
        if (x->s->o.auth != NULL)
            TRY(x->s->o.auth(r, tx));
        TRY(authorise(x));
    }
    TRY(origin_check(&x->s->origins, r, req_header(r, "Origin")));
    TRY(limit_check(x));
    const struct err_info *f = &x->body_fault;
    if (x->body_err == OK)
        return OK;
    return err_fail_field(x->body_err, f->file ? f->file : __FILE__, f->line, f->pointer, "%s",
                          f->detail[0] ? f->detail : err_title(x->body_err));
}

static err handle(struct http_conn *x)
{
    TRY(x->r.route->handler(&x->r));
    return x->reply.status != 0 ? OK : FAIL(ERR_INTERNAL, "%s made no reply", x->r.route->name);
}

/* -------- in a transaction -------- */
static void forget_run(struct http_conn *x)
{
    arena_rewind(x->r.mem, x->mark);
    reply_reset(&x->reply);
    x->r.counter = NULL;
}

static void rewind_run(struct http_conn *x)
{
    if (x->runs++ > 0)
        forget_run(x);
}

/* The engine marks the arena when it begins, and goes back to there before it runs something once
 * more: it must not begin above our own mark. */
static void begin_anew(struct http_conn *x)
{
    forget_run(x);
    x->runs = 0;
}

static err in_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct http_conn *x = arg;
    rewind_run(x);
    err_clear();
    x->r.tx = tx;
    x->r.writable = x->writes;
    err e = x->checked ? OK : checks(x, tx);
    if (e == OK)
        e = handle(x);
    x->r.tx = NULL;
    if (e != OK)
        fault_capture(x, e);
    return e;
}

static err checks_in_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    struct http_conn *x = arg;
    rewind_run(x);
    err_clear();
    x->r.writable = x->writes;
    err e = checks(x, tx);
    if (e != OK)
        fault_capture(x, e);
    return e;
}

/* Reading, unless recognising the caller has to write (ERR_FIRST_SIGHT): then once more, writing.
 */
static err read_or_write(struct http_conn *x, db_fn fn)
{
    err e = db_read(x->s->o.db, x->r.mem, fn, x);
    if (e != ERR_FIRST_SIGHT)
        return e;
    begin_anew(x);
    x->writes = true;
    return db_write(x->s->o.db, x->r.mem, fn, x);
}

/* A result that no run of ours gave: the engine's own error. */
static void conclude(struct http_conn *x, err e, bool own_thread)
{
    if (e != OK && x->fault.code != e) {
        if (own_thread)
            fault_capture(x, e);
        else
            x->fault = (struct err_info){.code = e};
    }
    x->result = e;
}

/* -------- program's clock -------- */
static void set_now(struct http_conn *x)
{
    if (x->s->o.dev)
        http_clock_sync(x->s->o.db, x->r.mem);
    x->r.now = clock_now();
}

/* -------- on worker threads -------- */
static err run_none(struct http_conn *x)
{
    if (!x->checked)
        TRY(read_or_write(x, checks_in_tx));
    err_clear();
    err e = handle(x);
    if (e != OK)
        fault_capture(x, e);
    return e;
}

static void on_worker(struct work *w)
{
    struct http_conn *x = (struct http_conn *)((char *)w - offsetof(struct http_conn, work));
    enum route_tx tx = x->r.route->tx;
    if (tx == TX_HEALTH)
        x->r.now = clock_now(); /* no look into the database before its own */
    else if (!x->s->sqlite)
        set_now(x);
    x->mark = arena_mark(x->r.mem);
    err_clear();
    err e;
    if ((tx == TX_NONE || tx == TX_HEALTH) && x->body_err == OK)
        e = run_none(x);
    else if ((x->writes = tx == TX_WRITE && x->body_err == OK))
        e = db_write(x->s->o.db, x->r.mem, in_tx, x);
    else
        e = read_or_write(x, in_tx);
    conclude(x, e, true);
    db_read_done(x->s->o.db); /* there are many workers, and few read at the same time */
    conn_finish(x);
}

/* At a stop the connection may go before the worker does: what the library owns is copied. */
static void own_strings(struct http_conn *x)
{
    struct arena *mem = x->r.mem;
    struct pairs *all[] = {&x->heads, &x->query};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < all[k]->n; i++) {
            all[k]->v[i].name = arena_sv(mem, all[k]->v[i].name);
            all[k]->v[i].value = arena_sv(mem, all[k]->v[i].value);
        }
    for (unsigned i = 0; i < x->match.nparams; i++)
        x->match.params[i] = arena_sv(mem, x->match.params[i]);
    x->r.path = arena_sv(mem, x->r.path);
    x->method_text = arena_sv(mem, x->method_text);
}

static bool to_worker(struct http_conn *x)
{
    own_strings(x);
    x->work.run = on_worker;
    conn_suspend(x);
    bool health = x->r.route->tx == TX_HEALTH;
    if (!workers_post(health ? x->s->health : x->s->workers, &x->work)) {
        conclude(x, x->s->stopping ? ERR_STOPPING : ERR_BUSY, false);
        conn_finish(x);
    }
    return false;
}

/* -------- through the writer -------- */
static void after_commit(struct db_post *p, err result)
{
    struct http_conn *x = p->arg;
    conclude(x, result, true);
    conn_finish(x);
}

static bool to_writer(struct http_conn *x)
{
    x->writes = true;
    x->post = (struct db_post){.fn = in_tx, .mem = x->r.mem, .arg = x, .done = after_commit};
    conn_suspend(x);
    db_post(x->s->o.db, &x->post);
    return false;
}

/* -------- bodies -------- */
static bool json_type(sv type)
{
    sv main = sv_trim(sv_cut(&type, ';'));
    return sv_eq_nocase(main, SV("application/json")) ||
           (main.n > 17 && sv_eq_nocase((sv){main.p, 12}, SV("application/")) &&
            sv_eq_nocase((sv){main.p + main.n - 5, 5}, SV("+json")));
}

static err parse_json(struct http_conn *x)
{
    struct req *r = &x->r;
    if (r->body.n == 0)
        return json_parse(r->mem, SV("{}"), &r->json);
    sv type = req_header(r, "Content-Type");
    if (type.p == NULL || !json_type(type))
        return FAIL(ERR_MEDIA_TYPE, "Send application/json");
    TRY(json_parse(r->mem, r->body, &r->json));
    if (json_kind(r->json) == JK_OBJ)
        return OK;
    r->json = NULL;
    return FAIL_FIELD(ERR_VALIDATION, "", "The body has to be a JSON object");
}

static err parse_body(struct http_conn *x)
{
    struct req *r = &x->r;
    if (x->too_large)
        return FAIL(ERR_TOO_LARGE, "The body may have at most %zu bytes", x->body_max);
    if (x->query_bad)
        return FAIL(ERR_BAD_REQUEST, "bad percent encoding in the query");
    r->body = buf_sv(&x->body);
    sv coding = req_header(r, "Content-Encoding");
    if (r->body.n > 0 && !sv_empty(coding) && !sv_eq_nocase(sv_trim(coding), SV("identity")))
        return FAIL(ERR_MEDIA_TYPE, "send the body without a Content-Encoding");
    if (r->route->body == BODY_JSON)
        return parse_json(x);
    if (r->route->body == BODY_FORM && !form_parse(r->mem, r->body, &x->form))
        return FAIL(ERR_BAD_REQUEST, "The form is not encoded well");
    return OK;
}

static void keep_body_fault(struct http_conn *x, err e)
{
    x->body_err = e;
    fault_capture(x, e);
    x->body_fault = x->fault;
    x->fault.code = OK;
}

/* -------- the way of a request -------- */
static bool inline_run(struct http_conn *x)
{
    err e = handle(x);
    if (e != OK)
        fault_capture(x, e);
    conclude(x, e, true);
    return true;
}

static bool dispatch(struct http_conn *x)
{
    enum route_tx tx = x->r.route->tx;
    x->mark = arena_mark(x->r.mem);
    if (tx == TX_INLINE)
        return inline_run(x);
    if (tx == TX_NONE || tx == TX_HEALTH || !x->s->sqlite)
        return to_worker(x);
    if (tx == TX_WRITE && x->body_err == OK)
        return to_writer(x);
    err e = db_read(x->s->o.db, x->r.mem, in_tx, x);
    if (e == ERR_FIRST_SIGHT) {
        begin_anew(x);
        return to_writer(x);
    }
    conclude(x, e, true);
    return true;
}

bool execute(struct http_conn *x)
{
    struct req *r = &x->r;
    err_clear();
    if (x->early != OK || x->preflight) {
        conclude(x, x->early, true);
        return true;
    }
    if (x->s->sqlite || !x->s->o.dev)
        set_now(x);
    err e = parse_body(x);
    if (e != OK)
        keep_body_fault(x, e);
    if (r->route->auth == AUTH_NONE) { /* nothing has to be looked up first */
        e = checks(x, NULL);
        if (e != OK) {
            fault_capture(x, e);
            conclude(x, e, true);
            return true;
        }
        x->checked = true;
    }
    if (r->route->prepare != NULL && x->body_err == OK) {
        e = r->route->prepare(r);
        if (e != OK && x->checked) {
            fault_capture(x, e);
            conclude(x, e, true);
            return true;
        }
        if (e != OK)
            keep_body_fault(x, e);
    }
    return dispatch(x);
}
