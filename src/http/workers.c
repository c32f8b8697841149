/* A bounded queue and threads that empty it: slow and outside work. */
#include "http/inner.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t some, ended;
    struct work *first, **last;
    size_t n, max;
    unsigned nthreads, alive;
    bool stop;
};

static void *loop(void *arg)
{
    struct workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->first == NULL && !w->stop)
            pthread_cond_wait(&w->some, &w->lock);
        struct work *job = w->first;
        if (job == NULL)
            break;
        if ((w->first = job->next) == NULL)
            w->last = &w->first;
        w->n--;
        pthread_mutex_unlock(&w->lock);
        job->run(job);
        pthread_mutex_lock(&w->lock);
    }
    w->alive--;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct workers *workers_start(unsigned threads, size_t queue_max)
{
    struct workers *w = calloc(1, sizeof *w);
    if (w == NULL)
        abort();
    w->last = &w->first;
    w->max = queue_max;
    w->nthreads = w->alive = threads;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->some, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->ended, &attr);
    pthread_condattr_destroy(&attr);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, loop, w) != 0)
            abort();
        pthread_detach(t);
    }
    return w;
}

bool workers_post(struct workers *w, struct work *job)
{
    pthread_mutex_lock(&w->lock);
    bool ok = !w->stop && w->n < w->max;
    if (ok) {
        job->next = NULL;
        *w->last = job;
        w->last = &job->next;
        w->n++;
        pthread_cond_signal(&w->some);
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

size_t workers_queued(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->n;
    pthread_mutex_unlock(&w->lock);
    return n;
}

bool workers_stop(struct workers *w, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->some);
    while (w->alive > 0)
        if (pthread_cond_timedwait(&w->ended, &w->lock, &until) == ETIMEDOUT)
            break;
    bool done = w->alive == 0;
    pthread_mutex_unlock(&w->lock);
    if (!done)
        return false;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->some);
    pthread_cond_destroy(&w->ended);
    free(w);
    return true;
}
