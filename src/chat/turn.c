#include "chat/turn.h"
#include "base/log.h"
#include "chat/turn_inner.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the turns of this process, under one lock */

struct turns turns = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
static _Atomic int64_t paused_until_us;

#define PAUSE_US       (5 * 60 * INT64_C(1000000))
#define TRIES          3
#define RETRY_FIRST_US INT64_C(500000)
#define WAIT_MAX_US    INT64_C(60000000)

bool turn_paused(void)
{
    return clock_mono_us() < atomic_load(&paused_until_us);
}

bool turn_key_refused(int status)
{
    if (status != 401 && status != 403)
        return false;
    atomic_store(&paused_until_us, clock_mono_us() + PAUSE_US);
    metric_add("mb_ai_key_refused_total", 1);
    log_event(LOG_ERROR, "ai.key_refused", "pause", "5 min", NULL);
    return true;
}

/* Sends to every browser that listens; forgets those that left. */
static void broadcast(struct turn *t, sv bytes)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->nsubs; i++) {
        if (stream_gone(t->subs[i])) {
            stream_unref(t->subs[i]);
            continue;
        }
        if (bytes.n > 0)
            stream_send(t->subs[i], bytes);
        t->subs[kept++] = t->subs[i];
    }
    t->nsubs = kept;
}

static void subscribe(struct turn *t, struct stream *s)
{
    t->subs = realloc(t->subs, (t->nsubs + 1) * sizeof *t->subs);
    if (t->subs == NULL)
        abort();
    t->subs[t->nsubs++] = stream_ref(s);
}

static void free_turn(struct turn *t)
{
    for (size_t i = 0; i < t->nsubs; i++) {
        stream_close(t->subs[i]);
        stream_unref(t->subs[i]);
    }
    free(t->subs);
    free(t->body);
    ai_stream_free(&t->ai);
    arena_free(t->mem);
    free(t);
}

void turn_finish(struct turn *t)
{
    BUF_AUTO out = {0};
    if (turn_gives_back(t->stop, t->ai.text.n) && t->fresh && t->view.remaining >= 0)
        t->view.remaining++;
    turn_write_text(&out, &t->view, buf_sv(&t->ai.text), t->sent);
    turn_write_ending(&out, &t->view, t->ai.text.n, t->stop, 0);
    broadcast(t, buf_sv(&out));
    for (struct turn **p = &turns.list; *p != NULL; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    free_turn(t);
}

static struct turn *find(sv message)
{
    for (struct turn *t = turns.list; t != NULL; t = t->next)
        if (sv_eq(t->view.message, message))
            return t;
    return NULL;
}

/* ---- what the transfer says (on the client's thread) */

#define REFUSAL_BYTES 65536 /* nobody reads what a refusal says beyond that */

/* What the provider calls the request: printable ASCII, since it goes to logs and the database. */
static void keep_request_id(struct turn *t, const struct http_header *headers, size_t n)
{
    t->request_id[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        sv v = headers[i].value;
        if ((strcmp(headers[i].name, "request-id") != 0 &&
             strcmp(headers[i].name, "x-request-id") != 0) ||
            v.n >= sizeof t->request_id)
            continue;
        size_t k = 0;
        while (k < v.n && v.p[k] > ' ' && v.p[k] < 0x7f)
            k++;
        if (k < v.n)
            continue;
        memcpy(t->request_id, v.p, v.n);
        t->request_id[v.n] = '\0';
        return;
    }
}

static void on_status(void *arg, int status, const struct http_header *headers, size_t n)
{
    struct turn *t = arg;
    pthread_mutex_lock(&turns.lock);
    t->status = status;
    keep_request_id(t, headers, n);
    t->retryable = ai_retryable(status, headers, n, &t->after_ms);
    pthread_mutex_unlock(&turns.lock);
}

static enum http_more take(struct turn *t, sv bytes)
{
    if (t->cancelled)
        return HTTP_STOP;
    if (!turn_answered(t)) {
        t->refused_bytes += bytes.n;
        return t->refused_bytes > REFUSAL_BYTES ? HTTP_STOP : HTTP_QUIET;
    }
    unsigned before = t->ai.events;
    ai_stream_feed(&t->ai, bytes);
    if (t->ai.text.n > t->sent) {
        BUF_AUTO out = {0};
        turn_write_text(&out, &t->view, buf_sv(&t->ai.text), t->sent);
        t->sent = t->ai.text.n;
        broadcast(t, buf_sv(&out));
        free(t->body); /* conversations are long, answers many */
        t->body = NULL;
        t->call.body = SV_NULL;
    }
    if (t->ai.failed || t->ai.ended)
        return HTTP_STOP;
    return t->ai.events != before ? HTTP_ALIVE : HTTP_QUIET;
}

static enum http_more on_data(void *arg, sv bytes)
{
    pthread_mutex_lock(&turns.lock);
    enum http_more more = take(arg, bytes);
    pthread_mutex_unlock(&turns.lock);
    return more;
}

/* Is another try allowed and useful? Only before the first text, and not when the provider asks for
 * more patience than a person has. ai/CONTRACT §5. */
static bool may_retry(const struct turn *t, int64_t wait_us)
{
    if (t->cancelled || turns.stopping || t->ai.text.n > 0 || t->tries >= TRIES)
        return false;
    if (wait_us > WAIT_MAX_US || clock_mono_us() + wait_us >= t->until_us)
        return false;
    if (!turn_answered(t))
        return t->status == 0 || t->retryable;
    return t->ai.overloaded;
}

static void tell_failure(const struct turn *t, const char *failure)
{
    char status[16];
    if (t->stop != AI_ERROR && t->stop != AI_INTERRUPTED)
        return;
    snprintf(status, sizeof status, "%d", t->status);
    metric_add("mb_ai_failed_total", 1);
    log_event(LOG_WARN, "ai.failed", "message", arena_cstr(t->mem, t->view.message), "stop",
              ai_stop_name(t->stop), "status", status, "provider_request", t->request_id, "why",
              failure != NULL ? failure : "", NULL);
}

static enum ai_stop stop_of(const struct turn *t)
{
    if (t->cancelled)
        return AI_CANCELLED;
    if (turns.stopping)
        return AI_INTERRUPTED;
    return turn_answered(t) ? ai_stream_stop(&t->ai) : AI_ERROR;
}

static void on_end(void *arg, const char *failure, bool timed_out)
{
    (void)timed_out;
    struct turn *t = arg;
    pthread_mutex_lock(&turns.lock);
    t->flow = NULL;
    turn_key_refused(t->status);
    int64_t wait = t->after_ms >= 0 ? t->after_ms * 1000 : RETRY_FIRST_US << (t->tries - 1);
    if (may_retry(t, wait)) {
        t->retry_at_us = clock_mono_us() + wait;
    } else {
        t->stop = stop_of(t);
        t->over = true;
        tell_failure(t, failure);
    }
    pthread_cond_signal(&turns.wake);
    pthread_mutex_unlock(&turns.lock);
}

void turn_try(struct turn *t)
{
    t->tries++;
    t->retry_at_us = 0;
    t->status = 0;
    t->retryable = true;
    t->after_ms = -1;
    ai_stream_free(&t->ai);
    t->ai = (struct ai_stream){.dialect = t->dialect};
    t->refused_bytes = 0;
    const struct settings *set = &turns.app->set;
    int64_t left_us = t->until_us - clock_mono_us();
    t->call.timeout_ms = left_us > 1000 ? (int)(left_us / 1000) : 1;
    struct http_feed feed = {.status = on_status,
                             .data = on_data,
                             .end = on_end,
                             .first_event_ms = (int)(set->ai_first_event_s * 1000),
                             .silence_ms = (int)(set->ai_silence_s * 1000)};
    if (http_feed_start(&t->call, &feed, t, &t->flow) != OK) {
        t->flow = NULL;
        t->stop = AI_ERROR;
        t->over = true;
    }
}

/* ---- beginning, following, stopping */

static void copy_call(struct turn *t, const struct http_call *c)
{
    struct http_header *h = ARENA_ARRAY(t->mem, struct http_header, c->nheaders);
    for (size_t i = 0; i < c->nheaders; i++)
        h[i] = (struct http_header){arena_cstr(t->mem, sv_from(c->headers[i].name)),
                                    arena_sv(t->mem, c->headers[i].value)};
    t->call = *c;
    t->call.headers = h;
    t->call.url = arena_sv(t->mem, c->url);
    t->body = malloc(c->body.n + 1);
    if (t->body == NULL)
        abort();
    memcpy(t->body, c->body.p, c->body.n);
    t->call.body = (sv){t->body, c->body.n};
    t->asked = c->body.n;
}

err turn_begin(const struct turn_start *start, struct stream *s)
{
    struct turn *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    t->mem = arena_new(4096);
    t->view = start->view;
    t->view.message = arena_sv(t->mem, start->view.message);
    t->view.conversation = arena_sv(t->mem, start->view.conversation);
    t->view.parent = arena_sv(t->mem, start->view.parent);
    t->view.notice = arena_sv(t->mem, start->view.notice);
    t->view.crisis = arena_sv(t->mem, start->view.crisis);
    t->owner = arena_sv(t->mem, start->owner);
    t->model = arena_sv(t->mem, start->model);
    t->fresh = start->fresh;
    t->dialect = start->dialect;
    t->wants_title = start->wants_title;
    copy_call(t, start->call);
    t->saved_at_us = t->beat_at_us = clock_mono_us();
    t->until_us = clock_mono_us() + start->app->set.ai_answer_s * 1000000;
    pthread_mutex_lock(&turns.lock);
    if (turns.stopping) { /* nobody would save it: its lease tells that it was interrupted */
        pthread_mutex_unlock(&turns.lock);
        stream_close(s);
        free_turn(t);
        return OK;
    }
    turn_thread_start(start->app);
    t->next = turns.list;
    turns.list = t;
    subscribe(t, s);
    BUF_AUTO opening = {0};
    turn_write_opening(&opening, &t->view, 0);
    stream_send(s, buf_sv(&opening));
    turn_try(t);
    pthread_cond_signal(&turns.wake);
    pthread_mutex_unlock(&turns.lock);
    return OK;
}

bool turn_follow_here(sv message, int64_t after, struct stream *s)
{
    pthread_mutex_lock(&turns.lock);
    struct turn *t = find(message);
    if (t != NULL) {
        BUF_AUTO out = {0};
        int64_t seen = after - TURN_TEXT_AT;
        size_t from = seen < 0 ? 0 : (size_t)seen < t->sent ? (size_t)seen : t->sent;
        turn_write_opening(&out, &t->view, after);
        turn_write_text(&out, &t->view, (sv){t->ai.text.p, t->sent}, from);
        if (out.n > 0)
            stream_send(s, buf_sv(&out));
        subscribe(t, s);
    }
    pthread_mutex_unlock(&turns.lock);
    return t != NULL;
}

void turn_cancel_locked(struct turn *t)
{
    t->cancelled = true;
    if (t->flow != NULL) {
        http_feed_cancel(t->flow);
    } else if (!t->over) { /* between two tries */
        t->retry_at_us = 0;
        t->stop = AI_CANCELLED;
        t->over = true;
        pthread_cond_signal(&turns.wake);
    }
}

bool turn_cancel(sv message)
{
    pthread_mutex_lock(&turns.lock);
    struct turn *t = find(message);
    if (t != NULL)
        turn_cancel_locked(t);
    pthread_mutex_unlock(&turns.lock);
    return t != NULL;
}
