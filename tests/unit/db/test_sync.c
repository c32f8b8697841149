/* SQLite: a disk that could not store the database file. The log keeps what was acknowledged. */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WRITES 400

static char file[128]; /* whose syncs fail */
static atomic_int failing;

/* In front of libc's, for SQLite too. The kernel tells of a failed write once a descriptor, and so
 * does this: the next sync says yes. */
int fdatasync(int fd)
{
    char link[64], path[256] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) > 0 && strcmp(path, file) == 0 &&
        atomic_exchange(&failing, 0)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static char big[500000];

static err put_big(struct db_tx *tx, struct arena *mem, void *arg)
{
    char name[16];
    (void)mem;
    snprintf(name, sizeof name, "k%d", *(int *)arg);
    return put(tx, name, big);
}

/* Writes until the process ends, and says by a byte each what was acknowledged. */
static void write_on(struct fixture *f, int acknowledged)
{
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < WRITES; i++) {
        if (i == 20)
            failing = 1;
        if (db_write(f->db, f->mem, put_big, &i) != OK || write(acknowledged, "", 1) != 1)
            _exit(1);
    }
    _exit(2); /* nobody minded */
}

static void test_failed_sync_ends_the_process(void **state)
{
    int fd[2], status, n = 0;
    char byte;
    struct fixture f = {0};
    (void)state;
    fixture_sqlite(&f);
    snprintf(file, sizeof file, "%s/t.db", f.dir);
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        fixture_open(&f, true);
        write_on(&f, fd[1]);
    }
    close(fd[1]);
    while (read(fd[0], &byte, 1) == 1)
        n++;
    close(fd[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_in_range(n, 20, WRITES - 1);
    fixture_open(&f, false);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        const char *value = value_of(&f, name);
        assert_true(value != NULL && strlen(value) == sizeof big - 1);
        arena_reset(f.mem);
    }
    struct fixture *gone = calloc(1, sizeof *gone);
    *gone = f;
    tear_down((void *[]){gone});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failed_sync_ends_the_process)};
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
