#include "job/job_runner.h"
#include "app/app.h"
#include "base/log.h"
#include "queries.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define POLL_MS      1000 /* other processes enqueue too */
#define POLL_DEV_MS  100
#define AHEAD_LEAST  2 /* claimed jobs a thread */
#define AHEAD_MOST   8
#define PACE_US      INT64_C(100000)
#define RATES_MAX    16
#define STOP_WAIT_US (10 * INT64_C(1000000))

static struct {
    const char *kind;
    int per_minute;
} rates[RATES_MAX];
static size_t nrates;

void job_rate_set(const char *kind, int per_minute)
{
    assert(nrates < RATES_MAX);
    rates[nrates].kind = kind;
    rates[nrates++].per_minute = per_minute;
}

/* -------- the dispatcher -------- */

struct look {
    bool dev;
    ts due[3]; /* the urgent lane's first job, the normal one's, the late one's */
    bool moved;
    int64_t offset;
};

static err look_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct look *l = arg;
    if (l->dev) {
        struct job_clock_offset_row offset;
        TRY(q_job_clock_offset(tx, mem, &offset, &l->moved));
        if (l->moved)
            l->moved = sv_to_i64(offset.value, &l->offset);
    }
    struct job_next_due_row row;
    TRY(q_job_next_due(tx, mem, &row));
    l->due[0] = row.urgent;
    l->due[1] = row.normal;
    l->due[2] = row.late;
    return OK;
}

struct claim {
    struct job_want want;
    struct job_claimed *got;
    size_t n;
};

static err claim_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct claim *c = arg;
    return job_store_claim(tx, mem, &c->want, &c->got, &c->n);
}

static struct kind_state *kind_find(struct job_runner *r, sv name)
{
    for (size_t i = 0; i < r->nkinds; i++)
        if (sv_is(name, r->kinds[i].kind->name))
            return &r->kinds[i];
    return NULL;
}

/* The kinds that may run now, as ",a,b,"; *wait_ms = when the first of the limited ones may. */
static sv kinds_open(struct job_runner *r, struct arena *mem, int64_t *wait_ms)
{
    BUF_AUTO b = {0};
    int64_t now = clock_mono_us();
    buf_char(&b, ',');
    for (size_t i = 0; i < r->nkinds; i++) {
        int64_t wait = job_rate_wait_ms(&r->kinds[i].rate, now);
        if (wait > 0) {
            if (*wait_ms == 0 || wait < *wait_ms)
                *wait_ms = wait;
            continue;
        }
        buf_add(&b, sv_from(r->kinds[i].kind->name));
        buf_char(&b, ',');
    }
    return arena_sv(mem, buf_sv(&b));
}

static void item_push(struct job_runner *r, struct kind_state *k, const struct job_claimed *c)
{
    struct arena *mem = arena_new(0);
    struct job_item *it = ARENA_NEW(mem, struct job_item);
    it->mem = mem;
    it->kind = k;
    it->c = (struct job_claimed){arena_sv(mem, c->id),
                                 arena_sv(mem, c->kind),
                                 arena_sv(mem, c->key),
                                 arena_sv(mem, c->payload),
                                 c->attempt,
                                 c->token};
    pthread_mutex_lock(&r->lock);
    *r->tail = it;
    r->tail = &it->next;
    job_hold(r, it);
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
}

struct put_back {
    const struct job_claimed *c;
    ts at;
};
static err put_back_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    const struct put_back *p = arg;
    return job_store_put_back(tx, p->c->id, p->c->token, p->at, clock_now());
}

/* More of a limited kind were claimed than it may start: the rest waits for its turn. */
static void over_rate(struct job_runner *r, struct arena *mem, struct kind_state *k,
                      const struct job_claimed *c)
{
    struct put_back p = {c, ts_add(clock_now(), job_rate_wait_ms(&k->rate, clock_mono_us()))};
    err e = db_write(r->db, mem, put_back_run, &p);
    if (e == OK || e == ERR_GONE)
        return;
    log_event(LOG_WARN, "job.put_back", "error", err_detail(e), NULL);
    job_doubt(r);
}

/* As many are claimed as ended in the last tenth of a second: short jobs are worth larger claims,
 * and none waits long in our hand while another process is idle. With the lock. */
static void pace(struct job_runner *r)
{
    int64_t now = clock_mono_us(), passed = now - r->paced_us;
    if (passed < PACE_US)
        return;
    int64_t most = r->ended * PACE_US / passed, least = (int64_t)r->threads * AHEAD_LEAST;
    most = most > r->threads * AHEAD_MOST ? (int64_t)r->threads * AHEAD_MOST : most;
    r->ahead = (unsigned)(most < least ? least : most);
    r->ended = 0;
    r->paced_us = now;
}

static size_t free_slots(struct job_runner *r, bool alone)
{
    pthread_mutex_lock(&r->lock);
    pace(r);
    size_t most = alone ? 1 : r->ahead, busy = r->in_flight;
    pthread_mutex_unlock(&r->lock);
    return busy < most ? most - busy : 0;
}

/* When the first job of all lanes is due; lanes[i]: is lane i's? */
static ts first_due(const struct look *l, ts now, bool *lanes)
{
    ts first = TS_NONE;
    for (int i = 0; i < 3; i++) {
        lanes[i] = !ts_is_none(l->due[i]) && !ts_before(now, l->due[i]);
        if (ts_is_none(first) || (!ts_is_none(l->due[i]) && ts_before(l->due[i], first)))
            first = l->due[i];
    }
    return first;
}

/* One look: claims what is due; returns for how long nothing will be (0: look again at once). */
static int64_t dispatch(struct job_runner *r, struct arena *mem)
{
    int64_t poll = r->dev ? POLL_DEV_MS : POLL_MS;
    struct look l = {.dev = r->dev};
    err e = db_read(r->db, mem, look_run, &l);
    if (e != OK) {
        log_event(LOG_WARN, "job.look", "error", err_detail(e), NULL);
        return poll;
    }
    if (r->dev)
        clock_set_offset(l.moved ? l.offset : 0);
    job_settle_doubt(r, mem);
    bool alone = atomic_load(&r->suspects);
    size_t slots = free_slots(r, alone);
    if (slots == 0)
        return poll; /* a finished job rings */
    ts now = clock_now();
    int64_t rate_wait = 0;
    struct claim c = {.want = {.now = now,
                               .until = ts_add(clock_wall(), JOB_LEASE_MS),
                               .n = (int64_t)slots,
                               .worker = sv_from(r->worker),
                               .alone = alone}};
    ts due = first_due(&l, now, c.want.lanes);
    if (ts_is_none(due))
        return poll;
    if (ts_before(now, due))
        return due.ms - now.ms < poll ? due.ms - now.ms : poll;
    c.want.kinds = kinds_open(r, mem, &rate_wait);
    e = db_write(r->db, mem, claim_run, &c);
    if (e != OK) {
        log_event(LOG_WARN, "job.claim", "error", err_detail(e), NULL);
        job_doubt(r);
        return poll;
    }
    for (size_t i = 0; i < c.n; i++) {
        struct kind_state *k = kind_find(r, c.got[i].kind);
        assert(k);
        if (job_rate_take(&k->rate, clock_mono_us()))
            item_push(r, k, &c.got[i]);
        else
            over_rate(r, mem, k, &c.got[i]);
    }
    if (c.n > 0)
        return 0;
    if (alone) { /* none is left */
        atomic_store(&r->suspects, false);
        return 0;
    }
    if (rate_wait > 0)
        return rate_wait < poll ? rate_wait : poll;
    return poll < 100 ? poll
                      : 100; /* due, but not for us: another version's kind, or taken meanwhile */
}

static void *dispatcher_main(void *arg)
{
    struct job_runner *r = arg;
    ARENA_AUTO mem = arena_new(0);
    while (!atomic_load(&r->stop)) {
        unsigned seen = job_wake_count();
        int64_t wait = dispatch(r, mem);
        arena_reset(mem);
        if (wait > 0)
            job_wake_wait(seen, wait);
    }
    return NULL;
}

/* -------- start and stop -------- */

static char *metric_name(const char *kind, const char *result)
{
    char *s = NULL;
    int n = asprintf(&s, "mb_jobs_total{kind=\"%s\",result=\"%s\"}", kind, result);
    assert(n > 0);
    return s;
}

static err kind_init(struct kind_state *k, const struct job_kind *kind)
{
    k->kind = kind;
    k->rate.per_minute = kind->rate_per_minute;
    for (size_t i = 0; i < nrates; i++)
        if (strcmp(rates[i].kind, kind->name) == 0)
            k->rate.per_minute = rates[i].per_minute;
    if (kind->every && !cron_parse(sv_from(kind->every), &k->cron))
        return FAIL(ERR_CONFIG, "job kind %s has no valid schedule: %s", kind->name, kind->every);
    k->done = metric_name(kind->name, "done");
    k->snoozed = metric_name(kind->name, "snoozed");
    k->retried = metric_name(kind->name, "retried");
    k->dead = metric_name(kind->name, "dead");
    k->lost = metric_name(kind->name, "lost");
    return OK;
}

static void runner_free(struct job_runner *r)
{
    for (size_t i = 0; i < r->nkinds; i++) {
        struct kind_state *k = &r->kinds[i];
        free(k->done);
        free(k->snoozed);
        free(k->retried);
        free(k->dead);
        free(k->lost);
    }
    free(r->kinds);
    free(r->workers);
    free(r);
}

static void spawn(pthread_t *t, void *(*main)(void *), void *arg)
{
    int failed = pthread_create(t, NULL, main, arg);
    assert(failed == 0);
}

err job_runner_start(struct app *app, struct db *db, const struct job_kind_set *sets, size_t nsets,
                     unsigned threads, struct job_runner **out)
{
    struct job_runner *r = calloc(1, sizeof *r);
    assert(r);
    size_t n = 0;
    for (size_t i = 0; i < nsets; i++)
        n += sets[i].n;
    r->kinds = calloc(n ? n : 1, sizeof *r->kinds);
    assert(r->kinds);
    for (size_t i = 0; i < nsets; i++)
        for (size_t k = 0; k < sets[i].n; k++) {
            err e = kind_init(&r->kinds[r->nkinds], &sets[i].kinds[k]);
            if (e != OK) {
                runner_free(r);
                return e;
            }
            r->nkinds++;
        }
    r->app = app;
    r->db = db;
    r->dev = app && app->set.dev;
    r->threads = threads ? threads : 8;
    r->tail = &r->head;
    r->ahead = r->threads * AHEAD_LEAST;
    r->paced_us = clock_mono_us();
    r->ends.last = &r->ends.first;
    pthread_mutex_init(&r->ends.lock, NULL);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    job_worker_name(r->worker, sizeof r->worker);
    job_keeper_adopt(r);
    db_read_done(db); /* for the threads below */
    job_wake();
    r->workers = calloc(r->threads, sizeof *r->workers);
    assert(r->workers);
    spawn(&r->dispatcher, dispatcher_main, r);
    spawn(&r->keeper, job_keeper_main, r);
    for (unsigned i = 0; i < r->threads; i++)
        spawn(&r->workers[i], job_worker_main, r);
    *out = r;
    return OK;
}

static err release_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job_runner *r = arg;
    struct job_release_in in = {.worker = sv_from(r->worker)};
    return q_job_release(tx, mem, &in, NULL);
}

/* True when the queue is empty and no job runs. Waiting items are dropped: their leases are
 * released. */
static bool drained(struct job_runner *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->head) {
        struct job_item *it = r->head;
        r->head = it->next;
        job_let_go(r, it);
        arena_free(it->mem);
    }
    r->tail = &r->head;
    bool empty = r->in_flight == 0;
    pthread_mutex_unlock(&r->lock);
    return empty;
}

void job_runner_stop(struct job_runner *r)
{
    if (!r)
        return;
    atomic_store(&r->stop, true);
    job_wake();
    pthread_join(r->dispatcher, NULL);
    pthread_join(r->keeper, NULL);
    int64_t until = clock_mono_us() + STOP_WAIT_US;
    bool empty = drained(r);
    while (!empty && clock_mono_us() < until) {
        job_wake_wait(job_wake_count(), 20);
        empty = drained(r);
    }
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    ARENA_AUTO mem = arena_new(0);
    if (db_write(r->db, mem, release_run, r) != OK)
        log_event(LOG_WARN, "job.release", NULL);
    if (!empty) { /* a job hangs: the process ends around it, its finish will be refused */
        log_event(LOG_WARN, "job.stop_timeout", NULL);
        return;
    }
    for (unsigned i = 0; i < r->threads; i++)
        pthread_join(r->workers[i], NULL);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->ends.lock);
    runner_free(r);
}
