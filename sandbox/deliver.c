/* Webhooks out: a queue in order of due time, signed, tried again with growing gaps, faults on
 * demand. */
#include "base/clock.h"
#include "sandbox.h"
#include <curl/curl.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES_MAX  60
#define HOLD_MAX   64
#define HOLD_US    10000000
#define TIMEOUT_MS 15000L

struct delivery {
    struct delivery *next;
    json_t *event; /* owned */
    char url[1024], secret[128];
    bool legacy, twice;
    int attempt;
    int64_t due; /* monotonic microseconds */
    uint64_t order;
};
static struct delivery *queue, *queue_last, *held[HOLD_MAX];
static int held_count, in_flight;
static int64_t held_since;
static uint64_t orders;
static pthread_cond_t work, idle;
static json_t *faults; /* [{kind, count, event, ms}] */

void sb_sign(const char *secret, const char *body, size_t len, int64_t t, char out[160])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char *text = malloc(len + 32);
    if (!text)
        abort();
    int n = snprintf(text, 32, "%lld.", (long long)t);
    memcpy(text + n, body, len);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)text, (size_t)n + len, mac,
         &mac_len);
    free(text);
    n = snprintf(out, 160, "t=%lld,v1=", (long long)t);
    for (unsigned i = 0; i < mac_len; i++)
        n += snprintf(out + n, 160 - (size_t)n, "%02x", mac[i]);
}

static bool before(const struct delivery *a, const struct delivery *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void enqueue(struct delivery *d)
{
    struct delivery **at = &queue;
    if (queue_last && !before(d, queue_last))
        at = &queue_last->next;
    while (*at && !before(d, *at))
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    if (!d->next)
        queue_last = d;
    pthread_cond_broadcast(&work);
}

static struct delivery *dequeue(void)
{
    struct delivery *d = queue;
    queue = d->next;
    if (!queue)
        queue_last = NULL;
    return d;
}

static void release_held(void)
{
    int64_t now = clock_mono_us();
    while (held_count) {
        struct delivery *d = held[--held_count];
        d->due = now;
        d->order = orders++;
        enqueue(d);
    }
}

/* ---- faults */

bool sb_webhook_fault(const json_t *fault)
{
    static const char *const mine[] = {"duplicate", "reorder", "delay", "drop", "old_shape"};
    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++) {
        if (strcmp(mine[i], jstr(fault, "kind")))
            continue;
        if (!faults)
            faults = json_array();
        json_array_append_new(faults, json_deep_copy(fault));
        return true;
    }
    return false;
}

void sb_webhook_fault_clear(void)
{
    json_array_clear(faults);
    release_held();
}

/* The next fault of this kind that this event meets; counts it down. */
static json_t *fault_take(const char *kind, const char *type)
{
    json_t *f;
    size_t i;
    json_array_foreach(faults, i, f)
    {
        const char *only = jstr(f, "event");
        if (strcmp(jstr(f, "kind"), kind) || strncmp(type, only, strlen(only)) ||
            jint(f, "count") == 0)
            continue;
        jset_int(f, "count", jint(f, "count") - 1); /* negative: for ever */
        return f;
    }
    return NULL;
}

static void hold(struct delivery *d, json_t *fault)
{
    if (!held_count)
        held_since = clock_mono_us();
    held[held_count++] = d;
    if (held_count == HOLD_MAX || jint(fault, "count") == 0)
        release_held();
}

/* ---- queueing */

static bool wants(const json_t *endpoint, const char *type)
{
    json_t *x;
    size_t i;
    if (strcmp(jstr(endpoint, "status"), "enabled"))
        return false;
    json_array_foreach(jarr(endpoint, "enabled_events"), i, x)
    {
        if (!strcmp(json_string_value(x), "*") || !strcmp(json_string_value(x), type))
            return true;
    }
    return false;
}

static void queue_one(json_t *event, const char *url, const char *secret, bool legacy,
                      const json_t *twice, json_t *delay, json_t *reorder)
{
    struct delivery *d = calloc(1, sizeof *d);
    if (!d)
        abort();
    d->event = json_incref(event);
    snprintf(d->url, sizeof d->url, "%s", url);
    snprintf(d->secret, sizeof d->secret, "%s", secret);
    d->legacy = legacy;
    d->twice = twice != NULL;
    d->due = clock_mono_us();
    d->order = orders++;
    jset_int(event, "pending_webhooks", jint(event, "pending_webhooks") + 1);
    if (delay)
        d->due += 1000 * (jhas(delay, "ms") ? jint(delay, "ms") : 2000);
    if (reorder)
        hold(d, reorder);
    else
        enqueue(d);
}

void sb_deliver_event(json_t *event)
{
    const char *type = jstr(event, "type");
    jset_int(event, "pending_webhooks", 0);
    if (fault_take("drop", type)) {
        jset_int(event, "pending_webhooks", 1);
        return;
    }
    json_t *twice = fault_take("duplicate", type), *delay = fault_take("delay", type);
    json_t *reorder = fault_take("reorder", type), *old = fault_take("old_shape", type);
    if (sb_config.forward_to)
        queue_one(event, sb_config.forward_to, sb_config.secret, sb_config.legacy || old, twice,
                  delay, reorder);
    json_t *w;
    size_t i;
    json_array_foreach(sb_all("webhook_endpoint"), i, w)
    {
        if (jbool(w, "_deleted") || !wants(w, type))
            continue;
        bool legacy = jhas(w, "api_version") ? strcmp(jstr(w, "api_version"), SB_VERSION_BASIL) < 0
                                             : sb_config.legacy;
        queue_one(event, jstr(w, "url"), jstr(w, "_secret"), legacy || old, twice, delay, reorder);
    }
}

/* ---- sending */

static size_t swallow(char *p, size_t size, size_t n, void *to)
{
    (void)p;
    (void)to;
    return size * n;
}

struct post {
    const char *url, *body, *signature;
    long status;
};

static void post_with(CURL *curl, struct post *p)
{
    char line[200];
    snprintf(line, sizeof line, "Stripe-Signature: %s", p->signature);
    struct curl_slist *headers = curl_slist_append(NULL, line);
    headers = curl_slist_append(headers, "Content-Type: application/json; charset=utf-8");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, p->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, p->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(p->body));
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    p->status = 0;
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &p->status);
    curl_slist_free_all(headers);
}

/* The copy of a duplicate, at the same time in a thread of its own. */
static void *post_copy(void *arg)
{
    CURL *curl = curl_easy_init();
    post_with(curl, arg);
    curl_easy_cleanup(curl);
    return NULL;
}

static long send_it(CURL *curl, const struct delivery *d, const char *body)
{
    char signature[160];
    struct post post = {.url = d->url, .body = body, .signature = signature}, copied = post;
    pthread_t copy;
    sb_sign(d->secret, body, strlen(body), ts_unix(clock_wall()), signature);
    bool twice = d->twice && d->attempt == 0 && !pthread_create(&copy, NULL, post_copy, &copied);
    post_with(curl, &post);
    if (twice)
        pthread_join(copy, NULL);
    return post.status;
}

static int64_t gap_us(int attempt)
{
    static const int64_t gaps[] = {200000, 1000000, 3000000};
    return attempt < 3 ? gaps[attempt] : 5000000;
}

static void finish(struct delivery *d, long status)
{
    if (status >= 200 && status < 300) {
        jset_int(d->event, "pending_webhooks", jint(d->event, "pending_webhooks") - 1);
    } else if (++d->attempt < TRIES_MAX) {
        if (!sb_config.quiet)
            fprintf(stderr, "sandbox: %s %s answered %ld, again later\n", jstr(d->event, "type"),
                    jstr(d->event, "id"), status);
        d->due = clock_mono_us() + gap_us(d->attempt - 1);
        d->order = orders++;
        enqueue(d);
        return;
    }
    json_decref(d->event);
    free(d);
}

static void wait_until(pthread_cond_t *cond, int64_t mono_us)
{
    struct timespec at = {.tv_sec = mono_us / 1000000, .tv_nsec = (mono_us % 1000000) * 1000};
    pthread_cond_timedwait(cond, &sb_lock, &at);
}

static void *worker(void *arg)
{
    CURL *curl = curl_easy_init();
    pthread_mutex_lock(&sb_lock);
    for (;;) {
        int64_t now = clock_mono_us();
        if (held_count && now >= held_since + HOLD_US)
            release_held();
        if (!in_flight)
            sb_timeline_run(); /* what falls due while nobody calls */
        if (!queue || queue->due > now) {
            if (!queue && !in_flight && !held_count)
                pthread_cond_broadcast(&idle);
            wait_until(&work, queue ? queue->due : now + 500000);
            continue;
        }
        struct delivery *d = dequeue();
        in_flight++;
        json_t *tree = sb_event_body(d->event, d->legacy);
        char *body = json_dumps(tree, JSON_INDENT(2));
        json_decref(tree);
        pthread_mutex_unlock(&sb_lock);
        long status = send_it(curl, d, body);
        free(body);
        pthread_mutex_lock(&sb_lock);
        in_flight--;
        finish(d, status);
    }
    return arg;
}

void sb_deliver_start(void)
{
    pthread_condattr_t attr;
    pthread_t thread;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&work, &attr);
    pthread_cond_init(&idle, &attr);
    if (pthread_create(&thread, NULL, worker, NULL))
        abort();
    pthread_detach(thread);
}

/* Those that wait for another try need not wait longer; their order stays. */
static void hurry(void)
{
    int64_t now = clock_mono_us();
    struct delivery *d = queue;
    queue = queue_last = NULL;
    while (d) {
        struct delivery *next = d->next;
        if (d->attempt)
            d->due = d->due < now ? d->due : now;
        enqueue(d);
        d = next;
    }
}

bool sb_deliver_settle(double seconds, int *pending)
{
    int64_t deadline = clock_mono_us() + (int64_t)(seconds * 1e6);
    release_held();
    hurry();
    while ((queue || in_flight || held_count) && clock_mono_us() < deadline)
        wait_until(&idle, deadline);
    *pending = in_flight + held_count;
    for (struct delivery *d = queue; d; d = d->next)
        ++*pending;
    return *pending == 0;
}
