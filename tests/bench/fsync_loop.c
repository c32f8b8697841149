/* The yardstick of durable writes: appends of BYTES and fdatasync, one after another, for SECONDS.
 *
 *     fsync_loop FOLDER BYTES SECONDS [RATE]      prints what it measured as JSON
 *
 * RATE: at most so many a second, evenly; a latency then counts from the moment the write was due,
 * as it does in replay.c. */
#include "latency.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CAP (1 << 22)

static void wait_until(int64_t at_us)
{
    struct timespec t = {at_us / 1000000, at_us % 1000000 * 1000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
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
    if (fd < 0) {
        perror(path);
        return 1;
    }
    struct latencies took = latencies_new(CAP);
    int64_t start = now_us(), end = start + (int64_t)(atof(argv[3]) * 1e6);
    long commits = 0;
    for (int64_t due;
         (due = rate > 0 ? start + (int64_t)((double)commits / rate * 1e6) : now_us()) < end;
         commits++) {
        if (rate > 0)
            wait_until(due);
        if (pwrite(fd, bytes, n, (off_t)(commits % 4096 * (long)n)) != (ssize_t)n ||
            fdatasync(fd) != 0) {
            perror("write");
            return 1;
        }
        latency_add(&took, due, start);
    }
    printf("{\"per_second\":%.1f", (double)commits / ((double)(now_us() - start) / 1e6));
    latencies_print_seconds(&took);
    latencies_print(&took);
    printf("}\n");
    close(fd);
    unlink(path);
    return 0;
}
