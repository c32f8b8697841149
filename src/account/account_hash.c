/* Passwords are slow on purpose: a few at a time, a bounded queue of those who wait, so that a
 * flood of sign-ins neither takes all memory (64 MiB each) nor all worker threads. */
#include "account/account_inner.h"
#include "base/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAITING_MAX 8
#define WAIT_S      10

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static int running, waiting;

static int at_once(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 2 ? 2 : cores > 8 ? 8 : (int)cores;
}

static bool wait_turn(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    while (running >= at_once())
        if (pthread_cond_timedwait(&freed, &lock, &until) != 0)
            return running < at_once();
    return true;
}

err hash_enter(struct hash_slot *s)
{
    pthread_mutex_lock(&lock);
    bool got = running < at_once();
    if (!got && waiting < WAITING_MAX) {
        waiting++;
        got = wait_turn();
        waiting--;
    }
    if (got)
        running++;
    pthread_mutex_unlock(&lock);
    s->held = got;
    return got ? OK : FAIL(ERR_BUSY, "Too many people sign in just now; try again in a moment");
}

void hash_leave(struct hash_slot *s)
{
    if (!s->held)
        return;
    s->held = false;
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_signal(&freed);
    pthread_mutex_unlock(&lock);
}

/* A hash that no password matches but that takes as long. */
static char *nobody;
static pthread_once_t nobody_once = PTHREAD_ONCE_INIT;

static void nobody_make(void)
{
    ARENA_AUTO mem = arena_new(0);
    sv hash;
    if (password_hash(mem, crypto_token(mem, ""), &hash) != OK)
        abort(); /* only for lack of memory */
    nobody = strndup(hash.p, hash.n);
}

bool hash_matches(sv hash, sv password)
{
    pthread_once(&nobody_once, nobody_make);
    if (hash.n > 0)
        return password_verify(hash, password);
    (void)password_verify(sv_from(nobody), password);
    return false;
}
