#include "ext/stripe.h"

#include "base/calendar.h"
#include "base/crypto.h"
#include "http/client.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RETRIES           2  /* after the first attempt; stripe/CONTRACT §1 */
#define RETRY_AFTER_MAX_S 60 /* longer is not waited for */
#define PER_SECOND        20
#define BURST             10
#define MS                INT64_C(1000) /* in microseconds */

static struct {
    char key[256], base[256], version[64], bearer[272];
    bool configured, live;
    int64_t gap_us; /* between two calls; 0: no limit */
} stripe;

/* The one limiter of the process: the time at which the next call may start (GCRA). */
static pthread_mutex_t limiter_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t limiter_next_us;

static void copy(char *to, size_t size, sv from, const char *fallback)
{
    if (sv_empty(from))
        from = sv_from(fallback);
    assert(from.n < size);
    memcpy(to, from.p, from.n);
    to[from.n] = '\0';
}

static bool on_loopback(sv base)
{
    return sv_starts(base, SV("http://127.")) || sv_starts(base, SV("http://localhost")) ||
           sv_starts(base, SV("http://[::1]"));
}

void stripe_configure(const struct stripe_config *c)
{
    copy(stripe.key, sizeof stripe.key, c->key, "");
    copy(stripe.base, sizeof stripe.base, c->base, "https://api.stripe.com");
    copy(stripe.version, sizeof stripe.version, c->version, "2026-10-28.endive");
    size_t n = strlen(stripe.base);
    if (n > 0 && stripe.base[n - 1] == '/')
        stripe.base[n - 1] = '\0';
    snprintf(stripe.bearer, sizeof stripe.bearer, "Bearer %s", stripe.key);
    stripe.configured = stripe.key[0] != '\0';
    stripe.live = strstr(stripe.key, "_live_") != NULL;
    int rate = c->per_second;
    if (rate == 0)
        rate = on_loopback(sv_from(stripe.base)) ? -1 : PER_SECOND;
    stripe.gap_us = rate < 0 ? 0 : 1000 * MS / rate;
}

bool stripe_configured(void)
{
    return stripe.configured;
}

sv stripe_version(void)
{
    return sv_from(stripe.version);
}

bool stripe_live_mode(void)
{
    return stripe.live;
}

static void sleep_us(int64_t us)
{
    struct timespec t = {.tv_sec = us / (1000 * MS), .tv_nsec = (us % (1000 * MS)) * 1000};
    while (us > 0 && nanosleep(&t, &t) != 0)
        ;
}

/* Waits for our turn; false if it would come after the deadline. */
static bool limiter_wait(int64_t deadline_us)
{
    if (stripe.gap_us == 0)
        return true;
    pthread_mutex_lock(&limiter_lock);
    int64_t now = clock_mono_us();
    if (limiter_next_us < now - BURST * stripe.gap_us)
        limiter_next_us = now - BURST * stripe.gap_us;
    int64_t turn = limiter_next_us;
    bool in_time = turn < deadline_us;
    if (in_time)
        limiter_next_us += stripe.gap_us;
    pthread_mutex_unlock(&limiter_lock);
    if (in_time && turn > now)
        sleep_us(turn - now);
    return in_time;
}

struct call {
    const char *method;
    sv url, body, key;
    int64_t attempt_us; /* longest attempt */
    int64_t deadline_us;
};

static void read_answer(struct arena *mem, const struct http_answer *a, struct stripe_answer *out)
{
    int64_t seconds = 0;
    *out = (struct stripe_answer){.status = a->status, .date = TS_NONE, .sent = a->sent};
    if (a->status == 0)
        return;
    out->sent = true;
    out->raw = a->body;
    out->request_id = http_answer_header(a, "request-id");
    out->replayed = sv_is(http_answer_header(a, "idempotent-replayed"), "true");
    if (!ts_parse_http(http_answer_header(a, "date"), &out->date))
        out->date = TS_NONE;
    if (sv_to_i64(http_answer_header(a, "retry-after"), &seconds) && seconds > 0)
        out->retry_after_s = seconds > 86400 ? 86400 : (int)seconds;
    if (json_parse(mem, a->body, &out->body) != OK)
        out->body = NULL;
    const json *error = json_get(out->body, "error");
    out->error_type = json_get_str(error, "type");
    out->error_code = json_get_str(error, "code");
    out->error_message = json_get_str(error, "message");
    out->error_param = json_get_str(error, "param");
}

static bool succeeded(const struct stripe_answer *a)
{
    return a->status >= 200 && a->status < 300 && json_kind(a->body) == JK_OBJ;
}

/* A 2xx without a JSON body counts as an unknown outcome. */
static bool worth_retry(const struct http_answer *h, const struct stripe_answer *a)
{
    sv advice = a->status == 0 ? SV_NULL : http_answer_header(h, "stripe-should-retry");
    if (sv_is(advice, "false"))
        return false;
    if (sv_is(advice, "true"))
        return true;
    return a->status == 0 || a->status == 409 || a->status == 429 || a->status >= 500 ||
           (a->status >= 200 && a->status < 300);
}

/* 0.5 s * 2^n, at most 5 s, random between half and full, never under 0.5 s; Retry-After if it is
 * longer. */
static int64_t delay_us(int attempt, const struct stripe_answer *a)
{
    int64_t full = (500 * MS) << attempt;
    if (full > 5000 * MS)
        full = 5000 * MS;
    int64_t us = full / 2 + crypto_random_below((uint32_t)(full / 2) + 1);
    if (us < 500 * MS)
        us = 500 * MS;
    int64_t asked = (int64_t)a->retry_after_s * 1000 * MS;
    return asked > us ? asked : us;
}

static err attempt(struct arena *mem, const struct call *c, struct http_answer *h,
                   struct stripe_answer *out)
{
    struct http_header headers[5] = {
        {"Authorization", sv_from(stripe.bearer)},
        {"Stripe-Version", sv_from(stripe.version)},
        {"User-Agent", SV("mybeing/" MYBEING_VERSION)},
    };
    size_t n = 3;
    if (c->key.p != NULL) {
        headers[n++] =
            (struct http_header){"Content-Type", SV("application/x-www-form-urlencoded")};
        headers[n++] = (struct http_header){"Idempotency-Key", c->key};
    }
    int64_t left = c->deadline_us - clock_mono_us();
    int64_t us = left < c->attempt_us ? left : c->attempt_us;
    struct http_call call = {
        .method = c->method,
        .url = c->url,
        .headers = headers,
        .nheaders = n,
        .body = c->body,
        .connect_timeout_ms = 5000,
        .timeout_ms = us < 1 * MS ? 1 : (int)(us / MS),
    };
    *h = (struct http_answer){0};
    err e = http_fetch(mem, &call, h);
    bool maybe_sent = out->sent;
    int attempts = out->attempts;
    read_answer(mem, h, out);
    out->sent |= maybe_sent;
    out->attempts = attempts + 1;
    return e;
}

/* What the caller gets; the words never hold Stripe's message, which may quote the key. */
static err verdict(const struct call *c, const struct http_answer *h, const struct stripe_answer *a)
{
    if (succeeded(a))
        return OK;
    if (a->status == 0)
        return FAIL(ERR_UPSTREAM, "Stripe does not answer (%s)", h->failure ? h->failure : "?");
    char about[200];
    snprintf(about, sizeof about, "%s: %d %.*s %.*s %.*s, request %.*s", c->method, a->status,
             SV_ARG(a->error_type), SV_ARG(a->error_code), SV_ARG(a->error_param),
             SV_ARG(a->request_id));
    if (a->status == 401 || a->status == 403)
        return FAIL(ERR_NOT_CONFIGURED, "Stripe refuses our key (%s)", about);
    if (a->status == 402)
        return FAIL(
            ERR_CARD, "%.*s",
            SV_ARG(sv_empty(a->error_message) ? SV("The card was declined") : a->error_message));
    if (a->status == 404 && sv_is(a->error_code, "resource_missing"))
        return FAIL(ERR_NOT_FOUND, "Stripe does not know it (%s)", about);
    if (a->status == 409 || a->status == 429 || a->status >= 500 ||
        (a->status >= 200 && a->status < 300))
        return FAIL(ERR_UPSTREAM, "Stripe cannot do it now (%s)", about);
    return FAIL(ERR_UPSTREAM_REFUSED, "Stripe refused the request (%s)", about);
}

static err perform(struct arena *mem, struct call *c, enum stripe_wait w, struct stripe_answer *out)
{
    *out = (struct stripe_answer){.date = TS_NONE};
    if (!stripe.configured)
        return FAIL(ERR_NOT_CONFIGURED, "STRIPE_SECRET_KEY is not set");
    c->attempt_us = (w == STRIPE_PERSON ? 10 : 30) * 1000 * MS;
    c->deadline_us = clock_mono_us() + (w == STRIPE_PERSON ? 10 : 150) * 1000 * MS;
    for (int n = 0;; n++) {
        struct http_answer h;
        if (!limiter_wait(c->deadline_us))
            return FAIL(ERR_UPSTREAM, "too many calls to Stripe at once");
        (void)attempt(mem, c, &h, out); /* the verdict speaks for it */
        if (succeeded(out) || n == RETRIES || !worth_retry(&h, out))
            return verdict(c, &h, out);
        int64_t wait = delay_us(n, out);
        if (out->retry_after_s > RETRY_AFTER_MAX_S || clock_mono_us() + wait >= c->deadline_us)
            return verdict(c, &h, out);
        sleep_us(wait);
    }
}

static sv url_of(struct arena *mem, sv path, sv query)
{
    assert(path.n > 0 && path.p[0] == '/');
    if (sv_empty(query))
        return arena_printf(mem, "%s%.*s", stripe.base, SV_ARG(path));
    return arena_printf(mem, "%s%.*s?%.*s", stripe.base, SV_ARG(path), SV_ARG(query));
}

err stripe_get(struct arena *mem, sv path, sv query, enum stripe_wait w, struct stripe_answer *out)
{
    struct call c = {.method = "GET", .url = url_of(mem, path, query)};
    return perform(mem, &c, w, out);
}

err stripe_post(struct arena *mem, sv path, const struct buf *form, sv idempotency_key,
                enum stripe_wait w, struct stripe_answer *out)
{
    assert(!sv_empty(idempotency_key) && idempotency_key.n <= 255);
    struct call c = {.method = "POST",
                     .url = url_of(mem, path, SV_NULL),
                     .body = form != NULL ? buf_sv(form) : SV(""),
                     .key = idempotency_key};
    return perform(mem, &c, w, out);
}

err stripe_delete(struct arena *mem, sv path, sv query, enum stripe_wait w,
                  struct stripe_answer *out)
{
    struct call c = {.method = "DELETE", .url = url_of(mem, path, query)};
    return perform(mem, &c, w, out);
}
