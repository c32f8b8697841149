/* The thread that saves what turns have, ends them, tries again, and follows answers of other
 * processes. */
#include "base/crypto.h"
#include "base/log.h"
#include "chat/turn_inner.h"
#include "chat/turn_lost.h"
#include "queries.h"

#include <stdlib.h>
#include <time.h>

#define TICK_MS    200
#define SAVE_US    INT64_C(700000)
#define BEAT_US    INT64_C(4000000)
#define STOP_TICKS 50 /* ends that cannot be saved at the stop are told by their lease */
#define BATCH_MAX  256

/* One answer's copy for a transaction: nothing of the turn itself is touched outside of the lock.
 */
struct save {
    struct turn *turn;
    sv id, text, owner, model, conversation;
    bool over, gone, wants_title, grown, beat, answered;
    sv request_id;
    enum ai_stop stop;
    opt_int input, output;
    size_t asked;
    sv sealed;
    int64_t key_id;
};
struct batch {
    struct save items[BATCH_MAX];
    size_t n;
    struct chat_turn_stopped_row *stopped;
    size_t nstopped;
};

static bool due(const struct turn *t, int64_t now_us)
{
    bool grown = t->ai.text.n > t->saved && now_us - t->saved_at_us >= SAVE_US;
    return t->over || grown || now_us - t->beat_at_us >= BEAT_US;
}

static void collect(struct batch *b, struct arena *mem, int64_t now_us)
{
    for (struct turn *t = turns.list; t != NULL && b->n < BATCH_MAX; t = t->next) {
        if (!due(t, now_us))
            continue;
        b->items[b->n++] = (struct save){
            .turn = t,
            .id = arena_sv(mem, t->view.message),
            .conversation = arena_sv(mem, t->view.conversation),
            .text =
                t->over || t->ai.text.n > t->saved ? arena_sv(mem, buf_sv(&t->ai.text)) : SV(""),
            .owner = arena_sv(mem, t->owner),
            .model = arena_sv(mem, t->model),
            .over = t->over,
            .grown = t->ai.text.n > t->saved,
            .beat = now_us - t->beat_at_us >= BEAT_US,
            .request_id = arena_sv(mem, sv_from(t->request_id)),
            .stop = t->stop,
            .wants_title = t->wants_title,
            .input = {t->ai.has_input, t->ai.input_tokens},
            .output = {t->ai.has_output, t->ai.output_tokens},
            .answered = turn_answered(t),
            .asked = t->asked,
        };
    }
}

/* A provider that was not heard to the end has not told: four bytes a token, so that whoever always
 * stops in time pays too. */
#define TOKEN_BYTES 4

static int64_t tokens(opt_int told, size_t bytes)
{
    return told.has ? told.v : (int64_t)(bytes / TOKEN_BYTES);
}

static err put_usage(struct db_tx *tx, struct arena *mem, const struct save *s, sv owner, ts now)
{
    if (!s->answered || (s->text.n == 0 && !s->input.has && !s->output.has))
        return OK;
    return q_chat_usage_add(tx, mem,
                            &(struct chat_usage_add_in){
                                .owner = owner,
                                .day = ts_day(now),
                                .model = s->model,
                                .turns = 1,
                                .input_tokens = tokens(s->input, s->asked),
                                .output_tokens = tokens(s->output, s->text.n),
                            },
                            NULL);
}

/* The row is not ours any more. Its conversation was deleted: the provider is paid all the same. */
static err put_gone(struct db_tx *tx, struct arena *mem, struct save *s, ts now)
{
    struct chat_turn_follow_row row;
    bool there;
    s->gone = true;
    TRY(q_chat_turn_follow(
        tx, mem, &(struct chat_turn_follow_in){.id = s->id, .conversation_id = s->conversation},
        &row, &there));
    return there ? OK : put_usage(tx, mem, s, s->owner, now);
}

static err put_end(struct db_tx *tx, struct arena *mem, struct save *s)
{
    struct chat_turn_running_row row;
    bool found;
    int64_t changed;
    ts now = clock_now();
    TRY(q_chat_turn_running(
        tx, mem, &(struct chat_turn_running_in){.conversation_id = s->conversation}, &row, &found));
    if (!found || !sv_eq(row.id, s->id))
        return put_gone(tx, mem, s, now);
    TRY(q_chat_turn_end(tx, mem,
                        &(struct chat_turn_end_in){
                            .id = s->id,
                            .conversation_id = s->conversation,
                            .body = s->sealed,
                            .key_id = s->key_id,
                            .request_id = s->request_id.n > 0 ? s->request_id : SV_NULL,
                            .stop = sv_from(ai_stop_name(s->stop)),
                            .input_tokens = s->input,
                            .output_tokens = s->output,
                        },
                        &changed));
    s->gone = changed == 0;
    if (changed == 0)
        return OK;
    if (turn_gives_back(s->stop, s->text.n))
        TRY(turn_give_back(tx, mem, &row));
    TRY(put_usage(tx, mem, s, row.owner, now));
    if (!s->wants_title || s->stop != AI_COMPLETE)
        return OK;
    sv payload =
        arena_printf(mem, "{\"conversation\":\"%.*s\",\"message\":\"%.*s\",\"owner\":\"%.*s\"}",
                     SV_ARG(s->conversation), SV_ARG(s->id), SV_ARG(row.owner));
    return job_put(tx, mem,
                   &(struct job_new){.kind = "chat.title",
                                     .key = s->conversation,
                                     .payload = payload,
                                     .run_at = now,
                                     .priority = 5},
                   now);
}

/* Text and lease apart: the lease is indexed, and needs no news every second. */
static err put_part(struct db_tx *tx, struct arena *mem, struct save *s, ts lease)
{
    int64_t changed = 1;
    if (s->grown)
        TRY(q_chat_turn_save(tx, mem,
                             &(struct chat_turn_save_in){.id = s->id,
                                                         .conversation_id = s->conversation,
                                                         .body = s->sealed,
                                                         .key_id = s->key_id},
                             &changed));
    if (s->beat && changed > 0)
        TRY(q_chat_turn_beat(tx, mem,
                             &(struct chat_turn_beat_in){.id = s->id,
                                                         .conversation_id = s->conversation,
                                                         .lease_until = lease},
                             &changed));
    s->gone = changed == 0;
    return OK;
}

/* No claim moves what is about to be given back. */
static err lock_givers(struct db_tx *tx, struct arena *mem, const struct batch *b)
{
    sv *keys = ARENA_ARRAY(mem, sv, b->n);
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct save *s = &b->items[i];
        if (s->over && turn_gives_back(s->stop, s->text.n))
            keys[n++] = chat_quota_key(mem, s->owner);
    }
    return n > 0 ? db_lock(tx, keys, n) : OK;
}

static err put_batch(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct batch *b = arg;
    ts lease = ts_add(clock_wall(), TURN_LEASE_MS);
    TRY(lock_givers(tx, mem, b));
    for (size_t i = 0; i < b->n; i++) {
        struct save *s = &b->items[i];
        TRY(s->over ? put_end(tx, mem, s) : put_part(tx, mem, s, lease));
    }
    return q_chat_turn_stopped(tx, mem, &b->stopped, &b->nstopped);
}

static bool stop_asked(const struct batch *b, sv id)
{
    for (size_t i = 0; i < b->nstopped; i++)
        if (sv_eq(b->stopped[i].id, id))
            return true;
    return false;
}

static void after_commit(const struct batch *b, int64_t now_us)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct save *s = &b->items[i];
        struct turn *t = s->turn;
        if (s->grown) {
            t->saved = s->text.n;
            t->saved_at_us = now_us;
        }
        if (s->beat)
            t->beat_at_us = now_us;
        if (s->over)
            turn_finish(t);
        else if (s->gone || stop_asked(b, s->id))
            turn_cancel_locked(t); /* deleted, or stopped on another node */
    }
}

/* Here and not in the transaction: others wait for that. */
static err seal_all(struct batch *b, struct arena *mem)
{
    for (size_t i = 0; i < b->n; i++) {
        struct save *s = &b->items[i];
        if (s->over || s->grown)
            TRY(chat_body_seal(mem, s->conversation, s->id, s->text, &s->key_id, &s->sealed));
    }
    return OK;
}

/* With the lock held; gives it up while the database works. */
static void save_some(void)
{
    ARENA_AUTO mem = arena_new(0);
    struct batch *b = ARENA_NEW(mem, struct batch);
    int64_t now_us = clock_mono_us();
    collect(b, mem, now_us);
    turns.more = b->n == BATCH_MAX;
    turns.failed = false;
    if (b->n == 0)
        return;
    pthread_mutex_unlock(&turns.lock);
    err e = seal_all(b, mem);
    if (e == OK)
        e = db_write(turns.app->db, mem, put_batch, b);
    if (e != OK)
        log_event(LOG_ERROR, "chat.save_failed", "error", err_name(e), "detail", err_detail(e),
                  NULL);
    pthread_mutex_lock(&turns.lock);
    turns.failed = e != OK;
    if (e == OK)
        after_commit(b, now_us);
}

static void try_again(void)
{
    int64_t now_us = clock_mono_us();
    for (struct turn *t = turns.list; t != NULL; t = t->next)
        if (t->retry_at_us != 0 && t->retry_at_us <= now_us)
            turn_try(t);
}

/* ---- followers */

struct look {
    const struct turn_view *view;
    sv text;
    enum ai_stop stop;
    bool found;
};

static err look_up(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct look *l = arg;
    struct chat_turn_follow_row row;
    TRY(q_chat_turn_follow(tx, mem,
                           &(struct chat_turn_follow_in){.id = l->view->message,
                                                         .conversation_id = l->view->conversation},
                           &row, &l->found));
    if (!l->found)
        return OK;
    bool alive = sv_is(row.status, "streaming") && row.lease_until.ms >= clock_wall().ms;
    l->stop = alive ? AI_RUNNING : ai_stop_parse(row.status);
    return chat_body_unseal(mem, l->view->conversation, l->view->message, row.body, row.key_id,
                            &l->text);
}

/* Sends what is new of the row; true when the answer is over. */
static bool send_row(struct app *app, const struct turn_view *view, int64_t *after,
                     struct stream *s)
{
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO out = {0};
    struct look l = {.view = view, .text = SV("")};
    if (db_read(app->db, mem, look_up, &l) != OK)
        return false; /* the next look may succeed */
    int64_t seen = *after - TURN_TEXT_AT;
    size_t from = seen < 0 ? 0 : (size_t)seen;
    turn_write_opening(&out, view, *after);
    turn_write_text(&out, view, l.text, from);
    int64_t here = TURN_TEXT_AT + (int64_t)l.text.n;
    bool over = !l.found || l.stop != AI_RUNNING;
    if (over)
        turn_write_ending(&out, view, l.text.n, l.found ? l.stop : AI_INTERRUPTED, *after);
    if (*after < here)
        *after = here;
    if (out.n > 0)
        stream_send(s, buf_sv(&out));
    return over;
}

static void free_follower(struct follower *f)
{
    stream_close(f->s);
    stream_unref(f->s);
    arena_free(f->mem);
    free(f);
}

/* With the lock held; gives it up while the database is read: transfers must not wait for that. Who
 * is looked after meanwhile belongs to this thread alone. */
static void follow_some(void)
{
    struct follower *mine = turns.followers, *kept = NULL;
    turns.followers = NULL;
    if (mine == NULL)
        return;
    pthread_mutex_unlock(&turns.lock);
    for (struct follower *f = mine, *next; f != NULL; f = next) {
        next = f->next;
        if (stream_gone(f->s) || send_row(turns.app, &f->view, &f->after, f->s)) {
            free_follower(f);
        } else {
            f->next = kept;
            kept = f;
        }
    }
    pthread_mutex_lock(&turns.lock);
    while (kept != NULL) {
        struct follower *next = kept->next;
        kept->next = turns.followers;
        turns.followers = kept;
        kept = next;
    }
}

void turn_follow_row(struct app *app, const struct turn_view *view, int64_t after, struct stream *s)
{
    if (send_row(app, view, &after, s)) {
        stream_close(s);
        return;
    }
    struct follower *f = calloc(1, sizeof *f);
    if (f == NULL)
        abort();
    f->mem = arena_new(512);
    f->view = *view;
    f->view.message = arena_sv(f->mem, view->message);
    f->view.conversation = arena_sv(f->mem, view->conversation);
    f->view.parent = arena_sv(f->mem, view->parent);
    f->view.notice = arena_sv(f->mem, view->notice);
    f->view.crisis = arena_sv(f->mem, view->crisis);
    f->s = stream_ref(s);
    f->after = after;
    pthread_mutex_lock(&turns.lock);
    if (turns.stopping) {
        pthread_mutex_unlock(&turns.lock);
        free_follower(f);
        return;
    }
    turn_thread_start(app);
    f->next = turns.followers;
    turns.followers = f;
    pthread_cond_signal(&turns.wake);
    pthread_mutex_unlock(&turns.lock);
}

/* ---- the thread */

static bool something_over(void)
{
    for (const struct turn *t = turns.list; t != NULL; t = t->next)
        if (t->over)
            return true;
    return false;
}

static void wait_a_tick(void)
{
    if (!turns.failed && (turns.more || something_over()))
        return;
    if (turns.list == NULL && turns.followers == NULL && !turns.stopping) {
        pthread_cond_wait(&turns.wake, &turns.lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&turns.wake, &turns.lock, &until);
}

static void *run(void *arg)
{
    (void)arg;
    int last_saves = 0;
    pthread_mutex_lock(&turns.lock);
    while (!turns.stopping || (turns.list != NULL && last_saves++ < STOP_TICKS)) {
        wait_a_tick();
        try_again();
        save_some();
        follow_some();
    }
    while (turns.followers != NULL) {
        struct follower *f = turns.followers;
        turns.followers = f->next;
        free_follower(f);
    }
    pthread_mutex_unlock(&turns.lock);
    return NULL;
}

void turn_thread_start(struct app *app)
{
    if (turns.started)
        return;
    turns.app = app; /* before the thread, which reads it without the lock */
    if (pthread_create(&turns.thread, NULL, run, NULL) != 0)
        abort();
    turns.started = true;
}

void turn_stop_all(void)
{
    pthread_mutex_lock(&turns.lock);
    bool started = turns.started;
    turns.stopping = true;
    for (struct turn *t = turns.list; t != NULL; t = t->next) {
        if (t->flow != NULL) {
            http_feed_cancel(t->flow);
        } else if (!t->over) {
            t->stop = AI_INTERRUPTED;
            t->over = true;
        }
    }
    pthread_cond_signal(&turns.wake);
    pthread_mutex_unlock(&turns.lock);
    if (started)
        pthread_join(turns.thread, NULL);
}
