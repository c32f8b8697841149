/* The yardstick of durable writes: appends of BYTES and fdatasync, one after another, for SECONDS.
 *
 *     fsync_loop FOLDER BYTES SECONDS [RATE]      prints what it measured as JSON
 *
 * RATE: so many writes a second, evenly, over a file that is there, as SQLite's log is after its
 * first round; one fdatasync for all that are due, as in a group commit; a latency then counts from
 * the moment the write was due, as it does in replay.c. */
#include "latency.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CAP (1 << 22)
#define DUE 256
#define LOG (32 << 20) /* bytes of the file, which then starts over, as SQLite's log does */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put(int fd, const char *bytes, size_t n, long i)
{
    if (pwrite(fd, bytes, n, (off_t)(i % (LOG / (long)n) * (long)n)) != (ssize_t)n)
        die("write");
}

static void fill(int fd, const char *bytes, size_t n)
{
    for (long i = 0; i < LOG / (long)n; i++)
        put(fd, bytes, n, i);
    if (fsync(fd) != 0)
        die("fsync");
}

/* The writes that are due, at least one: when each was. */
static int wait_for_due(int64_t due[DUE], int64_t start, double rate, long done)
{
    due[0] = start + (int64_t)((double)done / rate * 1e6);
    struct timespec t = {due[0] / 1000000, due[0] % 1000000 * 1000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    int k = 1;
    for (int64_t now = now_us(); k < DUE; k++) {
        due[k] = start + (int64_t)((double)(done + k) / rate * 1e6);
        if (due[k] > now)
            break;
    }
    return k;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5)
        return 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/fsync_loop.tmp", argv[1]);
    size_t n = (size_t)atol(argv[2]);
    double rate = argc == 5 ? atof(argv[4]) : 0;
    char *bytes = malloc(n);
    memset(bytes, 'x', n);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0)
        die(path);
    if (rate > 0)
        fill(fd, bytes, n);
    struct latencies took = latencies_new(CAP);
    int64_t start = now_us(), seconds = (int64_t)(atof(argv[3]) * 1e6);
    long commits = 0;
    while (now_us() - start < seconds) {
        int64_t due[DUE] = {now_us()};
        int k = 1;
        if (rate > 0)
            k = wait_for_due(due, start, rate, commits);
        for (int i = 0; i < k; i++, commits++)
            put(fd, bytes, n, commits);
        if (fdatasync(fd) != 0)
            die(path);
        for (int i = 0; i < k; i++)
            latency_add(&took, due[i], start);
    }
    printf("{\"per_second\":%.1f", (double)commits / ((double)(now_us() - start) / 1e6));
    latencies_print_seconds(&took);
    latencies_print(&took);
    printf("}\n");
    close(fd);
    unlink(path);
    return 0;
}
