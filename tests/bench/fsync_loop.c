/* The yardstick of durable writes: appends of BYTES and fdatasync, one after another, for SECONDS.
 *
 *     fsync_loop FOLDER BYTES SECONDS         prints commits a second */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/fsync_loop.tmp", argv[1]);
    size_t n = (size_t)atol(argv[2]);
    char *bytes = malloc(n);
    memset(bytes, 'x', n);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    double start = now(), end = start + atof(argv[3]);
    long commits = 0;
    for (; now() < end; commits++) {
        if (pwrite(fd, bytes, n, (off_t)(commits % 4096 * (long)n)) != (ssize_t)n ||
            fdatasync(fd) != 0) {
            perror("write");
            return 1;
        }
    }
    printf("%.1f\n", (double)commits / (now() - start));
    close(fd);
    unlink(path);
    return 0;
}
