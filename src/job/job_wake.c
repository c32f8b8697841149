/* The bell between a commit that enqueued work and the dispatchers of this process. */
#include "job/job_runner.h"
#include <time.h>

static pthread_mutex_t bell_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell;
static pthread_once_t bell_once = PTHREAD_ONCE_INIT;
static unsigned bell_count;

static void bell_init(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&bell, &attr);
    pthread_condattr_destroy(&attr);
}

void job_wake(void)
{
    pthread_once(&bell_once, bell_init);
    pthread_mutex_lock(&bell_lock);
    bell_count++;
    pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&bell_lock);
}

unsigned job_wake_count(void)
{
    pthread_mutex_lock(&bell_lock);
    unsigned n = bell_count;
    pthread_mutex_unlock(&bell_lock);
    return n;
}

void job_wake_wait(unsigned seen, int64_t ms)
{
    pthread_once(&bell_once, bell_init);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&bell_lock);
    while (bell_count == seen && pthread_cond_timedwait(&bell, &bell_lock, &until) == 0)
        ;
    pthread_mutex_unlock(&bell_lock);
}
