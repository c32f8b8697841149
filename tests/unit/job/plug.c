/* Preloaded into a program under test: pulls its plug (SIGKILL, no time to tidy up) at the
 * PLUG_AT-th of its calls that write to disk or talk to somebody: before the call is made, or, with
 * PLUG_AFTER=1, once it was. So each step between two effects is hit without anything in the
 * program that knows of it. The answers of a call that was killed afterwards are as lost as they
 * are at a power cut. */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;
static long at = -1;
static int after;

__attribute__((constructor)) static void read_settings(void)
{
    const char *text = getenv("PLUG_AT");
    at = text ? atol(text) : -1;
    after = getenv("PLUG_AFTER") != NULL;
}

static int mine(void)
{
    return atomic_fetch_add(&calls, 1) + 1 == at;
}

static void pull(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

#define PLUGGED(type, name, args, pass)                                                            \
    type name args                                                                                 \
    {                                                                                              \
        static type(*real) args;                                                                   \
        if (!real)                                                                                 \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        int now = mine();                                                                          \
        if (now && !after)                                                                         \
            pull();                                                                                \
        type result = real pass;                                                                   \
        if (now)                                                                                   \
            pull();                                                                                \
        return result;                                                                             \
    }

PLUGGED(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o))
PLUGGED(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t o), (fd, p, n, o))
PLUGGED(int, fdatasync, (int fd), (fd))
PLUGGED(int, fsync, (int fd), (fd))
PLUGGED(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
PLUGGED(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
PLUGGED(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
