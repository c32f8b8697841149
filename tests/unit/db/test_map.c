/* The mapping that SQLite's readers share: it is used, it sees what the file gains, and opening the
 * file once more costs nobody the locks on it. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

#define ROWS  400
#define BYTES 2000

static err put_rows(struct db_tx *tx, struct arena *mem, void *arg)
{
    const char *kind = arg;
    char name[32], value[BYTES + 1] = {0};
    (void)mem;
    for (int i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "%s%d", kind, i);
        memset(value, 'a' + i % 26, BYTES);
        TRY(put(tx, name, value));
    }
    return OK;
}

static void expect_rows(struct fixture *f, const char *kind)
{
    char name[32];
    for (int i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "%s%d", kind, i);
        const char *value = value_of(f, name);
        assert_non_null(value);
        assert_int_equal(strlen(value), BYTES);
        assert_int_equal(value[0], 'a' + i % 26);
        assert_int_equal(value[BYTES - 1], 'a' + i % 26);
        arena_reset(f->mem);
    }
}

static void fold(struct fixture *f)
{
    struct sq_conn *c;
    bool all = false;
    assert_int_equal(sq_conn_open(f->url + strlen("sqlite:"), SQ_WRITE, false, &c), OK);
    for (int i = 0; i < 200 && !all; i++) {
        all = sq_checkpoint(c, true, false);
        usleep(20000); /* until the snapshots that nobody uses are ended */
    }
    sq_conn_close(c);
    assert_true(all);
}

/* Kilobytes of the database file that this process has touched through a mapping. */
static long mapped(const struct fixture *f)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[1024];
    long kb = 0, n;
    bool ours = false;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        line[strcspn(line, "\n")] = '\0';
        size_t end = strlen(line), name = strlen(f->url) - strlen("sqlite:");
        if (strstr(line, " r--s ") || strstr(line, " r--p ") || strstr(line, " rw-"))
            ours = strstr(line, " r--s ") && end > name &&
                   strcmp(line + end - name, f->url + strlen("sqlite:")) == 0;
        else if (ours && sscanf(line, "Rss: %ld kB", &n) == 1)
            kb += n;
    }
    fclose(maps);
    return kb;
}

static void test_what_the_file_gains_is_seen(void **state)
{
    struct fixture *f = *state;
    char first[] = "first", second[] = "second", changed[] = "first";
    assert_int_equal(db_write(f->db, f->mem, put_rows, first), OK);
    expect_rows(f, first); /* from the log */
    fold(f);
    expect_rows(f, first); /* the file has grown since it was mapped */
    assert_in_range(mapped(f), ROWS * BYTES / 1024, 1 << 20);
    assert_int_equal(db_write(f->db, f->mem, put_rows, second), OK);
    fold(f);
    expect_rows(f, second);
    assert_in_range(mapped(f), 2 * ROWS * BYTES / 1024, 1 << 20);
    assert_int_equal(db_write(f->db, f->mem, put_rows, changed), OK);
    expect_rows(f, first);
}

static void open_again(struct fixture *f)
{
    db_close(f->db);
    arena_free(f->mem);
    fixture_open(f, false);
}

static void test_mapping_can_be_switched_off(void **state)
{
    struct fixture *f = *state;
    char first[] = "first";
    setenv("MYBEING_MMAP", "0", 1); /* asked when a database is opened */
    open_again(f);
    unsetenv("MYBEING_MMAP");
    assert_int_equal(db_write(f->db, f->mem, put_rows, first), OK);
    fold(f);
    expect_rows(f, first);
    assert_int_equal(mapped(f), 0);
}

/* As another process sees it: whoever has a database in WAL mode open holds a lock on its file. */
static bool locked(const struct fixture *f)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct flock l = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510};
        int fd = open(f->url + strlen("sqlite:"), O_RDWR | O_CLOEXEC);
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_locks_stay_when_one_of_two_closes(void **state)
{
    struct fixture *f = *state;
    struct db *second;
    struct db_options o = {.url = sv_from(f->url)};
    assert_true(locked(f));
    assert_int_equal(db_open(&o, &second), OK);
    db_close(second);
    assert_true(locked(f));
    assert_null(value_of(f, "a"));
    db_close(f->db);
    assert_false(locked(f));
    arena_free(f->mem);
    fixture_open(f, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SQLITE(test_what_the_file_gains_is_seen),
        ON_SQLITE(test_mapping_can_be_switched_off),
        ON_SQLITE(test_locks_stay_when_one_of_two_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
