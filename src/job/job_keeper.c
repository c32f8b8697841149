/* The keeper: one heartbeat for all leases of the process, rescue of the leases of dead ones, the
 * schedule, pruning and the gauges. */
#include "base/log.h"
#include "http/metrics.h"
#include "job/job_runner.h"
#include "queries.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_MS      100
#define BEAT_US      (15 * INT64_C(1000000))
#define RESCUE_US    (10 * INT64_C(1000000))
#define GAUGE_US     (5 * INT64_C(1000000))
#define PRUNE_US     (60 * INT64_C(1000000))
#define PRUNE_N      2000
#define KEEP_DONE    TS_DAY
#define KEEP_REST    (90 * TS_DAY)
#define CRON_READ_US (30 * INT64_C(1000000))

/* -------- who we are -------- */

/* Start time of a process in clock ticks since boot; 0 if there is none. */
static unsigned long long process_start(long pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *p = strrchr(text, ')'); /* the name may hold spaces */
    if (!p)
        return 0;
    for (int field = 2; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* host:namespace, the part of a worker's name within which pids can be compared. */
static void place_name(char *out, size_t n)
{
    char host[64] = "host", ns[64] = "";
    gethostname(host, sizeof host - 1);
    ssize_t got = readlink("/proc/self/ns/pid", ns, sizeof ns - 1);
    if (got > 0)
        ns[got] = '\0';
    snprintf(out, n, "%s:%s", host, ns);
}

static pthread_once_t process_once = PTHREAD_ONCE_INIT;
static char process_name[200];

static void process_name_make(void)
{
    char place[140];
    place_name(place, sizeof place);
    snprintf(process_name, sizeof process_name, "%s/%ld/%llu", place, (long)getpid(),
             process_start(getpid()));
}

sv job_process_name(void)
{
    pthread_once(&process_once, process_name_make);
    return sv_from(process_name);
}

void job_worker_name(char *out, size_t n)
{
    static atomic_uint runners; /* tests start several in one process */
    snprintf(out, n, "%s/%u", job_process_name().p, atomic_fetch_add(&runners, 1));
}

bool job_process_gone(sv name)
{
    char place[140];
    place_name(place, sizeof place);
    sv rest = name, where = sv_cut(&rest, '/'), pid_text = sv_cut(&rest, '/'),
       start_text = sv_cut(&rest, '/');
    int64_t pid, start;
    if (!sv_is(where, place) || !sv_to_i64(pid_text, &pid) || !sv_to_i64(start_text, &start))
        return false;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return true;
    unsigned long long now = process_start((long)pid);
    return now != 0 && now != (unsigned long long)start;
}

/* -------- rescue -------- */

struct rescue {
    sv worker;
    ts before;
    struct job_rescued *rows;
    size_t n;
};

static err rescue_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct rescue *r = arg;
    return job_store_rescue(tx, mem, r->worker, r->before, clock_now(), &r->rows, &r->n);
}

static void rescue_worker(struct job_runner *r, struct arena *mem, sv worker, ts before)
{
    struct rescue q = {.worker = worker, .before = before};
    err e = db_write(r->db, mem, rescue_run, &q);
    if (e != OK) {
        log_event(LOG_WARN, "job.rescue", "error", err_detail(e), NULL);
        return;
    }
    for (size_t i = 0; i < q.n; i++) {
        bool dead = q.rows[i].dead;
        log_event(dead ? LOG_ERROR : LOG_WARN, dead ? "job.poison" : "job.rescued", "id",
                  arena_cstr(mem, q.rows[i].id), "kind", arena_cstr(mem, q.rows[i].kind), NULL);
        metric_add("mb_jobs_rescued_total", 1);
        if (!dead && q.rows[i].crashes >= 2)
            atomic_store(&r->suspects, true);
    }
    if (q.n > 0)
        job_wake();
}

struct workers {
    struct job_workers_row *rows;
    size_t n;
};
static err workers_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct workers *w = arg;
    return q_job_workers(tx, mem, &w->rows, &w->n);
}

void job_keeper_adopt(struct job_runner *r)
{
    ARENA_AUTO mem = arena_new(0);
    struct workers w = {0};
    if (db_read(r->db, mem, workers_run, &w) != OK)
        return;
    for (size_t i = 0; i < w.n; i++)
        if (job_process_gone(w.rows[i].worker))
            rescue_worker(r, mem, w.rows[i].worker, (ts){INT64_MAX});
}

struct overdue {
    ts wall;
    struct job_overdue_row *rows;
    size_t n;
};
static err overdue_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct overdue *o = arg;
    struct job_overdue_in in = {.wall = o->wall};
    return q_job_overdue(tx, mem, &in, &o->rows, &o->n);
}

static void rescue(struct job_runner *r, struct arena *mem)
{
    job_keeper_adopt(r); /* a neighbour died: no need to wait for its leases to end */
    struct overdue o = {.wall = clock_wall()};
    if (db_read(r->db, mem, overdue_run, &o) != OK)
        return;
    for (size_t i = 0; i < o.n; i++)
        rescue_worker(r, mem, o.rows[i].worker, o.wall);
}

static err beat_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job_runner *r = arg;
    struct job_beat_in in = {.worker = sv_from(r->worker),
                             .until = ts_add(clock_wall(), JOB_LEASE_MS)};
    return q_job_beat(tx, mem, &in, NULL);
}

static void beat(struct job_runner *r, struct arena *mem)
{
    pthread_mutex_lock(&r->lock);
    bool any = r->in_flight > 0;
    pthread_mutex_unlock(&r->lock);
    if (!any)
        return;
    err e = db_write(r->db, mem, beat_run, r);
    if (e != OK)
        log_event(LOG_WARN, "job.heartbeat", "error", err_detail(e), NULL);
}

/* -------- schedule: missed ticks are caught up by one run -------- */

struct schedule {
    struct job_runner *r;
    struct job_cron_list_row *rows;
    size_t n;
    ts next; /* of all */
};

static err cron_list(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct schedule *s = arg;
    return q_job_cron_list(tx, mem, &s->rows, &s->n);
}

static const struct job_cron_list_row *cron_row(const struct schedule *s, const char *kind)
{
    for (size_t i = 0; i < s->n; i++)
        if (sv_is(s->rows[i].kind, kind))
            return &s->rows[i];
    return NULL;
}

/* One kind: makes its row, follows a changed schedule, or puts the job when its time came. */
static err cron_kind(struct db_tx *tx, struct arena *mem, struct schedule *s,
                     const struct kind_state *k)
{
    ts now = clock_now(), next = cron_next(&k->cron, now);
    sv kind = sv_from(k->kind->name), every = sv_from(k->kind->every);
    const struct job_cron_list_row *row = cron_row(s, k->kind->name);
    if (!row) {
        struct job_cron_insert_in in = {.kind = kind, .every = every, .next_at = next};
        return q_job_cron_insert(tx, mem, &in, NULL);
    }
    if (!sv_eq(row->every, every)) {
        struct job_cron_change_in in = {.kind = kind, .every = every, .next_at = next};
        return q_job_cron_change(tx, mem, &in, NULL);
    }
    if (ts_before(now, row->next_at))
        return OK;
    struct job_cron_step_in in = {.kind = kind, .next_at = next, .old_at = row->next_at};
    int64_t won = 0;
    TRY(q_job_cron_step(tx, mem, &in, &won));
    if (won == 0)
        return OK;
    struct job_new j = {.kind = k->kind->name, .key = SV("cron")};
    return job_put(tx, mem, &j, now);
}

static err cron_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct schedule *s = arg;
    TRY(cron_list(tx, mem, s));
    for (size_t i = 0; i < s->r->nkinds; i++)
        if (s->r->kinds[i].kind->every)
            TRY(cron_kind(tx, mem, s, &s->r->kinds[i]));
    /* Kinds that this program no longer has. */
    for (size_t i = 0; i < s->n; i++) {
        bool known = false;
        for (size_t k = 0; k < s->r->nkinds; k++)
            known = known || (s->r->kinds[k].kind->every &&
                              sv_is(s->rows[i].kind, s->r->kinds[k].kind->name));
        if (!known) {
            struct job_cron_drop_in in = {.kind = s->rows[i].kind};
            TRY(q_job_cron_drop(tx, mem, &in, NULL));
        }
    }
    return cron_list(tx, mem, s);
}

/* Writes only when something is due or has to be made. */
static void schedule(struct job_runner *r, struct arena *mem, ts *next)
{
    struct schedule s = {.r = r};
    err e = db_write(r->db, mem, cron_run, &s);
    if (e != OK) {
        log_event(LOG_WARN, "job.schedule", "error", err_detail(e), NULL);
        return;
    }
    *next = (ts){INT64_MAX};
    for (size_t i = 0; i < s.n; i++)
        *next = ts_min(*next, s.rows[i].next_at);
}

/* -------- house -------- */

static err prune_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    static const struct {
        const char *state;
        int64_t keep;
    } rules[] = {{"done", KEEP_DONE}, {"cancelled", KEEP_REST}, {"dead", KEEP_REST}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct job_prune_in in = {.state = sv_from(rules[i].state),
                                  .before = ts_add(clock_now(), -rules[i].keep),
                                  .n = PRUNE_N};
        TRY(q_job_prune(tx, mem, &in, NULL));
    }
    return OK;
}

static err gauge_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job_health_row *row = arg;
    struct job_health_in in = {.now = clock_now()};
    return q_job_health(tx, mem, &in, row);
}

static void gauges(struct job_runner *r, struct arena *mem)
{
    struct job_health_row h;
    if (db_read(r->db, mem, gauge_run, &h) != OK)
        return;
    int64_t age = ts_is_none(h.oldest) ? 0 : (clock_now().ms - h.oldest.ms) / TS_SECOND;
    metric_set("mb_jobs_oldest_ready_seconds", age);
    metric_set("mb_jobs_ready", h.ready);
    metric_set("mb_jobs_running", h.running);
    metric_set("mb_jobs_dead", h.dead);
    if (h.suspects > 0) {
        atomic_store(&r->suspects, true);
        job_wake();
    }
}

static bool every(int64_t *last_us, int64_t period_us)
{
    int64_t now = clock_mono_us();
    if (*last_us && now - *last_us < period_us)
        return false;
    *last_us = now;
    return true;
}

void *job_keeper_main(void *arg)
{
    struct job_runner *r = arg;
    ARENA_AUTO mem = arena_new(0);
    int64_t beat_us = clock_mono_us(), rescue_us = 0, gauge_us = 0, prune_us = 0, cron_us = 0;
    ts cron_at = {0};
    while (!atomic_load(&r->stop)) {
        if (every(&beat_us, BEAT_US))
            beat(r, mem);
        if (every(&rescue_us, RESCUE_US))
            rescue(r, mem);
        if (!ts_before(clock_now(), cron_at) || every(&cron_us, CRON_READ_US))
            schedule(r, mem, &cron_at);
        if (every(&gauge_us, GAUGE_US))
            gauges(r, mem);
        if (every(&prune_us, PRUNE_US) && db_write(r->db, mem, prune_run, NULL) != OK)
            log_event(LOG_WARN, "job.prune", NULL);
        arena_reset(mem);
        db_read_done(r->db);
        usleep(TICK_MS * 1000);
    }
    return NULL;
}
