/* Jobs that are ours by the table and in nobody's hand. */
#include "base/log.h"
#include "job/job_runner.h"
#include "queries.h"
#include <assert.h>

#define DOUBT_US (30 * INT64_C(1000000))
#define LOOK_US  1000000

void job_hold(struct job_runner *r, struct job_item *it)
{
    it->next_held = r->held;
    r->held = it;
    r->in_flight++;
}

void job_let_go(struct job_runner *r, struct job_item *it)
{
    struct job_item **at = &r->held;
    while (*at != it) {
        assert(*at);
        at = &(*at)->next_held;
    }
    *at = it->next_held;
    r->in_flight--;
}

void job_doubt(struct job_runner *r)
{
    atomic_store(&r->doubt_until_us, clock_mono_us() + DOUBT_US);
}

struct mine {
    struct job_runner *r;
    struct job_mine_row *rows;
    size_t n;
};

static err mine_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct mine *m = arg;
    struct job_mine_in in = {.worker = sv_from(m->r->worker)};
    return q_job_mine(tx, mem, &in, &m->rows, &m->n);
}

static bool is_held(struct job_runner *r, const struct job_mine_row *row)
{
    pthread_mutex_lock(&r->lock);
    const struct job_item *it = r->held;
    while (it && !(sv_eq(it->c.id, row->id) && it->c.token == row->token))
        it = it->next_held;
    pthread_mutex_unlock(&r->lock);
    return it != NULL;
}

static err put_back_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    const struct job_mine_row *row = arg;
    return job_store_put_back(tx, row->id, row->token, clock_now(), clock_now());
}

/* One that ended between the look at the table and the look at our hands is refused by its token.
 */
void job_settle_doubt(struct job_runner *r, struct arena *mem)
{
    int64_t now = clock_mono_us();
    if (now > atomic_load(&r->doubt_until_us) || now - r->doubt_looked_us < LOOK_US)
        return;
    r->doubt_looked_us = now;
    struct mine m = {.r = r};
    if (db_read(r->db, mem, mine_run, &m) != OK)
        return;
    for (size_t i = 0; i < m.n; i++) {
        if (is_held(r, &m.rows[i]))
            continue;
        err e = db_write(r->db, mem, put_back_run, &m.rows[i]);
        if (e == OK)
            log_event(LOG_WARN, "job.found_again", "id", arena_cstr(mem, m.rows[i].id), NULL);
        else if (e != ERR_GONE)
            return; /* another look follows */
    }
}
